"""Metrics: agreement of predictions with the truth, one value per target.

A metric is a function of (predicted, true, weights) and an entry of `METRICS`.
"""

from collections.abc import Callable, Mapping

import numpy as np

from ..utils import BadInput

BLOCK = 1024  # targets compared at a time: their float64 copies fit into the processor's cache


def pearson(predicted, true, weights=None) -> np.ndarray:
    """Return Pearson's r of each target, computed in float64.

    Parameters
    ----------
    predicted, true : arrays or tensors of shape (n_rows, n_targets)
        Predictions and truth, in any units.
    weights : array of shape (n_rows,), optional
        Row weights; a row of weight 3 counts as three equal rows.

    Returns
    -------
    float64 array of shape (n_targets,)
        NaN where either side is constant up to rounding, or there are fewer than two rows.

    Raises
    ------
    BadInput
        If the shapes differ.

    Examples
    --------
    >>> pearson(np.array([[1.0], [2.0], [4.0]]), np.array([[0.0], [2.0], [6.0]])).round(3)
    array([1.])
    """
    import torch

    _check_shapes(predicted, true, weights)
    predicted, true = torch.as_tensor(predicted), torch.as_tensor(true)
    n_rows, n_targets = predicted.shape
    r = torch.full((n_targets,), torch.nan, dtype=torch.float64, device=predicted.device)
    if n_rows >= 2:
        share = _shares(weights, n_rows, predicted.device)
        for start in range(0, n_targets, BLOCK):
            block = slice(start, start + BLOCK)
            r[block] = _correlation(predicted[:, block], true[:, block].to(predicted.device), share)
    return r.cpu().numpy()


def accuracy(predicted, true, weights=None) -> np.ndarray:
    """Return the share of rows with the right label, for each target.

    Parameters
    ----------
    predicted, true : arrays of shape (n_rows, n_targets)
        Labels of any type.
    weights : array of shape (n_rows,), optional
        Row weights.

    Returns
    -------
    float64 array of shape (n_targets,)
        NaN without rows.

    Raises
    ------
    BadInput
        If the shapes differ.

    Examples
    --------
    >>> accuracy(np.array([["a"], ["b"]]), np.array([["a"], ["c"]]), np.array([3.0, 1.0]))
    array([0.75])
    """
    _check_shapes(predicted, true, weights)
    right = np.asarray(predicted) == np.asarray(true)
    if not len(right):
        return np.full(right.shape[1], np.nan)
    return np.average(right, axis=0, weights=weights)


def _shares(weights, n_rows: int, device):
    """Return the row weights as a float64 tensor that sums to 1."""
    import torch

    if weights is None:
        return torch.full((n_rows,), 1 / n_rows, dtype=torch.float64, device=device)
    weights = torch.as_tensor(weights, dtype=torch.float64, device=device)
    return weights / weights.sum()


def _correlation(x, y, share):
    """Return the weighted correlation of the columns of two tensors, NaN for one that is constant up to rounding."""
    import torch

    (x, mean_x, eps_x), (y, mean_y, eps_y) = _centred(x, share), _centred(y, share)
    of_x, of_y = share @ (x * x), share @ (y * y)
    constant = (of_x <= (eps_x * mean_x) ** 2) | (of_y <= (eps_y * mean_y) ** 2)
    r = share @ (x * y) / (of_x.sqrt() * of_y.sqrt())
    return torch.where(constant, torch.nan, r.clamp(-1, 1))


def _centred(x, share):
    """Return float64 columns minus their mean, the mean, and the relative rounding of the values."""
    import torch

    eps = 4 * torch.finfo(x.dtype if x.is_floating_point() else torch.float64).eps
    x = x.double()
    mean = share @ x
    return x - mean, mean, eps


def _check_shapes(predicted, true, weights) -> None:
    """Raise BadInput unless predictions, truth and weights have fitting shapes."""
    if tuple(predicted.shape) != tuple(true.shape) or len(true.shape) != 2:
        raise BadInput(
            f"predictions of shape {tuple(predicted.shape)} and truth of shape {tuple(true.shape)}; "
            f"expected both (n_rows, n_targets)"
        )
    if weights is not None and len(weights) != len(true):
        raise BadInput(f"{len(weights)} weights for {len(true)} rows; expected one weight per row")


METRICS: Mapping[str, Callable[..., np.ndarray]] = {"pearson": pearson, "accuracy": accuracy}
