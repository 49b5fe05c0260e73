"""Confidence intervals of a score by resampling its segments or stimuli (block bootstrap; Kunsch 1989).

A bootstrap sample keeps the fitted models and weights each split's test rows by the number of copies of their block.
Its replicates are rescaled to draws, whose percentiles are the interval:

* on a scale that the score cannot leave, which follows from the metric's bounds: Fisher's z for correlations, the
  arcsine of the square root for accuracy;
* around the score itself: the mean of the replicates is biased, since repeated segments make r within a short test part
  less stable;
* segments of film are sampled in pairs of neighbours, which are not independent (`sample_counts`);
* wider for the variance that other training rows would add (`training_factor`);
* with the tails of Student's t, since few blocks estimate the spread (`tails`).

`benchmarks/intervals.py` measures coverage, and the level of paired tests, of this rule and of others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..evaluate.metrics import METRICS
from ..evaluate.metrics.base import FISHER, Scale
from ..evaluate.sample_medians import sample_medians
from ..utils import nan_mean, seed_from
from .aggregate import aggregate

if TYPE_CHECKING:
    from ..evaluate.bootstrap_statistics import Resampling

LEVEL = 95.0
LEAST_RUNS = 4  # of blocks in a stratum, to be sampled together
BATCH = 1024  # targets whose percentiles are computed at a time


@dataclass(frozen=True)
class Bootstrap:
    """Intervals and draws of a score.

    Parameters
    ----------
    low, high : arrays of shape (n_targets,)
        95 % interval of each target's split-mean test score.
    aggregate : array of shape (n_samples,)
        Draws of the score over all targets.
    normalised : array of shape (n_samples,) or None
        Draws of the ceiling-normalised score; None without a ceiling.
    regions : mapping of str to array of shape (n_samples,)
        Draws of each region's score.
    """

    low: np.ndarray
    high: np.ndarray
    aggregate: np.ndarray
    normalised: np.ndarray | None
    regions: Mapping[str, np.ndarray]


def sample_counts(strata: np.ndarray, n_samples: int, seed: int, identity: str, run: int = 1) -> np.ndarray:
    """Sample blocks with replacement, as many as there are in each stratum, alone or in runs of neighbours.

    Neighbouring segments of a film are not independent; sampled together, they keep half of the covariance of
    neighbours (Kunsch 1989; runs go on from the last block to the first, Politis and Romano 1992, in Exploring the
    Limits of Bootstrap: 263).

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
    run : int, default 1
        Number of neighbouring blocks that are sampled together; 1 in a stratum of fewer than 4 runs.

    Returns
    -------
    float32 array of shape (n_samples, n_blocks)
        Number of copies of each block.

    Examples
    --------
    >>> counts = sample_counts(np.array([0, 0, 0, 1]), 5, 0, "rows")
    >>> counts.sum(axis=1).tolist(), counts[:, 3].tolist()
    ([4.0, 4.0, 4.0, 4.0, 4.0], [1.0, 1.0, 1.0, 1.0, 1.0])
    >>> sample_counts(np.zeros(9, int), 1, 3, "rows", run=2)  # four pairs, and one block alone
    array([[0., 1., 1., 3., 2., 1., 1., 0., 0.]], dtype=float32)
    """
    rng = np.random.default_rng(seed_from("bootstrap", seed, identity))
    counts = np.empty((n_samples, len(strata)), dtype=np.float32)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        n = len(members)
        length = run if n >= LEAST_RUNS * run else 1
        whole, rest = (rng.multinomial(k, np.full(n, 1 / n), n_samples) for k in (n // length, int(n % length > 0)))
        counts[:, members] = sum(np.roll(whole, k, axis=1) for k in range(length))
        # the last run is shorter where runs do not tile the blocks
        counts[:, members] += sum(np.roll(rest, k, axis=1) for k in range(n % length))
    return counts


def training_factor(score: np.ndarray, widening: float, scale: Scale = FISHER) -> np.ndarray:
    """Return the factor on the spread of the replicates for the variance that other training rows would add.

    Without any effect, training and test rows matter alike: predictions of a test row from a training row, and the
    reverse, are the same product of noise. Nadeau and Bengio's correction is right there, and too wide where the fit is
    good. The added variance is therefore multiplied by the share of the responses that the score leaves unexplained.

    Parameters
    ----------
    score : array of any shape
        Scores.
    widening : float
        Factor for a score of 0, see `evaluate.bootstrap_statistics.widening`.
    scale : Scale, optional
        By default that of correlations.

    Returns
    -------
    array of the same shape

    References
    ----------
    Nadeau and Bengio 2003, Machine Learning 52:239.

    Examples
    --------
    >>> training_factor(np.array([0.0, 0.6, 1.0]), 2.0).round(3)
    array([2.   , 1.709, 1.   ])
    """
    return np.sqrt(1 + (widening**2 - 1) * scale.unexplained(score))


def tails(strata: np.ndarray, n_samples: int, seed: int, identity: str) -> np.ndarray:
    """Return factors on the deviations of bootstrap samples that turn a normal distribution into Student's t.

    They are sqrt(df / chi^2) at evenly spaced quantiles of chi^2 in random order. Two models scored on the same rows
    get the same factors, so that their difference has a t distribution too.

    Parameters
    ----------
    strata : int array of shape (n_blocks,)
        Stratum of each block; df is the number of blocks minus that of strata.
    n_samples, seed, identity
        See `sample_counts`.

    Returns
    -------
    array of shape (n_samples,)

    Examples
    --------
    >>> tails(np.zeros(4, int), 2, 0, "rows").round(2).tolist()
    [0.85, 1.57]
    """
    from scipy.stats import chi2

    df = max(1, len(strata) - len(np.unique(strata)))
    order = np.random.default_rng(seed_from("tails", seed, identity)).permutation(n_samples)
    return np.sqrt(df / chi2.ppf((order + 0.5) / n_samples, df))


def recentre(replicates: np.ndarray, score: float, factor: np.ndarray | float, scale: Scale = FISHER) -> np.ndarray:
    """Centre replicates on a score and multiply their deviations, on a scale that keeps them in the score's bounds.

    Parameters
    ----------
    replicates : array of shape (n_samples,)
        NaN for an undefined sample, without a test row in any split; it counts as the mean.
    score : float
        Centre of the draws.
    factor : float or array of shape (n_samples,)
        Factor on the deviations from the mean.
    scale : Scale, optional
        By default Fisher's z.

    Returns
    -------
    array of shape (n_samples,)

    Examples
    --------
    >>> recentre(np.array([-0.5, 0.5, np.nan]), 0.0, 1.0).round(3)
    array([-0.5,  0.5,  0. ])
    >>> recentre(np.array([0.5, 0.9]), 0.99, 5.0).round(3)
    array([0.327, 1.   ])
    """
    scaled = scale.forward(np.asarray(replicates, dtype=np.float64))
    deviations = scaled - nan_mean(scaled, axis=0)
    known = np.isfinite(deviations)
    return scale.inverse(scale.forward(score) + factor * np.where(known | ~known.any(), deviations, 0))


def interval(replicates: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Return the percentile interval of draws.

    Parameters
    ----------
    replicates : array of shape (n_samples,)
        Draws of a score.
    level : float, default 95
        Per cent of the draws in the interval.

    Returns
    -------
    low, high : float
        NaN if a draw is NaN.

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
    metric: str = "pearson",
    per_target: bool = False,
    ceiling: np.ndarray | None = None,
    normalised: float | None = None,
    regional: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
) -> Bootstrap:
    """Return intervals and draws of a score.

    Parameters
    ----------
    resampling : Resampling
        Statistics that cross-validation kept, see `evaluate.bootstrap_statistics`.
    test : array of shape (n_targets, n_splits)
        Test scores of the chosen layers.
    n_samples : int
        Number of bootstrap samples.
    seed : int
        Seed of the samples.
    metric : str, default "pearson"
        Metric of the score, in whose bounds its draws stay.
    per_target : bool, default False
        Take the statistics of a layer per target instead of one layer for all.
    ceiling : array of shape (n_targets,), optional
        Usable ceilings, NaN for targets that are left out of the normalised score. They count as known; the normalised
        score is multiplied by their median, drawn as a score, and divided again, so that its draws may exceed 1 but not
        1 / median ceiling.
    normalised : float, optional
        Score in units of the ceiling, the centre of its draws; needed with `ceiling`.
    regional : mapping of str to (int array, array), optional
        {region: (its targets, their test scores (n_targets of the region, n_splits))}, with a layer per target or the
        layer chosen for the region.

    Returns
    -------
    Bootstrap

    References
    ----------
    Kunsch 1989, Annals of Statistics 17:1217.
    """
    statistics, scale = resampling.per_target if per_target else resampling.one_layer, METRICS[metric].scale
    counts = sample_counts(resampling.strata, n_samples, seed, resampling.identity, resampling.block_run)
    stretch = tails(resampling.strata, n_samples, seed, resampling.identity)

    def draws(replicates: np.ndarray, score: float, unit: float = 1.0) -> np.ndarray:
        score = score * unit
        factor = training_factor(score, resampling.widening, scale)
        return recentre(sample_medians(replicates, factor) * unit, score, stretch * factor, scale) / unit

    replicates = statistics.replicates(counts)
    means = nan_mean(test, axis=1)
    low, high = _intervals(replicates, means, training_factor(means, resampling.widening, scale), stretch, scale)
    scaled = None
    if ceiling is not None and np.isfinite(ceiling).any():
        kept = np.isfinite(ceiling)
        in_units = replicates[:, kept] / ceiling[kept].astype(np.float32)
        scaled = draws(in_units, normalised, float(np.median(ceiling[kept])))
    by_region = {}
    for region, (columns, scores) in (regional or {}).items():
        part = replicates[:, columns] if per_target else resampling.regions[region].replicates(counts)
        by_region[region] = draws(part, aggregate(scores))
    return Bootstrap(low, high, draws(replicates, aggregate(test)), scaled, by_region)


def _intervals(
    replicates: np.ndarray, score: np.ndarray, factor: np.ndarray, stretch: np.ndarray, scale: Scale
) -> tuple[np.ndarray, np.ndarray]:
    """Return each target's interval around its score: twice (n_targets,), NaN where undefined.

    factor: (n_targets,); stretch: (n_samples,).
    """
    tail = (100 - LEVEL) / 2
    ends = np.empty((2, len(score)))
    for start in range(0, len(score), BATCH):
        columns = slice(start, start + BATCH)
        batch = scale.forward(np.ascontiguousarray(replicates[:, columns].T))
        broken = ~np.isfinite(batch).all(axis=1) & np.isfinite(batch).any(axis=1)
        centre = batch.mean(axis=1)
        centre[broken] = np.nanmean(batch[broken], axis=1)
        batch = (batch - centre[:, None]) * stretch.astype(batch.dtype)
        found = np.percentile(batch, [tail, 100 - tail], axis=1)
        if broken.any():
            found[:, broken] = np.nanpercentile(batch[broken], [tail, 100 - tail], axis=1)
        ends[:, columns] = scale.inverse(scale.forward(score[columns]) + factor[columns] * found)
    return tuple(ends)
