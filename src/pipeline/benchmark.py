"""The steps between a request and its score, which all benchmarks share.

torch and scikit-learn are imported where something is computed, so that a cached re-run imports neither.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import models
from ..ceiling import Ceiling
from ..evaluate.axis import CURVES, TIME_COURSE
from ..evaluate.layer_choice import Rule
from ..evaluate.metrics import METRICS, Metric, SimilarityMetric
from ..evaluate.metrics.base import NO_FIT
from ..evaluate.protocol import PROTOCOLS, Protocol
from ..records import Activations, Evaluation
from ..stages import differing, joined, sources
from ..store import ActivationKey, Entry, ScoreKey, StatisticsKey, key_digest, key_name
from ..utils import BadInput
from .feature_sets import BANDED, CONFOUNDS, Sources
from .request import ADDED_OPTIONS, OPTIONS_OF_PROTOCOL, check_effect
from .run import Run
from .score import Score
from .statistics import read_statistics, statistics_arrays
from .summary import score_arrays, summarise
from .uncertainty import ceiling_arrays, in_units_of_ceiling, interval_arrays, permutation_arrays

if TYPE_CHECKING:
    from ..analysis.permutation import Null
    from ..evaluate.cross_validate import Problem

# arrays that the ADDED_OPTIONS add to a score
ADDED_ARRAYS = {
    "ceiling": (
        *("ceiling", "ceiling_spread", "crossed", "ceiling_error", "ceiling_interval", "reliability", "masked"),
        *("subject_ceiling", "subject_ceiling_error", "subject_ceiling_kind", "time_course_ceiling"),
        *("subject_ceiling_ridge", "subject_ceiling_ridge_error"),
    ),
    "partition": (
        *("partition_sets", "joint", "unique", "unique_low", "unique_high", "unique_q", "alone"),
        *("shared", "shared_low", "shared_high", "partition_areas"),
    ),
    "permutations": ("p", "q", "null"),
    "bootstrap": (
        *("low", "high", "resampled", "bootstrap", "bootstrap_normalised", "bootstrap_one_layer"),
        *("bootstrap_one_layer_normalised", "bootstrap_regions"),
        *(f"{name}_{part}" for name in CURVES for part in ("low", "high", "ends")),
    ),
    "audit": ("null_valid", "null_test"),
}
OF_BLOCKS = ("penalty_block_ms", "penalty_gap_ms")
OF_RIDGE = ("penalty", "alpha_scale", "alpha_per_target")
TIME_MEAN = np.array([[0.0, np.inf]])


@dataclass
class Together:
    """Scores by several metrics of one request, computed from one fit.

    metrics: their names, in order; evaluations: {null control: {metric: evaluation}}, filled by the first that is
    computed; intervals: {metric: arrays}, which a metric in units of a ceiling takes from its base.
    """

    metrics: tuple[str, ...]
    evaluations: dict[bool, dict[str, Evaluation]] = field(default_factory=dict)
    intervals: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


class Benchmark:
    """Computation of one score of a model: its activations, its key in the store, its evaluation.

    A subclass per benchmark defines the time bins, the options that belong to the key, and the evaluation.

    Parameters
    ----------
    run : Run
    names : sequence of str
        The datasets of the score, several for a joint regression.
    metric : str, optional
        Default: that of the benchmark or the dataset.
    together : Together, optional
        The scores by other metrics that are computed with this one.
    """

    partial_bins = False
    of_mean = True  # False: scores are means of single subjects, whose own segments are resampled

    def __init__(self, run: Run, names: Sequence[str], metric: str | None = None, together: Together | None = None):
        self.run, self.names, self.request = run, tuple(names), run.request
        self._metric, self._together = metric, together
        self.declared = [run.declaration(name) for name in self.names]
        self.sources = Sources(run)
        if len(set(self.titles)) < len(self.titles):
            raise BadInput(f"datasets called {', '.join(self.titles)}; expected a name of its own for each of them")

    @classmethod
    def of_metrics(cls, run: Run, names: Sequence[str]) -> "list[Benchmark]":
        """Return a benchmark per metric of the request; BadInput for a metric that the data or decoder do not have."""
        first = cls(run, names)
        check_effect(run.request, first.without_effect())
        allowed = [name for name, metric in METRICS.items() if first.takes(metric)]
        for name in run.request.metric:
            if name not in allowed:
                raise BadInput(
                    f"--metric {name}: not for {first.kind_of_scores}; expected one of: {', '.join(allowed)}"
                )
        together = Together(tuple(dict.fromkeys(run.request.metric)) or (first.default_metric,))
        return [cls(run, names, metric, together) for metric in together.metrics]

    def without_effect(self) -> dict[str, str]:
        """Return {option: why it changes nothing}, for options of the protocol and of ridge regression."""
        name, request = self.decoder_name(), self.request
        found = {}
        if name not in ("ridge", *BANDED):
            found |= dict.fromkeys((*OF_RIDGE, *OF_BLOCKS), f"the decoder {name} chooses no ridge penalty")
        elif request.metric and all(METRICS[metric].needs == NO_FIT for metric in request.metric):
            found |= dict.fromkeys((*OF_RIDGE, "ceiling_rows"), f"{', '.join(request.metric)} needs no fit")
        if name == "banded":
            found["alpha_per_target"] = "the decoder banded has a penalty for each band"
        if not self._leaves_out_film:
            found |= dict.fromkeys(OF_BLOCKS, f"the penalty {request.penalty} leaves out no film")
        if not request.ceiling:
            found["ceiling_rows"] = "no noise ceiling is computed"
        return found

    @property
    def default_metric(self) -> str:
        """Name of the metric unless the request names one."""
        return "pearson"

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return self._metric or self.default_metric

    @property
    def kind_of_scores(self) -> str:
        """Predictions that metrics compare, in words, for a message."""
        return f"predictions by the decoder {self.decoder_name()}"

    def takes(self, metric: Metric) -> bool:
        """Return True for a metric of the predictions that this benchmark makes."""
        raise NotImplementedError

    @property
    def titles(self) -> tuple[str, ...]:
        """Declared names of the datasets, which are printed and stored: no paths."""
        return tuple(declared.name for declared in self.declared)

    def bins_ms(self, name: str) -> np.ndarray:
        """Return the time bins of the stored activations to a dataset: (n_bins, 2), in ms."""
        return np.array(self.run.data_metadata(name)["time_ms"])

    @property
    def protocol(self) -> Protocol:
        """Choices of the evaluation: the named protocol, with the options of the request."""
        request = self.request
        return replace(
            PROTOCOLS[request.protocol],
            n_splits=request.splits,
            seed=request.seed,
            segment_ms=request.clip_ms,
            alpha_per_target=request.alpha_per_target,
            **self.chosen(*OPTIONS_OF_PROTOCOL),
        )

    @property
    def rule(self) -> Rule:
        """Rule of the choice of layers."""
        return Rule(self.protocol.nested)

    def options(self) -> dict[str, Any]:
        """Return the options that change the score: a part of its key."""
        return self.protocol_options() | self.chosen("layout", "missing", "audit", "ceiling")

    def metric_options(self) -> dict[str, Any]:
        """Return the metric of fMRI and electrodes as an option, unless it is the default."""
        return {} if self.metric == self.default_metric else {"metric": self.metric}

    def protocol_options(self) -> dict[str, Any]:
        """Return the options that every benchmark has."""
        shared = ("splits", "seed", "bootstrap", "permutations", "layer_choice", "step_times")
        return {"protocol": self.protocol.title} | self.chosen(*shared)

    def regression_options(self) -> dict[str, Any]:
        """Return the options of fMRI and electrodes."""
        name = self.decoder_name()
        ridge = ("penalty", "alpha_scale") if name in ("ridge", *BANDED) else ()
        ridge += ("alpha_per_target",) if name in ("ridge", "stacked") else ()
        if METRICS[self.metric].needs == NO_FIT:
            # a decoder that predicts no left-out rows has splits with validation rows
            found = self.chosen("headline", "decoder")
        else:
            found = self.chosen("headline", "decoder", "ceiling_rows", *ridge)
        # options that are not used leave the key as it is
        if self.request.features:
            found["features"] = tuple(one.title for one in self.sources.scored)
        if self.request.partition:
            found["partition"] = tuple(name for name in self.sources.partition if name != CONFOUNDS)
        return found | self.metric_options() | ({"confounds": True} if self.request.confounds else {})

    @property
    def _leaves_out_film(self) -> bool:
        """True if blocks of rows are left out to choose a penalty or, inside the training rows, a layer."""
        return self.protocol.nested or self.protocol.penalty == "blocks"

    def penalty_film(self) -> dict[str, Any]:
        """Return the options of films that are left out to choose a penalty or a layer, where either is chosen so."""
        used = self.decoder_name() in ("ridge", *BANDED) and self._leaves_out_film
        return self.chosen(*OF_BLOCKS) if used else {}

    def chosen(self, *names: str) -> dict[str, Any]:
        """Return some options of the request by name."""
        return {name: getattr(self.request, name) for name in names}

    def check(self) -> None:
        """Raise BadInput for data that cannot be split, or have no ceiling; called before anything is extracted."""

    def evaluate(self, null: bool, metrics: Sequence[str]) -> dict[str, Evaluation]:
        """Evaluate all layers by metrics from one fit; `null`: with the stimulus-response pairing destroyed."""
        raise NotImplementedError

    def evaluation(self, null: bool) -> Evaluation:
        """Return the evaluation by this metric, or by that which it is derived from, with those beside it."""
        own = METRICS[self.metric].base or self.metric
        if self._together is None:
            return self.evaluate(null, (own,))[own]
        found = self._together.evaluations.setdefault(null, {})
        if own not in found:
            found |= self.evaluate(null, tuple(dict.fromkeys((own, *self._missing()))))
        return found[own]

    def _missing(self) -> list[str]:
        """Return the metrics of the scores to compute beside this one."""
        rerun, missing = self.request.rerun, []
        for metric in self._together.metrics:
            beside = type(self)(self.run, self.names, metric)
            if rerun or not self.run.store.holds(beside.key()):
                missing.append(METRICS[metric].base or metric)
        return missing

    def problems(self) -> list[Callable[[], "Problem"]]:
        """Return the cross-validations behind the score, each made when called, for a permutation test."""
        raise NotImplementedError

    def ceiling(self) -> Ceiling | None:
        """Return the split-half noise ceiling of the recordings; None where the evaluation brings its own."""
        return None

    def time_ceiling(self) -> np.ndarray:
        """Return the noise ceiling in each time bin: (n_targets, n_bins)."""
        raise NotImplementedError

    def subject_ceilings(self) -> dict[str, np.ndarray]:
        """Return the noise ceilings of single subjects as arrays to store; empty where none is scored."""
        return {}

    def activation_keys(self) -> dict[tuple[str, str], ActivationKey]:
        """Return the keys of all activations behind the score: {(dataset, "shown" or "fitting"): key}."""
        if self.run.is_users_model:
            # an error in a user's network is told before a dataset is loaded and anything is written
            _ = self.run.model_metadata
        return {
            (name, self._role(model, role)): run.activation_key(stimuli, self.bins_ms(name), self.partial_bins)
            for model, run in self.sources.runs.items()
            for name in self.names
            for role, stimuli in self.run.data_metadata(name)["stimuli"].items()
        }

    def _role(self, model: str, role: str) -> str:
        """Return the role of stimuli, with the name of a model besides that of the request."""
        return role if model == self.request.model else f"{role}, {models.title(model)}"

    def activations(self, name: str, role: str = "shown", model: str | None = None) -> Activations:
        """Return the activations of the request's model, or another, to a dataset's stimuli, stored or computed."""
        model = self.request.model if model is None else model
        record = self.run.record(name)
        stimuli = record.stimuli if role == "shown" else record.fitting.stimuli
        key = self.activation_keys()[name, self._role(model, role)]
        return self.sources.runs[model].activations(key, stimuli, name)

    def extract(self) -> None:
        """Compute and store all activations behind the score."""
        for model in self.sources.runs:
            for name in self.names:
                for role in self.run.data_metadata(name)["stimuli"]:
                    self.activations(name, role, model)

    def scored_activations(self, name: str) -> Activations:
        """Return the activations that are scored: of the request's model, and of those in one fit with it."""
        return self._merged(name, dict.fromkeys(one.model for one in self.sources.scored))

    def all_activations(self, name: str) -> Activations:
        """Return the activations of all feature sets."""
        return self._merged(name, self.sources.runs)

    def _merged(self, name: str, of: Mapping[str, Any]) -> Activations:
        found = {model: self.activations(name, model=model) for model in of}
        return next(iter(found.values())) if len(found) == 1 else self.sources.merged(found)

    @cached_property
    def bands(self) -> list[tuple[str, ...]] | None:
        """Layers of each band of a joint fit; None without one."""
        found = self.sources.bands()
        return None if found is None else [layers for _, layers in found]

    def band_sizes(self) -> list[int]:
        """Return the number of features of each band in a fit."""
        layers = self.scored_activations(self.names[0]).layers
        return [self.copies() * sum(layers[layer].shape[2] for layer in band) for band in self.bands]

    def copies(self) -> int:
        """Return the number of copies of a feature in a fit, by its delays."""
        return 1

    def key(self) -> ScoreKey:
        """Return the key of the score in the store."""
        return ScoreKey(
            benchmark=self.request.benchmark,
            model=self.sources.title,
            datasets=self.titles,
            activations=tuple(key_digest(key) for key in self.activation_keys().values()),
            data=tuple(self.run.data_metadata(name)["digest"] for name in self.names),
            options=tuple(sorted(self.options().items())),
        )

    def score(self) -> Score:
        """Return the score, stored or computed."""
        key, rerun = self.key(), self.request.rerun
        entry = self.run.store.find(key)
        if (entry is None or rerun) and self.run.confirm(self.names):
            key = self.key()
            entry = self.run.store.find(key)
        if entry is None or rerun:
            entry = self.run.store.fetch(key, lambda: self._compute(key, entry), rerun=bool(rerun))
        return self.as_score(entry, key)

    def as_score(self, entry: Entry, key: ScoreKey) -> Score:
        """Return a stored entry as a score with the names of this request: an equal model may have another name."""
        names = {name: value for name, value in self._header().items() if name in ("model", "datasets", "data")}
        return Score({**entry.facts, **names}, entry.arrays, key_name(key), entry.provenance)

    def steps(self) -> list[dict[str, Any]]:
        """Return a row per step of the computation: name, key, whether it is stored, bytes to write and of weights."""
        store, steps = self.run.store, []
        title_of = dict(zip(self.names, self.titles, strict=True))
        keys = self.activation_keys()
        context = f", context {self.request.context_ms / 1000:g} s" if self.run.swept else ""
        for model, run in self.sources.runs.items():
            for name in self.names:
                for role, stimuli in run.data_metadata(name)["stimuli"].items():
                    key = keys[name, self._role(model, role)]
                    what = f"activations to {title_of[name]} ({self._role(model, role)}){context}"
                    step = {"what": what, "key": key, "bytes": run.activation_bytes(key, len(stimuli["ids"]))}
                    steps.append(step | {"weights": run.model_metadata.get("bytes")})
        by = f" by {self.metric}" if self.request.metric else ""
        what = f"score on {' + '.join(self.titles)}{by}{context}"
        steps.append({"what": what, "key": self.key(), "bytes": 0})
        return [step | {"stored": store.holds(step["key"])} for step in steps]

    def _compute(self, key: ScoreKey, stored: Entry | None) -> Entry:
        """Return the score; `stored`: the one to be replaced. What other scores have of it is not fitted again."""
        self.check()
        metric = METRICS[self.metric]
        own = METRICS[metric.base] if metric.base else metric
        ceiling = self.ceiling() if self.request.ceiling and own.of_ceiling is not None else None
        if metric.base and ceiling is None:
            raise BadInput(f"--metric {metric.name} without a noise ceiling; expected data with one: drop --no-ceiling")
        of_others = self._reusable(key, stored)
        if of_others:
            first = of_others[0][1]
            arrays, notes, resampling = _without_added(first.arrays), dict(first.facts["notes"]), None
        else:
            arrays, notes, resampling = self._fitted(key)
        arrays |= self._null_arrays(of_others) if self.request.audit else {}
        arrays |= self._partition_arrays(of_others) if self.sources.partition else {}
        arrays |= self._permutation_arrays(of_others, arrays) if self.request.permutations else {}
        if ceiling is not None:
            arrays |= ceiling_arrays(ceiling, own.of_ceiling)
            if TIME_COURSE in arrays:
                arrays[f"{TIME_COURSE}_ceiling"] = own.of_ceiling(self.time_ceiling())
        if self.request.ceiling and "subjects" in arrays and (ceiling is not None or not self.of_mean):
            arrays |= self.subject_ceilings()
        size, seed = self.request.bootstrap, self.request.seed
        if size and of_others and self.of_mean:
            resampling = self._statistics(key)
        if size and resampling is not None:
            known = {} if self._together is None else self._together.intervals
            if own.name not in known:
                self.run.report.say(f"bootstrap: {size} samples")
                known[own.name] = interval_arrays(resampling, arrays, size, seed, own.name)
            arrays |= known[own.name]
        if size and not own.resampled:
            notes["95 % interval"] = f"none: the metric {own.name} has no resampling rule"
        arrays = in_units_of_ceiling(arrays) if metric.base else arrays
        return Entry(arrays, self._header() | summarise(arrays, notes), {"sources": self._made_by()})

    def _reusable(self, key: ScoreKey, stored: Entry | None) -> list[tuple[dict[str, Any], Entry]]:
        """Return the options and entries of stored scores with the fits of this one, made by the present sources.

        None for a metric in units of a ceiling, and for similarities, whose ceiling and null are made with the score.
        """
        metric = METRICS[self.metric]
        if "evaluation" in self.request.rerun or metric.base or isinstance(metric, SimilarityMetric):
            return []
        found = [] if stored is None else [(key, stored)]
        found += self.run.store.siblings(key, ADDED_OPTIONS)
        return [(dict(other.options), entry) for other, entry in found if not differing(entry.made_by)]

    def _fitted(self, key: ScoreKey) -> tuple[dict[str, np.ndarray], dict[str, Any], Any]:
        """Return the arrays and notes of all fits, and the input of a bootstrap, which is stored."""
        evaluation, metric = self.evaluation(null=False), METRICS[self.metric]
        if evaluation.resampling is not None and not metric.base and not isinstance(metric, SimilarityMetric):
            entry = Entry(statistics_arrays(evaluation.resampling), {}, {"sources": self._made_by()})
            self.run.store.fetch(self._statistics_key(key), lambda: entry, rerun=True)
        arrays = score_arrays(evaluation, None, replace(self.rule, direction=metric.direction))
        if {"band_weight", "band_alpha"} & {*arrays}:
            arrays["bands"] = np.array([name for name, _ in self.sources.bands()])
        return arrays, dict(evaluation.notes), evaluation.resampling

    def _statistics(self, key: ScoreKey) -> Any:
        """Return the input of a bootstrap, stored with the fits or, for want of it, from new fits."""
        stored = self.run.store.find(self._statistics_key(key))
        if stored is None or differing(stored.made_by):
            return self._fitted(key)[2]
        return read_statistics(stored.arrays)

    def _statistics_key(self, key: ScoreKey) -> StatisticsKey:
        options = tuple(option for option in key.options if option[0] not in ADDED_OPTIONS)
        return StatisticsKey(**{**vars(key), "options": options})

    def _null_arrays(self, of_others: Sequence[tuple[Mapping[str, Any], Entry]]) -> dict[str, np.ndarray]:
        """Return the scores of the null control."""
        for options, entry in of_others:
            if options.get("audit"):
                return {name: np.asarray(entry.arrays[name]) for name in ADDED_ARRAYS["audit"]}
        null = self.evaluation(null=True)
        return {"null_valid": null.valid, "null_test": null.test}

    def _partition_arrays(self, of_others: Sequence[tuple[Mapping[str, Any], Entry]]) -> dict[str, np.ndarray]:
        """Return the partition of explained variance."""
        wanted = self.options()
        for options, entry in of_others:
            same = all(options.get(name) == wanted.get(name) for name in ("partition", "confounds", "bootstrap"))
            if same and "joint" in entry.arrays:
                return {name: np.asarray(entry.arrays[name]) for name in ADDED_ARRAYS["partition"]}
        return self.partition_arrays()

    def _permutation_arrays(
        self, of_others: Sequence[tuple[Mapping[str, Any], Entry]], arrays: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Return the permutation test."""
        for options, entry in of_others:
            if options.get("permutations") == self.request.permutations:
                return {name: np.asarray(entry.arrays[name]) for name in ADDED_ARRAYS["permutations"]}
        return permutation_arrays(self.null(), arrays, of_targets=bool(METRICS[self.metric].base))

    def _made_by(self) -> dict[str, list]:
        """Return the stages behind the score with the digests of their sources."""
        states = [self.run.store.made_by(key) for key in self.activation_keys().values()]
        states += [self.run.made_by(name) for name in self.names]
        return joined([*states, *([sources("ceiling")] if self.request.ceiling else [])])

    def null(self) -> "Null":
        """Return the null distribution of the score: the pairing of stimuli and responses permuted."""
        from ..analysis import permutation

        if METRICS[self.metric].of_regions:
            return permutation.Null(self.evaluation(null=False).permuted)

        return permutation.null(
            self.problems(),
            self.decoder(),
            METRICS[self.metric].base or self.metric,
            self.request.permutations,
            seed=self.request.seed,
            rule=self.rule,
            missing=self.protocol.missing,
            progress=self.run.progress("permutations"),
        )

    def decoder_name(self) -> str:
        """Return the name of the decoder."""
        return self.request.decoder

    def decoder(self):
        """Return a decoder that is not fitted yet."""
        from ..evaluate.decoders import DECODERS

        name, protocol = self.decoder_name(), self.protocol
        if name == "logistic":
            return DECODERS[name](device=self.decoder_device)
        if name not in ("ridge", *BANDED):
            return DECODERS[name]()
        options = {"penalty": protocol.penalty, "scaled": protocol.alpha_scale == "kernel"}
        options["device"] = self.decoder_device
        if name in BANDED:
            options["bands"] = tuple(self.band_sizes())
        if name != "banded":
            options["alpha_per_target"] = protocol.alpha_per_target
        return DECODERS[name](**options)

    @property
    def decoder_device(self) -> str:
        """Device of decoders: a CUDA device, or the CPU, since others have no float64."""
        return self.run.device if self.run.device.startswith("cuda") else "cpu"

    def partition_arrays(self) -> dict[str, np.ndarray]:
        """Return the partition of explained variance between the feature sets as arrays to store."""
        from ..analysis.variance import errors, explained

        progress = self.run.progress("partition")
        options = {"missing": self.protocol.missing, "device": self.decoder_device, "progress": progress}
        bands = self.sources.partition_bands()
        found = [errors(make(), bands, **options) for make in self.partition_problems()]
        columns = [np.arange(sum(one.total.shape[1] for one in found)), *self.regions().values()]
        whole = explained(found, columns, self.request.bootstrap, self.request.seed)
        return {
            "partition_sets": np.array(whole.sets),
            "joint": whole.parts[0],
            "unique": whole.parts[1:-1],
            "unique_low": whole.low[1:-1],
            "unique_high": whole.high[1:-1],
            "unique_q": whole.q,
            "alone": whole.alone,
            "shared": whole.parts[-1],
            "shared_low": whole.low[-1],
            "shared_high": whole.high[-1],
            "partition_areas": whole.areas,
        }

    def partition_problems(self) -> list[Callable[[], "Problem"]]:
        """Return the regressions with the layers of all feature sets, each made when called, on the score's splits."""
        raise NotImplementedError

    def feature_means(self) -> dict[str, np.ndarray]:
        """Return {layer: mean of its features over the rows}, where features are centred over all rows."""
        return {}

    def regions(self) -> dict[str, np.ndarray]:
        """Return {region: its units}."""
        from ..evaluate.align import regions

        return regions(self.run.record(self.names[0]).units)

    @property
    def validate(self) -> bool:
        """True if layers are chosen on validation rows."""
        from ..evaluate.decoders import DECODERS
        from ..evaluate.decoders.base import needs_validation

        return needs_validation(DECODERS[self.decoder_name()], self.protocol.nested)

    @property
    def _has_windows(self) -> bool:
        """True if a model behind the score is one of windows."""
        runs = self.sources.runs.values()
        return any(not run.has_responses and run.model_metadata["kind"] == "video" for run in runs)

    def _header(self) -> Mapping[str, Any]:
        return {
            "benchmark": self.request.benchmark,
            "model": self.sources.title,
            "datasets": list(self.titles),
            "metric": self.metric,
            "context_ms": float(self.request.context_ms) if self._has_windows else None,
            "options": self.options(),
            "data": {t: self.run.data_metadata(n)["notes"] for t, n in zip(self.titles, self.names, strict=True)},
        }


def _without_added(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of the fits alone; a ceiling without a reliability is one of theirs."""
    of_fits = () if "reliability" in arrays else ADDED_ARRAYS["ceiling"]
    added = {name for names in ADDED_ARRAYS.values() for name in names} - set(of_fits)
    return {name: np.asarray(values) for name, values in arrays.items() if name not in added}
