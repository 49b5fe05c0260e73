"""Distance of test stimuli from the training stimuli, in the features of a layer.

A model that predicts films like those it was fitted to may fail on others. The distance says how far the films of a
test part are from what the fit has seen.
"""

from collections.abc import Sequence

import numpy as np

from ..utils import seed_from
from .decoders.base import Split

N_DIRECTIONS = (
    128  # of a random projection, which keeps distances within about a tenth (Johnson and Lindenstrauss 1984)
)
MAX_ROWS = 2000  # of either side of a comparison, evenly spaced


def distances(X: np.ndarray, splits: Sequence[Split], stimulus: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Return the distance of each split's test rows from its training rows.

    Features are standardised on the training rows. The distance of a row is the Euclidean one to the nearest training
    row; that of a split is the median over its test rows, divided by the median over training rows of the distance to
    the nearest row of another training stimulus. 1: no farther than training stimuli are from each other.

    Parameters
    ----------
    X : array of shape (n_rows, n_features)
        Features.
    splits : sequence of Split
    stimulus : int array of shape (n_rows,)
        Stimulus of each row.
    blocks : int array of shape (n_rows,)
        Segment of each row, in place of the stimulus where one stimulus trains alone.

    Returns
    -------
    float array of shape (n_splits,)
        NaN where one segment trains alone, or the training rows do not differ.

    Examples
    --------
    >>> rng, film = np.random.default_rng(0), np.repeat([0, 1, 2, 3], 50)
    >>> X = rng.standard_normal((200, 8)) + 20 * (film == 3)[:, None]
    >>> splits = [Split(np.flatnonzero(film < 2), np.array([], int), np.flatnonzero(film == k)) for k in (2, 3)]
    >>> distances(X, splits, film, film).round(0).tolist()
    [1.0, 26.0]
    """
    return np.array([_distance(X, split, stimulus, blocks) for split in splits])


def _distance(X: np.ndarray, split: Split, stimulus: np.ndarray, blocks: np.ndarray) -> float:
    train, test = _thinned(split.train), _thinned(split.test)
    group = stimulus[train] if len(np.unique(stimulus[train])) > 1 else blocks[train]
    if len(np.unique(group)) < 2 or not len(test):
        return float("nan")
    of_train = X[train].astype(np.float32)
    mean, deviation = of_train.mean(axis=0), of_train.std(axis=0)
    scale = np.where(deviation > 1e-6 * np.abs(mean), 1 / np.where(deviation > 0, deviation, 1), 0)
    direction = np.random.default_rng(seed_from("novelty", X.shape[1])).standard_normal((X.shape[1], N_DIRECTIONS))
    projection = (scale[:, None] * direction).astype(np.float32)
    known, new = (of_train - mean) @ projection, (X[test].astype(np.float32) - mean) @ projection
    among = _squared(known, known)
    among[group[:, None] == group] = np.inf
    usual = np.median(np.sqrt(among.min(axis=1)))
    return float(np.median(np.sqrt(_squared(new, known).min(axis=1))) / usual) if usual > 0 else float("nan")


def _thinned(rows: np.ndarray) -> np.ndarray:
    """Return at most MAX_ROWS of the rows, evenly spaced."""
    return rows[:: -(-len(rows) // MAX_ROWS)] if len(rows) else rows


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the squared distances of rows: (len(a), len(b))."""
    found = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1) - 2 * a @ b.T
    return np.maximum(found, 0, out=found)
