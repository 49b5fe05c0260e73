"""Functions of the package for notebooks and programs."""

import contextlib
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import data, pipeline
from .config import Config, export_homes
from .data.arrays import stimuli
from .data.declare import Dataset, Electrodes, Fmri, Task
from .models.spec import N_COMPONENTS
from .pipeline import Encoder, Objects, Reporter, Request, Score, check_options
from .pipeline.run import resolve_device
from .records import Activations, Choices, Labels, Responses, Stimuli
from .utils import BadInput, regular_bins

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from .models.spec import Model

    AnyModel = str | torch.nn.Module | Model
else:
    # torch is imported where a model is used
    AnyModel = Any
AnyDataset = str | Dataset | Responses | Labels | Sequence[str]

RECORDINGS = {"fmri": Fmri, "electrodes": Electrodes}


def score(
    model: "AnyModel | Sequence[str]",
    dataset: AnyDataset,
    *,
    benchmark: str | None = None,
    name: str | None = None,
    config: Config | None = None,
    report: Reporter | None = None,
    **options: Any,
) -> Score | list[Score]:
    """Score a model on a dataset.

    Parameters
    ----------
    model : str, sequence of str, torch.nn.Module or Model
        A name of `models()`, "Random-NAME", "path/to/file.py:function", or several of them, for which films are decoded
        once; a network, or a `Model` with the preprocessing and the layers of a network. A network takes images
        (batch, 3, 224, 224) or clips (batch, 3, T, 224, 224); the options `input_size` and `fps` change its size and
        its 25 frames per second.
    dataset : str, sequence of str, Dataset, Responses or Labels
        A name of `datasets()`, the path of a folder with `dataset.toml`, a reference `bids:`, `nwb:` or `brainio:`, or
        "path/to/file.py:function"; several fMRI names for a joint score; a declaration
        (`Fmri`, `Electrodes`, `Task`, `Behaviour`); or a record (`responses(...)`, `labels(...)`).
    benchmark : str, optional
        "fmri", "electrodes", "task" or "behaviour". Required for `Responses`: "electrodes", or "fmri" for responses
        that follow the stimulus by a haemodynamic response.
    name : str, optional
        Name of a model that is passed as an object, for tables; default: the name of its class.
    config : Config, optional
        Folders of data, activations and results; default: those of the environment.
    report : Reporter, optional
        Receives progress; default: a silent one.
    **options
        Options of the computation: the fields of `Request`, e.g. `layers=["layer3"]`, `mode="causal"`, `splits=5`,
        `gap_ms=5000`, `permutations=1000`, `device="cuda"`.

    Returns
    -------
    Score, or list of Score
        A list where several models are named, the option `metric` names several metrics, a score by each from one fit,
        or `context_ms` several contexts, see `temporal_windows`. Stored, or computed and stored. The score of a network
        that is passed as an object is not stored, since a change of its code could not be detected; pass
        "path/to/file.py:function" to have it stored.

    Raises
    ------
    BadInput
        For a name, option or file that cannot be used, in one line.

    Examples
    --------
    >>> import dynamic_vision as dv
    >>> score = dv.score("fake-net", "fake-fmri", splits=5)  # doctest: +SKIP
    >>> print(score.summary())  # doctest: +SKIP
    """
    check_options(options)
    names, benchmark, declared = _datasets(dataset, benchmark)
    options = {key: _option(value) for key, value in options.items()}
    named = isinstance(model, str) or (isinstance(model, list | tuple) and all(isinstance(one, str) for one in model))
    request = Request(benchmark, model if named else name or _name(model), names, **options)
    if len(names) > 1 and benchmark != "fmri":
        raise BadInput(f"{len(names)} {benchmark} datasets; expected 1: only fMRI datasets form a joint score")
    config = config or Config.from_env()
    export_homes(config)
    several = len(request.metric) > 1 or isinstance(request.context_ms, tuple) or len(request.models) > 1
    if named:
        found = list(pipeline.score(request, config, report, Objects(datasets=declared)))
        return found if several else found[0]
    with _as_model(model, request) as prepared, tempfile.TemporaryDirectory(prefix="dynamic-vision-") as folder:
        config = replace(config, activations_home=Path(folder, "activations"), results_home=Path(folder, "results"))
        found = [
            Score(one.facts, dict(one.arrays), provenance=one.provenance)
            for one in pipeline.score(request, config, report, Objects(prepared, declared))
        ]
        return found if several else found[0]


def compare(first: Score, second: Score) -> dict[str, Any]:
    """Compare two scores on the same data, each by its own chosen layer.

    Parameters
    ----------
    first, second : Score
        Scores on the same datasets with the same splits; the bootstrap samples are paired then.

    Returns
    -------
    dict
        "difference" of the test scores, first minus second; "low", "high" its 95 % interval and "p" two-sided, from
        the bootstrap samples, None where a score has none; "paired"; "targets_difference", "targets_p" and
        "targets_q" (n_targets,), see `analysis.paired.compare`; "subjects", the comparison over people and segments of
        film for new films with these people and for new films with new people, see `analysis.crossed.compare`, None
        where single subjects were not scored.

    Raises
    ------
    BadInput
        For scores of different targets or numbers of splits.
    """
    from .analysis import paired

    return paired.compare(first.arrays, second.arrays)


def temporal_windows(scores: Sequence[Score]) -> "pd.DataFrame":
    """Return the shortest context that a model needs to predict each target.

    Parameters
    ----------
    scores : sequence of Score
        Scores of one model by one metric on the same data, which differ in `context_ms` alone.

    Returns
    -------
    pandas.DataFrame
        A row per target: its columns, and window_ms: the shortest context that reaches 90 % of the best score, chosen
        inside the training rows of each split, geometric mean over splits; NaN for a target whose score is not above 0.

    Raises
    ------
    BadInput
        For scores that differ in more than their context, or not in it.

    Examples
    --------
    >>> import dynamic_vision as dv
    >>> scores = dv.score("r3d_18", "keles2024-fmri", context_ms=(500, 1000, 4000))  # doctest: +SKIP
    >>> dv.temporal_windows(scores).groupby("region")["window_ms"].median()  # doctest: +SKIP
    """
    import pandas as pd

    groups = pipeline.sweeps(scores)
    if len(groups) != 1 or len(groups[0]) != len(scores):
        raise BadInput(f"{len(scores)} scores; expected those of one model and metric with two contexts or more")
    arrays = groups[0][0].arrays
    table = {name.removeprefix("target_"): np.asarray(arrays[name]) for name in arrays if name.startswith("target_")}
    return pd.DataFrame(table | {"window_ms": pipeline.temporal_windows(groups[0])[0]})


def extract(
    model: AnyModel,
    films: "Stimuli | Sequence[str | Path]",
    *,
    bin_ms: float | None = None,
    layers: Sequence[str] = (),
    mode: str = "block",
    context_ms: float = Request.context_ms,
    precision: str = "fp32",
    input_size: int | tuple[int, int] | None = None,
    fps: float | None = None,
    layer_axes: Mapping[str, str] | None = None,
    step_times: str | None = None,
    n_components: int | None = N_COMPONENTS,
    device: str = "auto",
    batch_size: int | None = None,
) -> Activations:
    """Compute the activations of a model to films or images, in memory.

    Parameters
    ----------
    model : str, torch.nn.Module or Model
        As in `score`.
    films : Stimuli or sequence of paths
        Films and images; see `stimuli`.
    bin_ms : float, optional
        Width of the time bins in ms; default: one frame of the model.
    layers : sequence of str
        Any modules of the network; "module@2" is the second call of one in a pass, "module.key" a part of its output.
        Default: all layers of the model, thinned to 15.
    mode : {"block", "causal"}
        Inference mode of a video model.
    context_ms : float
        Length of a window of a video model, in ms.
    precision : {"fp32", "tf32", "bf16", "fp16"}
    input_size : int or (int, int), optional
        Height and width of the input of a network in px; default: 224 x 224.
    fps : float, optional
        Frames per second of a network, or of any model of single frames; default: 25, or that of the model.
    layer_axes : mapping of {str: str}, optional
        Axes of layers in place of the detected ones, as in `Request`.
    step_times : {"centres", "even"}, optional
        The steps of a layer of a video model count at their measured temporal centres, as in the default protocol, or
        are spread evenly over a window.
    n_components : int or None
        Number of dimensions of the sparse random projection; None: features are not projected.
    device : str
        "auto" (a GPU if there is one), "cpu", "cuda", ...
    batch_size : int, optional
        Rows of a forward pass; default: as many as fit.

    Returns
    -------
    Activations
        `layers` {name: (n_stimuli, n_bins, n_features)} float32, NaN behind the end of a stimulus; `time_ms`
        (n_bins, 2); `n_valid` (n_stimuli,) bins that each stimulus covers.

    Raises
    ------
    BadInput
        For a name, option or file that cannot be used, in one line.
    """
    from .extraction.extract import ArraySink
    from .extraction.extract import extract as run
    from .models.inspect.centres import step_times as measured

    shown = films if isinstance(films, Stimuli) else stimuli(films)
    config = Config.from_env()
    export_homes(config)
    label = model if isinstance(model, str) else _name(model)
    request = Request(
        "electrodes",
        label,
        (),
        layers=tuple(layers),
        mode=mode,
        context_ms=context_ms,
        precision=precision,
        input_size=_option(input_size),
        fps=fps,
        layer_axes=tuple((layer_axes or {}).items()),
        step_times=step_times,
        device=device,
        batch_size=batch_size,
    )
    with _as_model(model, request) as prepared:
        if request.step_times == "even":
            prepared = replace(prepared, step_times={})
        elif not prepared.step_times:
            times, note = measured(prepared, resolve_device(device))
            prepared = replace(prepared, step_times=times)
            if note:
                warnings.warn(f"{prepared.name}: {note}", stacklevel=2)
        width_ms = 1000 / prepared.fps if bin_ms is None else bin_ms
        bins_ms = regular_bins(float(np.max(shown.duration_ms)), width_ms)
        sink = ArraySink(len(shown), len(bins_ms))
        run(
            prepared,
            shown,
            bins_ms,
            sink,
            mode=mode,
            context_ms=context_ms,
            device=resolve_device(device),
            batch_size=batch_size,
            precision=precision,
            n_components=n_components,
        )
    return Activations(sink.values, bins_ms, sink.n_valid, shown.ids)


def datasets(benchmark: str | None = None) -> "pd.DataFrame":
    """Return the known datasets, all of them or those of one benchmark.

    Returns
    -------
    pandas.DataFrame
        A row per dataset, indexed by name: benchmark, access, licence, citation, source.
    """
    import pandas as pd

    rows = [
        {"name": d.name, "benchmark": key, "access": d.access, "licence": d.licence, "citation": d.citation}
        | {"source": d.source}
        for key, registry in data.BY_BENCHMARK.items()
        if benchmark in (None, key)
        for d in registry.values()
    ]
    if not rows:
        raise BadInput(f"unknown benchmark '{benchmark}'; expected one of {', '.join(data.BY_BENCHMARK)}")
    return pd.DataFrame(rows).set_index("name")


def load(key: str, *, config: Config | None = None) -> Score:
    """Return a stored score by its name in the store.

    Parameters
    ----------
    key : str
        `Score.key`, or the name that `dynamic-vision store ls` prints; its start will do where it is unique.
    config : Config, optional
        Default: the folders of the environment.

    Raises
    ------
    BadInput
        Where no stored score, or more than one, has that name.
    """
    return pipeline.load_score(key, config or Config.from_env())


def load_encoder(path: str | Path) -> Encoder:
    """Return an encoder that `score ... --save-encoder FILE` has written.

    Parameters
    ----------
    path : str or Path
        The safetensors file; its JSON file lies beside it.

    Returns
    -------
    Encoder
        `predict(films)` returns an xarray.Dataset with `response` (film, time, unit).

    Raises
    ------
    BadInput
        For a file that is missing, of another version, or not the one that its JSON file describes.

    Examples
    --------
    >>> import dynamic_vision as dv
    >>> dv.load_encoder("mt.safetensors").predict(["walk.mp4"])["response"].mean("time")  # doctest: +SKIP
    """
    return pipeline.load_encoder(path)


def _option(value: Any) -> Any:
    """Return the value of a field of Request from a list or a set."""
    if isinstance(value, set):
        return frozenset(value)
    return tuple(value) if isinstance(value, list) else value


def _datasets(dataset: AnyDataset, benchmark: str | None) -> tuple[tuple[str, ...], str, dict[str, Dataset]]:
    """Return (names, benchmark, declarations of objects) of the dataset of `score`."""
    if isinstance(dataset, Responses | Labels | Choices):
        dataset = _declare(dataset, benchmark)
    if isinstance(dataset, Dataset):
        benchmark = _benchmark_of(dataset, benchmark)
        known = data.BY_BENCHMARK[benchmark].get(dataset.name) is dataset
        return (dataset.name,), benchmark, {} if known else {dataset.name: dataset}
    names = (dataset,) if isinstance(dataset, str) else tuple(dataset) if isinstance(dataset, Sequence) else ()
    if not names or not all(isinstance(item, str) for item in names):
        raise BadInput(f"dataset {dataset!r}; expected a name, several names, a declaration or a record")
    return names, benchmark or _benchmark_of(data.declaration(None, names[0]), None), {}


def _declare(record: "Responses | Labels | Choices", benchmark: str | None) -> Dataset:
    """Return a declaration of a record that was passed without one."""
    facts = {"study": "custom", "citation": "custom", "licence": "custom", "access": "custom", "source": "custom"}
    facts |= {"name": record.stimuli.name, "load": lambda folder: record}
    if isinstance(record, Responses):
        if benchmark not in RECORDINGS:
            raise BadInput(f"benchmark {benchmark!r} for responses; expected one of {', '.join(RECORDINGS)}")
        width_ms = float(record.time_ms[0, 1] - record.time_ms[0, 0])
        return RECORDINGS[benchmark](**facts, **({"tr_ms": width_ms} if benchmark == "fmri" else {}))
    if isinstance(record, Labels):
        classes = record.values.dtype.kind != "f"
        return Task(**facts, decoder="logistic" if classes else "ridge", metric="accuracy" if classes else "pearson")
    raise BadInput("a record of choices; expected a declaration, Behaviour(..., load=...), which names the metric")


def _benchmark_of(declared: Dataset, benchmark: str | None) -> str:
    found = next(name for name, kind in data.TYPES.items() if isinstance(declared, kind))
    if benchmark not in (None, found):
        raise BadInput(f"{declared.name} is of the benchmark {found}; got {benchmark}; leave benchmark out")
    return found


def _name(model: "torch.nn.Module | Model") -> str:
    name = getattr(model, "name", None)
    return name if isinstance(name, str) and name else type(model).__name__


@contextlib.contextmanager
def _as_model(model: AnyModel, request: Request) -> "Iterator[Model]":
    """Return the model ready to run; afterwards a network of the caller is in its mode and on its device again."""
    import torch

    from . import models
    from .models.inspect.choose import with_axes
    from .models.inspect.repeat import check_repeatable
    from .models.loading import model_digest, with_chosen
    from .models.sources.file import as_model

    device_used = resolve_device(request.device)
    if isinstance(model, str):
        loaded = models.load(model, device_used, **request.of_model)
        if models.resolve(model).source == "own":
            check_repeatable(loaded, device_used)
        yield loaded
        return
    if not isinstance(getattr(model, "module", model), torch.nn.Module):
        raise BadInput(f"model {model!r}; expected a name, a torch.nn.Module or a Model")
    network = model if isinstance(model, torch.nn.Module) else model.module
    training = {part: part.training for part in network.modules()}
    device = next((tensor.device for tensor in (*network.parameters(), *network.buffers())), torch.device("cpu"))
    try:
        prepared = as_model(request.model, model, device_used, request.input_size, request.fps)
        prepared = with_chosen(prepared, request.layers, device_used)
        prepared = replace(prepared, digest=prepared.digest or model_digest(prepared, "object"))
        prepared = with_axes(prepared, dict(request.layer_axes), device_used) if request.layer_axes else prepared
        check_repeatable(prepared, device_used)
        yield prepared
    finally:
        network.to(device)
        for part, mode in training.items():
            part.training = mode
