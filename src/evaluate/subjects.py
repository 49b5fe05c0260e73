"""Scores of single subjects, from the fits that score their mean.

The eigendecomposition of a split depends on features and training rows, not on targets. The weights of a ridge
regression are therefore made once per layer and split, while the mean subject is scored, and a subject costs one
product. Subjects are read one after the other, so that memory does not grow with their number.

A subject is predicted from the subject's own training rows. The layer of each unit is the one chosen for the mean
subject; one penalty per layer and split is chosen for all single subjects, whose noise is larger, by units sampled
evenly from all of them. Both choices use training rows alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch

from ..utils import nan_mean, nan_median
from .cross_validate import Problem
from .decoders.base import OtherFit
from .decoders.ridge import Ridge
from .decoders.ridge_solver import compact
from .decoders.tensors import matmul
from .finite import finite_rows
from .protocol import LEAST_TEST_ROWS

N_SAMPLED = 256  # units of all subjects by which their penalty is chosen
MAX_PATTERNS = 64  # of missing rows, each with fits of its own; units with rarer ones have no score
BATCH = 2048  # units that are scored at a time
CONSTANT = 1e-6  # a variance below this share of the mean square is rounding

Fits = Mapping[tuple[int, int], OtherFit]


@dataclass(frozen=True)
class People:
    """Subjects of a regression.

    Parameters
    ----------
    names : tuple of str, (n_subjects,)
    targets : function
        From the index of a subject and units (slice or int array) to targets (n_rows, n_units), NaN = not recorded.
    """

    names: tuple[str, ...]
    targets: Callable[[int, slice | np.ndarray], np.ndarray]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class SubjectScores:
    """Scores of the subjects of a regression.

    Parameters
    ----------
    test : float32 array of shape (n_subjects, n_targets, n_splits)
        Test r, NaN = undefined.
    segments : array of shape (n_subjects, n_blocks)
        Pseudo-values of the subject's score, the median over targets and mean over splits: score + n_blocks times the
        influence of a block. Their mean is the score. The influence is the derivative of the score by the weight of the
        block (infinitesimal jackknife) plus, since a block is tested in a split by chance, its share of the split's
        deviation from the score; without it, the variance between splits would be missing. The derivative of the
        median is the mean over the targets between the quartiles of the mean subject's r. NaN for a block without test
        rows of the subject.

    References
    ----------
    Jaeckel 1972, Bell Laboratories Memorandum MM 72-1215-11; Efron 1982, The Jackknife, the Bootstrap and Other
    Resampling Plans, chapter 6.
    """

    test: np.ndarray
    segments: np.ndarray


def sampled_targets(people: People, n_targets: int, n_rows: int) -> np.ndarray:
    """Return targets of units sampled evenly from all subjects, those without missing rows: (n_rows, about 256)."""
    each = min(n_targets, -(-N_SAMPLED // len(people)))
    found = []
    for subject in range(len(people)):
        # neighbouring subjects contribute different units
        units = (np.arange(each) * n_targets // each + subject) % n_targets
        values = people.targets(subject, np.unique(units))
        found.append(values[:, np.isfinite(values).all(axis=0)])
    return np.concatenate([np.empty((n_rows, 0), dtype=np.float32), *found], axis=1)


def score(
    problem: Problem,
    decoder: Ridge,
    people: People,
    kept: Fits,
    layers: np.ndarray,
    of_mean: np.ndarray,
    blocks: np.ndarray,
    progress: Callable[[int, int, str], None] | None = None,
) -> SubjectScores:
    """Score every subject.

    Parameters
    ----------
    problem : Problem
        Regression of the mean subject.
    decoder : Ridge
        Its decoder.
    people : People
    kept : mapping of (int, int) to OtherFit
        {(layer, split): fit} for targets that are recorded in all rows, of `cross_validate.Result`; may be empty.
    layers : int array of shape (n_targets, n_splits)
        Layer of each target and split.
    of_mean : array of shape (n_targets, n_splits)
        Test r of the mean subject.
    blocks : int array of shape (n_rows,)
        Block of each row, the unit of inference over films.
    progress : function, optional
        Called with (done, total, text).

    Returns
    -------
    SubjectScores
    """
    adding = _Adding(problem, layers, _between_quartiles(of_mean), np.asarray(blocks), len(people))
    remaining: dict[bytes, dict[int, list[np.ndarray]]] = {}
    for subject in range(len(people)):
        for columns, rows, values in _by_pattern(people, subject, layers.shape[0]):
            if rows.all() and kept:
                adding.add(subject, columns, values, kept)
            else:
                remaining.setdefault(np.packbits(rows).tobytes(), {}).setdefault(subject, []).append(columns)
        if progress:
            progress(subject + 1, len(people), people.names[subject])
    for pattern in sorted(remaining, key=lambda p: -len(remaining[p]))[:MAX_PATTERNS]:
        rows = np.unpackbits(np.frombuffer(pattern, dtype=np.uint8), count=len(blocks)).astype(bool)
        _add_pattern(problem, decoder, people, remaining[pattern], rows, adding)
    return SubjectScores(adding.test, adding.pseudo_values())


def means(
    problem: Problem, decoder: Ridge, people: People, kept: Fits, n_layers: int, blocks: np.ndarray
) -> np.ndarray:
    """Return the mean over subjects of their test r in every layer: (n_layers, n_targets, n_splits) float64.

    problem, decoder, people, kept, blocks: see `score`.
    """
    shape = (problem.targets.shape[1], len(problem.splits))
    found = []
    for layer in range(n_layers):
        scores = score(problem, decoder, people, kept, np.full(shape, layer), np.zeros(shape), blocks)
        found.append(nan_mean(scores.test, axis=0))
    return np.stack(found).astype(np.float64)


def _by_pattern(people: People, subject: int, n_targets: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (columns, rows, values (n_columns, n_rows)) of a subject's units that are recorded in the same rows."""
    for start in range(0, n_targets, BATCH):
        values = np.ascontiguousarray(people.targets(subject, slice(start, start + BATCH)).T, dtype=np.float32)
        finite = np.isfinite(values)
        columns = np.arange(start, start + len(values))
        if finite.all():
            yield columns, finite[0], values
            continue
        patterns, of_unit = np.unique(finite, axis=0, return_inverse=True)
        for k, rows in enumerate(patterns):
            at = np.flatnonzero(of_unit.reshape(-1) == k)
            if rows.any():
                yield columns[at], rows, np.where(rows, values[at], 0)


def _add_pattern(
    problem: Problem,
    decoder: Ridge,
    people: People,
    subjects: Mapping[int, Sequence[np.ndarray]],
    rows: np.ndarray,
    adding: "_Adding",
) -> None:
    """Fit the rows that some subjects have, and add the scores of their units with just these rows.

    subjects: {subject: its units with these rows, in parts}.
    """
    n_targets = len(adding.layers)
    each, sample = max(1, N_SAMPLED // len(subjects)), []
    for subject, parts in subjects.items():
        units = np.concatenate(parts)
        values = people.targets(subject, units[:: -(-len(units) // each)])
        sample.append(np.where(rows[:, None], values, 0).astype(np.float32))
    fits = _fits(problem, decoder, np.concatenate(sample, axis=1), rows)
    for subject in subjects:
        for columns, found, values in _by_pattern(people, subject, n_targets):
            if (found == rows).all():
                adding.add(subject, columns, values, fits)


def _fits(problem: Problem, decoder: Ridge, sample: np.ndarray, rows: np.ndarray) -> dict[tuple[int, int], OtherFit]:
    """Return the fits of some rows, with a penalty chosen by sampled targets (n_rows, n)."""
    shared = copy(decoder)
    shared.alpha_per_target = False
    splits = [split.restricted(rows) for split in problem.splits]
    session = shared.session(np.ascontiguousarray(sample), problem.weights, splits, problem.left_out, False)
    found = {}
    for i, load in enumerate(problem.layers.values()):
        X = np.array(load(), dtype=np.float32)
        if not finite_rows(X[rows]).all():
            continue
        features = session.load(np.where(rows[:, None], X, 0))
        for k, split in enumerate(splits):
            if len(split.train) > 1 and len(split.test) >= LEAST_TEST_ROWS:
                _, held, _ = next(session.smoothers(features, split))
                found[i, k] = OtherFit.of(compact(held), split, len(rows))
    return found


class _Adding:
    """Scores of subjects, added for some of their units at a time."""

    def __init__(self, problem: Problem, layers: np.ndarray, middle: np.ndarray, blocks: np.ndarray, n_subjects: int):
        self.layers, self.middle, self.blocks = layers, middle, blocks
        self.weights = np.ones(len(blocks)) if problem.weights is None else np.asarray(problem.weights, dtype=float)
        n_blocks, n_splits = int(blocks.max()) + 1, layers.shape[1]
        self.test = np.full((n_subjects, *layers.shape), np.nan, dtype=np.float32)
        self.influence = np.zeros((n_subjects, n_splits, n_blocks))
        self.n_middle = np.zeros((n_subjects, n_splits), dtype=int)
        self.tested = np.zeros((n_subjects, n_splits, n_blocks))

    def add(self, subject: int, columns: np.ndarray, values: np.ndarray, fits: Fits) -> None:
        """Add the scores of some units: values (n_columns, n_rows)."""
        device = next(iter(fits.values())).weights.device if fits else "cpu"
        Y = torch.from_numpy(values).to(device)
        for k in range(self.layers.shape[1]):
            chosen = self.layers[columns, k]
            for layer in np.unique(chosen):
                fit = fits.get((int(layer), k))
                if fit is None or len(fit.test) < LEAST_TEST_ROWS:
                    continue
                at = np.flatnonzero(chosen == layer)
                y = Y if len(at) == len(columns) else Y[torch.as_tensor(at, device=device)]
                self._add_split(subject, k, columns[at], y, fit)

    def _add_split(self, subject: int, k: int, columns: np.ndarray, y: torch.Tensor, fit: OtherFit) -> None:
        """Add r, and the influence of each block, of one split."""
        # large weights are float64
        predicted = matmul(y.to(fit.weights.dtype), fit.weights.T).to(y.dtype)
        truth = _rows(y, fit.test)
        share = torch.as_tensor(self.weights[fit.test] / self.weights[fit.test].sum(), device=y.device).to(y.dtype)
        r, of_rows, n_middle = _correlate(predicted, truth, share, self.middle[columns, k])
        self.test[subject, columns, k] = r
        self.n_middle[subject, k] += n_middle
        block = self.blocks[fit.test]
        np.add.at(self.influence[subject, k], block, of_rows)
        self.tested[subject, k] = np.maximum(
            self.tested[subject, k], np.bincount(block, self.weights[fit.test], self.tested.shape[2])
        )

    def pseudo_values(self) -> np.ndarray:
        """Return the pseudo-values of the subjects' scores: (n_subjects, n_blocks)."""
        # one subject at a time: no float64 copy of all of them
        of_splits = np.stack([nan_median(one.astype(np.float64), axis=0) for one in self.test])
        scores = nan_mean(of_splits, axis=1)
        share = self.tested / np.maximum(self.tested.sum(axis=2, keepdims=True), 1e-300)
        influence = self.influence / np.maximum(self.n_middle, 1)[:, :, None]
        influence = influence + (of_splits - scores[:, None])[:, :, None] * share
        seen = (self.tested > 0).any(axis=1)
        total = nan_mean(np.where(np.isfinite(of_splits)[:, :, None], influence, np.nan), axis=1)
        return np.where(seen, scores[:, None] + seen.sum(axis=1, keepdims=True) * total, np.nan)


def _rows(values: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
    """Return some of the rows (last axis) of values; contiguous ones are no copy."""
    first, last = int(rows[0]), int(rows[-1])
    if last - first == len(rows) - 1 and (np.diff(rows) == 1).all():
        return values[:, first : last + 1]
    return values[:, torch.as_tensor(rows, device=values.device)]


def _correlate(
    predicted: torch.Tensor, truth: torch.Tensor, share: torch.Tensor, middle: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return r (n_targets,), the derivative by the weight of each row summed over targets, and their number.

    predicted, truth: (n_targets, n_rows); share: (n_rows,) of sum 1; middle: mask of the targets in the sum.
    """
    means = [values @ share for values in (predicted, truth)]
    x, y = (values - mean[:, None] for values, mean in zip((predicted, truth), means, strict=True))
    xy = x * y
    xx, yy = x.square_(), y.square_()
    of_x, of_y = xx @ share, yy @ share
    r = (xy @ share) / (of_x * of_y).sqrt()
    usable = torch.isfinite(r)
    for variance, mean in zip((of_x, of_y), means, strict=True):
        usable &= variance > CONSTANT * (variance + mean**2)
    inside = usable & torch.as_tensor(middle, device=r.device)
    of = lambda values: torch.where(inside, values, torch.zeros_like(values))  # noqa: E731
    rows = of(1 / (of_x * of_y).sqrt()) @ xy - 0.5 * (of(r / of_x) @ xx + of(r / of_y) @ yy)
    r = torch.where(usable, r.clamp(-1, 1), torch.nan)
    return r.cpu().numpy(), (rows * share).double().cpu().numpy(), int(inside.sum())


def _between_quartiles(r: np.ndarray) -> np.ndarray:
    """Return the mask of targets between the quartiles of each split: (n_targets, n_splits) -> bool of that shape."""
    known = np.isfinite(r)
    found = np.zeros(r.shape, dtype=bool)
    for k in np.flatnonzero(known.any(axis=0)):
        low, high = np.percentile(r[known[:, k], k], [25, 75])
        found[:, k] = known[:, k] & (r[:, k] >= low) & (r[:, k] <= high)
    return found
