"""Banded ridge regression: groups of features (bands), each with a penalty of its own (Nunez-Elizalde et al. 2019).

Exact and small rather than himalaya's random search over a Dirichlet prior: every combination of the grid is compared
by its leave-one-out or generalised error. Penalties (a_1, ..., a_m) are one eigendecomposition per *ratio* of the
bands' kernels, K_1 + sum_b (a_1 / a_b) K_b, and a_1 along its spectrum: 17 decompositions for two bands and nine
alphas, not 81.
"""

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import torch

from ...utils import BadInput
from .eigendecomposition import Spectrum, centred_eigh, standardised
from .ridge import checked, components, squared_errors
from .targets import MAX_BYTES, Targets, centred

MOST_RATIOS = 1000


class BandedRidge:
    """Ridge regression with one alpha for each band of features.

    bands: number of features of each band, in the order of X's columns; alphas: the grid, the same for every band;
    alpha_per_target: "gcv" (default) or "loo", or None for one combination shared by all targets, chosen by summed
    leave-one-out error. After `fit`: alpha_ (n_bands, n_targets) or (n_bands,).
    """

    def __init__(
        self,
        bands: Sequence[int] | None = None,
        alphas: Sequence[float] = tuple(np.logspace(-4, 4, 9)),
        alpha_per_target: str | None = "gcv",
        device: str = "cpu",
        max_bytes: int = MAX_BYTES,
    ):
        self.bands, self.alpha_per_target = bands, alpha_per_target
        self.alphas = checked(alphas, alpha_per_target)
        self.device, self.max_bytes = device, max_bytes

    def fit(self, X: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None) -> "BandedRidge":
        """X (n_rows, n_features), Y (n_rows, n_targets), weights (n_rows,) or None."""
        edges = self._edges(X.shape[1])
        targets = Targets(Y, self.device, self.max_bytes)
        weights = torch.as_tensor(np.ones(len(X)) if weights is None else weights, dtype=torch.float64).to(self.device)
        self._root, self._targets = weights.sqrt(), targets
        self._standardise(torch.from_numpy(np.ascontiguousarray(X)).to(self.device), weights)
        kernels = [self._Z[:, a:b] @ self._Z[:, a:b].T for a, b in pairwise(edges)]
        self._edges_ = edges
        ratios = _ratios(self.alphas, len(kernels))
        best = self._choose(kernels, ratios)
        self._solve(kernels, ratios, *best)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predictions (n_rows, n_targets)."""
        Z = (torch.from_numpy(np.ascontiguousarray(X)).to(self.device).double() - self._mean) * self._inverse
        penalty = torch.as_tensor(self.alpha_.reshape(len(self.alpha_), -1)).to(self.device)
        predicted = torch.as_tensor(self._intercept + np.zeros((len(X), 1))).to(self.device)
        for b, (start, stop) in enumerate(pairwise(self._edges_)):
            predicted += (Z[:, start:stop] @ self._Z[:, start:stop].T) @ (self._dual / penalty[b])
        return predicted.cpu().numpy()

    def _edges(self, n_features: int) -> list[int]:
        if not self.bands or sum(self.bands) != n_features or min(self.bands) < 1:
            raise BadInput(f"bands are {self.bands}; expected the sizes of the feature groups, summing to {n_features}")
        return [0, *np.cumsum(self.bands).tolist()]

    def _standardise(self, X: torch.Tensor, weights: torch.Tensor) -> None:
        self._mean, self._inverse = torch.empty(2, X.shape[1], dtype=torch.float64, device=X.device)
        self._Z = torch.empty(X.shape, dtype=torch.float64, device=X.device)
        rows = torch.arange(len(X), device=X.device)
        for columns, block in standardised(X, rows, len(X), weights, self._mean, self._inverse):
            self._Z[:, columns] = block * self._root[:, None]

    def _spectrum(self, kernels: list[torch.Tensor], ratio: Sequence[float]) -> Spectrum:
        K = sum(share * kernel for share, kernel in zip(ratio, kernels, strict=True))
        U, values = centred_eigh(K, self._root)
        return Spectrum(U, values, U[:0], self._root, None, self._mean, self._inverse)

    def _choose(self, kernels, ratios) -> tuple[torch.Tensor, torch.Tensor]:
        """(least, ratio, alpha of the first band) of each target, by position."""
        n_targets = self._targets.values.shape[1]
        least = torch.full((n_targets,), torch.inf, dtype=torch.float64, device=self._root.device)
        chosen = torch.zeros(2, n_targets, dtype=torch.long, device=self._root.device)
        for r, (ratio, alphas) in enumerate(ratios.items()):
            spectrum = self._spectrum(kernels, ratio)
            for columns, index, error in self._errors(spectrum, torch.tensor(alphas, dtype=torch.float64).to(least)):
                better = error < least[columns]
                least[columns] = torch.where(better, error, least[columns])
                chosen[0, columns] = torch.where(better, r, chosen[0, columns])
                chosen[1, columns] = torch.where(better, index, chosen[1, columns])
        return chosen[0], chosen[1]

    def _errors(self, spectrum: Spectrum, alphas: torch.Tensor):
        if self.alpha_per_target is None:
            errors = squared_errors(spectrum, centred(self._targets.surrogates(exact=True), self._root)[0], alphas)
            yield slice(None), errors.argmin(), errors.min()
            return
        for columns in self._targets.batches():
            y, _ = centred(self._targets.values[:, columns].double(), self._root)
            _, index, error = components(spectrum, y, alphas, self.alpha_per_target)
            yield columns, index, error

    def _solve(self, kernels, ratios, ratio_of: torch.Tensor, alpha_of: torch.Tensor) -> None:
        """Dual coefficients of each target at its penalties, and the intercepts."""
        Y = self._targets.values
        self._dual = torch.empty(Y.shape, dtype=torch.float64, device=Y.device)
        penalties = torch.empty(len(kernels), Y.shape[1], dtype=torch.float64, device=Y.device)
        for r in ratio_of.unique().tolist():
            ratio, alphas = list(ratios.items())[r]
            spectrum = self._spectrum(kernels, ratio)
            for columns in (ratio_of == r).nonzero()[:, 0].split(self._targets.batch):
                first = torch.tensor(alphas, dtype=torch.float64).to(Y.device)[alpha_of[columns]]
                A = spectrum.U.T @ centred(Y[:, columns].double(), self._root)[0]
                # K_1 / a_1 + ... + I, so that every band's coefficients are its kernel's over its own penalty
                self._dual[:, columns] = spectrum.U @ (A * first / (spectrum.values[:, None] + first))
                penalties[:, columns] = first / torch.tensor(ratio, dtype=torch.float64).to(Y.device)[:, None]
        share = self._root**2 / (self._root @ self._root)
        self._intercept = (share @ Y.double()).cpu().numpy() + self._targets.offset
        penalties = penalties.cpu().numpy()
        self.alpha_ = penalties[:, 0] if self.alpha_per_target is None else penalties
        del self._targets


def _ratios(alphas: np.ndarray, n_bands: int) -> dict[tuple[float, ...], list[float]]:
    """{(1, a_1/a_2, ...): the a_1 that go with it} over all combinations; BadInput when there are too many."""
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
