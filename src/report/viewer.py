"""What the page's interactive surface is fed with: the mesh once, and a byte per vertex and map."""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from . import surface_plot

GAP_MM = 12.0  # between the hemispheres
STEPS = 255  # a value is one of these; 0 is a vertex without one


def surface(maps: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The mesh and `maps`, JSON-able; a map has group, name, label, values (20484,), limits, colours and region."""
    points, faces, shade = _mesh()
    maps = list(maps)
    regions = {one["group"]: _regions(one["region"]) for one in maps if one.get("region") is not None}
    return {
        "points": _packed(points.astype("<i2")),
        "faces": _packed(faces.astype("<u2")),
        "shade": _packed(shade),
        "perHemisphere": surface_plot.PER_HEMISPHERE,
        "colours": {name: _table(name) for name in sorted({one["colours"] for one in maps})},
        "regions": regions,
        "maps": [_map(one) for one in maps],
    }


def _mesh() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (20484, 3) in 0.01 mm side by side, faces of both sides by their own numbers, shades (20484,)."""
    left, right = (surface_plot.meshes()[side] for side in surface_plot.SIDES)
    points = []
    for mesh, away in ((left, -1), (right, 1)):
        moved = mesh.points - mesh.points.mean(axis=0)
        inner = (-away * moved[:, 0]).max()
        points.append(moved + np.array([away * (inner + GAP_MM / 2), 0, 0]))
    shade = np.round(255 * surface_plot.folds()).astype(np.uint8)
    return np.round(100 * np.concatenate(points)), np.concatenate([left.faces, right.faces]), shade


def _map(one: Mapping[str, Any]) -> dict[str, Any]:
    low, high = (float(limit) for limit in one["limits"])
    values = np.asarray(one["values"], float)
    known = np.isfinite(values)
    share = np.clip((np.where(known, values, low) - low) / ((high - low) or 1.0), 0, 1)
    levels = np.where(known, 1 + np.round(share * (STEPS - 1)), 0).astype(np.uint8)
    kept = {name: one[name] for name in ("group", "name", "label", "colours")}
    return kept | {"low": low, "high": high, "ticks": one.get("ticks"), "values": _packed(levels)}


def _regions(region: np.ndarray) -> dict[str, Any]:
    names, which = np.unique(np.asarray(region).astype(str), return_inverse=True)
    return {"names": names.tolist(), "of": _packed(which.astype("<u2"))}


def _table(name: str) -> str:
    """A colour map as STEPS + 1 RGB triples."""
    from matplotlib import colormaps

    return _packed(np.round(255 * colormaps[name](np.linspace(0, 1, STEPS + 1))[:, :3]).astype(np.uint8))


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
