"""How well any model could do: split-half reliability of the recordings, one value per unit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .utils import BadInput

MASK_BELOW = 0.4
FDR = 0.05


@dataclass(frozen=True)
class Ceiling:
    """The agreement of recordings with themselves.

    raw: (n_splits, n_units) Pearson r between random halves of the repetitions, over stimuli x time;
    n_bins: stimulus x time bins behind each r; n_independent: (n_units,) the number of independent samples they are
    worth, given how slowly the responses change.
    """

    raw: np.ndarray
    n_bins: float
    n_independent: np.ndarray

    @property
    def reliability(self) -> np.ndarray:
        """(n_units,) reliability of the mean over all repetitions: 2r / (1 + r) (Spearman 1910; Brown 1910)."""
        raw = self.raw.mean(axis=0)
        return 2 * raw / (1 + raw)

    @property
    def spread(self) -> np.ndarray:
        """(n_units,) standard deviation of the corrected value over the splits."""
        return (2 * self.raw / (1 + self.raw)).std(axis=0)

    @property
    def best_r(self) -> np.ndarray:
        """(n_units,) correlation that a perfect model reaches with the mean: sqrt(reliability); NaN where below 0."""
        return np.sqrt(np.where(self.reliability > 0, self.reliability, np.nan))

    @property
    def significant(self) -> np.ndarray:
        """(n_units,) whether r > 0 by Fisher's z on the independent samples, Benjamini-Hochberg at 0.05."""
        # scipy.stats takes longer to import than a cached re-run may take
        from scipy.stats import false_discovery_control, norm

        z = np.arctanh(np.clip(np.nan_to_num(self.raw.mean(axis=0)), -0.999999, 0.999999))
        return false_discovery_control(norm.sf(z * np.sqrt(np.maximum(self.n_independent - 3, 0)))) <= FDR

    @property
    def masked(self) -> np.ndarray:
        """(n_units,) whether a map leaves the unit out: reliability below 0.4 or not significant."""
        return ~((self.reliability >= MASK_BELOW) & self.significant)


def split_half(values: np.ndarray, subjects: Sequence[str], *, n_splits: int = 10, seed: int = 0) -> Ceiling:
    """Correlations between the means of random halves of the repetitions.

    Parameters: `values` (n_stimuli, n_repetitions, n_time, n_units), NaN = not recorded; `subjects` (n_repetitions,).
    With more than one subject the halves are drawn over subjects, so that one subject's runs stay together.
    Raises BadInput when there is nothing to halve.
    """
    owners = np.asarray(subjects)
    if len(set(owners)) < 2:
        owners = np.arange(len(owners)).astype(str)
    people = np.unique(owners)
    if len(people) < 2:
        raise BadInput("1 repetition; expected at least 2 for a ceiling: use --no-ceiling or a dataset that repeats")
    halves = []
    for k in range(n_splits):
        first = np.isin(owners, np.random.default_rng([seed, k]).permutation(people)[: len(people) // 2])
        halves.append([_mean(values[:, half]) for half in (first, ~first)])
    raw = np.stack([_correlate(a, b) for a, b in halves])
    return Ceiling(raw, float(values.shape[0] * values.shape[2]), _independent(*halves[0]))


def joint(ceilings: Sequence[Ceiling], weights: Sequence[float]) -> Ceiling:
    """The ceiling of datasets scored together: raw agreement averaged by bins x weight (a 3 s clip's bin counts 3)."""
    share = np.array([c.n_bins * w for c, w in zip(ceilings, weights, strict=True)])
    raw = sum(c.raw * s for c, s in zip(ceilings, share / share.sum(), strict=True))
    return Ceiling(raw, float(share.sum()), sum(c.n_independent for c in ceilings))


def _mean(values: np.ndarray) -> np.ndarray:
    """(n_stimuli, n_repetitions, n_time, n_units) -> (n_stimuli, n_time, n_units), NaN where nothing was recorded."""
    recorded = np.isfinite(values)
    count = recorded.sum(axis=1)
    total = np.where(recorded, values, 0).sum(axis=1, dtype=np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _correlate(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson r per unit over the stimuli and bins in which both halves were recorded: (n_units,)."""
    both = np.isfinite(a) & np.isfinite(b)
    n = np.maximum(both.sum(axis=(0, 1)), 1)
    a, b = (np.where(both, x, 0) for x in (a, b))
    a, b = (np.where(both, x - x.sum(axis=(0, 1)) / n, 0) for x in (a, b))
    norms = np.sqrt((a**2).sum(axis=(0, 1)) * (b**2).sum(axis=(0, 1)))
    return (a * b).sum(axis=(0, 1)) / np.where(norms > 0, norms, np.nan)


def _independent(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """n (1 - p q) / (1 + p q) for series with lag-1 autocorrelations p, q (Bayley & Hammersley 1946): (n_units,)."""
    n = (np.isfinite(a) & np.isfinite(b)).sum(axis=(0, 1))
    if a.shape[1] < 3:
        return n.astype(float)
    p, q = (np.clip(np.nan_to_num(_correlate(x[:, 1:], x[:, :-1])), 0, 0.999) for x in (a, b))
    return n * (1 - p * q) / (1 + p * q)
