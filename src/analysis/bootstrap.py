"""Confidence intervals of a score by resampling its segments or stimuli (block bootstrap; Kunsch 1989).

A bootstrap sample keeps the fitted models and weights each split's test rows by the number of copies of their block.
The deviations of the replicates from their mean are multiplied by `widening` for the variance that other training rows
would add, and centred on the score itself: the mean of the replicates is biased, since repeated segments make r within
a short test part less stable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..utils import nan_mean, nan_median, seed_from
from .aggregate import aggregate, normalised

if TYPE_CHECKING:
    from ..evaluate.bootstrap_statistics import Resampling

LEVEL = 95.0
BATCH = 1024  # targets whose percentiles are computed at a time


@dataclass(frozen=True)
class Bootstrap:
    """Intervals and bootstrap replicates of a score.

    Parameters
    ----------
    low, high : arrays of shape (n_targets,)
        95 % interval of each target's split-mean test score.
    aggregate : array of shape (n_samples,)
        Replicates of the score over all targets.
    normalised : array of shape (n_samples,) or None
        Replicates of the ceiling-normalised score; None without a ceiling.
    regions : mapping of str to array of shape (n_samples,)
        Replicates of each region's score, with the best layer of the region.
    """

    low: np.ndarray
    high: np.ndarray
    aggregate: np.ndarray
    normalised: np.ndarray | None
    regions: Mapping[str, np.ndarray]


def sample_counts(strata: np.ndarray, n_samples: int, seed: int, identity: str) -> np.ndarray:
    """Sample blocks with replacement, as many as there are in each stratum.

    Parameters
    ----------
    strata : int array of shape (n_blocks,)
        Stratum of each block.
    n_samples : int
        Number of bootstrap samples.
    seed : int
        Seed of the random generator.
    identity : str
        Digest of blocks and splits, part of the seed: two models scored on the same rows get the same samples.

    Returns
    -------
    float32 array of shape (n_samples, n_blocks)
        Number of copies of each block.

    Examples
    --------
    >>> counts = sample_counts(np.array([0, 0, 0, 1]), 5, 0, "rows")
    >>> counts.sum(axis=1).tolist(), counts[:, 3].tolist()
    ([4.0, 4.0, 4.0, 4.0, 4.0], [1.0, 1.0, 1.0, 1.0, 1.0])
    """
    rng = np.random.default_rng(seed_from("bootstrap", seed, identity))
    counts = np.empty((n_samples, len(strata)), dtype=np.float32)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        counts[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), n_samples)
    return counts


def recentre(replicates: np.ndarray, score: float, widening: float) -> np.ndarray:
    """Centre replicates on a score and widen their deviations.

    Parameters
    ----------
    replicates : array of shape (n_samples,)
        NaN for an undefined sample, without a test row in any split; it counts as the mean.
    score : float
        New mean.
    widening : float
        Factor on the deviations from the mean.

    Returns
    -------
    array of shape (n_samples,)

    Examples
    --------
    >>> recentre(np.array([1.0, 3.0, np.nan]), 10.0, 2.0)
    array([ 8., 12., 10.])
    """
    deviations = replicates - nan_mean(replicates, axis=0)
    known = np.isfinite(deviations)
    return score + widening * np.where(known | ~known.any(), deviations, 0)


def interval(replicates: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Return the percentile interval of replicates.

    Parameters
    ----------
    replicates : array of shape (n_samples,)
        Replicates of a score.
    level : float, default 95
        Per cent of the replicates in the interval.

    Returns
    -------
    low, high : float
        NaN if a replicate is NaN.

    Examples
    --------
    >>> interval(np.arange(101.0), level=90)
    (5.0, 95.0)
    """
    tail = (100 - level) / 2
    return tuple(float(end) for end in np.percentile(replicates, [tail, 100 - tail]))


def bootstrap(
    resampling: "Resampling",
    test: np.ndarray,
    n_samples: int,
    seed: int,
    *,
    ceiling: np.ndarray | None = None,
    regional: Mapping[str, np.ndarray] | None = None,
) -> Bootstrap:
    """Return intervals and replicates of a score.

    Parameters
    ----------
    resampling : Resampling
        Statistics that cross-validation kept, see `evaluate.bootstrap_statistics`.
    test : array of shape (n_targets, n_splits)
        Test scores of the best layer.
    n_samples : int
        Number of bootstrap samples.
    seed : int
        Seed of the samples.
    ceiling : array of shape (n_targets,), optional
        Usable ceilings, NaN for targets that are left out of the normalised score.
    regional : mapping of str to array, optional
        {region: test scores (targets of the region, n_splits) of the region's best layer}.

    Returns
    -------
    Bootstrap

    References
    ----------
    Kunsch 1989, Annals of Statistics 17:1217. Widening: Nadeau and Bengio 2003, Machine Learning 52:239.
    """
    counts = sample_counts(resampling.strata, n_samples, seed, resampling.identity)
    factor, statistics = resampling.widening, resampling.statistics
    replicates = statistics[None].replicates(counts)
    low, high = _intervals(replicates, nan_mean(test, axis=1), factor)
    scaled = None
    if ceiling is not None and np.isfinite(ceiling).any():
        kept = np.isfinite(ceiling)
        medians = _medians(replicates[:, kept] / ceiling[kept].astype(np.float32))
        scaled = recentre(medians, normalised(test, ceiling), factor)
    by_region = {
        region: recentre(_medians(statistics[region].replicates(counts)), aggregate(scores), factor)
        for region, scores in (regional or {}).items()
    }
    return Bootstrap(low, high, recentre(_medians(replicates), aggregate(test), factor), scaled, by_region)


def _medians(replicates: np.ndarray) -> np.ndarray:
    """Return the median over targets of each sample: (n_samples, n_targets) -> (n_samples,) float64."""
    known = np.isfinite(replicates)
    if not known.all():
        replicates = replicates[:, known.any(axis=0)]
        if not np.isfinite(replicates).all():
            return nan_median(replicates, axis=1).astype(np.float64)
    if not replicates.shape[1]:
        return np.full(len(replicates), np.nan)
    return np.median(replicates, axis=1).astype(np.float64)


def _intervals(replicates: np.ndarray, score: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Return each target's interval around its score: twice (n_targets,) within [-1, 1], NaN where undefined."""
    tail = (100 - LEVEL) / 2
    ends = np.empty((2, len(score)))
    for start in range(0, len(score), BATCH):
        columns = slice(start, start + BATCH)
        batch = np.ascontiguousarray(replicates[:, columns].T)
        centre = batch.mean(axis=1)
        found = np.percentile(batch, [tail, 100 - tail], axis=1)
        broken = ~np.isfinite(centre) & np.isfinite(batch).any(axis=1)
        if broken.any():
            centre[broken] = np.nanmean(batch[broken], axis=1)
            found[:, broken] = np.nanpercentile(batch[broken], [tail, 100 - tail], axis=1)
        ends[:, columns] = score[columns] + factor * (found - centre)
    return tuple(np.clip(ends, -1, 1))
