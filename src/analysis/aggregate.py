"""The one number of a score, from its arrays: median over targets and mean over splits of the chosen layer."""

from collections.abc import Mapping

import numpy as np


def nan_median(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Median that leaves NaN out and is NaN, without a warning, where there is nothing else."""
    return np.ma.filled(np.ma.median(np.ma.masked_invalid(values), axis=axis), np.nan)


def nan_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean that leaves NaN out and is NaN, without a warning, where there is nothing else."""
    return np.ma.filled(np.ma.mean(np.ma.masked_invalid(values), axis=axis), np.nan)


def chosen_layer(valid: np.ndarray) -> int:
    """The layer with the best validation score (median over targets, mean over splits): valid (n_layers, n_targets,
    n_splits) -> number, the first of equals."""
    return int(np.nan_to_num(nan_median(valid, axis=1).mean(axis=1), nan=-np.inf).argmax())


def headline(test: np.ndarray) -> float:
    """Median over targets, then mean over splits: (n_targets, n_splits) -> the number that is printed."""
    return float(nan_median(test, axis=0).mean())


def usable_ceiling(arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """(n_targets,) ceilings, NaN where a target is masked or its reliability is not positive; None without any."""
    if "ceiling" not in arrays:
        return None
    ceiling = np.asarray(arrays["ceiling"], dtype=np.float64)
    ceiling = np.where(ceiling > 0, ceiling, np.nan)
    return np.where(np.asarray(arrays["masked"], bool), np.nan, ceiling) if "masked" in arrays else ceiling


def normalised(test: np.ndarray, ceiling: np.ndarray) -> float:
    """Median over targets of split-mean test / ceiling: (n_targets, n_splits), (n_targets,) -> number."""
    return float(nan_median(test.mean(axis=1) / ceiling))


def regions(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """{region: (n_targets,) bool} in the order in which they first come; empty where targets have none."""
    if "target_region" not in arrays:
        return {}
    of_target = np.asarray(arrays["target_region"]).astype(str)
    return {region: of_target == region for region in dict.fromkeys(of_target.tolist())}
