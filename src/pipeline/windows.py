"""Temporal windows of the scores of one model with several contexts: of each target, as rows, and as text."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.windows import ENOUGH, unit_windows, window_text, windows
from ..evaluate.layer_choice import stored_rule
from ..tables import aligned
from .score_text import metric_label

if TYPE_CHECKING:
    from .score import Score

MAX_REGIONS = 30  # with a row of their own


def sweeps(scores: Iterable["Score"]) -> list[list["Score"]]:
    """Return the scores that differ in their contexts alone, two or more each, in increasing order of the context.

    Without those by a metric of which less is better.
    """
    found: dict[tuple, list[Score]] = {}
    for score in scores:
        if score.facts.get("context_ms") is not None:
            key = (score.model, score.datasets, score.facts["metric"], str(sorted(score.facts["options"].items())))
            found.setdefault(key, []).append(score)
    several = [sorted(group, key=_context) for group in found.values()]
    return [
        group
        for group in several
        if len({_context(score) for score in group}) == len(group) > 1 and stored_rule(group[0].arrays).direction > 0
    ]


def _context(score: "Score") -> float:
    return score.facts["context_ms"]


def temporal_windows(scores: Sequence["Score"]) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return the window of each target (n_targets,) in ms, and a row for all targets and each region."""
    inputs = [score.arrays for score in scores], [_context(score) for score in scores]
    return unit_windows(*inputs)[0], windows(*inputs)


def windows_text(scores: Sequence["Score"]) -> str:
    """Return the temporal windows of a sweep as aligned text."""
    facts, found = scores[0].facts, temporal_windows(scores)[1]
    label = metric_label(facts)
    header = ["temporal window", "s", "95 %", "units", *(f"{label} {_context(score) / 1000:g} s" for score in scores)]
    rows = []
    for row in found[: 1 + MAX_REGIONS]:
        contexts_ms = [_context(score) for score in scores]
        ends = [row[name] for name in ("window_ms", "low_ms", "high_ms")]
        window, low, high = (window_text(end, contexts_ms) for end in ends)
        of_ends = "-" if row["low_ms"] is None else f"{low} to {high}"
        cells = ["-" if value is None else f"{value:.3f}" for value in row["test"]]
        rows.append([row["region"], window, of_ends, f"{row['units']} of {row['targets']}", *cells])
    note = (
        f"temporal window: the shortest context that reaches {ENOUGH:.0%} of the best {label}, chosen inside the "
        "training rows of each split, geometric mean over splits; units: those with a window of their own, as their "
        "score is above 0"
    )
    return f"{facts['model']} on {' + '.join(facts['datasets'])}: {facts['metric']}, {len(scores)} contexts\n" + (
        aligned(header, rows) + f"\n\n{note}\n"
    )
