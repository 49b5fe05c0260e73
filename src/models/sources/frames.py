"""Frames in memory with the interfaces of a video and of image files, for Brain-Score's preprocessing."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def as_files(frames: np.ndarray, on_disk: bool = False) -> Iterator[list]:
    """Yield the frames as lossless image files: in memory, or as paths for code that opens files by name."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        targets = [f"{folder}/{i:06d}.png" if on_disk else io.BytesIO() for i in range(len(frames))]
        for frame, target in zip(frames, targets, strict=True):
            Image.fromarray(frame).save(target, format="png" if on_disk else "bmp")
        yield targets


class FramesVideo:
    """Frames in memory with the interface of Brain-Score's `Video`; transformations return copies.

    frames: uint8 (n_frames, height, width, 3); fps: their rate, frames per second.
    """

    def __init__(self, frames: np.ndarray, fps: float):
        self._frames, self.fps = frames, fps
        self.num_frames = len(frames)
        self.duration = len(frames) * 1000 / fps
        self.frame_size = (frames.shape[2], frames.shape[1])
        self.original_num_frames = len(frames)

    def copy(self) -> "FramesVideo":
        """Return a copy that shares the frames."""
        return FramesVideo(self._frames, self.fps)

    def set_size(self, size: tuple[int, int]) -> "FramesVideo":
        """Return the video resized to (width, height) by Brain-Score's bilinear resizing."""
        from brainscore_vision.model_helpers.activations.temporal.utils import batch_2d_resize

        if tuple(size) == self.frame_size:
            return self.copy()
        return FramesVideo(batch_2d_resize(self._frames, tuple(size), "bilinear"), self.fps)

    def set_fps(self, fps: float) -> "FramesVideo":
        """Return the video at another rate, with the frame that is current at each time."""
        steps = np.arange(0, self.num_frames - 1e-9, self.fps / fps).astype(int)
        return FramesVideo(self._frames[steps], fps)

    def set_window(self, start: float, end: float, padding: str = "repeat") -> "FramesVideo":
        """Return the frames from start to end in ms, the first or last one repeated outside the video."""
        steps = np.arange(start * self.fps / 1000, end * self.fps / 1000 - 1e-9).astype(int)
        return FramesVideo(self._frames[np.clip(steps, 0, self.num_frames - 1)], self.fps)

    def to_numpy(self) -> np.ndarray:
        """Return the frames, uint8 (n_frames, height, width, 3)."""
        return self._frames

    def to_frames(self) -> list[np.ndarray]:
        """Return the frames as a list of arrays."""
        return list(self._frames)

    def to_pil_imgs(self) -> list:
        """Return the frames as a list of PIL images."""
        from PIL import Image

        return [Image.fromarray(frame) for frame in self._frames]
