"""Times of the steps of each layer within a clip, measured by changes of single frames.

Step k of a layer depends on frames around a centre: after a convolution of kernel 3, stride 2 and padding 1 this is
frame 2k, not the middle of the k-th pair of frames. Single frames are changed by small noise. The centre of a step is
the mean of the frames, weighted by the squared change of the step. Steps of a recurrent layer, which reach far back and
not ahead, count at the last frame that they have seen: their memory is no delay.

The ends of a clip cut off the fields of the steps near them, which draws the mean inwards: the time of a step is that
of its whole field, where the network takes clips that are long enough. The best match of such a step is there even in
a clip that cuts its field off. Most networks take clips of many lengths. Their steps have a constant stride, so that
the frames of one stride in the middle of a long clip suffice; and time does not depend on the size of the pictures,
which are cut to `CROP` px where the network takes them. A convolutional network of one length takes longer clips, too:
several of its clips in a row, of which the frames of the middle one are changed. Any other network of one length, whose
attention spans the clip, is measured frame by frame.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..errors import error_line
from ..spec import Model, StepTimes
from .axes import InputAxes
from .outputs import hooked, plain
from .probe import clip_axes, clips

SIZE = 0.05  # of the change, relative to the input's standard deviation: small, so that the network is nearly linear
CROP = 64  # px
LONG, SHORT = 64, 16  # frames of a clip: of pictures of CROP px, and of whole ones
LONGEST = 320  # frames of pictures of CROP px, where fields are wide
FEWEST = 2  # draws of the noise
FEWEST_ROW = 6  # where the time of each step is measured alone
MOST_SMALL, MOST_LARGE = 64, 8  # for networks with few features, below and above SMALL parameters
SMALL = 10**6
VALUES = 1500  # features times draws that are enough for the centre of a step
LARGEST_STRIDE = 32
TAIL = 0.01  # of the largest change
FELT = 0.01  # of the largest change
MEMORY = 4  # strides that a recurrent layer reaches back, at least, and times that it reaches less far ahead
ROUND = 8  # centres are rounded to 1 / ROUND frame, below which they vary with the noise


def step_times(model: Model, device: str = "cpu") -> tuple[dict[str, StepTimes], str]:
    """Return the times of the steps of the layers with an axis of time, and a note on layers without regular steps.

    Parameters
    ----------
    model : Model
        A model of clips or of single frames, in eval mode, on `device`.
    device : str, default "cpu"
        Device of the passes.

    Returns
    -------
    times : dict of {str: StepTimes}
        Rounded to an eighth of a frame; empty for a model of single frames. Left out are layers with one step in all
        clips, and those whose number of steps does not grow regularly with the clip.
    note : str
        Layers that are left out for irregular steps, or the error of a network that cannot be measured; else "".
    """
    layers = timed(model)
    if not layers:
        return {}, ""
    try:
        with torch.inference_mode():
            least, most = _limits(model)
            if 2 * least > most:
                return _of_one_length(model, layers, device, most), ""
            return _regular(model, layers, device, least, most)
    except Exception as error:  # a network may raise any exception; its steps are then spread evenly
        return {}, f"times of the steps cannot be measured ({error_line(error, 200)}); they are spread evenly"


def timed(model: Model) -> list[str]:
    """Return the layers of a video model with an axis of time."""
    return [layer for layer, axes in model.layers.items() if "T" in axes] if model.kind == "video" else []


def step_centres(
    model: Model,
    device: str = "cpu",
    n_frames: int | None = None,
    crop: int = 0,
    layers: Sequence[str] = (),
    draws: int = 0,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Return the temporal centre of each step, from changes of every frame of a clip.

    Parameters
    ----------
    model : Model
        A model of clips, in eval mode.
    device : str, default "cpu"
        Device of the passes, at least two per frame.
    n_frames : int, optional
        Length of the clip in frames; default: 16, within the model's limits.
    crop : int, default 0
        Side of the pictures, px; 0 for whole ones.
    layers : sequence of str, optional
        Layers with an axis of time; default: all of them.
    draws, seed : int, default 0
        Number of draws of clip and noise, 0 for as many as the layers need, and the seed of the first.

    Returns
    -------
    dict of {str: array of shape (n_steps,)}
        Centres in frames of the clip: 0 is the middle of the first frame. Empty for a model of single frames. Steps
        near the ends have centres of the frames that exist; NaN where no frame changes a step.
    """
    layers = layers or timed(model)
    if not layers:
        return {}
    least, most = _limits(model)
    length = n_frames or int(min(most, max(least, SHORT)))
    with torch.inference_mode():
        changes = _changes(Clips(model, length, device, crop), layers, draws=draws, seed=seed)
    frames = np.arange(length)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return {layer: (frames * power).sum(axis=0) / power.sum(axis=0) for layer, power in changes.items()}


def takes_crops(model: Model, device: str = "cpu", layers: Sequence[str] = (), crop: int = CROP) -> bool:
    """Return True if the network takes pictures of that size, with the steps that its layers have for whole ones."""
    layers, (least, most) = layers or timed(model), _limits(model)
    length = int(min(most, max(least, SHORT // 2)))
    small = _counts_unless_refused(Clips(model, length, device, crop), layers)
    return small is not None and small == _counts(Clips(model, length, device), layers)


def in_a_row(model: Model, windows: int, device: str = "cpu", crop: int = CROP) -> list[str]:
    """Return the layers that have as many steps in a clip of several of the model's longest clips as in these.

    Empty for a network that takes no such clip; without the layers of one step.
    """
    length = int(_limits(model)[1])
    counts = _counts(Clips(model, length, device), timed(model))
    several = [layer for layer, count in counts.items() if count > 1]
    row = _counts_unless_refused(Clips(model, windows * length, device, crop), several) if several else None
    return [layer for layer in several if row[layer] == windows * counts[layer]] if row else []


def evenly_spaced(n_steps: int, n_frames: int) -> np.ndarray:
    """Return the centres of steps that are spread evenly over a clip, in frames: Brain-Score's convention."""
    return (np.arange(n_steps) + 0.5) * n_frames / n_steps - 0.5


@dataclass(frozen=True)
class Clips:
    """Random clips of a model: their length in frames, their device, and the side of their pictures, 0 for whole."""

    model: Model
    length: int
    device: str
    crop: int = 0

    @cached_property
    def axes(self) -> InputAxes:
        """Axes of the input."""
        return clip_axes(self.model, clips(self.model, 1, self.length, self.device), self.length, self.device)

    def draw(self, seed: int) -> Tensor:
        """Return a batch of one clip."""
        clip = clips(self.model, 1, self.length, self.device, seed=1000 * seed)
        for axis in (self.axes.H, self.axes.W) if self.crop else ():
            side = min(self.crop, clip.shape[axis])
            clip = clip.narrow(axis, (clip.shape[axis] - side) // 2, side)
        return clip.contiguous()


def _limits(model: Model) -> tuple[int, int | float]:
    """Return the least and the largest number of frames of a clip."""
    least = max(model.num_frames[0], math.ceil(model.duration_ms[0] * model.fps / 1000 - 1e-6))
    most = min(model.num_frames[1], model.duration_ms[1] * model.fps / 1000 + 1e-6)
    return int(least), most if math.isinf(most) else int(most)


def _of_one_length(model: Model, layers: Sequence[str], device: str, length: int) -> dict[str, StepTimes]:
    """Return the times of the steps of a model that takes clips of one length."""
    counts = _counts(Clips(model, length, device), layers)
    layers = [layer for layer in layers if counts[layer] > 1]
    crop = CROP if layers and takes_crops(model, device, layers) else 0
    odd = 2 * math.ceil(LONG / length) + 1
    row = in_a_row(model, odd, device) if crop else []
    found = _in_a_row(model, {layer: counts[layer] for layer in row}, device, length, odd) if row else {}
    rest = [layer for layer in layers if layer not in row]
    alone = _changes(Clips(model, length, device, crop), rest) if rest else {}
    found |= {layer: _listed(power) for layer, power in alone.items()}
    return {layer: found[layer] for layer in layers}


def _in_a_row(model: Model, counts: Mapping[str, int], device: str, length: int, windows: int) -> dict[str, StepTimes]:
    """Return the times of the steps of the middle one of several clips in a row, of which there are `windows` or more.

    counts: {layer: number of steps of one clip}.
    """
    windows = _whole(lambda n: Clips(model, n * length, device, CROP), windows, LONGEST // length, list(counts), length)
    start = windows // 2 * length
    frames = range(start, start + length)
    changes = _changes(Clips(model, windows * length, device, CROP), list(counts), frames, draws=FEWEST_ROW)
    times = {layer: _placed(power, frames, length, counts[layer]) for layer, power in changes.items()}
    return {layer: StepTimes(listed=tuple(_rounded(one) for one in times[layer])) for layer in counts}


def _whole(clips_of: Callable[[int], Clips], size: int, most: float, layers: Sequence[str], unit: int = 1) -> int:
    """Return a size of clips that do not cut off the fields of the steps in their middle: `size` or a larger one.

    clips_of: clips of that many times `unit` frames. A change of the middle that reaches the ends of a clip and of a
    longer one alike is attention or a mean over time: no clip holds it.
    """
    shares = _reach(clips_of(size), layers, unit)
    while any(share > TAIL for share in shares.values()) and (longer := 2 * size + size % 2) <= most:
        next_shares = _reach(clips_of(longer), layers, unit)
        if not any(TAIL < share > 2 * next_shares[layer] for layer, share in shares.items()):
            break
        size, shares = longer, next_shares
    return size


def _reach(of: Clips, layers: Sequence[str], unit: int) -> dict[str, float]:
    """Return the change of the steps at the ends of a clip by the ends of its middle, relative to the largest change.

    unit: frames of the middle.
    """
    start = of.length // unit // 2 * unit
    changes = _changes(of, layers, [start, start + unit - 1], draws=1)
    ends = {layer: float(max(power[0, 0], power[-1, -1])) for layer, power in changes.items()}
    return {layer: share / changes[layer].max() if share else 0.0 for layer, share in ends.items()}


def _regular(
    model: Model, layers: Sequence[str], device: str, least: int, most: float
) -> tuple[dict[str, StepTimes], str]:
    """Return the times of the steps of a model that takes clips of many lengths, and a note."""
    crop = CROP if takes_crops(model, device) else 0
    length = int(min(max(LONG if crop else SHORT, 2 * least), most))

    def clips_of(n_frames: int) -> Clips:
        return Clips(model, n_frames, device, crop)

    long, half = (_counts(clips_of(n), layers) for n in (length, length // 2))
    strides = {layer: (length - length // 2) / max(1, long[layer] - half[layer]) for layer in layers}
    rounded = {layer: round(stride) for layer, stride in strides.items() if long[layer] > half[layer]}
    rounded = {layer: stride for layer, stride in rounded.items() if stride <= min(LARGEST_STRIDE, length // 2)}
    cycle = max(rounded.values(), default=1)
    shorter = [long, *(_counts(clips_of(length - d), layers) for d in range(1, cycle) if length - d >= least)]
    shortest = {layer: _shortest(length, stride, [n[layer] for n in shorter]) for layer, stride in rounded.items()}
    good = [layer for layer, shape in shortest.items() if shape is not None]
    changes, frames = {}, range(0)
    if good:
        length = _whole(clips_of, length, min(most, LONGEST), good) if crop else length
        width = int(np.lcm.reduce([rounded[layer] for layer in good]))
        frames = range(max(0, (length - width) // 2), min(length, (length - width) // 2 + width))
        changes = _changes(clips_of(length), good, frames)
    found = {
        layer: StepTimes(_rounded(_placed(power, frames, rounded[layer])[0]), float(rounded[layer]), shortest[layer])
        for layer, power in changes.items()
    }
    irregular = [layer for layer in layers if layer not in found and (long[layer], half[layer]) != (1, 1)]
    note = f"steps of {', '.join(irregular)} are not regular in time; they are spread evenly" if irregular else ""
    return found, note


def _shortest(length: int, stride: int, counts: Sequence[int]) -> int | None:
    """Return the frames of the shortest clip with a step, None where the numbers of steps have no constant stride.

    counts: numbers of steps of clips of length, length - 1, ... frames.
    """
    same = next((d for d, count in enumerate(counts) if count < counts[0]), len(counts)) - 1
    shortest = length - same - stride * (counts[0] - 1)
    expected = [(length - d - shortest) // stride + 1 for d in range(len(counts))]
    return shortest if expected == list(counts) else None


def _counts_unless_refused(of: Clips, layers: Sequence[str]) -> dict[str, int] | None:
    """Return the number of steps of each layer, None for a clip that the network refuses."""
    try:
        return _counts(of, layers)
    except Exception:  # a network may refuse a size or a length with any exception
        return None


@torch.inference_mode()
def _counts(of: Clips, layers: Sequence[str]) -> dict[str, int]:
    """Return the number of steps of each layer."""
    return {layer: len(value) for layer, value in _steps(of.model, layers, of.draw(0)).items()}


def _placed(power: np.ndarray, frames: range, period: int, count: int = 1) -> np.ndarray:
    """Return the times of the first `count` steps of a long clip, from the changes of all steps by some frames.

    The steps repeat: every further `count` of them come `period` frames later. `frames`: whole periods.
    """
    own = _own(power)
    own = own.reshape(len(own), -1, count)
    lags = np.array(frames)[:, None] - period * np.arange(own.shape[1])
    stride = period / count
    starts = stride * np.arange(count)
    newest = _newest(power, (lags[:, :, None] - starts).reshape(power.shape), stride)
    if newest is not None:
        return starts + newest
    return (own * lags[:, :, None]).sum(axis=(0, 1)) / own.sum(axis=(0, 1))


def _newest(power: np.ndarray, lags: np.ndarray, stride: float) -> float | None:
    """Return the middle of the newest frames of a step with a memory, relative to its start; None without a memory.

    lags (n_frames, n_steps): frames by which each frame lies behind the start of each step.
    """
    felt = lags[power > FELT * power.max()]
    back, ahead = -felt.min() / stride, max(0.0, (felt.max() + 1) / stride - 1)
    return float(felt.max() - (stride - 1) / 2) if back >= MEMORY * (ahead + 1) else None


def _listed(power: np.ndarray) -> StepTimes:
    """Return the time of each step from its changes by all frames."""
    stride = len(power) / power.shape[1]
    starts = stride * np.arange(power.shape[1])
    newest = _newest(power, np.arange(len(power))[:, None] - starts, stride)
    if newest is not None:
        return StepTimes(listed=tuple(_rounded(time) for time in starts + newest))
    weights = _own(power)
    with np.errstate(invalid="ignore", divide="ignore"):
        centres = (np.arange(len(power))[:, None] * weights).sum(axis=0) / weights.sum(axis=0)
    even = evenly_spaced(power.shape[1], len(power))
    centres = np.where(np.isfinite(centres), centres, even)
    # two steps of one time, of frames that are read twice, stay in their order
    return StepTimes(listed=tuple(_rounded(time) for time in np.maximum.accumulate(centres)))


def _own(power: np.ndarray) -> np.ndarray:
    """Return the weights of frames (n_frames, n_steps) for the centre of a step.

    A frame that changes all steps, through attention or a mean over time, tells nothing about one: the least change is
    subtracted. Changes below TAIL of the largest one are those of the far frames of a wide field, which the ends of a
    clip cut off on one side, and of attention to a part of the clip.
    """
    own = power - power.min(axis=1, keepdims=True) if power.shape[1] > 1 else power
    return np.where(own > TAIL * own.max(), own, 0)


def _rounded(time: float) -> float:
    return round(float(time) * ROUND) / ROUND


def _changes(
    of: Clips, layers: Sequence[str], frames: Sequence[int] | None = None, draws: int = 0, seed: int = 0
) -> dict[str, np.ndarray]:
    """Return the squared change of each step by each of some frames, by default all: {layer: (n_frames, n_steps)}.

    draws: of the noise; 0 for as many as the layers need; seed: of the first one.
    """
    frames = range(of.length) if frames is None else frames
    total: dict[str, np.ndarray] = {}
    most = MOST_SMALL if sum(part.numel() for part in of.model.module.parameters()) < SMALL else MOST_LARGE
    wanted, done = draws or FEWEST, 0
    while done < wanted:
        clip = of.draw(seed + done)
        base = _steps(of.model, layers, clip)
        generator = torch.Generator().manual_seed(seed + done)
        noise = SIZE * clip.std() * torch.randn(clip.shape, generator=generator).to(clip)
        for row, frame in enumerate(frames):
            changed = clip.clone()
            changed.narrow(of.axes.T, frame, 1).add_(noise.narrow(of.axes.T, frame, 1))
            for layer, value in _steps(of.model, layers, changed).items():
                power = ((value - base[layer]).double() ** 2).sum(dim=1).cpu().numpy()
                total.setdefault(layer, np.zeros((len(frames), len(power))))[row] += power
        needed = math.ceil(VALUES / min(value.shape[1] for value in base.values()))
        wanted = draws or max(FEWEST, min(most, needed))
        done += 1
    return total


def _steps(model: Model, layers: Sequence[str], clip: Tensor) -> dict[str, Tensor]:
    """Return the values of each layer by step, (n_steps, n_features).

    A network may fail behind its last layer, as a head does that expects the size of whole pictures.
    """
    process, values = model.process_output or (lambda _layer, output: output), {}

    def read(layer: str, output) -> None:
        value = plain(process(layer, output))[0]
        # a copy: a later in-place operation of the network would change it
        values[layer] = value.movedim(model.layers[layer].index("T"), 0).flatten(1).to(torch.float32, copy=True)

    try:
        with hooked(model.module, list(layers), read):
            model.module(clip)
    except Exception:  # a network may fail with any exception
        if len(values) < len(layers):
            raise
    return {layer: values[layer] for layer in layers}
