"""Frames in memory, offered to preprocessing code that expects a film or image files."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def as_files(frames: np.ndarray, on_disk: bool = False) -> Iterator[list]:
    """The frames as lossless image files: in memory, or as paths for code that opens files by name."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        targets = [f"{folder}/{i:06d}.png" if on_disk else io.BytesIO() for i in range(len(frames))]
        for frame, target in zip(frames, targets, strict=True):
            Image.fromarray(frame).save(target, format="png" if on_disk else "bmp")
        yield targets


class Clip:
    """Frames in memory that offer what Brain-Score's `Video` offers to a preprocessing; transformations copy.

    frames: uint8 (n_frames, height, width, 3); fps: their rate.
    """

    def __init__(self, frames: np.ndarray, fps: float):
        self._frames, self.fps = frames, fps
        self.num_frames = len(frames)
        self.duration = len(frames) * 1000 / fps
        self.frame_size = (frames.shape[2], frames.shape[1])
        self.original_num_frames = len(frames)

    def copy(self) -> "Clip":
        return Clip(self._frames, self.fps)

    def set_size(self, size: tuple[int, int]) -> "Clip":
        """Resized to (width, height) by Brain-Score's own bilinear resizing."""
        from brainscore_vision.model_helpers.activations.temporal.utils import batch_2d_resize

        same = tuple(size) == self.frame_size
        return self.copy() if same else Clip(batch_2d_resize(self._frames, tuple(size), "bilinear"), self.fps)

    def set_fps(self, fps: float) -> "Clip":
        """Sampled at another rate: the frame that is shown at each moment."""
        steps = np.arange(0, self.num_frames - 1e-9, self.fps / fps).astype(int)
        return Clip(self._frames[steps], fps)

    def set_window(self, start: float, end: float, padding: str = "repeat") -> "Clip":
        """The frames from start to end in ms, the first or last one repeated outside the clip."""
        steps = np.arange(start * self.fps / 1000, end * self.fps / 1000 - 1e-9).astype(int)
        return Clip(self._frames[np.clip(steps, 0, self.num_frames - 1)], self.fps)

    def to_numpy(self) -> np.ndarray:
        return self._frames

    def to_frames(self) -> list[np.ndarray]:
        return list(self._frames)

    def to_pil_imgs(self) -> list:
        from PIL import Image

        return [Image.fromarray(frame) for frame in self._frames]
