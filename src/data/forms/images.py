"""Series of fMRI volumes as arrays (n_volumes, n_units) with a table of the units: GIFTI, CIFTI and NIfTI.

Surface meshes of fsaverage and fsaverage6 are reduced to fsaverage5, whose vertices are the first 10,242 of theirs.
Voxels are those of a mask, or are averaged in the parcels of a parcellation, sampled at the centre of each voxel.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import numpy as np

from ...utils import BadInput, first_names
from ..fmri import atlas

READ_ERRORS = (ExpatError, ValueError, OSError, EOFError, zlib.error, KeyError)
FSAVERAGE = {"fsaverage5": 10242, "fsaverage6": 40962, "fsaverage": 163842}


@dataclass(frozen=True)
class Series:
    """Values (n_volumes, n_units) of a run; geometry: description of the units, equal in all runs of a dataset."""

    values: np.ndarray
    units: dict[str, np.ndarray]
    geometry: Any
    tr_ms: float | None = None


def opened(path: Path) -> Any:
    """Return an image; BadInput for a file that cannot be read."""
    import nibabel

    try:
        return nibabel.load(path)
    except (*READ_ERRORS, nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> BadInput:
    reason = " ".join(str(error).replace(str(path), path.name).split())[:160]
    return BadInput(f"{path.name}: cannot be read ({reason}); the file is damaged: get or make it again")


def _data(path: Path, image: Any) -> np.ndarray:
    try:
        return np.asarray(image.dataobj, dtype=np.float32)
    except READ_ERRORS as error:
        raise _damaged(path, error) from error


def read_surfaces(files: Mapping[str, Path], space: str) -> Series:
    """Return the vertices of both hemispheres, left first. files: {"L": path, "R": path}."""
    values, sizes = [], {}
    for hemi in atlas.HEMISPHERES:
        try:
            volumes = [array.data for array in opened(files[hemi]).darrays]
            one = np.stack(volumes).astype(np.float32)
        except READ_ERRORS as error:
            raise _damaged(files[hemi], error) from error
        if one.ndim == 3:  # one array of all volumes
            one = one[0].T
        sizes[hemi] = one.shape[1]
        if space in FSAVERAGE and one.shape[1] != FSAVERAGE[space]:
            raise BadInput(
                f"{files[hemi].name}: {one.shape[1]} vertices, but {space} has {FSAVERAGE[space]}; correct space"
            )
        values.append(one[:, : atlas.N_HEMI] if space in FSAVERAGE else one)
    left, right = values
    if len(left) != len(right):
        raise BadInput(
            f"{files['L'].name}: {len(left)} volumes left, {len(right)} right; expected as many: run fMRIPrep again"
        )
    hemi = np.repeat(atlas.HEMISPHERES, [left.shape[1], right.shape[1]])
    vertex = np.concatenate([np.arange(one.shape[1]) for one in values])
    units: dict[str, np.ndarray] = {"unit_id": np.arange(len(vertex)).astype(str), "hemi": hemi}
    if space in FSAVERAGE:
        units["vertex"] = vertex
    else:
        units["node"] = vertex
    return Series(np.concatenate(values, axis=1), units, (space, sizes["L"], sizes["R"]))


def read_cifti(path: Path, parcels: "Parcels | None") -> Series:
    """Return the grayordinates of a dense series, or the means of parcels; `region` is the structure or the parcel."""
    image = opened(path)
    try:
        time, models = image.header.get_axis(0), image.header.get_axis(1)
        structures = np.array([str(name).removeprefix("CIFTI_STRUCTURE_").lower() for name in models.name])
        tr_ms = float(time.step) * (1000.0 if str(time.unit).upper() == "SECOND" else 1.0)
        place = np.where(models.surface_mask, models.vertex, -1)
    except (AttributeError, IndexError, *READ_ERRORS) as error:
        raise BadInput(f"{path.name}: is no dense CIFTI series ({error}); expected a .dtseries.nii") from error
    values = _data(path, image)
    units: dict[str, np.ndarray] = {"unit_id": np.arange(len(structures)).astype(str), "region": structures}
    if (place >= 0).any():
        units["node"] = place
    geometry = ("cifti", len(structures))
    if parcels is not None:
        return _averaged(values, parcels.of_grayordinates(len(structures)), parcels, geometry, tr_ms)
    return Series(values, units, geometry, tr_ms)


@dataclass(frozen=True)
class Grid:
    """Shape and affine of volumes."""

    shape: tuple[int, ...]
    affine: np.ndarray

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Grid) and self.shape == other.shape and np.allclose(self.affine, other.affine, atol=1e-3)
        )

    def __str__(self) -> str:
        return " x ".join(map(str, self.shape))


def grid_of(path: Path) -> Grid:
    """Return the grid of a NIfTI image; BadInput for another file."""
    image = opened(path)
    if len(image.shape) not in (3, 4) or not hasattr(image, "affine") or image.affine is None:
        raise BadInput(f"{path.name}: is no volume, of shape {image.shape}; expected a NIfTI image")
    return Grid(tuple(image.shape[:3]), np.asarray(image.affine))


def read_volumes(path: Path, mask: np.ndarray, grid: Grid, parcels: "Parcels | None") -> Series:
    """Return the voxels of a mask (x, y, z), or the means of parcels within it."""
    image = opened(path)
    if len(image.shape) != 4:
        raise BadInput(f"{path.name}: an image of shape {image.shape}; expected volumes (x, y, z, n)")
    values = _data(path, image)[mask].T
    unit = image.header.get_xyzt_units()[1]
    zoom = float(image.header.get_zooms()[3])
    # 1 without a unit is the value of a header that states nothing
    stated = zoom > 0 and not (unit == "unknown" and zoom == 1)
    tr_ms = zoom * {"msec": 1.0, "usec": 0.001}.get(unit, 1000.0) if stated else None
    geometry = ("nifti", grid.shape, int(mask.sum()))
    if parcels is not None:
        return _averaged(values, parcels.of_voxels(grid)[mask], parcels, geometry, tr_ms)
    x, y, z = np.nonzero(mask)
    units = {"unit_id": np.array([f"{i}-{j}-{k}" for i, j, k in zip(x, y, z, strict=True)]), "x": x, "y": y, "z": z}
    return Series(values, units, geometry, tr_ms)


def read_mask(path: Path, grid: Grid) -> np.ndarray:
    """Return a mask on a grid, sampled at the centres of its voxels; BadInput for an empty one."""
    found = _sampled(path, grid) > 0
    if not found.any():
        raise BadInput(f"{path.name}: has no voxel within the volumes; expected a mask in their space")
    return found


def _sampled(path: Path, grid: Grid) -> np.ndarray:
    """Return the value of an image at the centre of each voxel of a grid, 0 outside it."""
    own, values = grid_of(path), _data(path, opened(path))
    values = values[..., 0] if values.ndim == 4 else values
    if own == grid:
        return values
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    world = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    inverse = np.linalg.inv(own.affine)
    place = np.round(world @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
    inside = ((place >= 0) & (place < np.array(own.shape))).all(axis=-1)
    found = np.zeros(grid.shape, dtype=values.dtype)
    found[inside] = values[tuple(place[inside].T)]
    return found


@dataclass(frozen=True)
class Parcels:
    """Parcellation in a NIfTI or a dense CIFTI label file, with the names of its labels where they are stated."""

    path: Path

    def of_voxels(self, grid: Grid) -> np.ndarray:
        """Return the label of each voxel of a grid: whole numbers (x, y, z), 0 for none."""
        return np.round(np.nan_to_num(_sampled(self.path, grid))).astype(int)

    def of_grayordinates(self, n: int) -> np.ndarray:
        """Return the label of each of `n` grayordinates; BadInput for another number of them."""
        labels = np.round(_data(self.path, opened(self.path))).astype(int).reshape(-1)
        if len(labels) != n:
            raise BadInput(
                f"{self.path.name}: {len(labels)} grayordinates, the series have {n}; expected the labels of the same "
                f"ones: choose another parcellation"
            )
        return labels

    def names(self) -> dict[int, str]:
        """Return {label: name}: of the CIFTI file, or of a table `index`, `name` beside a NIfTI file."""
        if self.path.name.endswith(".dlabel.nii"):
            table = opened(self.path).header.get_axis(0).label[0]
            return {int(label): str(name) for label, (name, _) in table.items()}
        stem = self.path.name.removesuffix(".gz").removesuffix(".nii")
        beside = self.path.with_name(f"{stem}.tsv")
        if not beside.is_file():
            return {}
        header, *rows = [line.split("\t") for line in beside.read_text(encoding="utf-8-sig").splitlines() if line]
        if not {"index", "name"} <= set(header):
            raise BadInput(f"{beside.name}: has the columns {first_names(header)}; expected index and name")
        at, to = header.index("index"), header.index("name")
        try:
            return {int(float(row[at])): row[to] for row in rows}
        except (ValueError, IndexError) as error:
            raise BadInput(f"{beside.name}: is no table of whole numbers and names ({error}); correct it") from error


def _averaged(values: np.ndarray, labels: np.ndarray, parcels: Parcels, geometry: Any, tr_ms: float | None) -> Series:
    """Return the mean of each parcel over its units with a value."""
    kept = [int(label) for label in np.unique(labels) if label > 0]
    if not kept:
        raise BadInput(f"{parcels.path.name}: has no parcel within the data; expected one in their space")
    names = parcels.names()
    means = np.stack([_mean(values[:, labels == label]) for label in kept], axis=1)
    titles = np.array([names.get(label, f"parcel {label}") for label in kept])
    units = {"unit_id": np.array([str(label) for label in kept]), "region": titles}
    return Series(means, units, (*geometry, tuple(kept)), tr_ms)


def _mean(values: np.ndarray) -> np.ndarray:
    finite = np.isfinite(values)
    counts = finite.sum(axis=1)
    total = np.where(finite, values, 0).sum(axis=1, dtype=np.float64)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan).astype(np.float32)


def joined_mask(paths: Sequence[Path], grid: Grid) -> np.ndarray:
    """Return the voxels that are in all masks; BadInput where there is none."""
    found = np.ones(grid.shape, dtype=bool)
    for path in paths:
        found &= read_mask(path, grid)
    if not found.any():
        raise BadInput(f"{paths[0].name}: no voxel is in the brain masks of all runs; state mask=FILE")
    return found
