"""Figures of a benchmark with titles and captions; each figure is plotted when `Picture.plot` is called."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..pipeline import BEST_PER_UNIT
from . import charts, grids, surface_maps, surface_plot
from .rows import Row, score_rows
from .scores import BenchmarkScores, StoredScore, file_name
from .text import count, number, p_value
from .theme import Theme

MAX_REGIONS = 30  # in a heat map
MAX_PAIRS = 4


@dataclass(frozen=True)
class Picture:
    """One figure: name of its file, group on the page, title, caption, and the function that plots it in a theme."""

    name: str
    group: str
    title: str
    caption: str
    plot: Callable[[Theme], Any]


def pictures(benchmark: BenchmarkScores, shown: Sequence[StoredScore], pairs: Sequence[Row]) -> Iterator[Picture]:
    """Yield the figures of a benchmark.

    shown: the scores with figures of a single model; pairs: the rows of `rows.pair_rows` for these scores.
    """
    yield _ranking(benchmark)
    yield from _labels(benchmark, shown)
    yield from _behaviour(benchmark, shown)
    yield from _profiles(benchmark, shown)
    yield from _regions(benchmark, shown)
    yield from _units(benchmark, shown)
    yield from _model_pairs(benchmark, shown, pairs)
    for one in surface_maps.surface_maps(benchmark, shown):
        plot = partial(
            surface_plot.surface_figure, one["values"], one["label"], one["limits"], one["colours"], one["ticks"]
        )
        yield Picture(one["file"], "surface", one["name"], one["caption"], lambda _, plot=plot: plot())


def _ranking(benchmark: BenchmarkScores) -> Picture:
    """Return the ranking of all models."""
    rows = [row for row in score_rows(benchmark) if row["rank"]]
    is_accuracy = benchmark.facts["metric"] == "accuracy"
    chance = benchmark.facts.get("notes", {}).get("chance") if is_accuracy else None
    references = {"noise ceiling": benchmark.facts["ceiling"], "chance": chance}
    has_interval = any(row["low"] is not None for row in rows)
    per_unit = any(row["layer"] == BEST_PER_UNIT for row in rows)
    what = BEST_PER_UNIT if per_unit else "chosen layer"
    caption = f"Test score of the {what} of each model, {benchmark.aggregation}"
    caption += "; bars: 95 % bootstrap interval, where stored." if has_interval else "; no interval is stored."
    plot = partial(charts.ranking, rows, benchmark.metric, benchmark.aggregation, references)
    return Picture("ranking", "models", f"Test score of the {what}", caption, lambda theme: plot(theme=theme))


def _profiles(benchmark: BenchmarkScores, shown: Sequence[StoredScore]) -> Iterator[Picture]:
    """Yield a layer profile of every model with more than one layer."""
    scores = [s for s in shown if len(s.facts["layers"]) > 1]
    limits = charts.profile_limits([s.facts["layers"] for s in scores]) if scores else None
    for score in scores:
        plot = partial(charts.profile, score.facts["layers"], benchmark.metric, benchmark.aggregation, limits)
        n_splits = score.facts["options"]["splits"]
        caption = f"{benchmark.aggregation.capitalize()}; bars: standard deviation over {n_splits} splits."
        yield _model_picture("profile", "layers", score, caption, plot)


def _model_picture(prefix: str, group: str, score: StoredScore, caption: str, plot: Callable) -> Picture:
    """Return a figure of a single model, with the model as its title."""
    return Picture(f"{prefix}-{file_name(score.label)}", group, score.label, caption, lambda theme: plot(theme=theme))


def _regions(benchmark: BenchmarkScores, shown: Sequence[StoredScore]) -> Iterator[Picture]:
    """Yield the test score of every layer in every region, for models with several of both."""
    for score in shown:
        if len(score.facts["regions"]) > 1 and len(score.facts["layers"]) > 1:
            yield _region_map(benchmark, score)


def _region_map(benchmark: BenchmarkScores, score: StoredScore) -> Picture:
    from ..analysis.profiles import layer_profiles

    profiles, rows = layer_profiles(score.arrays), {row["region"]: row for row in score.facts["regions"]}
    means = {region: np.asarray(profiles[region]["test_mean"], float) for region in rows}
    best = sorted(rows, key=lambda region: -np.nan_to_num(means[region], nan=-np.inf).max())[:MAX_REGIONS]
    regions = [region for region in rows if region in best]
    layers = [row["layer"] for row in score.facts["layers"]]
    caption = (
        "Median over the units of a region, mean over splits; framed: layer that most splits choose for the region."
    )
    if len(regions) < len(rows):
        caption += f" The {len(regions)} best predicted of {len(rows)} regions; the table lists all."
    plot = partial(
        grids.heat_map,
        np.stack([means[region] for region in regions]),
        [f"{charts.shorten(region, 12)} ({rows[region]['targets']:,})" for region in regions],
        layers,
        ("region (n units)", "layer, first on the left", f"test {benchmark.metric}"),
        framed=[layers.index(rows[region]["layer"]) for region in regions],
    )
    return _model_picture("regions", "regions", score, caption, plot)


def _units(benchmark: BenchmarkScores, shown: Sequence[StoredScore]) -> Iterator[Picture]:
    """Yield the test score of every unit against its noise ceiling, a histogram of the scores without a ceiling."""
    if benchmark.benchmark not in ("fmri", "electrodes"):
        return
    caption = "Layer chosen for each unit and split, mean over splits."
    for score in shown:
        test = score.best_per_unit["test"]
        ceiling = np.asarray(score.arrays.get("ceiling", np.full(len(test), np.nan)), float)
        if (np.isfinite(test) & np.isfinite(ceiling)).sum() >= 3:
            plot = partial(charts.units, test, ceiling, _groups(score), benchmark.metric)
            yield _model_picture("units", "units", score, caption, plot)
        elif np.isfinite(test).sum() >= 3:
            yield _model_picture("units", "units", score, caption, partial(charts.histogram, test, benchmark.metric))


def _groups(score: StoredScore) -> np.ndarray | None:
    """Return the colour group of each unit: region, else animal, else hemisphere; None unless there are 2 to 6."""
    for column in ("target_region", "target_animal", "target_hemi"):
        if column in score.arrays and 1 < len(np.unique(score.arrays[column])) <= 6:
            return np.asarray(score.arrays[column])
    return None


def _labels(benchmark: BenchmarkScores, shown: Sequence[StoredScore]) -> Iterator[Picture]:
    """Yield the test score of each model for each label of a task with several labels."""
    if benchmark.benchmark != "task" or benchmark.facts["targets"] < 2:
        return
    values = np.stack([s.best_per_unit["test"] for s in shown])
    names = [str(name) for name in shown[0].arrays["target_target_id"]]
    plot = partial(charts.labels, values, [s.label for s in shown], names, benchmark.metric)
    caption = "Layer chosen for each label and split, mean over splits."
    yield Picture("labels", "models", "Test score of every label", caption, lambda theme: plot(theme=theme))


def _behaviour(benchmark: BenchmarkScores, shown: Sequence[StoredScore]) -> Iterator[Picture]:
    """Yield consistency with human choices against accuracy, and the stored confusion matrices."""
    if benchmark.benchmark != "behaviour":
        return
    notes = benchmark.facts["notes"]
    rows = [{"model": s.label} | row for s in shown for row in s.facts["layers"] if row.get("accuracy") is not None]
    if rows:
        references = {"human accuracy": notes.get("human accuracy"), "chance": notes.get("chance")}
        plot = partial(charts.accuracies, rows, benchmark.metric, references)
        caption = f"One point per layer; human accuracy over {notes.get('trials', 0):,} trials."
        title = "Consistency against accuracy"
        yield Picture("accuracy", "models", title, caption, lambda theme: plot(theme=theme))
    yield from _confusions(shown)


def _confusions(shown: Sequence[StoredScore]) -> Iterator[Picture]:
    scores = [s for s in shown if {"confusion_human", "confusion_model", "classes"} <= set(s.arrays)]
    if not scores:
        return
    classes = [str(name) for name in scores[0].arrays["classes"]]
    human = np.asarray(scores[0].arrays["confusion_human"])
    models = [(s, np.asarray(s.arrays["confusion_model"])[s.chosen_index]) for s in scores]
    finite = np.concatenate([m[np.isfinite(m)] for m in (human, *(m for _, m in models))])
    limits = (0.0, float(finite.max()) if len(finite) else 1.0)
    plot = partial(grids.confusion, human, classes, limits)
    caption = "Proportion of choices of each class, by the class shown."
    caption += " Grey: not evaluated." if not np.isfinite(human).all() else ""
    yield Picture("confusion-human", "confusions", "Human subjects", caption, lambda theme: plot(theme=theme))
    for score, matrix in models:
        plot = partial(grids.confusion, matrix, classes, limits)
        yield _model_picture("confusion", "confusions", score, caption, plot)


def _model_pairs(benchmark: BenchmarkScores, shown: Sequence[StoredScore], pairs: Sequence[Row]) -> Iterator[Picture]:
    """Yield the test scores of the best model against those of the next models, one point per target."""
    if not shown or benchmark.facts["targets"] < 3:
        return
    best, row_of = shown[0], {(row["model"], row["other"]): row for row in pairs}
    for other in shown[1 : MAX_PAIRS + 1]:
        x, y = other.best_per_unit["test"], best.best_per_unit["test"]
        n = int((np.isfinite(x) & np.isfinite(y)).sum())
        if n < 3:
            continue
        noun = benchmark.target_noun
        caption = f"n = {n:,} {noun}s, best layer per {noun}. "
        caption += _difference_text(row_of.get((best.label, other.label)), noun)
        title = f"{best.label} against {other.label}"
        plot = partial(charts.model_pair, x, y, (other.label, best.label), _groups(best), benchmark.metric)
        name = f"against-{file_name(best.label)}-{file_name(other.label)}"
        yield Picture(name, "pairs", title, caption, lambda theme, plot=plot: plot(theme=theme))


def _difference_text(row: Row | None, noun: str) -> str:
    """Return the difference of the aggregate scores of a pair of models with its test."""
    if row is None:
        return ""
    text = f"Difference of the aggregate scores {number(row['difference'])}"
    if row["low"] is not None:
        pairing, p = "paired" if row["paired"] else "unpaired", p_value(row["p"])
        text += f", 95 % bootstrap interval [{number(row['low'])}, {number(row['high'])}], "
        text += f"{pairing} p {p}" if p.startswith("<") else f"{pairing} p = {p}"
    return text + ("" if row["targets"] is None else f"; {count(row['targets'])} {noun}s with q < 0.05") + "."
