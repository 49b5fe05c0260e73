"""Banded ridge regression: one penalty per group of features.

Exact, in contrast to himalaya's random search over a Dirichlet prior: every combination of the grid is compared by its
criterion. Penalties (a_1, ..., a_m) need one eigendecomposition per *ratio* of the bands'
kernels, K_1 + sum_b (a_1 / a_b) K_b, and a_1 is varied on its eigenvalues: 17 decompositions for two bands and nine
alphas, not 81.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise, product

import numpy as np
import torch

from ...utils import BadInput
from ..protocol import ALPHAS
from .base import LeftOut
from .eigendecomposition import Eigendecomposition, centred_eigh, standardised_blocks
from .left_out import Partition
from .ridge_solver import best_alpha_per_target, check_alphas, shared_losses
from .targets import MAX_BYTES, Targets, centred
from .tensors import row_weights, to_tensor

MOST_RATIOS = 1000


class BandedRidge:
    """Ridge regression with one penalty for each band (group) of features.

    Parameters
    ----------
    bands : sequence of int
        Number of features of each band, in the order of X's columns; `fit` raises BadInput if they do not sum to
        n_features.
    alphas : sequence of float, default 9 values from 1e-4 to 1e4
        Candidate penalties, above 0, the same for every band.
    penalty : {"gcv", "rows", "blocks"}, default "gcv"
        Criterion of the penalties, see `Ridge`.
    alpha_per_target : bool, default True
        Choose one combination of penalties per target; otherwise one for all targets.
    scaled : bool, default False
        Multiply the alphas by trace(K) / n of each band's kernel, see `Ridge`.
    device : str, default "cpu"
        "cpu", or a CUDA device of torch.
    max_bytes : int, default 256 MiB
        Memory of temporaries over targets.

    Attributes
    ----------
    alpha_ : array of shape (n_bands, n_targets) or (n_bands,)
        Penalties chosen, values of the grid.

    References
    ----------
    Nunez-Elizalde, Huth and Gallant 2019, NeuroImage 197:482.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> signal, noise = rng.standard_normal((40, 5)), rng.standard_normal((40, 30))
    >>> Y = signal @ rng.standard_normal((5, 2))
    >>> decoder = BandedRidge(bands=(5, 30)).fit(np.hstack([signal, noise]), Y)
    >>> bool((decoder.alpha_[0] < decoder.alpha_[1]).all())
    True
    """

    def __init__(
        self,
        bands: Sequence[int] | None = None,
        alphas: Sequence[float] = ALPHAS,
        penalty: str = "gcv",
        alpha_per_target: bool = True,
        scaled: bool = False,
        device: str = "cpu",
        max_bytes: int = MAX_BYTES,
    ):
        self.bands, self.alphas = bands, check_alphas(alphas, penalty)
        self.penalty, self.alpha_per_target, self.scaled = penalty, alpha_per_target, scaled
        self.device, self.max_bytes = device, max_bytes

    def fit(
        self,
        X: np.ndarray,
        Y: np.ndarray,
        weights: np.ndarray | None = None,
        left_out: Sequence[LeftOut] | None = None,
    ) -> "BandedRidge":
        """Choose the penalties, fit the regression and return the decoder.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            Features.
        Y : array of shape (n_rows, n_targets)
            Targets.
        weights : array of shape (n_rows,), optional
            Row weights above 0.
        left_out : sequence of LeftOut, optional
            Blocks of the penalty "blocks"; by default each row is one.

        Raises
        ------
        BadInput
            If blocks share a row, the bands do not sum to n_features, or the grid has too many combinations.
        """
        edges = self._edges(X.shape[1])
        targets = Targets(Y, self.device, self.max_bytes)
        weights = row_weights(weights, len(X), self.device)
        self._root, self._targets = weights.sqrt(), targets
        self._blocks = Partition(left_out, len(X)).of(np.arange(len(X)), self.device)
        self._standardise(to_tensor(X, self.device), weights)
        kernels = [self._Z[:, a:b] @ self._Z[:, a:b].T for a, b in pairwise(edges)]
        self._scales = [self._scale(kernel) for kernel in kernels]
        kernels = [kernel / scale for kernel, scale in zip(kernels, self._scales, strict=True)]
        self._edges_ = edges
        ratios = _ratios(self.alphas, len(kernels))
        best = self._choose(kernels, ratios)
        self._solve(kernels, ratios, *best)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the predictions (n_rows, n_targets) of features (n_rows, n_features)."""
        Z = (to_tensor(X, self.device).double() - self._mean) * self._inverse
        penalty = torch.as_tensor(self.alpha_.reshape(len(self.alpha_), -1)).to(self.device)
        predicted = torch.as_tensor(self._intercept + np.zeros((len(X), 1))).to(self.device)
        for b, (start, stop) in enumerate(pairwise(self._edges_)):
            predicted += (Z[:, start:stop] @ self._Z[:, start:stop].T) @ (self._dual / (self._scales[b] * penalty[b]))
        return predicted.cpu().numpy()

    def _edges(self, n_features: int) -> list[int]:
        """Return the first column of each band, and n_features; raise BadInput if the bands do not fit."""
        if not self.bands or sum(self.bands) != n_features or min(self.bands) < 1:
            raise BadInput(f"bands are {self.bands}; expected the sizes of the feature groups, summing to {n_features}")
        return [0, *np.cumsum(self.bands).tolist()]

    def _standardise(self, X: torch.Tensor, weights: torch.Tensor) -> None:
        """Fill the standardised features, times the root weights, and their mean and inverse deviation."""
        self._mean, self._inverse = torch.empty(2, X.shape[1], dtype=torch.float64, device=X.device)
        self._Z = torch.empty(X.shape, dtype=torch.float64, device=X.device)
        rows = torch.arange(len(X), device=X.device)
        for columns, block in standardised_blocks(X, rows, len(X), weights, self._mean, self._inverse):
            self._Z[:, columns] = block * self._root[:, None]

    def _scale(self, kernel: torch.Tensor) -> float:
        """Return the factor on the penalty of a band with this kernel."""
        trace = float(kernel.trace() / (self._root @ self._root)) if self.scaled else 1.0
        return trace or 1.0

    def _decompose(self, kernels: list[torch.Tensor], ratio: Sequence[float]) -> Eigendecomposition:
        """Return the eigendecomposition of the sum of the kernels, each times its share in `ratio`."""
        K = sum(share * kernel for share, kernel in zip(ratio, kernels, strict=True))
        U, values = centred_eigh(K, self._root)
        return Eigendecomposition(U, values, U[:0], self._root, None, self._mean, self._inverse)

    def _choose(self, kernels, ratios) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the indices of each target's best ratio and first alpha within it: twice (n_targets,)."""
        n_targets = self._targets.values.shape[1]
        least = torch.full((n_targets,), torch.inf, dtype=torch.float64, device=self._root.device)
        chosen = torch.zeros(2, n_targets, dtype=torch.long, device=self._root.device)
        for r, (ratio, alphas) in enumerate(ratios.items()):
            eigen = self._decompose(kernels, ratio)
            for columns, index, error in self._errors(eigen, torch.tensor(alphas, dtype=torch.float64).to(least)):
                better = error < least[columns]
                least[columns] = torch.where(better, error, least[columns])
                chosen[0, columns] = torch.where(better, r, chosen[0, columns])
                chosen[1, columns] = torch.where(better, index, chosen[1, columns])
        return chosen[0], chosen[1]

    def _errors(self, eigen: Eigendecomposition, alphas: torch.Tensor) -> Iterator[tuple]:
        """Yield (columns, index of the best alpha, its loss) of each batch of targets."""
        if not self.alpha_per_target:
            L = centred(self._targets.surrogates(exact=True), self._root)[0]
            losses = shared_losses(eigen, L, alphas, self.penalty, self._blocks)
            yield slice(None), losses.argmin(), losses.min()
            return
        for columns in self._targets.batches():
            y, _ = centred(self._targets.values[:, columns].double(), self._root)
            _, index, loss = best_alpha_per_target(eigen, y, alphas, self.penalty, self._blocks)
            yield columns, index, loss

    def _solve(self, kernels, ratios, ratio_of: torch.Tensor, alpha_of: torch.Tensor) -> None:
        """Fill the dual coefficients of each target at its penalties, the penalties and the intercepts."""
        Y = self._targets.values
        self._dual = torch.empty(Y.shape, dtype=torch.float64, device=Y.device)
        penalties = torch.empty(len(kernels), Y.shape[1], dtype=torch.float64, device=Y.device)
        for r in ratio_of.unique().tolist():
            ratio, alphas = list(ratios.items())[r]
            eigen = self._decompose(kernels, ratio)
            for columns in (ratio_of == r).nonzero()[:, 0].split(self._targets.batch):
                first = torch.tensor(alphas, dtype=torch.float64).to(Y.device)[alpha_of[columns]]
                A = eigen.U.T @ centred(Y[:, columns].double(), self._root)[0]
                # of K_1 / a_1 + ... + I: each band's part of a prediction is its kernel times these over its penalty
                self._dual[:, columns] = eigen.U @ (A * first / (eigen.values[:, None] + first))
                penalties[:, columns] = first / torch.tensor(ratio, dtype=torch.float64).to(Y.device)[:, None]
        share = self._root**2 / (self._root @ self._root)
        self._intercept = (share @ Y.double()).cpu().numpy() + self._targets.offset
        penalties = penalties.cpu().numpy()
        self.alpha_ = penalties[:, 0] if not self.alpha_per_target else penalties
        del self._targets, self._blocks


def _ratios(alphas: np.ndarray, n_bands: int) -> dict[tuple[float, ...], list[float]]:
    """Return {(1, a_1/a_2, ...): values of a_1} over all combinations; raise BadInput for too many."""
    found: dict[tuple[float, ...], tuple[tuple[float, ...], list[float]]] = {}
    if len(alphas) ** n_bands > 20 * MOST_RATIOS:
        raise BadInput(
            f"{len(alphas)} alphas for each of {n_bands} bands; expected fewer combinations: use fewer alphas"
        )
    for combination in product(alphas.tolist(), repeat=n_bands):
        ratio = tuple(combination[0] / a for a in combination)
        key = tuple(round(float(np.log(value)), 6) for value in ratio)
        found.setdefault(key, (ratio, []))[1].append(combination[0])
    return dict(found.values())
