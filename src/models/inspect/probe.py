"""Probe passes of a model on random frames, to detect the axes of its layers or to verify the declared ones."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...utils import BadInput
from ..spec import Model
from .axes import SAMPLES, InputAxes, batch_first, detect, mismatches, reader
from .choose import expanded
from .outputs import sizes
from .steps import Split

HEIGHT, WIDTH = 96, 128
FEW_FRAMES = 4


def noise(n_frames: int, seed: int = 0) -> np.ndarray:
    """Return seeded random frames, uint8 (n_frames, 96, 128, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (n_frames, HEIGHT, WIDTH, 3), dtype=np.uint8)


def clips(model: Model, samples: int, n_frames: int, device: str, seed: int = 0) -> Tensor:
    """Return a batch of `samples` different random inputs of the model: images, or clips of `n_frames`."""
    if model.kind == "image":
        return model.preprocess(noise(samples, seed)).to(device)
    return torch.stack([model.preprocess(noise(n_frames, seed + i)) for i in range(samples)]).to(device)


def frame_counts(model: Model) -> tuple[int, ...]:
    """Return one or two numbers of frames within the model's limits, the smaller first; (1,) for images."""
    if model.kind == "image":
        return (1,)
    least = max(model.num_frames[0], math.ceil(model.duration_ms[0] * model.fps / 1000 - 1e-6))
    most = min(model.num_frames[1], model.duration_ms[1] * model.fps / 1000 + 1e-6)
    few = int(max(least, min(FEW_FRAMES, most)))
    return (few, 2 * few) if 2 * few <= most else (few,)


def verify(model: Model, device: str) -> None:
    """Compare the declared axes with one probe pass, or two of different length; raise BadInput for differences."""
    counts = frame_counts(model)
    layers = list(model.layers)

    def probed(samples: int, n_frames: int) -> dict[str, tuple[int, ...]]:
        return sizes(model.module, layers, clips(model, samples, n_frames, device), model.process_output)

    fewer = probed(SAMPLES[0], counts[0])
    more = _unless_refused(lambda: probed(1, counts[1])) if len(counts) > 1 else None
    faults = mismatches(model.layers, fewer, more, SAMPLES[0], counts[0])
    if faults:
        raise BadInput(f"{model.name}: " + "; ".join(faults))


def detected(
    model: Model,
    device: str,
    choose: bool = False,
    hints: Callable[[int, int], Sequence[Split]] = lambda _size, _frames: (),
) -> Model:
    """Return the model with the detected axes of its layers, and a process_output if an output must be arranged.

    Raises BadInput for a layer that cannot be read. With `choose` the layers are modules, of which every call and every
    key of an output is a layer (see `choose.expanded`); those that cannot be read are left out, unless all are. hints:
    as in `axes.detect`. Layers of a video model without time are noted.
    """
    counts = frame_counts(model)
    # two samples: a network that normalises over the batch refuses one
    first = clips(model, SAMPLES[0], counts[0], device)
    where = _image_axes(first) if model.kind == "image" else clip_axes(model, first, counts[0], device)

    def probe(samples: int, n_frames: int) -> Tensor:
        return clips(model, samples, n_frames, device)

    names, left = list(model.layers), {}
    if choose:
        names, left = expanded(model.module, names, first, probe(SAMPLES[0], counts[1]) if len(counts) > 1 else None)
    found, refused = detect(model.module, names, probe, where, counts, hints)
    left |= refused
    if left and not (choose and found):
        raise BadInput(f"{model.name}: " + "; ".join(f"layer {layer}: {reason}" for layer, reason in left.items()))
    layers = {layer: output.axes for layer, output in found.items()}
    if model.kind == "image":
        layers = {layer: axes.replace("T", "C") for layer, axes in layers.items()}
    as_declared = batch_first(found) and _all_tensors(model, list(layers), first)
    process = None if as_declared else reader(model.module, found)
    hidden = timeless(layers) if model.kind == "video" and counts[-1] > 1 else ()
    return replace(model, layers=layers, process_output=process, left_out=left, without_time=hidden)


def timeless(layers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the layers of a video model that may contain time that was not found: tokens, or all if none has time."""
    if not any("T" in axes for axes in layers.values()):
        return tuple(layers)
    return tuple(layer for layer, axes in layers.items() if "K" in axes and "T" not in axes)


def _all_tensors(model: Model, layers: list[str], batch: Tensor) -> bool:
    """Return True if the output of each layer is a tensor and not a tuple with one."""
    return all(sizes(model.module, layers, batch, lambda _layer, output: output).values())


def _image_axes(batch: Tensor) -> InputAxes:
    """Return the axes of a batch of images."""
    return InputAxes(None, 2, 3) if batch.ndim == 4 else InputAxes(None, None, None)


def clip_axes(model: Model, batch: Tensor, n_frames: int, device: str) -> InputAxes:
    """Return the axes of a batch of clips.

    T is the axis along which a change of the last frame is at one position, C the one of size 3; H is before W.
    """
    frames = noise(n_frames)
    frames[-1] = 255 - frames[-1]
    change = (model.preprocess(frames).to(device) - batch[0]).abs().double()
    axes = range(change.ndim)
    spread = [change.sum(dim=[j for j in axes if j != i]) for i in axes]
    time = max(axes, key=lambda i: float(spread[i].max() / spread[i].sum()) if change.shape[i] > 1 else -1.0)
    rest = [i for i in axes if i != time]
    colour = [i for i in rest if change.shape[i] == 3]
    space = [i for i in rest if i not in colour[:1]]
    known = change.ndim == 4 and len(colour) == 1
    return InputAxes(time + 1, space[0] + 1 if known else None, space[1] + 1 if known else None)


def _unless_refused(attempt: Callable) -> dict[str, tuple[int, ...]] | None:
    """Return the result of a probe pass, or None if the network refuses the input."""
    try:
        return attempt()
    except Exception:  # a network may refuse a length with any exception
        return None
