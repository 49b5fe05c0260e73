"""Preprocessing that treats every frame alone, defined once and executed on the CPU or on the device of a network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .catalogue.entry import Preprocessing

if TYPE_CHECKING:
    import torch

CHUNK = 8  # frames resized at once; large videos would take gigabytes as floats
AXES = {"CHW": (0, 1, 2, 3), "TCHW": (0, 1, 2, 3), "CTHW": (1, 0, 2, 3)}


@dataclass(frozen=True)
class FramePreprocessing:
    """Preprocessing of single frames by tensor operations.

    images: function from frames, uint8 (n_frames, 3, height, width), RGB, on any device to the network's images,
    float (n_frames, 3, height, width), on the same device; a frame's image does not depend on the other frames.
    axes: "CHW", "TCHW" or "CTHW", axes of one sample of the network's input.
    """

    images: "Callable[[torch.Tensor], torch.Tensor]"
    axes: str

    def __call__(self, frames: np.ndarray) -> "torch.Tensor":
        """Return the network's input from frames, uint8 (n_frames, height, width, 3), on the CPU."""
        import torch

        return self.arranged(self.images_of(torch.from_numpy(np.ascontiguousarray(frames))))

    def images_of(self, frames: "torch.Tensor") -> "torch.Tensor":
        """Return the images of frames, uint8 (n_frames, height, width, 3), on their device."""
        return self.images(frames.permute(0, 3, 1, 2))

    def arranged(self, images: "torch.Tensor") -> "torch.Tensor":
        """Return images (..., n_frames, 3, height, width) with the axes of the network's input."""
        lead = images.ndim - 4
        order = (*range(lead), *(lead + axis for axis in AXES[self.axes]))
        return images.permute(order).contiguous()


def preprocessor(preprocessing: Preprocessing) -> FramePreprocessing:
    """Return the preprocessing that the catalogue declares.

    Resizing with antialiasing (torch's), bilinear or bicubic: the short side to `preprocessing.resize` px, aspect ratio
    kept, and a central crop of `preprocessing.shape`; or directly to that shape. Values are scaled to [0, 1] and
    normalised. The input is float32, (n_frames, 3, height, width) for the axes "CHW" and "TCHW", (3, n_frames, height,
    width) for "CTHW".
    """

    def images(frames: "torch.Tensor") -> "torch.Tensor":
        import torch

        parts = [_cropped(_resized(chunk, preprocessing), preprocessing.shape) for chunk in frames.split(CHUNK)]
        pixels = normalised(torch.cat(parts) / 255, preprocessing.mean, preprocessing.std)
        return pixels.flip(1) if preprocessing.bgr else pixels

    return FramePreprocessing(images, preprocessing.axes)


def normalised(pixels: "torch.Tensor", mean: tuple[float, ...], std: tuple[float, ...]) -> "torch.Tensor":
    """Return pixels (n_frames, 3, height, width) minus the mean of their channel, divided by its std."""
    import torch

    # copies to a GPU that do not wait for the work that is queued there
    constants = (torch.tensor(values, dtype=pixels.dtype)[:, None, None] for values in (mean, std))
    mean, std = (values.to(pixels.device, non_blocking=True) for values in constants)
    return (pixels - mean) / std


def _resized(frames: "torch.Tensor", preprocessing: Preprocessing) -> "torch.Tensor":
    """Return the frames as float tensor (n_frames, 3, height, width) in [0, 255], resized before the crop."""
    from torch.nn.functional import interpolate

    pixels = frames.float()
    height, width = pixels.shape[-2:]
    shape = preprocessing.shape
    if preprocessing.resize:
        scale = preprocessing.resize / min(height, width)
        shape = max(shape[0], round(height * scale)), max(shape[1], round(width * scale))
    if (height, width) == shape:
        return pixels
    if preprocessing.interpolation == "nearest":
        return interpolate(pixels, shape, mode="nearest-exact")
    # bicubic interpolation overshoots at edges
    return interpolate(pixels, shape, mode=preprocessing.interpolation, antialias=True).clamp_(0, 255)


def _cropped(pixels: "torch.Tensor", shape: tuple[int, int]) -> "torch.Tensor":
    """Return the centre, (height, width) px."""
    top, left = ((side - kept) // 2 for side, kept in zip(pixels.shape[-2:], shape, strict=True))
    return pixels[..., top : top + shape[0], left : left + shape[1]]
