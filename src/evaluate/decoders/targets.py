"""Targets of ridge regression, prepared once for all layers and splits.

The summed squared leave-one-out error is the same for any targets L with L L^T = Y Y^T. With more targets than rows,
the choice of one alpha for all targets therefore needs only n_rows surrogates L, which are computed once.
"""

from collections.abc import Iterator
from itertools import pairwise
from threading import Lock

import numpy as np
import torch

from .tensors import matmul

MAX_BYTES = 2**28
NEAR_0 = 1e-2  # a mean below this share of the root mean square counts as 0
STRIPES = 8  # of a symmetric product, each up to the diagonal: 9/16 of the work


class Targets:
    """Finite targets (n_rows, n_targets), shifted by `offset` (n_targets,) to about mean 0.

    float64 if there are no more targets than rows, else float32; float32 targets of about mean 0 are not copied. A
    batch holds as many targets as fit into `max_bytes` with their components and predictions. used: indices of the rows
    that any split trains on, None for all.
    """

    def __init__(self, Y: np.ndarray, device: str = "cpu", max_bytes: int = MAX_BYTES, used: np.ndarray | None = None):
        n_rows, n_targets = Y.shape
        Y = Y if Y.dtype in (np.float32, np.float64) else Y.astype(np.float64)
        # an approximate mean is enough: the mean of each split's training rows is subtracted later
        self.offset = np.full(n_rows, 1 / n_rows, dtype=Y.dtype) @ Y
        dtype = np.float64 if n_targets <= n_rows else np.float32
        if Y.dtype == dtype == np.float32 and Y.flags.writeable and _is_about_0(self.offset, Y):
            self.offset, shifted = np.zeros_like(self.offset), Y
        else:
            shifted = np.empty(Y.shape, dtype=dtype)
            np.subtract(Y, self.offset, out=shifted, dtype=np.result_type(Y, shifted), casting="same_kind")
        self.values = torch.from_numpy(shifted).to(device)
        self._used = torch.arange(n_rows) if used is None else torch.as_tensor(used)
        self._used = self._used.to(device)
        self._surrogates: dict[bool, torch.Tensor] = {}
        self._lock = Lock()
        self.batch = int(np.clip(max_bytes // (32 * n_rows), 1, 4096))

    @property
    def few(self) -> bool:
        """True if there are no more targets than rows; no surrogates are then needed."""
        return self.values.dtype == torch.float64

    def batches(self) -> Iterator[slice]:
        """Yield the columns of each batch of targets."""
        for start in range(0, self.values.shape[1], self.batch):
            yield slice(start, min(start + self.batch, self.values.shape[1]))

    def surrogates(self, exact: bool) -> torch.Tensor:
        """Return L (n_rows, n_used) float64 with L L^T = Y Y^T + c 1 1^T in the used rows, 0 in others; computed once.

        The constant c has no effect once the training rows are centred. Few targets are returned as they are.
        exact: otherwise L L^T has the rounding error of float32 products, relative to the targets' sum of squares.
        """
        if self.few:
            return self.values
        with self._lock:
            if exact not in self._surrogates:
                L = None if exact else self._cholesky()
                self._surrogates[exact] = self._in_used_rows(self._triangle() if L is None else L)
            return self._surrogates[exact]

    def _cholesky(self) -> torch.Tensor | None:
        """Return the Cholesky factor of Y Y^T + c 1 1^T, or None if the matrix is not positive definite."""
        n = len(self._used)
        S = torch.zeros(n, n, dtype=torch.float64, device=self.values.device)
        edges = [*np.linspace(0, n, STRIPES + 1).astype(int)]
        for columns in self.batches():
            Y = self.values[:, columns].index_select(0, self._used)
            for top, bottom in pairwise(edges):
                S[top:bottom, :bottom] += matmul(Y[top:bottom], Y[:bottom].T)
        L, failed = torch.linalg.cholesky_ex(S + S.diagonal().mean())
        return None if failed else L

    def _triangle(self) -> torch.Tensor:
        """Return R^T of Y^T = Q R in float64, in orthogonal steps that never square the targets."""
        n = len(self._used)
        R = self.values.new_zeros((0, n), dtype=torch.float64)
        for columns in self.values.split(4 * n, dim=1):
            Y = columns.index_select(0, self._used).double()
            R = torch.linalg.qr(torch.cat([R, Y.T]), mode="r").R
        return R.T

    def _in_used_rows(self, L: torch.Tensor) -> torch.Tensor:
        """Return L (n_used, m) as (n_rows, m) with 0 in the rows that are not used."""
        if len(L) == len(self.values):
            return L.contiguous()
        return L.new_zeros(len(self.values), L.shape[1]).index_copy_(0, self._used, L)

    def constant(self, train: torch.Tensor) -> torch.Tensor:
        """Return a mask of the targets that have one value in all training rows: bool (n_targets,)."""
        few = self.values[train[:8]]
        constant = (few == few[0]).all(0)
        columns = constant.nonzero()[:, 0]
        rows = self.values[:, columns].index_select(0, train)
        constant[columns] = (rows == rows[:1]).all(0)
        return constant


def _is_about_0(mean: np.ndarray, Y: np.ndarray) -> bool:
    """Return True if the means (n_targets,) of targets are so small that float32 loses nothing by them."""
    return bool((np.abs(mean) <= NEAR_0 * np.sqrt(np.einsum("nt,nt->t", Y, Y) / len(Y))).all())


def centred(values: torch.Tensor, root: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows minus their weighted mean, times their root weight (n_rows, n_columns), and the mean (n_columns,)."""
    share, root = (root**2 / (root @ root)).to(values.dtype), root.to(values.dtype)
    mean = share @ values
    return (values - mean) * root[:, None], mean
