"""Figure files: the specifications of `figures` drawn with matplotlib. Called inside `theme.figure_style`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .theme import MISSING, PRINT, colour_map

WIDTH = 3.7  # inches of a panel
ROW_HEIGHT = 0.24  # inches per row of a chart with one row per name
LETTER_WIDTH = 0.068  # inches of a letter of a legend
COLUMN_WIDTH = 0.3  # inches per column of a heat map
MAX_COLUMNS = 3  # of panels
MARKERS = "os^DvP"
MAX_NAME = 24  # letters of a name beside a chart
MAX_TITLE = 34  # of a panel
MAX_LABEL = 44  # of an axis
DASHES = ("--", ":", "-.", (0, (5, 1, 1, 1)))

Spec = Mapping[str, Any]


def plot(spec: Spec):
    """Return the figure of a specification."""
    from .surface_plot import surface_figure

    kinds = {
        "dots": _dots,
        "lines": _lines,
        "scatter": _scatter,
        "heat": _heat,
        "bars": _bars,
        "surface": surface_figure,
    }
    return kinds[spec["kind"]](spec)


def shorten(name: str, limit: int = MAX_NAME, share: float = 0.5) -> str:
    """Return a name with at most `limit` letters, the middle replaced by an ellipsis; share: of letters at the end."""
    end = int((limit - 1) * share)
    return name if len(name) <= limit else f"{name[: limit - 1 - end]}…{name[-end:]}"


def short_names(names: Sequence[str], limit: int = MAX_NAME) -> list[str]:
    """Return the names shortened; what all of them begin or end with is left out first, so that they stay different.

    >>> short_names(["blocks.10.attention.output", "blocks.11.attention.output"])
    ['…0…', '…1…']
    >>> short_names(["my_network (0.25 s context)", "my_network (0.5 s context)"], 20)
    ['my_net…25 s context)', 'my_net….5 s context)']
    """
    if max(map(len, names)) <= limit:
        return list(names)
    start, end = _shared(names), _shared([name[::-1] for name in names])
    start, end = (n if len(names) > 1 and n >= 4 else 0 for n in (start, end))
    middles = [name[start : max(len(name) - end, start)] for name in names]
    if (start or end) and all(middles):
        names = [f"{'…' * bool(start)}{middle}{'…' * bool(end)}" for middle in middles]
    found = [[shorten(name, limit, share) for name in names] for share in (0.5, 0.7, 0.3)]
    return max(found, key=lambda shortened: len(set(shortened)))


def _shared(names: Sequence[str]) -> int:
    """Return the number of letters with which all names begin."""
    columns = zip(*names, strict=False)
    return next((i for i, letters in enumerate(columns) if len(set(letters)) > 1), min(map(len, names)))


def _panels(n: int, width: float, height: float, **options):
    """Return a figure and its `n` axes, in at most MAX_COLUMNS columns of `width` and rows of `height` inches."""
    from matplotlib.figure import Figure

    columns = min(n, MAX_COLUMNS)
    rows = -(-n // columns)
    figure = Figure(figsize=(width * columns, height * rows + 0.35))
    axes = figure.subplots(rows, columns, squeeze=False, **options).ravel()
    for unused in axes[n:]:
        unused.remove()
    return figure, axes[:n]


def _legend(figure, axes) -> None:
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if handles:
        widest = LETTER_WIDTH * max(map(len, handles)) + 0.5
        columns = max(1, int(figure.get_figwidth() / widest))
        figure.legend(handles.values(), handles.keys(), loc="outside lower left", ncols=columns)


def _reference_lines(axes, spec: Spec) -> None:
    for line, style in zip(spec.get("references", ()), DASHES, strict=False):
        label = f"{line['name']} {line['value']:.2f}"
        axes.axvline(line["value"], color=PRINT.muted, linestyle=style, linewidth=1, label=label)


def _dots(spec: Spec):
    """Plot one row per name, first on top, with intervals; all panels share the score axis."""
    n_rows = max(len(panel["rows"]) for panel in spec["panels"])
    figure, all_axes = _panels(len(spec["panels"]), WIDTH, 1.05 + ROW_HEIGHT * max(2, n_rows))
    for axes, panel in zip(all_axes, spec["panels"], strict=True):
        for row, points in enumerate(panel.get("points", ())):
            spread = row + 0.6 * (0.618 * np.arange(len(points)) % 1 - 0.5)
            style = {"color": PRINT.series[0], "markersize": 3, "alpha": 0.6, "markeredgewidth": 0}
            axes.plot([value for _, value in points], spread, "o", **style)
        for i, series in enumerate(spec["series"]):
            _series(axes, panel, i, series)
        if panel.get("ring") is not None:
            label = "most chosen layer"
            style = {"color": PRINT.series[0], "markersize": 9, "fillstyle": "none", "label": label}
            axes.plot(panel["x"][0][panel["ring"]], panel["ring"], "o", **style)
        axes.axvline(0, color=PRINT.grid, linewidth=1)
        _reference_lines(axes, spec)
        axes.set_yticks(range(len(panel["rows"])), short_names(panel["rows"]))
        axes.set_ylim(max(n_rows, 2) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", linewidth=0.6)
        axes.locator_params(axis="x", nbins=5)
        axes.set(xlim=spec["limits"], xlabel=shorten(spec["xlabel"], MAX_LABEL), ylabel=spec["ylabel"])
        axes.set_title(shorten(panel["title"], MAX_TITLE))
    _legend(figure, all_axes[0])
    return figure


def _series(axes, panel: Spec, i: int, series: Spec) -> None:
    colour = PRINT.muted if series["colour"] < 0 else PRINT.series[series["colour"]]
    x, y = np.array(panel["x"][i], float), np.arange(len(panel["rows"]))
    for low, high, row in zip(*(panel.get(end, [[]] * (i + 1))[i] for end in ("low", "high")), y, strict=False):
        if low is not None and high is not None:
            axes.plot([low, high], [row, row], color=colour, linewidth=2, alpha=0.55)
    style = {"marker": "o", "markersize": 5, "linestyle": "-" if series["line"] else "", "linewidth": 1}
    fill = "none" if series["hollow"] else "full"
    axes.plot(x, y, color=colour, fillstyle=fill, label=series["name"], **style)


def _lines(spec: Spec):
    """Plot lines with bands, with one pair of axes for all panels."""
    figure, all_axes = _panels(len(spec["panels"]), WIDTH, 2.6)
    for axes, panel in zip(all_axes, spec["panels"], strict=True):
        for i, series in enumerate(spec["series"]):
            colour = PRINT.muted if series["colour"] < 0 else PRINT.series[series["colour"]]
            y, low, high = (np.array(panel[part][i], float) for part in ("y", "low", "high"))
            axes.fill_between(panel["x"], low, high, color=colour, alpha=0.2, linewidth=0)
            style = {"linestyle": "--"} if series["dashed"] else {"marker": "o", "markersize": 3}
            axes.plot(panel["x"], y, color=colour, linewidth=1.2, label=series["name"], **style)
        axes.axhline(0, color=PRINT.grid, linewidth=1)
        if spec["log"]:
            axes.set_xscale("log")
            axes.set_xticks(panel["x"], [f"{value:g}" for value in panel["x"]])
            axes.minorticks_off()
        axes.set(
            xlim=spec["limits"],
            ylim=spec["ylimits"],
            xlabel=shorten(spec["xlabel"], MAX_LABEL),
            ylabel=shorten(spec["ylabel"], MAX_LABEL),
        )
        axes.set_title(shorten(panel["title"], MAX_TITLE))
        axes.grid(linewidth=0.6)
    _legend(figure, all_axes[0])
    return figure


def _scatter(spec: Spec):
    """Plot points, or the number of points per cell, with one range for all panels."""
    figure, all_axes = _panels(len(spec["panels"]), WIDTH, WIDTH)
    x_limits, y_limits, cells = spec["limits"], spec.get("ylimits", spec["limits"]), None
    for axes, panel in zip(all_axes, spec["panels"], strict=True):
        if spec.get("equality"):
            axes.plot(x_limits, x_limits, color=PRINT.muted, linewidth=1, linestyle="--", label=spec["equality"])
        if "cells" in panel:
            cells = _cells(axes, panel["cells"], spec)
        else:
            _points(axes, panel, spec["groups"])
        _reference_lines(axes, spec)
        axes.set(
            xlim=x_limits,
            ylim=y_limits,
            xlabel=shorten(spec["xlabel"], MAX_LABEL),
            ylabel=shorten(spec["ylabel"], MAX_LABEL),
        )
        axes.locator_params(axis="x", nbins=5)
        axes.set_title(shorten(panel["title"], MAX_TITLE))
        axes.grid(linewidth=0.6)
    if cells is not None:
        bar = figure.colorbar(cells, ax=list(all_axes), location="top", fraction=0.04, aspect=30, shrink=0.6)
        bar.set_label(f"{spec['noun']}s per cell")
        # powers of ten as plain numbers, because superscripts would overlap
        bar.formatter = lambda value, _: f"{value:,.0f}"
        bar.minorticks_off()
        bar.outline.set_visible(False)
    _legend(figure, all_axes[0])
    return figure


def _points(axes, panel: Spec, groups) -> None:
    x, y, style = np.array(panel["x"], float), np.array(panel["y"], float), {"s": 16, "alpha": 0.8, "linewidths": 0}
    if "of" not in panel:
        axes.scatter(x, y, color=PRINT.series[0], **style)
        return
    of = np.array(panel["of"])
    for i, name in enumerate(groups):
        axes.scatter(x[of == i], y[of == i], color=PRINT.series[i], marker=MARKERS[i], label=name, **style)


def _cells(axes, cells, spec: Spec):
    """Plot the number of points in square cells."""
    from matplotlib.colors import LogNorm

    n, (low, high) = spec["n_cells"], spec["limits"]
    counts = np.full((n, n), np.nan)
    for column, row, number in cells:
        counts[row, column] = number
    edges = np.linspace(low, high, n + 1)
    style = {"cmap": colour_map("score", 0.15, 1), "norm": LogNorm(1, max(spec["most"], 2)), "rasterized": True}
    return axes.pcolormesh(edges, edges, counts, **style)


def _bars(spec: Spec):
    """Plot histograms with the same bins and axes."""
    figure, all_axes = _panels(len(spec["panels"]), WIDTH, 2.6)
    for axes, panel in zip(all_axes, spec["panels"], strict=True):
        axes.stairs(panel["counts"], spec["edges"], fill=True, color=PRINT.series[0], edgecolor=PRINT.background)
        axes.axvline(panel["median"], color=PRINT.text, linewidth=1, linestyle="--", label="median")
        axes.set(xlabel=shorten(spec["xlabel"], MAX_LABEL), ylabel=spec["ylabel"], ylim=(0, 1.05 * spec["top"]))
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.set_title(shorten(panel["title"], MAX_TITLE))
        axes.grid(axis="y", linewidth=0.6)
    _legend(figure, all_axes[0])
    return figure


def _heat(spec: Spec):
    """Plot tables of coloured cells with one colour scale, NaN grey, with numbers in the cells of small tables."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    shape = [max(len(panel[part]) for panel in spec["panels"]) for part in ("rows", "columns")]
    letters = [max(len(n) for p in spec["panels"] for n in short_names(p[part])) for part in ("rows", "columns")]
    width = max(WIDTH, 1.0 + 0.07 * letters[0] + COLUMN_WIDTH * shape[1])
    height = 1.0 + ROW_HEIGHT * max(2, shape[0]) + 0.075 * letters[1]
    figure, all_axes = _panels(len(spec["panels"]), width, height)
    scale = ScalarMappable(Normalize(*spec["limits"]), colour_map("score", *spec["limits"]))
    for axes, panel in zip(all_axes, spec["panels"], strict=True):
        _cell_panel(axes, panel, spec, scale)
    bar = figure.colorbar(scale, ax=list(all_axes), location="top", fraction=0.05, aspect=40, shrink=0.6)
    bar.set_label(shorten(spec["label"]))
    bar.outline.set_visible(False)
    return figure


def _cell_panel(axes, panel: Spec, spec: Spec, scale) -> None:
    values = np.array(panel["values"], float)
    axes.set_facecolor(MISSING)
    axes.pcolormesh(values, cmap=scale.cmap, norm=scale.norm, edgecolors=PRINT.background, linewidth=0.8)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(len(panel["columns"])) + 0.5, short_names(panel["columns"]), rotation=90)
    axes.set_yticks(np.arange(len(panel["rows"])) + 0.5, short_names(panel["rows"]))
    axes.set(ylabel=spec["ylabel"], xlabel=shorten(spec["xlabel"], MAX_LABEL))
    axes.set_title(shorten(panel["title"], MAX_TITLE))
    if values.shape[1] <= 8 and values.shape[0] <= 20:
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                text = f"{value:.2f}".replace("-0.00", "0.00")
                colour = _on(scale.to_rgba(value))
                axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=6.5, color=colour)
    for i, column in enumerate(panel["framed"]):
        axes.add_patch(_frame(column, i))


def _on(rgba) -> str:
    """Return black for a light colour and white for a dark one."""
    red, green, blue, _ = rgba
    return "#000" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "#fff"


def _frame(column: int, row: int):
    """Return a frame that is visible on light and on dark cells."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import Normal, Stroke

    frame = Rectangle((column + 0.09, row + 0.09), 0.82, 0.82, fill=False, edgecolor="#000", linewidth=1.3)
    frame.set_path_effects([Stroke(linewidth=2.8, foreground="#fff"), Normal()])
    return frame
