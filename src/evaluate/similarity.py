"""Similarity of a model with responses, per region: of each layer's activations, or of an encoding model's predictions.

As in an encoding model, the layer of a region is chosen in each split by rows other than its test rows: by the training
rows or, where the design has them, the validation rows. The score is that of the test rows. At most 300 evenly spaced
test rows, and 150 others, are compared.

Intervals come from influences (the jackknife; Efron 1992, Journal of the Royal Statistical Society B 54:83): a
bootstrap sample changes the score by the influence of each block times its number of copies less 1. A permutation moves
the responses of the test rows alone, of which the chosen layer and the fits are independent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np

from ..ceiling import Recording, half_length, row_halves, spearman_brown
from ..records import Evaluation
from ..utils import array_digest, digest, nan_mean, nan_median, seed_from
from .bootstrap_statistics import Resampling, identity, widening
from .cross_validate import Problem, Result, cross_validate_metrics
from .layer_choice import PER_TARGET, Rule
from .metrics import METRICS, SimilarityMetric
from .metrics.similarity import Pairs
from .nulls import shift_range
from .other_people import mean_over_splits, sums
from .subjects import People, SubjectScores

MOST_ROWS = 300  # of the test part of a split that are compared
MOST_VALID_ROWS = 150  # that choose the layer
MOST_BLOCKS = 20  # of a test part whose influence is computed; more are joined
LEAST_ROWS = 5
N_HALVINGS = 10
EVERYWHERE = "all units"
PROJECTED = 5000  # features of a layer that was projected, see `extraction.projection`


@dataclass(frozen=True)
class _Part:
    """Rows of a part of a split, the pairs of them that are compared, and their blocks (n_blocks, n_rows)."""

    rows: np.ndarray
    pairs: Pairs
    member: np.ndarray


@dataclass(frozen=True)
class InfluenceStatistics:
    """Scores (n_targets,) and the influences of the blocks on them (n_targets, n_blocks)."""

    scores: np.ndarray
    influence: np.ndarray

    def replicates(self, counts: np.ndarray) -> np.ndarray:
        """Return the scores of bootstrap samples, counts (n_samples, n_blocks): (n_samples, n_targets)."""
        return (self.scores + (np.asarray(counts, dtype=np.float64) - 1) @ self.influence.T).astype(np.float32)


def scorer(
    made: Problem,
    metrics: Sequence[str],
    regions: Mapping[str, np.ndarray],
    rule: Rule,
    *,
    recordings: Sequence[Recording] | None = None,
    permutations: int = 0,
    seed: int = 0,
) -> "Scorer | None":
    """Return a scorer by those of the metrics that are similarities, None without one.

    regions: {name: columns of the targets}, empty for one region of all units; recordings: the repetitions behind the
    rows, for a ceiling.
    """
    chosen = [METRICS[name] for name in metrics if isinstance(METRICS[name], SimilarityMetric)]
    return Scorer(made, chosen, regions, rule, recordings, permutations, seed) if chosen else None


def fitted(
    compared: "Scorer | None", made: Problem, decoder, metrics: Sequence[str], *, progress=None, **options
) -> dict[str, Result]:
    """Return the results by the metrics of predictions, and hand activations and predictions to a scorer.

    options: of `cross_validate_metrics`.
    """
    of_predictions = [name for name in metrics if not isinstance(METRICS[name], SimilarityMetric)]
    results: dict[str, Result] = {}
    watch = compared.watch if compared is not None and compared.of_predictions else None
    if of_predictions or watch:
        results = cross_validate_metrics(made, decoder, of_predictions, watch=watch, progress=progress, **options)
    if compared is not None:
        compared.finish(progress)
    return results


class Scorer:
    """Similarities of each layer with each region, filled layer by layer."""

    def __init__(
        self,
        made: Problem,
        metrics: Sequence[SimilarityMetric],
        regions: Mapping[str, np.ndarray],
        rule: Rule,
        recordings: Sequence[Recording] | None,
        permutations: int,
        seed: int,
    ):
        self.made, self.regions = made, dict(regions) or {EVERYWHERE: np.arange(made.targets.shape[1])}
        self.recordings, self.permutations, self.seed = recordings, permutations, seed
        self._blocks = _joined_blocks(made)
        self.tests = [self._part(split.test, MOST_ROWS) for split in made.splits]
        self.valids = [self._part(split.valid if len(split.valid) else split.train) for split in made.splits]
        self.tallies = [_Tally(metric, self, rule) for metric in metrics]
        self._buffer: dict[tuple[int, str], np.ndarray] = {}
        self._rows: dict[int, _Part] = {}
        self._layer, self._lock = -1, Lock()

    @property
    def of_predictions(self) -> list["_Tally"]:
        """Tallies of the metrics that compare predictions."""
        return [tally for tally in self.tallies if tally.metric.fitted]

    @property
    def n_blocks(self) -> int:
        """Number of blocks of all rows."""
        return int(self._blocks.max()) + 1

    def _part(self, rows: np.ndarray, most: int = MOST_VALID_ROWS) -> _Part:
        rows = np.sort(np.asarray(rows))
        rows = rows[np.unique(np.linspace(0, max(0, len(rows) - 1), min(most, len(rows))).astype(int))]
        stimulus = self.made.stimulus[rows]
        near = stimulus[:, None] == stimulus[None]
        if self.made.time_ms is not None:
            time_ms = self.made.time_ms[rows]
            near &= np.abs(time_ms[:, None] - time_ms[None]) < self.made.gap_ms
        np.fill_diagonal(near, True)
        return _Part(rows, Pairs(~near), (self._blocks[rows] == np.unique(self._blocks[rows])[:, None]).astype(float))

    def blocks_of(self, k: int) -> np.ndarray:
        """Return the blocks of the test rows of a split."""
        return np.unique(self._blocks[self.tests[k].rows])

    def side(self, metric: SimilarityMetric, values: np.ndarray, part: _Part):
        """Return the measure of the units that all rows have, None for too few rows or units."""
        values = values[:, np.isfinite(values).all(axis=0)]
        if len(part.rows) < LEAST_ROWS or values.shape[1] < metric.least_units:
            return None
        return metric.measure(values, part.pairs)

    def watch(self, layer: int, split: int, columns: np.ndarray, inside: tuple, test: tuple) -> None:
        """Take the predictions of some targets: (rows, predictions) of the validation and of the test part."""
        with self._lock:
            if layer != self._layer:
                self._end_predictions()
                self._layer = layer
            if split not in self._rows:
                self._rows[split] = self._part(inside[0])
            for name, part, (rows, values) in (("valid", self._rows[split], inside), ("test", self.tests[split], test)):
                if (split, name) not in self._buffer:
                    shape = (len(part.rows), self.made.targets.shape[1])
                    self._buffer[split, name] = np.full(shape, np.nan, dtype=np.float32)
                order = np.argsort(rows)
                known = np.isin(part.rows, rows)
                place = order[np.searchsorted(rows, part.rows[known], sorter=order)]
                predicted = values[place]
                predicted = predicted.cpu().numpy() if hasattr(predicted, "cpu") else predicted
                self._buffer[split, name][np.ix_(known, columns)] = predicted

    def _end_predictions(self) -> None:
        """Score the predictions of the layer that has ended."""
        if self._layer < 0:
            return
        for tally in self.of_predictions:
            for k in range(len(self.made.splits)):
                if (k, "test") not in self._buffer:
                    continue
                valid, test = self._rows[k], self.tests[k]
                for r, columns in enumerate(self.regions.values()):
                    sides = (
                        self.side(tally.metric, self._buffer[k, name][:, columns], part)
                        for name, part in (("valid", valid), ("test", test))
                    )
                    tally.add(self._layer, r, k, *sides, valid)
            tally.end_layer(self._layer)
        self._buffer.clear()

    def finish(self, progress: Callable | None) -> None:
        """Score the predictions that are left, and the activations of all layers."""
        self._end_predictions()
        tallies = [tally for tally in self.tallies if not tally.metric.fitted]
        for i, (name, load) in enumerate(self.made.layers.items() if tallies else ()):
            X = load()
            self.projected(name, X)
            for k, (valid, test) in enumerate(zip(self.valids, self.tests, strict=True)):
                features = [np.array(X[part.rows], dtype=np.float32) for part in (valid, test)]
                for tally in tallies:
                    sides = [self.side(tally.metric, x, p) for x, p in zip(features, (valid, test), strict=True)]
                    for r in range(len(self.regions)):
                        tally.add(i, r, k, *sides, valid)
            for tally in tallies:
                tally.end_layer(i)
            if progress:
                progress(i + 1, len(self.made.layers), f"similarity of {name}")

    def projected(self, name: str, X: np.ndarray) -> None:
        """Note a layer whose features are projections."""
        for tally in self.tallies:
            if X.shape[1] == PROJECTED and not tally.metric.fitted:
                tally.projected.append(name)

    def evaluations(
        self,
        notes: Mapping[str, object],
        resample: bool,
        people: People | None = None,
        subject_arrays: Callable[[SubjectScores], dict] | None = None,
    ) -> dict[str, Evaluation]:
        """Return the evaluation by each metric, with single subjects where there are several."""
        return {tally.metric.name: tally.evaluation(notes, resample, people, subject_arrays) for tally in self.tallies}


class _Tally:
    """Scores by one metric: valid, test (n_layers, n_regions, n_splits), and what inference needs of chosen layers."""

    def __init__(self, metric: SimilarityMetric, owner: Scorer, rule: Rule):
        self.metric, self.owner, self.rule = metric, owner, replace(rule, direction=metric.direction)
        shape = (len(owner.made.layers), len(owner.regions), len(owner.made.splits))
        self.valid, self.test = np.full(shape, np.nan), np.full(shape, np.nan)
        self.influence = np.zeros((*shape, owner.n_blocks), dtype=np.float32)
        self.projected: list[str] = []
        self._responses: dict[tuple, object] = {}
        self._sides: dict[tuple[int, int], object] = {}
        self._chosen: dict[tuple[int, int], object] = {}
        self._best = np.full((len(owner.regions), len(owner.made.splits)), -np.inf)

    def responses(self, r: int, k: int, part: _Part, name: str):
        """Return the measure of the responses of a region in a part of a split."""
        if (r, k, name) not in self._responses:
            columns = list(self.owner.regions.values())[r]
            values = self.owner.made.targets[np.ix_(part.rows, columns)]
            self._responses[r, k, name] = _compact(self.owner.side(self.metric, values, part))
        return self._responses[r, k, name]

    def add(self, i: int, r: int, k: int, valid_side, test_side, valid: _Part) -> None:
        """Add the scores of a layer, region and split."""
        test = self.owner.tests[k]
        truth = self.responses(r, k, test, "test")
        if test_side is not None and truth is not None:
            found = self.metric.compare(test_side, truth, test.member)
            self.test[i, r, k] = found.score
            self.influence[i, r, k, self.owner.blocks_of(k)] = found.influence
            self._sides[r, k] = test_side
        truth = self.responses(r, k, valid, "valid")
        if valid_side is not None and truth is not None:
            self.valid[i, r, k] = self.metric.compare(valid_side, truth).score

    def end_layer(self, i: int) -> None:
        """Keep the measures of the test rows of a layer where it is the best so far for a region."""
        criterion = self.rule.criterion(self.valid[i], self.rule.headline == PER_TARGET)
        better = np.broadcast_to(criterion, self._best.shape) > self._best
        for (r, k), side in self._sides.items():
            if better[r, k]:
                self._chosen[r, k] = side
        self._best = np.where(better, criterion, self._best)
        self._sides = {}

    def evaluation(self, notes, resample: bool, people, subject_arrays) -> Evaluation:
        """Return the scores with ceiling, statistics of a bootstrap, permutations and single subjects."""
        owner, regions = self.owner, self.owner.regions
        extra = {} if people is None else subject_arrays(self._subjects(people))
        extra |= {} if people is None or owner.recordings is None else self._subject_ceilings(people)
        notes = {**notes, "rows compared": int(np.mean([len(part.rows) for part in owner.tests]))}
        if self.projected and self.metric.permuted.__name__ == "permuted_units":
            notes["layers whose features are projections, not units"] = len(self.projected)
        return Evaluation(
            tuple(owner.made.layers),
            {"target_id": list(regions), "units": [len(columns) for columns in regions.values()]},
            self.valid,
            self.test,
            self.metric.name,
            ceiling=None if owner.recordings is None else self._ceiling(),
            notes=notes,
            resampling=self._resampling() if resample else None,
            extra=extra,
            permuted=self._permuted() if owner.permutations else None,
        )

    def _statistics(self, per_target: bool) -> InfluenceStatistics:
        layers = self.rule.layers(self.valid, per_target)
        test = np.take_along_axis(self.test, layers[None], axis=0)[0]
        influence = np.take_along_axis(self.influence, layers[None, ..., None], axis=0)[0]
        return InfluenceStatistics(*_total(test, influence, self._shares()))

    def _shares(self) -> np.ndarray:
        """Return the share of each block in the test rows of each split: (n_splits, n_blocks)."""
        shares = np.zeros((len(self.owner.tests), self.owner.n_blocks))
        for k, part in enumerate(self.owner.tests):
            shares[k, self.owner.blocks_of(k)] = part.member.mean(axis=1)
        return shares

    def _resampling(self) -> Resampling:
        made = self.owner.made
        weights = np.ones(len(made.targets)) if made.weights is None else made.weights
        return Resampling(
            made.block_name,
            np.zeros(self.owner.n_blocks, dtype=int),
            widening(made.splits, weights) if self.metric.fitted else 1.0,
            digest([identity(made.blocks, made.splits), array_digest(self.owner._blocks)]),
            self._statistics(False),
            self._statistics(True) if self.rule.headline == PER_TARGET else None,
            block_run=made.block_run,
        )

    def _permuted(self) -> np.ndarray:
        """Return the split-mean scores of permutations of the test rows: (n, n_regions)."""
        owner, n = self.owner, self.owner.permutations
        found = np.full((n, *self.test.shape[1:]), np.nan)
        for k, part in enumerate(owner.tests):
            rng = np.random.default_rng(seed_from("similarity", owner.seed, k))
            orders = [_order(owner.made.stimulus[part.rows], owner.made.shifted[part.rows], rng) for _ in range(n)]
            for r in range(len(owner.regions)):
                side, truth = self._chosen.get((r, k)), self.responses(r, k, part, "test")
                if side is not None and truth is not None:
                    for p, order in enumerate(orders):
                        found[p, r, k] = self.metric.compare(side, self.metric.permuted(truth, order)).score
        return nan_mean(found, axis=2).astype(np.float32)

    def _subjects(self, people: People) -> SubjectScores:
        """Return the scores of single subjects with the layers chosen for their mean."""
        owner = self.owner
        test = np.full((len(people), *self.test.shape[1:]), np.nan)
        influence = np.zeros((*test.shape, owner.n_blocks))
        for s in range(len(people)):
            for r, columns in enumerate(owner.regions.values()):
                values = people.targets(s, columns)
                for k, part in enumerate(owner.tests):
                    side, truth = self._chosen.get((r, k)), owner.side(self.metric, values[part.rows], part)
                    if side is not None and truth is not None:
                        compared = self.metric.compare(side, truth, part.member)
                        test[s, r, k] = compared.score
                        influence[s, r, k, owner.blocks_of(k)] = compared.influence
        pseudo = []
        for of_subject, of_blocks in zip(test, influence, strict=True):
            _, total = _total(of_subject, of_blocks, self._shares())
            score = float(nan_mean(nan_median(of_subject, axis=0)))
            # the median over regions is taken to move as their mean
            pseudo.append(score + owner.n_blocks * total.mean(axis=0))
        return SubjectScores(test.astype(np.float32), np.stack(pseudo))

    def _subject_ceilings(self, people: People) -> dict[str, np.ndarray]:
        """Return the similarity of each subject with the mean of the others, as arrays to store.

        subject_ceiling, subject_ceiling_error: (n_subjects, n_regions), mean over splits and its standard error;
        subject_ceiling_kind: (n_subjects,).
        """
        owner = self.owner
        found = np.full((len(people), *self.test.shape[1:]), np.nan)
        for r, columns in enumerate(owner.regions.values()):
            total, count = sums(people, range(len(people)), columns)
            for s in range(len(people)):
                values = people.targets(s, columns)
                recorded = np.isfinite(values)
                n_others = count - recorded
                others = (total - np.where(recorded, values, 0)) / np.where(n_others > 0, n_others, np.nan)
                for k, part in enumerate(owner.tests):
                    sides = [owner.side(self.metric, side[part.rows], part) for side in (others, values)]
                    if all(side is not None for side in sides):
                        found[s, r, k] = self.metric.compare(*sides).score
        r, error = mean_over_splits(found)
        kind = np.full(len(people), "inter-subject")
        return {"subject_ceiling": r, "subject_ceiling_error": error, "subject_ceiling_kind": kind}

    def _ceiling(self) -> np.ndarray:
        """Return the score of a perfect model, from the agreement of halves of the repetitions: (n_regions,)."""
        owner = self.owner
        return np.array([self._ceiling_of(r, columns) for r, columns in enumerate(owner.regions.values())])

    def _ceiling_of(self, r: int, columns: np.ndarray) -> float:
        owner, n_blocks = self.owner, self.owner.n_blocks
        halves = row_halves(owner.recordings, columns, n_halvings=N_HALVINGS, seed=owner.seed)
        agreed, products, squares = [], [], []
        for k, part in enumerate(owner.tests):
            whole, of_split = self.responses(r, k, part, "test"), []
            for h in range(halves.shape[2]):
                sides = [owner.side(self.metric, halves[part.rows, half, h], part) for half in (0, 1)]
                if whole is None or any(side is None for side in sides):
                    continue
                agreed.append(self.metric.compare(*sides).score)
                if not self.metric.corrected:
                    of_split.append((sides[0][0] * sides[1][1]).sum())
            if of_split:
                products.append(np.mean(of_split))
                squares.append((whole[0] * whole[1]).sum())
        if self.metric.corrected:
            reliability = spearman_brown(nan_mean(np.array(agreed or [np.nan])), half_length(owner.recordings))
        else:
            reliability = sum(products) / sum(squares) if squares and sum(squares) > 0 else np.nan
        return float(np.sqrt(reliability)) if n_blocks and reliability > 0 else float("nan")


def _compact(side):
    """Return a measure as float32, since those of all regions and splits are kept; one array there twice stays one."""
    if side is None:
        return None
    first = side[0].astype(np.float32)
    return first, first if side[1] is side[0] else side[1].astype(np.float32)


def _total(test: np.ndarray, influence: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the split-mean scores (n_targets,) and the influences of blocks on them (n_targets, n_blocks).

    test: (n_targets, n_splits); influence: within splits (n_targets, n_splits, n_blocks); shares: (n_splits, n_blocks).
    A block is in a split by chance: its share of the deviation of the split's score from the mean is added.
    """
    scores, known = nan_mean(test, axis=1), np.isfinite(test)
    deviation = np.where(known, test - scores[:, None], 0.0)
    within = (influence * known[..., None]).sum(axis=1)
    return scores, (within + deviation @ shares) / np.maximum(known.sum(axis=1), 1)[:, None]


def _joined_blocks(made: Problem) -> np.ndarray:
    """Return the block of each row; where each block is tested once, at most 20 of a test part, others joined."""
    blocks = np.arange(len(made.targets)) if made.blocks is None else np.unique(made.blocks, return_inverse=True)[1]
    tested = np.concatenate([np.unique(blocks[split.test]) for split in made.splits])
    if len(np.unique(tested)) < len(tested) or len(tested) <= MOST_BLOCKS * len(made.splits):
        return blocks
    joined, start = np.full(int(blocks.max()) + 1, -1), 0
    for split in made.splits:
        own = np.unique(blocks[split.test])
        n = min(MOST_BLOCKS, len(own))
        joined[own] = start + np.arange(len(own)) * n // max(1, len(own))
        start += n
    return np.where(joined[blocks] < 0, start, joined[blocks])


def _order(stimulus: np.ndarray, shifted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a permutation of rows: films shifted circularly, other stimuli shuffled among those of equal length."""
    order = np.arange(len(stimulus))
    sizes: dict[int, list[np.ndarray]] = {}
    for one in np.unique(stimulus):
        rows = np.flatnonzero(stimulus == one)
        if shifted[rows[0]]:
            span = shift_range(len(rows))
            order[rows] = np.roll(rows, rng.integers(span.start, span.stop))
        else:
            sizes.setdefault(len(rows), []).append(rows)
    for group in sizes.values():
        moved = rng.permutation(len(group))
        for rows, source in zip(group, moved, strict=True):
            order[rows] = group[source]
    return order
