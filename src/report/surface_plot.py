"""Values on the cortical surface: fsaverage5 (Fischl et al. 1999), with the meshes that nilearn includes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from .theme import colour_map

PER_HEMISPHERE = 10242
N_VERTICES = 2 * PER_HEMISPHERE
HEMISPHERES = ("left", "right")
# image right, image up and towards the viewer, in (right, anterior, superior) coordinates of the left hemisphere
VIEWS = {
    "lateral": ((0, -1, 0), (0, 0, 1), (-1, 0, 0)),
    "medial": ((0, 1, 0), (0, 0, 1), (1, 0, 0)),
    "ventral": ((0, -1, 0), (-1, 0, 0), (0, 0, -1)),
    "posterior": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
}
FLAT = "flat"
ALL_VIEWS = (*VIEWS, FLAT)
FLAT_SCALE = 0.62  # the flat map is that much smaller than the surface, so that it is about as high
NO_REGION = ("", "none")
MIN_LABEL_PIXELS = 260  # visible area of a region with a name
MIRROR = np.array([-1.0, 1.0, 1.0])
PIXELS_PER_MM = 1.8
TRIANGLES_PER_CHUNK = 500


@dataclass(frozen=True)
class Mesh:
    """Inflated hemisphere: points (n_vertices, 3) in mm, faces (n_faces, 3), sulcal depth (n_vertices,); the same cut
    and flattened: flat_points (n_vertices, 2), flat_faces (n_flat_faces, 3)."""

    points: np.ndarray
    faces: np.ndarray
    depth: np.ndarray
    flat_points: np.ndarray
    flat_faces: np.ndarray


@cache
def meshes() -> dict[str, Mesh]:
    """Return the inflated hemispheres, "left" and "right"."""
    from nilearn import datasets, surface

    files = datasets.fetch_surf_fsaverage("fsaverage5")
    loaded = {}
    for hemisphere in HEMISPHERES:
        points, faces = surface.load_surf_mesh(files[f"infl_{hemisphere}"])
        depth = surface.load_surf_data(files[f"sulc_{hemisphere}"])
        flat_points, flat_faces = surface.load_surf_mesh(files[f"flat_{hemisphere}"])
        flat = FLAT_SCALE * np.asarray(flat_points, float)[:, :2]
        arrays = (np.asarray(points, float), np.asarray(faces), np.asarray(depth, float), flat, np.asarray(flat_faces))
        loaded[hemisphere] = Mesh(*arrays)
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


def surface_figure(spec: Mapping[str, Any]):
    """Plot the maps of a specification of kind "surface", one row of views per map, NaN grey; see `surface_maps`."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    shown = [(hemisphere, view) for hemisphere in HEMISPHERES for view in ALL_VIEWS]
    widths = [np.shape(render(*one)[0])[1] for one in shown]
    panels = spec["panels"]
    figure = Figure(figsize=(11, 0.8 + 1.35 * len(panels)))
    axes = figure.subplots(len(panels), len(shown), width_ratios=widths, squeeze=False)
    for row, panel in zip(axes, panels, strict=True):
        scale = ScalarMappable(Normalize(*panel["limits"]), colour_map(panel["colours"], *panel["limits"]))
        values = panel["values"]
        rgb = np.where(np.isfinite(values)[:, None], scale.to_rgba(values)[:, :3], sulcal_grey()[:, None])
        for one, (hemisphere, view) in zip(row, shown, strict=True):
            _show_view(one, hemisphere, view, rgb, spec["region"])
        row[0].set_title(panel["title"], loc="left")
        bar = figure.colorbar(scale, ax=list(row), fraction=0.02, aspect=12, pad=0.01)
        bar.outline.set_visible(False)
        if panel["ticks"]:
            bar.set_ticks(list(panel["ticks"]), labels=list(panel["ticks"].values()))
        else:
            bar.set_label(spec["label"])
    for one, (hemisphere, view) in zip(axes[-1], shown, strict=True):
        one.text(0.5, -0.04, f"{hemisphere}\n{view}", ha="center", va="top", transform=one.transAxes, fontsize=6.5)
    return figure


def sulcal_grey() -> np.ndarray:
    """Return the grey level of vertices without a value, (20484,), darker in the sulci."""
    return np.concatenate([np.where(mesh.depth > 0, 0.55, 0.68) for mesh in meshes().values()])


def _show_view(axes, hemisphere: str, view: str, rgb: np.ndarray, region: np.ndarray | None) -> None:
    """Show one view of one hemisphere; rgb: (20484, 3) colours of all vertices; region: (20484,) names or None."""
    vertex, light = render(hemisphere, view)
    image = np.zeros((*vertex.shape, 4))
    inside = vertex >= 0
    image[inside, :3] = rgb[vertex[inside]] * light[inside, None]
    image[inside, 3] = 1
    if region is not None:
        image[outline(vertex, region)] = (0, 0, 0, 1)
    axes.imshow(image, origin="lower", interpolation="antialiased")
    for name, x, y, _ in region_labels(vertex, region):
        axes.text(x, y, name, fontsize=4.5, ha="center", va="center", color="#000")
    axes.set_adjustable("datalim")
    axes.axis("off")


def outline(vertex: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Return (height, width) bool, True where the region of a pixel differs from that of the next one."""
    of = np.where(vertex >= 0, np.unique(region, return_inverse=True)[1][np.maximum(vertex, 0)], -1)
    edge = np.zeros(of.shape, bool)
    edge[:, :-1] |= (of[:, :-1] != of[:, 1:]) & (of[:, :-1] >= 0) & (of[:, 1:] >= 0)
    edge[:-1] |= (of[:-1] != of[1:]) & (of[:-1] >= 0) & (of[1:] >= 0)
    return edge


def region_labels(vertex: np.ndarray, region: np.ndarray | None) -> list[tuple[str, int, int, int]]:
    """Return (name, x, y, n_pixels) of the regions with a visible area; x, y: the pixel nearest to the centre."""
    if region is None:
        return []
    ys, xs = np.nonzero(vertex >= 0)
    names = region[vertex[ys, xs]]
    found = []
    for name in np.unique(names):
        mine = np.flatnonzero(names == name)
        if name not in NO_REGION and len(mine) >= MIN_LABEL_PIXELS:
            distance = (xs[mine] - xs[mine].mean()) ** 2 + (ys[mine] - ys[mine].mean()) ** 2
            at = mine[distance.argmin()]
            found.append((str(name), int(xs[at]), int(ys[at]), len(mine)))
    return found


@cache
def render(hemisphere: str, view: str, pixels_per_mm: float = PIXELS_PER_MM) -> tuple[np.ndarray, np.ndarray]:
    """Return (height, width) images of the visible vertex, -1 outside the surface, and of its shading; row 0 is below.

    Vertices are numbered from 0 to 20,483, left hemisphere first.
    """
    mesh, first = meshes()[hemisphere], PER_HEMISPHERE * HEMISPHERES.index(hemisphere)
    if view == FLAT:
        faces, corners, shade = mesh.flat_faces, mesh.flat_points[mesh.flat_faces], np.ones(len(mesh.flat_faces))
    else:
        right, up, to_viewer = _image_axes(hemisphere, view)
        triangles = mesh.points[mesh.faces]
        facing = _outward_normals(triangles) @ to_viewer
        order = np.flatnonzero(facing > 0)
        order = order[np.argsort(triangles[order].mean(axis=1) @ to_viewer)]
        faces, corners = mesh.faces[order], np.stack([triangles[order] @ right, triangles[order] @ up], axis=2)
        shade = 0.62 + 0.38 * facing[order]
    corners = pixels_per_mm * corners
    corners = corners - (corners.min(axis=(0, 1)) - 1)
    width, height = np.ceil(corners.max(axis=(0, 1))).astype(int) + 2
    face, corner, pixels = _rasterise(corners)
    vertex, light = np.full((height, width), -1), np.zeros((height, width))
    # faces are sorted from far to near, so that the nearest face is written last
    vertex[pixels[:, 1], pixels[:, 0]] = first + faces[face, corner]
    light[pixels[:, 1], pixels[:, 0]] = shade[face]
    return vertex, light


def _image_axes(hemisphere: str, view: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the directions image right, image up and towards the viewer for a hemisphere."""
    right, up, to_viewer = (np.array(axis, float) for axis in VIEWS[view])
    # a mirrored hemisphere is seen in a mirror, whose image is turned back
    return (right, up, to_viewer) if hemisphere == "left" else (-MIRROR * right, MIRROR * up, MIRROR * to_viewer)


def _outward_normals(triangles: np.ndarray) -> np.ndarray:
    """Return the outward unit normals (n_faces, 3) of the closed surface of `triangles` (n_faces, 3, 3)."""
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    volume = np.sum(triangles[:, 0] * normals)
    return np.sign(volume) * normals / np.linalg.norm(normals, axis=1, keepdims=True)


def _rasterise(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pixels inside the triangles `corners` (n, 3, 2), in the order of the triangles.

    Per pixel: the index of its triangle, the index (0 to 2) of the nearest corner, and (x, y).
    """
    # every triangle of a chunk costs as much memory as its largest one
    starts = range(0, len(corners), TRIANGLES_PER_CHUNK)
    found = [_rasterise_chunk(corners[start : start + TRIANGLES_PER_CHUNK]) for start in starts]
    face, corner, pixels = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return face + np.repeat(starts, [len(one) for one, *_ in found]), corner, pixels


def _rasterise_chunk(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pixels inside some triangles, as `_rasterise` does."""
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
