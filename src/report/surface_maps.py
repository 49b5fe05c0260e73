"""Surface maps of a benchmark: noise ceiling, test score, test / ceiling and best layer of each vertex."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from . import surface_plot
from .picture import Picture
from .scores import BenchmarkScores, StoredScore

Placed = Sequence[tuple[StoredScore, np.ndarray]]
MAX_TICKS = 8


def pictures(benchmark: BenchmarkScores, shown: Sequence[StoredScore]) -> Iterator[Picture]:
    """Yield the surface figures of a benchmark: raw scores below the noise ceiling, normalised scores, best layers.

    Their specification has "kind", "label", "region" (20484,) or None, and "panels" with "title", "values" (20484,),
    "limits", "colours" and "ticks" ({value: text} or None).
    """
    placed = [(s, vertices) for s in shown if (vertices := surface_plot.target_vertices(s.arrays)) is not None]
    if not placed:
        return
    region = vertex_regions(*placed[0])
    has_ceiling = "ceiling" in placed[0][0].arrays
    grey = f"Layer chosen for each vertex. {_grey(placed[0][0])}"
    outlines = " Lines: borders of regions." if region is not None else ""

    def picture(name: str, title: str, label: str, caption: str, panels: list[dict[str, Any]]) -> Picture:
        spec = {"kind": "surface", "label": label, "region": region, "panels": panels}
        return Picture(name, "surface", title, caption, spec)

    tests = [(s.label, s, s.best_per_unit["test"]) for s, _ in placed]
    if has_ceiling:
        first = placed[0][0]
        ratios = [(label, s, _ratio(s)) for label, s, _ in tests]
        label = "test / ceiling"
        yield picture("maps-ratio", f"Cortex: {label}", label, grey + outlines, _panels(placed, ratios))
        tests = [("noise ceiling", first, np.asarray(first.arrays["ceiling"], float)), *tests]
        placed = [placed[0], *placed]
    label = f"test {benchmark.metric}"
    yield picture("maps-raw", f"Cortex: {label}", label, grey + outlines, _panels(placed, tests))
    layered = [(s, v) for s, v in placed[has_ceiling:] if len(s.facts["layers"]) > 1]
    if layered:
        caption = "Layer that most splits choose for each vertex, where the test score is above 0." + outlines
        yield picture(
            "maps-layer", "Cortex: best layer", "best layer", caption, [_layer_panel(*one) for one in layered]
        )


def _panels(placed: Placed, maps: Sequence[tuple[str, StoredScore, np.ndarray]]) -> list[dict[str, Any]]:
    """Return the panels of maps (title, score, values of the targets) with one colour scale."""
    found = [
        (title, *_masked(s, vertices, values)) for (title, s, values), (_, vertices) in zip(maps, placed, strict=True)
    ]
    limits = _limits(np.concatenate([values[np.isfinite(values)] for _, values, _ in found]))
    return [
        {
            "title": _titled(title, n),
            "model": title,
            "values": values,
            "limits": limits,
            "colours": "score",
            "ticks": None,
        }
        for title, values, n in found
    ]


def _titled(title: str, n: int) -> str:
    return f"{title}, n = {n:,} vertices"


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Return the range of a colour scale: from the 1st to the 99th percentile and 0, in multiples of 0.05."""
    low, high = np.percentile(values, [1, 99]) if len(values) else (0.0, 1.0)
    return float(min(0.0, np.floor(low * 20) / 20)), float(max(0.05, np.ceil(high * 20) / 20))


def _ratio(score: StoredScore) -> np.ndarray:
    """Return test / ceiling of each target, NaN where the ceiling is not above 0."""
    ceiling = np.asarray(score.arrays["ceiling"], float)
    return score.best_per_unit["test"] / np.where(ceiling > 0, ceiling, np.nan)


def _layer_panel(score: StoredScore, vertices: np.ndarray) -> dict[str, Any]:
    """Return the map of the best layer, for vertices with a test score above 0."""
    layers = [row["layer"] for row in score.facts["layers"]]
    index = {layer: float(i) for i, layer in enumerate(layers)}
    best = np.array([index.get(layer, np.nan) for layer in score.best_per_unit["targets"].tolist()])
    best[~(score.best_per_unit["test"] > 0)] = np.nan
    values, n = _masked(score, vertices, best)
    named = sorted({round(i) for i in np.linspace(0, len(layers) - 1, min(MAX_TICKS, len(layers)))})
    return {
        "title": _titled(score.label, n),
        "model": score.label,
        "values": values,
        "limits": (0.0, float(len(layers) - 1)),
        "colours": "layer",
        "ticks": {i: layers[i] for i in named},
    }


def _masked(score: StoredScore, vertices: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the values (n_targets,) on the surface, NaN where the target is masked, and the number of finite ones."""
    values = np.where(_mask(score), np.nan, np.asarray(values, float))
    return surface_plot.to_surface(values, vertices), int(np.isfinite(values).sum())


def _mask(score: StoredScore) -> np.ndarray:
    """Return (n_targets,) bool, True for unreliable targets."""
    n_targets = np.shape(score.arrays["test"])[1]
    return np.asarray(score.arrays.get("masked", np.zeros(n_targets, bool)), bool)


def _grey(score: StoredScore) -> str:
    """Return the meaning of grey in words."""
    n = int(_mask(score).sum())
    text = f"{len(_mask(score)):,} of {surface_plot.N_VERTICES:,} vertices were recorded"
    return f"{text}{f', {n:,} of them unreliable' if n else ''}; the others are grey."


def vertex_regions(score: StoredScore, vertices: np.ndarray) -> np.ndarray | None:
    """Return the region of each vertex, (20484,), "" without one; None if the targets have no regions."""
    if "target_region" not in score.arrays:
        return None
    of_target = np.asarray(score.arrays["target_region"]).astype(str)
    regions = np.full(surface_plot.N_VERTICES, "", dtype=of_target.dtype)
    regions[vertices] = of_target
    return regions
