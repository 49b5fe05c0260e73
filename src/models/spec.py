"""What the extractor needs to know of a model; no Brain-Score, no weights, no data here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Model:
    """A network ready to run, and how to feed and read it.

    module: in eval mode. kind "image": takes a batch of frames, and each layer's output has the batch of frames first;
        kind "video": takes a batch of clips.
    preprocess: frames, uint8 array of shape (n_frames, height, width, 3), RGB -> tensor. Kind "image": one row per
        frame, (n_frames, ...); kind "video": the input of one clip, without the batch axis.
    layers: {module path: axes of one sample's output without the batch axis}, letters T (time), C (channel), H, W
        (space), K (token), in the network's order; an "image" layer has no T.
    fps: frame rate at which the model samples the film.
    num_frames, duration_ms: (least, most) that one forward pass takes; most may be inf.
    process_output: (layer, output of the module) -> tensor with the declared axes behind the batch axis, or None.
    digest: SHA-256 over weights, architecture and preprocessing.
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

    def submodule(self, layer: str) -> "torch.nn.Module":
        """The module whose output is `layer`; "" names the network itself."""
        return self.module.get_submodule(layer)
