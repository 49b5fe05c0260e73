"""Preprocessing of frames as the catalogue declares it (`Preprocessing`)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .catalogue.entry import Preprocessing

if TYPE_CHECKING:
    import torch

CHUNK = 8  # frames resized at once; large videos would take gigabytes as floats
AXES = {"CHW": (0, 1, 2, 3), "TCHW": (0, 1, 2, 3), "CTHW": (1, 0, 2, 3)}


def preprocessor(preprocessing: Preprocessing) -> "Callable[[np.ndarray], torch.Tensor]":
    """Return the function that preprocesses frames, uint8 (n_frames, height, width, 3), RGB.

    Resizing with antialiasing (torch's), bilinear or bicubic: the short side to `preprocessing.resize` px, aspect ratio
    kept, and a central crop of `preprocessing.shape`; or directly to that shape. Values are scaled to [0, 1] and
    normalised. The result is float32, (n_frames, 3, height, width) for the axes "CHW" and "TCHW", (3, n_frames, height,
    width) for "CTHW".
    """
    order = AXES[preprocessing.axes]

    def preprocess(frames: np.ndarray) -> "torch.Tensor":
        import torch

        mean, std = (torch.tensor(values)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
        chunks = (frames[i : i + CHUNK] for i in range(0, len(frames), CHUNK))
        parts = [_cropped(_resized(chunk, preprocessing), preprocessing.shape) for chunk in chunks]
        pixels = (torch.cat(parts) / 255 - mean) / std
        return (pixels.flip(1) if preprocessing.bgr else pixels).permute(order).contiguous()

    return preprocess


def _resized(frames: np.ndarray, preprocessing: Preprocessing) -> "torch.Tensor":
    """Return the frames as float tensor (n_frames, 3, height, width) in [0, 255], resized before the crop."""
    import torch
    from torch.nn.functional import interpolate

    pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
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
