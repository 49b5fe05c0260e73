"""Encoders as files: an encoding model of a data set, saved, and its predictions for other films.

The tensors are a safetensors file; the JSON file beside it says what they are: models, layers, projection, response
function, units, and the SHA-256 of the tensors.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import models
from ..config import Config
from ..data.arrays import stimuli
from ..files import replacing_file, write_atomic, writing
from ..models.spec import N_COMPONENTS
from ..records import Activations, Stimuli
from ..tables import check_output
from ..utils import BadInput, counted, granted_cores, regular_bins
from .benchmark import Benchmark
from .benchmarks import benchmarks
from .request import REGRESSIONS, Reporter, Request
from .run import Run, resolve_device

if TYPE_CHECKING:
    import xarray as xr

    from ..evaluate.encoder import LinearMap

VERSION = 1
SUFFIX = ".safetensors"
TENSORS = ("units", "mean", "inverse", "coef", "intercept")
BATCH_SIZE = 4  # rows of a forward pass, the same in every process


@dataclass(frozen=True, eq=False)
class Encoder:
    """Encoding model of a data set.

    Parameters
    ----------
    facts : mapping
        Plain JSON: models with their layers, time bins, response function, units, datasets and options.
    maps : sequence of LinearMap
        From layers to units.
    centres : mapping of str to array
        {layer: mean of its features over the fitted clips}; empty where features are centred in each film.
    """

    facts: Mapping[str, Any]
    maps: "Sequence[LinearMap]"
    centres: Mapping[str, np.ndarray]

    def predict(self, films: "Stimuli | Sequence[str | Path]", **options: Any) -> "xr.Dataset":
        """Return predicted responses; see `predict`."""
        return predict(self, films, **options)


def check_encoder_file(path: str | None, request: Request) -> None:
    """Raise BadInput for a file or a request of which no encoder can be saved; called before anything is computed."""
    check_output(path, (SUFFIX,), "--save-encoder")
    if path is not None and request.benchmark not in REGRESSIONS:
        raise BadInput(f"--save-encoder for {request.benchmark}; expected one of {' and '.join(REGRESSIONS)}")
    if path is not None and len(request.models) > 1:
        raise BadInput(f"{len(request.models)} models for one encoder; expected one --model")
    if path is not None and isinstance(request.context_ms, tuple):
        raise BadInput(f"{len(request.context_ms)} context durations for one encoder; expected one --context-duration")


def save_encoder(request: Request, config: Config, path: str | Path, report: Reporter | None = None) -> Encoder:
    """Fit an encoding model on all rows of a request and write it to `path` and a JSON file beside it.

    Raises
    ------
    BadInput
        For several scores, units with films of their own, or a file that cannot be written.
    """
    check_encoder_file(str(path), request)
    run = Run(request, config, report)
    found = benchmarks(run)
    if len(found) != 1 or getattr(found[0], "per_unit", False):
        raise BadInput(f"{counted(len(found), 'score')} for one encoder; expected one dataset whose units saw the same")
    encoder = fit(found[0])
    write(encoder, Path(path))
    return load_encoder(path)


def fit(benchmark: Benchmark) -> Encoder:
    """Return the encoder of a benchmark with one regression."""
    from ..evaluate import encoder

    run, protocol, name = benchmark.run, benchmark.protocol, benchmark.names[0]
    run.report.say("fitting the encoder on all rows")
    (make,) = benchmark.problems()
    maps = encoder.fit(make(), benchmark.decoder(), benchmark.rule, protocol.missing)
    record = run.record(name)
    lag = any(getattr(declared, "lag", False) for declared in benchmark.declared)
    is_centred = benchmark.request.benchmark == "fmri" and protocol.runs == "standardised"
    widths = [float(np.ptp(bins[0])) for bins in (record.time_ms, benchmark.bins_ms(name))]
    facts = {
        "version": VERSION,
        "benchmark": benchmark.request.benchmark,
        "datasets": list(benchmark.titles),
        "options": benchmark.options(),
        "models": [_model_facts(benchmark, model, one) for model, one in benchmark.sources.runs.items()],
        "bands": None if benchmark.bands is None else [list(band) for band in benchmark.bands],
        "mode": benchmark.request.mode,
        "context_ms": float(benchmark.request.context_ms),
        "precision": benchmark.request.precision,
        "bin_ms": widths[0],
        "activation_bin_ms": widths[1],
        "hrf": protocol.hrf if lag else "none",
        "centred": is_centred,
        "films": lag,
        "units": {column: np.asarray(values).tolist() for column, values in record.units.items()},
    }
    centres = benchmark.feature_means() if is_centred and not lag else {}
    return Encoder(facts, maps, {layer: centres[layer] for layer in _layers_of(facts, maps) if layer in centres})


def _model_facts(benchmark: Benchmark, name: str, run: Run) -> dict[str, Any]:
    """Return what is needed to load a model again and to compare it with this one."""
    if run.objects.model is not None:
        raise BadInput("an encoder of a network that was passed as an object; expected a name, or path/to/file.py:name")
    request, entry = run.request, models.resolve(name)
    return {
        "name": name,
        "prefix": "" if name == benchmark.request.model else f"{models.title(name)}:",
        "layers": list(run.layers),
        "digest": run.model_metadata["digest"] if entry.source != "own" else None,
        "fps": request.fps,
        "input_size": request.input_size,
        "layer_axes": dict(request.layer_axes),
        "n_components": None if entry.full_features else N_COMPONENTS,
    }


def _layers_of(facts: Mapping[str, Any], maps: "Sequence[LinearMap]") -> list[str]:
    """Return the layers that are read."""
    if facts["bands"] is not None:
        return [layer for band in facts["bands"] for layer in band]
    return list(dict.fromkeys(one.layer for one in maps))


def write(encoder: Encoder, path: Path) -> None:
    """Write the tensors, then the JSON file beside them."""
    from safetensors.numpy import save

    tensors = {f"{k}.{name}": _contiguous(one, name) for k, one in enumerate(encoder.maps) for name in TENSORS}
    tensors |= {f"centre.{layer}": np.ascontiguousarray(values) for layer, values in encoder.centres.items()}
    content = save(tensors)
    facts = dict(encoder.facts) | {
        "maps": [{"layer": one.layer, "units": len(one.units)} for one in encoder.maps],
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    with writing(path, "--save-encoder"):
        write_atomic(path, content)
        write_atomic(path.with_suffix(".json"), json.dumps(facts, indent=1).encode())


def _contiguous(one: "LinearMap", name: str) -> np.ndarray:
    return np.ascontiguousarray(getattr(one, name))


def load_encoder(path: str | Path) -> Encoder:
    """Return a saved encoder.

    Parameters
    ----------
    path : str or Path
        The safetensors file; its JSON file lies beside it.

    Raises
    ------
    BadInput
        For a file that is missing, of another version, or not the one that its JSON file describes.
    """
    from safetensors.numpy import load

    from ..evaluate.encoder import LinearMap

    path = Path(path)
    beside = path.with_suffix(".json")
    for file in (path, beside):
        if not file.is_file():
            raise BadInput(f"no file {file}; expected an encoder of --save-encoder with its JSON file beside it")
    try:
        facts, content = json.loads(beside.read_text()), path.read_bytes()
        version, stated = facts["version"], facts["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{beside} describes no encoder; expected the JSON file of --save-encoder") from error
    if version != VERSION:
        raise BadInput(f"{path} is of version {version}; expected {VERSION}: save the encoder again")
    if hashlib.sha256(content).hexdigest() != stated:
        raise BadInput(f"{path} is not the file that {beside.name} describes; save the encoder again")
    tensors = load(content)
    maps = [
        LinearMap(one["layer"], *(tensors[f"{k}.{name}"] for name in TENSORS)) for k, one in enumerate(facts["maps"])
    ]
    centres = {name.partition(".")[2]: values for name, values in tensors.items() if name.startswith("centre.")}
    return Encoder(facts, maps, centres)


def predict(
    encoder: Encoder,
    films: "Stimuli | Sequence[str | Path]",
    *,
    device: str = "auto",
    batch_size: int = BATCH_SIZE,
    report: Reporter | None = None,
) -> "xr.Dataset":
    """Return the responses to films that an encoder predicts.

    Parameters
    ----------
    encoder : Encoder
    films : Stimuli or sequence of paths
        Films and images.
    device : str, default "auto"
        Device of the networks.
    batch_size : int, default 4
        Rows of a forward pass. Predictions are equal to the last bit on one device at one size.
    report : Reporter, optional

    Returns
    -------
    xarray.Dataset
        `response` (film, time, unit) float64, NaN after the end of a film, in the units of the fitted responses
        (fMRI: z-scores). Coordinates: film, start_ms and end_ms of time, the columns of the table of units.

    Raises
    ------
    BadInput
        For a film that cannot be read, and a model that is not the one that the encoder was fitted to.
    """
    import xarray as xr

    from ..evaluate.cross_validate import thread_limit
    from ..evaluate.encoder import predict as predicted

    shown, facts = films if isinstance(films, Stimuli) else stimuli(films), encoder.facts
    report = report or Reporter()
    bins_ms = regular_bins(float(np.max(shown.duration_ms)), facts["bin_ms"])
    if not len(bins_ms):
        raise BadInput(f"no film lasts {facts['bin_ms']:g} ms, one time bin; expected longer films")
    # sums on the CPU depend on the number of threads
    with thread_limit(granted_cores()):
        activations = _activations(encoder, shown, resolve_device(device), batch_size, report)
    units = facts["units"]
    n_units = len(units["unit_id"])
    values = np.full((len(shown), len(bins_ms), n_units), np.nan)
    with thread_limit(1):
        for i in range(len(shown)):
            features, n_bins = _features(encoder, activations, i, bins_ms)
            if n_bins:
                values[i, :n_bins] = predicted(encoder.maps, features, n_units)
    coords = {"film": list(shown.ids), "start_ms": ("time", bins_ms[:, 0]), "end_ms": ("time", bins_ms[:, 1])}
    coords |= {column: ("unit", np.asarray(of_units)) for column, of_units in units.items()}
    attributes = {"encoder": facts.get("sha256", ""), "datasets": "+".join(facts["datasets"])}
    attributes |= {"models": "+".join(models.title(one["name"]) for one in facts["models"])}
    return xr.Dataset({"response": (("film", "time", "unit"), values)}, coords, attributes)


def write_predictions(found: "xr.Dataset", path: str | Path) -> None:
    """Write predicted responses to a netCDF file, wholly or not at all."""
    with writing(Path(path), "--output"), replacing_file(Path(path)) as part:
        found.to_netcdf(part)


def _activations(encoder: Encoder, shown: Stimuli, device: str, batch_size: int, report: Reporter) -> Activations:
    """Return the layers that are read, of all models, in the time bins of the fit."""
    from ..extraction.extract import ArraySink, extract

    facts, layers, n_valid = encoder.facts, {}, None
    wanted = set(_layers_of(facts, encoder.maps))
    bins_ms = regular_bins(float(np.max(shown.duration_ms)), facts["activation_bin_ms"])
    for one in facts["models"]:
        named = [layer for layer in one["layers"] if one["prefix"] + layer in wanted]
        if not named:
            continue
        size = None if one["input_size"] is None else tuple(one["input_size"])
        options = {"input_size": size, "fps": one["fps"], "layer_axes": one["layer_axes"]}
        model = models.load(one["name"], device, layers=one["layers"], **options)
        if one["digest"] not in (None, model.digest):
            raise BadInput(
                f"{models.title(one['name'])} is not the model that the encoder was fitted to; expected its weights, "
                "and its version of the program"
            )
        model = replace(model, layers={layer: model.layers[layer] for layer in named})
        sink = ArraySink(len(shown), len(bins_ms))
        extract(
            model,
            shown,
            bins_ms,
            sink,
            mode=facts["mode"],
            context_ms=facts["context_ms"],
            device=device,
            batch_size=batch_size,
            precision=facts["precision"],
            n_components=one["n_components"],
            progress=report.progress(f"{models.title(one['name'])} on {shown.name}"),
        )
        layers |= {one["prefix"] + layer: sink.values[layer] for layer in named}
        n_valid = sink.n_valid if n_valid is None else np.minimum(n_valid, sink.n_valid)
    return Activations(layers, bins_ms, n_valid, shown.ids)


def _features(
    encoder: Encoder, activations: Activations, film: int, bins_ms: np.ndarray
) -> tuple[dict[str, np.ndarray], int]:
    """Return {layer: (n_bins, n_features)} of one film, as in the fit, and the number of its time bins."""
    from ..evaluate.align import to_bins
    from ..evaluate.feature_sets import JOINT
    from ..evaluate.fmri import lagged

    facts, found, n_bins = encoder.facts, {}, 0
    n_valid = int(activations.n_valid[film])
    for name, values in activations.layers.items():
        if not n_valid:
            break
        part = to_bins(values[film, :n_valid], activations.time_ms[:n_valid], bins_ms)
        part = part[: int(np.isfinite(part).all(axis=1).sum())]
        n_bins = len(part)
        if facts["films"]:
            part = lagged(part, facts["bin_ms"], facts["hrf"])
        if name in encoder.centres:
            part = part - encoder.centres[name]
        elif facts["centred"] and n_bins:
            part = (part - np.nanmean(part, axis=0, dtype=np.float64)).astype(np.float32)
        found[name] = part
    if facts["bands"] is not None and n_bins:
        found = {JOINT: np.hstack([found[layer] for band in facts["bands"] for layer in band])}
    return found, n_bins
