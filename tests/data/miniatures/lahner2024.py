"""Miniature of Lahner et al. 2024: two subjects with all pickles, a third with half of them; three excluded clips.

The data are on the full fsaverage mesh, as in the release's pickles; its sphere here is a random set of points around
the nested ones.
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


def nearest() -> np.ndarray:
    """Return the nearest vertex of fsaverage5 of each vertex of fsaverage; a nested one is its own nearest."""
    return np.concatenate([np.arange(N_HEMI), rng("owners").integers(0, N_HEMI, N_FSAVERAGE - N_HEMI)])


def write(folder: Path) -> None:
    """Write the release and fsaverage's meshes."""
    ids = sorted(TRAIN + TEST)
    signals = dict(zip(ids, clip_signals([folder / "stimuli" / f"{i}.mp4" for i in ids]), strict=True))
    for subject in ("01", "02", "03"):
        for side in ("left", "right"):
            for part, listed in (("train", TRAIN), ("test", TEST)):
                if (subject, side) != ("03", "right"):
                    few = listed if subject != "03" else listed[:1]
                    _write_betas(folder, subject, part, side, np.stack([signals[i] for i in few]), few)
    write_meshes(folder / "fsaverage")


def _write_betas(folder: Path, subject: str, part: str, side: str, signals: np.ndarray, ids: list[str]) -> None:
    """Write betas in which every vertex responds as the group of its nearest vertex of fsaverage5, plus noise."""
    generator = rng(subject, part, side)
    n, repeats = len(ids), REPEATS[part]
    small = signals[:, None] + 0.5 * generator.standard_normal((n, repeats, N_GROUPS))
    place = folder / "derivatives/versionB/fsaverage/GLM" / f"sub-{subject}" / "prepared_betas"
    place.mkdir(parents=True, exist_ok=True)
    with open(place / f"sub-{subject}_organized_betas_task-{part}_hemi-{side}_normalized.pkl", "wb") as handle:
        pickle.dump((small[:, :, nearest() % N_GROUPS], [f"vid{i}" for i in ids]), handle, protocol=4)


def write_meshes(folder: Path) -> None:
    """Write spheres and pial surfaces of fsaverage's size whose further points are close to the nested ones."""
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
            points = (coarse[nearest()] + shift).astype(np.float32)
            array = nibabel.gifti.GiftiDataArray(points, intent="NIFTI_INTENT_POINTSET")
            nibabel.save(nibabel.gifti.GiftiImage(darrays=[array]), folder / f"{surface}_{side}.gii.gz")
