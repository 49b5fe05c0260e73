"""Miniature of CRCNS mt-2: three cells with films of 60 to 70 s, different sizes, MATLAB 7.3; one without spikes.

A cell's rate is planted in the layer motion of the embedded network; one stretch is marked as invalid by -1, another by
NaN.
"""

from pathlib import Path

import numpy as np

from src.data.synthetic import plant
from src.data.synthetic.scenes import moving_scenes
from src.utils import regular_bins

STUDY = "crcns-mt2"
FPS, LAYER = 72, "motion"
CELLS = {"ct0001_arg0466d_128": (60.0, 0), "ct0007_arg0490d_96": (70.0, 1), "ct0012_arg0501d_128": (62.5, 2)}
SILENT = "ct0020_arg0510d_64"
NEGATIVE, MISSING = slice(720, 864), slice(2000, 2015)
EXPECTED = {"crcns-mt2": {"stimuli": 3, "subjects": 1, "repetitions": 1, "bins": 1500, "units": 3}}


def render(seconds: float, seed: int) -> np.ndarray:
    """Return grey frames (n_frames, 48, 64): wider than high, so that a transposed film is detected."""
    slow = moving_scenes(np.random.default_rng([seed, 2]), round(seconds * 25) + 1, (0.4, 1.2))
    at = (np.arange(round(seconds * FPS)) * 25 / FPS).astype(int)
    return slow[at, 8:56].mean(axis=3).astype(np.uint8)


def write(folder: Path) -> None:
    """Write one file per cell."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (seconds, seed) in CELLS.items():
        frames = render(seconds, seed)
        spikes = _spikes(frames, seed).astype(np.float64)
        if seed == 0:
            spikes[NEGATIVE], spikes[MISSING] = -1, np.nan
        _save(folder / f"{name}.mat", frames, spikes, floats=seed == 1)
    short = render(2.0, 9)
    _save(folder / f"{SILENT}.mat", short, np.zeros(len(short)), floats=False)


def _spikes(frames: np.ndarray, seed: int) -> np.ndarray:
    """Return spike counts per frame, with a rate planted in the layer's activations in bins of 200 ms."""
    rng = np.random.default_rng(seed)
    # the network receives 25 square frames per second, as models do
    at = (np.arange(int(len(frames) * 25 / FPS)) * FPS / 25).astype(int)
    film = _square(frames[at])
    bins = regular_bins(1000 * len(frames) / FPS, 200)
    rows = plant.binned([film], [bins])[0][LAYER]
    signal = plant.unit_variance(rows @ plant.directions(np.random.default_rng(5), rows, 1, 2))[:, 0]
    per_frame = np.clip(0.6 * (1 + 0.6 * signal), 0.02, None)
    of_frame = np.minimum((np.arange(len(frames)) * 1000 / FPS / 200).astype(int), len(bins) - 1)
    return rng.poisson(per_frame[of_frame])


def _square(frames: np.ndarray) -> np.ndarray:
    import torch

    tensor = torch.from_numpy(frames[:, None].astype(np.float32))
    square = torch.nn.functional.interpolate(tensor, (64, 64), mode="bilinear", antialias=True, align_corners=False)
    return np.repeat(square.numpy()[:, 0, ..., None], 3, axis=3).round().astype(np.uint8)


def _save(path: Path, frames: np.ndarray, spikes: np.ndarray, floats: bool) -> None:
    """Write (height, width, time) arrays as MATLAB 7.3 does: HDF5 with the axes reversed."""
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        transposed = frames.transpose(0, 2, 1)
        values = transposed.astype(np.float64) if floats else transposed
        file.create_dataset("rawStims", data=values, chunks=(64, 64, 48))
        file.create_dataset("psths", data=spikes[None])
        file.create_dataset("cellid", data=np.array([[ord(c)] for c in path.stem[:6]], np.uint16))
        file.create_dataset("ranges/crange", data=np.array([[1.0], [0.9 * len(frames)]]).round())
        file.create_dataset("ranges/vrange", data=np.arange(0.9 * len(frames), len(frames)).round()[None] + 1)
    with open(path, "r+b") as handle:
        handle.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
