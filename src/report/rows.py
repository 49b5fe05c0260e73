"""Tables of the report as lists of rows, shared by the page and the table files."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from .metrics_agreement import primary
from .scores import BenchmarkScores, StoredScore

Row = dict[str, Any]


def score_rows(benchmark: BenchmarkScores) -> list[Row]:
    """Return one row per score, with its headline and with one layer; superseded scores are last and have no rank."""
    return [
        _score_row(benchmark, score, None if score.superseded else rank)
        for rank, score in enumerate((*benchmark.scores, *benchmark.superseded), start=1)
    ]


def _score_row(benchmark: BenchmarkScores, score: StoredScore, rank: int | None) -> Row:
    facts, headline, one_layer = score.facts, score.headline, score.facts["one_layer"]
    interval, permutation = facts.get("interval") or {}, facts.get("permutation") or {}
    return {
        "benchmark": benchmark.title,
        "rank": rank,
        "model": score.label,
        "metric": facts["metric"],
        "layer": headline["layer"],
        "valid": headline["valid"],
        "valid_sd": headline["valid_sd"],
        "test": headline["test"],
        "test_sd": headline["test_sd"],
        "low": headline.get("low"),
        "high": headline.get("high"),
        "normalised": headline.get("normalised"),
        "normalised_low": headline.get("low_normalised"),
        "normalised_high": headline.get("high_normalised"),
        "one_layer": one_layer["test"],
        "one_layer_normalised": one_layer["normalised"],
        "one_layer_name": one_layer["layer"],
        "accuracy": headline.get("accuracy"),
        "null": headline.get("null"),
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
        "outdated": score.item.outdated or None,
        "score": score.name,
    }


def layer_rows(benchmark: BenchmarkScores) -> list[Row]:
    """Return one row per score and layer, in the order of the model's layers."""
    return _rows_of(benchmark, "layers")


def region_rows(benchmark: BenchmarkScores) -> list[Row]:
    """Return one row per score and region, with layers chosen as for the headline and with one layer."""
    return _rows_of(benchmark, "regions")


def _rows_of(benchmark: BenchmarkScores, part: str) -> list[Row]:
    """Return the rows of "layers" or "regions" of all scores, with benchmark, model and score."""
    return [
        {"benchmark": benchmark.title, "model": score.label} | _select_columns(row) | {"score": score.name}
        for score in benchmark.scores
        for row in score.facts[part]
    ]


def _select_columns(row: Mapping[str, Any]) -> Row:
    names = ("region", "targets", "ceiling", "layer", "valid", "valid_sd", "test", "test_sd", "low", "high")
    names += ("normalised", "null", "accuracy", "one_layer", "best")
    only_if_present = ("region", "targets", "ceiling", "one_layer", "best")
    return {name: row.get(name) for name in names if name not in only_if_present or name in row}


def pair_rows(benchmark: BenchmarkScores, scores: Sequence[StoredScore]) -> list[Row]:
    """Return one row per pair of scores: difference of the aggregate scores, its interval, p, and q over the pairs."""
    from ..analysis.fdr import q_values

    rows = [_pair_row(benchmark, a, b) for a, b in combinations(scores, 2)]
    tested = [row for row in rows if row["p"] is not None]
    for row, q in zip(tested, q_values(np.array([row["p"] for row in tested])) if tested else (), strict=True):
        row["q"] = float(q)
    return rows


def _pair_row(benchmark: BenchmarkScores, a: StoredScore, b: StoredScore) -> Row:
    from ..analysis import paired

    comparison = paired.compare(a.arrays, b.arrays)
    row = {"benchmark": benchmark.title, "model": a.label, "other": b.label, "paired": comparison["paired"], "q": None}
    row |= {name: _finite(comparison.get(name)) for name in ("difference", "low", "high", "p")}
    q = comparison.get("targets_q")
    # with one target, the test of the target is the test of the aggregate score
    return row | {"targets": None if q is None or len(q) < 2 else int((q < 0.05).sum())}


def _finite(value: float | None) -> float | None:
    """Return the value as a float, None if it is missing or NaN."""
    return None if value is None or value != value else float(value)


def leaderboard_rows(benchmarks: Iterable[BenchmarkScores], *, only_shared: bool = False) -> list[Row]:
    """Return one row per model, by mean ceiling-normalised score; `cells` is {benchmark: score row or None}.

    See `analysis.leaderboard.rank`.
    """
    from ..analysis import leaderboard

    scaled = [b for b in primary(list(benchmarks)) if b.key == "normalised"]
    if not scaled:
        return []
    ranked = leaderboard.rank([_ranked(b, score) for b in scaled for score in b.scores], only_shared=only_shared)
    cells = {(row["model"], row["benchmark"]): row for b in scaled for row in score_rows(b) if row["rank"]}
    return [row | {"cells": {b.title: cells.get((row["model"], b.title)) for b in scaled}} for row in ranked]


def benchmark_rows(benchmark: BenchmarkScores) -> list[Row]:
    """Return one row per model of a benchmark, by headline, with the comparison with the best one.

    See `analysis.leaderboard.rank`; "mean" is the headline.
    """
    from ..analysis import leaderboard

    ranked = leaderboard.rank([_ranked(benchmark, score) for score in benchmark.scores])
    return ranked if benchmark.direction > 0 else [_negated(row) for row in ranked]


def _negated(row: Row) -> Row:
    """Return a row of a ranking whose scores were negated, since smaller ones are better."""
    ends = {"mean": row["mean"], "low": row["high"], "high": row["low"]}
    return row | {name: None if value is None else -value for name, value in ends.items()}


def _ranked(benchmark: BenchmarkScores, score: StoredScore) -> Row:
    """Return a score as `leaderboard.rank` takes it."""
    value, draws = score.headline[benchmark.key], score.draws[benchmark.key]
    if benchmark.direction < 0:
        value, draws = (None if x is None else -x for x in (value, draws))
    return {
        "model": score.label,
        "benchmark": benchmark.title,
        "normalised": value,
        "bootstrap_normalised": draws,
        "resampled": score.draws["resampled"],
        "people": score.draws["people"],
    }


def provenance_rows(benchmarks: Iterable[BenchmarkScores]) -> list[Row]:
    """Return one row per stored score: name, key, options, date, device and package versions."""
    return [_provenance_row(b, score) for b in benchmarks for score in (*b.scores, *b.superseded)]


def _provenance_row(benchmark: BenchmarkScores, score: StoredScore) -> Row:
    item = score.item
    key, provenance = item.key, item.manifest.get("provenance", {})
    return {
        "score": score.name,
        "benchmark": benchmark.title,
        "model": score.label,
        "superseded": score.superseded,
        "created": provenance.get("created"),
        "seconds": item.seconds,
        "device": provenance.get("device"),
        "commit": provenance.get("commit"),
        "outdated": item.outdated or None,
        "python": provenance.get("python"),
        "packages": provenance.get("packages", {}),
        "seed": provenance.get("seed"),
        "version": key.get("version"),
        "options": dict(key.get("options", [])),
        "activations": list(key.get("activations", [])),
        "data": list(key.get("data", [])),
        "digest": item.manifest.get("digest"),
        "sha256": item.manifest.get("value", {}).get("sha256"),
        "notes": dict(score.facts.get("notes", {})),
    }
