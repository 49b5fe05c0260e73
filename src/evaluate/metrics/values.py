"""Values of metrics: agreement of predictions with the truth, one value per target.

Each is a function of (predicted, true, weights).
"""

import numpy as np

from ...utils import BadInput

BLOCK_BYTES = {"cpu": 2**20, "cuda": 2**28}  # of targets compared at a time; on a CPU they fit into its cache


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
        for block in _blocks(predicted):
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


def r2(predicted, true, weights=None) -> np.ndarray:
    """Return the share of the variance of each target that its predictions explain, computed in float64.

    1 - sum of squared errors / sum of squares of the truth around its mean over these rows. Of predictions of held-out
    rows it is the cross-validated coefficient of determination: below 0 for predictions worse than the mean.

    Parameters
    ----------
    predicted, true : arrays or tensors of shape (n_rows, n_targets)
        Predictions and truth, in the same units.
    weights : array of shape (n_rows,), optional
        Row weights; a row of weight 3 counts as three equal rows.

    Returns
    -------
    float64 array of shape (n_targets,)
        NaN where the truth is constant up to rounding, or there are fewer than two rows.

    Raises
    ------
    BadInput
        If the shapes differ.

    Examples
    --------
    >>> r2(np.array([[1.0], [2.0], [4.0]]), np.array([[0.0], [2.0], [4.0]])).round(3)
    array([0.875])
    """
    import torch

    _check_shapes(predicted, true, weights)
    predicted, true = torch.as_tensor(predicted), torch.as_tensor(true)
    n_rows, n_targets = predicted.shape
    found = torch.full((n_targets,), torch.nan, dtype=torch.float64, device=predicted.device)
    if n_rows >= 2:
        share = _shares(weights, n_rows, predicted.device)
        for block in _blocks(predicted):
            y = true[:, block].to(predicted.device)
            error = predicted[:, block].double() - y
            y, mean, rounding, eps = _centred(y, share)
            of_y = share @ y.square_() - rounding.square()
            explained = 1 - share @ error.square_() / of_y
            found[block] = torch.where(of_y <= (eps * mean) ** 2, torch.nan, explained)
    return found.cpu().numpy()


def balanced_accuracy(predicted, true, weights=None) -> np.ndarray:
    """Return the mean over classes of the share of rows of the class with the right label, for each target.

    Parameters
    ----------
    predicted, true : arrays of shape (n_rows, n_targets)
        Labels of any type.
    weights : array of shape (n_rows,), optional
        Row weights.

    Returns
    -------
    float64 array of shape (n_targets,)
        NaN without rows; classes are those of the truth.

    Raises
    ------
    BadInput
        If the shapes differ.

    Examples
    --------
    >>> balanced_accuracy(np.array([["a"], ["a"], ["a"]]), np.array([["a"], ["a"], ["b"]]))
    array([0.5])
    """
    _check_shapes(predicted, true, weights)
    right, true = np.asarray(predicted) == np.asarray(true), np.asarray(true)
    weights = np.ones(len(true)) if weights is None else np.asarray(weights, dtype=np.float64)
    found = np.full(right.shape[1], np.nan)
    for j in range(len(found) if len(right) else 0):
        _, code = np.unique(true[:, j], return_inverse=True)
        found[j] = np.mean(np.bincount(code, weights * right[:, j]) / np.bincount(code, weights))
    return found


def top5(predicted, true, weights=None) -> np.ndarray:
    """Return the share of rows whose label is among the five most probable ones, for each target.

    Parameters
    ----------
    predicted : object array of shape (n_rows, n_targets)
        A sequence of labels each, the most probable first, see `evaluate.ranked.Ranked`.
    true : array of shape (n_rows, n_targets)
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
    >>> ranked = np.empty((1, 1), dtype=object)
    >>> ranked[0, 0] = ("a", "b", "c", "d", "e", "f")
    >>> top5(ranked, np.array([["e"]])), top5(ranked, np.array([["f"]]))
    (array([1.]), array([0.]))
    """
    _check_shapes(predicted, true, weights)
    right = in_top5(predicted, true)
    return np.average(right, axis=0, weights=weights) if len(right) else np.full(right.shape[1], np.nan)


def in_top5(predicted, true) -> np.ndarray:
    """Return a mask of the labels that are among the five most probable: (n_rows, n_targets)."""
    true = np.asarray(true)
    pairs = zip(np.asarray(predicted, dtype=object).ravel(), true.ravel(), strict=True)
    return np.array([label in ranked[:5] for ranked, label in pairs], dtype=bool).reshape(true.shape)


def of_each_class(predicted, true) -> np.ndarray:
    """Return, for each class of the truth, the rows of the class and those with the right label.

    predicted, true: (n_rows, n_targets); returns bool (2 n_classes, n_rows, n_targets), the terms of
    `balanced_accuracy`.
    """
    predicted, true = np.asarray(predicted), np.asarray(true)
    members = [true == label for label in np.unique(true)]
    return np.stack([*members, *(member & (predicted == true) for member in members)])


def mean_of_classes(means: list):
    """Return the mean over classes of the share with the right label, of the means of `of_each_class`."""
    import torch

    sizes, right = torch.stack(means[: len(means) // 2]), torch.stack(means[len(means) // 2 :])
    return (right / sizes).nanmean(dim=0)


def correlation_of_moments(mean_x, mean_y, var_x, var_y, cov):
    """Return Pearson's r of moments; the variances and the covariance are overwritten."""
    return cov.div_(var_x.mul_(var_y).sqrt_())


def r2_of_moments(mean_x, mean_y, var_x, var_y, cov):
    """Return the explained share of the variance of the truth y by predictions x."""
    return 1 - (var_x + var_y - 2 * cov + (mean_x - mean_y) ** 2) / var_y


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

    (x, mean_x, rounding_x, eps_x), (y, mean_y, rounding_y, eps_y) = _centred(x, share), _centred(y, share)
    of_x, of_y = share @ (x * x) - rounding_x.square(), share @ (y * y) - rounding_y.square()
    constant = (of_x <= (eps_x * mean_x) ** 2) | (of_y <= (eps_y * mean_y) ** 2)
    r = (share @ x.mul_(y) - rounding_x * rounding_y) / (of_x.sqrt() * of_y.sqrt())
    return torch.where(constant, torch.nan, r.clamp(-1, 1))


def _centred(x, share):
    """Return float64 columns minus their mean, the mean, the mean of what is left, and the values' relative rounding.

    The mean is computed in the precision of the values. What is left of it in a column must not count as variance.
    """
    import torch

    x = x if x.is_floating_point() else x.double()
    mean = (share.to(x.dtype) @ x).double()
    centred = x - mean
    return centred, mean, share @ centred, 4 * torch.finfo(x.dtype).eps


def _blocks(values):
    """Yield slices of columns (n_rows, n_columns) whose float64 copies take about BLOCK_BYTES."""
    n_rows, n_columns = values.shape
    width = max(1, BLOCK_BYTES["cpu" if values.device.type == "cpu" else "cuda"] // (8 * n_rows))
    for start in range(0, n_columns, width):
        yield slice(start, start + width)


def _check_shapes(predicted, true, weights) -> None:
    """Raise BadInput unless predictions, truth and weights have fitting shapes."""
    if tuple(predicted.shape) != tuple(true.shape) or len(true.shape) != 2:
        raise BadInput(
            f"predictions of shape {tuple(predicted.shape)} and truth of shape {tuple(true.shape)}; "
            f"expected both (n_rows, n_targets)"
        )
    if weights is not None and len(weights) != len(true):
        raise BadInput(f"{len(weights)} weights for {len(true)} rows; expected one weight per row")
