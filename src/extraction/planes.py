"""Frames as the planes Y, U and V of a film, converted to RGB on the device of a network.

Most films are stored as 8-bit 4:2:0 video of limited range. Their planes are half as large as RGB, and the conversion
is half of a worker's time. It is the integer arithmetic of swscale on x86, to the last bit; `Planes` compares it with
PyAV's frames in every film, and takes those where they differ.
"""

from collections.abc import Callable

import numpy as np
import torch

# {AVColorSpace: R of V, B of U, G of U, G of V}, in units of 2**-16; unspecified is taken for BT.601
BT601, BT709 = (104597, 132201, -25675, -53279), (117489, 138438, -13975, -34925)
COEFFICIENTS = {1: BT709, 2: BT601, 5: BT601, 6: BT601}
LUMA = 65536 * 255 // 219
COMPARED = 4  # every 4th pair of rows of frames 1, 4, 16, 64, ... is compared with PyAV's
LIMITED_RANGES = (0, 1)  # AVColorRange: unspecified, and 16 to 235


class Planes:
    """Conversion of the frames of one film to their planes, or to RGB where this is not exact.

    to_rgb: PyAV's conversion of a frame to RGB, uint8 (height, width, 3). `space`: colour space of the planes.
    """

    def __init__(self, to_rgb: Callable[..., np.ndarray]):
        self._to_rgb, self._exact = to_rgb, True
        self._count, self._next = 0, 1
        self.space = 0

    def __call__(self, frame) -> np.ndarray:
        """Return the planes of a frame, uint8 (3 * height / 2, width); or RGB, uint8 (height, width, 3)."""
        self.space = self.space or int(frame.colorspace)
        if not self._exact or not self._suitable(frame):
            return self._to_rgb(frame)
        planes = stacked_planes(frame)
        self._count += 1
        if self._count == self._next:
            self._next *= COMPARED
            rgb = self._to_rgb(frame)
            self._exact = rgb.shape == (frame.height, frame.width, 3) and self._agrees(planes, rgb)
            return planes if self._exact else rgb
        return planes

    def _agrees(self, planes: np.ndarray, rgb: np.ndarray) -> bool:
        """Return True if some rows of the planes, converted to RGB, are those of `rgb`."""
        height, width = rgb.shape[:2]
        luma = planes[:height].reshape(-1, 2, width)[::COMPARED]
        colour = planes[height:].reshape(2, -1, width // 2)[:, ::COMPARED]
        some = np.concatenate([luma.reshape(-1, width), colour.reshape(-1, width)])
        converted = rgb_of_planes(torch.from_numpy(some)[None], self.space)[0].numpy()
        return np.array_equal(converted, rgb.reshape(-1, 2, width, 3)[::COMPARED].reshape(-1, width, 3))

    def _suitable(self, frame) -> bool:
        return (
            frame.format.name == "yuv420p"
            and frame.width % 2 == frame.height % 2 == 0
            and int(frame.colorspace) == self.space
            and self.space in COEFFICIENTS
            and int(frame.color_range) in LIMITED_RANGES
            and not frame.interlaced_frame
        )


def stacked_planes(frame) -> np.ndarray:
    """Return the planes of a frame of PyAV, 4:2:0 with even sides: the rows of Y, then U and V in rows as wide."""
    height, width = frame.height, frame.width
    stacked = np.empty((height * 3 // 2, width), dtype=np.uint8)
    colour = stacked[height:].reshape(2, height // 2, width // 2)
    for target, plane in zip((stacked[:height], *colour), frame.planes, strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        target[...] = rows[: target.shape[0], : target.shape[1]]
    return stacked


def rgb_of_planes(planes: torch.Tensor, space: int) -> torch.Tensor:
    """Return frames, uint8 (n_frames, height, width, 3), RGB, from planes, uint8 (n_frames, 3 * height / 2, width)."""
    n, rows, width = planes.shape
    height = rows * 2 // 3
    luma = _scaled(planes[:, :height].int() * 8 - 128, LUMA)
    colour = planes[:, height:].reshape(n, 2, height // 2, width // 2).int() * 8 - 1024
    u, v = colour.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3).unbind(1)
    red_v, blue_u, green_u, green_v = COEFFICIENTS[space]
    green = _scaled(u, green_u) + _scaled(v, green_v)
    channels = luma + _scaled(v, red_v), luma + green, luma + _scaled(u, blue_u)
    return torch.stack(channels, dim=-1).clamp(0, 255).to(torch.uint8)


def _scaled(values: torch.Tensor, coefficient: int) -> torch.Tensor:
    """Return values, in eighths, times a coefficient in units of 2**-16, rounded down as swscale does."""
    return values * ((coefficient + 4) >> 3) >> 16
