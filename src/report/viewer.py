"""Data of the interactive surface: the mesh, and one byte per vertex and map."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from . import surface_plot

GAP_MM = 12.0  # between the hemispheres
N_LEVELS = 255  # levels of a value, 1 to 255; 0 marks a vertex without a value


def surface_data(maps: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mesh and the maps as JSON types; for the fields of a map see `surface_maps.surface_maps`."""
    points, faces, grey = _mesh()
    maps = list(maps)
    regions = {one["group"]: _regions(one["region"]) for one in maps if one.get("region") is not None}
    return {
        "points": _base64(points.astype("<i2")),
        "faces": _base64(faces.astype("<u2")),
        "grey": _base64(grey),
        "perHemisphere": surface_plot.PER_HEMISPHERE,
        "colours": {name: _colour_table(name) for name in sorted({one["colours"] for one in maps})},
        "regions": regions,
        "maps": [_map(one) for one in maps],
    }


def _mesh() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points (20484, 3) in 0.01 mm, faces numbered within each hemisphere, and grey levels (20484,).

    The hemispheres are side by side, GAP_MM apart.
    """
    left, right = (surface_plot.meshes()[hemisphere] for hemisphere in surface_plot.HEMISPHERES)
    points = []
    for mesh, sign in ((left, -1), (right, 1)):
        centred = mesh.points - mesh.points.mean(axis=0)
        medial = (-sign * centred[:, 0]).max()
        points.append(centred + np.array([sign * (medial + GAP_MM / 2), 0, 0]))
    grey = np.round(255 * surface_plot.sulcal_grey()).astype(np.uint8)
    return np.round(100 * np.concatenate(points)), np.concatenate([left.faces, right.faces]), grey


def _map(one: Mapping[str, Any]) -> dict[str, Any]:
    low, high = (float(limit) for limit in one["limits"])
    values = np.asarray(one["values"], float)
    finite = np.isfinite(values)
    scaled = np.clip((np.where(finite, values, low) - low) / ((high - low) or 1.0), 0, 1)
    levels = np.where(finite, 1 + np.round(scaled * (N_LEVELS - 1)), 0).astype(np.uint8)
    copied = {name: one[name] for name in ("group", "name", "label", "colours")}
    return copied | {"low": low, "high": high, "ticks": one.get("ticks"), "values": _base64(levels)}


def _regions(region: np.ndarray) -> dict[str, Any]:
    names, index = np.unique(np.asarray(region).astype(str), return_inverse=True)
    return {"names": names.tolist(), "of": _base64(index.astype("<u2"))}


def _colour_table(name: str) -> str:
    """Return a colour map as N_LEVELS + 1 RGB triples."""
    from matplotlib import colormaps

    return _base64(np.round(255 * colormaps[name](np.linspace(0, 1, N_LEVELS + 1))[:, :3]).astype(np.uint8))


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
