"""What a Model promises to the extractor, checked one by one; each broken promise is one line."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..spec import Model
from .outputs import run
from .probe import clips, frame_counts

LETTERS = set("TCHWK")
SAME = 1e-4


def broken_promises_of_form(model: Model) -> list[str]:
    """Promises that can be judged without running the network."""
    broken = []
    if not isinstance(model.module, torch.nn.Module):
        return [f"module is {type(model.module).__name__}, expected a torch.nn.Module"]
    if model.kind not in ("image", "video"):
        broken.append(f"kind is '{model.kind}', expected image or video")
    if not callable(model.preprocess):
        broken.append("preprocess cannot be called")
    if not (isinstance(model.fps, int | float) and 0 < model.fps < math.inf):
        broken.append(f"fps is {model.fps}, expected frames per second above 0")
    for name, (least, most) in (("num_frames", model.num_frames), ("duration_ms", model.duration_ms)):
        if not 0 <= least <= most:
            broken.append(f"{name} is ({least}, {most}), expected least <= most")
    return broken + list(_layer_faults(model))


def _layer_faults(model: Model) -> Iterator[str]:
    if not model.layers:
        yield "layers is empty, expected {module path: axes}"
    names = dict(model.module.named_modules(remove_duplicate=False))
    for layer, axes in model.layers.items():
        if layer not in names:
            yield f"layer {layer} is no module of the network"
        if set(axes) - LETTERS or axes.count("T") > 1:
            yield f"layer {layer} has axes '{axes}', expected letters of TCHWK, T at most once"
        elif model.kind == "image" and "T" in axes:
            yield f"layer {layer} of an image model has a time axis ('{axes}')"


def broken_promises(model: Model, device: str = "cpu") -> list[str]:
    """Every promise that the model breaks, in words; empty if it keeps them all.

    It is run on seeded noise: twice on a batch of two, and on each of the two alone.
    """
    broken = broken_promises_of_form(model)
    if broken:
        return broken
    training = [name or "the network" for name, part in model.module.named_modules() if part.training]
    if training:
        broken.append(f"not in eval mode: {', '.join(training[:3])}")
    if len(model.digest) != 64:
        broken.append(f"digest is '{model.digest}', expected a SHA-256 in hex")
    n_frames = frame_counts(model)[-1]
    batch = _attempt("preprocess", lambda: clips(model, 2, n_frames, device), broken)
    if batch is None or not _prepared(model, batch, n_frames, broken):
        return broken
    together = _attempt("the network", lambda: _values(model, batch), broken)
    if together is None:
        return broken
    readable = {layer for layer, value in together.items() if _readable(model, layer, value, broken)}
    again = _values(model, batch)
    alone = [_values(model, batch[i : i + 1]) for i in range(2)]
    for layer in [layer for layer in model.layers if layer in readable]:
        broken += _numbers(layer, together[layer], again[layer], torch.cat([one[layer] for one in alone]))
    return broken


def _attempt(what: str, action: Callable[[], Any], broken: list[str]) -> Any:
    try:
        return action()
    except Exception as error:  # the user's code may fail with whatever it likes; its text is the finding
        broken.append(f"{what} fails on noise: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
        return None


def _prepared(model: Model, batch: Any, n_frames: int, broken: list[str]) -> bool:
    if not isinstance(batch, Tensor) or not batch.is_floating_point():
        broken.append(f"preprocess gives {getattr(batch, 'dtype', type(batch).__name__)}, expected a float tensor")
        return False
    if model.kind == "image" and len(batch) != 2:
        broken.append(f"preprocess gives {len(batch)} rows for 2 frames, expected one row per frame")
        return False
    return True


def _values(model: Model, batch: Tensor) -> dict[str, Any]:
    """{layer: its last output, arranged as declared}; None where the layer did not run."""
    read = model.process_output or (lambda _layer, output: output)
    heard = run(model.module, list(model.layers), batch, read)
    return {layer: calls[-1] if calls else None for layer, calls in heard.items()}


def _readable(model: Model, layer: str, value: Any, broken: list[str]) -> bool:
    axes = model.layers[layer]
    if not isinstance(value, Tensor):
        found = "nothing: it did not run" if value is None else type(value).__name__
        broken.append(f"layer {layer} gives {found}, expected a tensor")
    elif value.ndim != len(axes) + 1 or len(value) != 2:
        broken.append(f"layer {layer} has shape {tuple(value.shape)} for a batch of 2, expected batch + {axes}")
    else:
        return True
    return False


def _numbers(layer: str, together: Tensor, again: Tensor, alone: Tensor) -> Iterator[str]:
    if not torch.isfinite(together).all():
        yield f"layer {layer} has values that are not finite"
        return
    if not torch.equal(together, again):
        yield f"layer {layer} differs between two equal passes, expected a deterministic network"
    elif alone.shape != together.shape or _distance(together, alone) > SAME:
        yield f"layer {layer} depends on the batch: two samples together differ from each alone by more than {SAME}"


def _distance(a: Tensor, b: Tensor) -> float:
    """The greatest difference as a share of the greatest value."""
    return float((a - b).abs().max() / a.abs().max().clamp_min(1e-12)) if a.numel() else 0.0
