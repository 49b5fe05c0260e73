"""Extraction of binned, projected layer activations, stimulus by stimulus, in memory that does not grow.

Examples
--------
>>> import numpy as np
>>> sink = ArraySink(n_stimuli=1, n_bins=3)
>>> sink.write(0, "fc", 0, np.ones((2, 4), dtype=np.float32))
>>> sink.finish(0, n_valid=2)
>>> sink.values["fc"].shape, bool(sink.done.all()), int(sink.n_valid[0])
((1, 3, 4), True, 2)
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch

from ..models.spec import DEFAULT_CONTEXT_MS, N_COMPONENTS, Model
from ..records import Stimuli
from ..utils import BadInput, first_names, granted_cores
from .assembly import Pack
from .batching import Batch, Batcher, out_of_memory
from .hooks import Contribution, HookedModel, hooked
from .loader import load_packs
from .plans import Plan, Settings, Viewer
from .series import write_series
from .windows import Mode, context_limits

SHORT_FRAMES = 16
IN_FLIGHT = 2  # passes that are queued before the results of the first are read
HALF = ("bf16", "fp16")
Layers = dict[str, tuple[torch.Tensor, list[Contribution]]]  # rows of each layer, and their contributions to bins
COMPLETE = 1 - 1e-5  # summed weight at which a bin is complete


class Sink(Protocol):
    """Destination of activations.

    Attributes
    ----------
    done : array of shape (n_stimuli,), bool
        True for stimuli that are not computed.
    """

    done: np.ndarray

    def write(self, stimulus: int, layer: str, first_bin: int, values: np.ndarray) -> None:
        """Store consecutive bins of one layer.

        Parameters
        ----------
        stimulus : int
            Index of the stimulus.
        layer : str
            Module path of the layer.
        first_bin : int
            Index of the first of the bins.
        values : array of shape (n_bins, n_outputs), float32
            Activations in the bins first_bin, first_bin + 1, ...
        """

    def finish(self, stimulus: int, n_valid: int) -> None:
        """Mark a stimulus as done, after all its layers have been written.

        Parameters
        ----------
        stimulus : int
            Index of the stimulus.
        n_valid : int
            Number of leading bins that the stimulus covers.
        """


class ArraySink:
    """Sink in memory.

    Parameters
    ----------
    n_stimuli, n_bins : int
        Size of the arrays.

    Attributes
    ----------
    values : dict of {str: array of shape (n_stimuli, n_bins, n_outputs)}, float32
        Activations of each layer, NaN where a bin is not covered.
    n_valid : array of shape (n_stimuli,), int
        Number of leading bins that each stimulus covers.
    done : array of shape (n_stimuli,), bool
        True for stimuli whose layers are complete.
    """

    def __init__(self, n_stimuli: int, n_bins: int):
        self.done = np.zeros(n_stimuli, dtype=bool)
        self.n_valid = np.zeros(n_stimuli, dtype=int)
        self.values: dict[str, np.ndarray] = {}
        self._n_bins = n_bins

    def write(self, stimulus: int, layer: str, first_bin: int, values: np.ndarray) -> None:
        """Store consecutive bins of one layer; see `Sink.write`."""
        if layer not in self.values:
            shape = (len(self.done), self._n_bins, values.shape[1])
            self.values[layer] = np.full(shape, np.nan, dtype=np.float32)
        self.values[layer][stimulus, first_bin : first_bin + len(values)] = values

    def finish(self, stimulus: int, n_valid: int) -> None:
        """Mark a stimulus as done; see `Sink.finish`."""
        self.done[stimulus], self.n_valid[stimulus] = True, n_valid


def feature_sizes(
    model: Model, device="cpu", *, context_ms: float = DEFAULT_CONTEXT_MS, frame_size: tuple[int, int] = (224, 224)
) -> dict[str, int]:
    """Return the number of features of each layer, without projection, from one pass over a short black video.

    Parameters
    ----------
    model : Model
        The model, in eval mode; it is moved to `device`.
    device : str or torch.device, default "cpu"
        Device of the pass.
    context_ms : float, default 4000
        Window length of the extraction, ms. The pass is as long as a window if a layer has tokens (axis K) without a
        time axis, whose number may depend on the length; else it is short.
    frame_size : (int, int), default (224, 224)
        Height and width of the stimuli, px. They matter only for a model that does not resize its input.

    Returns
    -------
    dict of {str: int}
        Flattened features per time step of each layer.
    """
    if model.series is not None:
        return {layer: int(model.sizes[layer]) for layer in model.layers}
    n_frames = 1
    if model.kind == "video":
        minimum, context = (round(ms * model.fps / 1000) for ms in context_limits(model, min(context_ms, 60_000)))
        without_time = all("T" in axes or "K" not in axes for axes in model.layers.values())
        n_frames = max(1, minimum, min(context, SHORT_FRAMES) if without_time else context)
    tensor = model.preprocess(np.zeros((n_frames, *frame_size, 3), dtype=np.uint8))
    tensor, sizes = tensor[None] if model.kind == "video" else tensor, {}

    def record(layer: str, output: torch.Tensor) -> None:
        axis = model.layers[layer].find("T") + 1
        sizes[layer] = output[0].numel() // (output.shape[axis] if axis else 1)

    model.module.to(device)
    with torch.inference_mode(), hooked(model, record):
        model.module(tensor.to(device))
    return {layer: sizes[layer] for layer in model.layers}


def make_settings(bins_ms: np.ndarray, mode: Mode, context_ms: float, partial: bool) -> Settings:
    """Return these arguments of `extract` as Settings; raise BadInput for a value that is not allowed."""
    bins_ms = np.asarray(bins_ms, dtype=np.float64)
    if bins_ms.ndim != 2 or bins_ms.shape[1] != 2 or len(bins_ms) == 0:
        raise BadInput(f"bins_ms has shape {bins_ms.shape}; expected (n_bins, 2) with at least one bin")
    decreasing = len(bins_ms) > 1 and (np.diff(bins_ms[:, 0]).min() < 0 or np.any(bins_ms[1:, 1] < bins_ms[:-1, 1]))
    if decreasing or bins_ms[0, 0] < 0 or np.any(bins_ms[:, 1] <= bins_ms[:, 0]):
        raise BadInput("bins_ms: expected half-open bins in increasing order, in ms, none before 0 and none empty")
    if mode not in ("block", "causal"):
        raise BadInput(f"inference mode '{mode}'; expected block or causal")
    if not context_ms > 0:
        raise BadInput(f"context of {context_ms} ms; expected a positive length")
    return Settings(bins_ms, mode, float(context_ms), partial)


@dataclass(frozen=True)
class Part:
    """One of several extractions from the same stimuli.

    Parameters
    ----------
    model : Model
        The model, in eval mode; it is moved to the device. Parts with one model share its preprocessing.
    sink : Sink
        Destination of the activations.
    context_ms : float, default 4000
        Window length of a video model, ms, clipped to the limits of the model.
    n_components : int or None, default 5000
        Dimensions of the sparse random projection; layers with fewer features are not projected. None: no projection.
        Parts with one model have the same number.
    """

    model: Model
    sink: Sink
    context_ms: float = DEFAULT_CONTEXT_MS
    n_components: int | None = N_COMPONENTS


def extract(
    model: Model,
    stimuli: Stimuli,
    bins_ms: np.ndarray,
    sink: Sink,
    *,
    context_ms: float = DEFAULT_CONTEXT_MS,
    n_components: int | None = N_COMPONENTS,
    **options,
) -> None:
    """Write the activations of every stimulus that is not done into `sink`, bin by bin as bins are completed.

    Parameters
    ----------
    model, sink, context_ms, n_components
        See `Part`.
    stimuli, bins_ms, **options
        See `extract_parts`.

    Raises
    ------
    BadInput
        As `extract_parts`.
    """
    extract_parts([Part(model, sink, context_ms, n_components)], stimuli, bins_ms, **options)


def extract_parts(
    parts: Sequence[Part],
    stimuli: Stimuli,
    bins_ms: np.ndarray,
    *,
    mode: Mode = "block",
    device="cpu",
    batch_size: int | None = None,
    precision: str = "fp32",
    partial: bool = False,
    progress: Callable[[float, float, str], None] | None = None,
    stop: Callable[[], bool] | None = None,
    n_workers: int | None = None,
    processes: bool | None = None,
    gpu_video: bool | None = None,
    notice: Callable[[str], None] | None = None,
) -> None:
    """Write the activations of several models, or in several contexts, into their sinks; a film is decoded once.

    Every stimulus that is not done in a sink is written there, bin by bin as bins are completed. A layer's time steps
    are averaged into the time bins first and projected afterwards, on the device of the model. Both maps are linear, so
    that the result is the projection of the full activations.

    Parameters
    ----------
    parts : sequence of Part
        Models with their sinks.
    stimuli : Stimuli
        Videos and images; an image is a video of equal frames.
    bins_ms : array of shape (n_bins, 2)
        Half-open time bins from the start of a stimulus, ms; starts and ends must not decrease. An end of inf is the
        end of the stimulus.
    mode : "block" or "causal", default "block"
        Windows of a video model: consecutive ("block"), or one that ends with each frame ("causal").
    device : str or torch.device, default "cpu"
        Device of the forward passes and of the projection.
    batch_size : int, optional
        Windows (image models: frames) per forward pass; by default chosen by the free memory. It is halved when
        memory is exhausted, and the batch is repeated.
    precision : "fp32", "tf32", "bf16" or "fp16", default "fp32"
        Floating-point arithmetic of the forward passes.
    partial : bool, default False
        True: a bin that a stimulus covers in part is the mean over that part. False: such a bin is invalid.
    progress : callable, optional
        Called between batches with (seconds done, seconds in total, stimulus id).
    stop : callable, optional
        Called between batches; the extraction ends when it returns True. Stimuli that are not complete stay undone.
    n_workers : int, optional
        Processes or threads that decode ahead; by default the granted cores, but for two where the device is not the
        CPU, at most 16.
    processes : bool, optional
        True: decode in processes, False: in threads; by default in processes where the device is not the CPU, whose
        cores the network takes. Where processes cannot be forked (outside Linux) they are threads.
    gpu_video : bool, optional
        False: decode no film on the device; True: decode those on it that torchcodec decodes to the same frames, also
        on the CPU; by default on a GPU, if the extra gpu-video is installed. The activations are the same.
    notice : callable, optional
        Called with one line about layers that are not finite in bf16 or fp16, whose batches are computed in fp32, and
        about films that the extra gpu-video does not decode.

    Raises
    ------
    BadInput
        For an argument that is not allowed, a model in training mode, an output that does not have the declared axes,
        and a file that cannot be read, with the stimulus and the file.

    References
    ----------
    Li, Hastie and Church (2006), Very sparse random projections, KDD.
    """
    # a state that overflows cannot be mended by one batch in fp32
    carried = precision not in HALF
    settings = [replace(make_settings(bins_ms, mode, part.context_ms, partial), carried=carried) for part in parts]
    of_windows = []
    for part, one in zip(parts, settings, strict=True):
        if part.model.module.training:
            raise BadInput(f"model {part.model.name} is in training mode; expected eval mode; call module.eval()")
        if part.model.series is None:
            of_windows.append((part, Viewer(part.model, one)))
        else:
            options = {"n_components": part.n_components, "progress": progress, "stop": stop}
            write_series(part.model, stimuli, one, part.sink, **options)
    if not of_windows:
        return
    sinks, viewers = [part.sink for part, _ in of_windows], [viewer for _, viewer in of_windows]
    undone = ~np.stack([sink.done for sink in sinks], axis=1)
    wanted = {index: np.flatnonzero(undone[index]).tolist() for index in np.flatnonzero(undone.any(axis=1)).tolist()}
    collector = _Collector(sinks, stimuli, progress)
    networks: list[_Network] = []
    for part, viewer in of_windows:
        if all(one.model is not viewer.model for one in networks):
            hooked_model = HookedModel(viewer.model, mode, part.n_components, device, precision)
            networks.append(_Network(hooked_model, batch_size, collector, notice))
    # a process and the driver of a GPU need cores of their own
    cores = granted_cores() if torch.device(device).type == "cpu" else max(1, granted_cores() - 2)
    n_workers = n_workers or min(cores, 16)
    items = load_packs(viewers, stimuli, wanted, n_workers, device, processes, gpu_video, notice)
    with closing(items):
        for item in items:
            if isinstance(item, Plan):
                collector.open(item)
                continue
            networks[item.plan.network].add(item)
            if stop is not None and stop():
                break
        else:
            for network in networks:
                network.drain(stop)
        for network in networks:
            network.finish()


@dataclass(frozen=True)
class _Results:
    """Results of one forward pass; on a GPU they may be read after the event `copied`."""

    batch: Batch
    layers: Layers
    copied: "torch.cuda.Event | None"


class _Network:
    """Passes of one model: its batches, and the results that a GPU is still computing, in their order.

    Further passes are queued before the results of the first are read, checked and collected. `notice`: called with one
    line for every layer that the precision cannot represent.
    """

    def __init__(
        self, hooked_model: HookedModel, batch_size: int | None, collector: "_Collector", notice: Callable | None
    ):
        self.model = hooked_model.model
        self._hooked, self._collector, self._notice = hooked_model, collector, notice
        self._batcher = Batcher(batch_size, hooked_model.device)
        self._running: deque[_Results] = deque()
        self._overflowing: set[str] = set()
        self.model.module.to(hooked_model.device)

    def add(self, pack: Pack) -> None:
        """Add input, and run the batches that it completes."""
        for batch in self._batcher.add(pack):
            self._run(batch)

    def drain(self, stop: Callable[[], bool] | None) -> None:
        """Run the batches of what is left of the input, until `stop` returns True."""
        for batch in self._batcher.drain():
            if stop is not None and stop():
                break
            self._run(batch)

    def finish(self) -> None:
        """Collect all results."""
        while self._running:
            self._collect(self._running.popleft())

    def _run(self, batch: Batch) -> None:
        """Run a batch, in smaller pieces after memory is exhausted; later batches stay as small."""
        done = 0
        while done < len(batch.rows):
            piece = batch[done : done + self._batcher.size(batch.tensor)]
            layers = self._layers_or_none(piece)
            if layers is None:
                self._batcher.shrink(piece)
                continue
            device, copied = self._hooked.device, None
            if device.type == "cuda":
                copied = torch.cuda.current_stream(device).record_event()
            done += len(piece.rows)
            self._running.append(_Results(piece, layers, copied))
            while len(self._running) > IN_FLIGHT:
                self._collect(self._running.popleft())

    def _layers_or_none(self, batch: Batch, precision: str | None = None) -> Layers | None:
        """Return the results of all layers, or None if memory is exhausted."""
        try:
            return self._hooked.run(batch.tensor, batch.rows, precision)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            return None

    def _collect(self, results: _Results) -> None:
        if results.copied is not None:
            results.copied.synchronize()
        if self._hooked.precision in HALF:
            results = self._finite(results)
        self._collector.add(results)

    def _finite(self, results: _Results) -> _Results:
        """Return the results with those of layers that are not finite in half precision computed in fp32."""
        bad = [layer for layer, (rows, _) in results.layers.items() if not torch.isfinite(rows).all()]
        if not bad:
            return results
        new = [layer for layer in bad if layer not in self._overflowing]
        self._overflowing.update(new)
        if new and self._notice is not None:
            precision = self._hooked.precision
            self._notice(f"{self.model.name}: {first_names(new)} not finite in {precision}; computed in fp32 instead")
        exact = self._exact(results.batch)
        return replace(results, layers={**results.layers, **{layer: exact[layer] for layer in bad}})

    def _exact(self, batch: Batch) -> Layers:
        """Return the results of all layers in fp32, from halves of the batch after memory is exhausted."""
        layers = self._layers_or_none(batch, "fp32")
        if layers is None:
            self._batcher.shrink(batch)
            half = (len(batch.rows) + 1) // 2
            return _joined(self._exact(batch[:half]), self._exact(batch[half:]))
        if self._hooked.device.type == "cuda":
            torch.cuda.synchronize(self._hooked.device)
        return layers


def _joined(first: Layers, second: Layers) -> Layers:
    """Return the results of two parts of a batch as those of one."""
    found = {**first, **second}
    for layer in first.keys() & second.keys():
        (rows, contributions), (more_rows, more) = first[layer], second[layer]
        more = [replace(one, rows=slice(one.rows.start + len(rows), one.rows.stop + len(rows))) for one in more]
        found[layer] = torch.cat([rows, more_rows]), contributions + more
    return found


@dataclass
class _Progress:
    """Progress of one stimulus: remaining windows, and per layer the incomplete bins {bin: (weight, sum)}."""

    plan: Plan
    windows_left: int
    incomplete: dict[str, dict[int, tuple[float, np.ndarray]]] = field(default_factory=dict)


class _Collector:
    """Sum of the contributions to each bin: complete bins are written to a sink, complete stimuli finished.

    sinks: of each viewer.
    """

    def __init__(self, sinks: Sequence[Sink], stimuli: Stimuli, progress):
        self._sinks, self._stimuli, self._report = sinks, stimuli, progress
        self._started: set[tuple[int, int]] = set()
        self._open: dict[tuple[int, int], _Progress] = {}
        self._seconds = np.asarray(stimuli.duration_ms, dtype=float) / 1000
        self._total_s = len(sinks) * float(self._seconds.sum())
        self._done_s = sum(float(self._seconds[sink.done].sum()) for sink in sinks)

    def _finish(self, plan: Plan) -> None:
        """Finish a stimulus of one viewer."""
        self._sinks[plan.viewer].finish(plan.stimulus, plan.time_map.n_valid)

    def open(self, plan: Plan) -> None:
        """Start a stimulus with its first section, or finish it if none of its windows is needed."""
        if plan.id in self._started:
            return
        self._started.add(plan.id)
        if len(plan.needed):
            self._open[plan.id] = _Progress(plan, len(plan.needed))
        else:
            self._done_s += self._seconds[plan.stimulus]
            self._finish(plan)

    def add(self, results: _Results) -> None:
        """Add the results of a forward pass and report the progress."""
        for layer, (rows, contributions) in results.layers.items():
            rows = rows.numpy()
            for part in contributions:
                values = rows[part.rows]
                self._add(layer, part, values if part.mix is None else part.mix @ values)
        for plan, first, last in results.batch.rows:
            self._advance(plan, last - first + 1)
        if self._report is not None:
            self._report(min(self._done_s, self._total_s), self._total_s, self._stimuli.ids[plan.stimulus])

    def _add(self, layer: str, part: Contribution, values: np.ndarray) -> None:
        """Add a contribution to the bins of a layer and write the bins that it completes."""
        plan = part.plan
        incomplete = self._open[plan.id].incomplete.setdefault(layer, {})
        complete = {}
        for bin_, weight, value in zip(part.bins.tolist(), part.weights.tolist(), values, strict=True):
            if weight < COMPLETE:
                before, total = incomplete.pop(bin_, (0.0, 0.0))
                weight, value = weight + before, total + value.astype(np.float64)
            if weight < COMPLETE:
                incomplete[bin_] = (weight, value)
            else:
                complete[bin_] = value
        for first, run in _runs(complete):
            self._sinks[plan.viewer].write(plan.stimulus, layer, first, np.asarray(run, dtype=np.float32))

    def _advance(self, plan: Plan, n_windows: int) -> None:
        """Count finished windows of a stimulus; finish it with the last one."""
        state = self._open[plan.id]
        state.windows_left -= n_windows
        self._done_s += self._seconds[plan.stimulus] * n_windows / len(plan.needed)
        if state.windows_left == 0:
            left = sorted({bin_ for bins in state.incomplete.values() for bin_ in bins})
            assert not left, f"{plan.label}: bins {first_names(left)} were never completed"
            self._finish(plan)
            del self._open[plan.id]


def _runs(rows: dict[int, np.ndarray]) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yield the stretches of consecutive bins: (first bin, their rows)."""
    first, run = None, []
    for bin_ in sorted(rows):
        if run and bin_ != first + len(run):
            yield first, run
            run = []
        first = first if run else bin_
        run.append(rows[bin_])
    if run:
        yield first, run
