"""Models, datasets and activations of one request, loaded or computed only where the store lacks them.

The facts about models and datasets that keys need are stored as metadata, so that a cached re-run imports neither torch
nor xarray.
"""

import math
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import data, models
from ..ceiling import Ceiling, Recording, split_half, window_split_half
from ..config import Config
from ..data.custom import is_custom, resolved, title
from ..data.declare import Dataset, as_json, from_json
from ..evaluate.protocol import LEAST_TEST_ROWS
from ..locks import Held
from ..models.spec import N_COMPONENTS, check_input, left_out_text, notes_of
from ..records import Activations, Choices, Labels, Responses, Stimuli
from ..store import ActivationKey, ActivationSink, CeilingKey, Entry, Interrupted, Metadata, Store
from ..utils import BadInput, array_digest, counted, digest, first_names, size_text
from ..watch import importable, is_users, stamp, watching
from .contents import content_digest
from .objects import Objects
from .request import Reporter, Request, Stopped

if TYPE_CHECKING:
    from ..evaluate.decoders.base import Split
    from ..models.spec import Model, StepTimes

Record = Responses | Labels | Choices

SOURCES = Path(__file__).parents[1]


@dataclass(frozen=True)
class OwnRecord:
    """A custom dataset with the digest of its content and the inputs of its code."""

    declared: Dataset
    record: Record
    digest: str
    inputs: dict[str, Any]


@dataclass(frozen=True)
class LoadedModel:
    """A model with its digest, its weight files and, for the user's code, the inputs of that code."""

    model: "Model"
    digest: str
    files: tuple[Path, ...] = ()
    inputs: dict[str, Any] = field(default_factory=dict)


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
    sharing : Run, optional
        Run whose records, and facts about the datasets, are used.
    """

    def __init__(
        self,
        request: Request,
        config: Config,
        report: Reporter | None = None,
        *,
        store: Store | None = None,
        objects: Objects | None = None,
        sharing: "Run | None" = None,
    ):
        self.request, self.config, self.report = request, config, report or Reporter()
        self.store = store or Store(config)
        self.objects = objects or Objects()
        # runs of other models and contexts, for which films are decoded together with this one
        self.together: Sequence[Run] = ()
        self._first: Run | None = None
        self._records: dict[str, Record] = {} if sharing is None else sharing._records
        self._own_records: dict[str, OwnRecord] = {} if sharing is None else sharing._own_records
        self._data_metadata: dict[str, dict[str, Any]] = {} if sharing is None else sharing._data_metadata
        # responses with their runs on one scale, by dataset and treatment
        self.prepared: dict[tuple, Responses] = {} if sharing is None else sharing.prepared

    def beside(self, model: str, layers: Sequence[str] = ()) -> "Run":
        """Return the run of another model on the same datasets; records and facts about the datasets are shared."""
        own = {"input_size": None, "fps": None, "layer_axes": (), "features": (), "partition": (), "confounds": False}
        request = replace(self.request, model=model, layers=tuple(layers), **own)
        objects = Objects(datasets=self.objects.datasets)
        other = Run(request, self.config, self.report, store=self.store, objects=objects, sharing=self)
        contexts = [one.request.context_ms for one in self.together if one.request.model == self.request.model]
        other.together = [other.with_context(context) for context in contexts]
        return other

    def with_context(self, context_ms: float) -> "Run":
        """Return the run of the same model with one context; the model, records and facts are shared."""
        request = replace(self.request, context_ms=context_ms)
        other = Run(request, self.config, self.report, store=self.store, objects=self.objects, sharing=self)
        other._first = self if self._first is None else self._first
        return other

    @property
    def swept(self) -> bool:
        """True for one of several contexts of a model."""
        return len({one.request.context_ms for one in self.together}) > 1

    def release_model(self) -> None:
        """Forget the network, which is loaded again where it is needed."""
        for name in ("_loaded", "_network"):
            vars(self).pop(name, None)

    def check_model(self) -> None:
        """Raise BadInput for a model that does not exist or does not take the options of the input; loads nothing."""
        if self.objects.model is None:
            entry = models.resolve(self.request.model)
            if entry.source != "own":
                check_input(entry, self.request.input_size, self.request.fps)

    @property
    def is_users_model(self) -> bool:
        """True for a model outside the catalogue: of a file of the user's, or of a name of a hub."""
        return self.objects.model is None and models.resolve(self.request.model).group == "own"

    @property
    def has_responses(self) -> bool:
        """False: the features of a model are not haemodynamic responses, see `brain.BrainRun`."""
        return False

    def left_out_subjects(self, name: str) -> tuple[str, ...]:
        """Return the subjects of a dataset that are not predicted: none, see `brain.BrainRun`."""
        return ()

    def declaration(self, name: str) -> Dataset:
        """Return the declaration of a dataset of the request; raises BadInput where there is none.

        The file of a custom dataset, which may import anything, is executed only where its metadata are not stored.
        """
        if name in self.objects.datasets:
            return self.objects.datasets[name]
        if is_custom(name):
            stored = self._data_metadata.get(name) or self.store.known_metadata(
                "data", title(name), inputs=self._data_inputs(name)
            )
            if stored is not None and not stored["unwatched"]:
                found = from_json(stored["declaration"])
                if isinstance(found, data.TYPES[self.request.benchmark]):
                    # its files are as they were: they are not compared again
                    self._data_metadata[name] = stored
                    return found
        return data.declaration(self.request.benchmark, name)

    def record(self, name: str) -> Record:
        """Return the record of a dataset, loaded once."""
        if self._is_own(name):
            return self._own(name).record
        if name not in self._records:
            self.report.say(f"loading {name}")
            passed = self.objects.datasets.get(name)
            self._records[name] = data.load(name, self.config) if passed is None else self._load(passed)
        return self._records[name]

    def made_by(self, name: str) -> dict[str, list]:
        """Return the stages behind the prepared data of a dataset; {} for other data, which are read on each run."""
        if name in self.objects.datasets or is_custom(name):
            return {}
        return data.made_by(name, self.config)

    def _is_own(self, name: str) -> bool:
        return is_custom(name) and name not in self.objects.datasets

    def _own(self, name: str) -> "OwnRecord":
        """Return the record of a custom dataset, loaded once while all that its code reads is watched."""
        if name not in self._own_records:
            self.report.say(f"loading {title(name)}")
            with watching() as seen:
                declared = data.declaration(self.request.benchmark, name)
                record = data.load(name, self.config)
                for path in _stimulus_files(record):
                    seen.read(path)
                found = content_digest(record, declared)
            self._own_records[name] = OwnRecord(declared, record, found, seen.inputs())
            self._say_unwatched(declared.name, self._own_records[name].inputs)
        return self._own_records[name]

    def _say_unwatched(self, name: str, inputs: Mapping[str, Any]) -> None:
        if actions := inputs["unwatched"]:
            self.report.say(f"{name} {first_names(actions, 3)}, which cannot be watched: it is loaded on each run")

    def confirm(self, names: Iterable[str]) -> bool:
        """Load the custom datasets among `names`; return True if one differs from its stored metadata, made again.

        Values that come from something that nothing watches, as random numbers without a seed, differ in this way.
        """
        others = []
        for name in filter(self._is_own, names):
            stored, found = self.data_metadata(name)["digest"], self._own(name)
            declared = found.declared.name
            if stored != found.digest:
                self.store.forget_metadata("data", title(name), inputs=self._data_inputs(name))
                self._data_metadata.pop(name)
                self.report.say(
                    f"{declared}: `load` returns other values than before, although all that it reads is as before"
                )
                others.append(name)
        return bool(others)

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
    def _loaded(self) -> "LoadedModel":
        """The model and its inputs; BadInput for a user's network whose values are not repeatable."""
        if self._first is not None:
            return self._first._loaded
        if self.objects.model is not None:
            return LoadedModel(self.objects.model, self.objects.model.digest)
        request = self.request
        self.report.say(f"loading {models.title(request.model)}")
        if self.is_users_model:
            return self._loaded_own()
        model, files = models.load_watched(request.model, self.device, **request.of_model)
        return LoadedModel(model, model.digest, files)

    def _loaded_own(self) -> "LoadedModel":
        """Return a model of the user's, loaded and run once while all that its code reads is watched."""
        from ..extraction.extract import feature_sizes
        from ..models.inspect.repeat import check_repeatable

        name = self.request.model
        reference = models.resolved(name).get("reference")
        with watching() as seen:
            model, files = models.load_watched(name, self.device, **self.request.of_model)
            with self._neighbours():
                if reference:
                    check_repeatable(model, self.device)
                feature_sizes(model, self.device)
        # what the code reads may change the network without changing its state
        found = digest([model.digest, seen.content(Path(reference).parent)]) if reference else model.digest
        inputs = seen.inputs()
        self._say_unwatched(models.title(name), inputs)
        return LoadedModel(model, found, files, inputs)

    def _neighbours(self) -> AbstractContextManager:
        """Return a context in which the user's network can import the modules of its own folder."""
        return nullcontext() if self._folder is None else importable(self._folder, again=True)

    def data_metadata(self, name: str) -> dict[str, Any]:
        """Return the facts about a dataset that keys need: digests, bins and stimuli, without its values."""
        if name not in self._data_metadata:
            self._data_metadata[name] = self._read_data_metadata(name)
        return self._data_metadata[name]

    def _read_data_metadata(self, name: str) -> dict[str, Any]:
        if name in self.objects.datasets:
            record = self.record(name)
            return _data_facts(record, self.objects.datasets[name])
        versions = {"av": version("av"), "numpy": version("numpy")}

        def make() -> Metadata:
            self._records.pop(name, None)
            record = self.record(name)
            files = (*_stimulus_files(record), *data.files(name, self.config), *_sources("data", "fakenet"))
            return Metadata(_data_facts(record, self.declaration(name)), files, versions)

        def make_own() -> Metadata:
            self._own_records.pop(name, None)
            own = self._own(name)
            facts = _data_facts(own.record, own.declared, own.digest)
            facts |= {"declaration": as_json(own.declared), "unwatched": own.inputs["unwatched"]}
            files = (
                *_sources("data", "fakenet"),
                *[SOURCES / f"{ground}.py" for ground in ("records", "video", "utils")],
            )
            return Metadata(facts, files, versions, own.inputs)

        if not self._is_own(name):
            return self.store.metadata("data", name, make)
        return self.store.metadata("data", title(name), make_own, inputs=self._data_inputs(name))

    def _data_inputs(self, name: str) -> dict[str, str]:
        """Return the inputs of a custom dataset's metadata besides its name: its files, and the folder of data."""
        return {"file": resolved(name), "data_home": str(self.config.data_home)}

    @cached_property
    def model_metadata(self) -> dict[str, Any]:
        """Facts about the model that keys need, without its weights; layers that were left out are reported."""
        if self._first is not None:
            return self._first.model_metadata
        facts = self._model_facts() if self.objects.model is not None else self._stored_model_facts()
        if facts["left_out"]:
            self.report.say(f"{models.title(self.request.model)}: {left_out_text(facts['left_out'])}")
        for note in facts["notes"]:
            self.report.say(f"{models.title(self.request.model)}: {note}")
        return facts

    def _stored_model_facts(self) -> dict[str, Any]:
        name = self.request.model

        def make() -> Metadata:
            vars(self).pop("_loaded", None)
            facts, loaded = self._model_facts(), self._loaded
            # the user's own files are watched
            files = [path for path in (*loaded.files, *models.source_files(name)) if not self._watches(path)]
            return Metadata(facts, tuple(files), models.versions(name), loaded.inputs)

        return self.store.metadata("model", models.title(name), make, inputs=self._model_inputs)

    def _watches(self, path: Path) -> bool:
        """Return True for a file of the user's where all that the model's code reads is watched."""
        return bool(self._loaded.inputs) and is_users(str(path))

    @property
    def _model_inputs(self) -> dict[str, Any]:
        """Return the inputs of the model's metadata besides its name: places of its files, and options."""
        chosen = {name: value for name, value in self.request.of_model.items() if value}
        given = {**models.resolved(self.request.model), **chosen}
        return {"weights_home": str(self.config.weights_home), **given}

    def _model_facts(self) -> dict[str, Any]:
        from ..extraction.extract import feature_sizes
        from ..extraction.windows import context_limits

        model = self._loaded.model
        shortest, longest = (context_limits(model, context_ms)[1] for context_ms in (0.0, math.inf))
        return {
            "digest": self._loaded.digest,
            "kind": model.kind,
            "fps": float(model.fps),
            "layers": dict(model.layers),
            "features": feature_sizes(model, self.device),
            "left_out": dict(model.left_out),
            "notes": notes_of(model),
            "bytes": _size(model),
            # None: without a limit
            "windows_ms": [shortest, longest if math.isfinite(longest) else None],
        }

    @property
    def has_step_times(self) -> bool:
        """True if the steps of layers are placed at their measured times."""
        return self.model_metadata["kind"] == "video" and self.request.step_times == "centres"

    @cached_property
    def _step_times(self) -> "dict[str, StepTimes]":
        """Times of the steps of the model's layers: its own, or measured once; layers without them are reported."""
        if not self.has_step_times:
            return {}
        if self._first is not None:
            return self._first._step_times
        from ..models.spec import StepTimes

        if self._loaded.model.step_times:
            return dict(self._loaded.model.step_times)
        found = self._measured_times() if self.objects.model is not None else self._stored_times()
        if found["note"]:
            self.report.say(f"{models.title(self.request.model)}: {found['note']}")
        return {layer: StepTimes(*facts[:3], tuple(facts[3])) for layer, facts in found["times"].items()}

    def _stored_times(self) -> dict[str, Any]:
        loaded, name = self._loaded, models.title(self.request.model)

        def make() -> Metadata:
            files = _sources("models/inspect")
            return Metadata(self._measured_times(), tuple(files), models.versions(self.request.model))

        inputs = {"digest": loaded.digest, "layers": dict(loaded.model.layers)}
        return self.store.metadata("step-times", name, make, inputs=inputs)

    def _measured_times(self) -> dict[str, Any]:
        from ..models.inspect.centres import step_times

        model = self._loaded.model
        self.report.say(f"measuring the times of the steps of {model.name}")
        with self._neighbours():
            times, note = step_times(model, self.device)
        return {"times": {layer: list(astuple(one)) for layer, one in times.items()}, "note": note}

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Layers to score, in the network's order: all, or those that the request's names denote."""
        return tuple(self.model_metadata["layers"])

    def activation_key(self, stimuli: Mapping[str, Any], bins_ms: np.ndarray, partial: bool = False) -> ActivationKey:
        """Return the key of the model's activations to the stimuli of a dataset's metadata, in some time bins."""
        facts, request = self.model_metadata, self.request
        # a model of single frames has no windows: mode and context change nothing
        framewise = facts["kind"] == "image"
        return ActivationKey(
            model=models.title(request.model),
            model_digest=facts["digest"],
            layers=self.layers,
            stimuli_digest=stimuli["digest"],
            bins_ms=tuple((float(start), float(end)) for start, end in bins_ms),
            partial=partial,
            mode="frames" if framewise else request.mode,
            context_ms=0.0 if framewise else float(request.context_ms),
            precision=request.precision,
            n_components=None if self._full_features else N_COMPONENTS,
            fps=facts["fps"],
            step_times="centres" if self.has_step_times else "even",
        )

    @property
    def _full_features(self) -> bool:
        """True for a model whose features are not projected."""
        return self.objects.model is None and models.resolve(self.request.model).full_features

    def activations(self, key: ActivationKey, stimuli: Stimuli, name: str) -> Activations:
        """Return the activations of a key, to stimuli of the dataset `name`; what the store lacks is computed.

        With it, those of `together` that the store lacks and no other process computes.
        """
        rerun = "activation" in self.request.rerun
        if not self.store.holds(key):
            self._check_films(key, stimuli)

        def fill(sinks: dict[ActivationKey, tuple[Run, ActivationSink]], left: Sequence[Run]) -> None:
            """Lock what the others lack, one by one, and extract all of it at once."""
            if not left:
                self._extract(sinks, stimuli, name)
                return
            run, begun = left[0], []
            other = run._key_like(key)

            def with_other(sink: ActivationSink) -> None:
                begun.append(sink)
                fill(sinks | {other: (run, sink)}, left[1:])

            if other not in sinks and not self.store.holds(other):
                if other.fps != key.fps:
                    self._check_films(other, stimuli)
                with suppress(Held):
                    self.store.activations(other, run._sizes(other), stimuli.ids, with_other, wait=False)
            if not begun:
                fill(sinks, left[1:])

        def fill_all(sink: ActivationSink) -> None:
            fill({key: (self, sink)}, [] if rerun else self._beside_this())

        try:
            return self.store.activations(key, self._sizes(key), stimuli.ids, fill_all, rerun=rerun)
        except Interrupted as interrupted:
            raise Stopped(str(interrupted)) from interrupted

    def _key_like(self, key: ActivationKey) -> ActivationKey:
        """Return the key of this run's activations to the stimuli, and in the time bins, of another one's."""
        return self.activation_key({"digest": key.stimuli_digest}, np.array(key.bins_ms), key.partial)

    def _sizes(self, key: ActivationKey) -> dict[str, int]:
        """Return {layer: number of its features as they are stored}."""
        from ..extraction.projection import n_outputs

        features = self.model_metadata["features"]
        return {layer: n_outputs(features[layer], key.n_components) for layer in key.layers}

    def _beside_this(self) -> list["Run"]:
        """Return the runs of `together` besides this one, with the networks of one of the user's folders at most."""
        found, folder = [], self._folder
        for run in self.together:
            if run is not self and (folder is None or run._folder in (None, folder)):
                found.append(run)
                folder = folder or run._folder
        return found

    @property
    def _folder(self) -> Path | None:
        """Folder whose modules the user's network may import; None for another one."""
        return None if self.objects.model is not None else models.import_folder(self.request.model)

    @cached_property
    def _network(self) -> "Model":
        """The model with the layers of the request at the times of their steps; shared by its contexts."""
        if self._first is not None:
            return self._first._network
        model = self._loaded.model
        if self._loaded.digest != self.model_metadata["digest"]:
            name = self.request.model
            self.store.forget_metadata("model", models.title(name), inputs=self._model_inputs)
            raise BadInput(
                f"{name} is not as it was when it was loaded before, although all that it reads is; make its weights "
                "repeatable (a seed), or run again if the change was intended"
            )
        return replace(model, layers={layer: model.layers[layer] for layer in self.layers}, step_times=self._step_times)

    def _extract(
        self, sinks: Mapping[ActivationKey, "tuple[Run, ActivationSink]"], stimuli: Stimuli, name: str
    ) -> None:
        """Fill the sinks of keys that differ in their model or context alone."""
        from ..extraction.extract import Part, extract_parts

        key, confirm, n_bytes, parts = next(iter(sinks)), self._unchanged_stimuli(stimuli, name), 0, []
        with ExitStack() as stack:
            for one, (run, sink) in sinks.items():
                sink.confirm = confirm
                n_bytes += run.activation_bytes(one, int((~sink.done).sum()))
                self._check_room(n_bytes, sink.home)
                run._say_extraction(one, stimuli, int((~sink.done).sum()))
                stack.enter_context(run._neighbours())
                parts.append(Part(run._network, sink, run.request.context_ms, one.n_components))
            titles = first_names(dict.fromkeys(one.model for one in sinks), 3)
            extract_parts(
                parts,
                stimuli,
                np.array(key.bins_ms),
                mode=self.request.mode,
                device=self.device,
                batch_size=self.request.batch_size,
                precision=key.precision,
                partial=key.partial,
                progress=self.report.progress(f"{titles} on {stimuli.name}"),
                stop=self.report.stopping,
                notice=self.report.say,
            )

    def _unchanged_stimuli(self, stimuli: Stimuli, name: str) -> Callable[[Sequence[int]], None]:
        """Return a function that raises BadInput if one of the stimuli of these indices is not as their digest says."""
        before, known = list(map(stamp, stimuli.paths)), self.data_metadata(name)
        # the digest that the key knows is that of the files from here on, except where nothing watches them
        watched = name not in self.objects.datasets and not known.get("unwatched")
        if watched and self._read_data_metadata(name)["digest"] != known["digest"]:
            raise BadInput(f"{title(name)} changed during this run; run again when nothing changes it")

        def confirm(indices: Sequence[int]) -> None:
            for i in indices:
                if stamp(stimuli.paths[i]) != before[i]:
                    raise BadInput(
                        f"{stimuli.paths[i]} changed while it was read; its activations are not kept: run again when "
                        "nothing changes it"
                    )

        return confirm

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

    def _check_room(self, n_bytes: int, home: Path) -> None:
        """Raise BadInput where the disk has too little room for activations of `n_bytes` in `home`."""
        free = shutil.disk_usage(home).free
        if n_bytes > free:
            raise BadInput(
                f"{size_text(n_bytes)} of activations to write, {size_text(free)} free in {home}; make room, "
                "name fewer --layers, or point MMAP_HOME at a larger disk"
            )

    def _say_extraction(self, key: ActivationKey, stimuli: Stimuli, n_missing: int) -> None:
        """Report what will be computed."""
        self.report.say(
            f"{key.model} on {stimuli.name}: {counted(len(key.layers), 'layer')}, "
            f"{f'context of {key.context_ms / 1000:g} s, ' if self.swept else ''}"
            f"{n_missing} of {len(stimuli)} stimuli, "
            f"{np.sum(stimuli.duration_ms) / 60000:.1f} minutes of film; "
            f"{size_text(self.activation_bytes(key, n_missing))} to write"
        )

    def activation_bytes(self, key: ActivationKey, n_stimuli: int) -> int:
        """Return the size on disk of the activations to `n_stimuli` stimuli, in bytes."""
        features = self.model_metadata["features"]
        width = sum(min(features[layer], key.n_components or features[layer]) for layer in key.layers)
        return 4 * width * len(key.bins_ms) * n_stimuli

    def ceiling(self, name: str, record: Responses, runs: str = "") -> Ceiling:
        """Return the published noise ceiling, of contiguous halves over all rows of a dataset, stored or computed.

        record: the dataset, as it is scored; runs: treatment of its runs.
        """
        request = self.request

        def make() -> Ceiling:
            options = {"n_splits": request.splits, "seed": request.seed, "halves": "contiguous"}
            return split_half(record.values, record.subjects, **options)

        return self._ceiling((name,), make, runs=runs)

    def window_ceiling(
        self,
        names: Sequence[str],
        recordings: Sequence[Recording],
        splits: "Sequence[Split]",
        weights: np.ndarray | None = None,
        runs: str = "",
    ) -> Ceiling:
        """Return the split-half noise ceiling over the test rows of a score, stored or computed.

        recordings: of the datasets `names`, in the order of the rows of the splits; weights: row weights (n_rows,);
        runs: treatment of their runs.
        """
        windows = [split.test for split in splits]

        def make() -> Ceiling:
            options = {"least_rows": LEAST_TEST_ROWS, "seed": self.request.seed}
            return window_split_half(recordings, windows, weights=weights, **options)

        rows = [array_digest(rows) for one in recordings for rows in (one.stimulus, one.time_bin)]
        return self._ceiling(names, make, runs=runs, windows=digest([*rows, *map(array_digest, windows)]))

    def _ceiling(self, names: Sequence[str], make: Callable[[], Ceiling], **inputs: str) -> Ceiling:
        request = self.request
        key = CeilingKey(
            datasets=tuple(self.declaration(name).name for name in names),
            data=tuple(self.data_metadata(name)["digest"] for name in names),
            splits=request.splits,
            seed=request.seed,
            **inputs,
        )

        def entry() -> Entry:
            self.report.say(f"computing the ceiling of {' + '.join(key.datasets)}")
            found = make()
            arrays = {"raw": found.raw, "n_independent": found.n_independent}
            arrays |= {} if found.windows is None else {"windows": found.windows}
            return Entry(arrays, {"n_bins": found.n_bins, "length": found.length})

        stored = self.store.fetch(key, entry, rerun="ceiling" in request.rerun)
        arrays, facts = stored.arrays, stored.facts
        windows = np.asarray(arrays["windows"]) if "windows" in arrays else None
        of_units = (np.asarray(arrays["raw"]), facts["n_bins"], np.asarray(arrays["n_independent"]))
        return Ceiling(*of_units, facts["length"], windows)

    @property
    def free_memory(self) -> int:
        """Free memory of the machine, or of the device if that has less, in bytes."""
        from ..extraction.batching import free_memory

        return min(map(free_memory, {"cpu", self.device}))

    def progress(self, label: str) -> Callable[[float, float, str], None]:
        """Return a progress function for a step without partial results: it raises Stopped on a requested stop."""
        report = self.report.progress(label)

        def step(done: float, total: float, text: str = "") -> None:
            if self.report.stopping():
                raise Stopped(f"stopped during {label}")
            report(done, total, text)

        return step


def resolve_device(device: str) -> str:
    """Return the device of a request or, for "auto", a GPU if there is one; BadInput for one that torch lacks."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|mps|cuda(:\d{1,4})?", device):
        raise BadInput(f"--device {device!r}; expected cpu, cuda, cuda:1, ..., mps or auto")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BadInput(f"--device {device}, but torch sees no GPU; expected cpu, or a machine with a GPU")
    if device.startswith("cuda:") and int(device[5:]) >= torch.cuda.device_count():
        raise BadInput(
            f"--device {device}, but torch sees {torch.cuda.device_count()} GPUs; expected cuda:0 or the like"
        )
    if device == "mps" and not torch.backends.mps.is_available():
        raise BadInput("--device mps, but torch sees no such GPU; expected cpu")
    return device


def _data_facts(record: Record, declared: Dataset, known: str | None = None) -> dict[str, Any]:
    """Return the facts that keys need; known: the digest of the record and its declaration, where it was computed."""
    stimuli = {"shown": record.stimuli}
    if getattr(record, "fitting", None) is not None:
        stimuli["fitting"] = record.fitting.stimuli
    return {
        "digest": known or content_digest(record, declared),
        "stimuli": {role: {"digest": s.digest, "ids": list(s.ids)} for role, s in stimuli.items()},
        "time_ms": record.time_ms.tolist() if isinstance(record, Responses) else None,
        "notes": dict(record.notes),
    }


def _size(model: "Model") -> int:
    """Return the size of a network's parameters and buffers, in bytes."""
    return sum(value.nbytes for value in (*model.module.parameters(), *model.module.buffers()))


def _stimulus_files(record: Record) -> list[Path]:
    """Return the files of the shown and the fitting stimuli."""
    shown = [record.stimuli, *([record.fitting.stimuli] if getattr(record, "fitting", None) is not None else [])]
    return [Path(path) for stimuli in shown for path in stimuli.paths]


def _sources(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in sorted((SOURCES / room).rglob("*.py"))]
