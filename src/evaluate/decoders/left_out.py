"""Exact predictions of rows that are left out of a ridge regression together, from one fit of all training rows.

With M = I - H the matrix that turns targets into residuals r = M y (intercept and row weights included), the residuals
of the rows C of a fit without them are (M_CC)^-1 r_C. C is a block and its gap; the rows of the block are kept. The
standardisation of the features stays that of all training rows, and so does the prediction at their mean: the mean
target of the other rows is lower where the block's is higher, so that predictions of targets that nothing predicts
would correlate negatively with them, the more the larger the penalty.

All quantities are in the units of `Eigendecomposition.U`: centred by the training mean, times the root weights.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...utils import BadInput
from .base import LeftOut
from .eigendecomposition import Eigendecomposition
from .tensors import matmul

MAX_BYTES = 2**26  # of a temporary over blocks
LEAST = 1e-13  # eigenvalues of M_CC below this share of its largest are raised to it
ROUNDING = 64  # largest error of predictions that would be 0, in units of the precision of the largest target


@dataclass(frozen=True)
class Blocks:
    """Blocks of equal size, as positions among the training rows.

    members: (n_blocks, size) int64, the rows of each block first, then its gap; n_scored: rows of a block.
    """

    members: torch.Tensor
    n_scored: int

    @property
    def scored(self) -> torch.Tensor:
        """Positions of the rows of the blocks: (n_blocks, n_scored)."""
        return self.members[:, : self.n_scored]

    def chunks(self, row_bytes: int) -> Iterator["Blocks"]:
        """Yield parts whose members, times `row_bytes`, fit into MAX_BYTES."""
        step = max(1, MAX_BYTES // max(1, self.members.shape[1] * row_bytes))
        for members in self.members.split(step):
            yield Blocks(members, self.n_scored)


class Partition:
    """Blocks over all rows of a problem; a row in no block is a block of its own.

    Parameters
    ----------
    left_out : sequence of LeftOut, or None
        Disjoint blocks; None: each row on its own.
    n_rows : int
        Number of rows of the problem.

    Raises
    ------
    BadInput
        For a row outside the problem, or in two blocks, or twice in one.
    """

    def __init__(self, left_out: Sequence[LeftOut] | None, n_rows: int):
        left_out = list(left_out or ())
        rows = [np.asarray(one.rows, dtype=np.int64).ravel() for one in left_out]
        gaps = [np.asarray(one.gap, dtype=np.int64).ravel() for one in left_out]
        covered = np.concatenate([np.zeros(0, dtype=np.int64), *rows])
        for given in (covered, *gaps):
            if len(given) and (given.min() < 0 or given.max() >= n_rows):
                raise BadInput(f"left-out rows reach from {given.min()} to {given.max()}; expected 0 to {n_rows - 1}")
        if len(np.unique(covered)) < len(covered):
            raise BadInput("a row is in two blocks that are left out, or twice in one; expected disjoint blocks")
        alone = np.setdiff1d(np.arange(n_rows), covered)
        scored, gap = np.concatenate([covered, alone]), np.concatenate([np.zeros(0, dtype=np.int64), *gaps])
        sizes = [len(one) for one in rows]
        of_scored = np.concatenate([np.repeat(np.arange(len(rows)), sizes), len(rows) + np.arange(len(alone))])
        of_gap = np.repeat(np.arange(len(rows)), [len(one) for one in gaps])
        # each block's rows, then its gap; a row of the gap that is also in the block counts once
        block, row = np.concatenate([of_scored, of_gap]).astype(np.int64), np.concatenate([scored, gap])
        is_gap = np.arange(len(row)) >= len(scored)
        kept = np.unique(block * n_rows + row, return_index=True)[1]
        order = kept[np.lexsort((row[kept], is_gap[kept], block[kept]))]
        self._block, self._row, self._is_gap = block[order], row[order], is_gap[order]
        self._n_rows, self._n_blocks = n_rows, len(rows) + len(alone)

    def of(self, train: np.ndarray, device: torch.device | str = "cpu") -> list[Blocks]:
        """Return the blocks of a split's training rows, by size; a block without training rows is left away."""
        place = np.full(self._n_rows, -1)
        place[train] = np.arange(len(train))
        kept = place[self._row] >= 0
        block, is_gap, position = self._block[kept], self._is_gap[kept], place[self._row[kept]]
        size = np.bincount(block, minlength=self._n_blocks)
        n_scored = np.bincount(block[~is_gap], minlength=self._n_blocks)
        found = []
        for scored, whole in np.unique(np.stack([n_scored, size], 1)[n_scored > 0], axis=0):
            members = position[((n_scored == scored) & (size == whole))[block]].reshape(-1, whole)
            found.append(Blocks(torch.from_numpy(members).to(device), int(scored)))
        return found


def restricted(left_out: Sequence[LeftOut] | None, rows: np.ndarray, n_rows: int) -> list[LeftOut] | None:
    """Return blocks of all rows as blocks of some of them, numbered by their positions among these.

    A block without a row is left away. rows: row indices; n_rows: number of all rows.
    """
    if left_out is None:
        return None
    place = np.full(n_rows, -1)
    place[rows] = np.arange(len(rows))
    moved = [LeftOut(*(part[part >= 0] for part in (place[one.rows], place[one.gap]))) for one in left_out]
    return [one for one in moved if len(one.rows)]


def inverses(eigen: Eigendecomposition, blocks: Blocks, penalty: torch.Tensor) -> torch.Tensor:
    """Return the weights of the residuals r_C of the blocks in what leaving out C changes: (n_blocks, n_scored, size).

    Rows of (M_CC)^-1, less the change of the prediction at the mean of the features, float64.
    """
    n_blocks, size = blocks.members.shape
    total = eigen.root @ eigen.root
    if size == 1:
        free = eigen.one_minus_leverage(penalty[None])[0] / (1 - eigen.root.square() / total)
        return 1 / free[blocks.members][:, :, None]
    found = eigen.U.new_empty(n_blocks, blocks.n_scored, size)
    left, start = eigen.unexplained(penalty[None])[0], 0
    for part in blocks.chunks(8 * eigen.U.shape[1]):
        root = eigen.root[part.members]
        inverse = _inverses(eigen, part, root, left)
        of_mean = root[:, : part.n_scored, None] * (root[:, None] @ inverse) / total
        found[start : start + len(inverse)] = inverse[:, : part.n_scored] - of_mean
        start += len(inverse)
    return found


def _inverses(eigen: Eigendecomposition, blocks: Blocks, root: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
    """Return (M_CC)^-1 of the blocks: (n_blocks, size, size). root: (n_blocks, size); left: (k,) share of residuals."""
    U, unit = eigen.U[blocks.members], (root / eigen.root.norm())[:, :, None]
    size = U.shape[1]
    if eigen.outside is not None and U.shape[2] + 1 < size:
        # I - M is of low rank: B B^T, and (I - B B^T)^-1 = I + B (I - B^T B)^-1 B^T (Woodbury)
        B = torch.cat([U * (1 - left).sqrt(), unit], dim=2)
        inverse = B @ _inverse(torch.eye(B.shape[2], dtype=B.dtype, device=B.device) - B.mT @ B) @ B.mT
        inverse.diagonal(dim1=1, dim2=2).add_(1)
        return inverse
    scaled = U * left.sqrt()
    M = scaled @ scaled.mT
    if eigen.outside is not None:
        # the projector on the complement of U and the intercept
        M += torch.eye(size, dtype=U.dtype, device=U.device) - unit @ unit.mT - U @ U.mT
    return _inverse(M)


def _inverse(M: torch.Tensor) -> torch.Tensor:
    """Return the inverses of positive matrices (n, size, size), with eigenvalues of at least LEAST of the largest."""
    factor, failed = torch.linalg.cholesky_ex(M)
    if not failed.any():
        return torch.cholesky_inverse(factor)
    values, vectors = torch.linalg.eigh(M)
    values = torch.maximum(values, values[:, -1:].clamp(min=1e-300) * LEAST)
    return (vectors / values[:, None]) @ vectors.mT


def predictions(
    eigen: Eigendecomposition, A: torch.Tensor, y: torch.Tensor, penalty: torch.Tensor, partition: Sequence[Blocks]
) -> torch.Tensor:
    """Return the predictions (n_train, n_columns) of each row by the fit without its block and gap, in y's dtype.

    0, the mean of all training rows, where a block and its gap are all training rows and leave nothing to fit.
    y: (n_train, n_columns); A = U^T y (k, n_columns); penalty: () float64.
    """
    left = eigen.unexplained(penalty[None])[0]
    # the smaller of the fitted values and the residuals is computed, the other is its difference from the targets
    shrunk = bool(left.mean() > 0.5) and eigen.outside is None
    part = matmul((eigen.U * (1 - left if shrunk else left)).to(y.dtype), A)
    if not shrunk and eigen.outside is not None:
        part += y - matmul(eigen.U.to(y.dtype), A)
    residual = y - part if shrunk else part
    found = torch.zeros_like(y)
    for blocks in partition:
        if blocks.members.shape[1] == len(y):
            continue
        W = inverses(eigen, blocks, penalty)
        if shrunk:
            W = W - torch.eye(W.shape[2], dtype=W.dtype, device=W.device)[: blocks.n_scored]
        W, start, of = W.to(y.dtype), 0, part if shrunk else y
        for piece in blocks.chunks(y.element_size() * y.shape[1]):
            change = W[start : start + len(piece.members)] @ residual[piece.members]
            found[piece.scored.reshape(-1)] = (of[piece.scored] - change).flatten(0, 1)
            start += len(piece.members)
    # of features that do not vary: rounding, which correlates with the targets
    precision = torch.finfo(torch.float64 if shrunk else y.dtype).eps
    found[:, found.abs().amax(dim=0) <= ROUNDING * precision * y.abs().amax(dim=0)] = 0
    return found


def smoother(eigen: Eigendecomposition, penalty: torch.Tensor, partition: Sequence[Blocks]) -> torch.Tensor:
    """Return the weights (n_train, n_train) float64 of the training targets in `predictions`.

    In the units of the targets, not of U; each row sums to 0 and is 0 in its block and gap.
    """
    n = len(eigen.root)
    M = (eigen.U * eigen.unexplained(penalty[None])[0]) @ eigen.U.T
    if eigen.outside is not None:
        unit = eigen.root / eigen.root.norm()
        M -= eigen.U @ eigen.U.T + unit[:, None] * unit
        M.diagonal().add_(1)
    found = torch.zeros(n, n, dtype=M.dtype, device=M.device)
    for blocks in partition:
        if blocks.members.shape[1] == n:
            continue
        W, start = inverses(eigen, blocks, penalty), 0
        for piece in blocks.chunks(8 * n):
            weights = -W[start : start + len(piece.members)] @ M[piece.members]
            weights -= eigen.root[piece.scored][:, :, None] * eigen.root / (eigen.root @ eigen.root)
            places = piece.members[:, None].expand(-1, piece.n_scored, -1)
            found[piece.scored.reshape(-1)] = weights.scatter_(2, places, 0.0).flatten(0, 1)
            start += len(piece.members)
    found[found.abs().amax(dim=1) <= ROUNDING * torch.finfo(found.dtype).eps] = 0
    return found.mul_(eigen.root / eigen.root[:, None])
