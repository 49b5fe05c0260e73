"""Banded ridge regression: one penalty per group of features.

Penalties (a_1, ..., a_m) need one eigendecomposition per *mixture* of the bands' kernels, sum_b s_b K_b with the shares
s_b = a_1 / a_b, and a_1 is varied on its eigenvalues: 17 decompositions for two bands and nine alphas, not 81. Few
bands are exact, in contrast to himalaya's random search: every combination of the grid is compared by its criterion.
For many bands the shares are those of that search, sampled from Dirichlet distributions, beside equal ones and each
band alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import torch

from ...utils import BadInput, seed_from
from ..protocol import ALPHAS, SCALED_ALPHAS
from . import left_out as without
from .base import LeftOut, Prediction, Session, Split
from .eigendecomposition import Eigendecomposition, centred_eigh, standardised_blocks
from .estimator import Regression
from .left_out import Blocks, Partition
from .ridge_solver import best_alpha_per_target, check_alphas, reconstruct, shared_choice, to_choose_by
from .targets import MAX_BYTES, Targets, centred
from .tensors import matmul, row_weights, to_tensor

MOST_MIXTURES = 250  # that are compared exhaustively
CONCENTRATIONS = (0.1, 1.0)  # of the Dirichlet distributions, in turn, as in himalaya


class BandedRidge(Regression):
    """Ridge regression with one penalty for each band (group) of features.

    Parameters
    ----------
    bands : sequence of int, optional
        Number of features of each band, in the order of X's columns; `fit` raises BadInput if they do not sum to
        n_features. By default all features are one band.
    alphas : sequence of float, optional
        Candidate penalties, above 0, the same for every band; by default those of `Ridge`, of three bands or more from
        1e-4 on.
    penalty : {"gcv", "rows", "blocks", "block errors"}, default "gcv"
        Criterion of the penalties, see `Ridge`.
    alpha_per_target : bool, default True
        Choose one combination of penalties per target; otherwise one for all targets.
    scaled : bool, default False
        Multiply the alphas by trace(K) / n of each band's kernel, see `Ridge`.
    n_iter : int, default 100
        Number of sampled mixtures of the bands where those of the grid are more than 250.
    device : str, default "cpu"
        "cpu", or a CUDA device of torch.
    max_bytes : int, default 256 MiB
        Memory of temporaries over targets.

    Attributes
    ----------
    alpha_ : array of shape (n_bands, n_targets) or (n_bands,)
        Penalties chosen; infinite for a band that a sampled mixture leaves out.
    coef_ : array of shape (n_targets, n_features)
        Coefficients of the standardised features, computed when read.

    References
    ----------
    Nunez-Elizalde, Huth and Gallant 2019, NeuroImage 197:482. Random search: Dupré la Tour, Eickenberg,
    Nunez-Elizalde and Gallant 2022, NeuroImage 264:119728.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> signal, noise = rng.standard_normal((40, 5)), rng.standard_normal((40, 30))
    >>> Y = signal @ rng.standard_normal((5, 2))
    >>> decoder = BandedRidge(bands=(5, 30)).fit(np.hstack([signal, noise]), Y)
    >>> bool((decoder.alpha_[0] < decoder.alpha_[1]).all())
    True
    """

    leaves_out = True

    def __init__(
        self,
        bands: Sequence[int] | None = None,
        alphas: Sequence[float] | None = None,
        penalty: str = "gcv",
        alpha_per_target: bool = True,
        scaled: bool = False,
        n_iter: int = 100,
        device: str = "cpu",
        max_bytes: int = MAX_BYTES,
    ):
        self.bands, self.alphas, self.penalty = bands, alphas, penalty
        self.alpha_per_target, self.scaled, self.n_iter = alpha_per_target, scaled, n_iter
        self.device, self.max_bytes = device, max_bytes

    def session(
        self,
        Y: np.ndarray,
        weights: np.ndarray | None,
        splits: Sequence[Split],
        left_out: Sequence[LeftOut] | None = None,
        inside: bool = False,
    ) -> Session:
        """Return a session that shares the work on targets (n_rows, n_targets) between splits; see `Ridge.session`."""
        used = np.unique(np.concatenate([split.train for split in splits]))
        targets = Targets(Y, self.device, self.max_bytes, used)
        return BandedSession(self, targets, weights, Partition(left_out, len(Y)), inside)

    def fit(
        self,
        X: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray | None = None,
        left_out: Sequence[LeftOut] | None = None,
    ) -> "BandedRidge":
        """Choose the penalties, fit the regression and return the decoder.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            Features.
        y : array of shape (n_rows, n_targets) or (n_rows,)
            Targets.
        sample_weight : array of shape (n_rows,), optional
            Row weights; rows of weight 0 are left out.
        left_out : sequence of LeftOut, optional
            Blocks of the penalty "blocks"; by default each row is one.

        Raises
        ------
        BadInput
            If blocks share a row, or the bands do not sum to n_features.
        """
        data = self._rows(X, y, sample_weight, left_out)
        X, n = data.X, len(data.X)
        self._edges = self.edges(X.shape[1])
        targets = Targets(data.Y, self.device, self.max_bytes)
        rows = torch.arange(n, device=self.device)
        bands = Bands.of(self, to_tensor(X, self.device), rows, n, row_weights(data.weights, n, self.device), keep=True)
        blocks = Partition(data.left_out, n).of(np.arange(n), self.device)
        self._dual = torch.empty(targets.values.shape, dtype=torch.float64, device=targets.values.device)
        penalties = self._dual.new_empty(len(bands.scales), self._dual.shape[1])
        for found in search(self, bands, targets, rows, blocks):
            A = found.A.double() if found.A.dtype != torch.float64 else found.A
            # of sum_b K_b / a_b + I: each band's part of a prediction is its kernel times these over its penalty
            self._dual[:, found.columns] = found.eigen.U @ (
                A * found.first / (found.eigen.values[:, None] + found.first)
            )
            penalties[:, found.columns] = found.penalties
        share = bands.root**2 / (bands.root @ bands.root)
        self.intercept_ = (share @ targets.values.double()).cpu().numpy() + targets.offset
        self._mean, self._inverse, self._Z, self._scales = bands.mean, bands.inverse, bands.Z, bands.scales
        penalties = penalties.cpu().numpy()
        self.alpha_ = penalties if self.alpha_per_target else penalties[:, 0]
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the predictions (n_rows, n_targets) of features (n_rows, n_features)."""
        Z = (to_tensor(self._checked(X), self.device).double() - self._mean) * self._inverse
        predicted = torch.as_tensor(self.intercept_ + np.zeros((len(Z), 1))).to(self.device)
        for columns, dual in self._band_duals():
            predicted += (Z[:, columns] @ self._Z[:, columns].T) @ dual
        return self._shaped(predicted.cpu().numpy())

    @property
    def standardisation_(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and inverse standard deviation of the features in training: twice (n_features,) float64."""
        return self._mean.cpu().numpy(), self._inverse.cpu().numpy()

    @property
    def coef_(self) -> np.ndarray:
        """Coefficients of the standardised features: (n_targets, n_features) float64."""
        parts = [self._Z[:, columns].T @ dual for columns, dual in self._band_duals()]
        return torch.cat(parts).T.cpu().numpy()

    def _band_duals(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield the columns of each band and the dual coefficients (n_rows, n_targets) over its penalties."""
        penalty = torch.as_tensor(self.alpha_.reshape(len(self.alpha_), -1)).to(self.device)
        for b, (start, stop) in enumerate(pairwise(self._edges)):
            yield slice(start, stop), self._dual / (self._scales[b] * penalty[b])

    def edges(self, n_features: int) -> list[int]:
        """Return the first column of each band, and n_features; raise BadInput if the bands do not fit."""
        return band_edges(self.bands, n_features)

    def mixtures(self, n_bands: int) -> list[tuple[tuple[float, ...], list[float]]]:
        """Return the candidates: shares of the bands, and the penalties of a band of share 1.

        A band of share s has the penalty a / s. Every combination of the grid where they are few mixtures, otherwise a
        seeded sample of shares with all alphas.
        """
        alphas = self._grid_of(n_bands)
        if n_mixtures(alphas, n_bands) <= MOST_MIXTURES:
            return _grid(alphas, n_bands)
        rng = np.random.default_rng(seed_from("bands", n_bands))
        sampled = [rng.dirichlet(np.full(n_bands, CONCENTRATIONS[i % 2])) for i in range(self.n_iter)]
        shares = [np.full(n_bands, 1 / n_bands), *np.eye(n_bands), *sampled]
        return [(tuple(one.tolist()), alphas.tolist()) for one in shares]

    @property
    def grid(self) -> np.ndarray:
        """The alphas (n_alphas,) float64; raises BadInput for one that is not above 0, or an unknown criterion."""
        return self._grid_of(1 if self.bands is None else len(self.bands))

    def _grid_of(self, n_bands: int) -> np.ndarray:
        """Return the alphas for some bands: by default those of `Ridge`, fewer so that three bands are exhaustive."""
        reaches = self.scaled and n_mixtures(SCALED_ALPHAS, n_bands) <= MOST_MIXTURES
        by_default = SCALED_ALPHAS if reaches else ALPHAS
        return check_alphas(by_default if self.alphas is None else self.alphas, self.penalty)


class BandedSession:
    """Banded ridge regression over splits (see `base.Session`)."""

    batch = 1

    def __init__(
        self, decoder: BandedRidge, targets: Targets, weights: np.ndarray | None, partition: Partition, inside: bool
    ):
        self.decoder, self.targets, self.partition, self.inside = decoder, targets, partition, inside
        self.device = targets.values.device
        self.weights = row_weights(weights, len(targets.values), self.device)

    def load(self, X: np.ndarray) -> torch.Tensor:
        """Return the features on the device."""
        return to_tensor(X, self.device)

    def truth(self, rows: np.ndarray, columns: slice) -> torch.Tensor:
        """Return the shifted targets of some rows and columns."""
        return self.targets.values[:, columns].index_select(0, self._index(rows))

    def predict(self, X: torch.Tensor, splits: Sequence[Split]) -> Iterator[Prediction]:
        """Fit on each split's training rows and yield the predictions of its held-out rows, in batches of targets."""
        for k, split in enumerate(splits):
            train = self._index(split.train)
            rows = torch.cat([train, self._index(split.held)])
            bands = Bands.of(self.decoder, X, rows, len(train), self.weights[train])
            needs_blocks = self.inside or self.decoder.penalty in ("blocks", "block errors")
            blocks = self.partition.of(split.train, self.device) if needs_blocks else None
            values = self.targets.values
            held = values.new_empty(len(rows) - len(train), values.shape[1])
            inside = values.new_empty(len(train), values.shape[1]) if self.inside else None
            alpha = torch.empty(len(bands.scales), values.shape[1], dtype=torch.float64, device=self.device)
            for found in search(self.decoder, bands, self.targets, train, blocks):
                of = found.columns
                alpha[:, of] = found.penalties
                predicted = reconstruct(found.eigen, found.eigen.P, found.A, found.first)
                held[:, of] = (predicted + found.mean).to(held.dtype)
                if inside is not None:
                    self._fill(inside, found, train, blocks)
            for columns in self.targets.batches():
                part = None if inside is None else inside[:, columns]
                yield Prediction(k, columns, held[:, columns], alpha[:, columns].cpu().numpy(), part)

    def _fill(self, inside: torch.Tensor, found: "Improvement", train: torch.Tensor, blocks) -> None:
        """Fill the predictions of the training rows without their block, for the targets of an improvement."""
        root = found.eigen.root
        y, mean = centred(self.targets.values[:, found.columns].index_select(0, train), root)
        for alpha in found.first.unique():
            of = (found.first == alpha).nonzero()[:, 0]
            part = without.predictions(found.eigen, found.A[:, of].to(y.dtype), y[:, of], alpha, blocks)
            inside[:, found.columns[of]] = part / root.to(y.dtype)[:, None] + mean[of]

    def _index(self, rows: np.ndarray) -> torch.Tensor:
        """Return row indices as a tensor on the device."""
        return torch.as_tensor(np.asarray(rows, dtype=np.int64)).to(self.device)


@dataclass(frozen=True)
class Bands:
    """Kernels of the bands of a split: (n_rows, n_train) each, training rows first, times the root weights.

    scales: factor on the penalty of each band; root: (n_train,) square roots of the row weights; mean, inverse:
    standardisation (n_features,); Z: standardised training rows (n_train, n_features), None unless kept.
    """

    kernels: list[torch.Tensor]
    scales: list[float]
    root: torch.Tensor
    mean: torch.Tensor
    inverse: torch.Tensor
    Z: torch.Tensor | None

    @classmethod
    def of(cls, decoder: BandedRidge, X: torch.Tensor, rows, n_train: int, weights, keep: bool = False) -> "Bands":
        """Return the bands of some rows of X, standardised by the first n_train of them."""
        mean, inverse = torch.empty(2, X.shape[1], dtype=torch.float64, device=X.device)
        root, kernels, scales = weights.sqrt(), [], []
        Z_kept = torch.empty(n_train, X.shape[1], dtype=torch.float64, device=X.device) if keep else None
        for start, stop in pairwise(decoder.edges(X.shape[1])):
            K = torch.zeros(len(rows), n_train, dtype=torch.float64, device=X.device)
            part = slice(start, stop)
            for columns, Z in standardised_blocks(X[:, part], rows, n_train, weights, mean[part], inverse[part]):
                Z[:n_train] *= root[:, None]
                K.addmm_(Z, Z[:n_train].T)
                if keep:
                    Z_kept[:, start + columns.start : start + columns.stop] = Z[:n_train]
            trace = float(K[:n_train].trace() / (root @ root)) if decoder.scaled else 1.0
            scales.append(trace or 1.0)
            kernels.append(K.div_(scales[-1]))
        return cls(kernels, scales, root, mean, inverse, Z_kept)

    def mixed(self, shares: Sequence[float]) -> Eigendecomposition:
        """Return the eigendecomposition of the sum of the kernels, each times its share."""
        n = len(self.root)
        K = sum(share * kernel for share, kernel in zip(shares, self.kernels, strict=True) if share > 0)
        U, values = centred_eigh(K[:n], self.root)
        return Eigendecomposition(U, values, K[n:] @ U, self.root, None, self.mean, self.inverse)


@dataclass(frozen=True)
class Improvement:
    """Targets for which a mixture is better than all before it.

    columns: (n,) indices of targets; A: U^T y (k, n); first: (n,) penalty of a band of share 1; penalties:
    (n_bands, n), infinite for share 0; mean: (n,) of the training rows.
    """

    eigen: Eigendecomposition
    columns: torch.Tensor
    A: torch.Tensor
    first: torch.Tensor
    penalties: torch.Tensor
    mean: torch.Tensor


def search(
    decoder: BandedRidge, bands: Bands, targets: Targets, train: torch.Tensor, blocks: Sequence[Blocks] | None
) -> Iterator[Improvement]:
    """Yield the improvements of every mixture in turn; the last of a target is the best combination of penalties."""
    n_targets, device = targets.values.shape[1], bands.root.device
    least = torch.full((n_targets,), torch.inf, dtype=torch.float64, device=device)
    sample = None
    if not decoder.alpha_per_target:
        sample = to_choose_by(targets, train, bands.root, decoder.penalty, exact=True)
    for shares, alphas in decoder.mixtures(len(bands.kernels)):
        eigen = bands.mixed(shares)
        alphas = torch.tensor(alphas, dtype=torch.float64, device=device)
        divisor = torch.tensor(shares, dtype=torch.float64, device=device)[:, None]
        if sample is not None:
            index, loss = shared_choice(eigen, sample, alphas, decoder.penalty, blocks)
            if not loss < least[0]:
                continue
            least[:] = loss
        for batch in targets.batches():
            y, mean = centred(targets.values[:, batch].index_select(0, train), eigen.root)
            if sample is None:
                A, index, loss = best_alpha_per_target(eigen, y, alphas, decoder.penalty, blocks)
                better = (loss < least[batch]).nonzero()[:, 0]
                least[batch] = torch.minimum(loss, least[batch])
                if not len(better):
                    continue
                first = alphas[index[better]]
            else:
                A, better = matmul(eigen.U.T.to(y.dtype), y), torch.arange(y.shape[1], device=device)
                first = alphas[index].expand(len(better))
            columns = batch.start + better
            yield Improvement(eigen, columns, A[:, better], first, first / divisor, mean[better])


def band_edges(bands: Sequence[int] | None, n_features: int) -> list[int]:
    """Return the first column of each band, and n_features; raise BadInput if the bands do not fit."""
    bands = [n_features] if bands is None else list(bands)
    if not bands or sum(bands) != n_features or min(bands) < 1:
        raise BadInput(
            f"bands are {tuple(bands)}; expected the sizes of the feature groups, summing to {n_features} features"
        )
    return [0, *np.cumsum(bands).tolist()]


def n_mixtures(alphas: Sequence[float], n_bands: int) -> int:
    """Return the number of ratios of penalties: one per combination whose smallest is the first of the grid."""
    return len(alphas) ** n_bands - (len(alphas) - 1) ** n_bands


def _grid(alphas: np.ndarray, n_bands: int) -> list[tuple[tuple[float, ...], list[float]]]:
    """Return ((1, a_1/a_2, ...), values of a_1) over all combinations."""
    found: dict[tuple[float, ...], tuple[tuple[float, ...], list[float]]] = {}
    for combination in product(alphas.tolist(), repeat=n_bands):
        shares = tuple(combination[0] / a for a in combination)
        key = tuple(round(float(np.log(value)), 6) for value in shares)
        found.setdefault(key, (shares, []))[1].append(combination[0])
    return list(found.values())
