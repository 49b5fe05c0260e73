"""Behaviour benchmark: the confusions of a logistic read-out against those of human subjects."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evaluate.metrics import ConfusionMetric, Metric
from ..records import Evaluation
from .benchmark import TIME_MEAN, Benchmark

if TYPE_CHECKING:
    from ..analysis.permutation import Null


class BehaviourBenchmark(Benchmark):
    """Behaviour: answers of a read-out compared with those of people, for one dataset of human trials."""

    partial_bins = True

    @property
    def default_metric(self) -> str:
        return self.declared[0].metric

    @property
    def kind_of_scores(self) -> str:
        return "human choices"

    def takes(self, metric: Metric) -> bool:
        return isinstance(metric, ConfusionMetric)

    def bins_ms(self, name: str) -> np.ndarray:
        return TIME_MEAN

    def options(self) -> dict[str, Any]:
        return self.protocol_options() | {"metric": self.metric}

    def check(self) -> None:
        from ..evaluate import behaviour

        behaviour.check(self.run.record(self.names[0]), self.metric, self.protocol)

    def evaluate(self, null: bool, metrics: Sequence[str]) -> dict[str, Evaluation]:
        from ..evaluate import behaviour

        return behaviour.scores(
            *self._inputs(),
            metrics,
            self.protocol,
            resample=True,
            device=self.decoder_device,
            progress=self.run.progress("read-out"),
        )

    def null(self) -> "Null":
        from ..analysis.permutation import Null
        from ..evaluate import behaviour

        scores = behaviour.null(
            *self._inputs(),
            self.metric,
            self.request.permutations,
            self.protocol,
            device=self.decoder_device,
            progress=self.run.progress("permutations"),
        )
        return Null(scores[:, None])

    def _inputs(self) -> tuple:
        """(activations of the test stimuli, of the fitting stimuli or None, choices)."""
        name = self.names[0]
        choices = self.run.record(name)
        fitting = None if choices.fitting is None else self.activations(name, "fitting")
        return self.activations(name), fitting, choices
