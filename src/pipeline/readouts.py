"""The benchmarks of read-outs: labels of a task, and human choices."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..records import Evaluation
from .benchmark import Benchmark, make_decoder

if TYPE_CHECKING:
    from ..analysis.permutation import Null
    from ..evaluate.cross_validate import Problem

TIME_MEAN = np.array([[0.0, np.inf]])


class TaskBenchmark(Benchmark):
    """One set of labels, decoded from the time mean."""

    partial_bins = True

    @property
    def metric(self) -> str:
        return self.declared[0].metric

    def bins_ms(self, name: str) -> np.ndarray:
        limit = self.declared[0].limit_ms
        return TIME_MEAN if limit is None else np.array([[0.0, limit]])

    def options(self) -> dict[str, Any]:
        return super().options() | {"decoder": self.declared[0].decoder, "metric": self.metric}

    def check(self) -> None:
        from ..evaluate.task import task_splits

        task_splits(self.run.record(self.names[0]), self.metric, n_splits=1, seed=0)

    def evaluate(self, null: bool) -> Evaluation:
        from ..evaluate import nulls, task

        labels = self.run.record(self.names[0])
        if null:
            labels = nulls.exchanged_labels(labels, self.request.seed)
        return task.score(
            self.activations(self.names[0]),
            labels,
            self.decoder(),
            self.metric,
            n_splits=self.request.splits,
            seed=self.request.seed,
            resample=self.request.bootstrap > 0 and not null,
            jobs=self.request.jobs,
            progress=self.run.progress("null" if null else "read-out"),
        )

    def problems(self) -> list[Callable[[], "Problem"]]:
        from ..evaluate import task

        name, protocol = self.names[0], {"n_splits": self.request.splits, "seed": self.request.seed}
        return [lambda: task.problem(self.activations(name), self.run.record(name), self.metric, **protocol)]

    def decoder(self):
        return make_decoder(self.run, self.declared[0].decoder)


class BehaviourBenchmark(Benchmark):
    """One set of human choices against a read-out's."""

    partial_bins = True

    @property
    def metric(self) -> str:
        return self.declared[0].metric

    def bins_ms(self, name: str) -> np.ndarray:
        return TIME_MEAN

    def options(self) -> dict[str, Any]:
        fields = ("splits", "seed", "bootstrap", "permutations")
        return {name: getattr(self.request, name) for name in fields} | {"metric": self.metric}

    def evaluate(self, null: bool) -> Evaluation:
        from ..evaluate import behaviour

        name = self.names[0]
        choices = self.run.record(name)
        return behaviour.score(
            self.activations(name),
            None if choices.fitting is None else self.activations(name, "fitting"),
            choices,
            self.metric,
            n_splits=self.request.splits,
            seed=self.request.seed,
            resample=self.request.bootstrap > 0,
            progress=self.run.progress("read-out"),
        )

    def null(self) -> "Null":
        from ..analysis.permutation import Null
        from ..evaluate import behaviour

        name, request = self.names[0], self.request
        choices = self.run.record(name)
        scores = behaviour.null(
            self.activations(name),
            None if choices.fitting is None else self.activations(name, "fitting"),
            choices,
            self.metric,
            request.permutations,
            n_splits=request.splits,
            seed=request.seed,
            progress=self.run.progress("permutations"),
        )
        return Null(scores[:, None])
