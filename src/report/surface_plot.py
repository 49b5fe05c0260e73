"""Values on the cortical surface: fsaverage5 (Fischl et al. 1999), with the meshes that nilearn includes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

PER_HEMISPHERE = 10242
N_VERTICES = 2 * PER_HEMISPHERE
HEMISPHERES = ("left", "right")
# image right, image up and towards the viewer, in (right, anterior, superior) coordinates of the left hemisphere
VIEWS = {
    "lateral": ((0, -1, 0), (0, 0, 1), (-1, 0, 0)),
    "medial": ((0, 1, 0), (0, 0, 1), (1, 0, 0)),
    "ventral": ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),
}
MIRROR = np.array([-1.0, 1.0, 1.0])
PIXELS_PER_MM = 1.8


@dataclass(frozen=True)
class Mesh:
    """Inflated hemisphere: points (n_vertices, 3) in mm, faces (n_faces, 3), sulcal depth (n_vertices,)."""

    points: np.ndarray
    faces: np.ndarray
    depth: np.ndarray


@cache
def meshes() -> dict[str, Mesh]:
    """Return the inflated hemispheres, "left" and "right"."""
    from nilearn import datasets, surface

    files = datasets.fetch_surf_fsaverage("fsaverage5")
    loaded = {}
    for hemisphere in HEMISPHERES:
        points, faces = surface.load_surf_mesh(files[f"infl_{hemisphere}"])
        depth = surface.load_surf_data(files[f"sulc_{hemisphere}"])
        loaded[hemisphere] = Mesh(np.asarray(points, float), np.asarray(faces), np.asarray(depth, float))
    return loaded


def target_vertices(arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return the vertex of each target, (n_targets,) from 0 to 20,483, left hemisphere first; None without vertices.

    The vertex is read from the columns `vertex` (0 to 10,241) and `hemi` of the target table. Without these columns,
    20,484 targets are taken as the vertices in order.
    """
    n_targets = np.shape(arrays["test"])[1]
    if "target_vertex" in arrays and "target_hemi" in arrays:
        is_right = np.char.upper(np.asarray(arrays["target_hemi"]).astype("U1")) == "R"
        vertices = np.asarray(arrays["target_vertex"]).astype(int) + PER_HEMISPHERE * is_right
        return vertices if len(vertices) and vertices.min() >= 0 and vertices.max() < N_VERTICES else None
    if n_targets != N_VERTICES:
        return None
    if "target_hemi" in arrays:
        is_left = np.char.upper(np.asarray(arrays["target_hemi"]).astype("U1")) == "L"
        if not np.array_equal(is_left, np.arange(N_VERTICES) < PER_HEMISPHERE):
            return None
    return np.arange(N_VERTICES)


def to_surface(values: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Return the values (n_targets,) at their vertices, (20484,), NaN elsewhere."""
    full = np.full(N_VERTICES, np.nan)
    full[vertices] = values
    return full


def surface_figure(
    values: np.ndarray,
    label: str,
    limits: tuple[float, float],
    colours: str,
    ticks: Mapping[float, str] | None = None,
):
    """Plot `values` (20484,) on both hemispheres in three views, NaN grey; ticks: {value: text} of the colour bar."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.7, 2.75))
    scale = ScalarMappable(Normalize(*limits), colours)
    rgb = np.where(np.isfinite(values)[:, None], scale.to_rgba(values)[:, :3], sulcal_grey()[:, None])
    axes = figure.subplots(2, 3, width_ratios=(1, 1, 0.55))
    for row, hemisphere in zip(axes, HEMISPHERES, strict=True):
        for panel, view in zip(row, VIEWS, strict=True):
            _show_view(panel, hemisphere, view, rgb)
        row[0].text(-0.06, 0.5, hemisphere, rotation=90, ha="center", va="center", transform=row[0].transAxes)
    for panel, view in zip(axes[0], VIEWS, strict=True):
        panel.text(0.5, 1.04, view, ha="center", va="bottom", transform=panel.transAxes)
    bar = figure.colorbar(scale, ax=axes, orientation="horizontal", fraction=0.06, aspect=35, pad=0.03)
    bar.set_label(label)
    bar.outline.set_visible(False)
    if ticks:
        bar.set_ticks(list(ticks), labels=list(ticks.values()))
    return figure


def sulcal_grey() -> np.ndarray:
    """Return the grey level of vertices without a value, (20484,), darker in the sulci."""
    return np.concatenate([np.where(mesh.depth > 0, 0.55, 0.68) for mesh in meshes().values()])


def _show_view(axes, hemisphere: str, view: str, rgb: np.ndarray) -> None:
    """Show one view of one hemisphere; rgb: (20484, 3) colours of all vertices."""
    vertex, light = _render(hemisphere, view)
    image = np.zeros((*vertex.shape, 4))
    inside = vertex >= 0
    image[inside, :3] = rgb[vertex[inside] + PER_HEMISPHERE * HEMISPHERES.index(hemisphere)] * light[inside, None]
    image[inside, 3] = 1
    axes.imshow(image, origin="lower", interpolation="antialiased")
    axes.set_adjustable("datalim")
    axes.axis("off")


@cache
def _render(hemisphere: str, view: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (height, width) images of the visible vertex, -1 outside the surface, and of its shading."""
    mesh = meshes()[hemisphere]
    right, up, to_viewer = _image_axes(hemisphere, view)
    triangles = mesh.points[mesh.faces]
    facing = _outward_normals(triangles) @ to_viewer
    order = np.flatnonzero(facing > 0)
    order = order[np.argsort(triangles[order].mean(axis=1) @ to_viewer)]
    corners = PIXELS_PER_MM * np.stack([triangles[order] @ right, triangles[order] @ up], axis=2)
    corners -= corners.min(axis=(0, 1)) - 1
    width, height = np.ceil(corners.max(axis=(0, 1))).astype(int) + 2
    face, corner, pixels = _rasterise(corners)
    vertex, light = np.full((height, width), -1), np.zeros((height, width))
    # faces are sorted from far to near, so that the nearest face is written last
    vertex[pixels[:, 1], pixels[:, 0]] = mesh.faces[order[face], corner]
    light[pixels[:, 1], pixels[:, 0]] = 0.62 + 0.38 * facing[order[face]]
    return vertex, light


def _image_axes(hemisphere: str, view: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the directions image right, image up and towards the viewer for a hemisphere."""
    right, up, to_viewer = (np.array(axis, float) for axis in VIEWS[view])
    if hemisphere == "right" and view != "ventral":
        return -right, up, MIRROR * to_viewer
    return right, up, to_viewer


def _outward_normals(triangles: np.ndarray) -> np.ndarray:
    """Return the outward unit normals (n_faces, 3) of the closed surface of `triangles` (n_faces, 3, 3)."""
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    volume = np.sum(triangles[:, 0] * normals)
    return np.sign(volume) * normals / np.linalg.norm(normals, axis=1, keepdims=True)


def _rasterise(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pixels inside the triangles `corners` (n, 3, 2), in the order of the triangles.

    Per pixel: the index of its triangle, the index (0 to 2) of the nearest corner, and (x, y).
    """
    low = np.floor(corners.min(axis=1)).astype(int)
    size = int((np.ceil(corners.max(axis=1)) - low).max()) + 1
    offsets = np.stack(np.meshgrid(np.arange(size), np.arange(size)), axis=-1).reshape(-1, 2)
    pixels = low[:, None] + offsets
    a, ab, ac = corners[:, :1], corners[:, 1:2] - corners[:, :1], corners[:, 2:] - corners[:, :1]
    area = _cross(ab, ac)
    area = np.where(np.abs(area) > 1e-9, area, np.inf)
    # barycentric coordinates
    weight_b, weight_c = _cross(pixels - a, ac) / area, _cross(ab, pixels - a) / area
    weights = np.stack([1 - weight_b - weight_c, weight_b, weight_c], axis=-1)
    face, offset = np.nonzero((weights >= -1e-6).all(axis=-1) & np.isfinite(area))
    return face, weights[face, offset].argmax(axis=-1), pixels[face, offset]


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
