"""The description of a metric: its value, the statistic of a bootstrap, its null, range, direction and names.

numpy only: names and labels are read where a stored score is printed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

NUMBERS, CLASSES, RANKED, CHOICES, NO_FIT = "numbers", "classes", "ranked classes", "human choices", "no fit"
NEEDS = (NUMBERS, CLASSES, RANKED, CHOICES, NO_FIT)
LIMIT = 1 - 1e-6  # correlations are clipped to it: Fisher's z of 1 is infinite
INFINITY = float("inf")


@dataclass(frozen=True)
class Scale:
    """Scale on which a bounded score has about constant variance.

    Parameters
    ----------
    forward, inverse : function
        The monotone map to the scale, and back into the score's bounds.
    unexplained : function
        From a score to the share of the responses that it leaves unexplained.
    """

    forward: Callable[[np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray], np.ndarray]
    unexplained: Callable[[np.ndarray], np.ndarray]


FISHER = Scale(lambda r: np.arctanh(np.clip(r, -LIMIT, LIMIT)), np.tanh, lambda r: 1 - np.clip(r, -1, 1) ** 2)
ARCSINE = Scale(
    lambda share: 2 * np.arcsin(np.sqrt(np.clip(share, 0, 1))),
    lambda angle: np.sin(np.clip(angle, 0, np.pi) / 2) ** 2,
    lambda share: 1 - np.clip(share, 0, 1),
)
LOG_RESIDUAL = Scale(
    lambda r2: -np.log1p(-np.minimum(r2, LIMIT)), lambda z: -np.expm1(-z), lambda r2: 1 - np.clip(r2, 0, 1)
)
IDENTITY = Scale(lambda x: np.asarray(x, dtype=np.float64), lambda x: x, np.ones_like)
SCALES = {(-1.0, 1.0): FISHER, (0.0, 1.0): ARCSINE, (-INFINITY, 1.0): LOG_RESIDUAL}


@dataclass(frozen=True)
class Moments:
    """Statistic of a metric that follows from the first and second moments of predictions and truth.

    Parameters
    ----------
    score : function
        From tensors of one shape, the means of predictions and of truth, their variances and their covariance, to
        scores; called with (mean_x, mean_y, var_x, var_y, cov), which it may overwrite.
    means : bool, default False
        True if the score depends on the means, not only on variances and covariance.
    """

    score: Callable[..., Any]
    means: bool = False


@dataclass(frozen=True)
class RowMeans:
    """Statistic of a metric that follows from means over rows.

    Parameters
    ----------
    terms : function
        (predicted, true), arrays of shape (n_rows, n_targets) -> array (n_terms, n_rows, n_targets). The number of
        terms depends on `true` alone.
    score : function, optional
        From the means of the terms, a list of tensors of one shape, to scores; default: the only mean.
    """

    terms: Callable[[Any, Any], np.ndarray]
    score: Callable[[list], Any] = lambda means: means[0]


@dataclass(frozen=True)
class Metric:
    """A metric of the agreement of a model with data.

    Parameters
    ----------
    name : str
        Name of `--metric` and in stored scores.
    label : str
        Heading of a column of a table, e.g. "r".
    title : str
        Name on the axis of a figure, e.g. "Pearson r".
    needs : {"numbers", "classes", "ranked classes", "human choices", "no fit"}
        Predictions that the metric takes of a decoder: numbers, labels, labels in the order of their probability,
        probabilities that are compared with human choices, or none.
    bounds : (float, float), default (-1, 1)
        Range of the score, which draws of a bootstrap do not leave.
    direction : {1, -1}, default 1
        1 if a larger score is better, -1 if a smaller one is.
    of_ceiling : function, optional
        From the correlation of a perfect model with the responses, sqrt(reliability), to the score of such a model.
        None: the score has no ceiling.
    chance : function, optional
        From the number of classes to the score of a guess.
    ceiling_is : str, default "sqrt of the split-half reliability"
        The ceiling in words, for notes below a table.
    of_regions : bool, default False
        True if a target is a region, False if it is a unit or a label.
    of_subjects : bool, default False
        True for the metric by which `evaluate.subjects` scores single subjects, from the weights of their mean's fits.
    base : str, optional
        Name of the metric whose scores are divided by their ceiling: this metric has no value of its own.
    """

    name: str
    label: str
    title: str
    needs: str
    bounds: tuple[float, float] = (-1.0, 1.0)
    direction: int = 1
    of_ceiling: Callable[[np.ndarray], np.ndarray] | None = None
    chance: Callable[[int], float] | None = None
    ceiling_is: str = "sqrt of the split-half reliability"
    of_regions: bool = False
    of_subjects: bool = False
    base: str | None = None

    @property
    def scale(self) -> Scale:
        """Scale of the draws of a bootstrap."""
        return SCALES.get(tuple(map(float, self.bounds)), IDENTITY)

    @property
    def of_classes(self) -> bool:
        """True if the metric compares labels."""
        return self.needs in (CLASSES, RANKED)

    @property
    def of_responses(self) -> bool:
        """True if the metric compares predicted numbers, or no predictions, with responses."""
        return self.needs in (NUMBERS, NO_FIT)

    @property
    def resampled(self) -> bool:
        """True if the metric states how it is computed in a bootstrap sample, so that a score has an interval."""
        return False


@dataclass(frozen=True)
class PredictionMetric(Metric):
    """A metric of predictions and truth, one value per target; parameters as for `Metric`, and these.

    Parameters
    ----------
    value : function
        (predicted, true, weights) of shapes (n_rows, n_targets), the same, (n_rows,) or None -> (n_targets,).
    statistic : Moments or RowMeans, optional
        Statistic from which the score in a bootstrap sample follows. Without it a score has no interval, and says so.
    least_rows : int, default 0
        Number of test rows of a unit below which its score is undefined, where units lack different rows.
    """

    value: Callable[..., np.ndarray] | None = None
    statistic: Moments | RowMeans | None = None
    least_rows: int = 0

    @property
    def resampled(self) -> bool:
        return self.statistic is not None

    @property
    def linear_null(self) -> bool:
        """True if a linear decoder's permutations need no new fit; others are fitted anew in each permutation."""
        return isinstance(self.statistic, Moments)


@dataclass(frozen=True)
class ConfusionMetric(Metric):
    """A metric of human choices and a model's answers, one value; parameters as for `Metric`, and these.

    Parameters
    ----------
    human, model : function
        (response matrix (n_images, n_classes), truth (n_images,), two_way) -> pattern to compare, see
        `evaluate.confusions`.
    agreement : function
        (pattern, pattern) -> float.
    resampling : function, optional
        Returns functions (weighted pattern, weighted agreement) for a bootstrap over images, see
        `evaluate.confusion_bootstrap`. Without it a score has no interval, and says so.
    reliability : function or None
        From the agreement of two halves of the human trials to the ceiling of a model; default: its square root. None:
        the agreement of people is a reference and no ceiling.
    least_classes : int, default 2
        Number of classes below which the metric is undefined.
    least_images : int, default 1
        Number of images of a class below which the metric is undefined.
    """

    human: Callable[..., np.ndarray] | None = None
    model: Callable[..., np.ndarray] | None = None
    agreement: Callable[[np.ndarray, np.ndarray], float] | None = None
    resampling: Callable[[], tuple[Callable, Callable]] | None = None
    reliability: Callable[[float], float] | None = lambda agreed: float(np.sqrt(max(agreed, 0.0)))
    least_classes: int = 2
    least_images: int = 1

    @property
    def resampled(self) -> bool:
        return self.resampling is not None
