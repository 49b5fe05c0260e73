"""First screen of the page: the ranking of all models, for every choice of benchmark and region, and what it says.

A view is one choice of benchmark and region. Its rows are in the order of its headline, and so is every other list of
the page.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..models import membership
from .figures import plain, ranked_dots, tied_text
from .metrics_agreement import primary
from .picture import Picture
from .rows import Row, benchmark_rows, leaderboard_rows
from .scores import BenchmarkScores, StoredScore
from .text import count, number

# {name of a control line: test of the stored model's name}
CONTROLS = {
    "pixels": lambda name: name == "pixels",
    "motion energy": lambda name: name == "motion-energy",
    "untrained": lambda name: membership(name).group == "untrained",
    "brain-to-brain": lambda name: membership(name).group == "brain",
}
MAX_NAMES = 4
LABELS = {"fmri": "fMRI"}  # names of kinds of benchmarks in sentences


def overview(benchmarks: Sequence[BenchmarkScores], ids: Sequence[str], groups: Mapping[str, str]) -> dict[str, Any]:
    """Return the models, and the views with rows, lines and words, as JSON types.

    ids: HTML id of each benchmark; groups: {model label: group}. A row is (index of the model, headline, low, high,
    tied, raw, raw low, raw high): tied is True for the set that cannot be told apart from the best, and None where that
    is unknown; raw values are None where the headline is not scaled by a ceiling.
    """
    stored = {s.label: s.item.model for b in benchmarks for s in b.scores}
    views = _mean_views(benchmarks, stored)
    for benchmark, section in zip(benchmarks, ids, strict=True):
        views.append(_benchmark_view(benchmark, section, stored))
        views += _region_views(benchmark, section, stored)
    models = list(dict.fromkeys(row["model"] for view in views for row in view["rows"]))
    number_of = {model: i for i, model in enumerate(models)}
    for view in views:
        view["rows"] = [_numbers(row, number_of) for row in view["rows"]]
    lines = {name: [number_of[m] for m in models if test(stored[m])] for name, test in CONTROLS.items()}
    return {"models": models, "groups": [groups[m] for m in models], "controls": lines, "views": views}


def overview_picture(benchmarks: Sequence[BenchmarkScores]) -> Picture | None:
    """Return the ranking over benchmarks as a figure; None unless models share several benchmarks with a ceiling."""
    rows = leaderboard_rows(benchmarks)
    if not rows or not rows[0]["shared"] or len(rows[0]["cells"]) < 2:
        return None
    stored = {s.label: s.item.model for b in benchmarks for s in b.scores}
    lines = {"noise ceiling": 1.0} | {name: _median(rows, stored, test) for name, test in CONTROLS.items()}
    caption = f"Mean test / ceiling over {rows[0]['of']} benchmarks; bars: 95 % bootstrap interval, where stored."
    caption += _estimated_text(rows)
    spec = ranked_dots(rows, "mean test / ceiling", lines)
    return Picture("overview", "overview", "Models by headline", caption + tied_text(rows), spec)


def _numbers(row: Row, number_of: Mapping[str, int]) -> list:
    raw = [row.get(name) for name in ("raw", "raw_low", "raw_high")]
    return [number_of[row["model"]], *plain([row["mean"], row["low"], row["high"]]), row["tied"], *plain(raw)]


def _mean_views(benchmarks: Sequence[BenchmarkScores], stored: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a view of the mean over all benchmarks with a ceiling and, if some model lacks one, over the shared."""
    scaled = [b for b in primary(benchmarks) if b.key == "normalised"]
    rows = leaderboard_rows(scaled)
    if not rows or not rows[0]["shared"] or rows[0]["of"] < 2:
        return []
    views = [_mean_view(rows, "all", "all benchmarks with a ceiling", scaled, len(benchmarks), stored)]
    shared = [b for b in scaled if len(b.scores) == len(rows)]
    if len(shared) < len(scaled) and (rows := leaderboard_rows(scaled, only_shared=True)):
        views.append(_mean_view(rows, "shared", "benchmarks of all models", shared, len(benchmarks), stored))
    return views


def _mean_view(
    rows: Sequence[Row],
    name: str,
    label: str,
    used: Sequence[BenchmarkScores],
    n_benchmarks: int,
    stored: Mapping[str, str],
) -> dict[str, Any]:
    names = [LABELS.get(b.benchmark, b.benchmark) for b in used]
    kinds = [f"{count(names.count(name))} {name}" for name in dict.fromkeys(names)]
    complete = " and all models" if name == "shared" else ""
    number_of = count(len(used)) if len(used) == n_benchmarks else f"{count(len(used))} of {count(n_benchmarks)}"
    data = f"Mean over the {number_of} benchmarks that have a noise ceiling{complete} "
    data += f"({', '.join(kinds)}), {count(sum(b.facts['targets'] for b in used))} units in all."
    data += _estimated_text(rows)
    return {
        "dataset": name,
        "label": label,
        "region": "",
        "key": "mean test / ceiling",
        "raw": "",
        "ceilings": [1.0, None],
        "rows": list(rows),
        "words": [_found_text(rows, "mean test / ceiling", stored), data + _missing_text(rows, stored)],
        "href": "leaderboard",
    }


def _estimated_text(rows: Sequence[Row]) -> str:
    """Return which models lack benchmarks of the mean, as a sentence."""
    lacking = [row["model"] for row in rows if row["missing"]]
    if not lacking:
        return ""
    names = ", ".join(lacking[:MAX_NAMES]) + (f" and {len(lacking) - MAX_NAMES} more" if lacking[MAX_NAMES:] else "")
    return f" {names}: missing scores are estimated from those of the model and of the benchmark."


def _benchmark_view(benchmark: BenchmarkScores, section: str, stored: Mapping[str, str]) -> dict[str, Any]:
    rows, score_of = benchmark_rows(benchmark), {s.label: s for s in benchmark.scores}
    is_scaled = benchmark.key == "normalised"
    if is_scaled:
        rows = [row | _raw(score_of[row["model"]].headline) for row in rows]
    return _view(benchmark, section, "", rows, benchmark.facts["ceiling"], stored)


def _raw(row: Mapping[str, Any]) -> Row:
    return {"raw": row["test"], "raw_low": row.get("low"), "raw_high": row.get("high")}


def _region_views(benchmark: BenchmarkScores, section: str, stored: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return a view per region, for benchmarks with several; intervals of regions are of the raw score."""
    of_region: dict[str, list[tuple[StoredScore, Mapping[str, Any]]]] = {}
    for score in benchmark.scores:
        for row in score.facts["regions"]:
            of_region.setdefault(row["region"], []).append((score, row))
    if len(of_region) < 2:
        return []
    views = []
    for region, found in of_region.items():
        is_scaled = all(row["normalised"] is not None for _, row in found)
        rows = [
            {"model": score.label, "mean": row["normalised"], "low": None, "high": None, "tied": None} | _raw(row)
            if is_scaled
            else {
                "model": score.label,
                "mean": row["test"],
                "low": row.get("low"),
                "high": row.get("high"),
                "tied": None,
            }
            for score, row in found
        ]
        rows.sort(key=lambda row: (row["mean"] is None, -(row["mean"] or 0.0)))
        ceiling = next((row["ceiling"] for _, row in found if row["ceiling"] is not None), None)
        views.append(_view(benchmark, section, region, rows, ceiling, stored, is_scaled, found[0][1]["targets"]))
    return views


def _view(
    benchmark: BenchmarkScores,
    section: str,
    region: str,
    rows: Sequence[Row],
    ceiling: float | None,
    stored: Mapping[str, str],
    is_scaled: bool | None = None,
    targets: int | None = None,
) -> dict[str, Any]:
    is_scaled = benchmark.key == "normalised" if is_scaled is None else is_scaled
    raw = f"test {benchmark.metric}"
    key = "test / ceiling" if is_scaled else raw
    n, splits = targets or benchmark.facts["targets"], benchmark.facts["options"]["splits"]
    noun = f"{benchmark.target_noun}s" if n > 1 else benchmark.target_noun
    place = f"{benchmark.title}, {region}" if region else benchmark.title
    kind = LABELS.get(benchmark.benchmark, benchmark.benchmark)
    data = f"{place}: {kind}, {count(n)} {noun}, {count(splits)} splits, {count(len(rows))} "
    data += f"model{'s' if len(rows) != 1 else ''}"
    data += "." if ceiling is None else f", noise ceiling {number(ceiling)}."
    data += " There is no noise ceiling." if ceiling is None else ""
    return {
        "dataset": section,
        "label": benchmark.title,
        "region": region,
        "key": key,
        "raw": raw if is_scaled else "",
        "ceilings": plain([1.0 if is_scaled else ceiling, ceiling if is_scaled else None]),
        "rows": list(rows),
        "words": [_found_text(rows, key, stored), data + _missing_text(rows, stored)],
        "href": section,
    }


def _found_text(rows: Sequence[Row], key: str, stored: Mapping[str, str]) -> str:
    """Return the best model, the set that cannot be told apart from it, and the controls, as one sentence."""
    best = rows[0]
    if best["mean"] is None:
        return "No model has a defined score."
    interval = f" [{number(best['low'])}, {number(best['high'])}]" if best["low"] is not None else ""
    verb = f"has the highest {key}," if len(rows) > 1 else f"has a {key} of"
    text = f"{best['model']} {verb} {number(best['mean'])}{interval}"
    if len(rows) > 1 and best["tied"] is not None:
        tied = [row["model"] for row in rows[1:] if row["tied"]]
        if tied:
            names = ", ".join(tied[:MAX_NAMES]) + (
                f" and {len(tied) - MAX_NAMES} more" if len(tied) > MAX_NAMES else ""
            )
            text += (
                f"; {count(len(tied))} of {count(len(rows) - 1)} other models cannot be told apart from it ({names})"
            )
        else:
            which = (
                "every other model" if all(row["tied"] is False for row in rows[1:]) else "every model with an interval"
            )
            text += f"; {which} scores lower (q < 0.05)"
        text += _people_text(rows)
    elif len(rows) > 1:
        text += "; without intervals of this score it is unknown which models differ from it"
    medians = {name: _median(rows, stored, test) for name, test in CONTROLS.items()}
    lines = [f"{name} {number(value)}" for name, value in medians.items() if value is not None]
    return text + (f". Controls: {', '.join(lines)}." if lines else ".")


def _people_text(rows: Sequence[Row]) -> str:
    """Return how many of the models differ from the best one for new people too, as part of a sentence."""
    tested = [row for row in rows[1:] if row.get("people_q") is not None]
    if not tested:
        return ""
    lower = [row for row in tested if not row["people_tied"]]
    return f"; for new people too, {count(len(lower))} of {count(len(tested))} score lower"


def _median(rows: Sequence[Row], stored: Mapping[str, str], test) -> float | None:
    values = [row["mean"] for row in rows if test(stored[row["model"]]) and row["mean"] is not None]
    return float(np.median(values)) if values else None


def _missing_text(rows: Sequence[Row], stored: Mapping[str, str]) -> str:
    names = [name for name, test in CONTROLS.items() if not any(test(stored[row["model"]]) for row in rows)]
    return f" Controls without a stored score: {', '.join(names)}." if names else ""
