"""Conventions of scikit-learn that every decoder follows, so that it works in a Pipeline on a user's own arrays.

Parameters are stored as they were given and checked in `fit`; input is checked; targets of one dimension give
predictions of one dimension; rows of weight 0 are left out; `score` returns one value per target.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted

from ...utils import BadInput
from .base import LeftOut
from .left_out import restricted

FLOATS = [np.float64, np.float32]  # other types become the first


@dataclass(frozen=True)
class Rows:
    """Checked rows of a fit.

    X: (n_rows, n_features); Y: (n_rows, n_targets); weights: (n_rows,) above 0, None where all are 1; left_out:
    blocks of these rows.
    """

    X: np.ndarray
    Y: np.ndarray
    weights: np.ndarray | None
    left_out: list[LeftOut] | None


class Estimator(BaseEstimator):
    """Checks that all decoders share."""

    def _rows(self, X, y, sample_weight=None, left_out: Sequence[LeftOut] | None = None) -> Rows:
        """Return the checked rows of a fit, without those of weight 0; raise ValueError for unusable ones."""
        X = self._checked(X, reset=True)
        Y = self._targets(y)
        check_consistent_length(X, Y)
        self._one_target = Y.ndim == 1
        Y = Y.reshape(len(X), -1)
        if sample_weight is None:
            return Rows(X, Y, None, None if left_out is None else list(left_out))
        weights = check_array(sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
        if weights.shape != (len(X),) or (weights < 0).any() or not weights.any():
            raise BadInput(f"sample_weight of shape {weights.shape}; expected {len(X)} numbers, 0 or above it")
        kept, n_rows = np.flatnonzero(weights), len(X)
        if len(kept) < n_rows:
            X, Y, weights, left_out = X[kept], Y[kept], weights[kept], restricted(left_out, kept, n_rows)
        return Rows(X, Y, None if (weights == 1).all() else weights, left_out)

    def _targets(self, y) -> np.ndarray:
        """Return finite numbers, of one dimension or two."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        Y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        return Y.astype(np.float64) if Y.dtype.kind in "OUS" else Y

    def _checked(self, X, reset: bool = False) -> np.ndarray:
        """Return features as a finite array (n_rows, n_features) that fits those of the fit."""
        if not reset:
            check_is_fitted(self)
        return _validated(self, X, reset=reset, dtype=FLOATS, ensure_min_samples=2 if reset else 1)

    def _shaped(self, predicted: np.ndarray) -> np.ndarray:
        """Return predictions (n_rows, n_targets) with the number of dimensions of the targets of the fit."""
        return predicted[:, 0] if self._one_target else predicted

    def _per_target(self, values: np.ndarray) -> float | np.ndarray:
        """Return a value per target, or the only one of targets of one dimension."""
        return float(values[0]) if self._one_target else values

    def _more_tags(self) -> dict:
        """Return the tags of scikit-learn before 1.6."""
        return {"multioutput": True}

    def __sklearn_tags__(self):
        """Return the tags of scikit-learn from 1.6 on."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output, tags.target_tags.single_output = True, True
        return tags


class Regression(RegressorMixin, Estimator):
    """Regression, scored by R^2."""

    def score(self, X, y, sample_weight=None) -> float | np.ndarray:
        """Return R^2 of each target.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            Features.
        y : array of shape (n_rows,) or (n_rows, n_targets)
            Truth.
        sample_weight : array of shape (n_rows,), optional
            Row weights.

        Returns
        -------
        float, or array of shape (n_targets,)
            A float for targets of one dimension. A search of scikit-learn that needs one number for several targets
            takes `scoring="r2"`.
        """
        predicted = self.predict(X)
        found = r2_score(y, predicted, sample_weight=sample_weight, multioutput="raw_values")
        return self._per_target(np.atleast_1d(found))


class Classification(ClassifierMixin, Estimator):
    """Classification, scored by accuracy."""

    def _targets(self, y) -> np.ndarray:
        """Return labels, of one dimension or two."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        Y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        for column in Y.reshape(len(Y), -1).T:
            check_classification_targets(column)
        return Y

    def score(self, X, y, sample_weight=None) -> float | np.ndarray:
        """Return the accuracy of each label; see `Regression.score` for parameters and shape."""
        right = np.asarray(self.predict(X)) == np.asarray(y)
        return self._per_target(np.average(right.reshape(len(right), -1), axis=0, weights=sample_weight))


def _validated(estimator: Estimator, X, **options) -> np.ndarray:
    """Return X, checked, and the number and names of its features noted or compared."""
    try:
        from sklearn.utils.validation import validate_data
    except ImportError:  # before 1.6
        return estimator._validate_data(X, **options)
    return validate_data(estimator, X, **options)
