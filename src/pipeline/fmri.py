"""fMRI benchmark: all named datasets in one joint regression."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..ceiling import Ceiling, joint
from ..evaluate import protocol
from ..records import Evaluation
from .benchmark import Benchmark

if TYPE_CHECKING:
    from ..evaluate.cross_validate import Problem


class FmriBenchmark(Benchmark):
    """fMRI: Pearson r of a joint regression over the rows of all datasets."""

    def options(self) -> dict[str, Any]:
        return super().options() | self.chosen("clip_ms", "gap_ms", "layout", "hrf", "decoder", "alpha_per_target")

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

    def ceiling(self) -> Ceiling:
        return joint([self.run.ceiling(name) for name in self.names], [d.row_weight for d in self.declared])

    def _protocol(self):
        from ..evaluate.fmri import Options

        request = self.request
        return Options(
            segment_ms=request.clip_ms,
            gap_ms=request.gap_ms,
            layout=request.layout,
            delay_ms=None if request.hrf else protocol.DELAY_MS,
            n_splits=request.splits,
            seed=request.seed,
        )

    def _parts(self, null: bool) -> list:
        from ..evaluate import fmri, nulls

        parts = []
        for name, declared in zip(self.names, self.declared, strict=True):
            responses = self.run.record(name)
            if null:
                responses = (nulls.circular_shift if declared.lag else nulls.shuffle)(responses, self.request.seed)
            parts.append(fmri.Part(self.activations(name), responses, declared.lag, declared.row_weight))
        return parts
