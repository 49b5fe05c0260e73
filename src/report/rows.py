"""The numbers of the report as tables: lists of rows, the same for the page and for files."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ..files import Damaged
from .scores import Benchmark, Scored

Row = dict[str, Any]


def score_rows(benchmark: Benchmark) -> list[Row]:
    """A row per score, best first, of its chosen layer; superseded scores last, without a rank."""
    return [
        _score_row(benchmark, score, None if score.superseded else rank)
        for rank, score in enumerate((*benchmark.scores, *benchmark.superseded), start=1)
    ]


def _score_row(benchmark: Benchmark, score: Scored, rank: int | None) -> Row:
    facts, chosen = score.facts, score.chosen
    interval, own = facts.get("interval") or {}, facts.get("best_per_unit") or {}
    permutation = facts.get("permutation") or {}
    return {
        "benchmark": benchmark.title,
        "rank": rank,
        "model": score.label,
        "metric": facts["metric"],
        "layer": chosen["layer"],
        "valid": chosen["valid"],
        "valid_sd": chosen["valid_sd"],
        "test": chosen["test"],
        "test_sd": chosen["test_sd"],
        "low": interval.get("low"),
        "high": interval.get("high"),
        "normalised": chosen.get("normalised"),
        "normalised_low": interval.get("low_normalised"),
        "normalised_high": interval.get("high_normalised"),
        "own": own.get("test"),
        "own_normalised": own.get("normalised"),
        "accuracy": chosen.get("accuracy"),
        "null": chosen.get("null"),
        "p": permutation.get("p"),
        "permutations": permutation.get("n"),
        "significant": permutation.get("significant"),
        "tested": permutation.get("of"),
        "ceiling": facts["ceiling"],
        "targets": facts["targets"],
        "masked": facts["masked"],
        "splits": facts["options"]["splits"],
        "resampled": interval.get("unit"),
        "resamples": interval.get("n"),
        "score": score.name,
    }


def layer_rows(benchmark: Benchmark) -> list[Row]:
    """A row per score and layer, in the network's order."""
    return [
        {"benchmark": benchmark.title, "model": score.label} | _numbers(row) | {"score": score.name}
        for score in benchmark.scores
        for row in score.facts["layers"]
    ]


def region_rows(benchmark: Benchmark) -> list[Row]:
    """A row per score and region: the layer that is best there by validation."""
    return [
        {"benchmark": benchmark.title, "model": score.label} | _numbers(row) | {"score": score.name}
        for score in benchmark.scores
        for row in score.facts["regions"]
    ]


def _numbers(row: Mapping[str, Any]) -> Row:
    names = ("region", "targets", "ceiling", "layer", "valid", "valid_sd", "test", "test_sd", "low", "high")
    names += ("normalised", "null", "accuracy", "best")
    return {name: row.get(name) for name in names if name not in ("region", "targets", "ceiling") or name in row}


def pair_rows(benchmark: Benchmark, scores: Sequence[Scored]) -> list[Row]:
    """A row per pair of `scores`: the paired difference of their headlines, its interval, p, and q over the pairs."""
    from ..analysis.fdr import q_values

    rows = [_pair_row(benchmark, a, b) for a, b in combinations(scores, 2)]
    tested = [row for row in rows if row["p"] is not None]
    for row, q in zip(tested, q_values(np.array([row["p"] for row in tested])) if tested else (), strict=True):
        row["q"] = float(q)
    return rows


def _pair_row(benchmark: Benchmark, a: Scored, b: Scored) -> Row:
    from ..analysis import paired

    found = paired.compare(a.arrays, b.arrays)
    row = {"benchmark": benchmark.title, "model": a.label, "other": b.label, "paired": found["paired"], "q": None}
    row |= {name: _plain(found.get(name)) for name in ("difference", "low", "high", "p")}
    q = found.get("targets_q")
    # a test of one target is the test of the score itself
    return row | {"targets": None if q is None or len(q) < 2 else int((q < 0.05).sum())}


def _plain(value: Any) -> float | None:
    """A Python number, None for what is missing or not a number."""
    return None if value is None or value != value else float(value)


def leaderboard_rows(benchmarks: Iterable[Benchmark]) -> list[Row]:
    """Models by the mean of their ceiling-normalised scores; a row holds `cells` {benchmark: score row or None}."""
    from ..analysis import leaderboard

    rows = [row for b in benchmarks for row in score_rows(b) if row["rank"] and row["ceiling"] is not None]
    if not rows:
        return []
    resamples = {s.name: _resamples(s) for b in benchmarks for s in b.scores if s.facts.get("interval")}
    ranked = leaderboard.rank(
        [
            {
                "model": row["model"],
                "benchmark": row["benchmark"],
                "normalised": row["normalised"],
                "bootstrap_normalised": resamples.get(row["score"]),
            }
            for row in rows
        ]
    )
    cells = {(row["model"], row["benchmark"]): row for row in rows}
    columns = list(dict.fromkeys(row["benchmark"] for row in rows))
    return [row | {"cells": {name: cells.get((row["model"], name)) for name in columns}} for row in ranked]


def _resamples(score: Scored) -> np.ndarray | None:
    """The replicates of the normalised headline, None where they are missing or damaged."""
    held = "arrays" in score.__dict__
    try:
        found = score.arrays.get("bootstrap_normalised")
    except Damaged:
        return None
    if not held:
        score.release()
    return found


def provenance_rows(benchmarks: Iterable[Benchmark]) -> list[Row]:
    """A row per stored score: where it lies, its key, and how, when and with what it was made."""
    return [_provenance_row(b, score) for b in benchmarks for score in (*b.scores, *b.superseded)]


def _provenance_row(benchmark: Benchmark, score: Scored) -> Row:
    manifest = score.stored.manifest
    key, made = manifest["key"], manifest.get("provenance", {})
    return {
        "score": score.name,
        "benchmark": benchmark.title,
        "model": score.label,
        "superseded": score.superseded,
        "created": made.get("created"),
        "seconds": made.get("seconds"),
        "device": made.get("device"),
        "commit": made.get("commit"),
        "python": made.get("python"),
        "packages": made.get("packages", {}),
        "seed": made.get("seed"),
        "version": key.get("version"),
        "options": dict(key.get("options", [])),
        "activations": list(key.get("activations", [])),
        "data": list(key.get("data", [])),
        "digest": manifest.get("digest"),
        "sha256": manifest.get("value", {}).get("sha256"),
        "notes": dict(score.facts.get("notes", {})),
    }
