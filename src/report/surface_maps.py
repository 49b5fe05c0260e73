"""What is drawn on the cortex: the ceiling, and of every model the score and the best layer of each vertex."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from . import surface_plot
from .scores import Benchmark, Scored, file_name
from .theme import DEPTH, SCORES


def surface_maps(benchmark: Benchmark, shown: Sequence[Scored]) -> Iterator[dict[str, Any]]:
    """What is drawn on the cortex: ceiling, then for every model score, share of the ceiling and best layer."""
    placed = [(s, place) for s in shown if (place := surface_plot.vertices(s.arrays)) is not None]
    for i, (score, place) in enumerate(placed):
        if i == 0 and "ceiling" in score.arrays:
            yield _surface(benchmark, score, place, "ceiling", "Ceiling", score.arrays["ceiling"], (0.0, 1.0))
        test, high = score.own["test"], _top(placed)
        yield _surface(benchmark, score, place, "score", score.label, test, (0.0, high))
        depth = _layer_map(benchmark, score, place, test)
        if depth is not None:
            yield depth


def _top(placed) -> float:
    """One upper limit for the maps of all models: the 99th percentile, rounded up to a twentieth."""
    values = np.concatenate([s.own["test"] for s, _ in placed])
    finite = values[np.isfinite(values)]
    top = float(np.percentile(finite, 99)) if len(finite) else 1.0
    return max(0.05, np.ceil(top * 20) / 20)


def _surface(benchmark, score: Scored, place, kind: str, title: str, values, limits) -> dict[str, Any]:
    values = np.asarray(values, float)
    masked = np.asarray(score.arrays.get("masked", np.zeros(len(values), bool)), bool)
    values = np.where(masked, np.nan, values)
    n = f"n = {np.isfinite(values).sum():,} vertices"
    what = "ceiling" if kind == "ceiling" else f"test {benchmark.metric}"
    return {
        "file": f"{kind}-{file_name(score.label)}" if kind != "ceiling" else "ceiling",
        "group": benchmark.title,
        "name": title if kind == "ceiling" else f"{title}: score",
        "label": f"{what} ({n})",
        "caption": _grey(masked) if kind == "ceiling" else f"Each vertex by its own best layer. {_grey(masked)}",
        "values": surface_plot.spread(values, place),
        "limits": limits,
        "colours": SCORES,
        "ticks": None,
        "region": _spread_regions(score, place),
    }


def _grey(masked: np.ndarray) -> str:
    return f"Grey: not recorded, or unreliable ({masked.sum():,} vertices)."


def _spread_regions(score: Scored, place: np.ndarray) -> np.ndarray | None:
    if "target_region" not in score.arrays:
        return None
    region = np.full(surface_plot.N_VERTICES, "", dtype=np.asarray(score.arrays["target_region"]).astype(str).dtype)
    region[place] = np.asarray(score.arrays["target_region"]).astype(str)
    return region


def _layer_map(benchmark, score: Scored, place, test: np.ndarray) -> dict[str, Any] | None:
    """Which layer predicts each vertex best, where it predicts it at all."""
    layers = [row["layer"] for row in score.facts["layers"]]
    if len(layers) < 2:
        return None
    number = {layer: float(i) for i, layer in enumerate(layers)}
    best = np.array([number.get(layer, np.nan) for layer in score.own["targets"].tolist()])
    best[~(test > 0)] = np.nan
    made = _surface(benchmark, score, place, "layer", score.label, best, (0, len(layers) - 1))
    ends = {0: "first", len(layers) - 1: "last"}
    caption = f"The layer that validation chooses for each vertex whose test score is above 0, from {layers[0]} "
    caption += f"to {layers[-1]}."
    n = np.isfinite(made["values"]).sum()
    more = {
        "name": f"{score.label}: best layer",
        "label": f"best layer of {len(layers)} (n = {n:,} vertices)",
        "ticks": ends,
    }
    return made | more | {"colours": DEPTH, "caption": caption}
