"""Stimuli through a model into binned, projected activations, stimulus by stimulus, in memory that does not grow."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from ..models.spec import Model
from ..records import Stimuli
from ..utils import BadInput, granted_cores
from .batching import Batch, Batcher, out_of_memory
from .hooks import Share, Taps, listening
from .loader import Plan, Request, feed
from .windows import Mode, context_limits

FRAMES_PER_PACK = 16
SHORT_FRAMES = 16
WHOLE = 1 - 1e-5  # the summed weight at which a bin is complete


class Sink(Protocol):
    """Where activations go. done: (n_stimuli,) bool, which stimuli need not be computed."""

    done: np.ndarray

    def write(self, stimulus: int, layer: str, first_bin: int, values: np.ndarray) -> None:
        """Take bins first_bin, first_bin + 1, ... of a stimulus: values (n_bins, n_outputs), float32."""

    def finish(self, stimulus: int, n_valid: int) -> None:
        """All layers of a stimulus have been written; its leading `n_valid` bins are covered."""


class ArraySink:
    """A sink in memory: values {layer: (n_stimuli, n_bins, n_outputs)}, NaN where not covered; n_valid (n_stimuli,)."""

    def __init__(self, n_stimuli: int, n_bins: int):
        self.done = np.zeros(n_stimuli, dtype=bool)
        self.n_valid = np.zeros(n_stimuli, dtype=int)
        self.values: dict[str, np.ndarray] = {}
        self._n_bins = n_bins

    def write(self, stimulus: int, layer: str, first_bin: int, values: np.ndarray) -> None:
        if layer not in self.values:
            shape = (len(self.done), self._n_bins, values.shape[1])
            self.values[layer] = np.full(shape, np.nan, dtype=np.float32)
        self.values[layer][stimulus, first_bin : first_bin + len(values)] = values

    def finish(self, stimulus: int, n_valid: int) -> None:
        self.done[stimulus], self.n_valid[stimulus] = True, n_valid


def feature_sizes(
    model: Model, device="cpu", *, context_ms: float = 4000.0, frame_size: tuple[int, int] = (224, 224)
) -> dict[str, int]:
    """Flattened features per time step of each layer, without projection, from one pass over a short black film.

    context_ms: length of the windows to come: where tokens may hold time, the pass is as long as these; frame_size:
    (height, width) of the films, which matters only to a model that does not resize them.
    """
    n_frames = 1
    if model.kind == "video":
        least, context = (round(ms * model.fps / 1000) for ms in context_limits(model, min(context_ms, 60_000)))
        timeless = all("T" in axes or "K" not in axes for axes in model.layers.values())
        n_frames = max(1, least, min(context, SHORT_FRAMES) if timeless else context)
    tensor = model.preprocess(np.zeros((n_frames, *frame_size, 3), dtype=np.uint8))
    tensor, sizes = tensor[None] if model.kind == "video" else tensor, {}

    def note(layer: str, output: torch.Tensor) -> None:
        axis = model.layers[layer].find("T") + 1
        sizes[layer] = output[0].numel() // (output.shape[axis] if axis else 1)

    model.module.to(device)
    with torch.inference_mode(), listening(model, note):
        model.module(tensor.to(device))
    return {layer: sizes[layer] for layer in model.layers}


def make_request(bins_ms: np.ndarray, mode: Mode, context_ms: float, partial: bool) -> Request:
    """The checked form of these arguments of `extract`."""
    bins_ms = np.asarray(bins_ms, dtype=np.float64)
    if bins_ms.ndim != 2 or bins_ms.shape[1] != 2 or len(bins_ms) == 0:
        raise BadInput(f"bins_ms has shape {bins_ms.shape}; expected (n_bins, 2) with at least one bin")
    decreasing = len(bins_ms) > 1 and (np.diff(bins_ms[:, 0]).min() < 0 or np.any(bins_ms[1:, 1] < bins_ms[:-1, 1]))
    if decreasing or bins_ms[0, 0] < 0 or np.any(bins_ms[:, 1] <= bins_ms[:, 0]):
        raise BadInput("bins_ms: expected half-open bins in their order, in ms, none before 0 and none empty")
    if mode not in ("block", "causal"):
        raise BadInput(f"inference mode '{mode}'; expected block or causal")
    if not context_ms > 0:
        raise BadInput(f"context of {context_ms} ms; expected a positive length")
    return Request(bins_ms, mode, float(context_ms), partial)


def extract(
    model: Model,
    stimuli: Stimuli,
    bins_ms: np.ndarray,
    sink: Sink,
    *,
    mode: Mode = "block",
    context_ms: float = 4000.0,
    device="cpu",
    batch_size: int | None = None,
    precision: str = "fp32",
    n_components: int | None = 5000,
    partial: bool = False,
    progress: Callable[[float, float, str], None] | None = None,
    stop: Callable[[], bool] | None = None,
    n_workers: int | None = None,
) -> None:
    """Compute every stimulus that `sink` has not, and write its bins there as they are completed.

    bins_ms: (n_bins, 2), starts and ends not decreasing; an end of inf is the end of the stimulus. partial: a bin that
    the stimulus covers in part counts with that part; otherwise it is invalid, like all behind it. batch_size: windows
    (static models: frames) per pass, None = by memory; halved where memory runs out, which loses nothing.
    progress(seconds done, seconds in all, stimulus id) and stop() are called between batches; after stop() is true
    the stimuli under way stay undone. n_workers: threads that read and preprocess ahead, None = the granted cores.
    Raises BadInput for a file that cannot be read, naming the stimulus and the file.
    """
    request = make_request(bins_ms, mode, context_ms, partial)
    if model.module.training:
        raise BadInput(f"model {model.name} is in training mode; expected eval mode; call module.eval()")
    taps = Taps(model, mode, n_components, device, precision)
    model.module.to(device)
    collector = _Collector(sink, stimuli, progress)
    todo = np.flatnonzero(~np.asarray(sink.done)).tolist()
    batcher = Batcher(batch_size, torch.device(device))
    fed = feed(model, stimuli, todo, request, FRAMES_PER_PACK, n_workers or min(granted_cores(), 16))
    with closing(fed):
        under_way = None
        for batch in _batches(fed, batcher, collector):
            for launched in _launch(taps, batch, batcher):
                if under_way is not None:
                    collector.take(under_way)
                under_way = launched
            if stop is not None and stop():
                break
        if under_way is not None:
            collector.take(under_way)


def _batches(fed, batcher: Batcher, collector: "_Collector") -> Iterator[Batch]:
    for item in fed:
        if isinstance(item, Plan):
            collector.open(item)
        else:
            yield from batcher.add(item)
    yield from batcher.drain()


@dataclass(frozen=True)
class _Launched:
    batch: Batch
    results: dict[str, tuple[torch.Tensor, list[Share]]]
    copied: "torch.cuda.Event | None"


def _launch(taps: Taps, batch: Batch, batcher: Batcher) -> Iterator[_Launched]:
    """Run a batch, in smaller pieces once memory has run out; the batches to come are then as small."""
    done = 0
    while done < len(batch.rows):
        piece = batch[done : done + batcher.size]
        results = _results_or_none(taps, piece)
        if results is None:
            batcher.shrink(piece)
            continue
        copied = None
        if taps.device.type == "cuda":
            copied = torch.cuda.Event()
            copied.record()
        done += len(piece.rows)
        yield _Launched(piece, results, copied)


def _results_or_none(taps: Taps, batch: Batch):
    """What the taps give, or None where memory runs out."""
    try:
        return taps.run(batch.tensor, batch.rows)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return None


@dataclass
class _Progress:
    """How far one stimulus is: windows still to come, and per layer the bins {bin: (weight, sum)} begun."""

    plan: Plan
    windows_left: int
    begun: dict[str, dict[int, tuple[float, np.ndarray]]] = field(default_factory=dict)


class _Collector:
    """Adds up bins that several windows share, hands whole ones to the sink, and finishes stimuli."""

    def __init__(self, sink: Sink, stimuli: Stimuli, progress):
        self._sink, self._stimuli, self._report = sink, stimuli, progress
        self._open: dict[int, _Progress] = {}
        seconds = np.asarray(stimuli.duration_ms, dtype=float) / 1000
        self._seconds, self._total_s = seconds, float(seconds.sum())
        self._done_s = float(seconds[np.asarray(sink.done)].sum())

    def open(self, plan: Plan) -> None:
        if len(plan.needed):
            self._open[plan.stimulus] = _Progress(plan, len(plan.needed))
        else:
            self._done_s += self._seconds[plan.stimulus]
            self._sink.finish(plan.stimulus, plan.time_map.n_valid)

    def take(self, launched: _Launched) -> None:
        """Add a batch's results."""
        if launched.copied is not None:
            launched.copied.synchronize()
        for layer, (rows, shares) in launched.results.items():
            rows = rows.numpy()
            for share in shares:
                values = rows[share.rows]
                self._add(layer, share, values if share.mix is None else share.mix @ values)
        for plan, first, last in launched.batch.rows:
            self._advance(plan, last - first + 1)
        if self._report is not None:
            self._report(min(self._done_s, self._total_s), self._total_s, self._stimuli.ids[plan.stimulus])

    def _add(self, layer: str, share: Share, values: np.ndarray) -> None:
        begun = self._open[share.plan.stimulus].begun.setdefault(layer, {})
        whole = {}
        for bin_, weight, value in zip(share.bins.tolist(), share.weights.tolist(), values, strict=True):
            if weight < WHOLE:
                before, total = begun.pop(bin_, (0.0, 0.0))
                weight, value = weight + before, total + value.astype(np.float64)
            if weight < WHOLE:
                begun[bin_] = (weight, value)
            else:
                whole[bin_] = value
        for first, run in _runs(whole):
            self._sink.write(share.plan.stimulus, layer, first, np.asarray(run, dtype=np.float32))

    def _advance(self, plan: Plan, n_windows: int) -> None:
        state = self._open[plan.stimulus]
        state.windows_left -= n_windows
        self._done_s += self._seconds[plan.stimulus] * n_windows / len(plan.needed)
        if state.windows_left == 0:
            left = sorted({bin_ for begun in state.begun.values() for bin_ in begun})
            assert not left, f"{plan.label}: bins {left[:5]} were never completed"
            self._sink.finish(plan.stimulus, plan.time_map.n_valid)
            del self._open[plan.stimulus]


def _runs(rows: dict[int, np.ndarray]) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Stretches of consecutive bins: (first bin, their rows)."""
    first, run = None, []
    for bin_ in sorted(rows):
        if run and bin_ != first + len(run):
            yield first, run
            run = []
        first = first if run else bin_
        run.append(rows[bin_])
    if run:
        yield first, run
