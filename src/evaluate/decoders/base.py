"""Interfaces between decoders and cross-validation: decoders, splits, sessions and their predictions."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


class Decoder(Protocol):
    """Regression or classification from features to targets, standardised on the training rows only.

    Cross-validation copies a decoder before each fit and leaves the instance itself unchanged. A decoder that
    shares work between layers and splits also has a method `session(Y, weights, splits)` that returns a `Session`; one
    with the attribute `leaves_out = True` predicts blocks of training rows by fits without them, and its method is
    `session(Y, weights, splits, left_out, inside)`.

    Examples
    --------
    >>> class Mean:
    ...     def fit(self, X, y, sample_weight=None):
    ...         self.mean_ = np.average(y, axis=0, weights=sample_weight)
    ...         return self
    ...     def predict(self, X):
    ...         return np.tile(self.mean_, (len(X), 1))
    >>> Mean().fit(np.zeros((2, 3)), np.array([[1.0], [3.0]])).predict(np.zeros((1, 3)))
    array([[2.]])
    """

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> "Decoder":
        """Fit the decoder and return it.

        Parameters
        ----------
        X : array of shape (n_rows, n_features)
            Finite features of the training rows.
        y : array of shape (n_rows, n_targets)
            Finite targets, or labels.
        sample_weight : array of shape (n_rows,), optional
            Row weights above 0; a row of weight 3 counts as three equal rows.

        Returns
        -------
        Decoder
            The decoder itself.
        """

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the predictions (n_rows, n_targets) of features (n_rows, n_features)."""


def needs_validation(decoder: Decoder | type[Decoder], nested: bool) -> bool:
    """Return True if layers are chosen on validation rows, not by predictions of left-out training rows.

    nested: layers are chosen in each split; a choice over all splits is made on validation rows by every decoder.
    """
    return not (nested and getattr(decoder, "leaves_out", False))


@dataclass(frozen=True)
class Split:
    """Row indices of the training, validation and test part of a data set.

    Parameters
    ----------
    train, valid, test : int arrays
        Row indices, disjoint.

    Examples
    --------
    >>> split = Split(np.array([0, 1, 2]), np.array([3]), np.array([4, 5]))
    >>> split.held
    array([3, 4, 5])
    >>> split.restricted(np.array([True, False, True, True, False, True])).train
    array([0, 2])
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray

    @property
    def held(self) -> np.ndarray:
        """Validation rows, then test rows."""
        return np.concatenate([self.valid, self.test])

    def restricted(self, usable: np.ndarray) -> "Split":
        """Return the split without the rows outside the mask `usable`, bool (n_rows,)."""
        return Split(*(np.asarray(rows)[usable[rows]] for rows in (self.train, self.valid, self.test)))


@dataclass(frozen=True)
class LeftOut:
    """Rows that are left out of the training rows together, to score a fit of the others.

    Parameters
    ----------
    rows : int array
        Rows that are predicted without them: a segment of a film, a stimulus, a group of stimuli.
    gap : int array, default empty
        Further rows that are left out with them, such as the neighbours in time of a segment.

    Examples
    --------
    >>> LeftOut(np.array([4, 5]), gap=np.array([3, 6])).gap
    array([3, 6])
    """

    rows: np.ndarray
    gap: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


@dataclass(frozen=True)
class Prediction:
    """Predicted held-out rows of one split, for some of the targets.

    Parameters
    ----------
    split : int
        Position in the sequence of splits given to `Session.predict`.
    columns : slice
        Columns of the targets.
    values : array or tensor of shape (n_held, n_columns)
        Predictions, validation rows first.
    alpha : float or array of shape (n_columns,), optional
        Penalty chosen, a value of the decoder's grid; None for decoders without a penalty.
    inside : array or tensor of shape (n_train, n_columns), optional
        Predictions of the training rows, each by the fit without its block and gap; None for decoders without them.
    trained : array or tensor of shape (n_train, n_columns), optional
        Targets of the training rows, as `Session.truth` returns them, where the fit has gathered them.
    other : tensor of shape (n_held, n_train), optional
        Weights of the training rows in a fit to the session's other targets.
    shares : array of shape (n_bands, n_columns), optional
        Weight of each group of features in the prediction of a target; None for decoders without groups.
    parts : tensor of shape (n_parts, n_held, n_columns), optional
        Summands of the predictions, without the mean, of equal groups of features.
    fitted : array of shape (n_columns,), optional
        r of the training rows with their predictions by the fit to all of them; None where it is not computed.
    """

    split: int
    columns: slice
    values: Any
    alpha: float | np.ndarray | None = None
    inside: Any = None
    trained: Any = None
    other: Any = None
    shares: np.ndarray | None = None
    parts: Any = None
    fitted: np.ndarray | None = None


@dataclass(frozen=True)
class OtherFit:
    """Weights of a fit to targets other than those of the session.

    Parameters
    ----------
    weights : tensor of shape (n_test, n_rows)
        Weights of all rows in the predictions of the test rows, up to a constant; 0 outside the training rows.
    test : int array of shape (n_test,)
        Test rows.
    """

    weights: Any
    test: np.ndarray

    @classmethod
    def of(cls, held: Any, split: Split, n_rows: int) -> "OtherFit":
        """Return the fit of a split from the weights (n_held, n_train) of its held-out rows, validation rows first."""
        of_test = held[len(split.valid) :]
        weights = of_test.new_zeros(len(of_test), n_rows)
        weights[:, split.train] = of_test
        return cls(weights, np.asarray(split.test))


class Session(Protocol):
    """A decoder bound to one set of targets; holds the work that layers and splits share.

    Attributes
    ----------
    batch : int
        Number of splits that one call of `predict` handles best.
    """

    batch: int

    def load(self, X: np.ndarray) -> Any:
        """Return a layer's features (n_rows, n_features) in the form that `predict` takes, on the decoder's device."""

    def predict(self, X: Any, splits: Sequence[Split]) -> Iterator[Prediction]:
        """Fit on each split's training rows and yield predictions of its held-out rows, in batches of targets."""

    def truth(self, rows: np.ndarray, columns: slice) -> Any:
        """Return the targets of some rows and columns, in the units of the predictions."""


class Refit:
    """Session of any decoder: a copy is fitted for each layer and split.

    Parameters
    ----------
    decoder : Decoder
        Template, left unchanged.
    Y : array of shape (n_rows, n_targets)
        Targets.
    weights : array of shape (n_rows,) or None
        Row weights.
    """

    batch = 1

    def __init__(self, decoder: Decoder, Y: np.ndarray, weights: np.ndarray | None):
        self.decoder, self.Y, self.weights = decoder, Y, weights

    def load(self, X: np.ndarray) -> np.ndarray:
        """Return the features as they are."""
        return X

    def predict(self, X: np.ndarray, splits: Sequence[Split]) -> Iterator[Prediction]:
        """Fit a copy of the decoder on each split and yield its predictions of all targets."""
        for k, split in enumerate(splits):
            weights = None if self.weights is None else self.weights[split.train]
            fitted = copy(self.decoder).fit(X[split.train], self.Y[split.train], weights)
            yield Prediction(k, slice(None), fitted.predict(X[split.held]), getattr(fitted, "alpha_", None))

    def truth(self, rows: np.ndarray, columns: slice) -> np.ndarray:
        """Return the targets of some rows and columns."""
        return self.Y[rows, columns]
