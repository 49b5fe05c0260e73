"""Logistic regression of labels, by scikit-learn or by a batched solver in torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from ...utils import BadInput
from .base import Prediction, Refit, Session, Split
from .estimator import Classification
from .logistic_solver import Fits, fit_splits
from .tensors import Standardiser, row_weights, to_tensor


class OneFit(Protocol):
    """Fitted logistic regression of one label."""

    n_iter_: np.ndarray | int

    def predict_proba(self, Z: np.ndarray) -> np.ndarray:
        """Return the class probabilities (n_rows, n_classes) of standardised features."""


class Logistic(Classification):
    """Logistic regression of labels (L2 penalty, softmax over classes), equal to scikit-learn's LogisticRegression.

    Targets (n_rows, n_labels) are decoded one by one. Of the two solvers that in torch is nearer the optimum: it goes
    on until no component of the gradient of the mean loss exceeds 1e-6, scikit-learn's default until 1e-4. Accuracies
    of scikit-learn's fits may differ by some thousandths for this reason.

    Parameters
    ----------
    C : float, default 1.0
        Inverse penalty.
    max_iter : int, default 3000
        Largest number of L-BFGS iterations.
    device : str, default "cpu"
        "cpu", or a CUDA device of torch.
    solver : {"sklearn", "torch"}, optional
        "torch" is a batched L-BFGS with scikit-learn's objective, all splits of a layer at once. By default "sklearn"
        on the CPU and "torch" elsewhere.

    Attributes
    ----------
    classes_ : array of shape (n_classes,), or list of one such array per target
        Labels in sorted order.
    n_iter_ : array of shape (n_labels,)
        Number of iterations.

    Examples
    --------
    >>> X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> decoder = Logistic().fit(X, np.array([["left"], ["left"], ["right"], ["right"]]))
    >>> decoder.predict(np.array([[-3.0], [3.0]]))[:, 0].tolist()
    ['left', 'right']
    """

    def __init__(self, C: float = 1.0, max_iter: int = 3000, device: str = "cpu", solver: str | None = None):
        self.C, self.max_iter, self.device, self.solver = C, max_iter, device, solver

    @property
    def solver_used(self) -> str:
        """Name of the solver: that of the parameter or, by default, that of the device."""
        return self.solver or ("sklearn" if self.device == "cpu" else "torch")

    def session(self, Y: np.ndarray, weights: np.ndarray | None, splits: Sequence[Split]) -> Session:
        """Return a session that fits all splits of a layer at once (torch), or one by one (sklearn)."""
        if self.solver_used == "sklearn":
            return Refit(self, Y, weights)
        return LogisticSession(Y, weights, C=self.C, max_iter=self.max_iter, device=self.device)

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> "Logistic":
        """Fit one regression per target and return the decoder.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            Features.
        y : array of shape (n_rows, n_labels) or (n_rows,)
            Labels of any type that sorts.
        sample_weight : array of shape (n_rows,), optional
            Row weights; rows of weight 0 are left out.

        Raises
        ------
        BadInput
            If a target has fewer than two labels.
        """
        data = self._rows(X, y, sample_weight)
        self._scaler = Standardiser(data.X, data.weights)
        Z = self._scaler(data.X)
        classes = [np.unique(column) for column in data.Y.T]
        for labels in classes:
            if len(labels) < 2:
                raise BadInput(
                    f"all {len(Z)} training rows have the label '{labels[0]}'; expected at least two labels (classes)"
                )
        self._fits = [self._fit_one(Z, column, data.weights) for column in data.Y.T]
        self.classes_ = classes[0] if len(classes) == 1 else classes
        self.n_iter_ = np.array([np.max(fit.n_iter_) for fit in self._fits])
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the most probable labels (n_rows, n_labels) of features (n_rows, n_features)."""
        Z = self._scaled(X)
        labels = self.classes_ if isinstance(self.classes_, list) else [self.classes_]
        found = [names[fit.predict_proba(Z).argmax(axis=1)] for names, fit in zip(labels, self._fits, strict=True)]
        return self._shaped(np.stack(found, axis=1))

    def predict_proba(self, X: np.ndarray) -> np.ndarray | list[np.ndarray]:
        """Return the probabilities (n_rows, n_classes) of the classes in the order of `classes_`.

        A list of such arrays for several targets.
        """
        Z = self._scaled(X)
        found = [fit.predict_proba(Z) for fit in self._fits]
        return found[0] if len(found) == 1 else found

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        """Return the standardised features of any rows."""
        X = self._checked(X)
        return self._scaler(X)

    def _fit_one(self, Z: np.ndarray, labels: np.ndarray, weights: np.ndarray | None) -> OneFit:
        """Return a fit to standardised features."""
        if self.solver_used == "sklearn":
            from sklearn.linear_model import LogisticRegression

            return LogisticRegression(C=self.C, max_iter=self.max_iter).fit(Z, labels, sample_weight=weights)
        names, codes = np.unique(labels, return_inverse=True)
        of_rows = row_weights(weights, len(Z), self.device)[None]
        features, codes = to_tensor(Z, self.device), to_tensor(codes, self.device)
        fits = fit_splits(features, codes, len(names), of_rows, C=self.C, max_iter=self.max_iter)
        return TorchFit(fits, self.device)


@dataclass(frozen=True)
class TorchFit:
    """Logistic regression by the batched solver, on its device (see `OneFit`)."""

    fits: Fits
    device: str

    @property
    def n_iter_(self) -> int:
        """Number of iterations."""
        return self.fits.n_iter

    def predict_proba(self, Z: np.ndarray) -> np.ndarray:
        """Return the class probabilities (n_rows, n_classes) of standardised features."""
        return self.fits.probabilities(to_tensor(Z, self.device)).cpu().numpy()


class LogisticSession:
    """Logistic regression over layers and splits, all splits of a layer in one batch (see `base.Session`)."""

    batch = 10**9

    def __init__(self, Y: np.ndarray, weights: np.ndarray | None, *, C: float, max_iter: int, device: str):
        self.Y, self.device, self.options = Y, device, {"C": C, "max_iter": max_iter}
        self.weights = np.ones(len(Y)) if weights is None else weights

    def load(self, X: np.ndarray) -> torch.Tensor:
        """Return the features on the device."""
        return torch.from_numpy(X).to(self.device)

    def truth(self, rows: np.ndarray, columns: slice) -> np.ndarray:
        """Return the labels of some rows and columns."""
        return self.Y[rows, columns]

    def predict(self, X: torch.Tensor, splits: Sequence[Split]) -> Iterator[Prediction]:
        """Fit all splits of each target at once and yield the labels of the held-out rows."""
        used = np.unique(np.concatenate([rows for split in splits for rows in (split.train, split.held)]))
        weights = np.zeros((len(splits), len(self.Y)))
        for k, split in enumerate(splits):
            weights[k, split.train] = self.weights[split.train]
        rows = torch.from_numpy(used).to(self.device)
        of_rows = torch.from_numpy(weights[:, used]).to(self.device)
        for column in range(self.Y.shape[1]):
            names, codes = np.unique(self.Y[used, column], return_inverse=True)
            codes = torch.from_numpy(codes).to(self.device)
            fits = fit_splits(X[rows], codes, len(names), of_rows, **self.options)
            for k, split in enumerate(splits):
                held = X[torch.from_numpy(split.held).to(self.device)]
                best = fits.probabilities(held, k).argmax(1).cpu().numpy()
                yield Prediction(k, slice(column, column + 1), names[best][:, None])
