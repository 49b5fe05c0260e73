"""Cross-validation over layers and splits: fit on the training rows of a split, score its held-out rows."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from ..utils import BadInput, first_names, granted_cores, unknown_name
from .bootstrap_statistics import AllLayers, BlockSums, ChosenLayers, Resampling, identity, join, widening
from .curves import Along, Kept, has_curve
from .decoders.base import Decoder, LeftOut, OtherFit, Refit, Session, Split
from .finite import Pattern, finite_rows, patterns
from .layer_choice import Rule
from .metrics import METRICS, PredictionMetric
from .metrics.base import RANKED
from .protocol import LEAST_TEST_ROWS, MISSING
from .ranked import Ranked, most_probable

__all__ = [
    *("LeftOut", "Problem", "Result", "Rule", "Split"),
    *("cross_validate", "cross_validate_each", "cross_validate_each_metrics"),
    *("cross_validate_metrics", "cross_validate_problem"),
]

T = TypeVar("T")
Layers = Mapping[str, Callable[[], np.ndarray]]
Progress = Callable[[int, int, str], None]
Tasks = Iterable[Callable[[], T]]
Groups = Mapping[str, np.ndarray] | None
Watch = Callable[[int, int, np.ndarray, tuple, tuple], None]
OVER_SPLITS = Rule(nested=False)


@dataclass(frozen=True)
class Problem:
    """One cross-validation problem: features of each layer, targets and splits.

    Parameters
    ----------
    layers : mapping of str to function
        {name: () -> features of shape (n_rows, n_features)}; each function is called once.
    targets : array of shape (n_rows, n_targets)
        Responses, or labels.
    splits : sequence of Split
        Rows of the training, validation and test parts.
    weights : array of shape (n_rows,), optional
        Row weights above 0; a row of weight 3 counts as three equal rows.
    blocks : int array of shape (n_rows,), optional
        Block of each row, which a bootstrap resamples whole. Without it no bootstrap statistics are kept.
    block_name : str, default "rows"
        Name of the blocks in the plural, e.g. "segments".
    block_run : int, default 1
        Number of neighbouring blocks that a bootstrap samples together, see `analysis.bootstrap.sample_counts`.
    left_out : sequence of LeftOut, optional
        Rows that are left out together where a penalty or a layer is chosen inside the training rows; by default each
        row on its own.
    stimulus : int array of shape (n_rows,), optional
        Stimulus of each row, whose responses a permutation moves.
    shifted : bool array of shape (n_rows,), optional
        True: a permutation shifts the row circularly in time within its stimulus; False: it shuffles the row's stimulus
        among others with equally many rows.
    other : array of shape (n_rows, n), optional
        Finite targets besides, e.g. of single subjects: the weights of fits to them are kept, see `Result.other`.
    time_ms : array of shape (n_rows,), optional
        Start of each row in its stimulus. Without it, a similarity compares no two rows of one stimulus.
    gap_ms : float, default 0
        Rows of a stimulus nearer than this are not compared by a similarity.
    """

    layers: Layers
    targets: np.ndarray
    splits: Sequence[Split]
    weights: np.ndarray | None = None
    blocks: np.ndarray | None = None
    block_name: str = "rows"
    block_run: int = 1
    left_out: Sequence[LeftOut] | None = None
    stimulus: np.ndarray | None = None
    shifted: np.ndarray | None = None
    other: np.ndarray | None = None
    time_ms: np.ndarray | None = None
    gap_ms: float = 0.0


@dataclass(frozen=True)
class Result:
    """Scores of a cross-validation, with the penalties chosen and the rows left out.

    Parameters
    ----------
    valid, test : float64 arrays of shape (n_layers, n_targets, n_splits)
        Validation and test scores, NaN = undefined. In a nested design, the validation score of a decoder that predicts
        left-out rows is that of the training rows, each predicted without its block.
    n_dropped : int
        Number of rows left out of at least one layer, because a feature or a target is not finite.
    dropped : mapping of str to int
        {layer: number of rows left out of it}.
    left_out_layers : tuple of str
        Layers without a score, because a feature is not finite.
    n_short : int
        Number of test parts of a target with some rows, but too few for a score.
    test_to_train : float
        Number of test rows divided by that of training rows, mean over splits.
    alphas : array of shape (n_layers, n_splits, ...), optional
        Penalties chosen; further axes for bands and, last, targets. None for a decoder without a penalty.
    resampling : Resampling, optional
        Input of a bootstrap; None for a problem without blocks.
    grid : tuple of float
        Penalties that the decoder chose from.
    other : mapping of (int, int) to OtherFit
        {(layer, split): fit to the problem's other targets}, with one penalty for all of them; empty without such
        targets, for another decoder than ridge regression, and where no target is recorded in all rows.
    shares : array of shape (n_layers, n_splits, n_bands, n_targets), optional
        Weights of the groups of features of a stacked decoder.
    fitted : array of shape (n_layers, n_splits, n_targets), optional
        r of the training rows with their predictions, of ridge regression with a penalty per target.
    kept : sequence of array, optional
        What a curve is made of, see `curves.Kept`.
    """

    valid: np.ndarray
    test: np.ndarray
    n_dropped: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    alphas: np.ndarray | None = None
    resampling: Resampling | None = None
    grid: tuple[float, ...] = ()
    left_out_layers: tuple[str, ...] = ()
    n_short: int = 0
    test_to_train: float = np.nan
    other: Mapping[tuple[int, int], OtherFit] = field(default_factory=dict)
    shares: np.ndarray | None = None
    fitted: np.ndarray | None = None
    kept: Sequence[np.ndarray] | None = field(default=None, repr=False)

    @property
    def extra(self) -> dict[str, np.ndarray]:
        """Arrays that are stored with the scores."""
        found = {"test_to_train": np.array(self.test_to_train)}
        if self.alphas is not None:
            found |= _alpha_arrays(self.alphas)
        if self.shares is not None:
            found["band_weight"] = np.moveaxis(self.shares[0], 0, 2).astype(np.float32)
        return found

    @property
    def notes(self) -> dict[str, Any]:
        """Facts that are printed beside the scores: rows and layers that were left out, penalties."""
        notes: dict[str, Any] = {"rows dropped": self.n_dropped}
        if self.left_out_layers:
            notes["layers that are not finite"] = first_names(self.left_out_layers)
        if self.n_short:
            notes[f"test parts with fewer than {LEAST_TEST_ROWS} rows"] = self.n_short
        if self.alphas is not None and np.isfinite(self.alphas).any():
            notes |= _penalty_notes(self.alphas, self.grid)
        return notes


def _alpha_arrays(alphas: np.ndarray) -> dict[str, np.ndarray]:
    """Return the penalties as the array to store: of each layer and split, of each target too, or of each band too."""
    if alphas.ndim == 2:
        return {"alpha": alphas}
    per_target = np.moveaxis(alphas, 1, -1).astype(np.float32)
    return {"alpha_per_target": per_target} if alphas.ndim == 3 else {"band_alpha": per_target[0]}


def _penalty_notes(alphas: np.ndarray, grid: Sequence[float]) -> dict[str, float]:
    """Return the median penalty, and the share of penalties at an end of the grid."""
    chosen = alphas[np.isfinite(alphas)]
    notes = {"penalty": float(np.exp(np.median(np.log(chosen))))}
    if len(grid) > 1:
        at_edge = np.isclose(chosen, min(grid), atol=0) | np.isclose(chosen, max(grid))
        notes["penalties at the edge of the grid"] = float(at_edge.mean())
    return notes


def cross_validate(
    layers: Layers,
    targets: np.ndarray,
    splits: Sequence[Split],
    decoder: Decoder,
    metric: str,
    *,
    weights: np.ndarray | None = None,
    left_out: Sequence[LeftOut] | None = None,
    rule: Rule = OVER_SPLITS,
    missing: str = "rows",
    jobs: int = 1,
    progress: Progress | None = None,
) -> Result:
    """Score every layer, target and split.

    Parameters
    ----------
    layers : mapping of str to function
        {name: () -> features of shape (n_rows, n_features)}; each function is called once.
    targets : array of shape (n_rows, n_targets)
        Numbers, or labels.
    splits : sequence of Split
        Rows of the training, validation and test parts.
    decoder : Decoder
        Template that is copied for each fit and left unchanged.
    metric : str
        A name of `METRICS`, of a metric of predictions.
    weights : array of shape (n_rows,), optional
        Row weights above 0; a row of weight 3 counts as three equal rows in standardisation, fit and score.
    left_out : sequence of LeftOut, optional
        Rows that are left out together where a penalty or a layer is chosen inside the training rows.
    rule : Rule, optional
        Rule of the choice of layers; a nested one needs validation scores of the training rows.
    missing : {"rows", "units"}, default "rows"
        Treatment of rows that are not finite. "rows": a row with a feature or target that is not finite is left out of
        all parts and counted; a target that is never finite scores NaN and leaves out no row. "units": each target is
        scored on its own rows, with one fit per pattern of missing rows, and NaN for r of fewer than 10 test rows; a
        layer with a feature that is not finite has no score.
    jobs : int, default 1
        Number of splits computed at a time.
    progress : function, optional
        Called with (done, total, text).

    Returns
    -------
    Result

    Raises
    ------
    BadInput
        For an unknown metric, shapes that differ, weights that are not above 0, or rows in two parts of a split.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 5))
    >>> Y = X @ rng.standard_normal((5, 2)) + 0.1 * rng.standard_normal((100, 2))
    >>> layers = {"noise": lambda: rng.standard_normal((100, 5)), "signal": lambda: X}
    >>> result = cross_validate(layers, Y, item_splits(100), Ridge(), "pearson")
    >>> result.test.shape, bool(result.test[1].min() > 0.9)
    ((2, 2, 10), True)
    """
    return cross_validate_problem(
        Problem(layers, targets, splits, weights, left_out=left_out),
        decoder,
        metric,
        rule=rule,
        missing=missing,
        jobs=jobs,
        progress=progress,
    )


def cross_validate_problem(
    problem: Problem,
    decoder: Decoder,
    metric: str,
    *,
    groups: Groups = None,
    rule: Rule = OVER_SPLITS,
    missing: str = "rows",
    jobs: int = 1,
    progress: Progress | None = None,
) -> Result:
    """Score every layer, target and split of a problem, and keep the bootstrap statistics of the chosen layers.

    Parameters
    ----------
    problem : Problem
        Features, targets, splits and blocks.
    decoder, metric, rule, missing, jobs, progress
        See `cross_validate`.
    groups : mapping of str to int array, optional
        {name: columns of targets}, e.g. regions, for each of which the statistics of the layer chosen for it are kept,
        unless the headline has a layer per target.

    Returns
    -------
    Result

    Raises
    ------
    BadInput
        See `cross_validate`.
    """
    options = {"groups": groups, "rule": rule, "missing": missing, "jobs": jobs, "progress": progress}
    return cross_validate_metrics(problem, decoder, (metric,), **options)[metric]


def cross_validate_metrics(
    problem: Problem,
    decoder: Decoder,
    metrics: Sequence[str],
    *,
    groups: Groups = None,
    rule: Rule = OVER_SPLITS,
    missing: str = "rows",
    jobs: int = 1,
    progress: Progress | None = None,
    watch: Watch | None = None,
    along: Along | None = None,
) -> dict[str, Result]:
    """Score a problem by several metrics of the same predictions: each layer is fitted once.

    Penalties are chosen as for one metric; layers are chosen by each metric's own validation scores.

    Parameters
    ----------
    problem : Problem
        Features, targets, splits and blocks.
    metrics : sequence of str
        Names of metrics of predictions.
    decoder, groups, rule, missing, jobs, progress
        See `cross_validate_problem`.
    watch : function, optional
        Called with (layer, split, columns, (rows, predictions) of the validation part, the same of the test part) for
        each batch of targets; the validation part is the training part where that is predicted without its blocks.
    along : TimeBins or Delays, optional
        Axis of curves of the score, for correlations; see `curves`.

    Returns
    -------
    dict of str to Result
        {metric: result} in the order of `metrics`.

    Raises
    ------
    BadInput
        See `cross_validate`.
    """
    threads = max(1, granted_cores() // jobs)
    run = lambda tasks: _parallel(tasks, jobs, threads)  # noqa: E731
    chosen = {name: ChosenLayers(_directed(rule, name), groups) for name in metrics}
    kept = {}
    if along is not None:
        size = len(problem.splits), np.shape(problem.targets)[1]
        kept = {n: Kept(along, _directed(rule, n), *size) for n in metrics if has_curve(METRICS[n])}
    return _score_problem(
        problem, decoder, run, progress, chosen, missing, rule.nested, watch, along if kept else None, kept
    )


def cross_validate_each(
    problems: Iterable[Callable[[], Problem]], decoder: Decoder, metric: str, **options: Any
) -> Result:
    """Score many small problems by one metric, see `cross_validate_each_metrics`.

    Parameters
    ----------
    problems, decoder, **options
        See `cross_validate_each_metrics`.
    metric : str
        Name of a metric of predictions.

    Returns
    -------
    Result
    """
    return cross_validate_each_metrics(problems, decoder, (metric,), **options)[metric]


def cross_validate_each_metrics(
    problems: Iterable[Callable[[], Problem]],
    decoder: Decoder,
    metrics: Sequence[str],
    *,
    groups: Groups = None,
    rule: Rule = OVER_SPLITS,
    missing: str = "rows",
    jobs: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Result]:
    """Score many small problems of the same layers, each with its rows, splits and targets.

    Parameters
    ----------
    problems : iterable of functions
        Each returns a Problem and is called once, shortly before the problem is scored.
    metrics : sequence of str
        Names of metrics of predictions.
    decoder, rule, missing, progress
        See `cross_validate`.
    groups : mapping of str to int array, optional
        {name: columns among the targets of all problems}, see `cross_validate_problem`.
    jobs : int, optional
        Number of problems computed at a time, one core each; by default the number of cores.

    Returns
    -------
    dict of str to Result
        {metric: result} with the targets of all problems side by side; NaN in the last splits of a problem that has
        fewer.

    Raises
    ------
    BadInput
        Without problems; otherwise see `cross_validate`.
    """
    problems = list(problems)

    def task(make: Callable[[], Problem]) -> Callable[[], dict[str, Result]]:
        kept = {name: AllLayers() for name in metrics}
        return lambda: _score_problem(make(), decoder, _serial, None, kept, missing, rule.nested)

    results: list[dict[str, Result]] = []
    for result in _parallel([task(make) for make in problems], jobs or granted_cores(), threads=1):
        results.append(result)
        if progress:
            progress(len(results), len(problems), "problems")
    if not results:
        raise BadInput("no problems to cross-validate; expected at least one")
    return {
        name: _joined([of_problem[name] for of_problem in results], _directed(rule, name), groups) for name in metrics
    }


def _joined(results: Sequence[Result], rule: Rule, groups: Groups) -> Result:
    """Join the results of problems by one metric, with their resamplings."""
    joined, resamplings = _side_by_side(results), [result.resampling for result in results]
    if any(one is None for one in resamplings):
        return joined
    return replace(joined, resampling=join(resamplings, rule, groups, joined.valid))


def _directed(rule: Rule, metric: str) -> Rule:
    """Return the rule with the direction of a metric; BadInput for a name that is no metric of predictions."""
    if not isinstance(METRICS.get(metric), PredictionMetric):
        raise unknown_name("metric", metric, [n for n, m in METRICS.items() if isinstance(m, PredictionMetric)])
    return replace(rule, direction=METRICS[metric].direction)


@dataclass(frozen=True)
class _Fit:
    """Targets with the same usable rows, the decoder bound to them, and the splits of these rows."""

    pattern: Pattern
    session: Session

    @classmethod
    def of(cls, pattern: Pattern, problem: Problem, decoder: Decoder, weights, nested: bool, n_parts: int) -> "_Fit":
        """Return the fit of a pattern; nested: the decoder predicts training rows too, if it can.

        n_parts: number of groups of features whose summands of the predictions are needed.
        """
        if getattr(decoder, "leaves_out", False):
            splits = [split.restricted(pattern.rows) for split in problem.splits]
            other = {"other": problem.other} if problem.other is not None and pattern.rows.all() else {}
            other |= {"n_parts": n_parts} if n_parts else {}
            session = decoder.session(pattern.targets, weights, splits, problem.left_out, nested, **other)
        elif hasattr(decoder, "session"):
            session = decoder.session(pattern.targets, weights, problem.splits)
        else:
            session = Refit(decoder, pattern.targets, weights)
        return cls(pattern, session)


def _score_problem(
    problem: Problem,
    decoder: Decoder,
    run: Callable[[Tasks], Iterable],
    progress: Progress | None,
    chosen: Mapping[str, ChosenLayers | AllLayers],
    missing: str,
    nested: bool,
    watch: Watch | None = None,
    along: Along | None = None,
    kept: Mapping[str, Kept] | None = None,
) -> dict[str, Result]:
    """Loop over layers and splits; `run` yields the results of tasks in their order.

    chosen: {metric: its statistics of the layers chosen so far}; kept: {metric: what a curve of it is made of}.
    """
    kept = kept or {}
    if missing not in MISSING:
        raise unknown_name("treatment of missing data", missing, MISSING)
    decoder = Ranked(decoder) if any(METRICS[name].needs == RANKED for name in chosen) else decoder
    targets = np.asarray(problem.targets)
    found = patterns(targets, by_target=missing == "units")
    weights = _checked(problem, targets)
    n_parts = 0 if along is None else along.n_parts
    fits = [_Fit.of(pattern, problem, decoder, weights, nested, n_parts) for pattern in found]
    shape = (len(problem.layers), targets.shape[1], len(problem.splits))
    tallies = {name: _Tally(METRICS[name], problem, weights, missing, shape, kept.get(name)) for name in chosen}
    scoring = _Scoring([tally.scoring for tally in tallies.values()], isinstance(decoder, Ranked), watch, along)
    alphas, shares, fitted, dropped, other, total = {}, {}, {}, {}, {}, shape[0] * shape[2]
    unused = ~np.any([fit.pattern.rows for fit in fits], axis=0)
    dropped_rows = unused
    left_out_layers = []
    for i, (name, load) in enumerate(problem.layers.items()):
        X, finite = _features(name, load(), len(targets))
        dropped[name] = int((unused | ~finite).sum())
        if missing == "units" and not finite.all():
            left_out_layers.append(name)
            continue
        dropped_rows = dropped_rows | ~finite
        for part, fit in enumerate(fits):
            splits = [_restrict(split, fit.pattern.rows & finite, name, missing) for split in problem.splits]
            trained = [k for k, split in enumerate(splits) if split is not None]
            features, size = fit.session.load(X), max(1, min(fit.session.batch, len(trained)))
            groups = [trained[start : start + size] for start in range(0, len(trained), size)]
            tasks = [lambda g=g, f=fit, x=features, s=splits, i=i: scoring(i, f, x, s, g) for g in groups]
            for group, scores in zip(groups, run(tasks), strict=True):
                for k, columns, alpha, of_metrics, of_other, of_bands, of_fit, of_axis in scores:
                    alphas.setdefault((i, k), []).append((columns, alpha))
                    shares.setdefault((i, k), []).append((columns, of_bands))
                    fitted.setdefault((i, k), []).append((columns, of_fit))
                    for tally, of_metric in zip(tallies.values(), of_metrics, strict=True):
                        tally.add(i, k, columns, of_metric, of_axis)
                    if of_other is not None:
                        other[i, k] = OtherFit.of(of_other, splits[k], len(targets))
                if progress:
                    done = i * shape[2] + (part * shape[2] + group[-1] + 1) / len(fits)
                    progress(done, total, f"{name}, split {group[-1] + 1} of {shape[2]}")
        for metric, tally in tallies.items():
            tally.end_layer(i, chosen[metric])
    if len(left_out_layers) == shape[0]:
        raise BadInput(f"no layer is finite, first {left_out_layers[0]}; expected features without NaN and infinity")
    shared = {
        "n_dropped": int(dropped_rows.sum()),
        "dropped": dropped,
        "alphas": _stacked(alphas, shape),
        "grid": tuple(np.asarray(getattr(decoder, "grid", ())).tolist()),
        "left_out_layers": tuple(left_out_layers),
        "test_to_train": float(np.mean([len(split.test) / max(1, len(split.train)) for split in problem.splits])),
        "other": other,
        "shares": _stacked(shares, shape),
        "fitted": _stacked(fitted, shape),
    }
    return {
        name: Result(
            tally.valid,
            tally.test,
            resampling=None if tally.sums is None else _resampling(problem, tally.sums, chosen[name]),
            n_short=int(tally.short.sum()),
            kept=None if tally.kept is None else tally.kept.values,
            **shared,
        )
        for name, tally in tallies.items()
    }


class _Tally:
    """Scores of one metric, filled layer by layer: valid, test (n_layers, n_targets, n_splits)."""

    def __init__(
        self,
        metric: PredictionMetric,
        problem: Problem,
        weights,
        missing: str,
        shape: tuple[int, int, int],
        kept: Kept | None = None,
    ):
        self.kept = kept
        self.valid, self.test = np.full(shape, np.nan), np.full(shape, np.nan)
        self.short = np.zeros(shape[1:], dtype=bool)
        # a metric without a statistic has no bootstrap
        has_sums = problem.blocks is not None and metric.statistic is not None
        self.sums = BlockSums(metric.statistic, problem.blocks, problem.splits, weights) if has_sums else None
        least = metric.least_rows if missing == "units" else 0
        self.scoring = _MetricScoring(metric, weights, self.sums, least)
        self._batches: list[list] = [[] for _ in problem.splits]

    def add(self, layer: int, split: int, columns: np.ndarray, scores: tuple, of_axis: np.ndarray | None) -> None:
        """Add the scores of some targets: (valid, test, too few test rows, block sums), and what a curve is made of."""
        if self.kept is not None:
            self.kept.add(split, columns, of_axis)
        self.valid[layer, columns, split], self.test[layer, columns, split], self.short[columns, split] = scores[:3]
        self._batches[split].append(scores[3])

    def end_layer(self, layer: int, chosen: ChosenLayers | AllLayers) -> None:
        """Hand the bootstrap statistics of a layer to those of the layers chosen so far."""
        if self.sums is not None:
            chosen.add(layer, self.valid[layer], self.sums.statistics(self._batches, self.valid.shape[1]))
        if self.kept is not None:
            self.kept.end_layer(self.valid[layer])
        self._batches = [[] for _ in self._batches]


def _resampling(problem: Problem, sums: BlockSums, chosen: ChosenLayers | AllLayers):
    """Return the input of a bootstrap over the problem's blocks, all in one stratum."""
    one_stratum = np.zeros(sums.n_blocks, dtype=int)
    factor = widening(problem.splits, sums.weights)
    found = chosen.resampling(problem.block_name, one_stratum, factor, identity(problem.blocks, problem.splits))
    return replace(found, block_run=problem.block_run)


@dataclass(frozen=True)
class _MetricScoring:
    """Scores of predictions by one metric.

    least: number of test rows below which a score is undefined.
    """

    metric: PredictionMetric
    weights: np.ndarray | None
    sums: BlockSums | None
    least: int

    def __call__(self, k: int, columns: np.ndarray, inside: tuple, test: tuple) -> tuple:
        """Return (valid, test, too few test rows, block sums) of some targets of split k.

        inside, test: (rows, predictions, truth) of the rows that choose layers, and of the test rows.
        """
        rows, of_test, truth = test
        few = 0 < len(rows) < self.least
        on_test = np.full(len(columns), np.nan) if few else self._score(of_test, truth, rows)
        on_valid = self._score(inside[1], inside[2], inside[0])
        batch = None
        if self.sums is not None:
            some = slice(0, 0) if few else slice(None)
            batch = self.sums.batch(k, rows[some], columns, of_test[some], truth[some])
        return on_valid, on_test, few, batch

    def _score(self, predicted, truth, rows: np.ndarray) -> np.ndarray:
        """Return the score of each target over some rows."""
        return self.metric.value(predicted, truth, None if self.weights is None else self.weights[rows])


@dataclass(frozen=True)
class _Scoring:
    """Scores of the predictions of one fit by all metrics.

    ranked: the predictions are labels in the order of their probability, see `ranked.Ranked`.
    """

    metrics: Sequence[_MetricScoring]
    ranked: bool
    watch: Watch | None
    along: Along | None

    def __call__(self, layer: int, fit: _Fit, features, splits: Sequence[Split], group: Sequence[int]) -> list[tuple]:
        """Return (split, columns, alpha, scores by metric, other, shares, fitted, of a curve) per split and batch."""
        scores = []
        for prediction in fit.session.predict(features, [splits[k] for k in group]):
            k, local = group[prediction.split], prediction.columns
            columns, split, n_valid = fit.pattern.columns[local], splits[k], len(splits[k].valid)
            of_test = prediction.values[n_valid:]
            if prediction.inside is None:
                inside, rows, inside_truth = prediction.values[:n_valid], split.valid, None
            else:
                inside, rows, inside_truth = prediction.inside, split.train, prediction.trained
            test_truth = fit.session.truth(split.test, local)
            inside_truth = fit.session.truth(rows, local) if inside_truth is None else inside_truth
            found = []
            for scoring in self.metrics:
                labels = most_probable if self.ranked and scoring.metric.needs != RANKED else lambda values: values
                parts = (rows, labels(inside), inside_truth), (split.test, labels(of_test), test_truth)
                found.append(scoring(k, columns, *parts))
            if self.watch is not None:
                self.watch(layer, k, columns, (rows, inside), (split.test, of_test))
            of_axis = None
            if self.along is not None:
                parts = None if prediction.parts is None else prediction.parts[:, n_valid:]
                of_axis = self.along.of_batch(k, split.test, of_test, test_truth, parts)
            of_fit = prediction.other, prediction.shares, prediction.fitted
            scores.append((k, columns, prediction.alpha, found, *of_fit, of_axis))
        return scores


def _features(name: str, X: np.ndarray, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a layer in memory, float32 (or float64 if it was), and a mask of its finite rows."""
    if X.ndim != 2 or len(X) != n_rows:
        raise BadInput(f"layer {name} has shape {X.shape}; expected ({n_rows}, n_features)")
    in_memory = X.flags.owndata and X.flags.writeable
    dtype = np.float64 if X.dtype == np.float64 else np.float32
    X = np.ascontiguousarray(X, dtype=dtype) if in_memory else np.array(X, dtype=dtype, order="C")
    return X, finite_rows(X)


def _checked(problem: Problem, targets: np.ndarray) -> np.ndarray | None:
    """Return the row weights as float64; raise BadInput unless splits and weights fit the rows."""
    if not problem.layers or not problem.splits:
        raise BadInput(f"{len(problem.layers)} layers and {len(problem.splits)} splits; expected at least one of each")
    for k, split in enumerate(problem.splits):
        rows = np.concatenate([split.train, split.held])
        if len(np.unique(rows)) < len(rows):
            raise BadInput(f"split {k} has a row in two of its parts, or twice in one; expected disjoint rows")
        if len(rows) and (rows.min() < 0 or rows.max() >= len(targets)):
            raise BadInput(f"split {k} has rows {rows.min()} to {rows.max()}; expected 0 to {len(targets) - 1}")
    if problem.weights is None:
        return None
    weights = np.asarray(problem.weights, dtype=np.float64)
    if weights.shape != (len(targets),) or not np.isfinite(weights).all() or not (weights > 0).all():
        raise BadInput(f"row weights of shape {weights.shape}; expected {len(targets)} finite numbers above 0")
    return weights


def _restrict(split: Split, usable: np.ndarray, layer: str, missing: str) -> Split | None:
    """Return the split without unusable rows.

    With fewer than two training rows: None if units lack different rows, otherwise BadInput.
    """
    kept = split.restricted(usable)
    if len(kept.train) >= 2:
        return kept
    if missing == "units":
        return None
    raise BadInput(f"{len(kept.train)} usable training rows in a split of layer {layer}; expected at least 2")


def _stacked(alphas: Mapping[tuple[int, int], list], shape: tuple[int, int, int]) -> np.ndarray | None:
    """Join the penalties of batches of targets, then of layers and splits: (n_layers, n_splits, ...).

    Scalar penalties that all targets share stay scalars. None without penalties; NaN where nothing was fitted.
    """
    n_layers, n_targets, n_splits = shape
    if not alphas or any(alpha is None for batches in alphas.values() for _, alpha in batches):
        return None
    first = next(iter(alphas.values()))
    if all(np.ndim(alpha) == 0 and alpha == batches[0][1] for batches in alphas.values() for _, alpha in batches):
        found = np.full((n_layers, n_splits), np.nan)
        for (i, k), batches in alphas.items():
            found[i, k] = batches[0][1]
        return found
    found = np.full((n_layers, n_splits, *np.shape(first[0][1])[:-1], n_targets), np.nan)
    for (i, k), batches in alphas.items():
        for columns, alpha in batches:
            found[i, k][..., columns] = alpha
    return found


def _side_by_side(results: Sequence[Result]) -> Result:
    """Join the results of problems along their targets."""
    n_splits = max(result.valid.shape[2] for result in results)

    def padded(values: np.ndarray, axis: int) -> np.ndarray:
        missing = [(0, n_splits - values.shape[axis] if a == axis else 0) for a in range(values.ndim)]
        return np.pad(values, missing, constant_values=np.nan)

    def per_target(values: np.ndarray, result: Result) -> np.ndarray:
        values = values if values.ndim > 2 else values[:, :, None]
        return padded(np.broadcast_to(values, (*values.shape[:-1], result.valid.shape[1])), 1)

    def joined(name: str) -> np.ndarray | None:
        if getattr(first, name) is None:
            return None
        return np.concatenate([per_target(getattr(result, name), result) for result in results], axis=-1)

    first = results[0]
    return Result(
        np.concatenate([padded(result.valid, 2) for result in results], axis=1),
        np.concatenate([padded(result.test, 2) for result in results], axis=1),
        sum(result.n_dropped for result in results),
        {layer: sum(result.dropped[layer] for result in results) for layer in first.dropped},
        joined("alphas"),
        grid=first.grid,
        left_out_layers=tuple(dict.fromkeys(name for result in results for name in result.left_out_layers)),
        n_short=sum(result.n_short for result in results),
        test_to_train=float(np.mean([result.test_to_train for result in results])),
        shares=joined("shares"),
        fitted=joined("fitted"),
    )


def _serial(tasks: Tasks) -> Iterator:
    """Yield the results of the tasks, computed one by one."""
    return (task() for task in tasks)


def _parallel(tasks: Tasks, jobs: int, threads: int) -> Iterator:
    """Yield the results of the tasks in order, `jobs` at a time with `threads` threads each; few start ahead."""
    import torch

    # OMP_NUM_THREADS may allow fewer than the cores
    threads = min(threads, torch.get_num_threads())
    with thread_limit(threads):
        if jobs == 1:
            yield from _serial(tasks)
            return
        with ThreadPoolExecutor(jobs, initializer=lambda: torch.set_num_threads(threads)) as pool:
            running: deque = deque()
            for task in tasks:
                running.append(pool.submit(task))
                if len(running) >= 2 * jobs:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()


@contextmanager
def thread_limit(threads: int) -> Iterator[None]:
    """Limit torch and the linear algebra libraries to a number of threads, and restore it on exit."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)
