"""Confidence intervals of a score by drawing its segments or stimuli again (block bootstrap; Kunsch 1989).

A draw holds the fitted models fixed and weighs each split's test rows by how often their unit was drawn. The draws'
deviations from their mean are multiplied by `widening` for what other training rows would have changed, and set around
the score itself: that a repeated segment makes r within a short test less stable is not the score's doing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..utils import seed_from
from .aggregate import headline, nan_mean, nan_median, normalised

LEVEL = 95.0
BLOCK = 1024  # targets whose percentiles are taken at a time


@dataclass(frozen=True)
class Bootstrap:
    """low, high: (n_targets,) interval of the split-mean test score; headline, normalised: (n_draws,) replicates of the
    score over all targets, the latter None without ceiling; regions: {region: (n_draws,)} with each region's layer."""

    low: np.ndarray
    high: np.ndarray
    headline: np.ndarray
    normalised: np.ndarray | None
    regions: Mapping[str, np.ndarray]


def draws(strata: np.ndarray, n_draws: int, seed: int, identity: str) -> np.ndarray:
    """How often each unit is drawn, as many as there are in its stratum: (n_draws, n_units) float32.

    They follow from the seed and from `identity` (of the units and splits), so that two models scored on the same rows
    have the same draws.
    """
    rng = np.random.default_rng(seed_from("bootstrap", seed, identity))
    counts = np.empty((n_draws, len(strata)), dtype=np.float32)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        counts[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), n_draws)
    return counts


def around(replicates: np.ndarray, score: float, widening: float) -> np.ndarray:
    """Replicates (n_draws,) with `score` as their mean and their deviations times `widening`; an undefined draw, which
    held no test row of any split, counts as the mean."""
    apart = replicates - nan_mean(replicates, axis=0)
    known = np.isfinite(apart)
    return score + widening * np.where(known | ~known.any(), apart, 0)


def interval(replicates: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The middle `level` per cent of (n_draws,) replicates; NaN where one is NaN."""
    tail = (100 - level) / 2
    return tuple(float(end) for end in np.percentile(replicates, [tail, 100 - tail]))


def bootstrap(
    resampling,
    test: np.ndarray,
    n_draws: int,
    seed: int,
    *,
    ceiling: np.ndarray | None = None,
    regional: Mapping[str, np.ndarray] | None = None,
) -> Bootstrap:
    """Intervals and replicates of a score.

    Parameters: `resampling` (see `src.evaluate.bootstrap_statistics.Resampling`); `test` (n_targets, n_splits) of the chosen layer;
    `ceiling` (n_targets,), NaN where a target is left out of the normalised score; `regional` {region: (its targets,
    n_splits)} test scores of each region's own layer.
    """
    counts = draws(resampling.strata, n_draws, seed, resampling.identity)
    wide, parts = resampling.widening, resampling.parts
    replicates = parts[None].replicates(counts)
    low, high = _per_target(replicates, nan_mean(test, axis=1), wide)
    scaled = None
    if ceiling is not None and np.isfinite(ceiling).any():
        kept = np.isfinite(ceiling)
        scaled = around(
            _medians(replicates[:, kept] / ceiling[kept].astype(np.float32)), normalised(test, ceiling), wide
        )
    by_region = {
        region: around(_medians(parts[region].replicates(counts)), headline(values), wide)
        for region, values in (regional or {}).items()
    }
    return Bootstrap(low, high, around(_medians(replicates), headline(test), wide), scaled, by_region)


def _medians(replicates: np.ndarray) -> np.ndarray:
    """Median over the targets of each draw: (n_draws, n_targets) -> (n_draws,) float64."""
    known = np.isfinite(replicates)
    if not known.all():
        replicates = replicates[:, known.any(axis=0)]
        if not np.isfinite(replicates).all():
            return nan_median(replicates, axis=1).astype(np.float64)
    if not replicates.shape[1]:
        return np.full(len(replicates), np.nan)
    return np.median(replicates, axis=1).astype(np.float64)


def _per_target(replicates: np.ndarray, score: np.ndarray, wide: float) -> tuple[np.ndarray, np.ndarray]:
    """The interval of each target, around its score: two arrays (n_targets,) within [-1, 1]; NaN where undefined."""
    tail = (100 - LEVEL) / 2
    ends = np.empty((2, len(score)))
    for start in range(0, len(score), BLOCK):
        columns = slice(start, start + BLOCK)
        block = np.ascontiguousarray(replicates[:, columns].T)
        centre = block.mean(axis=1)
        found = np.percentile(block, [tail, 100 - tail], axis=1)
        broken = ~np.isfinite(centre) & np.isfinite(block).any(axis=1)
        if broken.any():
            centre[broken] = np.nanmean(block[broken], axis=1)
            found[:, broken] = np.nanpercentile(block[broken], [tail, 100 - tail], axis=1)
        ends[:, columns] = score[columns] + wide * (found - centre)
    return tuple(np.clip(ends, -1, 1))
