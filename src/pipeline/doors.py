"""The four doors: what each script does between its request and its scores.

The science (torch, scikit-learn) is imported where something is computed, so that a cached re-run stays light.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from src import data, models
from src.ceiling import Ceiling, joint
from src.pipeline.request import Request, Result
from src.pipeline.run import Run
from src.pipeline.summary import score_arrays, summarise
from src.records import Activations, Score
from src.store import ActivationKey, Entry, ScoreKey, key_digest
from src.utils import BadInput, regular_bins

TIME_MEAN = np.array([[0.0, np.inf]])


class Door:
    """The way from names to one score: which activations it stands on, and what is done with them.

    names: the datasets of the score, several for a joint regression. A subclass says which bins, which options reach
    the key, and how to evaluate; the order of things is here, once.
    """

    partial_bins = False

    def __init__(self, run: Run, names: Sequence[str]):
        self.run, self.names, self.request = run, tuple(names), run.request
        self.declared = [data.declaration(self.request.script, name) for name in self.names]

    @property
    def metric(self) -> str:
        """The metric's name."""
        return "pearson"

    def bins_ms(self, name: str) -> np.ndarray:
        """The bins in which the activations to a dataset are stored: array (n_bins, 2)."""
        return np.array(self.run.data_card(name)["time_ms"])

    def options(self) -> dict[str, Any]:
        """The choices that change the number."""
        return {name: getattr(self.request, name) for name in ("splits", "seed", "audit", "ceiling")}

    def check(self) -> None:
        """BadInput for data that cannot be split, before anything is extracted."""

    def evaluate(self, null: bool) -> Score:
        """The score of all layers or, with `null`, of the same with stimuli and responses parted."""
        raise NotImplementedError

    def ceiling(self) -> Ceiling | None:
        """The recordings' split-half ceiling, None where the score brings its own or there is none."""
        return None

    def activation_keys(self) -> dict[tuple[str, str], ActivationKey]:
        """{(dataset, "shown" or "fitting"): key} of all activations that the score stands on."""
        return {
            (name, role): self.run.activation_key(stimuli, self.bins_ms(name), self.partial_bins)
            for name in self.names
            for role, stimuli in self.run.data_card(name)["stimuli"].items()
        }

    def activations(self, name: str, role: str = "shown") -> Activations:
        """The answers to a dataset's stimuli, from the store or the model."""
        record = self.run.record(name)
        stimuli = record.stimuli if role == "shown" else record.fitting.stimuli
        return self.run.activations(self.activation_keys()[name, role], stimuli)

    def key(self) -> ScoreKey:
        """The score's key."""
        return ScoreKey(
            benchmark=self.request.script,
            model=self.request.model,
            datasets=self.names,
            activations=tuple(key_digest(key) for key in self.activation_keys().values()),
            data=tuple(self.run.data_card(name)["digest"] for name in self.names),
            options=tuple(sorted(self.options().items())),
        )

    def result(self) -> Result:
        """The score, from the store or computed."""
        key, rerun = self.key(), self.request.rerun
        stored = self.run.store.find(key)
        if stored is not None and not rerun:
            return Result(stored.facts, stored.arrays)
        # a new ceiling alone leaves the regression as it is
        kept = stored if rerun == {"ceiling"} else None
        entry = self.run.store.fetch(key, lambda: self._compute(kept), rerun=bool(rerun))
        return Result(entry.facts, entry.arrays)

    def steps(self) -> list[dict[str, Any]]:
        """What the score stands on: per step what it is, its name in the store, whether it is there, bytes to write."""
        store, steps = self.run.store, []
        for (name, role), key in self.activation_keys().items():
            n_stimuli = len(self.run.data_card(name)["stimuli"][role]["ids"])
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
        else:
            arrays, notes = dict(kept.arrays), dict(kept.facts["notes"])
        if ceiling is not None:
            arrays |= {"ceiling": ceiling.best_r, "ceiling_spread": ceiling.spread}
            arrays |= {"reliability": ceiling.reliability, "masked": ceiling.masked}
        return Entry(arrays, self._header() | summarise(arrays, notes))

    def _header(self) -> dict[str, Any]:
        return {
            "script": self.request.script,
            "model": self.request.model,
            "datasets": list(self.names),
            "metric": self.metric,
            "options": self.options(),
        }


class FmriDoor(Door):
    """All named datasets in one joint regression."""

    def options(self) -> dict[str, Any]:
        fields = ("clip_ms", "gap_ms", "layout", "hrf", "decoder", "alpha_per_target")
        return super().options() | {name: getattr(self.request, name) for name in fields}

    def _protocol(self):
        from src.evaluate.fmri import Options

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
        from src.evaluate import fmri

        fmri.check([self.run.record(name) for name in self.names], self._protocol())

    def evaluate(self, null: bool) -> Score:
        from src.evaluate import fmri
        from src.evaluate import null as parted

        parts = []
        for name, declared in zip(self.names, self.declared, strict=True):
            responses = self.run.record(name)
            if null:
                responses = (parted.rolled if declared.lag else parted.exchanged)(responses, self.request.seed)
            parts.append(fmri.Part(self.activations(name), responses, declared.lag, declared.row_weight))
        progress = self.run.progress("null" if null else "regression")
        return fmri.score(parts, make_decoder(self.run), self._protocol(), jobs=self.request.jobs, progress=progress)

    def ceiling(self) -> Ceiling:
        return joint([self.run.ceiling(name) for name in self.names], [d.row_weight for d in self.declared])


class ElectrodesDoor(Door):
    """One recording: stimuli x bins x units, or a film for each unit."""

    @property
    def per_unit(self) -> bool:
        """Whether every unit saw a film of its own."""
        return self.declared[0].fit == "per unit"

    def bins_ms(self, name: str) -> np.ndarray:
        """The recording's bins or, where they are finer than the model's frames, one bin a frame from 0 on."""
        recorded = super().bins_ms(name)
        frame_ms = 1000.0 / self.run.model_card["fps"]
        if recorded[0, 1] - recorded[0, 0] >= frame_ms:
            return recorded
        return regular_bins(np.ceil(recorded[-1, 1] / frame_ms) * frame_ms, frame_ms)

    def options(self) -> dict[str, Any]:
        fields = ("decoder", "alpha_per_target", *(("gap_ms",) if self.per_unit else ()))
        return super().options() | {name: getattr(self.request, name) for name in fields}

    def check(self) -> None:
        from src.evaluate.splits import item_splits

        if not self.per_unit:
            item_splits(len(self.run.record(self.names[0]).stimuli), n_splits=1)

    def evaluate(self, null: bool) -> Score:
        from src.evaluate import electrodes
        from src.evaluate import null as parted

        responses = self.run.record(self.names[0])
        if null:
            responses = (parted.rolled if self.per_unit else parted.exchanged)(responses, self.request.seed)
        shared = {"n_splits": self.request.splits, "seed": self.request.seed}
        shared["progress"] = self.run.progress("null" if null else "regression")
        activations, decoder = self.activations(self.names[0]), make_decoder(self.run)
        if self.per_unit:
            clip_ms = self.declared[0].clip_ms
            return electrodes.score_per_unit(
                activations, responses, decoder, clip_ms=clip_ms, gap_ms=self.request.gap_ms, **shared
            )
        return electrodes.score(activations, responses, decoder, jobs=self.request.jobs, **shared)

    def ceiling(self) -> Ceiling | None:
        return None if self.per_unit else self.run.ceiling(self.names[0])


class TaskDoor(Door):
    """One set of labels, decoded from the time mean."""

    partial_bins = True

    @property
    def metric(self) -> str:
        return self.declared[0].metric

    def bins_ms(self, name: str) -> np.ndarray:
        limit = self.declared[0].limit_ms
        return TIME_MEAN if limit is None else np.array([[0.0, limit]])

    def options(self) -> dict[str, Any]:
        return super().options() | {"decoder": self.declared[0].decoder, "metric": self.metric}

    def check(self) -> None:
        from src.evaluate.task import task_splits

        task_splits(self.run.record(self.names[0]), self.metric, n_splits=1, seed=0)

    def evaluate(self, null: bool) -> Score:
        from src.evaluate import null as parted
        from src.evaluate import task

        labels = self.run.record(self.names[0])
        if null:
            labels = parted.exchanged_labels(labels, self.request.seed)
        return task.score(
            self.activations(self.names[0]),
            labels,
            make_decoder(self.run, self.declared[0].decoder),
            self.metric,
            n_splits=self.request.splits,
            seed=self.request.seed,
            jobs=self.request.jobs,
            progress=self.run.progress("null" if null else "read-out"),
        )


class BehaviourDoor(Door):
    """One set of human choices against a read-out's."""

    partial_bins = True

    @property
    def metric(self) -> str:
        return self.declared[0].metric

    def bins_ms(self, name: str) -> np.ndarray:
        return TIME_MEAN

    def options(self) -> dict[str, Any]:
        return {"splits": self.request.splits, "seed": self.request.seed, "metric": self.metric}

    def evaluate(self, null: bool) -> Score:
        from src.evaluate import behaviour

        name = self.names[0]
        choices = self.run.record(name)
        return behaviour.score(
            self.activations(name),
            None if choices.fitting is None else self.activations(name, "fitting"),
            choices,
            self.metric,
            n_splits=self.request.splits,
            seed=self.request.seed,
            progress=self.run.progress("read-out"),
        )


def make_decoder(run: Run, name: str | None = None):
    """The decoder that the request, or the dataset, names."""
    from src.evaluate.decoders import DECODERS

    name = name or run.request.decoder
    if name != "ridge":
        return DECODERS[name]()
    return DECODERS[name](alpha_per_target=run.request.alpha_per_target, device=run.device)


DOORS: Mapping[str, type[Door]] = {
    "fmri": FmriDoor,
    "electrodes": ElectrodesDoor,
    "task": TaskDoor,
    "behaviour": BehaviourDoor,
}


def doors(run: Run) -> list[Door]:
    """The scores that a request comes to: a joint one for fMRI, else one a dataset. All names are resolved."""
    request: Request = run.request
    models.resolve(request.model)
    if not request.names:
        raise BadInput("no dataset named; expected at least one: see --list")
    door = DOORS[request.script]
    groups = [tuple(sorted(set(request.names)))] if request.script == "fmri" else [(n,) for n in request.names]
    return [door(run, names) for names in groups]
