"""Task benchmark: labels decoded from the mean over time."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..records import Evaluation
from .benchmark import TIME_MEAN, Benchmark

if TYPE_CHECKING:
    from ..evaluate.cross_validate import Problem


class TaskBenchmark(Benchmark):
    """Task: accuracy or Pearson r of the labels of one dataset."""

    partial_bins = True

    @property
    def metric(self) -> str:
        return self.declared[0].metric

    def bins_ms(self, name: str) -> np.ndarray:
        limit = self.declared[0].limit_ms
        return TIME_MEAN if limit is None else np.array([[0.0, limit]])

    def options(self) -> dict[str, Any]:
        ridge = self.chosen("penalty", "alpha_scale") if self.decoder_name() == "ridge" else {}
        return super().options() | ridge | {"decoder": self.decoder_name(), "metric": self.metric}

    def check(self) -> None:
        from ..evaluate.task import task_splits

        task_splits(self.run.record(self.names[0]), self.metric, self.protocol, validate=self.validate)

    def evaluate(self, null: bool) -> Evaluation:
        from ..evaluate import nulls, task

        labels = self.run.record(self.names[0])
        if null:
            labels = nulls.shuffle_labels(labels, self.request.seed)
        return task.score(
            self.activations(self.names[0]),
            labels,
            self.decoder(),
            self.metric,
            self.protocol,
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
