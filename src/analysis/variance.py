"""Variance partitioning between feature sets (or layers): joint, unique and shared explained variance of held-out rows.

Unique: explained variance that is lost without a set; shared: joint explained variance minus all unique parts
(Lescroart, Stansbury and Gallant 2015, Frontiers in Computational Neuroscience 9:135).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluate.decoders.banded import BandedRidge
from ..evaluate.decoders.base import Decoder, LeftOut, Split
from ..evaluate.decoders.left_out import restricted
from ..utils import BadInput

ALPHAS = tuple(np.logspace(-3, 3, 7).tolist())  # times trace(K) / n of each set's kernel
FEW_ALPHAS = tuple(np.logspace(-3, 3, 4).tolist())  # for more than two sets: the combinations multiply


@dataclass(frozen=True)
class Partition:
    """Explained variance (R^2 on test rows, mean over splits) of each target.

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


def partition(
    features: Mapping[str, np.ndarray],
    targets: np.ndarray,
    splits: Sequence[Split],
    *,
    weights: np.ndarray | None = None,
    left_out: Sequence[LeftOut] | None = None,
    decoder: Callable[[Sequence[int]], Decoder] | None = None,
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
        Blocks of rows that are left out together to choose the penalties; by default the decoder has another criterion.
    decoder : function, optional
        From the sets' numbers of features to a decoder. By default banded ridge regression with a penalty per set and
        target, by the blocks or, without them, the generalised error.

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
    names = list(features)
    if len(names) < 2:
        raise BadInput(f"{len(names)} feature sets; expected at least two to partition the variance between")
    make = decoder or _banded(len(names), "gcv" if left_out is None else "blocks")

    def explained(sets: Sequence[str]) -> np.ndarray:
        """Return the split-mean R^2 of some sets together."""
        X = np.hstack([np.asarray(features[name]) for name in sets])
        sizes = [np.shape(features[name])[1] for name in sets]
        return np.mean([_r2(make(sizes), X, targets, split, weights, left_out) for split in splits], axis=0)

    joint = explained(names)
    alone = {name: explained([name]) for name in names}
    others = {name: [other for other in names if other != name] for name in names}
    without = {name: alone[rest[0]] if len(rest) == 1 else explained(rest) for name, rest in others.items()}
    unique = {name: joint - without[name] for name in names}
    return Partition(joint, alone, without, unique, joint - sum(unique.values()))


def _banded(n_sets: int, penalty: str) -> Callable[[Sequence[int]], BandedRidge]:
    """Return a function from the sets' numbers of features to a banded ridge regression."""
    alphas = ALPHAS if n_sets == 2 else FEW_ALPHAS
    return lambda sizes: BandedRidge(list(sizes), alphas=alphas, penalty=penalty, scaled=True)


def _r2(decoder: Decoder, X: np.ndarray, Y: np.ndarray, split: Split, weights, left_out) -> np.ndarray:
    """Return 1 - squared error / squared deviation from the test mean: (n_targets,), NaN for a constant target."""
    of_rows = (None, None) if weights is None else (weights[split.train], weights[split.test])
    blocks = {} if left_out is None else {"left_out": restricted(left_out, split.train, len(X))}
    predicted = np.asarray(decoder.fit(X[split.train], Y[split.train], of_rows[0], **blocks).predict(X[split.test]))
    true = np.asarray(Y[split.test], dtype=np.float64)
    spread = np.average((true - np.average(true, axis=0, weights=of_rows[1])) ** 2, axis=0, weights=of_rows[1])
    error = np.average((true - predicted) ** 2, axis=0, weights=of_rows[1])
    return 1 - error / np.where(spread > 0, spread, np.nan)
