"""Axes of a layer's output: batch, time, space and channel, detected by probe passes and not from names.

A network is run on a few random inputs that differ in one factor: the number of samples, of frames, of rows or of
columns. The output axis whose size follows the samples is the batch (frames folded into it are unfolded again); one
that follows the frames alone is T, the rows H, the columns W; several of them K (tokens); none of them C.
A factor that the network does not let vary (fixed input size or number of frames) is detected by content: the first or
the last quarter of the frames, rows or columns is filled with other noise, twice each. An axis follows the factor if
the position of the change along it moves with the quarter by more than it differs between the two noises, or if the
same entries of it change more with the first quarter in both. An axis of size 1 follows no factor and is C. Time is
looked for by changes of single frames, too, and an axis of tokens that contains it is unfolded into T and K (see
`steps`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from .outputs import first_tensor, run, sizes
from .steps import Split, best_split, changed, probed_frames

Reader = Callable[[str, Any], Tensor]
Sizes = Mapping[str, tuple[int, ...]]

SAMPLES = (2, 3)
PLACES = ("first", "last")
MOVED = 0.1
LONG, PREFERS, AGREES = 4, 0.1, 0.8
ALONE = 3.0  # contrast of steps without another axis over which the change is averaged


@dataclass(frozen=True)
class InputAxes:
    """Positions of the factors in a batch of inputs; None where the input has no such axis."""

    T: int | None
    H: int | None
    W: int | None


@dataclass(frozen=True)
class OutputAxes:
    """Axes of a module's output: the position of its batch axis, and the letters of the others.

    fold: "" or, where the batch axis holds batch x another factor, the faster varying of the two: "inner" (the other
    factor) or "batch". The other factor is then the first letter of `axes`. split: the axis that is unfolded into
    steps and tokens, None for none; `axes` has the letters of both.
    """

    axes: str
    batch: int = 0
    fold: str = ""
    split: Split | None = None


class Unreadable(ValueError):
    """Output without one batch axis; the message contains the shapes."""


def _resized(batch: Tensor, axis: int | None) -> Tensor | None:
    """Return a random batch with one spatial axis longer by 32 or more, to a multiple of 32; None without that axis."""
    if axis is None:
        return None
    shape = list(batch.shape)
    shape[axis] = -(-(shape[axis] + 32) // 32) * 32
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(batch)


def _batch_axis(two: tuple[int, ...], three: tuple[int, ...]) -> int:
    """Return the axis whose size follows the number of samples, from the shapes for two and for three of them."""
    if not two or len(two) != len(three):
        raise Unreadable(f"no tensor, or one without a batch axis: shapes {two} and {three} for 2 and 3 samples")
    if 0 in two:
        raise Unreadable(f"no values: outputs of shape {two}")
    follows = [i for i, (a, b) in enumerate(zip(two, three, strict=True)) if a * SAMPLES[1] == b * SAMPLES[0]]
    if len(follows) != 1:
        raise Unreadable(f"outputs of shape {two} for 2 samples and {three} for 3; one batch axis expected")
    return follows[0]


def _sample_shape(shape: tuple[int, ...], batch: int, samples: int, folded: bool) -> tuple[int, ...]:
    """Return the shape of one sample, without the batch axis; a factor folded into it comes first."""
    rest = shape[:batch] + shape[batch + 1 :]
    return (shape[batch] // samples, *rest) if folded else rest


def _letter(factors: set[str]) -> str:
    """Return the letter of an axis that follows these factors."""
    if len(factors) > 1:
        return "K"
    return next(iter(factors)) if factors else "C"


def _changed(batch: Tensor, axis: int, place: str, seed: int) -> Tensor:
    """Return the batch with the first or the last quarter of one axis filled with other noise."""
    width = max(1, batch.shape[axis] // 4)
    return changed(batch, axis, 0 if place == "first" else batch.shape[axis] - width, width, seed)


def _profiles(difference: Tensor) -> list[Tensor]:
    """Return the distribution of a change along each axis: its absolute size summed over the others, normalised."""
    size = difference.abs().double()
    total = size.sum().clamp_min(1e-30)
    if size.ndim == 1:
        return [size / total]
    return [size.sum(dim=[j for j in range(size.ndim) if j != i]) / total for i in range(size.ndim)]


def _same_entries(first: Sequence[Tensor], last: Sequence[Tensor]) -> bool:
    """Return True if the same entries of an axis change more with the first than with the last place, twice.

    first, last: profiles for two noises each.
    """
    shares = [a / (a + b).clamp_min(1e-30) for a, b in zip(first, last, strict=True)]
    if len(shares[0]) < LONG:
        return False
    spread = min(float(share.quantile(0.9) - share.quantile(0.1)) for share in shares)
    return spread > PREFERS and float(torch.corrcoef(torch.stack(shares))[0, 1]) > AGREES


def _distance(p: Tensor, q: Tensor) -> float:
    """Return the total variation distance of two distributions, 0 to 1."""
    return float((p - q).abs().sum() / 2)


def _moving_axes(module: nn.Module, known: dict[str, OutputAxes], batch: Tensor, axis: int) -> dict[str, list[bool]]:
    """Return for each axis of each layer's sample whether a change moves along it when it moves along input `axis`."""
    layers = list(known)

    def values(x: Tensor) -> dict[str, Tensor]:
        outputs = run(module, layers, x, lambda layer, out: arrange(first_tensor(out), known[layer], 1)[0].float())
        return {layer: calls[-1] for layer, calls in outputs.items()}

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
            len(parts) > 1
            and (
                min(_distance(a, c), _distance(b, d)) > 2 * max(_distance(a, b), _distance(c, d)) + MOVED
                or _same_entries((a, b), (c, d))
            )
            for a, b, c, d in parts
        ]
    return moving


def _fold(module: nn.Module, layer: str, batch: Tensor, axis: int) -> str:
    """Return the faster varying of batch and folded factor, by comparing one sample alone with the first of several."""

    def output(x: Tensor) -> Tensor:
        return run(module, [layer], x, lambda _, out: first_tensor(out).movedim(axis, 0).float())[layer][-1]

    alone, together = output(batch[:1]), output(batch)
    inner = (together[: len(alone)] - alone).abs().max()
    outer = (together[:: len(batch)] - alone).abs().max()
    return "inner" if inner <= outer else "batch"


def detect(
    module: nn.Module,
    layers: Sequence[str],
    probe: Callable[[int, int], Tensor],
    where: InputAxes,
    frames: Sequence,
    hints: Callable[[int, int], Sequence[Split]] = lambda _size, _frames: (),
) -> tuple[dict[str, OutputAxes], dict[str, str]]:
    """Return the axes of the layers that can be read, and the reason for each of the others.

    probe: (samples, frames) -> a batch of random inputs; where: positions of the factors in it; frames: numbers of
    frames to try, of which the network must accept the first and may refuse the second; (1,) for images; hints:
    (tokens, frames) -> divisions of the first axis into steps that are expected.
    """
    base = probe(SAMPLES[0], frames[0])
    two, three = sizes(module, layers, base), sizes(module, layers, probe(SAMPLES[1], frames[0]))
    batches, refused = {}, {}
    for layer in layers:
        try:
            axis = _batch_axis(two[layer], three[layer])
        except Unreadable as reason:
            refused[layer] = str(reason)
            continue
        folded = two[layer][axis] != SAMPLES[0]
        batches[layer] = OutputAxes("", axis, _fold(module, layer, base, axis) if folded else "")
    factors, longest = _factors(module, batches, probe, where, frames, base, two)
    batch, fixed = (base, True) if longest is None else (longest, False)
    splits = _splits(module, batches, factors, two, batch, where.T, fixed, hints)
    found = {}
    for layer, followed in factors.items():
        axes = [_letter(one) for one in followed]
        if batches[layer].fold and axes[0] == "C":
            axes[0] = "K"  # channels are never folded into the batch
        if (split := splits.get(layer)) is not None:
            axes = ["C" if axis == "T" else axis for axis in axes]
            axes[split.axis] = split.letters
        if axes.count("T") > 1:
            refused[layer] = f"outputs of shape {two[layer]} have two axes of time"
        else:
            found[layer] = replace(batches[layer], axes="".join(axes), split=_unless_trivial(split))
    return found, refused


def _unless_trivial(split: Split | None) -> Split | None:
    """Return None for an axis that has one entry per step, with none before them."""
    return None if split is not None and split.letters == "T" and not split.skip else split


def _splits(module, batches, factors, two, batch, time, fixed, hints) -> dict[str, Split]:
    """Return the axes with steps of the layers without an axis that follows the frames alone and is no longer.

    fixed: the number of frames cannot vary, so that any axis may contain time; else only one whose size follows them.
    """
    if time is None or batch.shape[time] < 2:
        return {}
    shape = {layer: _sample_shape(two[layer], v.batch, SAMPLES[0], bool(v.fold)) for layer, v in batches.items()}
    n_frames = batch.shape[time]
    open_layers = {
        layer: [i for i, one in enumerate(followed) if fixed or "T" in one]
        for layer, followed in factors.items()
        if not any(one == {"T"} and size <= n_frames for one, size in zip(followed, shape[layer], strict=True))
    }
    open_layers = {layer: axes for layer, axes in open_layers.items() if axes}
    frames = probed_frames(n_frames)
    profiles = _frame_profiles(module, batches, open_layers, batch, time, frames)
    found = {}
    for layer, axes in open_layers.items():
        for axis in axes:
            seen = [one[layer, axis] for one in profiles]
            expected = hints(seen[0].shape[1], n_frames) if axis == 0 else ()
            contrast = ALONE if len(factors[layer]) == 1 else 1.0
            if (split := best_split(seen, axis, frames, n_frames, expected, contrast)) is not None:
                found[layer] = split
                break
    return found


def _frame_profiles(module, batches, layers, batch, time, frames) -> list[dict[tuple[str, int], Tensor]]:
    """Return for each frame the size of its change along the given axes of each layer, (n_samples, size)."""

    def values(x: Tensor) -> dict[str, Tensor]:
        def read(layer: str, output: Any) -> Tensor:
            return arrange(first_tensor(output), batches[layer], len(x)).float()

        return {layer: calls[-1] for layer, calls in run(module, list(layers), x, read).items()}

    if not layers:
        return []
    base, found = values(batch), []
    for frame in frames:
        other = values(changed(batch, time, frame, 1, seed=frame))
        change = {layer: (other[layer] - base[layer]).abs() for layer in layers}
        found.append(
            {
                (layer, axis): change[layer].movedim(axis + 1, 1).flatten(2).sum(dim=2)
                if change[layer].ndim > 2
                else change[layer]
                for layer, axes in layers.items()
                for axis in axes
            }
        )
    return found


def _factors(module, batches, probe, where, frames, base, two) -> tuple[dict[str, list[set[str]]], Tensor | None]:
    """Return for each layer the factors that each axis of a sample follows, and a batch with more frames, if taken."""
    shapes = {k: _sample_shape(two[k], v.batch, SAMPLES[0], bool(v.fold)) for k, v in batches.items()}
    factors: dict[str, list[set[str]]] = {layer: [set() for _ in shape] for layer, shape in shapes.items()}
    variants = {
        "T": probe(SAMPLES[0], frames[1]) if where.T is not None and len(frames) > 1 else None,
        "H": _resized(base, where.H),
        "W": _resized(base, where.W),
    }
    longest = None
    for factor, batch in variants.items():
        if getattr(where, factor) is None:
            continue
        other = None if batch is None else _accepted_sizes(module, list(batches), batch)
        longest = batch if factor == "T" and other is not None else longest
        moving = _moving_axes(module, batches, base[:1], getattr(where, factor)) if other is None else {}
        for layer, known in batches.items():
            if other is None:
                follows = moving[layer]
            else:
                varied = _sample_shape(other[layer], known.batch, SAMPLES[0], bool(known.fold))
                follows = [a != b for a, b in zip(shapes[layer], varied, strict=True)]
            for axis, follows_factor in enumerate(follows):
                if follows_factor:
                    factors[layer][axis].add(factor)
    return factors, longest


def _accepted_sizes(module: nn.Module, layers: list[str], batch: Tensor) -> Sizes | None:
    """Return the sizes for this batch, or None if the network refuses it."""
    try:
        return sizes(module, layers, batch)
    except Exception:  # a network may refuse a size with any exception
        return None


def arrange(output: Tensor, known: OutputAxes, samples: int) -> Tensor:
    """Return a module's output with the batch axis first and the axes of `known` behind it."""
    output = output.movedim(known.batch, 0)
    if known.fold == "inner":
        output = output.unflatten(0, (samples, -1))
    elif known.fold == "batch":
        output = output.unflatten(0, (-1, samples)).movedim(1, 0)
    return output if known.split is None else known.split.unfolded(output)


def reader(module: nn.Module, known: Mapping[str, OutputAxes]) -> Reader:
    """Return a `process_output` for these axes; a hook on the network records the number of samples of a batch."""
    samples = [1]
    # before any hook that reshapes the batch
    module.register_forward_pre_hook(
        lambda _module, inputs: samples.__setitem__(0, len(inputs[0])) if inputs else None, prepend=True
    )
    return lambda layer, output: arrange(first_tensor(output), known[layer], samples[0])


def batch_first(known: Mapping[str, OutputAxes]) -> bool:
    """Return True if every output has the batch as its first axis and is neither folded nor to be unfolded."""
    return all(axes.batch == 0 and not axes.fold and axes.split is None for axes in known.values())


def mismatches(declared: Mapping[str, str], fewer: Sizes, more: Sizes | None, samples: int, frames: int) -> list[str]:
    """Return one line per layer whose output does not have the declared axes, with its shape.

    fewer, more: sizes for `frames` frames and for more of them (None where their number is fixed), batch first.
    """
    faults = []
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
            faults.append(f"layer {layer}: declared {axes} behind the batch of {samples}, found shape {seen}")
    return faults
