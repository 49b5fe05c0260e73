"""The steps between a request and its score, which all benchmarks share.

torch and scikit-learn are imported where something is computed, so that a cached re-run imports neither.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import models
from ..analysis.aggregate import usable_ceiling
from ..ceiling import Ceiling
from ..evaluate.layer_choice import Rule
from ..evaluate.protocol import PROTOCOLS, Protocol
from ..records import Activations, Evaluation
from ..store import ActivationKey, Entry, ScoreKey, key_digest, key_name
from ..utils import BadInput
from .request import OPTIONS_OF_PROTOCOL
from .run import Run
from .score import Score
from .summary import score_arrays, summarise
from .uncertainty import interval_arrays, permutation_arrays

if TYPE_CHECKING:
    from ..analysis.permutation import Null
    from ..evaluate.cross_validate import Problem

TIME_MEAN = np.array([[0.0, np.inf]])


class Benchmark:
    """Computation of one score of a model: its activations, its key in the store, its evaluation.

    A subclass per benchmark defines the time bins, the options that belong to the key, and the evaluation.

    Parameters
    ----------
    run : Run
    names : sequence of str
        The datasets of the score, several for a joint regression.
    """

    partial_bins = False

    def __init__(self, run: Run, names: Sequence[str]):
        self.run, self.names, self.request = run, tuple(names), run.request
        self.declared = [run.declaration(name) for name in self.names]
        if len(set(self.titles)) < len(self.titles):
            raise BadInput(f"datasets called {', '.join(self.titles)}; expected a name of its own for each of them")

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return "pearson"

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

    def protocol_options(self) -> dict[str, Any]:
        """Return the options that every benchmark has."""
        named = f"{self.protocol.name} {self.protocol.version}"
        shared = ("splits", "seed", "bootstrap", "permutations", "layer_choice", "step_times")
        return {"protocol": named} | self.chosen(*shared)

    def regression_options(self) -> dict[str, Any]:
        """Return the options of fMRI and electrodes."""
        ridge = ("penalty", "alpha_scale", "alpha_per_target") if self.decoder_name() == "ridge" else ()
        return self.chosen("headline", "decoder", "ceiling_rows", *ridge)

    def chosen(self, *names: str) -> dict[str, Any]:
        """Return some options of the request by name."""
        return {name: getattr(self.request, name) for name in names}

    def check(self) -> None:
        """Raise BadInput for data that cannot be split, or have no ceiling; called before anything is extracted."""

    def evaluate(self, null: bool) -> Evaluation:
        """Evaluate all layers; `null`: with the stimulus-response pairing destroyed."""
        raise NotImplementedError

    def problems(self) -> list[Callable[[], "Problem"]]:
        """Return the cross-validations behind the score, each made when called, for a permutation test."""
        raise NotImplementedError

    def ceiling(self) -> Ceiling | None:
        """Return the split-half noise ceiling of the recordings; None where the evaluation brings its own."""
        return None

    def activation_keys(self) -> dict[tuple[str, str], ActivationKey]:
        """Return the keys of all activations behind the score: {(dataset, "shown" or "fitting"): key}."""
        if self.run.is_users_model:
            # an error in a user's network is told before a dataset is loaded and anything is written
            _ = self.run.model_metadata
        return {
            (name, role): self.run.activation_key(stimuli, self.bins_ms(name), self.partial_bins)
            for name in self.names
            for role, stimuli in self.run.data_metadata(name)["stimuli"].items()
        }

    def activations(self, name: str, role: str = "shown") -> Activations:
        """Return the activations to a dataset's stimuli, stored or computed."""
        record = self.run.record(name)
        stimuli = record.stimuli if role == "shown" else record.fitting.stimuli
        return self.run.activations(self.activation_keys()[name, role], stimuli, name)

    def key(self) -> ScoreKey:
        """Return the key of the score in the store."""
        return ScoreKey(
            benchmark=self.request.benchmark,
            model=models.title(self.request.model),
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
            # a new ceiling alone leaves the regression unchanged
            kept = entry if rerun == {"ceiling"} else None
            entry = self.run.store.fetch(key, lambda: self._compute(kept), rerun=bool(rerun))
        return self.as_score(entry, key)

    def as_score(self, entry: Entry, key: ScoreKey) -> Score:
        """Return a stored entry as a score with the names of this request: an equal model may have another name."""
        names = {name: value for name, value in self._header().items() if name in ("model", "datasets", "data")}
        return Score({**entry.facts, **names}, entry.arrays, key_name(key), entry.provenance)

    def steps(self) -> list[dict[str, Any]]:
        """Return a row per step of the computation: its name, its key, whether it is stored, bytes to write."""
        store, steps = self.run.store, []
        title_of = dict(zip(self.names, self.titles, strict=True))
        for (name, role), key in self.activation_keys().items():
            n_stimuli = len(self.run.data_metadata(name)["stimuli"][role]["ids"])
            n_bytes = self.run.activation_bytes(key, n_stimuli)
            steps.append({"what": f"activations to {title_of[name]} ({role})", "key": key, "bytes": n_bytes})
        steps.append({"what": f"score on {' + '.join(self.titles)}", "key": self.key(), "bytes": 0})
        return [step | {"stored": store.holds(step["key"])} for step in steps]

    def _compute(self, kept: Entry | None) -> Entry:
        self.check()
        ceiling = self.ceiling() if self.request.ceiling else None
        if kept is None:
            evaluation = self.evaluate(null=False)
            null = self.evaluate(null=True) if self.request.audit else None
            arrays, notes = score_arrays(evaluation, null, self.rule), dict(evaluation.notes)
            arrays |= permutation_arrays(self.null(), arrays) if self.request.permutations else {}
        else:
            arrays, notes = dict(kept.arrays), dict(kept.facts["notes"])
        before = usable_ceiling(arrays)
        if ceiling is not None:
            arrays |= {"ceiling": ceiling.best_r, "ceiling_spread": ceiling.spread, "crossed": ceiling.crossed}
            arrays |= {"ceiling_error": ceiling.best_r_error, "ceiling_interval": ceiling.median_interval()}
            arrays |= {"reliability": ceiling.reliability, "masked": ceiling.masked}
        if kept is None and evaluation.resampling is not None:
            self.run.report.say(f"bootstrap: {self.request.bootstrap} samples")
            size, seed = self.request.bootstrap, self.request.seed
            arrays |= interval_arrays(evaluation.resampling, arrays, size, seed, self.metric)
        elif before is not None and not np.array_equal(before, usable_ceiling(arrays), equal_nan=True):
            # these samples were divided by another ceiling
            arrays.pop("bootstrap_normalised", None)
            arrays.pop("bootstrap_one_layer_normalised", None)
        return Entry(arrays, self._header() | summarise(arrays, notes))

    def null(self) -> "Null":
        """Return the null distribution of the score: the pairing of stimuli and responses permuted."""
        from ..analysis import permutation

        return permutation.null(
            self.problems(),
            self.decoder(),
            self.metric,
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

        name = self.decoder_name()
        if name != "ridge":
            return DECODERS[name]()
        protocol = self.protocol
        return DECODERS[name](
            penalty=protocol.penalty,
            alpha_per_target=protocol.alpha_per_target,
            scaled=protocol.alpha_scale == "kernel",
            device=self.run.device,
        )

    @property
    def validate(self) -> bool:
        """True if the decoder predicts no left-out training rows, so that layers are chosen on validation rows."""
        return not getattr(self.decoder(), "leaves_out", False)

    def _header(self) -> Mapping[str, Any]:
        return {
            "benchmark": self.request.benchmark,
            "model": models.title(self.request.model),
            "datasets": list(self.titles),
            "metric": self.metric,
            "options": self.options(),
            "data": {t: self.run.data_metadata(n)["notes"] for t, n in zip(self.titles, self.names, strict=True)},
        }
