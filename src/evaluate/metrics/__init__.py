"""Metrics: agreement of a model with data. One entry of `METRICS` adds one to every command, table and figure.

An entry states its value, the statistic that its interval needs, the names of its columns and axes, and the rest that
`Metric` lists; nothing else switches on the name of a metric.
"""

from collections.abc import Sequence

import numpy as np

from ..protocol import LEAST_TEST_ROWS
from . import values
from .base import (
    CLASSES,
    INFINITY,
    NUMBERS,
    RANKED,
    ConfusionMetric,
    Metric,
    Moments,
    PredictionMetric,
    RowMeans,
    Scale,
)
from .choices import CONFUSION_METRICS
from .similarity import SIMILARITY_METRICS, SimilarityMetric
from .values import accuracy, pearson

__all__ = [
    "METRICS",
    "ConfusionMetric",
    "Metric",
    "Moments",
    "PredictionMetric",
    "RowMeans",
    "Scale",
    "SimilarityMetric",
    "accuracy",
    "pearson",
]

_CORRELATION = Moments(values.correlation_of_moments)
_ENTRIES: Sequence[Metric] = (
    PredictionMetric(
        *("pearson", "r", "Pearson r", NUMBERS),
        value=pearson,
        statistic=_CORRELATION,
        of_ceiling=lambda r: r,
        of_subjects=True,
        least_rows=LEAST_TEST_ROWS,
    ),
    PredictionMetric(
        *("r2", "r2", "cross-validated r2", NUMBERS),
        bounds=(-INFINITY, 1.0),
        value=values.r2,
        statistic=Moments(values.r2_of_moments, means=True),
        of_ceiling=np.square,
        ceiling_is="split-half reliability",
        least_rows=LEAST_TEST_ROWS,
    ),
    Metric(
        *("normalised_r", "r / ceiling", "r / sqrt(reliability)", NUMBERS),
        bounds=(-INFINITY, INFINITY),
        base="pearson",
    ),
    Metric(
        *("normalised_r2", "r2 / ceiling", "r2 / reliability", NUMBERS),
        bounds=(-INFINITY, INFINITY),
        base="r2",
    ),
    PredictionMetric(
        *("accuracy", "accuracy", "accuracy", CLASSES),
        bounds=(0.0, 1.0),
        value=accuracy,
        statistic=RowMeans(lambda predicted, true: (np.asarray(predicted) == np.asarray(true))[None]),
        chance=lambda n_classes: 1 / n_classes,
    ),
    PredictionMetric(
        *("balanced_accuracy", "balanced accuracy", "balanced accuracy", CLASSES),
        bounds=(0.0, 1.0),
        value=values.balanced_accuracy,
        statistic=RowMeans(values.of_each_class, values.mean_of_classes),
        chance=lambda n_classes: 1 / n_classes,
    ),
    PredictionMetric(
        *("top5", "top-5", "top-5 accuracy", RANKED),
        bounds=(0.0, 1.0),
        value=values.top5,
        statistic=RowMeans(lambda predicted, true: values.in_top5(predicted, true)[None]),
        chance=lambda n_classes: min(5 / n_classes, 1.0),
    ),
    *SIMILARITY_METRICS,
    *CONFUSION_METRICS,
)
METRICS: dict[str, Metric] = {entry.name: entry for entry in _ENTRIES}
