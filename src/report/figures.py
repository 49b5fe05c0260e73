"""Figures of a benchmark as plain data: kind, panels, axes, title and caption.

The page draws them with templates/charts.js, and `charts.plot` draws them into files; both show the same numbers. The
kinds are "dots" (one row per name), "lines", "scatter", "heat", "bars" and "surface".
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..pipeline import BEST_PER_UNIT
from . import contexts, curves, surface_maps
from .picture import Picture
from .rows import Row, benchmark_rows
from .scores import BenchmarkScores, StoredScore
from .text import count, number, p_value

MAX_REGIONS = 30  # in a heat map
MAX_MODELS = 40  # in a heat map
MAX_ROWS = 30  # of names in one panel
MAX_PAIRS = 4
MAX_POINTS = 1500  # of a scatter plot; more are counted in cells
N_CELLS = 40
ORDERS = ("Frozen-", "Shuffled-")  # of the frames that a control sees
MAX_GROUPS = 6  # of points with colours of their own
BY_ROWS = {"by": "rows"}  # the rows of the figure are models; else its panels are, by their "model"

Panel = dict[str, Any]


def pictures(benchmark: BenchmarkScores, shown: Sequence[StoredScore], pairs: Sequence[Row]) -> Iterator[Picture]:
    """Yield the figures of a benchmark.

    shown: the scores with figures of a single model; pairs: the rows of `rows.pair_rows` for these scores.
    """
    yield _ranking(benchmark)
    yield from _regions(benchmark)
    yield from _labels(benchmark, shown)
    yield from _behaviour(benchmark, shown)
    yield from _profiles(benchmark, shown)
    yield from _region_layers(benchmark, shown)
    yield from partitions(benchmark, shown)
    yield from curves.pictures(benchmark, shown)
    yield from contexts.pictures(benchmark)
    yield from _units(benchmark, shown)
    yield from _model_pairs(benchmark, shown, pairs)
    yield from surface_maps.pictures(benchmark, shown)


def dots(
    panels: Sequence[Panel],
    series: Sequence[Mapping[str, Any]],
    xlabel: str,
    references: Mapping[str, float | None] | None = None,
    ylabel: str = "",
) -> dict[str, Any]:
    """Return a figure with one row per name and one score axis for all panels.

    panels: {"title", "rows": names, "x": per series (n_rows,), optionally "low", "high" (the same) and "ring": row};
    series: {"name", "colour", "line", "hollow"}; references: {name: value} lines.
    """
    lines = [{"name": name, "value": value} for name, value in (references or {}).items() if value is not None]
    values = [line["value"] for line in lines]
    values += [v for p in panels for part in ("x", "low", "high") for one in p.get(part, ()) for v in one]
    return {
        "kind": "dots",
        "panels": list(panels),
        "series": [{"colour": 0, "line": False, "hollow": False} | dict(one) for one in series],
        "xlabel": xlabel,
        "ylabel": ylabel,
        "limits": limits(values),
        "references": lines,
    }


def limits(values: Sequence[float | None], origin: bool = True) -> list[float]:
    """Return the range of an axis: of the finite values and, by default, of 0, with a margin."""
    finite = [v for v in values if v is not None and np.isfinite(v)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if origin:
        low, high = min(low, 0.0), max(high, 0.0)
    margin = 0.04 * ((high - low) or 1.0)
    return plain([low - margin if low < 0 or not origin else low, high + margin])


def plain(values) -> list:
    """Return numbers as nested lists with five significant digits, None for NaN."""
    if isinstance(values, np.ndarray | list | tuple):
        return [plain(value) for value in values]
    return None if values is None or not np.isfinite(values) else float(f"{values:.5g}")


def _ranking(benchmark: BenchmarkScores) -> Picture:
    """Return the ranking of all models."""
    rows = benchmark_rows(benchmark)
    is_scaled = benchmark.key == "normalised"
    references = {"noise ceiling": 1.0 if is_scaled else benchmark.facts["ceiling"]}
    if not is_scaled and benchmark.chance is not None:
        references["chance"] = benchmark.chance
    has_interval = any(row["low"] is not None for row in rows)
    is_per_unit = any(s.headline["layer"] == BEST_PER_UNIT for s in benchmark.scores)
    what = BEST_PER_UNIT if is_per_unit else "chosen layer"
    caption = f"{_sentence(benchmark.key_name)} of the {what}, {benchmark.aggregation}"
    caption += "; bars: 95 % bootstrap interval, where stored." if has_interval else "; no interval is stored."
    spec = ranked_dots(rows, benchmark.key_name, references) | BY_ROWS
    return Picture("ranking", "models", "Models by headline", caption + tied_text(rows), spec)


def ranked_dots(rows: Sequence[Row], xlabel: str, references: Mapping[str, float | None]) -> dict[str, Any]:
    """Return models in order as dots with intervals; the set that cannot be told apart from the best has a colour."""
    has_ties = any(row["tied"] for row in rows[1:])
    panels = []
    for start in range(0, len(rows), MAX_ROWS):
        part = rows[start : start + MAX_ROWS]
        panel = {"title": f"ranks {start + 1} to {start + len(part)}" if len(rows) > MAX_ROWS else ""}
        panel["rows"] = [row["model"] for row in part]
        for name, column in (("x", "mean"), ("low", "low"), ("high", "high")):
            best = [row[column] if row["tied"] and has_ties else None for row in part]
            other = [None if row["tied"] and has_ties else row[column] for row in part]
            panel[name] = plain([best, other] if has_ties else [other])
        panels.append(panel)
    series = [{"name": "best, and not told apart from it", "colour": 1}] if has_ties else []
    return dots(panels, [*series, {"name": "other models" if has_ties else "model", "colour": 0}], xlabel, references)


def tied_text(rows: Sequence[Row]) -> str:
    """Return how many models cannot be told apart from the best one, as a sentence."""
    if len(rows) < 2:
        return ""
    if rows[0]["tied"] is None:
        return " Without intervals, no model can be told apart from the best."
    n = sum(bool(row["tied"]) for row in rows[1:])
    if all(row["tied"] is False for row in rows[1:]):
        return " Every other model scores lower (paired bootstrap, q < 0.05)."
    text = f" {count(n)} of {count(len(rows) - 1)} other models cannot be told apart from the best"
    return f"{text} (paired bootstrap, q ≥ 0.05)."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _profiles(benchmark: BenchmarkScores, shown: Sequence[StoredScore]) -> Iterator[Picture]:
    """Yield the layer profiles of the models with more than one layer, with one score axis."""
    panels = []
    for score in (s for s in shown if len(s.facts["layers"]) > 1):
        layers = score.facts["layers"]
        test, spread, valid = (_column(layers, name) for name in ("test", "test_sd", "valid"))
        none = [None] * len(layers)
        panels.append(
            {
                "title": score.label,
                "model": score.label,
                "rows": [row["layer"] for row in layers],
                "x": [plain(test), plain(valid)],
                "low": [plain(test - spread), none],
                "high": [plain(test + spread), none],
                "ring": next(i for i, row in enumerate(layers) if row["best"]),
            }
        )
    if not panels:
        return
    series = ({"name": "test", "line": True}, {"name": "validation", "colour": 1, "hollow": True})
    n_splits = shown[0].facts["options"]["splits"]
    caption = f"{benchmark.aggregation.capitalize()}; bars: standard deviation over {n_splits} splits; ring: the layer "
    caption += f"that most splits choose for all {benchmark.target_noun}s. First layer on top."
    spec = dots(panels, series, f"{benchmark.metric}", ylabel="layer")
    yield Picture("profiles", "layers", "Layers", caption, spec)


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    return np.array([row[name] for row in rows], dtype=float)


def _regions(benchmark: BenchmarkScores) -> Iterator[Picture]:
    """Yield models by regions: test / ceiling where there is a ceiling, and the raw test score."""
    scores = [s for s in benchmark.scores if len(s.facts["regions"]) > 1][:MAX_MODELS]
    if not scores:
        return
    regions = {row["region"]: row for row in scores[0].facts["regions"]}
    found = [{row["region"]: row for row in s.facts["regions"]} for s in scores]
    best = {r: max((row[r]["test"] or -np.inf for row in found if r in row), default=-np.inf) for r in regions}
    kept = sorted(regions, key=lambda r: -best[r])[:MAX_REGIONS]
    names = [region for region in regions if region in kept]
    left_out = f" The {len(names)} best predicted of {len(regions)} regions." if len(names) < len(regions) else ""
    left_out += f" The {MAX_MODELS} best models." if len(scores) < len(benchmark.scores) else ""
    columns, caption = names, "Columns: regions."
    if benchmark.target_noun != "region":
        columns = [f"{name} ({count(regions[name]['targets'])})" for name in names]
        caption = f"Columns: regions with their number of {benchmark.target_noun}s."
    has_ceiling = any(row["ceiling"] is not None for row in regions.values())
    for part, title in (("normalised", "test / ceiling"), ("test", f"test {benchmark.metric}")):
        values = np.array([[_of(row.get(name, {}), part) for name in names] for row in found], float)
        labels = [s.label for s in scores]
        # one model's raw scores are in the figure of its layers
        if not np.isfinite(values).any() or (part == "test" and len(scores) == 1 and has_ceiling):
            continue
        if part == "test" and has_ceiling:
            values = np.vstack([[_of(regions[name], "ceiling") for name in names], values])
            labels = ["noise ceiling", *labels]
        panel = {"title": "", "rows": labels, "columns": columns, "values": plain(values), "framed": []}
        spec = heat([panel], title, ("model", "region")) | BY_ROWS
        name = f"regions-{'ratio' if part == 'normalised' else 'raw'}"
        missing = "" if np.isfinite(values).all() else " Grey: no value."
        yield Picture(name, "models", f"Regions: {title}", f"{caption}{missing}{left_out}", spec)


def _of(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    return np.nan if value is None else value


def heat(panels: Sequence[Panel], label: str, axes: tuple[str, str]) -> dict[str, Any]:
    """Return heat maps with one colour scale.

    panels: {"title", "rows", "columns", "values": (n_rows, n_columns), "framed": column of each row, or empty}.
    """
    values = [v for panel in panels for row in panel["values"] for v in row if v is not None]
    low, high = min([0.0, *values]), max([0.0, *values]) or 1.0
    return {
        "kind": "heat",
        "panels": list(panels),
        "label": label,
        "ylabel": axes[0],
        "xlabel": axes[1],
        "limits": plain([low, high]),
    }


def _region_layers(benchmark: BenchmarkScores, shown: Sequence[StoredScore]) -> Iterator[Picture]:
    """Yield the test score of every layer in every region, for models with several of both."""
    panels = [_region_panel(s) for s in shown if len(s.facts["regions"]) > 1 and len(s.facts["layers"]) > 1]
    if not panels:
        return
    n = max(len(s.facts["regions"]) for s in shown)
    caption = f"Median over the {benchmark.target_noun}s of a region, mean over splits; framed: the layer that most "
    caption += "splits choose for the region. One colour scale for all panels."
    caption += f" The {MAX_REGIONS} best predicted of {n} regions; the table lists all." if n > MAX_REGIONS else ""
    spec = heat(panels, f"test {benchmark.metric}", ("region (units)", "layer, first on the left"))
    yield Picture("region-layers", "layers", "Layers in each region", caption, spec)


def _region_panel(score: StoredScore) -> Panel:
    from ..analysis.profiles import layer_profiles

    profiles, rows = layer_profiles(score.arrays), {row["region"]: row for row in score.facts["regions"]}
    means = {region: np.asarray(profiles[region]["test_mean"], float) for region in rows}
    best = sorted(rows, key=lambda region: -np.nan_to_num(means[region], nan=-np.inf).max())[:MAX_REGIONS]
    regions = [region for region in rows if region in best]
    layers = [row["layer"] for row in score.facts["layers"]]
    return {
        "title": score.label,
        "model": score.label,
        "rows": [f"{region} ({count(rows[region]['targets'])})" for region in regions],
        "columns": layers,
        "values": plain(np.stack([means[region] for region in regions])),
        "framed": [layers.index(rows[region]["layer"]) for region in regions],
    }


def partitions(benchmark: BenchmarkScores, shown: Sequence[StoredScore]) -> Iterator[Picture]:
    """Yield the unique and shared explained variance of each region, of the models with a partition.

    A set and its frozen or shuffled control tell how much of each region is dynamic.
    """
    found = [(score, score.facts.get("partition")) for score in shown if score.facts.get("partition")]
    if not found:
        return
    most = max(len(partition["sets"]) for _, partition in found)
    panels, dynamic = [], False
    for score, partition in found:
        rows = partition["rows"][:1] + sorted(partition["rows"][1:], key=lambda row: -(row["joint"] or 0))[:MAX_REGIONS]
        names = partition["sets"]
        dynamic |= any(f"{order}{names[0]}" in names for order in ORDERS)
        of = "" if score.label in names else f"{score.label}: "
        panel = {"title": of + " | ".join(names), "model": score.label}
        panel["rows"] = [f"{row['region']} ({count(row['targets'])})" for row in rows]
        for part, end in (("x", "value"), ("low", "low"), ("high", "high")):
            unique = [[row["unique"][name][end] for row in rows] for name in names]
            unique += [[None] * len(rows)] * (most - len(names))
            column = "shared" if part == "x" else f"shared_{end}"
            panel[part] = plain([*unique, [row[column] for row in rows]])
        panels.append(panel)
    series = [{"name": f"unique to set {k + 1}", "colour": min(k, 1), "hollow": k > 1} for k in range(most)]
    series.append({"name": "shared", "colour": -1, "hollow": True})
    title = "How much of each region is dynamic" if dynamic else "Unique and shared explained variance"
    caption = (
        f"R², mean over the {benchmark.target_noun}s of a region; sets in the order of the panel's title; bars: 95 % "
    )
    caption += "bootstrap interval. "
    caption += (
        "Unique to a model beside its frozen or shuffled control is what only the course of the frames explains. "
    )
    caption += f"The {MAX_REGIONS} best explained regions at most."
    yield Picture(
        "partition", "partition", title, caption, dots(panels, series, "explained variance (R²)", ylabel="region")
    )


def _units(benchmark: BenchmarkScores, shown: Sequence[StoredScore]) -> Iterator[Picture]:
    """Yield the test score of every unit against its noise ceiling, a histogram of the scores without a ceiling."""
    if benchmark.benchmark not in ("fmri", "electrodes"):
        return
    points, histograms = [], []
    for score in shown:
        test = score.best_per_unit["test"]
        ceiling = np.asarray(score.arrays.get("ceiling", np.full(len(test), np.nan)), float)
        if (np.isfinite(test) & np.isfinite(ceiling)).sum() >= 3:
            points.append((score.label, ceiling, test, _groups(score)))
        elif np.isfinite(test).sum() >= 3:
            histograms.append((score.label, test[np.isfinite(test)]))
    if points:
        spec = scatter(
            points, f"noise ceiling ({benchmark.metric})", f"test {benchmark.metric}", "unit", "test = ceiling", True
        )
        caption = f"One point per unit, layer chosen for each unit and split, mean over splits.{_cells_text(spec)}"
        yield Picture("units", "units", "Units against their noise ceiling", caption, spec)
    if histograms:
        caption = "Number of units by test score, layer chosen for each unit and split; line: median."
        yield Picture("unit-scores", "units", "Units", caption, _bars(histograms, f"test {benchmark.metric}", "units"))


def scatter(
    points: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray | None]],
    xlabel: str,
    ylabel: str,
    noun: str,
    equality: str,
    origin: bool,
) -> dict[str, Any]:
    """Return panels of points (title, x, y, group of each point) with one range for all axes and the line of equality.

    Panels of more than MAX_POINTS points hold the number of points in square cells.
    """
    kept = [(title, x, y, groups, np.isfinite(x) & np.isfinite(y)) for title, x, y, groups in points]
    both = [v for _, x, y, _, finite in kept for v in (x[finite], y[finite])]
    low, high = limits(np.concatenate(both).tolist(), origin)
    found = [groups for *_, groups, _ in kept if groups is not None]
    names = list(dict.fromkeys(str(name) for groups in found for name in groups))
    names = names if 1 < len(names) <= MAX_GROUPS else []
    is_dense = any(finite.sum() > MAX_POINTS for *_, finite in kept)
    panels = []
    for title, x, y, groups, finite in kept:
        panel: Panel = {"model": title, "title": f"{title}, n = {count(int(finite.sum()))} {noun}s"}
        if is_dense:
            panel["cells"] = _cells(x[finite], y[finite], low, high)
        else:
            panel |= {"x": plain(x[finite]), "y": plain(y[finite])}
            if names and groups is not None:
                panel["of"] = [names.index(str(name)) for name in groups[finite]]
        panels.append(panel)
    return {
        "kind": "scatter",
        "panels": panels,
        "groups": [] if is_dense else names,
        "xlabel": xlabel,
        "ylabel": ylabel,
        "limits": [low, high],
        "equality": equality,
        "noun": noun,
        "n_cells": N_CELLS,
        "most": max((c[2] for panel in panels for c in panel.get("cells", ())), default=0),
    }


def _cells(x: np.ndarray, y: np.ndarray, low: float, high: float) -> list[list[int]]:
    """Return (column, row, number of points) of the cells with points."""
    counts, _, _ = np.histogram2d(x, y, bins=N_CELLS, range=((low, high), (low, high)))
    return [[int(i), int(j), int(counts[i, j])] for i, j in np.argwhere(counts)]


def _cells_text(spec: Mapping[str, Any]) -> str:
    return " Colour: number of units in a cell." if spec["most"] else ""


def _bars(values: Sequence[tuple[str, np.ndarray]], xlabel: str, noun: str) -> dict[str, Any]:
    """Return histograms (title, values) with the same bins and axes."""
    low, high = limits(np.concatenate([v for _, v in values]).tolist())
    n_bins = min(40, max(5, min(len(v) for _, v in values) // 2))
    edges = np.linspace(low, high, n_bins + 1)
    panels = [
        {
            "model": title,
            "title": f"{title}, n = {count(len(v))} {noun}",
            "counts": np.histogram(v, edges)[0].tolist(),
            "median": plain(np.median(v)),
        }
        for title, v in values
    ]
    top = max(max(panel["counts"]) for panel in panels)
    return {"kind": "bars", "panels": panels, "edges": plain(edges), "xlabel": xlabel, "ylabel": noun, "top": top}


def _groups(score: StoredScore) -> np.ndarray | None:
    """Return the colour group of each unit: region, else animal, else hemisphere; None unless there are 2 to 6."""
    for column in ("target_region", "target_animal", "target_hemi"):
        if column in score.arrays and 1 < len(np.unique(score.arrays[column])) <= MAX_GROUPS:
            return np.asarray(score.arrays[column])
    return None


def _labels(benchmark: BenchmarkScores, shown: Sequence[StoredScore]) -> Iterator[Picture]:
    """Yield the test score of each model for each label of a task with several labels."""
    if benchmark.benchmark != "task" or benchmark.facts["targets"] < 2:
        return
    names = [str(name) for name in shown[0].arrays["target_target_id"]]
    values = np.stack([s.best_per_unit["test"] for s in shown])
    panel = {"title": "", "rows": [s.label for s in shown], "columns": names, "values": plain(values), "framed": []}
    caption = "Layer chosen for each label and split, mean over splits."
    caption += f" The {len(shown)} best models." if len(shown) < len(benchmark.scores) else ""
    spec = heat([panel], f"test {benchmark.metric}", ("model", "label")) | BY_ROWS
    yield Picture("labels", "models", "Test score of every label", caption, spec)


def _behaviour(benchmark: BenchmarkScores, shown: Sequence[StoredScore]) -> Iterator[Picture]:
    """Yield consistency with human choices against accuracy, and the stored confusion matrices."""
    if benchmark.benchmark != "behaviour":
        return
    notes = benchmark.facts["notes"]
    panels = []
    for score in shown:
        rows = [row for row in score.facts["layers"] if row.get("accuracy") is not None]
        if rows:
            x, y = plain(_column(rows, "accuracy")), plain(_column(rows, "test"))
            panels.append(
                {"title": score.label, "model": score.label, "x": x, "y": y, "names": [row["layer"] for row in rows]}
            )
    if panels:
        references = {"human accuracy": notes.get("human accuracy"), "chance": notes.get("chance")}
        lines = [{"name": name, "value": value} for name, value in references.items() if value is not None]
        spec = {
            "kind": "scatter",
            "panels": panels,
            "groups": [],
            "xlabel": "accuracy of the read-out",
            "ylabel": f"test {benchmark.metric}",
            "limits": limits([v for p in panels for v in p["x"]] + [line["value"] for line in lines]),
            "ylimits": limits([v for p in panels for v in p["y"]]),
            "references": lines,
            "noun": "layer",
            "most": 0,
        }
        trials = notes.get("trials")
        caption = "One point per layer; accuracy as a proportion of stimuli."
        caption += f" Human accuracy over {count(trials)} trials." if trials else ""
        yield Picture("accuracy", "models", "Consistency against accuracy", caption, spec)
    yield from _confusions(shown)


def _confusions(shown: Sequence[StoredScore]) -> Iterator[Picture]:
    scores = [s for s in shown if {"confusion_human", "confusion_model", "classes"} <= set(s.arrays)]
    if not scores:
        return
    classes = [str(name) for name in scores[0].arrays["classes"]]
    human = np.asarray(scores[0].arrays["confusion_human"])
    matrices = [(None, "human subjects", human)]
    matrices += [(s.label, s.label, np.asarray(s.arrays["confusion_model"])[s.chosen_index]) for s in scores]
    panels = [
        {"title": title, "model": model, "rows": classes, "columns": classes, "values": plain(matrix), "framed": []}
        for model, title, matrix in matrices
    ]
    caption = "Proportion of choices of each class, by the class shown. One colour scale for all panels."
    caption += " Grey: not evaluated." if any(not np.isfinite(matrix).all() for *_, matrix in matrices) else ""
    spec = heat(panels, "proportion of choices", ("class shown", "class chosen"))
    yield Picture("confusions", "confusions", "Confusion matrices", caption, spec)


def _model_pairs(benchmark: BenchmarkScores, shown: Sequence[StoredScore], pairs: Sequence[Row]) -> Iterator[Picture]:
    """Yield the test scores of the best model against those of the next models, one point per target."""
    if not shown or benchmark.facts["targets"] < 3:
        return
    best, row_of = shown[0], {(row["model"], row["other"]): row for row in pairs}
    noun, points, texts = benchmark.target_noun, [], []
    for other in shown[1 : MAX_PAIRS + 1]:
        x, y = (np.asarray(s.best_per_unit["test"], float) for s in (other, best))
        if (np.isfinite(x) & np.isfinite(y)).sum() >= 3:
            points.append((other.label, x, y, _groups(best)))
            texts.append(_difference_text(other.label, row_of.get((best.label, other.label)), noun))
    if points:
        axis = f"test {benchmark.metric}"
        spec = scatter(points, f"model of the panel, {axis}", f"{best.label}, {axis}", noun, "equal scores", False)
        caption = f"Best layer of each {noun}. {' '.join(text for text in texts if text)}{_cells_text(spec)}".strip()
        yield Picture("pairs", "pairs", f"{best.label} against the next best models", caption, spec)


def _difference_text(other: str, row: Row | None, noun: str) -> str:
    """Return the difference of the aggregate test scores of a pair of models with its test."""
    if row is None:
        return ""
    text = f"Difference from {other}: {number(row['difference'])}"
    if row["low"] is not None:
        pairing, p = "paired" if row["paired"] else "unpaired", p_value(row["p"])
        text += f" [{number(row['low'])}, {number(row['high'])}], "
        text += f"{pairing} p {p}" if p.startswith("<") else f"{pairing} p = {p}"
    return text + ("" if row["targets"] is None else f"; {count(row['targets'])} {noun}s with q < 0.05") + "."
