"""Rows of features and targets that are finite: the only ones that enter a regression."""

import numpy as np

from ..utils import BadInput

BLOCK_VALUES = 2**22


def finite_rows(values: np.ndarray) -> np.ndarray:
    """Return a mask of the rows without NaN and infinity: (n_rows, n_columns) -> bool (n_rows,)."""
    step = max(1, BLOCK_VALUES // max(1, values.shape[1]))
    parts = [np.isfinite(values[start : start + step]).all(axis=1) for start in range(0, len(values), step)]
    return np.concatenate(parts)


def finite_targets(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the targets with 0 in unusable entries, and a mask of the usable rows (n_rows,).

    targets: (n_rows, n_targets). A target that is never finite makes no row unusable. Labels are returned as they are.
    Raises BadInput for another number of axes, or none of an axis.
    """
    if targets.ndim != 2 or not targets.size:
        raise BadInput(f"targets of shape {targets.shape}; expected (n_rows, n_targets), not empty")
    if targets.dtype.kind != "f":
        return targets, np.ones(len(targets), dtype=bool)
    finite = finite_rows(targets)
    if finite.all():
        return targets, finite
    ever = np.isfinite(targets).any(axis=0)
    finite = finite_rows(targets[:, ever])
    return np.where(finite[:, None] & ever, targets, 0), finite
