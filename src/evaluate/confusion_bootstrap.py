"""Agreement of confusion matrices on bootstrap samples of images.

The matrices of `confusions` with a weight for each image: its number of copies in a bootstrap sample. The z-scored hits
of the images do not depend on the sample and are computed once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtri

from .confusions import CAP, error_consistency, human_right, model_right
from .metrics import METRICS


@dataclass(frozen=True)
class ResponseMatrix:
    """Response matrix (n_images, n_classes) of images of class `truth` (n_images,), -1 for none."""

    values: np.ndarray
    truth: np.ndarray

    @cached_property
    def _defined(self) -> np.ndarray:
        """Mask of the entries of images that have a class: (n_images, n_classes)."""
        return np.isfinite(self.values) & (self.truth >= 0)[:, None]

    @cached_property
    def _classes(self) -> np.ndarray:
        """1 where the image is of the class, else 0: (n_classes, n_images)."""
        return (np.arange(self.values.shape[1])[:, None] == self.truth).astype(np.float64)

    @cached_property
    def _hits(self) -> np.ndarray:
        """z(1 - share of choices): (n_images, n_classes)."""
        with np.errstate(invalid="ignore"):
            return ndtri(1 - self.values)

    def _objects(self, values: np.ndarray, known: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Average the known values over the images of each class: (n_classes shown, n_classes chosen)."""
        members = self._classes * weights
        with np.errstate(invalid="ignore"):
            return (members @ np.where(known, values, 0)) / (members @ known)

    def confusion(self, metric: str, weights: np.ndarray) -> np.ndarray:
        """Return I2n (n_images, n_classes) or O2 (n_classes, n_classes) of images with weights (n_images,)."""
        false_alarms = self._objects(self.values, self._defined, weights)
        with np.errstate(invalid="ignore"):
            if metric == "O2":
                return np.clip(ndtri(1 - false_alarms.T) - ndtri(false_alarms), -CAP, CAP)
            shown = np.maximum(self.truth, 0)
            dprime = np.clip(self._hits - ndtri(false_alarms)[:, shown].T, -CAP, CAP)
        known = np.isfinite(dprime) & self._defined
        return np.where(known, dprime - self._objects(dprime, known, weights)[shown], np.nan)


@dataclass(frozen=True)
class ConfusionBootstrap:
    """Bootstrap of the agreement of response matrices of a model with the human ones.

    metric: name of a `metrics.ConfusionMetric` with a resampling; models, human: one for each split; splits that choose
    the same layer share its matrix; two_way: the trials offer the truth and one distractor.
    """

    metric: str
    models: Sequence[ResponseMatrix]
    human: Sequence[ResponseMatrix]
    two_way: bool = False

    def replicates(self, counts: np.ndarray) -> np.ndarray:
        """Return the split-mean agreement of bootstrap samples; NaN where no split has one.

        counts: (n_samples, n_images), number of copies of each image; returns (n_samples, 1).
        """
        return np.array([[self._agreement(np.asarray(weights, dtype=np.float64))] for weights in counts])

    def _agreement(self, weights: np.ndarray) -> float:
        """Return the mean over splits of the agreement in one bootstrap sample."""
        pattern, agreement = METRICS[self.metric].resampling()
        distinct = {id(model): pattern(model, weights, False, self.two_way) for model in self.models}
        found = [
            agreement(distinct[id(model)], pattern(one, weights, True, self.two_way), weights)
            for model, one in zip(self.models, self.human, strict=True)
        ]
        known = [r for r in found if np.isfinite(r)]
        return float(np.mean(known)) if known else float("nan")


def resampling(metric: str):
    """Return the functions of a metric for images with weights, an entry of `RESAMPLED`.

    pattern(response matrix, weights, is human, two_way) -> array; agreement(pattern, pattern, weights) -> float.
    """
    return RESAMPLED[metric]


def _right(response: ResponseMatrix, weights: np.ndarray, human: bool, two_way: bool) -> np.ndarray:
    return (human_right if human else model_right)(response.values, response.truth, two_way)


def _correlation(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> float:
    """Return row-weighted Pearson r over entries finite in both; NaN for fewer than three, or if one is constant."""
    both = np.isfinite(a) & np.isfinite(b) & (weights > 0)[:, None]
    if both.sum() < 3:
        return float("nan")
    share = np.broadcast_to(weights[:, None], a.shape)[both]
    share = share / share.sum()
    a, b = (values[both] - share @ values[both] for values in (a, b))
    norm = np.sqrt((share @ a**2) * (share @ b**2))
    return float(share @ (a * b) / norm) if norm > 1e-12 else float("nan")


RESAMPLED = {
    "I2n": (lambda response, weights, human, two_way: response.confusion("I2n", weights), _correlation),
    "O2": (
        lambda response, weights, human, two_way: response.confusion("O2", weights),
        lambda a, b, weights: _correlation(a, b, np.ones(len(a))),
    ),
    "error_consistency": (_right, error_consistency),
}
