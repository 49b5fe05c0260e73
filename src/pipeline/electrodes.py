"""Electrode benchmark: one recording of stimuli x bins x units, or a film for each unit."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ceiling import Ceiling, Recording, check_repeated
from ..evaluate.layer_choice import Rule
from ..evaluate.metrics import Metric
from ..evaluate.protocol import Protocol
from ..records import Activations, Evaluation
from ..utils import regular_bins
from .benchmark import OF_BLOCKS, Benchmark

if TYPE_CHECKING:
    from ..evaluate.cross_validate import Problem


class ElectrodesBenchmark(Benchmark):
    """Electrodes: predictions of stimuli x bins or of the clips of each unit's film, by default their Pearson r."""

    def takes(self, metric: Metric) -> bool:
        # units with films of their own have neither rows in common nor a ceiling
        return metric.of_responses and not (self.per_unit and (metric.of_regions or metric.base))

    def without_effect(self) -> dict[str, str]:
        if self.per_unit:
            return super().without_effect() | {"ceiling_rows": f"the units of {self.titles[0]} have no noise ceiling"}
        why = f"the units of {self.titles[0]} share stimuli, which are left out whole"
        return super().without_effect() | dict.fromkeys(("gap_ms", *OF_BLOCKS), why)

    @property
    def kind_of_scores(self) -> str:
        return "units that saw a film each" if self.per_unit else super().kind_of_scores

    @property
    def per_unit(self) -> bool:
        """True where every unit was recorded with its own film."""
        return self.declared[0].fit == "per unit"

    def bins_ms(self, name: str) -> np.ndarray:
        """Bins of the recording or, where they are shorter than a frame of the model, one bin per frame from 0 on.

        Steps at their measured times may begin in the middle of a frame, so that half a frame is the limit for them.
        """
        recorded = super().bins_ms(name)
        runs = self.sources.runs.values()
        frame_ms = 1000.0 / min(run.model_metadata["fps"] for run in runs)
        limit_ms = frame_ms / 2 if any(run.has_step_times for run in runs) else frame_ms
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
        own = self.chosen("gap_ms") | self.penalty_film() if self.per_unit else {}
        return super().options() | self.regression_options() | own

    def check(self) -> None:
        from ..evaluate.electrodes import tied_stimuli
        from ..evaluate.splits import item_splits

        if not self.per_unit:
            tied, protocol = tied_stimuli(self.run.record(self.names[0]), self.protocol), self.protocol
            options = {"layout": protocol.item_layout, "validate": self.validate, "n_splits": protocol.n_splits}
            item_splits(len(tied), groups=tied, **options)
        if self.request.ceiling and not self.per_unit:
            check_repeated(self.run.record(self.names[0]).subjects)

    def evaluate(self, null: bool, metrics: Sequence[str]) -> dict[str, Evaluation]:
        from ..evaluate import electrodes, nulls

        responses = self.run.record(self.names[0])
        if null:
            responses = (nulls.circular_shift if self.per_unit else nulls.shuffle)(responses, self.request.seed)
        shared = {"resample": not null, "bands": self.bands}
        shared["progress"] = self.run.progress("null" if null else "regression")
        inputs = (self.scored_activations(self.names[0]), responses, self.decoder(), self.protocol, metrics)
        if self.per_unit:
            return electrodes.scores_per_unit(*inputs, **shared)
        shared["ceiling"] = self.request.ceiling and not null
        shared["permutations"] = 0 if null else self.request.permutations
        return electrodes.scores(*inputs, jobs=self.request.jobs, **shared)

    def problems(self) -> list[Callable[[], "Problem"]]:
        return self._problems(self.scored_activations(self.names[0]), self.bands)

    def partition_problems(self) -> list[Callable[[], "Problem"]]:
        return self._problems(self.all_activations(self.names[0]), None)

    def _problems(self, activations: Activations, bands: list[tuple[str, ...]] | None) -> list[Callable[[], "Problem"]]:
        """Return the regression of a recording, or one per unit."""
        from ..evaluate import electrodes

        inputs = (activations, self.run.record(self.names[0]), self.protocol)
        options = {"validate": self.validate, "bands": bands}
        if self.per_unit:
            return electrodes.unit_problems(*inputs, **options)[0]
        return [lambda: electrodes.problem(*inputs, **options)[0]]

    def ceiling(self) -> Ceiling | None:
        if self.per_unit:
            return None
        name = self.names[0]
        if self.protocol.ceiling_rows == "all":
            return self.run.ceiling(name, self.run.record(name))
        recordings = self._recordings()
        return self.run.window_ceiling(self.names, recordings, self.problems()[0]().splits)

    def time_ceiling(self) -> np.ndarray:
        from ..evaluate.decoders.base import Split

        recordings, none = self._recordings(), np.zeros(0, dtype=np.int64)
        time_bin = recordings[0].time_bin
        bins = [np.flatnonzero(time_bin == b) for b in range(len(self.run.data_metadata(self.names[0])["time_ms"]))]
        of_bins = [Split(none, none, rows) for rows in bins]
        return self.run.window_ceiling(self.names, recordings, of_bins).best_r_of_windows.T

    def _recordings(self) -> list[Recording]:
        """Return the repetitions behind the rows of a recording."""
        from ..evaluate import electrodes

        return electrodes.recordings(self.activations(self.names[0]), self.run.record(self.names[0]))
