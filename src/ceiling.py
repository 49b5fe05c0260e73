"""Noise ceiling: split-half reliability of the recordings, one value per unit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .utils import BadInput

MASK_BELOW = 0.4
FDR = 0.05


@dataclass(frozen=True)
class Ceiling:
    """Split-half agreement of recordings, and the ceiling of a model's score that follows from it.

    Parameters
    ----------
    raw : array of shape (n_splits, n_units)
        Pearson r between the means of random halves of the repetitions, over stimuli and time bins.
    n_bins : float
        Number of stimulus x time bins behind each r.
    n_independent : array of shape (n_units,)
        Effective number of independent samples of these bins, given the autocorrelation of the responses.

    References
    ----------
    Spearman 1910, British Journal of Psychology 3:271; Brown 1910, British Journal of Psychology 3:296. Benjamini and
    Hochberg 1995, Journal of the Royal Statistical Society B 57:289.

    Examples
    --------
    >>> raw = np.array([[0.6, -0.1], [0.6, -0.1]])
    >>> ceiling = Ceiling(raw, n_bins=100.0, n_independent=np.array([100.0, 100.0]))
    >>> ceiling.reliability.round(3)
    array([ 0.75 , -0.222])
    >>> ceiling.best_r.round(3)
    array([0.866,   nan])
    >>> ceiling.masked
    array([False,  True])
    """

    raw: np.ndarray
    n_bins: float
    n_independent: np.ndarray

    @property
    def reliability(self) -> np.ndarray:
        """Reliability of the mean over all repetitions, 2 r / (1 + r): (n_units,)."""
        raw = self.raw.mean(axis=0)
        return 2 * raw / (1 + raw)

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of the reliability over the splits: (n_units,)."""
        return (2 * self.raw / (1 + self.raw)).std(axis=0)

    @property
    def best_r(self) -> np.ndarray:
        """Correlation of a perfect model with the mean, sqrt(reliability): (n_units,), NaN if that is not above 0."""
        return np.sqrt(np.where(self.reliability > 0, self.reliability, np.nan))

    @property
    def significant(self) -> np.ndarray:
        """Mask of units with r > 0: (n_units,), by Fisher's z on the independent samples, FDR 0.05."""
        # scipy.stats takes longer to import than a cached re-run may take
        from scipy.stats import false_discovery_control, norm

        z = np.arctanh(np.clip(np.nan_to_num(self.raw.mean(axis=0)), -0.999999, 0.999999))
        return false_discovery_control(norm.sf(z * np.sqrt(np.maximum(self.n_independent - 3, 0)))) <= FDR

    @property
    def masked(self) -> np.ndarray:
        """Mask of units left out of normalised scores: (n_units,), reliability below 0.4 or not significant."""
        return ~((self.reliability >= MASK_BELOW) & self.significant)


def split_half(values: np.ndarray, subjects: Sequence[str], *, n_splits: int, seed: int) -> Ceiling:
    """Correlate the means of random halves of the repetitions.

    With more than one subject the halves are sampled over subjects, so that a subject's repetitions stay together.

    Parameters
    ----------
    values : array of shape (n_stimuli, n_repetitions, n_time, n_units)
        Responses, NaN = not recorded.
    subjects : sequence of str, length n_repetitions
        Subject of each repetition.
    n_splits : int
        Number of random halves.
    seed : int
        Seed of the random generators, one per split.

    Returns
    -------
    Ceiling

    Raises
    ------
    BadInput
        If there is a single repetition.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> signal = rng.standard_normal((50, 1, 4, 1))
    >>> values = signal + rng.standard_normal((50, 6, 4, 1))  # reliability of the mean: 6 / 7
    >>> split_half(values, list("abcdef"), n_splits=10, seed=0).reliability.round(1)
    array([0.9])
    """
    subject_of = np.asarray(subjects)
    if len(set(subject_of)) < 2:
        subject_of = np.arange(len(subject_of)).astype(str)
    distinct = np.unique(subject_of)
    if len(distinct) < 2:
        raise BadInput("1 repetition; expected at least 2 for a ceiling: use --no-ceiling or a dataset that repeats")
    halves = []
    for k in range(n_splits):
        sampled = np.random.default_rng([seed, k]).permutation(distinct)[: len(distinct) // 2]
        first = np.isin(subject_of, sampled)
        halves.append([repetition_mean(values[:, half]) for half in (first, ~first)])
    raw = np.stack([_correlate(a, b) for a, b in halves])
    return Ceiling(raw, float(values.shape[0] * values.shape[2]), _independent(*halves[0]))


def joint(ceilings: Sequence[Ceiling], weights: Sequence[float]) -> Ceiling:
    """Combine the ceilings of datasets that are scored in one regression.

    Parameters
    ----------
    ceilings : sequence of Ceiling
        Ceilings of the same units and number of splits.
    weights : sequence of float
        Row weight of each dataset: the agreement is averaged by n_bins x weight (a bin of 3 s counts as three of 1 s).

    Returns
    -------
    Ceiling

    Examples
    --------
    >>> a, b = (Ceiling(np.array([[r]]), 10.0, np.array([10.0])) for r in (0.2, 0.6))
    >>> joint([a, b], [1.0, 3.0]).raw.round(3)
    array([[0.5]])
    """
    share = np.array([c.n_bins * w for c, w in zip(ceilings, weights, strict=True)])
    raw = sum(c.raw * s for c, s in zip(ceilings, share / share.sum(), strict=True))
    return Ceiling(raw, float(share.sum()), sum(c.n_independent for c in ceilings))


def repetition_mean(values: np.ndarray) -> np.ndarray:
    """Average over the repetitions that were recorded.

    Parameters
    ----------
    values : array of shape (n_stimuli, n_repetitions, n_time, n_units)
        Responses, NaN = not recorded.

    Returns
    -------
    float64 array of shape (n_stimuli, n_time, n_units)
        NaN where no repetition was recorded.

    Examples
    --------
    >>> repetition_mean(np.array([1.0, 3.0, np.nan]).reshape(1, 3, 1, 1)).ravel()
    array([2.])
    """
    recorded = np.isfinite(values)
    count = recorded.sum(axis=1)
    total = np.where(recorded, values, 0).sum(axis=1, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _correlate(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Pearson r per unit over the stimuli and bins in which both halves were recorded: (n_units,)."""
    both = np.isfinite(a) & np.isfinite(b)
    n = np.maximum(both.sum(axis=(0, 1)), 1)
    a, b = (np.where(both, x, 0) for x in (a, b))
    a, b = (np.where(both, x - x.sum(axis=(0, 1)) / n, 0) for x in (a, b))
    norms = np.sqrt((a**2).sum(axis=(0, 1)) * (b**2).sum(axis=(0, 1)))
    return (a * b).sum(axis=(0, 1)) / np.where(norms > 0, norms, np.nan)


def _independent(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return n (1 - p q) / (1 + p q) for lag-1 autocorrelations p, q (Bayley and Hammersley 1946): (n_units,)."""
    n = (np.isfinite(a) & np.isfinite(b)).sum(axis=(0, 1))
    if a.shape[1] < 3:
        return n.astype(float)
    p, q = (np.clip(np.nan_to_num(_correlate(x[:, 1:], x[:, :-1])), 0, 0.999) for x in (a, b))
    return n * (1 - p * q) / (1 + p * q)
