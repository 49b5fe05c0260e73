"""Aggregation of a score's arrays to the number that is printed: median over targets, mean over splits."""

from collections.abc import Mapping

import numpy as np

from .. import ceiling
from ..evaluate import align
from ..evaluate.layer_choice import split_medians, stored_rule
from ..utils import nan_mean


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


def headline_test(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the test scores of the layers that the headline of a score reports.

    Parameters
    ----------
    arrays : mapping of str to array
        "valid" and "test" of shape (n_layers, n_targets, n_splits); "layer_choice", see `evaluate.layer_choice.Rule`.

    Returns
    -------
    array of shape (n_targets, n_splits)

    Examples
    --------
    >>> arrays = {"valid": np.array([[[0.1, 0.3]], [[0.2, 0.1]]]), "test": np.array([[[0.7, 0.6]], [[0.5, 0.4]]])}
    >>> headline_test(arrays | {"layer_choice": np.array(["nested", "per target"])})
    array([[0.5, 0.6]])
    """
    return stored_rule(arrays).test(arrays)


def usable_ceiling(arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return the ceilings that scores are divided by.

    Parameters
    ----------
    arrays : mapping of str to array
        "ceiling" and "masked" of shape (n_targets,), both optional; "crossed" of shape (n_targets, n_windows), see
        `ceiling.Ceiling.crossed`, whose mean over windows replaces them.

    Returns
    -------
    array of shape (n_targets,) or None
        NaN for a target that is masked or whose ceiling is not above 0; None without ceilings.

    Examples
    --------
    >>> usable_ceiling({"ceiling": np.array([0.5, 0.8, 0.0]), "masked": np.array([False, True, False])})
    array([0.5, nan, nan])
    """
    if "crossed" in arrays:
        return nan_mean(np.asarray(arrays["crossed"], dtype=np.float64), axis=1)
    if "ceiling" not in arrays:
        return None
    ceiling = np.asarray(arrays["ceiling"], dtype=np.float64)
    ceiling = np.where(ceiling > 0, ceiling, np.nan)
    return np.where(np.asarray(arrays["masked"], bool), np.nan, ceiling) if "masked" in arrays else ceiling


def normalised(test: np.ndarray, arrays: Mapping[str, np.ndarray], columns: np.ndarray | slice = slice(None)) -> float:
    """Return the score in units of the ceiling, see `ceiling.normalised`.

    Parameters
    ----------
    test : array of shape (n_targets, n_splits)
        Scores.
    arrays : mapping of str to array
        The ceilings of all targets, see `usable_ceiling`.
    columns : int array or slice, optional
        Targets of `test` among all.

    Returns
    -------
    float
        NaN without a usable ceiling.

    Examples
    --------
    >>> normalised(np.array([[0.25, 0.5], [0.5, 0.5]]), {"ceiling": np.array([0.75, 0.0])})
    0.5
    """
    usable = np.asarray(arrays["crossed"]) if "crossed" in arrays else usable_ceiling(arrays)[:, None]
    return float(ceiling.normalised(test, usable[columns]))


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
