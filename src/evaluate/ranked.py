"""Labels in the order of their probability, for metrics that look beyond the most probable one."""

from copy import copy

import numpy as np

from ..utils import BadInput
from .decoders.base import Decoder

KEPT = 5  # most probable labels of a row


class Ranked:
    """Decoder of one label whose predictions are its most probable values, the most probable first.

    decoder: one with `predict_proba` and `classes_`, such as `decoders.Logistic`.
    """

    def __init__(self, decoder: Decoder):
        if not hasattr(decoder, "predict_proba"):
            raise BadInput(f"{type(decoder).__name__} has no probabilities of classes; expected the decoder logistic")
        self.decoder = decoder

    def fit(self, X: np.ndarray, Y: np.ndarray, weights: np.ndarray | None = None) -> "Ranked":
        """Fit a copy of the decoder and return the ranked one."""
        if np.ndim(Y) > 1 and np.shape(Y)[1] > 1:
            raise BadInput(f"{np.shape(Y)[1]} labels of a stimulus; expected one to rank its values")
        fitted = copy(self)
        fitted.decoder = copy(self.decoder).fit(X, Y, weights)
        return fitted

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return tuples of labels: object (n_rows, 1)."""
        order = np.argsort(-self.decoder.predict_proba(X), axis=1, kind="stable")[:, :KEPT]
        found = np.empty((len(X), 1), dtype=object)
        found[:, 0] = [tuple(labels) for labels in np.asarray(self.decoder.classes_)[order].tolist()]
        return found


def most_probable(predicted: np.ndarray) -> np.ndarray:
    """Return the first label of each entry: (n_rows, n_targets)."""
    first = [labels[0] for labels in np.asarray(predicted, dtype=object).ravel()]
    return np.array(first).reshape(np.shape(predicted))
