"""Electrode benchmark: one recording of stimuli x bins x units, or a film for each unit."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ceiling import Ceiling
from ..records import Evaluation
from ..utils import regular_bins
from .benchmark import Benchmark

if TYPE_CHECKING:
    from ..evaluate.cross_validate import Problem


class ElectrodesBenchmark(Benchmark):
    """Electrodes: Pearson r over stimuli x bins, or over the clips of each unit's own film."""

    @property
    def per_unit(self) -> bool:
        """True where every unit was recorded with its own film."""
        return self.declared[0].fit == "per unit"

    def bins_ms(self, name: str) -> np.ndarray:
        """Bins of the recording or, where they are shorter than a frame of the model, one bin per frame from 0 on."""
        recorded = super().bins_ms(name)
        frame_ms = 1000.0 / self.run.model_metadata["fps"]
        if recorded[0, 1] - recorded[0, 0] >= frame_ms:
            return recorded
        return regular_bins(np.ceil(recorded[-1, 1] / frame_ms) * frame_ms, frame_ms)

    def options(self) -> dict[str, Any]:
        gap = ("gap_ms",) if self.per_unit else ()
        return super().options() | self.chosen("decoder", "alpha_per_target", *gap)

    def check(self) -> None:
        from ..evaluate.splits import item_splits

        if not self.per_unit:
            item_splits(len(self.run.record(self.names[0]).stimuli), n_splits=1)

    def evaluate(self, null: bool) -> Evaluation:
        from ..evaluate import electrodes, nulls

        responses = self.run.record(self.names[0])
        if null:
            responses = (nulls.circular_shift if self.per_unit else nulls.shuffle)(responses, self.request.seed)
        shared = self._protocol() | {"resample": self.request.bootstrap > 0 and not null}
        shared["progress"] = self.run.progress("null" if null else "regression")
        activations = self.activations(self.names[0])
        if self.per_unit:
            return electrodes.score_per_unit(activations, responses, self.decoder(), **shared)
        return electrodes.score(activations, responses, self.decoder(), jobs=self.request.jobs, **shared)

    def problems(self) -> list[Callable[[], "Problem"]]:
        from ..evaluate import electrodes

        activations, responses = self.activations(self.names[0]), self.run.record(self.names[0])
        if self.per_unit:
            return electrodes.unit_problems(activations, responses, **self._protocol())[0]
        return [lambda: electrodes.problem(activations, responses, **self._protocol())[0]]

    def ceiling(self) -> Ceiling | None:
        return None if self.per_unit else self.run.ceiling(self.names[0])

    def _protocol(self) -> dict[str, Any]:
        clips = {"segment_ms": self.declared[0].clip_ms, "gap_ms": self.request.gap_ms} if self.per_unit else {}
        return clips | {"n_splits": self.request.splits, "seed": self.request.seed}
