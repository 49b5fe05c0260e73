"""Task benchmark: labels decoded from the mean over time."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evaluate.metrics import METRICS, Metric
from ..records import Evaluation
from .benchmark import TIME_MEAN, Benchmark

if TYPE_CHECKING:
    from ..evaluate.cross_validate import Problem


class TaskBenchmark(Benchmark):
    """Task: read-out of the labels of one dataset, classes or numbers."""

    partial_bins = True

    @property
    def default_metric(self) -> str:
        return self.declared[0].metric

    def takes(self, metric: Metric) -> bool:
        if METRICS[self.default_metric].of_classes:
            return metric.of_classes
        # labels have neither a ceiling nor regions
        return metric.of_responses and not (metric.of_regions or metric.base)

    def bins_ms(self, name: str) -> np.ndarray:
        limit = self.declared[0].limit_ms
        return TIME_MEAN if limit is None else np.array([[0.0, limit]])

    def options(self) -> dict[str, Any]:
        ridge = self.chosen("penalty", "alpha_scale", "alpha_per_target") if self.decoder_name() == "ridge" else {}
        return super().options() | ridge | {"decoder": self.decoder_name(), "metric": self.metric}

    def check(self) -> None:
        from ..evaluate.task import task_splits

        task_splits(self.run.record(self.names[0]), self.metric, self.protocol, validate=self.validate)

    def evaluate(self, null: bool, metrics: Sequence[str]) -> dict[str, Evaluation]:
        from ..evaluate import nulls, task

        labels = self.run.record(self.names[0])
        # shuffled labels may lack a class in a stratum: as permutations, they keep the splits of the true ones
        splits = task.task_splits(labels, self.metric, self.protocol, validate=self.validate)
        if null:
            labels = nulls.shuffle_labels(labels, self.request.seed)
        return task.scores(
            self.activations(self.names[0]),
            labels,
            self.decoder(),
            metrics,
            self.protocol,
            splits=splits,
            resample=not null,
            jobs=self.request.jobs,
            progress=self.run.progress("null" if null else "read-out"),
        )

    def problems(self) -> list[Callable[[], "Problem"]]:
        from ..evaluate import task

        name, options = self.names[0], {"validate": self.validate}
        inputs = (self.metric, self.protocol)
        return [lambda: task.problem(self.activations(name), self.run.record(name), *inputs, **options)]

    def decoder_name(self) -> str:
        return self.declared[0].decoder
