"""Curves of scores as figures and rows: time courses, and delay profiles."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .picture import Picture
from .scores import BenchmarkScores, StoredScore

MAX_LINES = 5  # of regions beside that of all units
TITLES = {"time_course": "Time course", "delay_profile": "Delays of responses"}
AXES = {"time_course": "time after onset (ms)", "delay_profile": "delay (ms)"}
CEILING = {"name": "noise ceiling", "colour": -1, "dashed": True}

Row = dict[str, Any]


def curve_rows(benchmark: BenchmarkScores) -> list[Row]:
    """Return a row per score, region ("all" for all units) and point of its curve."""
    rows = []
    for score, curve in _curves(benchmark.scores):
        for row in curve["rows"]:
            for p, (start, end) in enumerate(curve["points_ms"]):
                values = {
                    name: None if row[name] is None else row[name][p] for name in ("test", "low", "high", "ceiling")
                }
                found = {"benchmark": benchmark.title, "model": score.label, "curve": curve["name"]}
                found |= {"region": row["region"], "targets": row["targets"], "start_ms": start, "end_ms": end}
                rows.append(found | values | {"score": score.name})
    return rows


def pictures(benchmark: BenchmarkScores, shown: Sequence[StoredScore]) -> Iterator[Picture]:
    """Yield the curves of the shown models, a panel each: of all units, and of the best predicted regions."""
    for name, title in TITLES.items():
        found = [(score, curve) for score, curve in _curves(shown) if curve["name"] == name]
        if not found:
            continue
        regions = best_regions(
            (row["region"], max((value for value in row["test"] if value is not None), default=-np.inf))
            for _, curve in found
            for row in curve["rows"][1:]
        )
        has_ceiling = any(curve["rows"][0]["ceiling"] is not None for _, curve in found)
        series = [{"name": f"all {benchmark.target_noun}s", "colour": 0}]
        series += [{"name": region, "colour": k + 1} for k, region in enumerate(regions)]
        series += [CEILING] if has_ceiling else []
        panels = [_panel(score, curve, regions, has_ceiling) for score, curve in found]
        yield Picture(
            name.replace("_", "-"),
            "curves",
            title,
            _caption(name, benchmark, regions),
            lines(
                panels, series, AXES[name], f"{'part of ' if name == 'delay_profile' else ''}test {benchmark.metric}"
            ),
        )


def lines(
    panels: Sequence[Row], series: Sequence[Mapping[str, Any]], xlabel: str, ylabel: str, *, log: bool = False
) -> dict[str, Any]:
    """Return a figure of lines with bands, with one pair of axes for all panels.

    panels: {"title", "x": (n_points,), "y", "low", "high": per series (n_points,)}; series: {"name", "colour",
    "dashed"}; log: x is drawn on a logarithmic axis.
    """
    from .figures import limits, plain

    x = [value for panel in panels for value in panel["x"]]
    y = [value for panel in panels for part in ("y", "low", "high") for one in panel[part] for value in one]
    margin = 0.0 if log or len(x) < 2 else 0.02 * (max(x) - min(x))
    return {
        "kind": "lines",
        "panels": [panel | {part: plain(panel[part]) for part in ("x", "y", "low", "high")} for panel in panels],
        "series": [{"dashed": False} | dict(one) for one in series],
        "xlabel": xlabel,
        "ylabel": ylabel,
        "limits": [min(x) / 1.15, max(x) * 1.15] if log else [min(x) - margin, max(x) + margin],
        "ylimits": limits(y),
        "log": log,
    }


def _curves(scores: Sequence[StoredScore]) -> Iterator[tuple[StoredScore, Mapping[str, Any]]]:
    return ((score, score.facts["curve"]) for score in scores if score.facts.get("curve"))


def best_regions(scores: Iterable[tuple[str, float]]) -> list[str]:
    """Return the regions that have lines: the best predicted ones, if there are two or more; scores: (region, r)."""
    best: dict[str, float] = {}
    for region, score in scores:
        best[region] = max(best.get(region, -np.inf), score)
    kept = sorted(best, key=lambda region: -best[region])[:MAX_LINES]
    return [region for region in best if region in kept] if len(best) > 1 else []


def _panel(score: StoredScore, curve: Mapping[str, Any], regions: Sequence[str], has_ceiling: bool) -> Row:
    rows, n = {row["region"]: row for row in curve["rows"]}, len(curve["points_ms"])
    none = [None] * n
    # the middle of a time bin, the delay itself
    x = [(start + end) / 2 if curve["name"] == "time_course" else start for start, end in curve["points_ms"]]
    panel: Row = {"title": score.label, "model": score.label, "x": x}
    shown = [curve["rows"][0], *(rows.get(region) for region in regions)]
    for part, name in (("y", "test"), ("low", "low"), ("high", "high")):
        panel[part] = [none if row is None or row[name] is None else row[name] for row in shown]
        if has_ceiling:
            panel[part].append(curve["rows"][0]["ceiling"] or none if part == "y" else none)
    return panel


def _caption(name: str, benchmark: BenchmarkScores, regions: Sequence[str]) -> str:
    noun = benchmark.target_noun
    what = {
        "time_course": "Agreement of predictions and responses over the stimuli within each time bin, by the fits of "
        "the headline",
        "delay_profile": "Part of the score that the features contribute with each delay; all delays sum to the score",
    }[name]
    text = f"{what}; median over {noun}s; bands: 95 % bootstrap interval."
    return f"{text} The {len(regions)} best predicted regions." if regions else text
