"""Permutation tests: the distribution of scores with the stimulus-response pairing destroyed.

Responses to films are shifted circularly in time, which preserves their autocorrelation; others are shuffled over
stimuli. Every permutation repeats the whole design on the same splits: fit, choose the layers, score the test. For
ridge regression, and a metric that follows from moments (`metrics.Moments`), the predictions of a permutation, also
those of training rows without their block, are its permuted targets times weights that all permutations share, from one
eigendecomposition per layer and split, with the penalty chosen on the true training rows. Every other decoder is fitted
anew, and so is every decoder for another metric.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch

from ..evaluate.cross_validate import OVER_SPLITS, Problem, Result, cross_validate_problem
from ..evaluate.decoders import Decoder
from ..evaluate.decoders.base import Split
from ..evaluate.decoders.left_out import restricted
from ..evaluate.decoders.ridge import RidgeSession
from ..evaluate.finite import Pattern, finite_rows, patterns
from ..evaluate.layer_choice import PER_TARGET, Rule
from ..evaluate.metrics import METRICS, Moments
from ..evaluate.nulls import shift_range
from ..evaluate.protocol import SEED
from ..utils import BadInput, nan_mean, nan_median, seed_from
from .fdr import p_values

__all__ = ["Null", "null", "orders", "p_values"]

SAMPLE = 128  # targets of a problem whose validation scores choose the layers of a permutation
MOST_ROWS = 8192  # training rows whose weights in each other's predictions are kept, as a matrix
BATCH_BYTES = 2**25  # predictions of the permutations that are computed at a time


@dataclass(frozen=True)
class Null:
    """Null distribution of a score.

    Parameters
    ----------
    test : float32 array of shape (n, n_targets)
        Split-mean test scores of n permutations, each of the layers that it chose.

    Examples
    --------
    >>> Null(np.array([[0.0, 0.25, 0.5], [-0.25, 0.0, 1.0]])).aggregate
    array([0.25, 0.  ])
    """

    test: np.ndarray

    @property
    def aggregate(self) -> np.ndarray:
        """Median over targets of each permutation: (n,)."""
        return nan_median(self.test, axis=1).astype(np.float64)


def orders(problem: Problem, n: int, seed: int) -> np.ndarray:
    """Return permutations of the rows of a problem.

    Films are shifted circularly by a quarter to three quarters of their length. Other stimuli are shuffled among those
    with equally many rows, rows in their order.

    Parameters
    ----------
    problem : Problem
        With `stimulus` and `shifted`.
    n : int
        Number of permutations.
    seed : int
        Seed of the random generator.

    Returns
    -------
    int array of shape (at most n, n_rows)
        Row that each row's permuted response is taken from. A single short film has fewer than n different shifts; each
        of these is then used once.

    Raises
    ------
    BadInput
        If no stimulus can be permuted.

    Examples
    --------
    >>> stimulus = np.repeat([0, 1], 3)
    >>> problem = Problem({}, np.zeros((6, 1)), [], stimulus=stimulus, shifted=np.zeros(6, bool))
    >>> sorted(set(map(tuple, orders(problem, 20, 0).tolist())))
    [(0, 1, 2, 3, 4, 5), (3, 4, 5, 0, 1, 2)]
    """
    rng = np.random.default_rng(seed_from("permutation", seed))
    films = [np.flatnonzero(problem.stimulus == s) for s in np.unique(problem.stimulus[problem.shifted])]
    films = [film for film in films if len(film) > 1]
    groups = _shuffled_groups(problem)
    if not films and not any(len(group) > 1 for group in groups):
        raise BadInput("no two stimuli have equally many rows; expected some to shuffle: use --permutations 0")
    shifts = _shifts([len(film) for film in films], n, rng, alone=not groups)
    found = np.tile(np.arange(len(problem.stimulus)), (len(shifts) if films else n, 1))
    for order, shift in zip(found, shifts if films else [()] * n, strict=True):
        for film, by in zip(films, shift, strict=True):
            order[film] = np.roll(film, by)
        for group in groups:
            order[group] = group[rng.permutation(len(group))]
    return found


def _shifts(lengths: Sequence[int], n: int, rng: np.random.Generator, alone: bool) -> list[tuple[int, ...]]:
    """Return the circular shift of each film in each permutation; alone: nothing else is permuted."""
    spans = [shift_range(k) for k in lengths]
    possible = np.prod([float(len(span)) for span in spans])
    if alone and possible <= 4 * n:
        every = list(product(*spans))
        return [every[i] for i in rng.permutation(len(every))[:n]]
    return [tuple(int(rng.integers(span.start, span.stop)) for span in spans) for _ in range(n)]


def _shuffled_groups(problem: Problem) -> list[np.ndarray]:
    """Return the rows (n_stimuli, n_rows each) of the stimuli that are shuffled, in groups of equally many rows."""
    fixed = problem.stimulus[~problem.shifted]
    rows = [np.flatnonzero(problem.stimulus == s) for s in np.unique(fixed)]
    sizes = {len(r) for r in rows}
    return [np.stack([r for r in rows if len(r) == size]) for size in sorted(sizes)]


def null(
    problems: Sequence[Callable[[], Problem]],
    decoder: Decoder,
    metric: str,
    n: int,
    *,
    seed: int = SEED,
    rule: Rule = OVER_SPLITS,
    missing: str = "rows",
    refit: bool = False,
    progress: Callable | None = None,
) -> Null:
    """Score permutations of problems of the same layers, with their targets side by side.

    Ridge regression chooses the layers of a permutation on at most 128 evenly spaced targets of a problem; with a layer
    per target, the others take the choice of the nearest of these. A nested choice among more than 8,192 training rows
    is made at random: it is independent of the test rows in a permutation.

    Parameters
    ----------
    problems : sequence of functions
        Each returns a Problem with `stimulus` and `shifted`.
    decoder : Decoder
        Template of the fits.
    metric : str
        A name of `evaluate.metrics.METRICS`, of a metric of predictions.
    n : int
        Number of permutations.
    seed : int, default 0
        Seed of the permutations.
    rule : Rule, optional
        Rule of the choice of layers, and the headline whose null distribution is wanted.
    missing : {"rows", "units"}, default "rows"
        Treatment of rows that are not finite, see `evaluate.cross_validate`.
    refit : bool, default False
        Fit every permutation anew, also with ridge regression: the penalty is then chosen on the permuted rows, and the
        layers on all targets.
    progress : function, optional
        Called with (done, total, text).

    Returns
    -------
    Null
        Of at most n permutations, see `orders`.

    Raises
    ------
    BadInput
        If no stimulus can be permuted.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X, rows = rng.standard_normal((40, 3)).astype(np.float32), np.arange(40)
    >>> layers, splits = {"layer": lambda: X}, [Split(rows[:30], rows[30:35], rows[35:])]
    >>> problem = Problem(layers, X[:, :1], splits, stimulus=rows, shifted=np.zeros(40, bool))
    >>> null([lambda: problem], Ridge(), "pearson", 19).test.shape
    (19, 1)
    """
    made, columns, scored = [], [], METRICS[metric]
    rule = replace(rule, direction=scored.direction)
    for i, make in enumerate(problems):
        problem, start = make(), sum(map(len, columns))
        for pattern in patterns(problem.targets, by_target=missing == "units"):
            made.append((_finite(problem, pattern), seed_from(seed, i)))
            columns.append(start + pattern.columns)
        undefined = np.setdiff1d(np.arange(problem.targets.shape[1]), np.concatenate(columns) - start)
        columns[-1] = np.concatenate([columns[-1], start + undefined])
    permuted = [orders(problem, n, of_problem) for problem, of_problem in made]
    n = min(len(order) for order in permuted)
    cases = [
        _PermutedProblem.of(problem, order[:n], decoder, rule)
        for (problem, _), order in zip(made, permuted, strict=True)
    ]
    if not refit and scored.linear_null and all(isinstance(case.session, RidgeSession) for case in cases):
        found = _linear(cases, n, scored.statistic, rule, missing, seed, progress)
    else:
        found = _refitted(cases, n, decoder, metric, rule, missing, progress)
    order = np.concatenate([part[: case.n_targets] for part, case in zip(columns, cases, strict=True)])
    test = np.full((n, sum(map(len, columns))), np.nan, dtype=np.float32)
    test[:, order] = found
    return Null(test)


def _finite(problem: Problem, pattern: Pattern) -> Problem:
    """Return the problem of the targets of a pattern, without the rows that these lack."""
    if pattern.rows.all() and len(pattern.columns) == problem.targets.shape[1]:
        return problem
    keep = np.flatnonzero(pattern.rows)
    place = np.cumsum(pattern.rows) - 1

    def renumbered(split: Split) -> Split:
        kept = split.restricted(pattern.rows)
        return Split(place[kept.train], place[kept.valid], place[kept.test])

    return replace(
        problem,
        layers={name: lambda load=load: load()[keep] for name, load in problem.layers.items()},
        targets=pattern.targets[keep],
        splits=[renumbered(split) for split in problem.splits],
        weights=None if problem.weights is None else problem.weights[keep],
        left_out=restricted(problem.left_out, keep, len(pattern.rows)),
        stimulus=problem.stimulus[keep],
        shifted=problem.shifted[keep],
    )


@dataclass(frozen=True)
class _PermutedProblem:
    """A problem, its permutations (n, n_rows) and the decoder's session on the true targets, None without one.

    inside: layers are chosen by the training rows, predicted without their block.
    """

    problem: Problem
    orders: np.ndarray
    session: object
    inside: bool

    @classmethod
    def of(cls, problem: Problem, permuted: np.ndarray, decoder: Decoder, rule: Rule) -> "_PermutedProblem":
        """Return a problem with its permutations and session."""
        inside = rule.nested and max(len(split.train) for split in problem.splits) <= MOST_ROWS
        session = None
        if getattr(decoder, "leaves_out", False):
            session = decoder.session(problem.targets, problem.weights, problem.splits, problem.left_out, inside)
        return cls(problem, permuted, session, inside)

    @property
    def n_targets(self) -> int:
        """Number of targets."""
        return self.problem.targets.shape[1]

    @property
    def sample(self) -> np.ndarray:
        """Targets that choose the layers."""
        return np.unique(np.linspace(0, self.n_targets - 1, min(SAMPLE, self.n_targets)).astype(int))


def _refitted(
    cases: Sequence[_PermutedProblem], n: int, decoder: Decoder, metric: str, rule: Rule, missing: str, progress
) -> np.ndarray:
    """Cross-validate every permutation anew: (n, n_targets of all problems)."""
    test = np.empty((n, sum(case.n_targets for case in cases)), dtype=np.float32)
    for i in range(n):
        results: list[Result] = []
        for case in cases:
            permuted = replace(case.problem, targets=case.problem.targets[case.orders[i]], blocks=None)
            results.append(cross_validate_problem(permuted, decoder, metric, rule=rule, missing=missing))
        valid, of_test = (_padded([getattr(result, part) for result in results], 1) for part in ("valid", "test"))
        test[i] = nan_mean(rule.test({"valid": valid, "test": of_test}), axis=1)
        if progress:
            progress(i + 1, n, "permutations")
    return test


def _padded(parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Join scores (..., n_splits) along an axis, with NaN in the splits that some lack."""
    n_splits = max(part.shape[-1] for part in parts)
    widths = [[(0, 0)] * (part.ndim - 1) + [(0, n_splits - part.shape[-1])] for part in parts]
    return np.concatenate(
        [np.pad(part, width, constant_values=np.nan) for part, width in zip(parts, widths, strict=True)], axis=axis
    )


def _linear(
    cases: Sequence[_PermutedProblem],
    n: int,
    of_metric: Moments,
    rule: Rule,
    missing: str,
    seed: int,
    progress: Callable | None,
) -> np.ndarray:
    """Score all permutations of a layer and split at once, for ridge regression: (n, n_targets of all problems)."""
    names = list(cases[0].problem.layers)
    steps = _Steps(progress, len(names) * len(cases) * (2 if len(names) > 1 else 1))
    chosen = _chosen(cases, n, names, of_metric, rule, missing, seed, steps)
    found = []
    for case, of_case in zip(cases, chosen, strict=True):
        total = np.zeros((n, case.n_targets), dtype=np.float32)
        defined = np.zeros((n, case.n_targets), dtype=np.int16)
        for i, name in enumerate(names):
            _add_test(case, name, of_metric, of_case == i, missing, total, defined)
            steps.step()
        found.append(np.where(defined > 0, total / np.maximum(defined, 1), np.nan))
    return np.hstack(found)


def _chosen(
    cases: Sequence[_PermutedProblem],
    n: int,
    names: Sequence[str],
    of_metric: Moments,
    rule: Rule,
    missing: str,
    seed: int,
    steps: "_Steps",
) -> list[np.ndarray]:
    """Return the layers that permutations choose, of each problem: (n, n_sampled targets or 1, n_splits)."""
    per_target, n_splits = rule.headline == PER_TARGET, [len(case.problem.splits) for case in cases]
    if len(names) == 1:
        return [np.zeros((n, 1, k), dtype=int) for k in n_splits]
    if rule.nested and not all(case.inside or _has_valid(case) for case in cases):
        rng = np.random.default_rng(seed_from("layers", seed))
        return [rng.integers(len(names), size=(n, 1, k)) for k in n_splits]
    valid = []
    for name in names:
        valid.append(_padded([_validation(case, name, of_metric, missing) for case in cases], 1))
        steps.step(len(cases))
    layers = rule.criterion(np.stack(valid), per_target).argmax(axis=0)
    layers = np.broadcast_to(layers, (*layers.shape[:2], max(n_splits)))
    edges = np.cumsum([0] + [len(case.sample) if per_target else 0 for case in cases])
    return [
        layers[:, a:b, :k] if per_target else layers[..., :k]
        for a, b, k in zip(edges[:-1], edges[1:], n_splits, strict=True)
    ]


def _has_valid(case: _PermutedProblem) -> bool:
    """Return whether a problem's splits have validation rows."""
    return all(len(split.valid) for split in case.problem.splits)


class _Steps:
    """Count of finished steps, whose progress is reported."""

    def __init__(self, progress: Callable | None, total: int):
        self.progress, self.total, self.done = progress, total, 0

    def step(self, n: int = 1) -> None:
        """Report `n` more steps."""
        self.done += n
        if self.progress:
            self.progress(self.done, self.total, "permutations")


def _validation(case: _PermutedProblem, name: str, of_metric: Moments, missing: str) -> np.ndarray:
    """Return the scores of all permutations that choose layers: (n, n_sampled targets, n_splits)."""
    shape = (len(case.orders), len(case.sample), len(case.problem.splits))
    found = np.full(shape, np.nan, dtype=np.float32)
    for k, split, fitted in _fits(case, name, missing):
        if case.inside:
            smoothers = [(columns, inside) for columns, _, inside in fitted]
            rows = split.train
        else:
            smoothers = [(columns, held[: len(split.valid)]) for columns, held, _ in fitted]
            rows = split.valid
        found[:, :, k] = _permuted(case, of_metric, smoothers, split.train, rows, case.orders, case.sample)
    return found


def _add_test(
    case: _PermutedProblem,
    name: str,
    of_metric: Moments,
    chosen: np.ndarray,
    missing: str,
    total: np.ndarray,
    defined: np.ndarray,
) -> None:
    """Add the test scores of a layer to `total`, and their number to `defined`, where permutations choose the layer.

    chosen: bool (n, n_sampled targets or 1, n_splits); total, defined: (n, n_targets).
    """
    everywhere, sample = np.arange(case.n_targets), case.sample
    blocks = [everywhere]
    if chosen.shape[1] > 1:
        nearest = np.abs(everywhere[:, None] - sample).argmin(axis=1)
        blocks = [np.flatnonzero(nearest == j) for j in range(len(sample))]
    for k, split, fitted in _fits(case, name, missing, chosen.any(axis=(0, 1))):
        smoothers = [(columns, held[len(split.valid) :]) for columns, held, _ in fitted]
        for j, targets in enumerate(blocks):
            permutations = np.flatnonzero(chosen[:, j, k])
            if len(permutations):
                orders = case.orders[permutations]
                r = _permuted(case, of_metric, smoothers, split.train, split.test, orders, targets)
                known, place = np.isfinite(r), np.ix_(permutations, targets)
                total[place] += np.where(known, r, 0)
                defined[place] += known


def _fits(
    case: _PermutedProblem, name: str, missing: str, wanted: np.ndarray | None = None
) -> Iterator[tuple[int, Split, list]]:
    """Yield the index of each wanted split, the split, and its `RidgeSession.smoothers`.

    Rows whose features are not finite are left out or, if units lack different rows, the layer is.
    """
    if wanted is not None and not wanted.any():
        return
    X = np.array(case.problem.layers[name](), dtype=np.float32)
    usable = finite_rows(X)
    if missing == "units" and not usable.all():
        return
    features = case.session.load(X)
    for k, split in enumerate(case.problem.splits):
        if wanted is None or wanted[k]:
            kept = split.restricted(usable)
            if len(kept.train) > 1:
                yield k, kept, list(case.session.smoothers(features, kept))


def _permuted(
    case: _PermutedProblem,
    of_metric: Moments,
    smoothers: Sequence[tuple[torch.Tensor, torch.Tensor]],
    train: np.ndarray,
    rows: np.ndarray,
    rows_of: np.ndarray,
    targets: np.ndarray,
) -> np.ndarray:
    """Return the scores of the predictions of some rows, for each permutation and target: (n, n_targets).

    smoothers: (columns, weights (n_rows, n_train)) of the predictions; rows_of: permutations (n, rows of the problem).
    """
    device = case.session.device
    wanted = torch.as_tensor(targets, device=device)
    found = np.full((len(rows_of), len(targets)), np.nan, dtype=np.float32)
    if len(rows) < 2:
        return found
    share = case.session.weights[torch.as_tensor(rows, device=device)].float()
    share /= share.sum()
    of_train = case.session.weights[torch.as_tensor(train, device=device)].float()
    place = torch.full((case.n_targets,), -1, dtype=torch.long, device=device)
    place[wanted] = torch.arange(len(wanted), device=device)
    for columns, weights in smoothers:
        columns = columns[place[columns] >= 0]
        if not len(columns):
            continue
        weights = weights.float()
        # predictions centred on the rows; their mean is needed by few metrics
        mean = share @ weights
        weights = weights - mean
        # weights of held-out rows sum to 0, without the training mean, those of training rows to 1
        mean = mean + (1 - mean.sum()) * of_train / of_train.sum() if of_metric.means else None
        Y = case.session.targets.values[:, columns].float()
        r = _scores(of_metric, weights, mean, share, rows, train, rows_of, Y)
        found[:, place[columns].cpu().numpy()] = r
    return found


def _scores(
    of_metric: Moments, weights, mean: torch.Tensor | None, share, held, train, rows_of: np.ndarray, Y: torch.Tensor
) -> np.ndarray:
    """Return the scores (n, n_targets) of permuted targets and their predictions.

    weights: (n_held, n_train), of mean 0 over the held-out rows; mean: (n_train,) weights of the mean prediction, None
    for a metric without means; share: (n_held,); rows_of: (n, n_rows); Y: (n_rows, n_targets).
    """
    n_held, n_rows, n_targets = len(held), len(Y), Y.shape[1]
    few = n_targets <= n_held
    width = min(n_targets, 1024 if Y.device.type == "cpu" else 4096)
    step = max(1, BATCH_BYTES // (4 * (n_rows * n_targets if few else n_held * max(n_rows, width))))
    squares, found = Y * Y, np.empty((len(rows_of), n_targets), dtype=np.float32)
    for start in range(0, len(rows_of), step):
        batch = torch.as_tensor(rows_of[start : start + step], device=Y.device)
        n = len(batch)
        shares = weights.new_zeros(n, n_rows).scatter_(1, batch[:, held], share.expand(n, n_held))
        mean_y = shares @ Y
        of_y = shares @ squares - mean_y**2
        mean_x = None
        if mean is not None:
            mean_x = weights.new_zeros(n, n_rows).scatter_(1, batch[:, train], mean.expand(n, len(train))) @ Y
        # few targets are permuted themselves; for many targets, the weights are permuted instead
        permuted = Y[batch[:, train]] if few else _permuted_weights(weights, batch, train, n_rows)
        for first in range(0, n_targets, width):
            columns = slice(first, first + width)
            x = weights @ permuted if few else (permuted @ Y[:, columns]).view(n, n_held, -1)
            y = Y[:, columns][batch[:, held]].mul_(x)
            of_mean_x = None if mean_x is None else mean_x[:, columns]
            cov, of_x = _over(share, y), _over(share, x.square_())
            # the score may overwrite its arguments
            r = of_metric.score(of_mean_x, mean_y[:, columns], of_x, of_y[:, columns].clone(), cov)
            found[start : start + step, columns] = r.cpu().numpy()
    found = found if of_metric.means else np.clip(found, -1, 1, where=np.isfinite(found), out=found)
    return np.where(np.isfinite(found), found, np.nan)


def _permuted_weights(weights: torch.Tensor, batch: torch.Tensor, train: np.ndarray, n_rows: int) -> torch.Tensor:
    """Return each permutation's weights of the rows that its training targets come from: (n * n_held, n_rows)."""
    shape = (len(batch), *weights.shape)
    spread = weights.new_zeros(*shape[:2], n_rows)
    spread.scatter_(2, batch[:, None, train].expand(shape), weights.expand(shape))
    return spread.view(-1, n_rows)


def _over(share: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return weighted sums over the held-out rows: (n, n_held, n_targets) -> (n, n_targets)."""
    return torch.einsum("h,pht->pt", share, values)
