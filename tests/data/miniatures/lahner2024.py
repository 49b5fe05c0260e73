"""Lahner et al. 2024 in small: two people with all pickles, a third with half of them; three excluded clips.

On the whole fsaverage mesh, for that is what its pickles hold; its sphere here is any set of points around the nested
ones.
"""

import pickle
from pathlib import Path

import numpy as np

from tests.data.planted_fmri import N_GROUPS, clip_signals, rng

STUDY = "lahner2024"
N_FSAVERAGE, N_HEMI = 163842, 10242
TRAIN, TEST = (
    [f"{k:04d}" for k in range(1, 43) if k not in (28, 32, 35, 40, 41)],
    [f"{k:04d}" for k in range(1001, 1009)],
)
REPEATS = {"train": 1, "test": 2}
EXPECTED = {"lahner2024-fmri": {"stimuli": 42, "subjects": 2, "repetitions": 2, "bins": 1, "units": 20484}}


def owners() -> np.ndarray:
    """The vertex of fsaverage5 that each vertex of fsaverage lies beside: its own for the nested ones."""
    return np.concatenate([np.arange(N_HEMI), rng("owners").integers(0, N_HEMI, N_FSAVERAGE - N_HEMI)])


def write(folder: Path) -> None:
    """The release, and fsaverage's meshes."""
    ids = sorted(TRAIN + TEST)
    signals = dict(zip(ids, clip_signals([folder / "stimuli" / f"{i}.mp4" for i in ids]), strict=True))
    for person in ("01", "02", "03"):
        for side in ("left", "right"):
            for part, listed in (("train", TRAIN), ("test", TEST)):
                if (person, side) != ("03", "right"):
                    few = listed if person != "03" else listed[:1]
                    _write_betas(folder, person, part, side, np.stack([signals[i] for i in few]), few)
    write_meshes(folder / "fsaverage")


def _write_betas(folder: Path, person: str, part: str, side: str, signals: np.ndarray, ids: list[str]) -> None:
    """Every vertex answers as the group of the vertex of fsaverage5 beside it, in noise."""
    draw = rng(person, part, side)
    n, repeats = len(ids), REPEATS[part]
    small = signals[:, None] + 0.5 * draw.standard_normal((n, repeats, N_GROUPS))
    place = folder / "derivatives/versionB/fsaverage/GLM" / f"sub-{person}" / "prepared_betas"
    place.mkdir(parents=True, exist_ok=True)
    with open(place / f"sub-{person}_organized_betas_task-{part}_hemi-{side}_normalized.pkl", "wb") as handle:
        pickle.dump((small[:, :, owners() % N_GROUPS], [f"vid{i}" for i in ids]), handle, protocol=4)


def write_meshes(folder: Path) -> None:
    """Spheres and pial surfaces of fsaverage's size whose further points lie beside the nested ones."""
    import nibabel
    from nilearn.datasets import fetch_surf_fsaverage
    from nilearn.surface import load_surf_mesh

    meshes = fetch_surf_fsaverage("fsaverage5")
    folder.mkdir(parents=True, exist_ok=True)
    for side in ("left", "right"):
        for surface in ("sphere", "pial"):
            coarse = load_surf_mesh(meshes[f"{surface}_{side}"]).coordinates
            shift = rng("mesh", side).uniform(-0.05, 0.05, (N_FSAVERAGE, 3))
            shift[:N_HEMI] = 0
            points = (coarse[owners()] + shift).astype(np.float32)
            array = nibabel.gifti.GiftiDataArray(points, intent="NIFTI_INTENT_POINTSET")
            nibabel.save(nibabel.gifti.GiftiImage(darrays=[array]), folder / f"{surface}_{side}.gii.gz")
