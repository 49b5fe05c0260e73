"""One request at work: models, datasets and activations, loaded or computed only where the store lacks them.

What a cached re-run needs to know of models and datasets lies on cards in the store, so that it imports neither torch
nor xarray.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from .. import data, models
from ..ceiling import Ceiling, split_half
from ..config import Config
from ..records import Activations, Choices, Labels, Responses, Stimuli
from ..store import ActivationKey, CeilingKey, Entry, Interrupted, Metadata, Store
from ..utils import BadInput, size_text, unknown_name
from .request import Reporter, Request, Stopped

N_COMPONENTS = 5000
SOURCES = Path(__file__).parents[1]


class Run:
    """The store, the model and the datasets of one request."""

    def __init__(self, request: Request, config: Config, report: Reporter):
        self.request, self.config, self.report = request, config, report
        self.store = Store(config)
        self._records: dict[str, Responses | Labels | Choices] = {}

    def record(self, name: str) -> Responses | Labels | Choices:
        """The dataset's record, loaded once."""
        if name not in self._records:
            self.report.say(f"loading {name}")
            self._records[name] = data.load(name, self.config)
        return self._records[name]

    @cached_property
    def device(self) -> str:
        """Where the model runs: what was asked for, or the GPU if there is one."""
        import torch

        asked = self.request.device
        if asked == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        if asked.startswith("cuda") and not torch.cuda.is_available():
            raise BadInput(f"--device {asked}, but torch sees no GPU; expected cpu, or a machine with a GPU")
        return asked

    @cached_property
    def _loaded(self):
        self.report.say(f"loading {self.request.model}")
        return models.load_watched(self.request.model, self.device)

    def data_metadata(self, name: str) -> dict[str, Any]:
        """What keys need to know of a dataset: digests, bins and stimuli, without its values."""

        def make() -> Metadata:
            record = self.record(name)
            stimuli = {"shown": record.stimuli}
            if getattr(record, "fitting", None) is not None:
                stimuli["fitting"] = record.fitting.stimuli
            facts = {
                "digest": record.digest,
                "stimuli": {role: {"digest": s.digest, "ids": list(s.ids)} for role, s in stimuli.items()},
                "time_ms": record.time_ms.tolist() if isinstance(record, Responses) else None,
                "notes": dict(record.notes),
            }
            paths = [Path(path) for s in stimuli.values() for path in s.paths]
            files = (*paths, *data.files(name, self.config), *_sources("data", "fakenet"))
            return Metadata(facts, files, {"av": version("av"), "numpy": version("numpy")})

        return self.store.metadata("data", name, make)

    @cached_property
    def model_metadata(self) -> dict[str, Any]:
        """What keys need to know of the model, without its weights."""
        name = self.request.model

        def make() -> Metadata:
            from ..extraction.extract import feature_sizes

            model, files = self._loaded
            facts = {
                "digest": model.digest,
                "kind": model.kind,
                "fps": float(model.fps),
                "layers": dict(model.layers),
                "features": feature_sizes(model, self.device),
            }
            return Metadata(facts, (*files, *models.source_files(name)), models.versions(name))

        return self.store.metadata("model", name, make, inputs={"weights_home": str(self.config.weights_home)})

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """The layers to score: all of the model's, or those asked for, in the network's order."""
        have = tuple(self.model_metadata["layers"])
        for asked in self.request.layers:
            if asked not in have:
                raise unknown_name(f"layer of {self.request.model}", asked, have)
        return tuple(layer for layer in have if not self.request.layers or layer in self.request.layers)

    def activation_key(self, stimuli: Mapping[str, Any], bins_ms: np.ndarray, partial: bool = False) -> ActivationKey:
        """The key of this model's answers to the stimuli of a data card, in some bins."""
        card, request = self.model_metadata, self.request
        # a frame-wise model answers each frame by itself: mode and context change nothing
        framewise = card["kind"] == "image"
        return ActivationKey(
            model=request.model,
            model_digest=card["digest"],
            layers=self.layers,
            stimuli_digest=stimuli["digest"],
            bins_ms=tuple((float(start), float(end)) for start, end in bins_ms),
            partial=partial,
            mode="frames" if framewise else request.mode,
            context_ms=0.0 if framewise else float(request.context_ms),
            precision=request.precision,
            n_components=None if models.resolve(request.model).full_features else N_COMPONENTS,
            fps=card["fps"],
        )

    def activations(self, key: ActivationKey, stimuli: Stimuli) -> Activations:
        """The stored answers, computed as far as they are missing."""
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
        """BadInput for a film that cannot be read to its end, or is shorter than the first bin."""
        from ..video import probe

        first_end_ms = key.bins_ms[0][1]
        for index, (identity, path) in enumerate(zip(stimuli.ids, stimuli.paths, strict=True)):
            try:
                film_ms = None if stimuli.kind[index] == "image" else probe(path).duration_ms
            except BadInput as error:
                raise BadInput(f"stimulus '{identity}' of {stimuli.name}: {error}") from error
            stated = film_ms is None or stimuli.piece_ms(index) is not None
            lasts_ms = float(stimuli.duration_ms[index]) if stated else film_ms
            if not key.partial and lasts_ms < first_end_ms - 1000 / key.fps:
                raise BadInput(
                    f"stimulus '{identity}' of {stimuli.name} lasts {lasts_ms:g} ms, but the first bin of the "
                    f"recording ends at {first_end_ms:g} ms; expected a longer film; remove it"
                )

    def _check_room(self, key: ActivationKey, stimuli: Stimuli, n_missing: int) -> None:
        """Say what will be written, and refuse where the disk has no room for it."""
        n_bytes, home = self.activation_bytes(key, n_missing), self.store.activations_home
        free = shutil.disk_usage(home).free
        if n_bytes > free:
            raise BadInput(
                f"{size_text(n_bytes)} of activations to write, {size_text(free)} free in {home}; make room, "
                "name fewer --layers, or point MMAP_HOME at a larger disk"
            )
        self.report.say(
            f"{key.model} on {stimuli.name}: {len(key.layers)} layers, {n_missing} of {len(stimuli)} stimuli, "
            f"{np.sum(stimuli.duration_ms) / 60000:.1f} minutes of film; {size_text(n_bytes)} to write"
        )

    def activation_bytes(self, key: ActivationKey, n_stimuli: int) -> int:
        """What the answers to so many stimuli take on the disk."""
        features = self.model_metadata["features"]
        width = sum(min(features[layer], key.n_components or features[layer]) for layer in key.layers)
        return 4 * width * len(key.bins_ms) * n_stimuli

    def ceiling(self, name: str) -> Ceiling:
        """The stored split-half ceiling of a dataset's recordings."""
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
        """Progress of a computation that keeps nothing half done: it ends at the next step when asked to stop."""
        tell = self.report.progress(label)

        def step(done: float, total: float, text: str = "") -> None:
            if self.report.stopping():
                raise Stopped(f"stopped during {label}")
            tell(done, total, text)

        return step


def _sources(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in sorted((SOURCES / room).rglob("*.py"))]
