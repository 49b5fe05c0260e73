"""Probe passes over a Model: random frames through its own preprocessing; axes found, or declared ones verified."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...utils import BadInput
from ..spec import Model
from .axes import SAMPLES, InputAxes, detect, mismatches, plain, reader
from .outputs import sizes

HEIGHT, WIDTH = 96, 128
FEW_FRAMES = 4


def noise(n_frames: int, seed: int = 0) -> np.ndarray:
    """Seeded random frames, uint8 (n_frames, 96, 128, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (n_frames, HEIGHT, WIDTH, 3), dtype=np.uint8)


def clips(model: Model, samples: int, n_frames: int, device: str, seed: int = 0) -> Tensor:
    """A batch of `samples` different random inputs of the model: images, or clips of n_frames."""
    if model.kind == "image":
        return model.preprocess(noise(samples, seed)).to(device)
    return torch.stack([model.preprocess(noise(n_frames, seed + i)) for i in range(samples)]).to(device)


def frame_counts(model: Model) -> tuple[int, ...]:
    """One or two numbers of frames within the model's limits, the smaller first; (1,) for images."""
    if model.kind == "image":
        return (1,)
    least = max(model.num_frames[0], math.ceil(model.duration_ms[0] * model.fps / 1000 - 1e-6))
    most = min(model.num_frames[1], model.duration_ms[1] * model.fps / 1000 + 1e-6)
    few = int(max(least, min(FEW_FRAMES, most)))
    return (few, 2 * few) if 2 * few <= most else (few,)


def verify(model: Model, device: str) -> None:
    """Compare the declared axes with one probe pass, or two of different length; BadInput lists what does not fit."""
    counts = frame_counts(model)
    layers = list(model.layers)

    def seen(samples: int, n_frames: int) -> dict[str, tuple[int, ...]]:
        return sizes(model.module, layers, clips(model, samples, n_frames, device), model.process_output)

    fewer = seen(SAMPLES[0], counts[0])
    more = _unless_refused(lambda: seen(1, counts[1])) if len(counts) > 1 else None
    wrong = mismatches(model.layers, fewer, more, SAMPLES[0], counts[0])
    if wrong:
        raise BadInput(f"{model.name}: " + "; ".join(wrong))


def detected(model: Model, device: str, choose: bool = False) -> Model:
    """The model with its layers' axes found, and a process_output where an output cannot be read as it is.

    Raises BadInput for a layer that cannot be read; with `choose`, such layers are left out as long as one remains.
    """
    counts = frame_counts(model)
    first = clips(model, 1, counts[0], device)
    where = _image_axes(first) if model.kind == "image" else _clip_axes(model, first, counts[0], device)

    def probe(samples: int, n_frames: int) -> Tensor:
        return clips(model, samples, n_frames, device)

    layouts, refused = detect(model.module, list(model.layers), probe, where, counts)
    if refused and not (choose and layouts):
        raise BadInput(f"{model.name}: " + "; ".join(refused.values()))
    layers = {layer: layout.axes for layer, layout in layouts.items()}
    if model.kind == "image":
        layers = {layer: axes.replace("T", "C") for layer, axes in layers.items()}
    plainly = plain(layouts) and _all_tensors(model, list(layers), first)
    return replace(model, layers=layers, process_output=None if plainly else reader(model.module, layouts))


def _all_tensors(model: Model, layers: list[str], batch: Tensor) -> bool:
    """Whether each layer gives a tensor, not a tuple that holds one."""
    kept = sizes(model.module, layers, batch, lambda _layer, output: output)
    return all(kept.values())


def _image_axes(batch: Tensor) -> InputAxes:
    return InputAxes(None, 2, 3) if batch.ndim == 4 else InputAxes(None, None, None)


def _clip_axes(model: Model, batch: Tensor, n_frames: int, device: str) -> InputAxes:
    """The axes of a batch of clips: T is where a changed last frame stays in one place; C has size 3; H before W."""
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
    try:
        return attempt()
    except Exception:  # a network may refuse a length with whatever it likes
        return None
