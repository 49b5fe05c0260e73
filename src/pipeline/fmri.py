"""fMRI benchmark: all named datasets in one joint regression."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

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
        own = self.chosen("clip_ms", "gap_ms", "hrf", "runs", "high_pass_s", "subjects")
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
            resample=self.request.bootstrap > 0 and not null,
            each_subject=self._each_subject and not null,
            bands=self.bands,
            jobs=self.request.jobs,
            progress=self.run.progress("null" if null else "regression"),
        )

    @property
    def _each_subject(self) -> bool:
        """True if single subjects are scored; their weights are those of ridge regression."""
        return self.protocol.subjects == "both" and self.decoder_name() == "ridge"

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

    def subject_ceilings(self) -> dict[str, np.ndarray]:
        if not self._each_subject:
            return {}
        from ..evaluate import fmri

        self.run.report.say("computing the ceilings of single subjects")
        return fmri.subject_ceilings(self._parts(null=False), self.protocol, validate=self.validate)

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

        return fmri.problem(self._parts(null=False), self.protocol, validate=self.validate, bands=self.bands)[0]

    def partition_problems(self) -> list[Callable[[], "Problem"]]:
        from ..evaluate import fmri

        parts = self._parts(null=False, everything=True)
        return [lambda: fmri.problem(parts, self.protocol, validate=self.validate)[0]]

    def copies(self) -> int:
        from ..evaluate.hrf import delay_bins

        films = [name for name, declared in zip(self.names, self.declared, strict=True) if declared.lag]
        if self.protocol.hrf != "fir" or not films:
            return 1
        return len(delay_bins(float(np.ptp(self.bins_ms(films[0])[0]))))

    def _parts(self, null: bool, everything: bool = False) -> list:
        from ..evaluate import fmri, nulls

        parts = []
        for name, declared in zip(self.names, self.declared, strict=True):
            responses = self._prepared[name]
            if null:
                responses = (nulls.circular_shift if declared.lag else nulls.shuffle)(responses, self.request.seed)
            people = self._people(declared.study, responses.subjects)
            activations = self.all_activations(name) if everything else self.scored_activations(name)
            parts.append(fmri.Part(activations, responses, declared.lag, declared.row_weight, people))
        return parts

    def _people(self, study: str, subjects: Sequence[str]) -> tuple[str, ...]:
        """Return the names of subjects among those of all datasets: another study has other people."""
        several = len({declared.study for declared in self.declared}) > 1
        return tuple(f"{study} {subject}" if several else subject for subject in subjects)
