"""The agreement of confusions on images drawn again: what a bootstrap of a behavioural score takes.

As `src.evaluate.confusions`, with a weight for each image: how often it was drawn. What does not depend on the draw,
the z-scored hits of every image, is computed once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtri

from .confusions import CAP

METRICS = ("I2n", "O2")


@dataclass(frozen=True)
class Matrix:
    """A response matrix (n_images, n_classes) of images whose class is `truth` (n_images,), -1 for none."""

    values: np.ndarray
    truth: np.ndarray

    @cached_property
    def _asked(self) -> np.ndarray:
        return np.isfinite(self.values) & (self.truth >= 0)[:, None]

    @cached_property
    def _classes(self) -> np.ndarray:
        """(n_classes, n_images): 1 where the image is of the class."""
        return (np.arange(self.values.shape[1])[:, None] == self.truth).astype(np.float64)

    @cached_property
    def _hits(self) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return ndtri(1 - self.values)

    def _objects(self, values: np.ndarray, known: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Weighted mean over the images of each class, where known: (n_classes of the image, n_classes chosen)."""
        drawn = self._classes * weights
        with np.errstate(invalid="ignore"):
            return (drawn @ np.where(known, values, 0)) / (drawn @ known)

    def confusion(self, metric: str, weights: np.ndarray) -> np.ndarray:
        """I2n (n_images, n_classes) or O2 (n_classes, n_classes) of images drawn `weights` (n_images,) times."""
        false_alarms = self._objects(self.values, self._asked, weights)
        with np.errstate(invalid="ignore"):
            if metric == "O2":
                return np.clip(ndtri(1 - false_alarms.T) - ndtri(false_alarms), -CAP, CAP)
            shown = np.maximum(self.truth, 0)
            dprime = np.clip(self._hits - ndtri(false_alarms)[:, shown].T, -CAP, CAP)
        known = np.isfinite(dprime) & self._asked
        return np.where(known, dprime - self._objects(dprime, known, weights)[shown], np.nan)


@dataclass(frozen=True)
class Reconfused:
    """A model's response matrix and the human ones that it is compared with, one for each split."""

    metric: str
    model: Matrix
    human: Sequence[Matrix]

    def replicates(self, counts: np.ndarray) -> np.ndarray:
        """Split-mean agreement of draws: counts (n_draws, n_images) -> (n_draws, 1); NaN where no split has any."""
        return np.array([[self._agreement(np.asarray(weights, dtype=np.float64))] for weights in counts])

    def _agreement(self, weights: np.ndarray) -> float:
        of_entry = np.ones(self.model.values.shape[1]) if self.metric == "O2" else weights
        model = self.model.confusion(self.metric, weights)
        found = [_correlation(model, one.confusion(self.metric, weights), of_entry) for one in self.human]
        known = [r for r in found if np.isfinite(r)]
        return float(np.mean(known)) if known else float("nan")


def _correlation(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> float:
    """Pearson r over the entries that both have, rows weighted; NaN with fewer than three, or where one is constant."""
    both = np.isfinite(a) & np.isfinite(b) & (weights > 0)[:, None]
    if both.sum() < 3:
        return float("nan")
    share = np.broadcast_to(weights[:, None], a.shape)[both]
    share = share / share.sum()
    a, b = (values[both] - share @ values[both] for values in (a, b))
    norm = np.sqrt((share @ a**2) * (share @ b**2))
    return float(share @ (a * b) / norm) if norm > 1e-12 else float("nan")
