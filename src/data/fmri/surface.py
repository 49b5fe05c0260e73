"""Resampling of volumes and of the full fsaverage surface to fsaverage5, within each hemisphere.

Volumes are sampled by nilearn on its fsaverage5 meshes; they must be in MNI space, from which these meshes differ by a
few millimetres.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from ...utils import BadInput
from ..release import Http, Need, Release, fetch_hint
from .atlas import HEMISPHERES, N_HEMI

SAMPLING = ("white-to-pial", "pial-ball")
RADIUS_MM = 3.0
VOLUMES_AT_A_TIME = 25
N_FSAVERAGE = 163842
DOWNSAMPLING = ("sphere", "nested", "pial-median")
NEIGHBOURS = 10
MESHES = "fsaverage"
_SIDES = dict(zip(HEMISPHERES, ("left", "right"), strict=True))
NEED = Need(
    "fsaverage meshes (as nilearn fetches them)",
    f"{MESHES}/**/*.gii.gz",
    Http(
        {f"{MESHES}/fsaverage.tar.gz": "https://osf.io/svf8k/download"},
        gigabytes=0.1,
        unpack=(f"{MESHES}/fsaverage.tar.gz",),
    ),
    optional=True,
)


def open_volumes(path: Path):
    """Return a 4-D image whose data are read on access; BadInput for another file."""
    import nibabel

    try:
        # with one handle a compressed file is read once, not from its start for each block
        image = nibabel.load(path, keep_file_open=True)
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError) as error:
        raise BadInput(f"{path} cannot be read as NIfTI ({error}); the file is damaged: get it again") from error
    if len(image.shape) != 4 or image.shape[3] < 1:
        raise BadInput(f"{path}: an image of shape {image.shape}; expected volumes (x, y, z, n)")
    return image


def tr_ms(image) -> float | None:
    """Return the repetition time in a NIfTI header, in ms; None if it states none."""
    zoom, unit = float(image.header.get_zooms()[3]), image.header.get_xyzt_units()[1]
    if zoom <= 0 or unit not in ("sec", "msec", "usec", "unknown"):
        return None
    return zoom * {"sec": 1000.0, "msec": 1.0, "usec": 0.001, "unknown": 1000.0}[unit]


def sample_volumes(path: Path, sampling: str = SAMPLING[0]) -> np.ndarray:
    """Return volumes in MNI space at the vertices of fsaverage5: float32 (n_volumes, 20484), left first.

    sampling: "white-to-pial", the mean over ten depths between the two surfaces, or "pial-ball", the published mean in
    a ball of 3 mm around the pial vertices, which includes CSF and the opposite bank. Raises BadInput for damaged
    files.
    """
    return np.concatenate([_sample(block, sampling) for block in _blocks(path)])


def _blocks(path: Path) -> Iterator:
    """Yield the image in blocks of volumes, which limits memory."""
    import zlib

    from nibabel import Nifti1Image

    image = open_volumes(path)
    for start in range(0, image.shape[3], VOLUMES_AT_A_TIME):
        try:
            values = np.asarray(image.dataobj[..., start : start + VOLUMES_AT_A_TIME], dtype=np.float32)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise BadInput(f"{path} ends at volume {start} or later ({error}); it is damaged: get it again") from error
        yield Nifti1Image(values, image.affine)


def _sample(image, sampling: str) -> np.ndarray:
    import warnings

    from nilearn.surface import vol_to_surf

    meshes, found = fsaverage5(), []
    for side in _SIDES.values():
        options = {"kind": "ball", "radius": RADIUS_MM}
        if sampling == "white-to-pial":
            options = {"inner_mesh": meshes[f"white_{side}"]}
        with warnings.catch_warnings():
            # a vertex outside the volume is NaN, which is counted later
            warnings.filterwarnings("ignore", "Mean of empty slice")
            found.append(np.asarray(vol_to_surf(image, meshes[f"pial_{side}"], **options), dtype=np.float32).T)
    return np.concatenate(found, axis=1)


@cache
def fsaverage5() -> dict[str, str]:
    """Return the paths of nilearn's fsaverage5 meshes: pial_left, white_right, sphere_left, ..."""
    from nilearn.datasets import fetch_surf_fsaverage

    return {name: str(path) for name, path in fetch_surf_fsaverage("fsaverage5").items() if name != "description"}


class Downsampling:
    """Downsampling from fsaverage (163,842 vertices per hemisphere) to fsaverage5 (10,242).

    Methods: "sphere", the mean of all vertices whose nearest vertex of fsaverage5 on the sphere is the same (about
    sixteen); "nested", the first 10,242 vertices, which are those of fsaverage5; "pial-median", the published median of
    the ten nearest pial vertices, here within a hemisphere. All but "nested" need the meshes of fsaverage, see `NEED`.
    """

    def __init__(self, release: Release, method: str = DOWNSAMPLING[0]):
        self.method = method
        self._maps = {} if method == "nested" else {hemi: self._map(release, hemi) for hemi in HEMISPHERES}

    def __call__(self, values: np.ndarray, hemi: str) -> np.ndarray:
        """Return values (n, 163842) of a hemisphere as float32 (n, 10242)."""
        if self.method == "nested":
            return values[:, :N_HEMI].astype(np.float32)
        if self.method == "sphere":
            return (self._maps[hemi] @ values.T).T.astype(np.float32)
        return np.median(values[:, self._maps[hemi]], axis=2).astype(np.float32)

    def _map(self, release: Release, hemi: str):
        from scipy.spatial import cKDTree

        surface = "sphere" if self.method == "sphere" else "pial"
        fine = full_mesh(release, surface, hemi)
        coarse = fine[:N_HEMI]
        if self.method == "pial-median":
            return cKDTree(fine).query(coarse, k=NEIGHBOURS)[1]
        return _averaging(cKDTree(coarse).query(fine)[1])


def _averaging(nearest: np.ndarray):
    """Return the sparse matrix (n_coarse, n_fine) that averages over the fine vertices with the same `nearest`."""
    from scipy.sparse import csr_matrix

    size = np.bincount(nearest)
    return csr_matrix((1 / size[nearest], (nearest, np.arange(len(nearest)))), shape=(len(size), len(nearest)))


def full_mesh(release: Release, surface: str, hemi: str) -> np.ndarray:
    """Return the coordinates (163842, 3) of a surface of fsaverage; BadInput if it is missing or another mesh."""
    import nibabel

    file = f"{surface}_{_SIDES[hemi]}.gii.gz"
    found = sorted((release.folder / MESHES).rglob(file))
    if not found:
        raise BadInput(
            f"{release.name}: {file} of fsaverage is not in {release.folder / MESHES}; {fetch_hint(release.name)}; or "
            f"prepare with --downsampling nested, which needs no mesh"
        )
    points = nibabel.load(found[0]).agg_data("pointset")
    if points.shape != (N_FSAVERAGE, 3):
        raise BadInput(f"{found[0]}: {points.shape} coordinates; expected ({N_FSAVERAGE}, 3); fetch it again")
    return np.asarray(points, dtype=np.float64)


def check_width(path: Path, n_vertices: int) -> None:
    """Raise BadInput unless betas are on a hemisphere of fsaverage."""
    if n_vertices != N_FSAVERAGE:
        raise BadInput(f"{path}: {n_vertices} vertices; expected {N_FSAVERAGE}, a hemisphere of fsaverage")
