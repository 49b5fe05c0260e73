"""The benchmarks of recordings: fMRI in one joint regression, electrodes one recording at a time."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ceiling import Ceiling, joint
from ..records import Evaluation
from ..utils import regular_bins
from .benchmark import Benchmark

if TYPE_CHECKING:
    from ..evaluate.cross_validate import Problem


class FmriBenchmark(Benchmark):
    """All named datasets in one joint regression."""

    def options(self) -> dict[str, Any]:
        fields = ("clip_ms", "gap_ms", "layout", "hrf", "decoder", "alpha_per_target")
        return super().options() | {name: getattr(self.request, name) for name in fields}

    def _protocol(self):
        from ..evaluate.fmri import Options

        request = self.request
        return Options(
            clip_ms=request.clip_ms,
            gap_ms=request.gap_ms,
            layout=request.layout,
            delay_ms=None if request.hrf else 5000.0,
            n_splits=request.splits,
            seed=request.seed,
        )

    def check(self) -> None:
        from ..evaluate import fmri

        fmri.check([self.run.record(name) for name in self.names], self._protocol())

    def evaluate(self, null: bool) -> Evaluation:
        from ..evaluate import fmri

        return fmri.score(
            self._parts(null),
            self.decoder(),
            self._protocol(),
            resample=self.request.bootstrap > 0 and not null,
            jobs=self.request.jobs,
            progress=self.run.progress("null" if null else "regression"),
        )

    def problems(self) -> list[Callable[[], "Problem"]]:
        from ..evaluate import fmri

        return [lambda: fmri.problem(self._parts(null=False), self._protocol())[0]]

    def _parts(self, null: bool) -> list:
        from ..evaluate import fmri, nulls

        parts = []
        for name, declared in zip(self.names, self.declared, strict=True):
            responses = self.run.record(name)
            if null:
                responses = (nulls.rolled if declared.lag else nulls.exchanged)(responses, self.request.seed)
            parts.append(fmri.Part(self.activations(name), responses, declared.lag, declared.row_weight))
        return parts

    def ceiling(self) -> Ceiling:
        return joint([self.run.ceiling(name) for name in self.names], [d.row_weight for d in self.declared])


class ElectrodesBenchmark(Benchmark):
    """One recording: stimuli x bins x units, or a film for each unit."""

    @property
    def per_unit(self) -> bool:
        """Whether every unit saw a film of its own."""
        return self.declared[0].fit == "per unit"

    def bins_ms(self, name: str) -> np.ndarray:
        """The recording's bins or, where they are finer than the model's frames, one bin a frame from 0 on."""
        recorded = super().bins_ms(name)
        frame_ms = 1000.0 / self.run.model_metadata["fps"]
        if recorded[0, 1] - recorded[0, 0] >= frame_ms:
            return recorded
        return regular_bins(np.ceil(recorded[-1, 1] / frame_ms) * frame_ms, frame_ms)

    def options(self) -> dict[str, Any]:
        fields = ("decoder", "alpha_per_target", *(("gap_ms",) if self.per_unit else ()))
        return super().options() | {name: getattr(self.request, name) for name in fields}

    def check(self) -> None:
        from ..evaluate.splits import item_splits

        if not self.per_unit:
            item_splits(len(self.run.record(self.names[0]).stimuli), n_splits=1)

    def evaluate(self, null: bool) -> Evaluation:
        from ..evaluate import electrodes, nulls

        responses = self.run.record(self.names[0])
        if null:
            responses = (nulls.rolled if self.per_unit else nulls.exchanged)(responses, self.request.seed)
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

    def _protocol(self) -> dict[str, Any]:
        clips = {"clip_ms": self.declared[0].clip_ms, "gap_ms": self.request.gap_ms} if self.per_unit else {}
        return clips | {"n_splits": self.request.splits, "seed": self.request.seed}

    def ceiling(self) -> Ceiling | None:
        return None if self.per_unit else self.run.ceiling(self.names[0])
