"""fMRI benchmark: all named datasets in one joint regression."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ceiling import Ceiling, check_repeated, joint
from ..evaluate.layer_choice import Rule
from ..evaluate.metrics import METRICS, Metric
from ..evaluate.protocol import Protocol
from ..records import Activations, Evaluation, Responses
from ..utils import BadInput
from .benchmark import OF_BLOCKS, Benchmark
from .feature_sets import CONFOUND_MODELS

if TYPE_CHECKING:
    from ..evaluate.cross_validate import Problem


class FmriBenchmark(Benchmark):
    """fMRI: predictions of a joint regression over the rows of all datasets, by default their Pearson r."""

    def takes(self, metric: Metric) -> bool:
        # the features of a layer have no regions and no ceiling
        return metric.name == "pearson" if self.request.reverse else metric.of_responses

    def without_effect(self) -> dict[str, str]:
        found, request = super().without_effect(), self.request
        films = [declared for declared in self.declared if declared.lag]
        if not films:
            found |= dict.fromkeys(("gap_ms", "hrf", "high_pass_s", *OF_BLOCKS), "no dataset has films")
        elif all(declared.high_passed for declared in films):
            found["high_pass_s"] = "the release removed the drift"
        if request.runs == "averaged" and request.high_pass_s:
            found["high_pass_s"] = "runs are averaged as they are (--runs averaged)"
        if self.run.has_responses:
            found["hrf"] = "the features are responses"
        if request.test:
            found["layout"] = "the films of --test are predicted"
        if request.subjects == "each":
            found["ceiling_rows"] = "single subjects have their own ceilings"
        if request.reverse:
            why = "the reverse direction has one score, with a penalty for each feature and no ceiling"
            found |= dict.fromkeys(("alpha_per_target", "headline", "subjects", "ceiling_rows"), why)
        return found

    @property
    def protocol(self) -> Protocol:
        found = super().protocol
        return replace(found, hrf="none") if self.run.has_responses else found

    @property
    def rule(self) -> Rule:
        return Rule(self.protocol.nested, "one layer" if self.request.reverse else self.protocol.headline)

    def options(self) -> dict[str, Any]:
        own = self.chosen("clip_ms", "gap_ms", "hrf", "runs", "high_pass_s", "subjects")
        own |= self.penalty_film()
        return super().options() | self.regression_options() | own | self._test_option | self._reverse_option

    @property
    def _tested(self) -> list[bool]:
        """Of each dataset: whether it is predicted by fits to the others."""
        return [name in self.request.test for name in self.names]

    @property
    def _reverse_option(self) -> dict[str, bool]:
        """The option of the reverse direction, where it is chosen."""
        return {"reverse": True} if self.request.reverse else {}

    @property
    def _test_option(self) -> dict[str, str]:
        """The option that names the datasets for test, where there are any."""
        tested = [title for title, is_tested in zip(self.titles, self._tested, strict=True) if is_tested]
        return {"test": " + ".join(tested)} if tested else {}

    def check(self) -> None:
        from ..evaluate import fmri

        records = [self.run.record(name) for name in self.names]
        lags = [declared.lag for declared in self.declared]
        fmri.check(records, self.protocol, lags=lags, tested=self._tested, validate=self.validate)
        if not self.of_mean and len({who for part in self._prepared.values() for who in part.subjects}) < 2:
            raise BadInput(
                f"--subjects each on {' + '.join(self.titles)}: one subject; expected several: drop the option"
            )
        if self.request.ceiling and not self.request.reverse and self.of_mean:
            check_repeated(*(self._prepared[name].subjects for name in self.names))

    def evaluate(self, null: bool, metrics: Sequence[str]) -> dict[str, Evaluation]:
        from ..evaluate import fmri

        if self.request.reverse:
            report = self.run.progress("regression")
            options = {"device": self.decoder_device, "jobs": self.request.jobs, "progress": report}
            return {"pearson": fmri.reverse(self._parts(null=False), self.protocol, **options)}
        found = fmri.scores(
            self._parts(null),
            self.decoder(),
            self.protocol,
            metrics,
            resample=not null,
            each_subject=self._each_subject and not null,
            without_mean=not self.of_mean,
            ceiling=self.request.ceiling and not null,
            permutations=0 if null else self.request.permutations,
            bands=self.bands,
            jobs=self.request.jobs,
            progress=self.run.progress("null" if null else "regression"),
        )
        people = {subject for name in self.names for subject in self._prepared[name].subjects}
        if null or self.protocol.subjects != "both" or self._each_subject or len(people) < 2:
            return found
        note = {"single subjects": f"not scored by the decoder {self.decoder_name()}"}
        return {metric: replace(one, notes={**one.notes, **note}) for metric, one in found.items()}

    @property
    def _each_subject(self) -> bool:
        """True if single subjects are scored; those of ridge regression by the weights of the mean's fits."""
        return self.protocol.subjects != "mean" and self.decoder_name() == "ridge"

    @property
    def of_mean(self) -> bool:
        return self.protocol.subjects != "each"

    def problems(self) -> list[Callable[[], "Problem"]]:
        return [self._problem]

    def ceiling(self) -> Ceiling | None:
        if self.request.reverse or not self.of_mean:
            return None
        protocol = self.protocol
        if protocol.ceiling_rows == "all":
            of_each = [self.run.ceiling(name, self._prepared[name], self._runs) for name in self.names]
            return joint(of_each, [declared.row_weight for declared in self.declared])
        from ..evaluate import fmri

        made = self._problem()
        recordings = fmri.recordings(self._parts(null=False), protocol)
        return self.run.window_ceiling(self.names, recordings, made.splits, made.weights, self._runs)

    def subject_ceilings(self) -> dict[str, np.ndarray]:
        if not self._each_subject or not METRICS[self.metric].of_subjects:
            return {}
        from ..evaluate import fmri

        self.run.report.say("computing the ceilings of single subjects")
        options = {"validate": self.validate, "device": self.decoder_device}
        return fmri.subject_ceilings(self._parts(null=False), self.protocol, **options)

    @property
    def _runs(self) -> str:
        """Treatment of the runs, for the key of a ceiling."""
        left_out = [subject for name in self.names for subject in self.run.left_out_subjects(name)]
        without = f" without {', '.join(left_out)}" if left_out else ""
        return f"{self.protocol.runs} {self.protocol.high_pass_s:g}{without}"

    @cached_property
    def _prepared(self) -> dict[str, Responses]:
        """The records that are predicted, with their runs on one scale, by dataset."""
        return {name: self._without(name, self.run.left_out_subjects(name)) for name in self.names}

    def _without(self, name: str, subjects: Sequence[str]) -> Responses:
        """Return a record with its runs on one scale, without some subjects."""
        found = self.with_runs_on_one_scale(name)
        kept = [k for k, subject in enumerate(found.subjects) if subject not in subjects]
        if not kept:
            raise BadInput(f"{name} has no subjects besides {', '.join(subjects)}; expected some to predict")
        if len(kept) == len(found.subjects):
            return found
        return replace(found, values=found.values[:, kept], subjects=tuple(found.subjects[k] for k in kept))

    def with_runs_on_one_scale(self, name: str) -> Responses:
        """Return the record of a dataset with its runs on one scale."""
        from ..evaluate import fmri

        declared, known = self.run.declaration(name), self.run.prepared
        key = (name, self.protocol.runs, self.protocol.high_pass_s)
        if key not in known:
            known[key] = fmri.prepared(self.run.record(name), self.protocol, declared.lag, declared.high_passed)
        return known[key]

    def _problem(self) -> "Problem":
        from ..evaluate import fmri

        return fmri.problem(self._parts(null=False), self.protocol, validate=self.validate, bands=self.bands)[0]

    def partition_problems(self) -> list[Callable[[], "Problem"]]:
        from ..evaluate import fmri

        parts = self._parts(null=False, everything=True)
        return [lambda: fmri.problem(parts, self.protocol, validate=self.validate)[0]]

    def feature_means(self) -> dict[str, np.ndarray]:
        from ..evaluate import fmri

        # the averaged runs of the published protocol have features as they are
        made = fmri.problem(self._parts(null=False), replace(self.protocol, runs="averaged"), validate=self.validate)[0]
        return {layer: load().mean(axis=0, dtype=np.float64) for layer, load in made.layers.items()}

    def copies(self) -> int:
        from ..evaluate.hrf import delay_bins

        films = [name for name, declared in zip(self.names, self.declared, strict=True) if declared.lag]
        if self.protocol.hrf != "fir" or not films:
            return 1
        return len(delay_bins(float(np.ptp(self.bins_ms(films[0])[0]))))

    def _parts(self, null: bool, everything: bool = False) -> list:
        from ..evaluate import fmri, nulls

        parts = []
        for name, declared, tested in zip(self.names, self.declared, self._tested, strict=True):
            responses = self._prepared[name]
            if null:
                responses = (nulls.circular_shift if declared.lag else nulls.shuffle)(responses, self.request.seed)
            people = self._people(declared.study, responses.subjects)
            activations = self.all_activations(name) if everything else self.scored_activations(name)
            traits = (declared.lag, declared.row_weight, people, tested, self._low_level(name))
            parts.append(fmri.Part(activations, responses, *traits))
        return parts

    def _low_level(self, name: str) -> Activations | None:
        """Return the low-level statistics of a dataset's stimuli, where whole films are predicted."""
        if not self.request.whole_films:
            return None
        return self.sources.statistics({model: self.activations(name, model=model) for model in CONFOUND_MODELS})

    def _people(self, study: str, subjects: Sequence[str]) -> tuple[str, ...]:
        """Return the names of subjects among those of all datasets: another study has other people."""
        several = len({declared.study for declared in self.declared}) > 1
        return tuple(f"{study} {subject}" if several else subject for subject in subjects)
