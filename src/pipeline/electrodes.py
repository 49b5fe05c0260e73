"""Electrode benchmark: one recording of stimuli x bins x units, or a film for each unit."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ceiling import Ceiling, check_repeated
from ..evaluate.layer_choice import Rule
from ..evaluate.protocol import Protocol
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
        """Bins of the recording or, where they are shorter than a frame of the model, one bin per frame from 0 on.

        Steps at their measured times may begin in the middle of a frame, so that half a frame is the limit for them.
        """
        recorded = super().bins_ms(name)
        frame_ms = 1000.0 / self.run.model_metadata["fps"]
        limit_ms = frame_ms / 2 if self.run.has_step_times else frame_ms
        if recorded[0, 1] - recorded[0, 0] >= limit_ms:
            return recorded
        return regular_bins(np.ceil(recorded[-1, 1] / frame_ms) * frame_ms, limit_ms)

    @property
    def protocol(self) -> Protocol:
        protocol = super().protocol
        return replace(protocol, segment_ms=self.declared[0].clip_ms) if self.per_unit else protocol

    @property
    def rule(self) -> Rule:
        return Rule(self.protocol.nested, self.protocol.headline)

    def options(self) -> dict[str, Any]:
        gap = ("gap_ms",) if self.per_unit else ()
        return super().options() | self.regression_options() | self.chosen(*gap)

    def check(self) -> None:
        from ..evaluate.electrodes import tied_stimuli
        from ..evaluate.splits import item_splits

        if not self.per_unit:
            tied, protocol = tied_stimuli(self.run.record(self.names[0]), self.protocol), self.protocol
            options = {"layout": protocol.item_layout, "validate": self.validate, "n_splits": protocol.n_splits}
            item_splits(len(tied), groups=tied, **options)
        if self.request.ceiling and not self.per_unit:
            check_repeated(self.run.record(self.names[0]).subjects)

    def evaluate(self, null: bool) -> Evaluation:
        from ..evaluate import electrodes, nulls

        responses = self.run.record(self.names[0])
        if null:
            responses = (nulls.circular_shift if self.per_unit else nulls.shuffle)(responses, self.request.seed)
        shared = {"resample": self.request.bootstrap > 0 and not null}
        shared["progress"] = self.run.progress("null" if null else "regression")
        inputs = (self.activations(self.names[0]), responses, self.decoder(), self.protocol)
        if self.per_unit:
            return electrodes.score_per_unit(*inputs, **shared)
        return electrodes.score(*inputs, jobs=self.request.jobs, **shared)

    def problems(self) -> list[Callable[[], "Problem"]]:
        from ..evaluate import electrodes

        inputs = (self.activations(self.names[0]), self.run.record(self.names[0]), self.protocol)
        if self.per_unit:
            return electrodes.unit_problems(*inputs, validate=self.validate)[0]
        return [lambda: electrodes.problem(*inputs, validate=self.validate)[0]]

    def ceiling(self) -> Ceiling | None:
        if self.per_unit:
            return None
        name = self.names[0]
        if self.protocol.ceiling_rows == "all":
            return self.run.ceiling(name, self.run.record(name))
        from ..evaluate import electrodes

        recordings = electrodes.recordings(self.activations(name), self.run.record(name))
        return self.run.window_ceiling(self.names, recordings, self.problems()[0]().splits)
