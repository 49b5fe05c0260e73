"""The Model record: a network with its input and its layers, as the extraction takes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import torch


DEFAULT_CONTEXT_MS = 4000.0  # window length of a video model where none is given
N_COMPONENTS = 5000  # dimensions of the sparse random projection of a layer


@dataclass(frozen=True)
class Model:
    """A network ready to run, with its preprocessing and the axes of its layers.

    Parameters
    ----------
    name : str
        Name of the model in messages and results.
    module : torch.nn.Module
        The network, in eval mode. It takes a batch of images (kind "image") or of clips (kind "video").
    preprocess : callable
        Frames, uint8 array of shape (n_frames, height, width, 3), RGB -> float tensor. Kind "image": one row per
        frame, (n_frames, ...). Kind "video": the input of one clip, without the batch axis.
    layers : mapping of {str: str}
        Axes of each layer's output for one sample, by module path, in the network's order. Letters without the batch
        axis: T (time), C (channel), H and W (space), K (token). A layer of kind "image" has no T.
    kind : "image" or "video"
        Input of the network.
    fps : float
        Rate at which the model samples a stimulus, frames per second.
    digest : str
        SHA-256 of weights, architecture and preprocessing, in hex. A model that is returned by a user's function may
        leave it "": it is then computed.
    num_frames : (float, float), default (1, inf)
        Minimum and maximum number of frames of one forward pass.
    duration_ms : (float, float), default (0, inf)
        Minimum and maximum duration of one forward pass, ms.
    process_output : callable, optional
        (layer, output of its module) -> tensor of the batch axis and the declared axes. By default the output itself.

    Examples
    --------
    >>> import torch
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5), torch.nn.ReLU()).eval()
    >>> def preprocess(frames):
    ...     return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    >>> model = Model("small", network, preprocess, {"0": "CHW", "1": "CHW"}, kind="image", fps=25.0, digest="")
    >>> model.num_frames
    (1, inf)
    """

    name: str
    module: "torch.nn.Module"
    preprocess: "Callable[[np.ndarray], torch.Tensor]"
    layers: Mapping[str, str]
    kind: Literal["image", "video"]
    fps: float
    digest: str
    num_frames: tuple[float, float] = (1, np.inf)
    duration_ms: tuple[float, float] = (0.0, np.inf)
    process_output: "Callable[[str, Any], torch.Tensor] | None" = None
