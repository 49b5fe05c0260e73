"""Scores on the cortical surface: fsaverage5 (Fischl et al. 1999), from the meshes that nilearn brings along."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from .theme import Theme

PER_HEMISPHERE = 10242
N_VERTICES = 2 * PER_HEMISPHERE
SIDES = ("left", "right")
# where the viewer's right, up and towards the viewer point to, in (right, anterior, superior) of the left hemisphere
VIEWS = {
    "lateral": ((0, -1, 0), (0, 0, 1), (-1, 0, 0)),
    "medial": ((0, 1, 0), (0, 0, 1), (1, 0, 0)),
    "ventral": ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),
}
MIRROR = np.array([-1.0, 1.0, 1.0])
PIXELS_PER_MM = 1.8


@dataclass(frozen=True)
class Mesh:
    """One hemisphere, inflated: points (n_vertices, 3) in mm, faces (n_faces, 3), sulcal depth (n_vertices,)."""

    points: np.ndarray
    faces: np.ndarray
    depth: np.ndarray


@cache
def meshes() -> dict[str, Mesh]:
    """The inflated hemispheres, "left" and "right"."""
    from nilearn import datasets, surface

    files = datasets.fetch_surf_fsaverage("fsaverage5")
    made = {}
    for side in SIDES:
        points, faces = surface.load_surf_mesh(files[f"infl_{side}"])
        depth = surface.load_surf_data(files[f"sulc_{side}"])
        made[side] = Mesh(np.asarray(points, float), np.asarray(faces), np.asarray(depth, float))
    return made


def vertices(arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """(n_targets,) the place of each target among the 20,484 vertices, left hemisphere first; None where it has none.

    A target table with columns `vertex` (0 to 10,241) and `hemi` says so itself; else every vertex must be a target.
    """
    n_targets = np.shape(arrays["test"])[1]
    if "target_vertex" in arrays and "target_hemi" in arrays:
        right = np.char.upper(np.asarray(arrays["target_hemi"]).astype("U1")) == "R"
        place = np.asarray(arrays["target_vertex"]).astype(int) + PER_HEMISPHERE * right
        return place if len(place) and place.min() >= 0 and place.max() < N_VERTICES else None
    if n_targets != N_VERTICES:
        return None
    if "target_hemi" in arrays:
        left = np.char.upper(np.asarray(arrays["target_hemi"]).astype("U1")) == "L"
        if not np.array_equal(left, np.arange(N_VERTICES) < PER_HEMISPHERE):
            return None
    return np.arange(N_VERTICES)


def spread(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(20484,) the targets' values at their vertices, NaN elsewhere."""
    full = np.full(N_VERTICES, np.nan)
    full[place] = values
    return full


def maps(
    values: np.ndarray,
    label: str,
    limits: tuple[float, float],
    colours: str,
    theme: Theme,
    ticks: Mapping | None = None,
):
    """`values` (20484,) on both hemispheres from three sides; NaN is grey. ticks: {value: text} of the colour bar."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.7, 2.75))
    shades = ScalarMappable(Normalize(*limits), colours)
    painted = np.where(np.isfinite(values)[:, None], shades.to_rgba(values)[:, :3], folds()[:, None])
    axes = figure.subplots(2, 3, width_ratios=(1, 1, 0.55))
    for row, side in zip(axes, SIDES, strict=True):
        for panel, view in zip(row, VIEWS, strict=True):
            _show(panel, side, view, painted)
        row[0].text(-0.06, 0.5, side, rotation=90, ha="center", va="center", transform=row[0].transAxes)
    for panel, view in zip(axes[0], VIEWS, strict=True):
        panel.text(0.5, 1.04, view, ha="center", va="bottom", transform=panel.transAxes)
    bar = figure.colorbar(shades, ax=axes, orientation="horizontal", fraction=0.06, aspect=35, pad=0.03)
    bar.set_label(label)
    bar.outline.set_visible(False)
    if ticks:
        bar.set_ticks(list(ticks), labels=list(ticks.values()))
    return figure


def folds() -> np.ndarray:
    """(20484,) the grey of vertices without a value, darker in the sulci."""
    return np.concatenate([np.where(mesh.depth > 0, 0.55, 0.68) for mesh in meshes().values()])


def _show(axes, side: str, view: str, painted: np.ndarray) -> None:
    """One view of one hemisphere; painted: (20484, 3) the colours of all vertices."""
    vertex, light = _seen(side, view)
    image = np.zeros((*vertex.shape, 4))
    at = vertex >= 0
    image[at, :3] = painted[vertex[at] + PER_HEMISPHERE * SIDES.index(side)] * light[at, None]
    image[at, 3] = 1
    axes.imshow(image, origin="lower", interpolation="antialiased")
    axes.set_adjustable("datalim")
    axes.axis("off")


@cache
def _seen(side: str, view: str) -> tuple[np.ndarray, np.ndarray]:
    """What a viewer sees, (height, width): each pixel's vertex, -1 beside the brain, and the light on it."""
    mesh = meshes()[side]
    across, up, towards = _axes_of(side, view)
    triangles = mesh.points[mesh.faces]
    facing = _outward_normals(triangles) @ towards
    order = np.flatnonzero(facing > 0)
    order = order[np.argsort(triangles[order].mean(axis=1) @ towards)]
    corners = PIXELS_PER_MM * np.stack([triangles[order] @ across, triangles[order] @ up], axis=2)
    corners -= corners.min(axis=(0, 1)) - 1
    width, height = np.ceil(corners.max(axis=(0, 1))).astype(int) + 2
    face, which, pixels = _rasterised(corners)
    vertex, light = np.full((height, width), -1), np.zeros((height, width))
    # the faces come farthest first, so that the nearest has the last word
    vertex[pixels[:, 1], pixels[:, 0]] = mesh.faces[order[face], which]
    light[pixels[:, 1], pixels[:, 0]] = 0.62 + 0.38 * facing[order[face]]
    return vertex, light


def _axes_of(side: str, view: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The viewer's right, up and backwards for a hemisphere."""
    across, up, towards = (np.array(axis, float) for axis in VIEWS[view])
    if side == "right" and view != "ventral":
        return -across, up, MIRROR * towards
    return across, up, towards


def _outward_normals(triangles: np.ndarray) -> np.ndarray:
    """(n_faces, 3) unit vectors that point out of the closed surface of `triangles` (n_faces, 3, 3)."""
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    volume = np.sum(triangles[:, 0] * normals)
    return np.sign(volume) * normals / np.linalg.norm(normals, axis=1, keepdims=True)


def _rasterised(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels inside triangles `corners` (n, 3, 2), triangle by triangle: its number, its nearest corner, (x, y)."""
    low = np.floor(corners.min(axis=1)).astype(int)
    reach = int((np.ceil(corners.max(axis=1)) - low).max()) + 1
    steps = np.stack(np.meshgrid(np.arange(reach), np.arange(reach)), axis=-1).reshape(-1, 2)
    pixels = low[:, None] + steps
    a, ab, ac = corners[:, :1], corners[:, 1:2] - corners[:, :1], corners[:, 2:] - corners[:, :1]
    area = _cross(ab, ac)
    area = np.where(np.abs(area) > 1e-9, area, np.inf)
    b_share, c_share = _cross(pixels - a, ac) / area, _cross(ab, pixels - a) / area
    shares = np.stack([1 - b_share - c_share, b_share, c_share], axis=-1)
    face, step = np.nonzero((shares >= -1e-6).all(axis=-1) & np.isfinite(area))
    return face, shares[face, step].argmax(axis=-1), pixels[face, step]


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
