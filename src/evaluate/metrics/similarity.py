"""Similarity of two sets of responses to the same rows (stimuli, time bins), without a fit.

Representational similarity and centred kernel alignment compare pairs of rows: a measure turns responses into one value
per pair, and the similarity is a cosine over the pairs that are kept. Pairs nearer in time than the gap are left out,
since slow drift makes them alike in both. Soft matching compares units instead.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .base import NO_FIT, NUMBERS, Metric

MATCHED = 100  # most units of each side that soft matching compares


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows that a similarity compares: bool (n_rows, n_rows), symmetric, False on the diagonal."""

    kept: np.ndarray

    @cached_property
    def upper(self) -> np.ndarray:
        """Flat indices of the pairs in the upper triangle."""
        return np.flatnonzero(np.triu(self.kept))

    def project(self, values: np.ndarray) -> np.ndarray:
        """Return the residuals of pair values v_ij after a least-squares fit of a_i + a_j; 0 for pairs left out."""
        values = np.where(self.kept, values, 0.0)
        return self._without(values, self._effects @ values.sum(axis=1))

    def whiten(self, values: np.ndarray) -> np.ndarray:
        """Return V^-1 v for the covariance of squared distances under noise, V = 2 I + A A^T, up to a factor.

        A (n_pairs, n_rows) holds the rows of each pair: two distances share noise if they share a row. By the formula
        of Woodbury the inverse is that of a matrix of n_rows, for any set of pairs.
        """
        values = np.where(self.kept, values, 0.0)
        return self._without(values, self._noise_effects @ values.sum(axis=1))

    def centre(self, values: np.ndarray) -> np.ndarray:
        """Return the values less their mean over the pairs; 0 for pairs left out."""
        mean = values[self.kept].mean() if self.kept.any() else 0.0
        return np.where(self.kept, values - mean, 0.0)

    def _without(self, values: np.ndarray, effects: np.ndarray) -> np.ndarray:
        return np.where(self.kept, values - effects[:, None] - effects[None], 0.0)

    @cached_property
    def _effects(self) -> np.ndarray:
        """Pseudo-inverse of A^T A, which all measures on these pairs share."""
        return np.linalg.pinv(self.kept + np.diag(self.kept.sum(axis=1)).astype(float), hermitian=True)

    @cached_property
    def _noise_effects(self) -> np.ndarray:
        """Inverse of 2 I + A^T A."""
        return np.linalg.inv(self.kept + np.diag(self.kept.sum(axis=1) + 2.0))


Measure = Callable[[np.ndarray, Pairs], tuple[np.ndarray, np.ndarray]]


def correlation_distances(X: np.ndarray) -> np.ndarray:
    """Return 1 - r between the rows of responses over units: (n_rows, n_units) -> (n_rows, n_rows); NaN if constant."""
    X = X.astype(np.float64)
    X = X - X.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(X, axis=1)
    X = X / np.where(norm > 1e-12, norm, np.nan)[:, None]
    return 1 - X @ X.T


def squared_distances(X: np.ndarray) -> np.ndarray:
    """Return the squared Euclidean distances between the rows, divided by the number of units: (n_rows, n_rows)."""
    K = _gram(X)
    squares = np.diag(K)
    return (squares[:, None] + squares[None] - 2 * K) / max(1, X.shape[1])


def _gram(X: np.ndarray) -> np.ndarray:
    X = X.astype(np.float64)
    X = X - X.mean(axis=0)
    return X @ X.T


def ranks(X: np.ndarray, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Return the ranks of the correlation distances of the pairs, less their mean, twice: their cosine is Spearman's r.

    Kriegeskorte, Mur and Bandettini 2008, Frontiers in Systems Neuroscience 2:4.
    """
    distances = correlation_distances(X)
    values, found = distances.ravel()[pairs.upper], np.zeros(distances.shape)
    if not np.isfinite(values).all():
        return found, found
    found.ravel()[pairs.upper] = mean_ranks(values) - (len(values) + 1) / 2
    found += found.T
    return found, found


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of values (n,), from 1, equal values their mean rank; half the cost of `scipy.stats.rankdata`.

    Examples
    --------
    >>> mean_ranks(np.array([0.3, 0.1, 0.3])).tolist()
    [2.5, 1.0, 2.5]
    """
    order, ranks = values.argsort(), np.empty(len(values))
    ranks[order] = np.arange(1.0, len(values) + 1)
    ordered = values[order]
    new = ordered[1:] != ordered[:-1]
    if new.all():
        return ranks
    edges = np.concatenate([[0], np.flatnonzero(new) + 1, [len(values)]])
    ranks[order] = np.repeat((edges[:-1] + edges[1:] + 1) / 2, np.diff(edges))
    return ranks


def whitened(X: np.ndarray, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Return the squared distances of the pairs less their mean, as they are and multiplied by the inverse of V.

    Their product is the correlation of distances, weighted by the precision of distances under noise (Diedrichsen,
    Berlot, Mur, Schuett, Shahbazi and Kriegeskorte 2021, Neurons, Behavior, Data Analysis and Theory 5:3).
    """
    centred = pairs.centre(squared_distances(X))
    return centred, pairs.whiten(centred)


def kernel(X: np.ndarray, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Return the linear kernel of the pairs less row and column effects, twice: their cosine is debiased linear CKA.

    Without pairs left out the residuals are the U-centred kernel of the unbiased HSIC (Song et al. 2012, JMLR 13:1393;
    Kornblith et al. 2019, ICML, 97:3519).
    """
    centred = pairs.project(_gram(X))
    return centred, centred


@dataclass(frozen=True)
class Compared:
    """Similarity of two sides: the score and, if wanted, the influences of blocks on it, (n_blocks,) of sum 0."""

    score: float
    influence: np.ndarray | None = None


def compare_pairs(a, b, member: np.ndarray | None = None) -> Compared:
    """Return the cosine of two sides over the pairs, from what a measure returned of each.

    member: (n_blocks, n_rows) of 0 and 1, None for a score without influences. The influence of a block is (m - 1) / m
    times the change of the score where the block's pairs are left out (jackknife over m blocks).
    """
    (first, _), (second, weighted) = a, b
    if member is None:
        return Compared(_cosine(*(np.vdot(x, y) for x, y in ((first, weighted), (first, a[1]), (second, weighted)))))
    parts = [first * weighted, first * a[1], second * weighted]
    sums = [part.sum() for part in parts]
    score = _cosine(*sums)
    blocks, m = [member @ part @ member.T for part in parts], len(member)
    left = [total - 2 * block.sum(axis=1) + np.diag(block) for total, block in zip(sums, blocks, strict=True)]
    changes = score - np.array([_cosine(*of_block) for of_block in zip(*left, strict=True)])
    changes = np.where(np.isfinite(changes), changes, 0.0) * (m - 1) / m
    return Compared(score, changes - changes.mean())


def _cosine(xy: float, xx: float, yy: float) -> float:
    return float(np.clip(xy / np.sqrt(xx * yy), -1, 1)) if min(xx, yy) > 0 else float("nan")


def units(X: np.ndarray, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Return standardised units (n_rows, at most 100), evenly spaced, twice; constant ones are left out."""
    X = X[:, np.unique(np.linspace(0, X.shape[1] - 1, min(MATCHED, X.shape[1])).astype(int))].astype(np.float64)
    deviation = X.std(axis=0)
    X = X[:, deviation > 1e-12]
    Z = (X - X.mean(axis=0)) / np.where(deviation > 1e-12, deviation, 1)[deviation > 1e-12]
    return Z, Z


def soft_matching(correlations: np.ndarray) -> np.ndarray:
    """Return the soft matching P (n, m) of units that maximises sum(P * correlations), of marginals 1/n and 1/m.

    Khosla and Williams 2024, Proceedings of UniReps, PMLR 243:326. With n = m it is a permutation divided by n.
    """
    from scipy.optimize import linear_sum_assignment, linprog
    from scipy.sparse import eye, kron, vstack

    n, m = correlations.shape
    plan = np.zeros((n, m))
    if n == m:
        plan[linear_sum_assignment(-correlations)] = 1 / n
        return plan
    rows, columns = kron(eye(n), np.ones((1, m))), kron(np.ones((1, n)), eye(m))
    marginals = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    found = linprog(-correlations.ravel(), A_eq=vstack([rows, columns]), b_eq=marginals, method="highs")
    return found.x.reshape(n, m)


def permuted_pairs(side, order: np.ndarray):
    """Return a side of `compare_pairs` with its rows in another order."""
    return tuple(part[np.ix_(order, order)] for part in side)


def permuted_units(side, order: np.ndarray):
    """Return a side of `compare_units` with its rows in another order."""
    return tuple(part[order] for part in side)


def compare_units(a, b, member: np.ndarray | None = None) -> Compared:
    """Return the mean correlation of softly matched units; the influences keep the matching."""
    (x, _), (y, _) = a, b
    if not x.shape[1] or not y.shape[1]:
        return Compared(float("nan"), None if member is None else np.zeros(len(member)))
    r = x.T @ y / len(x)
    plan = soft_matching(r)
    score = float((plan * r).sum())
    if member is None:
        return Compared(score)
    # influence of a row on a correlation: x y - r (x^2 + y^2) / 2
    weighted = plan * r
    of_rows = ((x @ plan) * y).sum(axis=1) - (x**2 @ weighted.sum(axis=1) + y**2 @ weighted.sum(axis=0)) / 2
    changes = member @ of_rows / len(x)
    return Compared(score, changes - changes.mean())


@dataclass(frozen=True)
class SimilarityMetric(Metric):
    """A metric of the similarity of representations, one value per region; parameters as for `Metric`, and these.

    Parameters
    ----------
    measure : function
        (responses (n_rows, n_units), `Pairs`) -> two arrays of the side, which `compare` multiplies.
    compare : function
        (measure of the model, measure of the responses, member (n_blocks, n_rows) or None) -> `Compared`.
    permuted : function
        (measure of the responses, order (n_rows,)) -> the measure of responses in another order.
    corrected : bool, default True
        True: the ceiling is the square root of the agreement of two halves of the repetitions, corrected to the whole
        by the formula of Spearman and Brown. False, for a measure whose noise averages to 0: it is
        sqrt(<half, half>) / |whole|.
    least_units : int, default 1
        Number of units of a region below which the metric is undefined.
    """

    ceiling_is: str = "from the agreement of halves of the repetitions"
    of_regions: bool = True
    measure: Measure | None = None
    compare: Callable[..., Compared] = compare_pairs
    permuted: Callable = permuted_pairs
    corrected: bool = True
    least_units: int = 1

    @property
    def fitted(self) -> bool:
        """True if the predictions of an encoding model are compared, not the activations."""
        return self.needs == NUMBERS

    @property
    def resampled(self) -> bool:
        return True


SIMILARITY_METRICS = (
    SimilarityMetric(
        *("rsa", "RSA rho", "representational similarity (Spearman)", NO_FIT),
        measure=ranks,
        least_units=3,
    ),
    SimilarityMetric(
        *("rsa_whitened", "RSA r", "representational similarity (whitened r)", NO_FIT),
        measure=whitened,
        corrected=False,
    ),
    SimilarityMetric(
        *("versa", "veRSA rho", "representational similarity of predictions (Spearman)", NUMBERS),
        measure=ranks,
        least_units=3,
    ),
    SimilarityMetric(*("cka", "CKA", "debiased linear CKA", NO_FIT), measure=kernel, corrected=False),
    SimilarityMetric(
        *("soft_matching", "matched r", "soft matching (mean r)", NO_FIT),
        measure=units,
        compare=compare_units,
        permuted=permuted_units,
    ),
)
