"""Figures as JSON for the page: colour scales, and the surface with its views and one byte per vertex and map."""

import base64
from typing import Any

import numpy as np

from . import surface_plot
from .picture import Picture
from .theme import colours

GAP_MM = 12.0  # between the hemispheres
N_LEVELS = 255  # levels of a value, 1 to 255; 0 marks a vertex without a value
PIXELS_PER_MM = 1.3  # of the views on the page
OUTSIDE = 65535  # a pixel without a vertex


class PageFigures:
    """Specifications of figures as JSON types, with what several of them share: colour scales, maps and regions."""

    def __init__(self):
        self.figures: dict[str, dict[str, Any]] = {}
        self.colours: dict[str, str] = {}
        self.maps: list[dict[str, Any]] = []
        self.regions: list[dict[str, Any]] = []

    def add(self, name: str, picture: Picture, group: str = "") -> None:
        """Add a figure under its HTML id; group: the benchmark in the list of maps."""
        spec = dict(picture.spec)
        if spec["kind"] == "heat":
            spec["colours"] = self._colours("score", *spec["limits"])
        if spec["kind"] == "scatter" and spec["most"]:
            spec["colours"] = self._colours("score", 0.0, 1.0)
        if spec["kind"] == "surface":
            spec = self._surface(spec, group)
        self.figures[name] = spec | {"title": picture.title, "caption": picture.caption}

    def surface(self) -> dict[str, Any] | None:
        """Return the mesh, the views and the maps; None without a map."""
        if not self.maps:
            return None
        return _mesh() | {"views": _views(), "maps": self.maps, "regions": self.regions}

    def _colours(self, name: str, low: float, high: float) -> str:
        key = f"{name} {low:g} {high:g}"
        self.colours[key] = _base64(np.round(255 * colours(name, float(low), float(high))).astype(np.uint8))
        return key

    def _surface(self, spec: dict[str, Any], group: str) -> dict[str, Any]:
        """Return the specification with the numbers of its maps and regions in place of their values."""
        region = None
        if spec["region"] is not None:
            one = _regions(spec["region"])
            region = next((i for i, other in enumerate(self.regions) if other == one), len(self.regions))
            self.regions += [one] if region == len(self.regions) else []
        panels = []
        for panel in spec["panels"]:
            low, high = panel["limits"]
            shared = {"low": low, "high": high, "ticks": panel["ticks"], "region": region, "label": spec["label"]}
            shared |= {"group": group, "name": panel["title"], "colours": self._colours(panel["colours"], low, high)}
            panels.append({"title": panel["title"], "model": panel["model"], "map": len(self.maps)})
            self.maps.append(shared | {"values": _levels(panel["values"], low, high)})
        return {"kind": "surface", "label": spec["label"], "panels": panels}


def _mesh() -> dict[str, Any]:
    """Return points in 0.01 mm, faces numbered within each hemisphere, and grey levels of all vertices.

    The hemispheres are side by side, GAP_MM apart.
    """
    left, right = (surface_plot.meshes()[hemisphere] for hemisphere in surface_plot.HEMISPHERES)
    points = []
    for mesh, sign in ((left, -1), (right, 1)):
        centred = mesh.points - mesh.points.mean(axis=0)
        medial = (-sign * centred[:, 0]).max()
        points.append(centred + np.array([sign * (medial + GAP_MM / 2), 0, 0]))
    return {
        "points": _base64(np.round(100 * np.concatenate(points)).astype("<i2")),
        "faces": _base64(np.concatenate([left.faces, right.faces]).astype("<u2")),
        "grey": _base64(np.round(255 * surface_plot.sulcal_grey()).astype(np.uint8)),
        "perHemisphere": surface_plot.PER_HEMISPHERE,
    }


def _views() -> list[dict[str, Any]]:
    """Return the visible vertex and the shading of every pixel of every view, first row on top."""
    found = []
    for hemisphere in surface_plot.HEMISPHERES:
        for view in surface_plot.ALL_VIEWS:
            vertex, light = (image[::-1] for image in surface_plot.render(hemisphere, view, PIXELS_PER_MM))
            found.append(
                {
                    "hemisphere": hemisphere,
                    "view": view,
                    "width": vertex.shape[1],
                    "height": vertex.shape[0],
                    "vertex": _base64(np.where(vertex < 0, OUTSIDE, vertex).astype("<u2")),
                    "light": _base64(np.round(255 * light).astype(np.uint8)),
                }
            )
    return found


def _levels(values: np.ndarray, low: float, high: float) -> str:
    finite = np.isfinite(values)
    scaled = np.clip((np.where(finite, values, low) - low) / ((high - low) or 1.0), 0, 1)
    return _base64(np.where(finite, 1 + np.round(scaled * (N_LEVELS - 1)), 0).astype(np.uint8))


def _regions(region: np.ndarray) -> dict[str, Any]:
    """Return the names of the regions, the region of each vertex, and the places of the names in every view.

    A place is (region, x, y, number of pixels of the region).
    """
    names, index = np.unique(np.asarray(region).astype(str), return_inverse=True)
    number, labels = {str(name): i for i, name in enumerate(names)}, []
    for hemisphere in surface_plot.HEMISPHERES:
        for view in surface_plot.ALL_VIEWS:
            vertex, _ = surface_plot.render(hemisphere, view, PIXELS_PER_MM)
            found = surface_plot.region_labels(vertex[::-1], region)
            labels.append([[number[name], x, y, area] for name, x, y, area in found])
    return {"names": [str(name) for name in names], "of": _base64(index.astype("<u2")), "labels": labels}


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
