"""Leaderboard of models over several benchmarks: mean of the ceiling-normalised scores, and its interval."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..utils import BadInput
from .bootstrap import interval


def rank(scores: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rank models by their mean over benchmarks, the best first.

    scores: rows {"model", "benchmark", "normalised": number or None, "bootstrap_normalised": (n_samples,) or None},
    each model and benchmark at most once. Returns rows {"model", "mean", "low", "high", "n", "of", "missing",
    "shared"}: the mean is over the n benchmarks that all listed models have (`shared`), out of `of` in all; `missing`
    lists those that the model lacks. A missing score never counts as 0. If no benchmark is shared by all, each mean is
    over the model's benchmarks, `shared` is False, and models with fewer benchmarks missing come first. low, high: None
    unless every score in the mean has replicates; benchmarks are resampled independently of each other.
    """
    cells = _cells(scores)
    models = list(dict.fromkeys(model for model, _ in cells))
    benchmarks = list(dict.fromkeys(benchmark for _, benchmark in cells))
    have = {m: [b for b in benchmarks if _known(cells.get((m, b)))] for m in models}
    common = [b for b in benchmarks if all(b in have[m] for m in models)]
    rows = [_row(m, common or have[m], cells) for m in models]
    for row in rows:
        row |= {"of": len(benchmarks), "missing": [b for b in benchmarks if b not in have[row["model"]]]}
        row["shared"] = bool(common)
    return sorted(rows, key=lambda r: (not common and len(r["missing"]), r["mean"] is None, -(r["mean"] or 0)))


def _cells(scores: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Return {(model, benchmark): row}; raise BadInput for two rows of one."""
    cells: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in scores:
        at = (row["model"], row["benchmark"])
        if at in cells:
            raise BadInput(f"two scores of {at[0]} on {at[1]}; expected one: name the options in which they differ")
        cells[at] = row
    return cells


def _known(row: Mapping[str, Any] | None) -> bool:
    """Return whether a row has a finite score."""
    return row is not None and row["normalised"] is not None and bool(np.isfinite(row["normalised"]))


def _row(model: str, benchmarks: Sequence[str], cells: Mapping[tuple[str, str], Mapping]) -> dict[str, Any]:
    """Return the mean of a model over benchmarks, and its interval."""
    rows = [cells[model, benchmark] for benchmark in benchmarks]
    if not rows:
        return {"model": model, "mean": None, "low": None, "high": None, "n": 0}
    mean = float(np.mean([row["normalised"] for row in rows]))
    replicates = [row.get("bootstrap_normalised") for row in rows]
    if any(one is None or not np.isfinite(one).all() for one in replicates):
        return {"model": model, "mean": mean, "low": None, "high": None, "n": len(rows)}
    n = min(len(one) for one in replicates)
    low, high = interval(np.mean([np.asarray(one)[:n] for one in replicates], axis=0))
    return {"model": model, "mean": mean, "low": low, "high": high, "n": len(rows)}
