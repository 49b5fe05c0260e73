"""Decoders: from features (n_rows, n_features) to targets (n_rows, n_targets), standardised on the training rows only.

A decoder is a class with `fit(X, Y, weights=None) -> self` and `predict(X)`, and a line in DECODERS. One that shares
work over layers and splits has a `session(Y, weights, splits)` too (see `session.Session`). A row of weight 3 counts as
three equal rows. Columns that are constant in training contribute nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch

from ...utils import BadInput
from . import ridge
from .banded import BandedRidge
from .base import Refit, Session, Split
from .eigendecomposition import basis, coordinates, decompose
from .logistic import LogisticSession, fit_splits
from .targets import MAX_BYTES, Targets, centred

ALPHAS = tuple(np.logspace(-4, 4, 9).tolist())


class Decoder(Protocol):
    """What cross-validation needs; an instance is a template that it never changes."""

    def fit(self, X: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None) -> "Decoder":
        """Learn from X (n_rows, n_features), Y (n_rows, n_targets) and row weights (n_rows,)."""

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predictions (n_rows, n_targets)."""


class Ridge:
    """Ridge regression, equal to scikit-learn's StandardScaler and RidgeCV(alphas) in alpha, coefficients, predictions.

    alphas: the grid; alpha_per_target: None chooses one alpha for all targets by the leave-one-out error summed over
    targets (RidgeCV's default); "gcv" one per target by the generalised error, "loo" by the exact one; device: "cpu"
    or "cuda"; max_bytes: what target-wide temporaries may take; on top come about six float64 matrices of the lesser of
    (rows, features) squared and, where rows outnumber features, two of rows x features.

    Weights: the weighted standardisation, fit and leave-one-out error of scikit-learn's `sample_weight` in both steps:
    the error of a row counts times its weight, and the row is left out whole. Repeating rows gives the same
    coefficients at a given alpha, but its leave-one-out error leaves one copy out at a time and may choose another.
    After `fit`: alpha_ (a float, or (n_targets,)), intercept_ (n_targets,), coef_ (n_targets, n_features) when asked.
    """

    def __init__(
        self,
        alphas: Sequence[float] = ALPHAS,
        alpha_per_target: str | None = None,
        device: str = "cpu",
        max_bytes: int = MAX_BYTES,
    ):
        self.alphas = ridge.checked(alphas, alpha_per_target)
        self.alpha_per_target, self.device, self.max_bytes = alpha_per_target, device, max_bytes

    def session(self, Y: np.ndarray, weights: np.ndarray | None, splits: Sequence[Split]) -> Session:
        """The same over layers and splits, sharing what can be shared."""
        used = np.unique(np.concatenate([split.train for split in splits]))
        targets = Targets(Y, self.device, self.max_bytes, used)
        return ridge.RidgeSession(targets, weights, self.alphas, self.alpha_per_target)

    def fit(self, X: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None) -> "Ridge":
        """X (n_rows, n_features), Y (n_rows, n_targets), weights (n_rows,) above 0 or None."""
        features, targets = _tensor(X, self.device), Targets(Y, self.device, self.max_bytes)
        weights = _weights(weights, len(X), self.device)
        rows = torch.arange(len(X), device=self.device)
        self._spectrum = decompose(features, rows, rows[:0], weights)
        self._basis = basis(features, rows, self._spectrum)
        alpha = self._choose(targets, rows)
        self._alpha = torch.as_tensor(alpha, dtype=torch.float64).to(self.device)
        self.alpha_ = alpha
        self.intercept_ = targets.offset + self._mean.double().cpu().numpy()
        self._offset = targets.offset
        return self

    def _choose(self, targets: Targets, rows: torch.Tensor) -> float | np.ndarray:
        """Fills the targets' means and components; returns the alpha, or one per target."""
        values, spectrum = targets.values, self._spectrum
        alphas = torch.as_tensor(self.alphas).to(self.device)
        self._components = values.new_empty(len(spectrum.values), values.shape[1])
        self._mean, chosen = torch.empty_like(values[0]), np.empty(values.shape[1])
        for columns in targets.batches():
            y, self._mean[columns] = centred(values[:, columns], spectrum.root)
            if self.alpha_per_target is None:
                self._components[:, columns] = spectrum.U.T.to(y.dtype) @ y
                continue
            A, choice, _ = ridge.components(spectrum, y, alphas, self.alpha_per_target)
            self._components[:, columns], chosen[columns] = A, self.alphas[choice.cpu().numpy()]
        return chosen if self.alpha_per_target else ridge.shared_alpha(spectrum, targets, rows, alphas)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predictions (n_rows, n_targets); float32 if there were more targets than rows, else float64."""
        P = coordinates(_tensor(X, self.device), self._basis, self._spectrum)
        predicted = ridge.reconstruct(self._spectrum, P, self._components, self._alpha) + self._mean
        predicted = predicted.cpu().numpy()
        np.add(predicted, self._offset, out=predicted, casting="same_kind")
        return predicted

    @property
    def coef_(self) -> np.ndarray:
        """Coefficients of the standardised features: (n_targets, n_features) float64."""
        alpha = self._alpha if self._alpha.ndim else self._alpha[None]
        scaled = self._components.double() / (self._spectrum.values[:, None] + alpha)
        return (self._basis @ scaled).T.cpu().numpy()


class PLS:
    """Partial least squares with 25 components, or as many as the features have dimensions; scikit-learn's, unscaled Y.

    Weights: as repeated rows. scikit-learn's has none, so each row is given twice, times plus and minus the root of
    its weight, which leaves the centring without effect.
    """

    def __init__(self, n_components: int = 25):
        self.n_components = n_components

    def fit(self, X: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None) -> "PLS":
        """X (n_rows, n_features), Y (n_rows, n_targets), weights (n_rows,) above 0 or None."""
        from sklearn.cross_decomposition import PLSRegression

        self._scaler, self._mean = Standardiser(X, weights), np.average(Y, axis=0, weights=weights)
        Z, centred_Y = self._scaler(X), Y - self._mean
        varies = np.ptp(Y, axis=0) > 0
        self.coef_ = np.zeros((Y.shape[1], X.shape[1]))
        n_components = min(self.n_components, np.linalg.matrix_rank(Z))
        if n_components and varies.any():
            if weights is not None:
                root = np.concatenate([np.sqrt(weights), -np.sqrt(weights)])[:, None]
                Z, centred_Y = np.tile(Z, (2, 1)) * root, np.tile(centred_Y, (2, 1)) * root
            self.coef_[varies] = PLSRegression(n_components, scale=False).fit(Z, centred_Y[:, varies]).coef_
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predictions (n_rows, n_targets)."""
        return self._scaler(X) @ self.coef_.T + self._mean


class Logistic:
    """Logistic regression of labels (L2, softmax over classes); targets (n_rows, n_labels) are decoded one by one.

    C: inverse penalty; max_iter: iterations of L-BFGS; device: on "cpu" scikit-learn solves it, on "cuda" (or with
    solver "torch") a batched L-BFGS with the same objective, all splits of a layer at once.
    After `fit`: classes_, the sorted labels (a list of them if there are several targets).
    """

    def __init__(self, C: float = 1.0, max_iter: int = 3000, device: str = "cpu", solver: str | None = None):
        self.C, self.max_iter, self.device = C, max_iter, device
        self.solver = solver or ("sklearn" if device == "cpu" else "torch")

    def session(self, Y: np.ndarray, weights: np.ndarray | None, splits: Sequence[Split]) -> Session:
        """All splits of a layer at once with the torch solver, one by one otherwise."""
        if self.solver == "sklearn":
            return Refit(self, Y, weights)
        return LogisticSession(Y, weights, C=self.C, max_iter=self.max_iter, device=self.device)

    def fit(self, X: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None) -> "Logistic":
        """X (n_rows, n_features), Y (n_rows, n_labels) or (n_rows,), weights (n_rows,) or None; two classes or more."""
        Y = np.asarray(Y).reshape(len(X), -1)
        self._scaler = Standardiser(X, weights)
        Z = self._scaler(X)
        classes = [np.unique(column) for column in Y.T]
        for labels in classes:
            if len(labels) < 2:
                raise BadInput(f"all {len(X)} training rows have the label '{labels[0]}'; expected at least two labels")
        self._fits = [self._fit_one(Z, column, weights) for column in Y.T]
        self.classes_ = classes[0] if len(classes) == 1 else classes
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The most probable labels (n_rows, n_labels)."""
        Z = self._scaler(X)
        labels = self.classes_ if isinstance(self.classes_, list) else [self.classes_]
        return np.stack([names[fit(Z).argmax(axis=1)] for names, fit in zip(labels, self._fits, strict=True)], axis=1)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probabilities (n_rows, n_classes) of the first target's classes, in the order of `classes_`."""
        return self._fits[0](self._scaler(X))

    def _fit_one(self, Z: np.ndarray, labels: np.ndarray, weights: np.ndarray | None):
        """A function from standardised features to class probabilities."""
        if self.solver == "sklearn":
            from sklearn.linear_model import LogisticRegression

            model = LogisticRegression(C=self.C, max_iter=self.max_iter)
            return model.fit(Z, labels, sample_weight=weights).predict_proba
        names, codes = np.unique(labels, return_inverse=True)
        features, row_weights = _tensor(Z, self.device), _weights(weights, len(Z), self.device)
        options = {"C": self.C, "max_iter": self.max_iter}
        fits = fit_splits(features, _tensor(codes, self.device), len(names), row_weights[None], **options)
        return lambda Z: fits.probabilities(_tensor(Z, self.device)).cpu().numpy()


class Standardiser:
    """Columns to weighted mean 0 and variance 1 by the rows it is made from (StandardScaler); constant columns to 0."""

    def __init__(self, X: np.ndarray, weights: np.ndarray | None = None):
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(np.asarray(X, dtype=np.float64), sample_weight=weights)
        self.mean, self.inverse = scaler.mean_, np.where(np.ptp(X, axis=0) == 0, 0, 1 / scaler.scale_)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        return (X - self.mean) * self.inverse


def _tensor(array: np.ndarray, device: str) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def _weights(weights: np.ndarray | None, n_rows: int, device: str) -> torch.Tensor:
    return torch.as_tensor(np.ones(n_rows) if weights is None else weights, dtype=torch.float64).to(device)


DECODERS: Mapping[str, type[Decoder]] = {"ridge": Ridge, "pls": PLS, "logistic": Logistic, "banded": BandedRidge}
