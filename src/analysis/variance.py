"""Variance partitioning: what feature sets (or layers) explain alone, together, and only each by itself.

Unique: explained variance that is lost without a set; shared: what is left of the joint one when all unique parts are
taken off (Lescroart, Stansbury and Gallant 2015, Frontiers in Computational Neuroscience 9:135). All on held-out rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluate.decoders.banded import BandedRidge
from ..evaluate.decoders.base import Split
from ..utils import BadInput

ALPHAS = tuple(np.logspace(-1, 5, 7).tolist())
FEW_ALPHAS = tuple(np.logspace(-1, 5, 4).tolist())  # for more than two sets, whose combinations multiply


@dataclass(frozen=True)
class Partition:
    """R^2 per target on test rows, mean over splits: (n_targets,) each.

    joint: of all sets; alone, without, unique: {set: ...} of the set by itself, of all others, and joint - without;
    shared: joint less all unique parts. Shared parts may be below 0: of sets that suppress each other, or by chance.
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
    decoder: Callable[[Sequence[int]], object] | None = None,
) -> Partition:
    """Variance partitioning of targets (n_rows, n_targets) between sets {name: (n_rows, n_features)}.

    weights: (n_rows,) or None; decoder: from the sets' numbers of features to a decoder with `fit` and `predict`, by
    default banded ridge with a penalty for each set and target. Raises BadInput for fewer than two sets.
    """
    names = list(features)
    if len(names) < 2:
        raise BadInput(f"{len(names)} feature sets; expected at least two to part the variance between")
    make = decoder or _banded(len(names))

    def explained(sets: Sequence[str]) -> np.ndarray:
        X = np.hstack([np.asarray(features[name]) for name in sets])
        sizes = [np.shape(features[name])[1] for name in sets]
        return np.mean([_r2(make(sizes), X, targets, split, weights) for split in splits], axis=0)

    joint = explained(names)
    alone = {name: explained([name]) for name in names}
    others = {name: [other for other in names if other != name] for name in names}
    without = {name: alone[rest[0]] if len(rest) == 1 else explained(rest) for name, rest in others.items()}
    unique = {name: joint - without[name] for name in names}
    return Partition(joint, alone, without, unique, joint - sum(unique.values()))


def _banded(n_sets: int) -> Callable[[Sequence[int]], BandedRidge]:
    return lambda sizes: BandedRidge(list(sizes), alphas=ALPHAS if n_sets == 2 else FEW_ALPHAS)


def _r2(decoder, X: np.ndarray, Y: np.ndarray, split: Split, weights: np.ndarray | None) -> np.ndarray:
    """1 - squared error / squared deviation from the test rows' mean: (n_targets,); NaN for a constant target."""
    of_rows = (None, None) if weights is None else (weights[split.train], weights[split.test])
    predicted = np.asarray(decoder.fit(X[split.train], Y[split.train], of_rows[0]).predict(X[split.test]))
    true = np.asarray(Y[split.test], dtype=np.float64)
    spread = np.average((true - np.average(true, axis=0, weights=of_rows[1])) ** 2, axis=0, weights=of_rows[1])
    error = np.average((true - predicted) ** 2, axis=0, weights=of_rows[1])
    return 1 - error / np.where(spread > 0, spread, np.nan)
