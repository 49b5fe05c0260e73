"""Checks of a Model against the requirements of the extraction; each failed check is one line."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ...utils import first_names
from ..errors import error_line
from ..spec import Model
from .outputs import located, plain, run
from .probe import clips, frame_counts

LETTERS = set("TCHWK")
TOLERANCE = 1e-4


def failed_record_checks(model: Model) -> list[str]:
    """Return the failed checks of the record's fields, which need no forward pass."""
    failures = []
    if not isinstance(model.module, torch.nn.Module):
        return [f"module is {type(model.module).__name__}, expected a torch.nn.Module"]
    if model.kind not in ("image", "video"):
        failures.append(f"kind is '{model.kind}', expected image or video")
    if not callable(model.preprocess):
        failures.append("preprocess cannot be called")
    if not (isinstance(model.fps, int | float) and 0 < model.fps < math.inf):
        failures.append(f"fps is {model.fps}, expected frames per second above 0")
    for name, (minimum, maximum) in (("num_frames", model.num_frames), ("duration_ms", model.duration_ms)):
        if not 0 <= minimum <= maximum:
            failures.append(f"{name} is ({minimum}, {maximum}), expected minimum <= maximum")
    return failures + list(_layer_faults(model))


def _layer_faults(model: Model) -> Iterator[str]:
    """Yield the layers that the network lacks and the axes that are not allowed."""
    if not model.layers:
        yield "layers is empty, expected {module path: axes}"
    for layer, axes in model.layers.items():
        if located(model.module, layer) is None:
            yield f"layer {layer} is no module of the network"
        if set(axes) - LETTERS or axes.count("T") > 1:
            yield f"layer {layer} has axes '{axes}', expected letters of TCHWK, T at most once"
        elif model.kind == "image" and "T" in axes:
            yield f"layer {layer} of an image model has a time axis ('{axes}')"


def failed_checks(model: Model, device: str = "cpu") -> list[str]:
    """Return the checks that the model fails, one line each; empty if it passes all.

    The network is run on seeded noise: twice on a batch of two, and on each of the two alone.
    """
    failures = failed_record_checks(model)
    if failures:
        return failures
    training = [name or "the network" for name, part in model.module.named_modules() if part.training]
    if training:
        failures.append(f"not in eval mode: {first_names(training, 3)}")
    if len(model.digest) != 64:
        failures.append(f"digest is '{model.digest}', expected a SHA-256 in hex")
    if model.series is not None:
        return failures  # no network is run; the extraction is checked
    n_frames = frame_counts(model)[-1]
    batch = _attempt("preprocess", lambda: clips(model, 2, n_frames, device), failures)
    if batch is None or not _is_input(model, batch, failures):
        return failures
    together = _attempt("the network", lambda: _values(model, batch), failures)
    if together is None:
        return failures
    readable = {layer for layer, value in together.items() if _readable(model, layer, value, failures)}
    again = _values(model, batch)
    alone = _attempt("one sample alone", lambda: [_values(model, batch[i : i + 1]) for i in range(2)], failures)
    if alone is None:
        return failures
    for layer in [layer for layer in model.layers if layer in readable]:
        failures += _value_faults(layer, together[layer], again[layer], torch.cat([one[layer] for one in alone]))
    return failures


def _attempt(what: str, action: Callable[[], Any], failures: list[str]) -> Any:
    """Return the result of an action, or None with a failure if it raises an exception."""
    try:
        return action()
    except Exception as error:  # the user's code may raise any exception; its text is the finding
        failures.append(f"{what} fails on noise: {error_line(error, 200)}")
        return None


def _is_input(model: Model, batch: Any, failures: list[str]) -> bool:
    """Return True if the result of preprocess for two samples is a float tensor with the right number of rows."""
    if not isinstance(batch, Tensor) or not batch.is_floating_point():
        failures.append(f"preprocess gives {getattr(batch, 'dtype', type(batch).__name__)}, expected a float tensor")
        return False
    if model.kind == "image" and len(batch) != 2:
        failures.append(f"preprocess gives {len(batch)} rows for 2 frames, expected one row per frame")
        return False
    return True


def _values(model: Model, batch: Tensor) -> dict[str, Any]:
    """Return {layer: its last output, arranged as declared, in floats}; None where the layer did not run."""
    process = model.process_output or (lambda _layer, output: output)

    def read(layer: str, output: Any) -> Any:
        value = process(layer, output)
        return plain(value).float() if isinstance(value, Tensor) else value

    outputs = run(model.module, list(model.layers), batch, read)
    return {layer: calls[-1] if calls else None for layer, calls in outputs.items()}


def _readable(model: Model, layer: str, value: Any, failures: list[str]) -> bool:
    """Return True if a layer's output for two samples is a tensor with the declared number of axes."""
    axes = model.layers[layer]
    if not isinstance(value, Tensor):
        found = "nothing: it did not run" if value is None else type(value).__name__
        failures.append(f"layer {layer} gives {found}, expected a tensor")
    elif value.ndim != len(axes) + 1 or len(value) != 2:
        failures.append(f"layer {layer} has shape {tuple(value.shape)} for a batch of 2, expected batch + {axes}")
    else:
        return True
    return False


def _value_faults(layer: str, together: Tensor, again: Tensor, alone: Tensor) -> Iterator[str]:
    """Yield a fault if the values are not finite, not deterministic, or depend on the batch."""
    if not torch.isfinite(together).all():
        yield f"layer {layer} has values that are not finite"
        return
    if not torch.equal(together, again):
        yield f"layer {layer} differs between two equal passes, expected a deterministic network"
    elif alone.shape != together.shape or _distance(together, alone) > TOLERANCE:
        yield f"layer {layer} depends on the batch: two samples together and alone differ by more than {TOLERANCE}"


def _distance(a: Tensor, b: Tensor) -> float:
    """Return the largest difference relative to the largest value."""
    return float((a - b).abs().max() / a.abs().max().clamp_min(1e-12)) if a.numel() else 0.0
