"""Which drawings a benchmark gets, with what they say; each is drawn when it is asked for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from . import charts, grids, surface_maps, surface_plot
from .rows import Row, score_rows
from .scores import Benchmark, Scored, file_name
from .theme import Theme

MAX_ROWS = 30  # regions in a heat map
MAX_SCATTERS = 4


@dataclass(frozen=True)
class Picture:
    """One drawing: name for its file, group it stands in, title, what it shows in a sentence, and how to draw it."""

    name: str
    group: str
    title: str
    caption: str
    draw: Callable[[Theme], Any]


def pictures(benchmark: Benchmark, shown: Sequence[Scored], pairs: Sequence[Row]) -> Iterator[Picture]:
    """The drawings of a benchmark; those of single models for the `shown` ones, pairs as `pair_rows` gives them."""
    yield ranking(benchmark)
    yield from _labels(benchmark, shown)
    yield from _behaviour(benchmark, shown)
    yield from profiles(benchmark, shown)
    yield from _regions(benchmark, shown)
    yield from _units(benchmark, shown)
    yield from scatters(benchmark, shown, pairs)
    for one in surface_maps.surface_maps(benchmark, shown):
        draw = partial(
            surface_plot.maps, one["values"], one["label"], one["limits"], one["colours"], ticks=one["ticks"]
        )
        yield Picture(one["file"], "cortex", one["name"], one["caption"], lambda theme, draw=draw: draw(theme=theme))


def over(benchmark: Benchmark) -> str:
    """What a score is the median of."""
    n = benchmark.facts["targets"]
    return f"median of {n:,} {benchmark.unit}s" if n > 1 else f"1 {benchmark.unit}"


def ranking(benchmark: Benchmark) -> Picture:
    """All models at a glance."""
    rows = [row for row in score_rows(benchmark) if row["rank"]]
    notes = benchmark.facts.get("notes", {})
    marks = {"ceiling": benchmark.facts["ceiling"], "chance": notes.get("chance") if _is_share(benchmark) else None}
    with_interval = any(row["low"] is not None for row in rows)
    caption = f"Test score of each model's chosen layer, {over(benchmark)}"
    caption += "; bars: 95 % bootstrap interval, where one is stored." if with_interval else "; no interval is stored."
    draw = partial(charts.ranking, rows, benchmark.metric, over(benchmark), marks)
    return Picture("ranking", "models", "Test score of the chosen layer", caption, lambda theme: draw(theme=theme))


def _is_share(benchmark: Benchmark) -> bool:
    return benchmark.facts["metric"] == "accuracy"


def profiles(benchmark: Benchmark, shown: Sequence[Scored]) -> Iterator[Picture]:
    """A layer profile of every model that has layers to compare."""
    many = [s for s in shown if len(s.facts["layers"]) > 1]
    limits = charts.profile_limits([s.facts["layers"] for s in many]) if many else None
    for score in many:
        draw = partial(charts.profile, score.facts["layers"], benchmark.metric, over(benchmark), limits)
        caption = f"{over(benchmark).capitalize()}; bars: standard deviation over {_splits(score)} splits."
        yield _picture("profile", "layers", score, caption, draw)


def _splits(score: Scored) -> int:
    return score.facts["options"]["splits"]


def _picture(kind: str, group: str, score: Scored, caption: str, draw: Callable) -> Picture:
    return Picture(f"{kind}-{file_name(score.label)}", group, score.label, caption, lambda theme: draw(theme=theme))


def _regions(benchmark: Benchmark, shown: Sequence[Scored]) -> Iterator[Picture]:
    """Region x layer: the test score of every layer in every region."""
    for score in shown:
        if len(score.facts["regions"]) > 1 and len(score.facts["layers"]) > 1:
            yield _region_map(benchmark, score)


def _region_map(benchmark: Benchmark, score: Scored) -> Picture:
    from ..analysis.profiles import layer_profiles

    found, rows = layer_profiles(score.arrays), {row["region"]: row for row in score.facts["regions"]}
    means = {region: np.asarray(found[region]["test_mean"], float) for region in rows}
    named = sorted(rows, key=lambda region: -np.nan_to_num(means[region], nan=-np.inf).max())[:MAX_ROWS]
    named = [region for region in rows if region in named]
    layers = [row["layer"] for row in score.facts["layers"]]
    caption = "Median over the region's units, mean over splits; framed: the layer that validation chooses there."
    if len(named) < len(rows):
        caption += f" The {len(named)} best predicted of {len(rows)} regions; all are in the table."
    draw = partial(
        grids.heat_map,
        np.stack([means[region] for region in named]),
        [f"{charts.short(region, 12)} ({rows[region]['targets']:,})" for region in named],
        layers,
        ("region (n units)", "layer, first on the left", f"test {benchmark.metric}"),
        boxed=[layers.index(rows[region]["layer"]) for region in named],
    )
    return _picture("regions", "regions", score, caption, draw)


def _units(benchmark: Benchmark, shown: Sequence[Scored]) -> Iterator[Picture]:
    """Every unit against its ceiling, or how the units are spread where there is none; each with its own best layer."""
    if benchmark.benchmark not in ("fmri", "electrodes"):
        return
    caption = "Each unit by the layer that its validation score chooses, mean over splits."
    for score in shown:
        test = score.own["test"]
        ceiling = np.asarray(score.arrays.get("ceiling", np.full(len(test), np.nan)), float)
        if (np.isfinite(test) & np.isfinite(ceiling)).sum() >= 3:
            draw = partial(charts.units, test, ceiling, _groups(score), benchmark.metric)
            yield _picture("units", "units", score, caption, draw)
        elif np.isfinite(test).sum() >= 3:
            yield _picture("units", "units", score, caption, partial(charts.spread, test, benchmark.metric))


def _groups(score: Scored) -> np.ndarray | None:
    """What colours a unit: its region, or where that is not known the hemisphere or animal."""
    for column in ("target_region", "target_animal", "target_hemi"):
        if column in score.arrays and 1 < len(np.unique(score.arrays[column])) <= 6:
            return np.asarray(score.arrays[column])
    return None


def _labels(benchmark: Benchmark, shown: Sequence[Scored]) -> Iterator[Picture]:
    """A task with several labels: each model on each."""
    if benchmark.benchmark != "task" or benchmark.facts["targets"] < 2:
        return
    values = np.stack([s.own["test"] for s in shown])
    names = [str(name) for name in shown[0].arrays["target_target_id"]]
    draw = partial(charts.labels, values, [s.label for s in shown], names, benchmark.metric)
    caption = "Each label by the layer that its validation score chooses, mean over splits."
    yield Picture("labels", "models", "Test score of every label", caption, lambda theme: draw(theme=theme))


def _behaviour(benchmark: Benchmark, shown: Sequence[Scored]) -> Iterator[Picture]:
    """How right the read-outs are and how human their errors; confusion matrices where they are stored."""
    if benchmark.benchmark != "behaviour":
        return
    notes = benchmark.facts["notes"]
    rows = [{"model": s.label} | row for s in shown for row in s.facts["layers"] if row.get("accuracy") is not None]
    if rows:
        marks = {"human accuracy": notes.get("human accuracy"), "chance": notes.get("chance")}
        draw = partial(charts.accuracies, rows, benchmark.metric, marks)
        caption = f"A point is a layer; human accuracy over {notes.get('trials', 0):,} trials."
        yield Picture("accuracy", "models", "How right, and how human", caption, lambda theme: draw(theme=theme))
    yield from _confusions(shown)


def _confusions(shown: Sequence[Scored]) -> Iterator[Picture]:
    having = [s for s in shown if {"confusion_human", "confusion_model", "classes"} <= set(s.arrays)]
    if not having:
        return
    classes = [str(name) for name in having[0].arrays["classes"]]
    human = np.asarray(having[0].arrays["confusion_human"])
    models = [(s, np.asarray(s.arrays["confusion_model"])[s.chosen_index]) for s in having]
    finite = np.concatenate([m[np.isfinite(m)] for m in (human, *(m for _, m in models))])
    limits = (0.0, float(finite.max()) if len(finite) else 1.0)
    draw = partial(grids.confusion, human, classes, limits)
    caption = "Share of the choices of one class when another was shown."
    caption += " Grey: left out." if not np.isfinite(human).all() else ""
    yield Picture("confusion-human", "confusions", "People", caption, lambda theme: draw(theme=theme))
    for score, matrix in models:
        yield _picture("confusion", "confusions", score, caption, partial(grids.confusion, matrix, classes, limits))


def scatters(benchmark: Benchmark, shown: Sequence[Scored], pairs: Sequence[Row]) -> Iterator[Picture]:
    """The best model against the next ones, a point a target."""
    if not shown or benchmark.facts["targets"] < 3:
        return
    best, tested = shown[0], {(row["model"], row["other"]): row for row in pairs}
    for other in shown[1 : MAX_SCATTERS + 1]:
        x, y = other.own["test"], best.own["test"]
        if (np.isfinite(x) & np.isfinite(y)).sum() < 3:
            continue
        caption = f"n = {(np.isfinite(x) & np.isfinite(y)).sum():,} {benchmark.unit}s, each by its own best layer. "
        caption += _verdict(tested.get((best.label, other.label)))
        title = f"{best.label} against {other.label}"
        draw = partial(charts.against, x, y, (other.label, best.label), _groups(best), benchmark.metric)
        name = f"against-{file_name(best.label)}-{file_name(other.label)}"
        yield Picture(name, "pairs", title, caption, lambda theme, draw=draw: draw(theme=theme))


def _verdict(row: Row | None) -> str:
    if row is None:
        return ""
    text = f"Difference of the headlines {row['difference']:+.3f}"
    if row["low"] is not None:
        kind = "paired" if row["paired"] else "unpaired"
        text += f", 95 % [{row['low']:.3f}, {row['high']:.3f}], {kind} p = {row['p']:.2g}"
    return text + ("" if row["targets"] is None else f"; q < 0.05 in {row['targets']:,}") + "."
