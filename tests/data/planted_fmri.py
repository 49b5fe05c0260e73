"""Shared parts of the miniature fMRI releases: small films, and vertices that respond as layers of a network.

A vertex belongs to one of `N_GROUPS` groups; a group responds as one random direction of one layer. Every group has a
signal of variance 1, so that the effect of a reader on it can be measured.
"""

import itertools
from functools import cache
from pathlib import Path

import numpy as np

from src import fakenet
from src.data.synthetic import plant
from src.data.synthetic.files import FPS, render_films
from src.data.synthetic.scenes import moving_scenes
from src.utils import regular_bins, seed_from

N_HEMI = 10242
GROUPS_PER_LAYER = 2
N_GROUPS = GROUPS_PER_LAYER * len(fakenet.LAYERS)


def rng(*parts) -> np.random.Generator:
    return np.random.default_rng(seed_from("miniature", *parts))


@cache
def _film(seed: str, suffix: str, seconds: float) -> tuple[bytes, dict[str, np.ndarray]]:
    """Return a film's file and the activations of every layer to each of its frames."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"film{suffix}"
        frames = list(render_films(lambda _: moving_scenes(rng(seed), round(seconds * FPS)), [path]))
        activations = next(plant.layer_steps(frames))
        return path.read_bytes(), {layer: steps[: len(frames[0])].copy() for layer, steps in activations.items()}


def film_signals(path: Path, seconds: float, bins_ms: np.ndarray) -> np.ndarray:
    """Write a film and return the groups' lagged responses to it, in bins since its onset: (n_bins, N_GROUPS).

    Bins before the film's onset have its first value, bins after its end its last one.
    """
    content, activations = _film(path.name, path.suffix, seconds)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    whole = regular_bins(seconds * 1000, 1000)
    rows = {layer: plant.lagged(plant.bin_means(steps, whole)) for layer, steps in activations.items()}
    return _resample(_grouped(rows, path.name), bins_ms)


def _grouped(rows: dict[str, np.ndarray], seed: str) -> np.ndarray:
    made = [plant.directions(rng(seed, layer), rows[layer], GROUPS_PER_LAYER, 4) for layer in rows]
    return plant.unit_variance(np.concatenate([rows[a] @ w for a, w in zip(rows, made, strict=True)], axis=1))


def _resample(seconds: np.ndarray, bins_ms: np.ndarray) -> np.ndarray:
    """Return a signal in seconds since onset at the middles of other bins, its ends held."""
    middles = bins_ms.mean(axis=1)
    at = 1000 * np.arange(len(seconds)) + 500
    return np.stack([np.interp(middles, at, column) for column in seconds.T], axis=1)


def clip_signals(paths: list[Path], seconds: float = 3.0) -> np.ndarray:
    """Write clips and return one value per clip and group, of variance 1: (n_clips, N_GROUPS)."""
    bins = itertools.repeat(regular_bins(seconds * 1000, seconds * 1000), len(paths))
    for folder in {path.parent for path in paths}:
        folder.mkdir(parents=True, exist_ok=True)
    films = render_films(lambda file: moving_scenes(rng("clip", file), round(seconds * FPS)), paths)
    activations = plant.binned(films, bins)
    rows = {layer: np.concatenate([clip[layer] for clip in activations]) for layer in fakenet.LAYERS}
    return _grouped(rows, "clips")


def group_of_vertex(n: int = N_HEMI) -> np.ndarray:
    """Return the group of each vertex of a hemisphere: (n,)."""
    return np.arange(n) % N_GROUPS


def write_gifti(path: Path, series: np.ndarray) -> None:
    """Write a surface series (n_volumes, n_vertices) as fMRIPrep does, in whole numbers, which compress."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = [
        nibabel.gifti.GiftiDataArray(np.round(volume).astype(np.float32), intent="NIFTI_INTENT_TIME_SERIES")
        for volume in series
    ]
    nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), path)


def volume_groups(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Return the group of each voxel by its place, slabs along the brain in each hemisphere: array of `shape`."""
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    place = grid @ affine[:3, :3].T + affine[:3, 3]
    slab = np.clip(((place[..., 1] + 105) / 180 * (N_GROUPS // 2)).astype(int), 0, N_GROUPS // 2 - 1)
    return slab + (N_GROUPS // 2) * (place[..., 0] > 0)


AFFINE = np.array([[8.0, 0, 0, -88], [0, 8, 0, -124], [0, 0, 8, -72], [0, 0, 0, 1]])
SHAPE = (23, 28, 23)


def write_volumes(path: Path, signals: np.ndarray, tr_s: float | None = 1.0, noise: float = 0.3) -> None:
    """Write volumes in MNI space whose voxels respond as their group, plus noise: signals (n_volumes, N_GROUPS)."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    noisy = signals + rng(path.name).standard_normal(signals.shape) * noise
    values = 100 + noisy[:, volume_groups(SHAPE, AFFINE)]
    image = nibabel.Nifti1Image(np.moveaxis(values, 0, -1).astype(np.float32), AFFINE)
    if tr_s is not None:
        image.header.set_zooms((8, 8, 8, tr_s))
        image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, path)
