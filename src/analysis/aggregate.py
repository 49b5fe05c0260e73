"""Aggregation of a score's arrays to the number that is printed: median over targets, mean over splits."""

from collections.abc import Mapping

import numpy as np

from ..evaluate import align
from ..evaluate.layer_choice import best_layer, split_medians
from ..utils import nan_median


def aggregate(test: np.ndarray) -> float:
    """Return the mean over splits of the median over targets.

    Parameters
    ----------
    test : array of shape (n_targets, n_splits)
        Scores of one layer, NaN = undefined.

    Returns
    -------
    float
        NaN if a split has no target with a score.

    Examples
    --------
    >>> aggregate(np.array([[0.25, 0.5], [0.5, 0.25], [0.75, np.nan]]))
    0.4375
    """
    return float(split_medians(test).mean())


def best_layer_test(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the test scores of the layer with the best validation score.

    Parameters
    ----------
    arrays : mapping of str to array
        "valid" and "test" of shape (n_layers, n_targets, n_splits).

    Returns
    -------
    array of shape (n_targets, n_splits)

    Examples
    --------
    >>> best_layer_test({"valid": np.array([[[0.1]], [[0.2]]]), "test": np.array([[[0.7]], [[0.5]]])})
    array([[0.5]])
    """
    return np.asarray(arrays["test"])[best_layer(np.asarray(arrays["valid"]))]


def usable_ceiling(arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return the ceilings that scores are divided by.

    Parameters
    ----------
    arrays : mapping of str to array
        "ceiling" and "masked" of shape (n_targets,), both optional.

    Returns
    -------
    array of shape (n_targets,) or None
        NaN for a target that is masked or whose ceiling is not above 0; None without ceilings.

    Examples
    --------
    >>> usable_ceiling({"ceiling": np.array([0.5, 0.8, 0.0]), "masked": np.array([False, True, False])})
    array([0.5, nan, nan])
    """
    if "ceiling" not in arrays:
        return None
    ceiling = np.asarray(arrays["ceiling"], dtype=np.float64)
    ceiling = np.where(ceiling > 0, ceiling, np.nan)
    return np.where(np.asarray(arrays["masked"], bool), np.nan, ceiling) if "masked" in arrays else ceiling


def normalised(test: np.ndarray, ceiling: np.ndarray) -> float:
    """Return the median over targets of split-mean score / ceiling.

    Parameters
    ----------
    test : array of shape (n_targets, n_splits)
        Scores of one layer.
    ceiling : array of shape (n_targets,)
        Usable ceilings, NaN for targets that are left out.

    Returns
    -------
    float

    Examples
    --------
    >>> normalised(np.array([[0.25, 0.5], [0.5, 0.5]]), np.array([0.75, np.nan]))
    0.5
    """
    return float(nan_median(test.mean(axis=1) / ceiling))


def regions(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the targets of each region.

    Parameters
    ----------
    arrays : mapping of str to array
        "target_region" of shape (n_targets,), optional.

    Returns
    -------
    dict of str to int array
        {region: indices of its targets} in the order of first occurrence; empty without regions.

    Examples
    --------
    >>> regions({"target_region": np.array(["V1", "MT", "V1"])})
    {'V1': array([0, 2]), 'MT': array([1])}
    """
    return align.regions({"region": arrays["target_region"]} if "target_region" in arrays else {})
