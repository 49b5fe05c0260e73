"""fMRI benchmark: all named datasets in one joint regression."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..ceiling import Ceiling, check_repeated, joint
from ..evaluate.layer_choice import Rule
from ..records import Evaluation, Responses
from .benchmark import Benchmark

if TYPE_CHECKING:
    from ..evaluate.cross_validate import Problem


class FmriBenchmark(Benchmark):
    """fMRI: Pearson r of a joint regression over the rows of all datasets."""

    @property
    def rule(self) -> Rule:
        return Rule(self.protocol.nested, self.protocol.headline)

    def options(self) -> dict[str, Any]:
        own = self.chosen("clip_ms", "gap_ms", "hrf", "runs", "high_pass_s")
        return super().options() | self.regression_options() | own

    def check(self) -> None:
        from ..evaluate import fmri

        records = [self.run.record(name) for name in self.names]
        fmri.check(records, self.protocol, validate=self.validate)
        if self.request.ceiling:
            check_repeated(*(record.subjects for record in records))

    def evaluate(self, null: bool) -> Evaluation:
        from ..evaluate import fmri

        return fmri.score(
            self._parts(null),
            self.decoder(),
            self.protocol,
            resample=not null,
            jobs=self.request.jobs,
            progress=self.run.progress("null" if null else "regression"),
        )

    def problems(self) -> list[Callable[[], "Problem"]]:
        return [self._problem]

    def ceiling(self) -> Ceiling:
        protocol = self.protocol
        if protocol.ceiling_rows == "all":
            of_each = [self.run.ceiling(name, self._prepared[name], self._runs) for name in self.names]
            return joint(of_each, [declared.row_weight for declared in self.declared])
        from ..evaluate import fmri

        made = self._problem()
        recordings = fmri.recordings(self._parts(null=False), protocol)
        return self.run.window_ceiling(self.names, recordings, made.splits, made.weights, self._runs)

    @property
    def _runs(self) -> str:
        """Treatment of the runs, for the key of a ceiling."""
        return f"{self.protocol.runs} {self.protocol.high_pass_s:g}"

    @cached_property
    def _prepared(self) -> dict[str, Responses]:
        """The records with their runs on one scale, by dataset."""
        from ..evaluate import fmri

        return {
            name: fmri.prepared(self.run.record(name), self.protocol, declared.lag, declared.high_passed)
            for name, declared in zip(self.names, self.declared, strict=True)
        }

    def _problem(self) -> "Problem":
        from ..evaluate import fmri

        return fmri.problem(self._parts(null=False), self.protocol, validate=self.validate)[0]

    def _parts(self, null: bool) -> list:
        from ..evaluate import fmri, nulls

        parts = []
        for name, declared in zip(self.names, self.declared, strict=True):
            responses = self._prepared[name]
            if null:
                responses = (nulls.circular_shift if declared.lag else nulls.shuffle)(responses, self.request.seed)
            parts.append(fmri.Part(self.activations(name), responses, declared.lag, declared.row_weight))
        return parts
