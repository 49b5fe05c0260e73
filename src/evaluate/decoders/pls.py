"""Partial least squares regression."""

import numpy as np

from .estimator import Regression
from .tensors import Standardiser


class PLS(Regression):
    """Partial least squares of scikit-learn, on the CPU, features standardised, targets centred and not scaled.

    Row weights count as repeated rows. scikit-learn has no weights: each row enters twice, times plus and minus the
    root of its weight, so that centring has no effect.

    Parameters
    ----------
    n_components : int, default 25
        Number of components; at most the rank of the features is used.

    Attributes
    ----------
    coef_ : array of shape (n_targets, n_features)
        Coefficients of the standardised features, 0 for a constant target.

    References
    ----------
    Wold, Sjöström and Eriksson 2001, Chemometrics and Intelligent Laboratory Systems 58:109.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((20, 3))
    >>> Y = X[:, :1] - 2 * X[:, 1:2]
    >>> bool(np.allclose(PLS(3).fit(X, Y).predict(X), Y))
    True
    """

    def __init__(self, n_components: int = 25):
        self.n_components = n_components

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> "PLS":
        """Fit the regression and return it.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            Features.
        y : array of shape (n_rows, n_targets) or (n_rows,)
            Targets.
        sample_weight : array of shape (n_rows,), optional
            Row weights; rows of weight 0 are left out.
        """
        from sklearn.cross_decomposition import PLSRegression

        data = self._rows(X, y, sample_weight)
        X, Y, weights = data.X, data.Y, data.weights
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
        """Return the predictions (n_rows, n_targets) of features (n_rows, n_features)."""
        X = self._checked(X)
        return self._shaped(self._scaler(X) @ self.coef_.T + self._mean)

    @property
    def intercept_(self) -> np.ndarray:
        """Predictions at the mean of the features: (n_targets,)."""
        return self._mean

    @property
    def standardisation_(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and inverse standard deviation of the features in training: twice (n_features,) float64."""
        return self._scaler.mean, self._scaler.inverse
