"""Which axis of a layer's output is the batch, time, space or channel: found by probing, never guessed from a name.

A network is run on a few random inputs that differ in one factor: the number of samples, of frames, of rows, of
columns. The output axis whose size follows the samples is the batch (frames folded into it are unfolded again);
follows the frames alone: T, the rows: H, the columns: W; several of them: K (tokens); none: C.
A factor that the network does not let vary (fixed input size or number of frames) is found by content: the first or
the last quarter of the frames, rows or columns is filled with other noise, twice each; the axes along which the place
of the change moves with it, by more than it differs between the two noises, follow the factor. An axis of size 1
follows nothing and is C.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .outputs import first_tensor, run, sizes

Reader = Callable[[str, Any], Tensor]
Sizes = Mapping[str, tuple[int, ...]]

SAMPLES = (2, 3)
PLACES = ("first", "last")
MOVED = 0.1


@dataclass(frozen=True)
class InputAxes:
    """Where the factors lie in a batch of inputs; None where the input has no such axis."""

    T: int | None
    H: int | None
    W: int | None


@dataclass(frozen=True)
class Layout:
    """How to read a module's output: batch is the position of its batch axis; axes the letters of the others.

    fold: "" or, where the batch axis holds batch x something, which of the two runs faster: "inner" (the other one) or
    "batch"; the other one is then the first letter of `axes`.
    """

    axes: str
    batch: int = 0
    fold: str = ""


class Unreadable(ValueError):
    """A layer's output cannot be read; the message says what was found."""


def _resized(batch: Tensor, axis: int | None) -> Tensor | None:
    """The batch with one spatial axis longer by 32 or more, to a multiple of 32, values drawn anew."""
    if axis is None:
        return None
    shape = list(batch.shape)
    shape[axis] = -(-(shape[axis] + 32) // 32) * 32
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(batch)


def _batch_axis(layer: str, two: tuple[int, ...], three: tuple[int, ...]) -> int:
    if not two or len(two) != len(three):
        raise Unreadable(f"layer {layer}: no tensor, or one whose rank depends on the batch: {two}, {three}")
    follows = [i for i, (a, b) in enumerate(zip(two, three, strict=True)) if a * SAMPLES[1] == b * SAMPLES[0]]
    if len(follows) != 1:
        raise Unreadable(
            f"layer {layer}: outputs of shape {two} for 2 samples and {three} for 3; one batch axis expected"
        )
    return follows[0]


def _sample_shape(shape: tuple[int, ...], batch: int, samples: int, folded: bool) -> tuple[int, ...]:
    """The shape of one sample, the batch axis taken out and what is folded into it put first."""
    rest = shape[:batch] + shape[batch + 1 :]
    return (shape[batch] // samples, *rest) if folded else rest


def _letter(factors: set[str]) -> str:
    if len(factors) > 1:
        return "K"
    return next(iter(factors)) if factors else "C"


def _changed(batch: Tensor, axis: int, place: str, seed: int) -> Tensor:
    """The batch with a quarter of one axis filled with other noise."""
    size = batch.shape[axis]
    width = max(1, size // 4)
    noise = torch.randn(batch.narrow(axis, 0, width).shape, generator=torch.Generator().manual_seed(seed)).to(batch)
    changed = batch.clone()
    changed.narrow(axis, 0 if place == "first" else size - width, width).copy_(noise)
    return changed


def _profiles(difference: Tensor) -> list[Tensor]:
    """Where a change is, along each axis: its absolute size summed over the other axes, as a share of the whole."""
    size = difference.abs().double()
    total = size.sum().clamp_min(1e-30)
    return [size.sum(dim=[j for j in range(size.ndim) if j != i]) / total for i in range(size.ndim)]


def _apart(p: Tensor, q: Tensor) -> float:
    """The share of a change that lies elsewhere in q than in p: 0 to 1."""
    return float((p - q).abs().sum() / 2)


def _moving_axes(module: nn.Module, layouts: dict[str, Layout], batch: Tensor, axis: int) -> dict[str, list[bool]]:
    """For each layer, which axes of a sample the place of a change moves along when it moves along `axis`."""
    layers = list(layouts)

    def values(x: Tensor) -> dict[str, Tensor]:
        heard = run(module, layers, x, lambda layer, out: arrange(first_tensor(out), layouts[layer], 1)[0].float())
        return {layer: calls[-1] for layer, calls in heard.items()}

    base = values(batch)
    seen: dict[tuple[str, int], dict[str, list[Tensor]]] = {}
    for place in PLACES:
        for seed in (2, 3):
            changed = values(_changed(batch, axis, place, seed))
            seen[place, seed] = {layer: _profiles(changed[layer] - base[layer]) for layer in layers}
    moving = {}
    for layer in layers:
        parts = list(zip(*(seen[p, s][layer] for p in PLACES for s in (2, 3)), strict=True))
        moving[layer] = [
            min(_apart(a, c), _apart(b, d)) > 2 * max(_apart(a, b), _apart(c, d)) + MOVED for a, b, c, d in parts
        ]
    return moving


def _fold(module: nn.Module, layer: str, batch: Tensor, axis: int) -> str:
    """Which of batch and the folded factor runs faster, told from one sample alone against the first of several."""

    def output(x: Tensor) -> Tensor:
        return run(module, [layer], x, lambda _, out: first_tensor(out).movedim(axis, 0).float())[layer][-1]

    alone, together = output(batch[:1]), output(batch)
    inner = (together[: len(alone)] - alone).abs().max()
    outer = (together[:: len(batch)] - alone).abs().max()
    return "inner" if inner <= outer else "batch"


def detect(
    module: nn.Module, layers: Sequence[str], probe: Callable[[int, int], Tensor], where: InputAxes, frames: Sequence
) -> tuple[dict[str, Layout], dict[str, str]]:
    """The layouts of the layers that can be read, and why the others cannot.

    probe: (samples, frames) -> a batch of inputs of different random content; frames: the numbers of frames to try, the
    first must be accepted, the second (if any) may be refused; (1,) for images.
    """
    base = probe(SAMPLES[0], frames[0])
    two, three = sizes(module, layers, base), sizes(module, layers, probe(SAMPLES[1], frames[0]))
    batches, refused = {}, {}
    for layer in layers:
        try:
            axis = _batch_axis(layer, two[layer], three[layer])
        except Unreadable as reason:
            refused[layer] = str(reason)
            continue
        folded = two[layer][axis] != SAMPLES[0]
        batches[layer] = Layout("", axis, _fold(module, layer, base, axis) if folded else "")
    layouts = {}
    for layer, factors in _factors(module, batches, probe, where, frames, base, two).items():
        axes = "".join(map(_letter, factors))
        if axes.count("T") > 1:
            refused[layer] = f"layer {layer}: outputs of shape {two[layer]} have two axes of time"
        else:
            layouts[layer] = Layout(axes, batches[layer].batch, batches[layer].fold)
    return layouts, refused


def _factors(module, layouts, probe, where, frames, base, two) -> dict[str, list[set[str]]]:
    """For each layer, the factors that each axis of a sample follows."""
    shapes = {k: _sample_shape(two[k], v.batch, SAMPLES[0], bool(v.fold)) for k, v in layouts.items()}
    factors: dict[str, list[set[str]]] = {layer: [set() for _ in shape] for layer, shape in shapes.items()}
    variants = {
        "T": probe(SAMPLES[0], frames[1]) if where.T is not None and len(frames) > 1 else None,
        "H": _resized(base, where.H),
        "W": _resized(base, where.W),
    }
    for factor, batch in variants.items():
        if getattr(where, factor) is None:
            continue
        other = None if batch is None else _accepted_sizes(module, list(layouts), batch)
        moving = _moving_axes(module, layouts, base[:1], getattr(where, factor)) if other is None else {}
        for layer, layout in layouts.items():
            if other is None:
                follows = moving[layer]
            else:
                varied = _sample_shape(other[layer], layout.batch, SAMPLES[0], bool(layout.fold))
                follows = [a != b for a, b in zip(shapes[layer], varied, strict=True)]
            for axis, yes in enumerate(follows):
                if yes:
                    factors[layer][axis].add(factor)
    return factors


def _accepted_sizes(module: nn.Module, layers: list[str], batch: Tensor) -> Sizes | None:
    """The sizes for this batch, or None where the network refuses it; its errors are of any kind."""
    try:
        return sizes(module, layers, batch)
    except Exception:  # a network may refuse a size with whatever it likes
        return None


def arrange(output: Tensor, layout: Layout, samples: int) -> Tensor:
    """A module's output with the batch first and the declared axes behind it."""
    output = output.movedim(layout.batch, 0)
    if layout.fold == "inner":
        return output.unflatten(0, (samples, -1))
    if layout.fold == "batch":
        return output.unflatten(0, (-1, samples)).movedim(1, 0)
    return output


def reader(module: nn.Module, layouts: Mapping[str, Layout]) -> Reader:
    """A `process_output` for the layouts; a hook on the network tells it how many samples the batch had."""
    samples = [1]
    module.register_forward_pre_hook(lambda _module, inputs: samples.__setitem__(0, len(inputs[0])) if inputs else None)
    return lambda layer, output: arrange(first_tensor(output), layouts[layer], samples[0])


def plain(layouts: Mapping[str, Layout]) -> bool:
    """Whether every output can be read as it is, batch first, nothing folded."""
    return all(layout.batch == 0 and not layout.fold for layout in layouts.values())


def mismatches(declared: Mapping[str, str], fewer: Sizes, more: Sizes | None, samples: int, frames: int) -> list[str]:
    """What the declared axes get wrong: one line per layer, with the shape that was found.

    fewer, more: sizes for `frames` frames and for more of them (None where their number is fixed), batch first.
    """
    wrong = []
    for layer, axes in declared.items():
        shape = fewer[layer]
        grown = more[layer] if more else shape
        fits = len(shape) == len(axes) + 1 and shape[0] == samples and len(grown) == len(shape)
        if fits:
            changed = {letter for letter, a, b in zip(axes, shape[1:], grown[1:], strict=True) if a != b}
            too_long = "T" in axes and shape[1 + axes.index("T")] > frames
            fits = changed <= {"T", "K"} and not too_long and not ("T" in axes and changed == {"K"})
        if not fits:
            seen = f"{shape} and, for more frames, {grown}" if more else f"{shape}"
            wrong.append(f"layer {layer}: declared {axes} behind the batch of {samples}, found shape {seen}")
    return wrong
