"""Ridge regression of many targets, over layers and splits."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from ..protocol import ALPHAS
from .base import Prediction, Session, Split
from .eigendecomposition import Eigendecomposition, basis, coordinates, decompose
from .ridge_solver import (
    best_alpha_per_target,
    best_shared_alpha,
    check_alphas,
    reconstruct,
    smoother,
    weighted_sum,
)
from .targets import MAX_BYTES, Targets, centred
from .tensors import row_weights, to_tensor


class Ridge:
    """Ridge regression, equal to scikit-learn's StandardScaler and RidgeCV(alphas) in alpha, coefficients, predictions.

    Row weights enter the standardisation, the fit and the leave-one-out error as scikit-learn's `sample_weight` does in
    both steps: the squared error of a row counts times its weight, and the row is left out whole. Repeated rows give
    the same coefficients at a given alpha, but their leave-one-out error leaves out one copy at a time and may choose
    another alpha.

    Parameters
    ----------
    alphas : sequence of float, default 9 values from 1e-4 to 1e4
        Candidate penalties, above 0.
    alpha_per_target : {None, "gcv", "loo"}, default None
        None: one alpha for all targets, by the leave-one-out error summed over targets (RidgeCV's default). "gcv" or
        "loo": one alpha per target, by the generalised or the exact leave-one-out error.
    device : str, default "cpu"
        "cpu", or a CUDA device of torch.
    max_bytes : int, default 256 MiB
        Memory of temporaries over targets. About six float64 matrices of min(n_rows, n_features) squared are needed
        besides and, if rows outnumber features, two of (n_rows, n_features).

    Attributes
    ----------
    alpha_ : float, or array of shape (n_targets,)
        Penalties chosen.
    intercept_ : array of shape (n_targets,)
        Predictions at the mean of the features.
    coef_ : array of shape (n_targets, n_features)
        Coefficients of the standardised features, computed when read.

    References
    ----------
    Hoerl and Kennard 1970, Technometrics 12:55. Leave-one-out error: Allen 1974, Technometrics 16:125. Generalised
    cross-validation: Golub, Heath and Wahba 1979, Technometrics 21:215.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((30, 50))
    >>> Y = X @ rng.standard_normal((50, 2))
    >>> decoder = Ridge().fit(X, Y)
    >>> decoder.predict(X[:5]).shape, decoder.coef_.shape
    ((5, 2), (2, 50))
    >>> Ridge(alphas=[10.0]).fit(X, Y).alpha_
    10.0
    """

    def __init__(
        self,
        alphas: Sequence[float] = ALPHAS,
        alpha_per_target: str | None = None,
        device: str = "cpu",
        max_bytes: int = MAX_BYTES,
    ):
        self.alphas = check_alphas(alphas, alpha_per_target)
        self.alpha_per_target, self.device, self.max_bytes = alpha_per_target, device, max_bytes

    def session(self, Y: np.ndarray, weights: np.ndarray | None, splits: Sequence[Split]) -> Session:
        """Return a session that shares the work on targets (n_rows, n_targets) between layers and splits."""
        used = np.unique(np.concatenate([split.train for split in splits]))
        targets = Targets(Y, self.device, self.max_bytes, used)
        return RidgeSession(targets, weights, self.alphas, self.alpha_per_target)

    def fit(self, X: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None) -> "Ridge":
        """Choose the penalties, fit the regression and return the decoder.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            Features.
        Y : array of shape (n_rows, n_targets)
            Targets.
        weights : array of shape (n_rows,), optional
            Row weights above 0.
        """
        features, targets = to_tensor(X, self.device), Targets(Y, self.device, self.max_bytes)
        rows = torch.arange(len(X), device=self.device)
        self._eigen = decompose(features, rows, rows[:0], row_weights(weights, len(X), self.device))
        self._basis = basis(features, rows, self._eigen)
        alpha = self._choose(targets, rows)
        self._alpha = torch.as_tensor(alpha, dtype=torch.float64).to(self.device)
        self.alpha_ = alpha
        self.intercept_ = targets.offset + self._mean.double().cpu().numpy()
        self._offset = targets.offset
        return self

    def _choose(self, targets: Targets, rows: torch.Tensor) -> float | np.ndarray:
        """Fill the targets' means and components U^T y; return the alpha, or one per target."""
        values, eigen = targets.values, self._eigen
        alphas = torch.as_tensor(self.alphas).to(self.device)
        self._components = values.new_empty(len(eigen.values), values.shape[1])
        self._mean, chosen = torch.empty_like(values[0]), np.empty(values.shape[1])
        for columns in targets.batches():
            y, self._mean[columns] = centred(values[:, columns], eigen.root)
            if self.alpha_per_target is None:
                self._components[:, columns] = eigen.U.T.to(y.dtype) @ y
                continue
            A, choice, _ = best_alpha_per_target(eigen, y, alphas, self.alpha_per_target)
            self._components[:, columns], chosen[columns] = A, self.alphas[choice.cpu().numpy()]
        return chosen if self.alpha_per_target else best_shared_alpha(eigen, targets, rows, alphas)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the predictions of features (n_rows, n_features).

        Returns
        -------
        array of shape (n_rows, n_targets)
            float32 if the training set had more targets than rows, else float64.
        """
        P = coordinates(to_tensor(X, self.device), self._basis, self._eigen)
        predicted = reconstruct(self._eigen, P, self._components, self._alpha) + self._mean
        predicted = predicted.cpu().numpy()
        np.add(predicted, self._offset, out=predicted, casting="same_kind")
        return predicted

    @property
    def coef_(self) -> np.ndarray:
        """Coefficients of the standardised features: (n_targets, n_features) float64."""
        alpha = self._alpha if self._alpha.ndim else self._alpha[None]
        scaled = self._components.double() / (self._eigen.values[:, None] + alpha)
        return (self._basis @ scaled).T.cpu().numpy()


class RidgeSession:
    """Ridge regression over layers and splits (see `base.Session`)."""

    batch = 1

    def __init__(self, targets: Targets, weights: np.ndarray | None, alphas: np.ndarray, mode: str | None):
        self.targets, self.mode = targets, mode
        self.device = targets.values.device
        self.weights = row_weights(weights, len(targets.values), self.device)
        self.alphas = torch.as_tensor(alphas).to(self.device)

    def load(self, X: np.ndarray) -> torch.Tensor:
        """Return the features on the device."""
        return torch.from_numpy(X).to(self.device)

    def truth(self, rows: np.ndarray, columns: slice) -> torch.Tensor:
        """Return the shifted targets of some rows and columns."""
        return self.targets.values[:, columns].index_select(0, self._index(rows))

    def predict(self, X: torch.Tensor, splits: Sequence[Split]) -> Iterator[Prediction]:
        """Fit on each split's training rows and yield the predictions of its held-out rows, in batches of targets."""
        for k, split in enumerate(splits):
            train = self._index(split.train)
            eigen = decompose(X, train, self._index(split.held), self.weights[train])
            parts = self._shared(eigen, train) if self.mode is None else self._per_target(eigen, train)
            for columns, values, alpha in parts:
                yield Prediction(k, columns, values, alpha)

    def smoothers(self, X: torch.Tensor, split: Split) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield (columns, weights (n_held, n_train) float64) for each penalty chosen.

        The predictions of the held-out rows are the weights times the training rows of these columns, plus a constant.
        """
        train = self._index(split.train)
        eigen = decompose(X, train, self._index(split.held), self.weights[train])
        n_targets = self.targets.values.shape[1]
        if self.mode is None:
            alpha = best_shared_alpha(eigen, self.targets, train, self.alphas)
            yield torch.arange(n_targets, device=self.device), smoother(eigen, alpha)
            return
        chosen = torch.empty(n_targets, dtype=torch.long, device=self.device)
        for columns in self.targets.batches():
            y, _ = centred(self.targets.values[:, columns].index_select(0, train), eigen.root)
            chosen[columns] = best_alpha_per_target(eigen, y, self.alphas, self.mode)[1]
        for i in chosen.unique().tolist():
            yield (chosen == i).nonzero()[:, 0], smoother(eigen, float(self.alphas[i]))

    def _shared(self, eigen: Eigendecomposition, train: torch.Tensor):
        """Yield (columns, predictions, alpha) of each batch of targets with one alpha for all."""
        alpha = best_shared_alpha(eigen, self.targets, train, self.alphas)
        of_train = smoother(eigen, alpha)
        # weights of all rows, 0 outside the training part: no copy of the training targets is made
        weights = of_train.new_zeros(len(of_train) + 1, len(self.targets.values))
        weights[:-1, train] = of_train
        weights[-1, train] = eigen.root**2 / (eigen.root @ eigen.root)
        constant = self.targets.constant(train)
        for columns in self.targets.batches():
            sums = weighted_sum(weights, self.targets.values[:, columns])
            yield columns, self._with_mean(sums[:-1], sums[-1], constant[columns]), alpha

    def _per_target(self, eigen: Eigendecomposition, train: torch.Tensor):
        """Yield (columns, predictions, alphas (n_columns,)) of each batch of targets with an alpha per target."""
        constant = self.targets.constant(train)
        for columns in self.targets.batches():
            y, mean = centred(self.targets.values[:, columns].index_select(0, train), eigen.root)
            A, choice, _ = best_alpha_per_target(eigen, y, self.alphas, self.mode)
            predicted = reconstruct(eigen, eigen.P, A, self.alphas[choice])
            values = self._with_mean(predicted, mean, constant[columns])
            yield columns, values, self.alphas[choice].cpu().numpy()

    @staticmethod
    def _with_mean(predicted: torch.Tensor, mean: torch.Tensor, constant: torch.Tensor) -> torch.Tensor:
        """Return predictions plus the training mean; exactly the mean for a target that is constant in training."""
        return predicted.add_(mean) if not constant.any() else torch.where(constant, mean, predicted + mean)

    def _index(self, rows: np.ndarray) -> torch.Tensor:
        """Return row indices as a tensor on the device."""
        return torch.as_tensor(np.asarray(rows, dtype=np.int64)).to(self.device)
