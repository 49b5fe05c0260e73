"""Figures across models as plain data, see `figures`: groups, relevance of tasks, axes, maps and residuals."""

from collections.abc import Iterator, Sequence

import numpy as np

from . import surface_plot
from .figures import dots, heat, limits, plain, scatter
from .picture import Picture
from .relevance import Across, Regression, Study, set_name
from .rows import Row
from .surface_maps import vertex_regions
from .text import count

MIN_SHOWN = 5  # models of a benchmark with figures across models
MAX_SETS = 16
MAX_REGIONS = 30


def pictures(study: Study, across: Across) -> Iterator[Picture]:
    """Yield the figures of one benchmark across models, none for fewer than five models."""
    if len(study.models.scores) < MIN_SHOWN:
        return
    title = study.benchmark.title
    own = {name: [row for row in rows if row["benchmark"] == title] for name, rows in across.tables.items()}
    yield _groups(own["models"], own["groups"], study.alignment_name)
    if study.regression is None:
        return
    everywhere = [row for row in own["sets"] if not row["region"]]
    yield from _sets(everywhere, study.alignment_name)
    yield from _weights(own["weights"], study.alignment_name)
    yield from _axes(study.regression)
    yield from maps(study.regression)


def _groups(models: Sequence[Row], groups: Sequence[Row], label: str) -> Picture:
    """Return the alignment of every model in a strip per group, with the group's mean and interval."""
    names = [f"{row['group']} ({count(row['models'])})" for row in groups]
    points = [
        [[m["model"], *plain([m["alignment"]])] for m in models if m["group"] == row["group"] and m["alignment"]]
        for row in groups
    ]
    panel = {"title": "", "rows": names, "points": points}
    panel |= {part: [plain([row[column] for row in groups])] for part, column in _COLUMNS}
    spec = dots([panel], [{"name": "mean of the group", "colour": 1}], label, ylabel="group")
    values = [value for row in points for _, value in row] + [v for part, _ in _COLUMNS for v in panel[part][0]]
    caption = "Number of models in parentheses. Small points: models; bars: 95 % interval of the mean over families of "
    caption += "models, where a group has three or more."
    return Picture("groups", "across", "Groups of models", caption, spec | {"limits": limits(values)})


_COLUMNS = (("x", "mean"), ("low", "low"), ("high", "high"))


def _sets(rows: Sequence[Row], label: str) -> Iterator[Picture]:
    """Yield the variance over models that each set of tasks explains, and the residual that it leaves."""
    single = sorted((row for row in rows if row["n_tasks"] == 1), key=lambda row: -(row["adjusted_r2"] or 0))
    several = [row for row in rows if row["n_tasks"] > 1]
    shown = [*single[: max(1, MAX_SETS - len(several))], *several]
    none = [None] * len(shown)
    panel = {"title": "", "rows": [set_name(row, rows) for row in shown]}
    values = {name: plain([row[name] for row in shown]) for name in ("adjusted_r2", "low", "high", "held_out_r2")}
    explained = panel | {"x": [values["adjusted_r2"], values["held_out_r2"]]}
    explained |= {"low": [values["low"], none], "high": [values["high"], none]}
    series = ({"name": "adjusted R²"}, {"name": "R² of held-out families", "colour": 1, "hollow": True})
    caption = (
        f"Non-negative regression of the alignment of {rows[0]['models']} models of {rows[0]['families']} families "
    )
    caption += (
        "on their task scores. Adjusted R² is 0 by chance (families permuted); bars: 95 % interval over families. "
    )
    caption += "Each + adds the task that most raises the R² of held-out families, chosen on the same models."
    spec = dots([explained], series, "share of the variance over models", ylabel="tasks")
    yield Picture("tasks", "across", "Variance over models that tasks explain", caption, spec)
    left = panel | {"x": [plain([row["residual"] for row in shown])]}
    spec = dots([left], [{"name": "residual", "colour": 2}], f"residual (r.m.s.), {label}", ylabel="tasks")
    caption = "Root mean square over models of alignment minus its prediction by a fit without the model's family."
    yield Picture("residuals", "across", "Residual after each set of tasks", caption, spec)


def _weights(rows: Sequence[Row], label: str) -> Iterator[Picture]:
    """Yield the weight of every task for all targets, and for each region."""
    everywhere = sorted((row for row in rows if not row["region"]), key=lambda row: -row["weight"])
    tasks = [row["task"] for row in everywhere]
    parts = (("x", "weight"), ("low", "low"), ("high", "high"))
    panel = {"title": "", "rows": tasks}
    panel |= {part: [plain([row[column] for row in everywhere])] for part, column in parts}
    caption = (
        "Regression on all tasks: weight per standard deviation of the task score over models; bars: 95 % interval "
    )
    caption += "over families."
    spec = dots([panel], [{"name": "weight"}], f"weight ({label})", ylabel="task")
    yield Picture("weights", "across", "Relevance of each task", caption, spec)
    regions = list(dict.fromkeys(row["region"] for row in rows if row["region"]))[:MAX_REGIONS]
    if len(regions) > 1:
        cells = {(row["task"], row["region"]): row["weight"] for row in rows}
        values = plain([[cells[task, region] for region in regions] for task in tasks])
        panel = {"title": "", "rows": tasks, "columns": regions, "values": values, "framed": []}
        spec = heat([panel], f"weight ({label})", ("task", "region"))
        caption = "Regression on all tasks, of each region: weight per standard deviation of the task score."
        yield Picture("weights-regions", "across", "Relevance of each task in each region", caption, spec)


def _axes(found: Regression) -> Iterator[Picture]:
    """Yield the loadings of the tasks on the first two axes, and the units or regions on them, three or more."""
    known = np.isfinite(found.axes.coordinates).all(axis=1)
    if len(found.axes.share) < 2 or not np.isfinite(found.axes.share).all() or known.sum() < 3:
        return
    noun = "unit" if found.units else "region"
    order = np.argsort(-found.axes.loadings[0])
    panel = {"title": "", "rows": [found.tasks[i] for i in order], "x": plain(found.axes.loadings[:, order])}
    shares = [f"axis {i + 1}, {100 * share:.0f} % of the variance" for i, share in enumerate(found.axes.share)]
    spec = dots([panel], [{"name": name, "colour": i} for i, name in enumerate(shares)], "loading", ylabel="task")
    caption = f"Principal axes of the weights of {len(found.tasks)} tasks in {len(found.axes.coordinates):,} {noun}s."
    yield Picture("loadings", "across", "Two axes of task relevance", caption, spec)
    x, y = found.axes.coordinates.T
    spec = scatter([("", x, y, None)], "axis 1", "axis 2", noun, "", True)
    spec["panels"][0] |= {"title": f"{count(int(np.isfinite(x).sum()))} {noun}s"}
    if not found.units:
        spec["panels"][0]["names"] = list(found.regions[1:])
    caption = f"Position of each {noun} on the two axes."
    yield Picture("axes", "across", f"{noun.capitalize()}s on the axes", caption, spec)


def maps(found: Regression) -> Iterator[Picture]:
    """Yield the maps of a regression of vertices: most relevant task, axes, residuals after sets of tasks."""
    vertices = surface_plot.target_vertices(found.units.score.arrays) if found.units else None
    if vertices is None:
        return
    weights = found.units.fit.weights
    known = np.isfinite(weights).all(axis=0) & (weights.max(axis=0, initial=0) > 0)
    best = np.where(known, np.nan_to_num(weights).argmax(axis=0), np.nan)
    ends = (0.0, float(max(1, len(found.tasks) - 1)))
    one = _panel("most relevant task", best, vertices, ends, "layer", dict(enumerate(found.tasks)))
    yield _map(
        "map-task", "Cortex: most relevant task", "task", "Task with the largest weight.", [one], found, vertices
    )
    reach = float(np.nanpercentile(np.abs(found.axes.coordinates), 99)) or 1.0
    ends = (-reach, reach)
    panels = [
        _panel(f"axis {i}", values, vertices, ends, "score")
        for i, values in enumerate(found.axes.coordinates.T, start=1)
    ]
    caption = "Position of each vertex on the axes of task relevance."
    yield _map("map-axes", "Cortex: axes of task relevance", "position", caption, panels, found, vertices)
    shown = _shown_sets(found.units.residuals)
    limit = max(float(np.nanpercentile(residual, 99)) for residual in shown.values()) or 1.0
    panels = [_panel(f"after {name}", values, vertices, (0.0, limit), "score") for name, values in shown.items()]
    caption = "Root mean square over models of the held-out residuals."
    yield _map("map-residuals", "Cortex: residual after sets of tasks", "residual", caption, panels, found, vertices)


def _panel(title: str, values: np.ndarray, vertices: np.ndarray, ends, colours: str, ticks=None) -> dict:
    full = surface_plot.to_surface(values, vertices)
    return {"title": title, "model": "", "values": full, "limits": ends, "colours": colours, "ticks": ticks}


def _map(name, title, label, caption, panels, found: Regression, vertices: np.ndarray) -> Picture:
    spec = {"kind": "surface", "label": label, "region": vertex_regions(found.units.score, vertices), "panels": panels}
    return Picture(name, "across", title, f"{caption} Grey: no value.", spec)


def _shown_sets(residuals: dict[tuple[str, ...], np.ndarray]) -> dict[str, np.ndarray]:
    """Return the residuals of the best single task, of the longest path of tasks, and of all, by name."""
    sizes = sorted(residuals, key=len)
    single = min((one for one in sizes if len(one) == 1), key=lambda one: np.nanmedian(residuals[one]))
    chosen = dict.fromkeys((single, *sizes[-2:]))
    return {f"all {len(one)} tasks" if one == sizes[-1] else " + ".join(one): residuals[one] for one in chosen}
