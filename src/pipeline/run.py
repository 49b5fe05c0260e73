"""Models, datasets and activations of one request, loaded or computed only where the store lacks them.

The facts about models and datasets that keys need are stored as metadata, so that a cached re-run imports neither torch
nor xarray.
"""

import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import data, models
from ..ceiling import Ceiling, split_half
from ..config import Config
from ..data.custom import custom_file, is_custom
from ..data.declare import Dataset, as_json, from_json
from ..models.spec import N_COMPONENTS, check_input, left_out_text, notes_of
from ..records import Activations, Choices, Labels, Responses, Stimuli
from ..store import ActivationKey, CeilingKey, Entry, Interrupted, Metadata, NotStored, Store
from ..utils import BadInput, array_digest, counted, digest, size_text
from .objects import Objects
from .request import Reporter, Request, Stopped

if TYPE_CHECKING:
    from ..models.spec import Model

Record = Responses | Labels | Choices

SOURCES = Path(__file__).parents[1]


class Run:
    """The store, the model and the datasets of one request.

    Parameters
    ----------
    request : Request
    config : Config
    report : Reporter, optional
        Default: a silent one.
    store : Store, optional
        Default: the store of `config`.
    objects : Objects, optional
        Models and datasets that were passed as objects.
    """

    def __init__(
        self,
        request: Request,
        config: Config,
        report: Reporter | None = None,
        *,
        store: Store | None = None,
        objects: Objects | None = None,
    ):
        self.request, self.config, self.report = request, config, report or Reporter()
        self.store = store or Store(config)
        self.objects = objects or Objects()
        self._records: dict[str, Record] = {}
        self._data_metadata: dict[str, dict[str, Any]] = {}

    def check_model(self) -> None:
        """Raise BadInput for a model that does not exist or does not take the options of the input; loads nothing."""
        if self.objects.model is None:
            entry = models.resolve(self.request.model)
            if entry.source != "own":
                check_input(entry, self.request.input_size, self.request.fps)

    def declaration(self, name: str) -> Dataset:
        """Return the declaration of a dataset of the request; raises BadInput where there is none.

        The file of a custom dataset, which may import anything, is executed only where its metadata are not stored.
        """
        if name in self.objects.datasets:
            return self.objects.datasets[name]
        if is_custom(name):
            with suppress(NotStored):
                # a read-only store computes nothing: it calls no function for what it lacks
                store = Store(self.config, read_only=True)
                stored = store.metadata("data", name, Metadata, inputs=_data_inputs(name))
                found = from_json(stored["declaration"])
                if isinstance(found, data.TYPES[self.request.benchmark]):
                    return found
        return data.declaration(self.request.benchmark, name)

    def record(self, name: str) -> Record:
        """Return the record of a dataset, loaded once."""
        if name not in self._records:
            self.report.say(f"loading {name}")
            passed = self.objects.datasets.get(name)
            self._records[name] = data.load(name, self.config) if passed is None else self._load(passed)
        return self._records[name]

    def _load(self, declared: Dataset) -> Record:
        folder = self.config.data_home / declared.study
        if declared.load is None:
            raise BadInput(f"the dataset {declared.name} has no `load`; expected one that returns its record")
        return declared.load(folder)

    @cached_property
    def device(self) -> str:
        """Device of the model: that of the request or, for "auto", a GPU if there is one."""
        return resolve_device(self.request.device)

    @cached_property
    def _loaded(self) -> "tuple[Model, tuple[Path, ...]]":
        """The model and its weight files; BadInput for a user's network whose values are not repeatable."""
        if self.objects.model is not None:
            return self.objects.model, ()
        from ..models.inspect.repeat import check_repeatable

        request = self.request
        self.report.say(f"loading {request.model}")
        model, files = models.load_watched(request.model, self.device, **request.of_model)
        if models.resolve(request.model).source == "own":
            check_repeatable(model, self.device)
        return model, files

    def data_metadata(self, name: str) -> dict[str, Any]:
        """Return the facts about a dataset that keys need: digests, bins and stimuli, without its values."""
        if name not in self._data_metadata:
            self._data_metadata[name] = self._read_data_metadata(name)
        return self._data_metadata[name]

    def _read_data_metadata(self, name: str) -> dict[str, Any]:
        if name in self.objects.datasets:
            record = self.record(name)
            # nothing watches an object for changes: all of it belongs to the digest
            tables = [getattr(record, "units", {}), record.stimuli.table, record.notes]
            parts = [[[str(k), array_digest(np.asarray(v))] for k, v in table.items()] for table in tables]
            return _data_facts(record) | {"digest": digest([record.digest, *parts])}

        def make() -> Metadata:
            record = self.record(name)
            facts = _data_facts(record) | {"declaration": as_json(data.declaration(self.request.benchmark, name))}
            shown = [record.stimuli, *([record.fitting.stimuli] if "fitting" in facts["stimuli"] else [])]
            paths = [Path(path) for stimuli in shown for path in stimuli.paths]
            files = (*paths, *data.files(name, self.config), *_sources("data", "fakenet"))
            return Metadata(facts, files, {"av": version("av"), "numpy": version("numpy")})

        return self.store.metadata("data", name, make, inputs=_data_inputs(name))

    @cached_property
    def model_metadata(self) -> dict[str, Any]:
        """Facts about the model that keys need, without its weights; layers that were left out are reported."""
        facts = self._model_facts() if self.objects.model is not None else self._stored_model_facts()
        if facts["left_out"]:
            self.report.say(f"{self.request.model}: {left_out_text(facts['left_out'])}")
        for note in facts["notes"]:
            self.report.say(f"{self.request.model}: {note}")
        return facts

    def _stored_model_facts(self) -> dict[str, Any]:
        request, name = self.request, self.request.model

        def make() -> Metadata:
            facts = self._model_facts()
            return Metadata(facts, (*self._loaded[1], *models.source_files(name)), models.versions(name))

        chosen = {name: value for name, value in request.of_model.items() if value}
        inputs = {"weights_home": str(self.config.weights_home), **chosen}
        return self.store.metadata("model", name, make, inputs=inputs)

    def _model_facts(self) -> dict[str, Any]:
        from ..extraction.extract import feature_sizes

        model = self._loaded[0]
        return {
            "digest": model.digest,
            "kind": model.kind,
            "fps": float(model.fps),
            "layers": dict(model.layers),
            "features": feature_sizes(model, self.device),
            "left_out": dict(model.left_out),
            "notes": notes_of(model),
        }

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Layers to score, in the network's order: all, or those that the request's names denote."""
        return tuple(self.model_metadata["layers"])

    def activation_key(self, stimuli: Mapping[str, Any], bins_ms: np.ndarray, partial: bool = False) -> ActivationKey:
        """Return the key of the model's activations to the stimuli of a dataset's metadata, in some time bins."""
        facts, request = self.model_metadata, self.request
        # a model of single frames has no windows: mode and context change nothing
        framewise = facts["kind"] == "image"
        full_features = self.objects.model is None and models.resolve(request.model).full_features
        return ActivationKey(
            model=request.model,
            model_digest=facts["digest"],
            layers=self.layers,
            stimuli_digest=stimuli["digest"],
            bins_ms=tuple((float(start), float(end)) for start, end in bins_ms),
            partial=partial,
            mode="frames" if framewise else request.mode,
            context_ms=0.0 if framewise else float(request.context_ms),
            precision=request.precision,
            n_components=None if full_features else N_COMPONENTS,
            fps=facts["fps"],
        )

    def activations(self, key: ActivationKey, stimuli: Stimuli) -> Activations:
        """Return the activations of a key; what the store lacks is computed."""
        from ..extraction.projection import n_outputs

        features = self.model_metadata["features"]
        sizes = {layer: n_outputs(features[layer], key.n_components) for layer in key.layers}
        if not self.store.holds(key):
            self._check_films(key, stimuli)
        try:
            return self.store.activations(
                key,
                sizes,
                stimuli.ids,
                lambda sink: self._extract(key, stimuli, sink),
                rerun="activation" in self.request.rerun,
            )
        except Interrupted as interrupted:
            raise Stopped(str(interrupted)) from interrupted

    def _extract(self, key: ActivationKey, stimuli: Stimuli, sink) -> None:
        from ..extraction.extract import extract

        model = self._loaded[0]
        model = replace(model, layers={layer: model.layers[layer] for layer in key.layers})
        self._check_room(key, stimuli, int((~sink.done).sum()))
        extract(
            model,
            stimuli,
            np.array(key.bins_ms),
            sink,
            mode=self.request.mode,
            context_ms=self.request.context_ms,
            device=self.device,
            batch_size=self.request.batch_size,
            precision=key.precision,
            n_components=key.n_components,
            partial=key.partial,
            progress=self.report.progress(f"{key.model} on {stimuli.name}"),
            stop=self.report.stopping,
        )

    def _check_films(self, key: ActivationKey, stimuli: Stimuli) -> None:
        """Raise BadInput for a film that cannot be read to its end, or is shorter than the first bin."""
        from ..video import probe

        first_end_ms = key.bins_ms[0][1]
        for index, (stimulus_id, path) in enumerate(zip(stimuli.ids, stimuli.paths, strict=True)):
            try:
                film_ms = None if stimuli.kind[index] == "image" else probe(path).duration_ms
            except BadInput as error:
                raise BadInput(f"stimulus '{stimulus_id}' of {stimuli.name}: {error}") from error
            declared = film_ms is None or stimuli.piece_ms(index) is not None
            duration_ms = float(stimuli.duration_ms[index]) if declared else film_ms
            if not key.partial and duration_ms < first_end_ms - 1000 / key.fps:
                raise BadInput(
                    f"stimulus '{stimulus_id}' of {stimuli.name} lasts {duration_ms:g} ms, but the first bin of the "
                    f"recording ends at {first_end_ms:g} ms; expected a longer film; remove it"
                )

    def _check_room(self, key: ActivationKey, stimuli: Stimuli, n_missing: int) -> None:
        """Report what will be written; raise BadInput where the disk has too little room for it."""
        n_bytes, home = self.activation_bytes(key, n_missing), self.store.activations_home
        free = shutil.disk_usage(home).free
        if n_bytes > free:
            raise BadInput(
                f"{size_text(n_bytes)} of activations to write, {size_text(free)} free in {home}; make room, "
                "name fewer --layers, or point MMAP_HOME at a larger disk"
            )
        self.report.say(
            f"{key.model} on {stimuli.name}: {counted(len(key.layers), 'layer')}, "
            f"{n_missing} of {len(stimuli)} stimuli, "
            f"{np.sum(stimuli.duration_ms) / 60000:.1f} minutes of film; {size_text(n_bytes)} to write"
        )

    def activation_bytes(self, key: ActivationKey, n_stimuli: int) -> int:
        """Return the size on disk of the activations to `n_stimuli` stimuli, in bytes."""
        features = self.model_metadata["features"]
        width = sum(min(features[layer], key.n_components or features[layer]) for layer in key.layers)
        return 4 * width * len(key.bins_ms) * n_stimuli

    def ceiling(self, name: str) -> Ceiling:
        """Return the split-half noise ceiling of a dataset's recordings, stored or computed."""
        request = self.request
        key = CeilingKey(
            dataset=name, data_digest=self.data_metadata(name)["digest"], splits=request.splits, seed=request.seed
        )

        def make() -> Entry:
            record = self.record(name)
            self.report.say(f"computing the ceiling of {name}")
            found = split_half(record.values, record.subjects, n_splits=request.splits, seed=request.seed)
            return Entry({"raw": found.raw, "n_independent": found.n_independent}, {"n_bins": found.n_bins})

        entry = self.store.fetch(key, make, rerun="ceiling" in request.rerun)
        return Ceiling(
            np.asarray(entry.arrays["raw"]), entry.facts["n_bins"], np.asarray(entry.arrays["n_independent"])
        )

    def progress(self, label: str) -> Callable[[float, float, str], None]:
        """Return a progress function for a step without partial results: it raises Stopped on a requested stop."""
        report = self.report.progress(label)

        def step(done: float, total: float, text: str = "") -> None:
            if self.report.stopping():
                raise Stopped(f"stopped during {label}")
            report(done, total, text)

        return step


def resolve_device(device: str) -> str:
    """Return the device of a request or, for "auto", a GPU if there is one; BadInput for a GPU that torch lacks."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BadInput(f"--device {device}, but torch sees no GPU; expected cpu, or a machine with a GPU")
    return device


def _data_facts(record: Record) -> dict[str, Any]:
    stimuli = {"shown": record.stimuli}
    if getattr(record, "fitting", None) is not None:
        stimuli["fitting"] = record.fitting.stimuli
    return {
        "digest": record.digest,
        "stimuli": {role: {"digest": s.digest, "ids": list(s.ids)} for role, s in stimuli.items()},
        "time_ms": record.time_ms.tolist() if isinstance(record, Responses) else None,
        "notes": dict(record.notes),
    }


def _data_inputs(name: str) -> dict[str, str]:
    """The inputs of a dataset's metadata besides its name: of a custom one, the file, which must exist."""
    return {"file": str(custom_file(name))} if is_custom(name) else {}


def _sources(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in sorted((SOURCES / room).rglob("*.py"))]
