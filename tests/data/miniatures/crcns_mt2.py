"""CRCNS mt-2 in small: three cells with films of 60 to 70 s, of unlike sizes, MATLAB 7.3, and one that never fires.

A cell's spikes follow the layer motion of the embedded network; a stretch is marked as invalid by -1, another by NaN.
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


def draw(seconds: float, seed: int) -> np.ndarray:
    """Grey frames (n_frames, 48, 64): wider than high, so that a turned film would be seen."""
    slow = moving_scenes(np.random.default_rng([seed, 2]), round(seconds * 25) + 1, (0.4, 1.2))
    at = (np.arange(round(seconds * FPS)) * 25 / FPS).astype(int)
    return slow[at, 8:56].mean(axis=3).astype(np.uint8)


def write(folder: Path) -> None:
    """One file a cell."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (seconds, seed) in CELLS.items():
        frames = draw(seconds, seed)
        spikes = _spikes(frames, seed).astype(np.float64)
        if seed == 0:
            spikes[NEGATIVE], spikes[MISSING] = -1, np.nan
        _save(folder / f"{name}.mat", frames, spikes, floats=seed == 1)
    short = draw(2.0, 9)
    _save(folder / f"{SILENT}.mat", short, np.zeros(len(short)), floats=False)


def _spikes(frames: np.ndarray, seed: int) -> np.ndarray:
    """A count a frame, whose rate follows the layer's answers in bins of 200 ms."""
    rng = np.random.default_rng(seed)
    # the network sees 25 square frames a second, as a model is shown them
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
    """As MATLAB 7.3 writes (height, width, time) arrays: HDF5 with the axes reversed."""
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        turned = frames.transpose(0, 2, 1)
        file.create_dataset("rawStims", data=turned.astype(np.float64) if floats else turned, chunks=(64, 64, 48))
        file.create_dataset("psths", data=spikes[None])
        file.create_dataset("cellid", data=np.array([[ord(c)] for c in path.stem[:6]], np.uint16))
        file.create_dataset("ranges/crange", data=np.array([[1.0], [0.9 * len(frames)]]).round())
        file.create_dataset("ranges/vrange", data=np.arange(0.9 * len(frames), len(frames)).round()[None] + 1)
    with open(path, "r+b") as handle:
        handle.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
