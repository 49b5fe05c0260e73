"""Prediction of each subject from the responses of the others, by the regression that scores models.

A subject is predicted from the mean of others by a ridge regression over all their units, so that people whose regions
lie at other places, or mix responses in another way, still predict each other. The fits are those of
`subjects.score`: the splits, gaps and penalties of a model's score, one penalty for all units of a split.

The decomposition of a split depends on the features. For its cost not to grow with the number of people, these form at
most N_GROUPS groups, and each is predicted from the mean of the people in the other groups: from all others, where
there are N_GROUPS people or fewer.
"""

from dataclasses import replace

import numpy as np

from ..utils import nan_mean
from .cross_validate import Problem
from .decoders.ridge import Ridge
from .protocol import LEAST_RECORDED
from .subjects import People, score

N_GROUPS = 5
MAX_PREDICTORS = 5000  # units of the others, evenly spaced, as many as features of a layer


def from_others(problem: Problem, decoder: Ridge, people: People, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how well a ridge regression from the others predicts each subject.

    A unit that the others lack in more than a twentieth of their rows predicts nothing; what is missing of another
    counts as its mean. Rows that no other subject saw are left out.

    Parameters
    ----------
    problem : Problem
        Splits, weights and left-out blocks of a score.
    decoder : Ridge
    people : People
    blocks : int array of shape (n_rows,)
        Block of each row.

    Returns
    -------
    r, error : arrays of shape (n_subjects, n_units)
        Test r, mean over the splits, and its standard error; NaN where undefined.
    """
    n_units, n_splits = problem.targets.shape[1], len(problem.splits)
    predictors = np.unique(np.linspace(0, n_units - 1, min(n_units, MAX_PREDICTORS)).astype(int))
    total, count = sums(people, range(len(people)), predictors)
    found = np.full((2, len(people), n_units), np.nan)
    layers, of_mean = np.zeros((n_units, n_splits), dtype=int), np.zeros((n_units, n_splits))
    n_groups = min(N_GROUPS, len(people))
    for first in range(n_groups):
        group = range(first, len(people), n_groups)
        own, n_own = sums(people, group, predictors)
        X, seen = _features(total - own, count - n_own)
        if X.shape[1]:
            made = replace(problem, layers={"others": lambda X=X: X}, other=None)
            of_group = score(made, decoder, _seen(people, group, seen), {}, layers, of_mean, blocks).test
            for subject, r in zip(group, of_group, strict=True):
                found[:, subject] = mean_over_splits(r)
    return found[0], found[1]


def sums(people: People, chosen: range, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum over some subjects, and the number of those recorded: twice (n_rows, n_units)."""
    total = count = np.float32(0)
    for subject in chosen:
        values = people.targets(subject, units)
        recorded = np.isfinite(values)
        total, count = total + np.where(recorded, values, np.float32(0)), count + recorded.astype(np.float32)
    return total, count


def mean_over_splits(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over splits (last axis), and its standard error."""
    r = np.asarray(r, dtype=np.float64)
    mean, n = nan_mean(r, axis=-1), np.isfinite(r).sum(axis=-1)
    return mean, np.sqrt(nan_mean((r - mean[..., None]) ** 2, axis=-1) / np.where(n > 1, n - 1, np.nan))


def _features(total: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the others (n_rows, n_usable_units), and the mask of rows that any of them saw."""
    seen = (count > 0).any(axis=1)
    usable = (count[seen] > 0).mean(axis=0) >= LEAST_RECORDED if seen.any() else np.zeros(count.shape[1], dtype=bool)
    count = count[:, usable]
    mean = np.where(count > 0, total[:, usable] / np.maximum(count, 1), np.nan).astype(np.float32)
    return np.where(np.isfinite(mean), mean, nan_mean(mean, axis=0)).astype(np.float32), seen


def _seen(people: People, group: range, seen: np.ndarray) -> People:
    """Return some subjects, without the rows that nobody else saw."""

    def targets(subject: int, units: slice | np.ndarray) -> np.ndarray:
        values = people.targets(group[subject], units)
        return values if seen.all() else np.where(seen[:, None], values, np.float32(np.nan))

    return People(tuple(people.names[k] for k in group), targets)
