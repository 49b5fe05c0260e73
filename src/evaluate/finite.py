"""Rows of features and targets that are finite: the only ones that enter a regression."""

from dataclasses import dataclass

import numpy as np

from ..utils import BadInput

BLOCK_VALUES = 2**22


def finite_rows(values: np.ndarray) -> np.ndarray:
    """Return a mask of the rows without NaN and infinity: (n_rows, n_columns) -> bool (n_rows,)."""
    step = max(1, BLOCK_VALUES // max(1, values.shape[1]))
    parts = [np.isfinite(values[start : start + step]).all(axis=1) for start in range(0, len(values), step)]
    return np.concatenate(parts)


def usual_rows(targets: np.ndarray) -> int:
    """Return the median over targets (n_rows, n_targets) of their finite rows, of those that have any."""
    step = max(1, BLOCK_VALUES // max(1, targets.shape[1]))
    parts = [np.isfinite(targets[start : start + step]).sum(axis=0) for start in range(0, len(targets), step)]
    count = np.sum(parts, axis=0)
    return int(np.median(count[count > 0])) if count.any() else 0


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


@dataclass(frozen=True)
class Pattern:
    """Targets that are finite in the same rows.

    columns: (n_columns,) indices among all targets; targets: (n_rows, n_columns), 0 in rows that are not finite; rows:
    (n_rows,) mask of the finite ones.
    """

    columns: np.ndarray
    targets: np.ndarray
    rows: np.ndarray


def patterns(targets: np.ndarray, by_target: bool) -> list[Pattern]:
    """Return the targets by their pattern of finite rows.

    targets: (n_rows, n_targets). by_target: a target is used in its own finite rows, and in no pattern without any;
    otherwise all targets are used in the rows where all of them are finite, see `finite_targets`.
    """
    everything = np.arange(targets.shape[-1])
    if not by_target or targets.dtype.kind != "f" or targets.ndim != 2 or np.isfinite(targets).all():
        filled, rows = finite_targets(targets)
        return [Pattern(everything, filled, rows)]
    finite = np.isfinite(targets)
    packed = np.ascontiguousarray(np.packbits(finite, axis=0).T)
    _, first, pattern = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    found = []
    for one in np.argsort(first):
        columns = np.flatnonzero(pattern.reshape(-1) == one)
        rows = finite[:, columns[0]]
        if rows.any():
            found.append(Pattern(columns, np.where(rows[:, None], targets[:, columns], 0), rows))
    if not found:
        raise BadInput("no target has a finite value; expected recorded responses")
    return found
