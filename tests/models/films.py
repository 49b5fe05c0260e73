"""Small encoded videos and networks for the tests of extraction, sampled from a seed."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch import nn

from src.models.spec import Model
from src.records import Stimuli
from src.video import probe


def drifting_frames(n_frames: int, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """A drifting random texture, uint8 (n_frames, height, width, 3); every frame differs from its neighbours."""
    texture = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    texture = texture.repeat(8, axis=0).repeat(8, axis=1)
    return np.stack([np.roll(texture, (2 * i, 3 * i), axis=(0, 1)) for i in range(n_frames)])


def write_film(path: Path, frames: np.ndarray, fps=25, codec: str = "libx264", stamps_ms=None, faststart=False) -> Path:
    """Encode `frames` at a constant rate, or at the whole milliseconds `stamps_ms`."""
    options = {"movflags": "faststart"} if faststart else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(100_000))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        if stamps_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if stamps_ms is not None:
                frame.pts, frame.time_base = int(stamps_ms[i]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def make_films(folder: Path, lengths: list[int], fps=25, name: str = "films") -> Stimuli:
    """One video per entry of `lengths` (frames)."""
    paths = [write_film(folder / f"{name}{i}.mp4", drifting_frames(n, seed=i), fps) for i, n in enumerate(lengths)]
    durations = np.array([probe(path).duration_ms for path in paths])
    ids = tuple(f"{name}-{i}" for i in range(len(paths)))
    return Stimuli(name, ids, tuple(paths), durations, ("video",) * len(paths))


def as_pixels(frames: np.ndarray) -> torch.Tensor:
    """(n, height, width, 3) uint8 -> (n, 3, height, width) in [-1, 1]."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1


def as_clip(frames: np.ndarray) -> torch.Tensor:
    """(n, height, width, 3) uint8 -> (3, n, height, width) in [-1, 1]."""
    return as_pixels(frames).transpose(0, 1)


class ClipNet(nn.Module):
    """Two 3-D convolutions, the second with half the time steps, and a read-out that mixes all time."""

    def __init__(self):
        super().__init__()
        self.early = nn.Conv3d(3, 4, (3, 5, 5), stride=(1, 4, 4), padding=(1, 2, 2))
        self.late = nn.Conv3d(4, 6, 3, stride=2, padding=1)
        self.readout = nn.Linear(6, 5)

    def forward(self, clips):
        return self.readout(torch.tanh(self.late(torch.tanh(self.early(clips)))).mean(dim=(2, 3, 4)))


class FrameNet(nn.Module):
    """One 2-D convolution and a read-out."""

    def __init__(self):
        super().__init__()
        self.early = nn.Conv2d(3, 4, 5, stride=4, padding=2)
        self.readout = nn.Linear(4, 5)

    def forward(self, frames):
        return self.readout(torch.tanh(self.early(frames)).mean(dim=(2, 3)))


def clip_model(fps: float = 12.5, **limits) -> Model:
    """A video model with layers of different time resolution."""
    torch.manual_seed(0)
    layers = {"early": "CTHW", "late": "CTHW", "readout": "C"}
    return Model("clip-net", ClipNet().eval(), as_clip, layers, "video", fps, "0", **limits)


def frame_model(fps: float = 25.0, preprocess: Callable = as_pixels) -> Model:
    """An image model."""
    torch.manual_seed(0)
    return Model("frame-net", FrameNet().eval(), preprocess, {"early": "CHW", "readout": "C"}, "image", fps, "0")
