"""What every script does between its request and its scores; the order of things is here, once.

The science (torch, scikit-learn) is imported where something is computed, so that a cached re-run stays light.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import data
from ..ceiling import Ceiling
from ..records import Activations, Evaluation
from ..store import ActivationKey, Entry, ScoreKey, key_digest
from .request import Score
from .run import Run
from .summary import score_arrays, summarise
from .uncertainty import interval_arrays, permutation_arrays

if TYPE_CHECKING:
    from ..analysis.permutation import Null
    from ..evaluate.cross_validate import Problem


class Benchmark:
    """The way from names to one score: which activations it stands on, and what is done with them.

    names: the datasets of the score, several for a joint regression. A subclass says which bins, which options reach
    the key, and how to evaluate; the order of things is here, once.
    """

    partial_bins = False

    def __init__(self, run: Run, names: Sequence[str]):
        self.run, self.names, self.request = run, tuple(names), run.request
        self.declared = [data.declaration(self.request.benchmark, name) for name in self.names]

    @property
    def metric(self) -> str:
        """The metric's name."""
        return "pearson"

    def bins_ms(self, name: str) -> np.ndarray:
        """The bins in which the activations to a dataset are stored: array (n_bins, 2)."""
        return np.array(self.run.data_metadata(name)["time_ms"])

    def options(self) -> dict[str, Any]:
        """The choices that change the number."""
        fields = ("splits", "seed", "audit", "bootstrap", "permutations", "ceiling")
        return {name: getattr(self.request, name) for name in fields}

    def check(self) -> None:
        """BadInput for data that cannot be split, before anything is extracted."""

    def evaluate(self, null: bool) -> Evaluation:
        """The score of all layers or, with `null`, of the same with stimuli and responses parted."""
        raise NotImplementedError

    def problems(self) -> list[Callable[[], "Problem"]]:
        """The cross-validations behind the score, made when called, for a permutation test."""
        raise NotImplementedError

    def ceiling(self) -> Ceiling | None:
        """The recordings' split-half ceiling, None where the score brings its own or there is none."""
        return None

    def activation_keys(self) -> dict[tuple[str, str], ActivationKey]:
        """{(dataset, "shown" or "fitting"): key} of all activations that the score stands on."""
        return {
            (name, role): self.run.activation_key(stimuli, self.bins_ms(name), self.partial_bins)
            for name in self.names
            for role, stimuli in self.run.data_metadata(name)["stimuli"].items()
        }

    def activations(self, name: str, role: str = "shown") -> Activations:
        """The answers to a dataset's stimuli, from the store or the model."""
        record = self.run.record(name)
        stimuli = record.stimuli if role == "shown" else record.fitting.stimuli
        return self.run.activations(self.activation_keys()[name, role], stimuli)

    def key(self) -> ScoreKey:
        """The score's key."""
        return ScoreKey(
            benchmark=self.request.benchmark,
            model=self.request.model,
            datasets=self.names,
            activations=tuple(key_digest(key) for key in self.activation_keys().values()),
            data=tuple(self.run.data_metadata(name)["digest"] for name in self.names),
            options=tuple(sorted(self.options().items())),
        )

    def result(self) -> Score:
        """The score, from the store or computed."""
        key, rerun = self.key(), self.request.rerun
        stored = self.run.store.find(key)
        if stored is not None and not rerun:
            return Score(stored.facts, stored.arrays)
        # a new ceiling alone leaves the regression as it is
        kept = stored if rerun == {"ceiling"} else None
        entry = self.run.store.fetch(key, lambda: self._compute(kept), rerun=bool(rerun))
        return Score(entry.facts, entry.arrays)

    def steps(self) -> list[dict[str, Any]]:
        """What the score stands on: per step what it is, its name in the store, whether it is there, bytes to write."""
        store, steps = self.run.store, []
        for (name, role), key in self.activation_keys().items():
            n_stimuli = len(self.run.data_metadata(name)["stimuli"][role]["ids"])
            n_bytes = self.run.activation_bytes(key, n_stimuli)
            steps.append({"what": f"activations to {name} ({role})", "key": key, "bytes": n_bytes})
        steps.append({"what": f"score on {' + '.join(self.names)}", "key": self.key(), "bytes": 0})
        return [step | {"stored": store.holds(step["key"])} for step in steps]

    def _compute(self, kept: Entry | None) -> Entry:
        self.check()
        ceiling = self.ceiling() if self.request.ceiling else None
        if kept is None:
            score = self.evaluate(null=False)
            null = self.evaluate(null=True) if self.request.audit else None
            arrays, notes = score_arrays(score, null), dict(score.notes)
            arrays |= self._permuted(arrays) if self.request.permutations else {}
        else:
            arrays, notes = dict(kept.arrays), dict(kept.facts["notes"])
        before = arrays.get("ceiling")
        if ceiling is not None:
            arrays |= {"ceiling": ceiling.best_r, "ceiling_spread": ceiling.spread}
            arrays |= {"reliability": ceiling.reliability, "masked": ceiling.masked}
        if kept is None and score.resampling is not None:
            self.run.report.say(f"drawing {self.request.bootstrap} times")
            arrays |= interval_arrays(score.resampling, arrays, self.request.bootstrap, self.request.seed)
        elif before is not None and not np.array_equal(before, arrays["ceiling"], equal_nan=True):
            # the replicates were divided by another ceiling
            arrays.pop("bootstrap_normalised", None)
        return Entry(arrays, self._header() | summarise(arrays, notes))

    def _permuted(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return permutation_arrays(self.null(), arrays)

    def null(self) -> "Null":
        """What the design scores where the link between stimulus and response is cut."""
        from ..analysis import permutation

        request, progress = self.request, self.run.progress("permutations")
        return permutation.null(
            self.problems(), self.decoder(), self.metric, request.permutations, seed=request.seed, progress=progress
        )

    def decoder(self):
        """The decoder that the request names."""
        return make_decoder(self.run)

    def _header(self) -> dict[str, Any]:
        return {
            "benchmark": self.request.benchmark,
            "model": self.request.model,
            "datasets": list(self.names),
            "metric": self.metric,
            "options": self.options(),
            "data": {name: self.run.data_metadata(name)["notes"] for name in self.names},
        }


def make_decoder(run: Run, name: str | None = None):
    """The decoder that the request, or the dataset, names."""
    from ..evaluate.decoders import DECODERS

    name = name or run.request.decoder
    if name != "ridge":
        return DECODERS[name]()
    return DECODERS[name](alpha_per_target=run.request.alpha_per_target, device=run.device)
