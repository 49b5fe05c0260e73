"""What cross-validation asks of a decoder: held-out predictions of one layer, split by split."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Split:
    """Who is trained on and who is held out: int arrays of row indices, disjoint."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray

    @property
    def held(self) -> np.ndarray:
        """Validation rows, then test rows."""
        return np.concatenate([self.valid, self.test])


@dataclass(frozen=True)
class Prediction:
    """Some targets of one split's held-out rows.

    split: position among the splits asked for; columns: which targets; values: (n_held, n_columns), valid rows first;
    alpha: the penalty chosen, one for all columns or (n_columns,), None where a decoder has none.
    """

    split: int
    columns: slice
    values: Any
    alpha: float | np.ndarray | None = None


class Session(Protocol):
    """A decoder at work on one set of targets: keeps what layers and splits share.

    batch: how many splits are best asked for at a time.
    """

    batch: int

    def load(self, X: np.ndarray) -> Any:
        """The features of a layer, (n_rows, n_features), where the decoder wants them."""

    def predict(self, X: Any, splits: Sequence[Split]) -> Iterator[Prediction]:
        """Fit on each split's training rows and predict its held-out rows, in batches of targets."""

    def truth(self, rows: np.ndarray, columns: slice) -> Any:
        """The targets that predictions are compared with, in the predictions' units."""


class Refit:
    """A session of any decoder with `fit` and `predict`: fitted anew for each layer and split."""

    batch = 1

    def __init__(self, decoder, Y: np.ndarray, weights: np.ndarray | None):
        self.decoder, self.Y, self.weights = decoder, Y, weights

    def load(self, X: np.ndarray) -> np.ndarray:
        return X

    def predict(self, X: np.ndarray, splits: Sequence[Split]) -> Iterator[Prediction]:
        for k, split in enumerate(splits):
            weights = None if self.weights is None else self.weights[split.train]
            fitted = copy(self.decoder).fit(X[split.train], self.Y[split.train], weights)
            yield Prediction(k, slice(None), fitted.predict(X[split.held]), getattr(fitted, "alpha_", None))

    def truth(self, rows: np.ndarray, columns: slice) -> np.ndarray:
        return self.Y[rows, columns]
