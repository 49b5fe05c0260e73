"""Times of the steps of each layer within a clip, measured by changes of single frames.

Step k of a layer depends on frames around a centre: after a convolution of kernel 3, stride 2 and padding 1 this is
frame 2k, not the middle of the k-th pair of frames. Single frames are changed by small noise. The centre of a step is
the mean of the frames, weighted by the squared change of the step. Steps of a recurrent layer, which reach far back and
not ahead, count at the last frame that they have seen: their memory is no delay.

Most networks take clips of many lengths. Their steps have a constant stride, so that the frames of one stride in the
middle of a clip suffice, far from its ends; and time does not depend on the size of the pictures, which are cut to
`CROP` px where the network takes them. A network of one length is measured frame by frame.
"""

import math
from collections.abc import Sequence
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
FEWEST = 2  # draws of the noise
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
                found = {layer: _listed(one) for layer, one in _changes(Clips(model, most, device), layers).items()}
                return {layer: times for layer, times in found.items() if len(times.listed) > 1}, ""
            return _regular(model, layers, device, least, most)
    except Exception as error:  # a network may raise any exception; its steps are then spread evenly
        return {}, f"times of the steps cannot be measured ({error_line(error, 200)}); they are spread evenly"


def timed(model: Model) -> list[str]:
    """Return the layers of a video model with an axis of time."""
    return [layer for layer, axes in model.layers.items() if "T" in axes] if model.kind == "video" else []


def step_centres(
    model: Model, device: str = "cpu", n_frames: int | None = None, crop: bool = False
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
    crop : bool, default False
        Pictures of 64 px instead of whole ones.

    Returns
    -------
    dict of {str: array of shape (n_steps,)}
        Centres in frames of the clip: 0 is the middle of the first frame. Empty for a model of single frames. Steps
        near the ends have centres of the frames that exist; NaN where no frame changes a step.
    """
    layers = timed(model)
    if not layers:
        return {}
    least, most = _limits(model)
    length = n_frames or int(min(most, max(least, SHORT)))
    with torch.inference_mode():
        changes = _changes(Clips(model, length, device, CROP if crop else 0), layers)
    frames = np.arange(length)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return {layer: (frames * power).sum(axis=0) / power.sum(axis=0) for layer, power in changes.items()}


def takes_crops(model: Model, device: str = "cpu") -> bool:
    """Return True if the network takes pictures of 64 px, with the steps that its layers have for whole ones."""
    layers, length = timed(model), max(_limits(model)[0], SHORT // 2)
    try:
        small = _counts(Clips(model, length, device, CROP), layers)
    except Exception:  # a network may refuse a size with any exception
        return False
    return small == _counts(Clips(model, length, device), layers)


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


def _regular(
    model: Model, layers: Sequence[str], device: str, least: int, most: float
) -> tuple[dict[str, StepTimes], str]:
    """Return the times of the steps of a model that takes clips of many lengths, and a note."""
    crop = CROP if takes_crops(model, device) else 0
    length = int(min(max(LONG if crop else SHORT, 2 * least), most))

    def counts(n_frames: int) -> dict[str, int]:
        return _counts(Clips(model, n_frames, device, crop), layers)

    long, half = counts(length), counts(length // 2)
    strides = {layer: (length - length // 2) / max(1, long[layer] - half[layer]) for layer in layers}
    rounded = {layer: round(stride) for layer, stride in strides.items() if long[layer] > half[layer]}
    rounded = {layer: stride for layer, stride in rounded.items() if stride <= min(LARGEST_STRIDE, length // 2)}
    cycle = max(rounded.values(), default=1)
    shorter = [long, *(counts(length - d) for d in range(1, cycle) if length - d >= least)]
    shortest = {layer: _shortest(length, stride, [n[layer] for n in shorter]) for layer, stride in rounded.items()}
    good = [layer for layer, shape in shortest.items() if shape is not None]
    width = int(np.lcm.reduce([rounded[layer] for layer in good])) if good else 1
    frames = range(max(0, (length - width) // 2), min(length, (length - width) // 2 + width))
    changes = _changes(Clips(model, length, device, crop), good, frames) if good else {}
    found = {
        layer: StepTimes(_first(power, frames, rounded[layer]), float(rounded[layer]), shortest[layer])
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


@torch.inference_mode()
def _counts(of: Clips, layers: Sequence[str]) -> dict[str, int]:
    """Return the number of steps of each layer."""
    return {layer: len(value) for layer, value in _steps(of.model, layers, of.draw(0)).items()}


def _first(power: np.ndarray, frames: range, stride: int) -> float:
    """Return the time of step 0 from the changes of all steps by the frames of whole strides."""
    lags = np.array(frames)[:, None] - stride * np.arange(power.shape[1])
    newest = _newest(power, lags, stride)
    if newest is not None:
        return _rounded(newest)
    weights = _own(power)
    return _rounded((weights * lags).sum() / weights.sum())


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


def _changes(of: Clips, layers: Sequence[str], frames: Sequence[int] | None = None) -> dict[str, np.ndarray]:
    """Return the squared change of each step by each of some frames, by default all: {layer: (n_frames, n_steps)}."""
    frames = range(of.length) if frames is None else frames
    total: dict[str, np.ndarray] = {}
    most = MOST_SMALL if sum(part.numel() for part in of.model.module.parameters()) < SMALL else MOST_LARGE
    draws, seed = FEWEST, 0
    while seed < draws:
        clip = of.draw(seed)
        base = _steps(of.model, layers, clip)
        generator = torch.Generator().manual_seed(seed)
        noise = SIZE * clip.std() * torch.randn(clip.shape, generator=generator).to(clip)
        for row, frame in enumerate(frames):
            changed = clip.clone()
            changed.narrow(of.axes.T, frame, 1).add_(noise.narrow(of.axes.T, frame, 1))
            for layer, value in _steps(of.model, layers, changed).items():
                power = ((value - base[layer]).double() ** 2).sum(dim=1).cpu().numpy()
                total.setdefault(layer, np.zeros((len(frames), len(power))))[row] += power
        draws = max(FEWEST, min(most, math.ceil(VALUES / min(value.shape[1] for value in base.values()))))
        seed += 1
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
