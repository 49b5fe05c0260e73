"""Leaderboard of models over several benchmarks: mean scores, their intervals, and comparisons with the best."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..utils import BadInput
from .bootstrap import interval
from .fdr import q_values
from .paired import two_sided_p


def rank(scores: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rank models by their mean over benchmarks, the best first.

    scores: rows {"model", "benchmark", "normalised": number or None, "bootstrap_normalised": (n_samples,) or None,
    "resampled": identity of the samples (optional)}, each model and benchmark at most once. Returns rows {"model",
    "mean", "low", "high", "n", "of", "missing", "shared", "q", "tied"}: the mean is over the n benchmarks that all
    listed models have (`shared`), out of `of` in all; `missing` lists those that the model lacks. A missing score never
    counts as 0. If no benchmark is shared by all, each mean is over the model's benchmarks, `shared` is False, and
    models with fewer benchmarks missing come first. low, high: None unless every score in the mean has replicates;
    benchmarks are resampled independently of each other. q, tied: see `told_apart`.
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
    ranked = sorted(rows, key=lambda r: (not common and len(r["missing"]), r["mean"] is None, -(r["mean"] or 0)))
    return told_apart(ranked, common, cells)


def told_apart(
    ranked: Sequence[Mapping[str, Any]], benchmarks: Sequence[str], cells: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the ranked rows with the comparison of each model with the first one.

    q: two-sided p of the difference of the means from the bootstrap draws, corrected for the number of models
    (Benjamini and Hochberg 1995); None for the first model and without replicates. Draws of the same samples are
    paired. tied: True for the first model and for those with q of 0.05 or more, which the data cannot tell apart from
    it; None without replicates.
    """
    rows = [dict(row) | {"q": None, "tied": None} for row in ranked]
    if not rows or not benchmarks or rows[0]["low"] is None:
        return rows
    rows[0]["tied"] = True
    tested = [row for row in rows[1:] if row["low"] is not None]
    if not tested:
        return rows
    draws = [_difference_draws(rows[0]["model"], row["model"], benchmarks, cells) for row in tested]
    for row, q in zip(tested, q_values(np.array([two_sided_p(one) for one in draws])), strict=True):
        row |= {"q": float(q), "tied": bool(q >= 0.05)}
    return rows


def _difference_draws(
    a: str, b: str, benchmarks: Sequence[str], cells: Mapping[tuple[str, str], Mapping[str, Any]]
) -> np.ndarray:
    """Return draws (n_samples,) of the mean of a minus that of b over benchmarks."""
    differences = []
    for benchmark in benchmarks:
        one, two = cells[a, benchmark], cells[b, benchmark]
        of_a, of_b = (np.asarray(row["bootstrap_normalised"], dtype=np.float64) for row in (one, two))
        n = min(len(of_a), len(of_b))
        samples = one.get("resampled")
        paired = samples is not None and samples == two.get("resampled") and len(of_a) == len(of_b)
        # a random pairing makes unpaired draws independent
        differences.append(of_a[:n] - (of_b if paired else np.random.default_rng(0).permutation(of_b)[:n]))
    n = min(map(len, differences))
    return np.mean([one[:n] for one in differences], axis=0)


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
