"""Variance partitioning between feature sets: joint, unique and shared explained variance of held-out rows.

Unique: explained variance that is lost without a set; shared: joint explained variance minus all unique parts
(Lescroart, Stansbury and Gallant 2015, Frontiers in Computational Neuroscience 9:135). Every combination of sets is a
banded ridge regression of its own on the same splits. Its penalties, one per band and target, are those with the least
squared error on training rows that the fit leaves out, so that nothing is chosen by test rows. R^2 is 1 - squared error
/ squared deviation from the training mean, both summed over all test rows: a prediction by the mean alone scores 0.
Features that explain nothing cost a little, so that a unique part of 0 is estimated a little below it. Predictions are
limited to the range of the training rows: one stimulus far from all others cannot decide a squared error.

Intervals resample blocks (segments of film, stimuli) and are widened as those of scores are (`bootstrap`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from ..evaluate.bootstrap_statistics import identity, widening
from ..evaluate.cross_validate import Problem
from ..evaluate.decoders.banded import BandedRidge
from ..evaluate.decoders.base import Decoder, LeftOut, Split
from ..evaluate.finite import finite_rows, patterns
from ..utils import BadInput, nan_mean
from .bootstrap import LEVEL, sample_counts, tails
from .fdr import q_values

# times trace(K) / n of each band's kernel; the combinations of more bands multiply
ALPHAS = {1: np.logspace(-3, 3, 7), 2: np.logspace(-3, 3, 7), 3: np.logspace(-3, 3, 5)}
FEW_ALPHAS = np.logspace(-3, 3, 4)
BATCH = 512  # targets whose bootstrap samples are computed at a time
Sets = Mapping[str, Sequence[Sequence[str]]]
Make = Callable[[Sequence[int]], Decoder]


@dataclass(frozen=True)
class Partition:
    """Explained variance (R^2 over all test rows) of each target.

    Parameters
    ----------
    joint : array of shape (n_targets,)
        All sets together.
    alone, without, unique : mapping of str to array of shape (n_targets,)
        {set: R^2} of the set by itself, of all other sets, and joint - without.
    shared : array of shape (n_targets,)
        joint minus all unique parts. Below 0 for sets that suppress each other, or by chance.
    """

    joint: np.ndarray
    alone: Mapping[str, np.ndarray]
    without: Mapping[str, np.ndarray]
    unique: Mapping[str, np.ndarray]
    shared: np.ndarray

    @property
    def parts(self) -> np.ndarray:
        """Joint, unique of each set, and shared, in this order: (n_sets + 2, n_targets)."""
        return np.stack([self.joint, *self.unique.values(), self.shared])


@dataclass(frozen=True)
class Errors:
    """Squared errors of one problem by block.

    Parameters
    ----------
    sets : tuple of str
    squared : mapping of tuple to array of shape (n_blocks, n_targets)
        {names of the sets of a fit: sums over the test rows of each block}.
    total : array of shape (n_blocks, n_targets)
        Squared deviations from the training mean; 0 where a target has no test row.
    widening : float
        Factor on the spread for the variance of other training rows, see `bootstrap_statistics.widening`.
    identity : str
        Digest of blocks and splits.
    block_run : int, default 1
        Number of neighbouring blocks that a bootstrap samples together.
    """

    sets: tuple[str, ...]
    squared: Mapping[tuple[str, ...], np.ndarray]
    total: np.ndarray
    widening: float
    identity: str
    block_run: int = 1

    def partition(self, counts: np.ndarray | None = None, columns: slice = slice(None)) -> Partition:
        """Return the partition of some targets, or of bootstrap samples with these `counts` (n_samples, n_blocks)."""
        add = (lambda values: values.sum(axis=0)) if counts is None else (lambda values: counts @ values)
        total = add(self.total[:, columns])
        total = np.where(total > 0, total, np.nan)
        r2 = {subset: 1 - add(values[:, columns]) / total for subset, values in self.squared.items()}
        joint = r2[self.sets]
        without = {name: r2[_others(self.sets, name)] for name in self.sets}
        unique = {name: joint - r2 for name, r2 in without.items()}
        return Partition(
            joint, {name: r2[(name,)] for name in self.sets}, without, unique, joint - sum(unique.values())
        )


def partition(
    features: Mapping[str, np.ndarray],
    targets: np.ndarray,
    splits: Sequence[Split],
    *,
    weights: np.ndarray | None = None,
    left_out: Sequence[LeftOut] | None = None,
    decoder: Make | None = None,
) -> Partition:
    """Partition the variance of targets between feature sets.

    Parameters
    ----------
    features : mapping of str to array
        {set: array of shape (n_rows, n_features)}, two sets or more.
    targets : array of shape (n_rows, n_targets)
        Finite targets.
    splits : sequence of Split
        Training and test rows; validation rows are not used.
    weights : array of shape (n_rows,), optional
        Row weights.
    left_out : sequence of LeftOut, optional
        Blocks of rows that are left out together to choose the penalties; by default by the generalised error.
    decoder : function, optional
        From the sets' numbers of features to a decoder with sessions. By default banded ridge regression with a penalty
        per set and target.

    Returns
    -------
    Partition

    Raises
    ------
    BadInput
        For fewer than two sets.

    References
    ----------
    Lescroart, Stansbury and Gallant 2015, Frontiers in Computational Neuroscience 9:135.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.standard_normal((2, 100, 3))
    >>> rows = np.arange(100)
    >>> splits = [Split(rows[:70], rows[:0], rows[70:])]
    >>> found = partition({"a": a, "b": b}, a[:, :1] + 0.1 * b[:, :1], splits)
    >>> bool(found.unique["a"][0] > 0.9), bool(found.unique["b"][0] < 0.1)
    (True, True)
    """
    layers = {name: lambda values=values: np.asarray(values) for name, values in features.items()}
    problem = Problem(layers, np.asarray(targets), splits, weights, np.arange(len(targets)), left_out=left_out)
    return errors(problem, {name: [(name,)] for name in features}, make=decoder).partition()


def errors(
    problem: Problem,
    sets: Sets,
    *,
    missing: str = "rows",
    make: Make | None = None,
    device: str = "cpu",
    progress: Callable[[int, int, str], None] | None = None,
) -> Errors:
    """Return the squared errors of all combinations of sets that a partition needs.

    Parameters
    ----------
    problem : Problem
        With blocks.
    sets : mapping of str to sequence of sequences of str
        {set: its bands, each with the names of its layers}, two sets or more. A band has one penalty.
    missing : {"rows", "units"}, default "rows"
        Treatment of rows that are not finite, see `cross_validate`.
    make : function, optional
        From the bands' numbers of features to a decoder; see `partition`.
    device : str, default "cpu"
        Device of the fits.
    progress : function, optional
        Called with (done, total, text).

    Returns
    -------
    Errors

    Raises
    ------
    BadInput
        For fewer than two sets, and for features that are not finite where units are scored on their own rows.
    """
    names = tuple(sets)
    if len(names) < 2:
        raise BadInput(f"{len(names)} feature sets; expected at least two to partition the variance between")
    n_bands = sum(len(bands) for bands in sets.values())
    make = make or _banded(n_bands, "gcv" if problem.left_out is None else "block errors", device)
    load = cache(lambda layer: np.ascontiguousarray(problem.layers[layer]()))
    usable = np.ones(len(problem.targets), dtype=bool)
    for layer in {layer for bands in sets.values() for band in bands for layer in band}:
        usable &= finite_rows(load(layer))
    if missing == "units" and not usable.all():
        raise BadInput("a feature set has values that are not finite; expected finite ones to partition the variance")
    fits = _Fits(problem, usable, missing)
    subsets = list(dict.fromkeys([names, *[_others(names, name) for name in names], *[(name,) for name in names]]))
    squared = {}
    for done, subset in enumerate(subsets):
        bands = [np.hstack([load(layer) for layer in band]) for name in subset for band in sets[name]]
        squared[subset] = fits.squared(np.hstack(bands), make([band.shape[1] for band in bands]))
        if progress:
            progress(done + 1, len(subsets), " + ".join(subset))
    weights = fits.row_weights
    factor, rows = widening(problem.splits, weights), identity(problem.blocks, problem.splits)
    return Errors(names, squared, fits.total(), factor, rows, problem.block_run)


class _Fits:
    """Fits of one problem: targets by their pattern of rows, and sums over blocks."""

    def __init__(self, problem: Problem, usable: np.ndarray, missing: str):
        self.problem, self.usable = problem, usable
        self.patterns = patterns(np.asarray(problem.targets), by_target=missing == "units")
        self.row_weights = np.ones(len(usable)) if problem.weights is None else np.asarray(problem.weights, float)
        self.shape = int(np.max(problem.blocks)) + 1, problem.targets.shape[1]

    def squared(self, X: np.ndarray, decoder: Decoder) -> np.ndarray:
        """Return the squared errors of a decoder by block: (n_blocks, n_targets)."""
        found = np.zeros(self.shape)
        for pattern in self.patterns:
            splits = self._splits(pattern.rows)
            session = decoder.session(pattern.targets, self.problem.weights, splits, self.problem.left_out)
            features = session.load(X)
            for prediction in session.predict(features, splits):
                split = splits[prediction.split]
                truth = session.truth(split.test, prediction.columns)
                trained = session.truth(split.train, prediction.columns)
                predicted = prediction.values[len(split.valid) :].clamp(trained.amin(0), trained.amax(0))
                error = (truth - predicted).double().square().cpu().numpy()
                self._add(found, split.test, pattern.columns[prediction.columns], error)
        return found

    def total(self) -> np.ndarray:
        """Return the squared deviations from the training mean by block: (n_blocks, n_targets)."""
        found = np.zeros(self.shape)
        for pattern in self.patterns:
            for split in self._splits(pattern.rows):
                mean = np.average(pattern.targets[split.train], axis=0, weights=self.row_weights[split.train])
                self._add(found, split.test, pattern.columns, (pattern.targets[split.test] - mean) ** 2)
        return found

    def _splits(self, rows: np.ndarray) -> list[Split]:
        """Return the splits of a pattern's rows, without those of fewer than two training rows."""
        found = [split.restricted(rows & self.usable) for split in self.problem.splits]
        return [split for split in found if len(split.train) > 1]

    def _add(self, found: np.ndarray, rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> None:
        """Add values (n_rows, n_columns), times the row weights, to their blocks."""
        blocks, place = np.unique(np.asarray(self.problem.blocks)[rows], return_inverse=True)
        members = np.zeros((len(blocks), len(rows)))
        members[place, np.arange(len(rows))] = self.row_weights[rows]
        found[np.ix_(blocks, columns)] += members @ values


@dataclass(frozen=True)
class Explained:
    """Partition of all targets with intervals.

    Parameters
    ----------
    sets : tuple of str
    parts, low, high : arrays of shape (n_sets + 2, n_targets)
        Joint, unique of each set, and shared: values and ends of 95 % intervals.
    alone : array of shape (n_sets, n_targets)
        R^2 of each set by itself.
    q : array of shape (n_sets, n_targets)
        One-sided p of a unique part above 0, with the false discovery rate controlled over targets.
    areas : array of shape (n_areas, n_sets + 2, 3)
        Mean over the targets of each area, and the ends of its 95 % interval.
    """

    sets: tuple[str, ...]
    parts: np.ndarray
    low: np.ndarray
    high: np.ndarray
    alone: np.ndarray
    q: np.ndarray
    areas: np.ndarray


def explained(found: Sequence[Errors], areas: Iterable[np.ndarray], n_samples: int, seed: int) -> Explained:
    """Return the partition of the targets of all problems, side by side, with intervals over blocks.

    Parameters
    ----------
    found : sequence of Errors
        Of the same sets.
    areas : iterable of int arrays
        Targets of each area, e.g. of all and of each region. Their means count every unit of the area, none is
        selected.
    n_samples : int
        Number of bootstrap samples; 0: NaN in place of intervals and q.
    seed : int
        Seed of the samples.

    Returns
    -------
    Explained
    """
    sets = found[0].sets
    whole = [one.partition() for one in found]
    parts = np.concatenate([one.parts for one in whole], axis=1)
    alone = np.concatenate([np.stack([one.alone[name] for name in sets]) for one in whole], axis=1)
    areas = list(areas)
    # a target is in an area or not: rows of equal weights over its targets that have a value
    member = np.zeros((len(areas), parts.shape[1]))
    for row, columns in zip(member, areas, strict=True):
        known = columns[np.isfinite(parts[0, columns])]
        row[known] = 1 / max(1, len(known))
    of_areas = np.stack([nan_mean(parts[:, columns], axis=1) for columns in areas])
    low, high, p = np.full(parts.shape, np.nan), np.full(parts.shape, np.nan), np.full(alone.shape, np.nan)
    ends = np.full((*of_areas.shape, 2), np.nan)
    if n_samples:
        from scipy.stats import t

        edges = np.cumsum([0] + [one.total.shape[1] for one in found])
        draws = np.zeros((len(areas), len(parts), n_samples))
        for one, (start, stop) in zip(found, pairwise(edges), strict=True):
            strata = np.zeros(len(one.total), dtype=int)
            counts = sample_counts(strata, n_samples, seed, one.identity, one.block_run)
            stretch = tails(strata, n_samples, seed, one.identity)
            for first in range(0, stop - start, BATCH):
                columns = slice(first, min(first + BATCH, stop - start))
                here = slice(start + columns.start, start + columns.stop)
                samples = one.partition(counts, columns).parts
                centre = parts[:, here]
                deviation = np.nan_to_num(samples - nan_mean(samples, axis=1)[:, None])
                deviation *= _factor(centre[0], one.widening)
                spread = deviation[1:-1].std(axis=1)
                p[:, here] = t.sf(centre[1:-1] / np.where(spread > 0, spread, np.nan), max(1, len(strata) - 1))
                deviation *= stretch[:, None]
                low[:, here], high[:, here] = centre + np.percentile(deviation, _TAILS, axis=1)
                draws += np.einsum("at,qst->aqs", member[:, here], deviation)
        ends = of_areas[:, :, None] + np.moveaxis(np.percentile(draws, _TAILS, axis=2), 0, 2)
    q = np.stack([q_values(one) for one in p])
    return Explained(sets, parts, low, high, alone, q, np.concatenate([of_areas[:, :, None], ends], axis=2))


_TAILS = [(100 - LEVEL) / 2, (100 + LEVEL) / 2]


def _factor(r2: np.ndarray, widening: float) -> np.ndarray:
    """Return the factor on deviations for the variance of other training rows, see `bootstrap.training_factor`."""
    return np.sqrt(1 + (widening**2 - 1) * (1 - np.clip(np.nan_to_num(r2), 0, 1)))


def _others(names: Sequence[str], name: str) -> tuple[str, ...]:
    """Return all names but one."""
    return tuple(other for other in names if other != name)


def _banded(n_bands: int, penalty: str, device: str) -> Make:
    """Return a function from the bands' numbers of features to a banded ridge regression."""
    alphas = tuple(ALPHAS.get(n_bands, FEW_ALPHAS).tolist())
    return lambda sizes: BandedRidge(list(sizes), alphas=alphas, penalty=penalty, scaled=True, device=device)
