"""The features' side of ridge regression: standardise on the training rows, then one eigendecomposition.

With Z the standardised features (training rows times the root of their weight), Z Z^T = U diag(w) U^T. All that ridge
regression asks of the features is U, w and the held-out rows in the same basis, P = Z_held Z^T U: the prediction of
held-out rows for a penalty alpha is P diag(1 / (w + alpha)) U^T y.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

BLOCK_BYTES = 4 * 2**20  # standardised features in float64 held at a time
STRIPES = 4  # the Gram matrix is symmetric: computed in this many stripes up to the diagonal, 5/8 of the work


@dataclass(frozen=True)
class Spectrum:
    """Standardised training features in their own basis (k directions, at most one per row or feature), float64.

    U: (n_train, k) orthonormal columns, orthogonal to `root`; values: (k,) eigenvalues w, not negative;
    P: (n_held, k) held-out rows; root: (n_train,) square roots of the row weights;
    outside: (n_train,) diagonal of the projector on what neither U nor the intercept spans, None if nothing;
    mean, inverse: (n_features,) standardised = (x - mean) * inverse, inverse 0 for a column constant in training.
    """

    U: torch.Tensor
    values: torch.Tensor
    P: torch.Tensor
    root: torch.Tensor
    outside: torch.Tensor | None
    mean: torch.Tensor
    inverse: torch.Tensor

    def kept(self, alphas: torch.Tensor) -> torch.Tensor:
        """The share of each direction left in the residual, alpha / (w + alpha): (n_alphas, k)."""
        return alphas[:, None] / (self.values + alphas[:, None])

    def free(self, alphas: torch.Tensor) -> torch.Tensor:
        """1 - leverage of each training row, intercept included: (n_alphas, n_train), above 0."""
        diagonal = self.kept(alphas) @ (self.U * self.U).T
        if self.outside is not None:
            diagonal += self.outside
        return diagonal.clamp(min=torch.finfo(torch.float64).tiny)


def decompose(X: torch.Tensor, train: torch.Tensor, held: torch.Tensor, weights: torch.Tensor) -> Spectrum:
    """The spectrum of X's training rows, in the dual form (n x n) if there are no more rows than features.

    X: (n_rows, n_features) float32 or float64; train, held: row indices; weights: (n_train,) float64, above 0.
    The Gram matrix is float64 throughout: a typical layer's spectrum falls by more than float32 resolves.
    """
    root = weights.sqrt()
    if len(train) <= X.shape[1]:
        return _dual(X, train, held, weights, root)
    return _primal(X, train, held, weights, root)


def standardise(block: torch.Tensor, n_train: int, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Standardise the columns of a float64 block in place by its first n_train rows; returns (mean, inverse).

    Two passes. What counts as constant is scikit-learn's rule (StandardScaler): a variance within the rounding error
    of its computation.
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


def standardised(X: torch.Tensor, rows: torch.Tensor, n_train: int, weights: torch.Tensor, mean, inverse):
    """Columns of X's `rows`, standardised by the first n_train, a block at a time; fills mean and inverse.

    Yields (columns, (n_rows, n_columns) float64).
    """
    width = max(1, BLOCK_BYTES // (8 * max(1, len(rows))))
    for start in range(0, X.shape[1], width):
        columns = slice(start, min(start + width, X.shape[1]))
        block = X[:, columns].index_select(0, rows).double()
        mean[columns], inverse[columns] = standardise(block, n_train, weights)
        yield columns, block


def _dual(X, train, held, weights, root) -> Spectrum:
    n, rows = len(train), torch.cat([train, held])
    mean, inverse = torch.empty(2, X.shape[1], dtype=torch.float64, device=X.device)
    K = torch.zeros(len(rows), n, dtype=torch.float64, device=X.device)
    edges = [*np.linspace(0, n, STRIPES + 1).astype(int)]
    for _, Z in standardised(X, rows, n, weights, mean, inverse):
        Z[:n] *= root[:, None]
        for top, bottom in pairwise(edges):
            K[top:bottom, :bottom].addmm_(Z[top:bottom], Z[:bottom].T)
        K[n:].addmm_(Z[n:], Z[:n].T)
    U, values = centred_eigh(K[:n], root)
    return Spectrum(U, values, K[n:] @ U, root, None, mean, inverse)


def centred_eigh(K: torch.Tensor, root: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvectors and values of K (lower triangle given, K root = 0), without the intercept's direction.

    The intercept's eigenvalue, 0, is lifted above all others, so that its eigenvector cannot mix with K's null space.
    """
    unit = root / root.norm()
    lifted = torch.addr(K, unit, unit, alpha=float(2 * K.tril().norm() + 1))
    values, vectors = torch.linalg.eigh(lifted, UPLO="L")
    return vectors[:, :-1], values[:-1].clamp(min=0)


def _primal(X, train, held, weights, root) -> Spectrum:
    n, rows = len(train), torch.cat([train, held])
    mean, inverse = torch.empty(2, X.shape[1], dtype=torch.float64, device=X.device)
    Z = torch.empty(len(rows), X.shape[1], dtype=torch.float64, device=X.device)
    for columns, block in standardised(X, rows, n, weights, mean, inverse):
        Z[:, columns] = block
    Z[:n] *= root[:, None]
    values, V = torch.linalg.eigh(Z[:n].T @ Z[:n])
    keep = values > values[-1] * len(values) * torch.finfo(torch.float64).eps
    values, V = values[keep], V[:, keep]
    Z = _times(Z, V)
    U, P = Z[:n].div_(values.sqrt()), Z[n:].mul_(values.sqrt())
    outside = 1 - (root / root.norm()) ** 2 - (U * U).sum(1)
    return Spectrum(U, values, P, root, outside.clamp(min=0), mean, inverse)


def _times(Z: torch.Tensor, V: torch.Tensor) -> torch.Tensor:
    """Z @ V in Z's own memory, some rows at a time."""
    step = max(1, BLOCK_BYTES // (8 * max(1, Z.shape[1])))
    for rows in Z.split(step):
        rows[:, : V.shape[1]] = rows @ V
    return Z[:, : V.shape[1]]


def basis(X: torch.Tensor, train: torch.Tensor, spectrum: Spectrum) -> torch.Tensor:
    """B = Z^T U (n_features, k) float64: standardised rows times B are their coordinates P."""
    B = torch.empty(X.shape[1], len(spectrum.values), dtype=torch.float64, device=X.device)
    width = max(1, BLOCK_BYTES // (8 * len(train)))
    rooted = spectrum.U * spectrum.root[:, None]
    for start in range(0, X.shape[1], width):
        columns = slice(start, min(start + width, X.shape[1]))
        block = X[:, columns].index_select(0, train).double()
        B[columns] = ((block - spectrum.mean[columns]) * spectrum.inverse[columns]).T @ rooted
    return B


def coordinates(X: torch.Tensor, B: torch.Tensor, spectrum: Spectrum) -> torch.Tensor:
    """P (n_rows, k) of any rows X, standardised like the training rows."""
    P = torch.empty(len(X), B.shape[1], dtype=torch.float64, device=B.device)
    step = max(1, BLOCK_BYTES // (8 * X.shape[1]))
    for start in range(0, len(X), step):
        rows = slice(start, start + step)
        P[rows] = ((X[rows].double() - spectrum.mean) * spectrum.inverse) @ B
    return P
