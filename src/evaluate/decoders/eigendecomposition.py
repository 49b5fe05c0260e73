"""Eigendecomposition of features that are standardised on the training rows: the features' part of ridge regression.

With Z the standardised features (training rows times the root of their weight), Z Z^T = U diag(w) U^T. Ridge
regression needs only U, w and the held-out rows in the same basis, P = Z_held Z^T U: the prediction of held-out rows
for a penalty alpha is P diag(1 / (w + alpha)) U^T y.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

BLOCK_BYTES = 4 * 2**20  # standardised features in float64 held at a time
STRIPES = 4  # the Gram matrix is symmetric: computed in this many stripes up to the diagonal, 5/8 of the work


@dataclass(frozen=True)
class Eigendecomposition:
    """Standardised training features in the basis of k eigenvectors, at most one per row or feature, in float64.

    U: (n_train, k) orthonormal columns, orthogonal to `root`; values: (k,) eigenvalues w, not negative;
    P: (n_held, k) held-out rows; root: (n_train,) square roots of the row weights;
    outside: (n_train,) diagonal of the projector on the complement of U and the intercept, None if that is empty;
    mean, inverse: (n_features,) standardised = (x - mean) * inverse, inverse 0 for a column constant in training.
    """

    U: torch.Tensor
    values: torch.Tensor
    P: torch.Tensor
    root: torch.Tensor
    outside: torch.Tensor | None
    mean: torch.Tensor
    inverse: torch.Tensor

    def unexplained(self, alphas: torch.Tensor) -> torch.Tensor:
        """Return the share of each direction that is left in the residual, alpha / (w + alpha): (n_alphas, k)."""
        return alphas[:, None] / (self.values + alphas[:, None])

    def one_minus_leverage(self, alphas: torch.Tensor) -> torch.Tensor:
        """Return 1 - leverage of each training row, intercept included: (n_alphas, n_train), above 0."""
        diagonal = self.unexplained(alphas) @ (self.U * self.U).T
        if self.outside is not None:
            diagonal += self.outside
        return diagonal.clamp(min=torch.finfo(torch.float64).tiny)


def decompose(X: torch.Tensor, train: torch.Tensor, held: torch.Tensor, weights: torch.Tensor) -> Eigendecomposition:
    """Return the eigendecomposition of X's training rows, in the dual form (n x n) if n_train <= n_features.

    X: (n_rows, n_features) float32 or float64; train, held: row indices; weights: (n_train,) float64, above 0.
    The Gram matrix is float64: the eigenvalues of a typical layer span a wider range than float32 resolves.
    """
    root = weights.sqrt()
    if len(train) <= X.shape[1]:
        return _dual(X, train, held, weights, root)
    return _primal(X, train, held, weights, root)


def standardise(block: torch.Tensor, n_train: int, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Standardise the columns of a float64 block in place by its first n_train rows; return mean and inverse.

    Two passes. A column is constant by scikit-learn's rule (StandardScaler): its variance is within the rounding error
    of the computation.
    """
    total = weights.sum()
    share = weights / total
    mean = share @ block[:n_train]
    block -= mean
    rounding = share @ block[:n_train]
    variance = share @ (block[:n_train] ** 2) - rounding**2
    unit = total * torch.finfo(torch.float64).eps
    constant = variance <= unit * variance + (unit * mean) ** 2
    inverse = torch.where(constant, 0.0, variance.clamp(min=1e-300).rsqrt())
    block *= inverse
    return mean, inverse


def standardised_blocks(X: torch.Tensor, rows: torch.Tensor, n_train: int, weights: torch.Tensor, mean, inverse):
    """Yield the columns of X's `rows`, standardised by the first n_train, in blocks; fill mean and inverse.

    Each block is (columns, values (n_rows, n_columns) float64).
    """
    width = max(1, BLOCK_BYTES // (8 * max(1, len(rows))))
    for start in range(0, X.shape[1], width):
        columns = slice(start, min(start + width, X.shape[1]))
        block = X[:, columns].index_select(0, rows).double()
        mean[columns], inverse[columns] = standardise(block, n_train, weights)
        yield columns, block


def _dual(X, train, held, weights, root) -> Eigendecomposition:
    """Decompose Z Z^T (n_train x n_train)."""
    n, rows = len(train), torch.cat([train, held])
    mean, inverse = torch.empty(2, X.shape[1], dtype=torch.float64, device=X.device)
    K = torch.zeros(len(rows), n, dtype=torch.float64, device=X.device)
    edges = [*np.linspace(0, n, STRIPES + 1).astype(int)]
    for _, Z in standardised_blocks(X, rows, n, weights, mean, inverse):
        Z[:n] *= root[:, None]
        for top, bottom in pairwise(edges):
            K[top:bottom, :bottom].addmm_(Z[top:bottom], Z[:bottom].T)
        K[n:].addmm_(Z[n:], Z[:n].T)
    U, values = centred_eigh(K[:n], root)
    return Eigendecomposition(U, values, K[n:] @ U, root, None, mean, inverse)


def centred_eigh(K: torch.Tensor, root: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return eigenvectors and eigenvalues of K (lower triangle given, K root = 0), without the intercept's direction.

    The intercept's eigenvalue, 0, is raised above all others, so that its eigenvector cannot mix with K's null space.
    """
    unit = root / root.norm()
    above = float(2 * K.tril().norm() + 1)
    values, vectors = torch.linalg.eigh(torch.addr(K, unit, unit, alpha=above), UPLO="L")
    values = values[:-1].clamp(min=0)
    if len(values) and values[-1] <= above * len(K) * torch.finfo(torch.float64).eps:
        # rounding of features that do not vary, whose trace would scale the penalties
        values = torch.zeros_like(values)
    return vectors[:, :-1], values


def _primal(X, train, held, weights, root) -> Eigendecomposition:
    """Decompose Z^T Z (n_features x n_features) and turn its eigenvectors into those of Z Z^T."""
    n, rows = len(train), torch.cat([train, held])
    mean, inverse = torch.empty(2, X.shape[1], dtype=torch.float64, device=X.device)
    Z = torch.empty(len(rows), X.shape[1], dtype=torch.float64, device=X.device)
    for columns, block in standardised_blocks(X, rows, n, weights, mean, inverse):
        Z[:, columns] = block
    Z[:n] *= root[:, None]
    values, V = torch.linalg.eigh(Z[:n].T @ Z[:n])
    keep = values > values[-1] * len(values) * torch.finfo(torch.float64).eps
    values, V = values[keep], V[:, keep]
    Z = _times(Z, V)
    U, P = Z[:n].div_(values.sqrt()), Z[n:].mul_(values.sqrt())
    outside = 1 - (root / root.norm()) ** 2 - (U * U).sum(1)
    return Eigendecomposition(U, values, P, root, outside.clamp(min=0), mean, inverse)


def _times(Z: torch.Tensor, V: torch.Tensor) -> torch.Tensor:
    """Return Z @ V, written over Z in blocks of rows."""
    step = max(1, BLOCK_BYTES // (8 * max(1, Z.shape[1])))
    for rows in Z.split(step):
        rows[:, : V.shape[1]] = rows @ V
    return Z[:, : V.shape[1]]


def basis(X: torch.Tensor, train: torch.Tensor, eigen: Eigendecomposition) -> torch.Tensor:
    """Return B = Z^T U (n_features, k) float64; standardised rows times B are their coordinates P."""
    B = torch.empty(X.shape[1], len(eigen.values), dtype=torch.float64, device=X.device)
    width = max(1, BLOCK_BYTES // (8 * len(train)))
    rooted = eigen.U * eigen.root[:, None]
    for start in range(0, X.shape[1], width):
        columns = slice(start, min(start + width, X.shape[1]))
        block = X[:, columns].index_select(0, train).double()
        B[columns] = ((block - eigen.mean[columns]) * eigen.inverse[columns]).T @ rooted
    return B


def coordinates(X: torch.Tensor, B: torch.Tensor, eigen: Eigendecomposition) -> torch.Tensor:
    """Return the coordinates P (n_rows, k) of any rows X, standardised like the training rows."""
    P = torch.empty(len(X), B.shape[1], dtype=torch.float64, device=B.device)
    step = max(1, BLOCK_BYTES // (8 * X.shape[1]))
    for start in range(0, len(X), step):
        rows = slice(start, start + step)
        P[rows] = ((X[rows].double() - eigen.mean) * eigen.inverse) @ B
    return P


def kernels_of_parts(
    X: torch.Tensor, train: torch.Tensor, held: torch.Tensor, eigen: Eigendecomposition, n_parts: int
) -> list[torch.Tensor]:
    """Return Z_held Z_train^T of each of n equal groups of features, with the rooted training rows: (n_held, n_train).

    Times U diag(1 / (w + alpha)) U^T y they are the summands of the predictions; their sum is P U^T.
    """
    found = []
    for start, stop in pairwise(np.linspace(0, X.shape[1], n_parts + 1).astype(int) if n_parts else []):
        K = torch.zeros(len(held), len(train), dtype=torch.float64, device=X.device)
        width = max(1, BLOCK_BYTES // (8 * (len(held) + len(train))))
        for first in range(start, stop, width):
            columns = slice(first, min(first + width, stop))
            of_held, of_train = (
                (X[:, columns].index_select(0, rows).double() - eigen.mean[columns]) * eigen.inverse[columns]
                for rows in (held, train)
            )
            K.addmm_(of_held, (of_train * eigen.root[:, None]).T)
        found.append(K)
    return found
