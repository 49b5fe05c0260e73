"""Temporal centres of the steps of each layer, measured by changes of single frames.

Step k of a layer depends on frames around a centre: after a convolution of kernel 3, stride 2 and padding 1 this is
frame 2k, not the middle of the k-th half of the clip. Single frames are changed by small noise; the centre of a step
is the mean of the frames, weighted by the squared change of the step.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..spec import Model
from .outputs import plain, run
from .probe import clip_axes, clips, frame_counts

SIZE = 0.05  # of the change, relative to the input's standard deviation: small, so that the network is nearly linear
DRAWS = 4


def step_centres(model: Model, device: str = "cpu", n_frames: int | None = None) -> dict[str, np.ndarray]:
    """Return the temporal centre of each step of the layers with an axis of time.

    Parameters
    ----------
    model : Model
        A model of clips, in eval mode.
    device : str, default "cpu"
        Device of the passes, one per frame and draw.
    n_frames : int, optional
        Length of the clip in frames; default: 16, within the model's limits.

    Returns
    -------
    dict of {str: array of shape (n_steps,)}
        Centres in frames of the clip: 0 is the middle of the first frame. Empty for a model of single frames. Steps
        near the ends have centres of the frames that exist; NaN where no frame changes a step.
    """
    layers = [layer for layer, axes in model.layers.items() if "T" in axes] if model.kind == "video" else []
    if not layers:
        return {}
    least, most = model.num_frames
    length = n_frames or int(min(most, max(least, 16, frame_counts(model)[-1])))
    weights = dict.fromkeys(layers, 0.0)
    time = clip_axes(model, clips(model, 1, length, device), length, device).T
    for seed in range(DRAWS):
        clip = clips(model, 1, length, device, seed=10 * seed)
        base = _steps(model, layers, clip)
        generator = torch.Generator().manual_seed(seed)
        noise = SIZE * clip.std() * torch.randn(clip.shape, generator=generator).to(clip)
        for frame in range(length):
            changed = clip.clone()
            changed.narrow(time, frame, 1).add_(noise.narrow(time, frame, 1))
            for layer, value in _steps(model, layers, changed).items():
                power = ((value - base[layer]) ** 2).sum(dim=1).cpu().numpy()
                weights[layer] = weights[layer] + np.outer(np.eye(length)[frame], power)
    frames = np.arange(length)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return {layer: (frames * power).sum(axis=0) / power.sum(axis=0) for layer, power in weights.items()}


def evenly_spaced(n_steps: int, n_frames: int) -> np.ndarray:
    """Return the centres of steps that are spread evenly over a clip, in frames: Brain-Score's convention."""
    return (np.arange(n_steps) + 0.5) * n_frames / n_steps - 0.5


def _steps(model: Model, layers: Sequence[str], clip: Tensor) -> dict[str, Tensor]:
    """Return the values of each layer by step, (n_steps, n_features), in double precision."""
    process = model.process_output or (lambda _layer, output: output)

    def read(layer: str, output) -> Tensor:
        value = plain(process(layer, output))[0]
        return value.movedim(model.layers[layer].index("T"), 0).flatten(1).double()

    outputs = run(model.module, layers, clip, read)
    return {layer: calls[-1] for layer, calls in outputs.items()}
