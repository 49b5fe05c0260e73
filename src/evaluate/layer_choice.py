"""Choice of layers by their validation scores. NaN counts as the lowest score; of equal scores the first is chosen."""

import numpy as np

from ..utils import nan_mean, nan_median


def comparable(scores: np.ndarray) -> np.ndarray:
    """Return the scores with -inf in place of NaN."""
    return np.where(np.isnan(scores), -np.inf, scores)


def argbest(scores: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return the index of the highest score along an axis."""
    return comparable(scores).argmax(axis=axis)


def split_medians(scores: np.ndarray) -> np.ndarray:
    """Return the medians over targets, without NaN: (..., n_targets, n_splits) -> (..., n_splits)."""
    return nan_median(scores, axis=-2)


def layer_scores(valid: np.ndarray) -> np.ndarray:
    """Return the score that layers are chosen by, the mean over splits of the median over targets.

    valid: (n_layers, n_targets, n_splits); returns (n_layers,), -inf where a split has no target with a score.
    """
    return comparable(split_medians(valid).mean(axis=-1))


def best_layer(valid: np.ndarray) -> int:
    """Return the index of the layer with the highest `layer_scores`: valid (n_layers, n_targets, n_splits) -> int."""
    return int(layer_scores(valid).argmax())


def best_layer_per_unit(valid: np.ndarray, skip_nan: bool = False) -> np.ndarray:
    """Return each target's layer with the highest mean over splits: (n_layers, n_targets, n_splits) -> (n_targets,).

    skip_nan: average over the splits that have a score; otherwise a layer without a score in any one split is NaN.
    """
    return argbest(nan_mean(valid, axis=2) if skip_nan else np.mean(valid, axis=2))
