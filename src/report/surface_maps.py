"""Surface maps of a benchmark: noise ceiling, and for each model the test score and the best layer per vertex."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from . import surface_plot
from .scores import BenchmarkScores, StoredScore, file_name
from .theme import LAYER_COLOURS, SCORE_COLOURS

Placed = Sequence[tuple[StoredScore, np.ndarray]]


def surface_maps(benchmark: BenchmarkScores, shown: Sequence[StoredScore]) -> Iterator[dict[str, Any]]:
    """Yield the maps of a benchmark: noise ceiling, then test score and best layer of each model.

    A map has file, group, name, label, caption, values (20484,), limits, colours, ticks and region (20484,) or None.
    """
    placed = [(s, vertices) for s in shown if (vertices := surface_plot.target_vertices(s.arrays)) is not None]
    for i, (score, vertices) in enumerate(placed):
        if i == 0 and "ceiling" in score.arrays:
            yield _ceiling_map(benchmark, score, vertices)
        yield _score_map(benchmark, score, vertices, _upper_limit(placed))
        if len(score.facts["layers"]) > 1:
            yield _layer_map(benchmark, score, vertices)


def _upper_limit(placed: Placed) -> float:
    """Return the upper limit shared by the score maps: the 99th percentile, rounded up to a multiple of 0.05."""
    values = np.concatenate([s.best_per_unit["test"] for s, _ in placed])
    finite = values[np.isfinite(values)]
    limit = float(np.percentile(finite, 99)) if len(finite) else 1.0
    return max(0.05, np.ceil(limit * 20) / 20)


def _ceiling_map(benchmark: BenchmarkScores, score: StoredScore, vertices: np.ndarray) -> dict[str, Any]:
    values, n = _masked(score, vertices, score.arrays["ceiling"])
    return _map(benchmark, score, vertices, values) | {
        "file": "ceiling",
        "name": "Noise ceiling",
        "label": f"noise ceiling (n = {n:,} vertices)",
        "caption": _grey(score),
        "limits": (0.0, 1.0),
    }


def _score_map(
    benchmark: BenchmarkScores, score: StoredScore, vertices: np.ndarray, upper_limit: float
) -> dict[str, Any]:
    values, n = _masked(score, vertices, score.best_per_unit["test"])
    return _map(benchmark, score, vertices, values) | {
        "file": f"score-{file_name(score.label)}",
        "name": f"{score.label}: score",
        "label": f"test {benchmark.metric} (n = {n:,} vertices)",
        "caption": f"Best layer per vertex. {_grey(score)}",
        "limits": (0.0, upper_limit),
    }


def _layer_map(benchmark: BenchmarkScores, score: StoredScore, vertices: np.ndarray) -> dict[str, Any]:
    """Return the map of the best layer, for vertices with a test score above 0."""
    layers = [row["layer"] for row in score.facts["layers"]]
    index = {layer: float(i) for i, layer in enumerate(layers)}
    best = np.array([index.get(layer, np.nan) for layer in score.best_per_unit["targets"].tolist()])
    best[~(score.best_per_unit["test"] > 0)] = np.nan
    values, n = _masked(score, vertices, best)
    return _map(benchmark, score, vertices, values) | {
        "file": f"layer-{file_name(score.label)}",
        "name": f"{score.label}: best layer",
        "label": f"best layer of {len(layers)} (n = {n:,} vertices)",
        "caption": f"Layer that most splits choose for each vertex, from {layers[0]} to {layers[-1]}, where the test "
        "score is above 0.",
        "limits": (0, len(layers) - 1),
        "colours": LAYER_COLOURS,
        "ticks": {0: "first", len(layers) - 1: "last"},
    }


def _map(benchmark: BenchmarkScores, score: StoredScore, vertices: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    """Return the fields that are the same for all maps of a score."""
    return {
        "group": benchmark.title,
        "values": values,
        "colours": SCORE_COLOURS,
        "ticks": None,
        "region": _vertex_regions(score, vertices),
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
    return f"Grey: not recorded or unreliable ({_mask(score).sum():,} vertices)."


def _vertex_regions(score: StoredScore, vertices: np.ndarray) -> np.ndarray | None:
    """Return the region of each vertex, (20484,), "" without one; None if the targets have no regions."""
    if "target_region" not in score.arrays:
        return None
    of_target = np.asarray(score.arrays["target_region"]).astype(str)
    regions = np.full(surface_plot.N_VERTICES, "", dtype=of_target.dtype)
    regions[vertices] = of_target
    return regions
