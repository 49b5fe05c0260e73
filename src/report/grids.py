"""Drawings of tables: regions x layers, classes x classes. Called inside `theme.drawing`."""

from collections.abc import Sequence

import numpy as np

from .charts import ROW, WIDTH, short
from .theme import MISSING, SCORES, Theme

NAME = 18  # letters of a name that fit beside a cell
COLUMN = 0.24  # inches
Limits = tuple[float | None, float | None]


def heat_map(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    labels: tuple[str, str, str],
    theme: Theme,
    limits: Limits = (None, None),
    boxed: Sequence[int] = (),
):
    """`values` (n_rows, n_columns) as coloured cells, NaN grey; labels: of rows, columns and colour.

    boxed: the column of each row that is framed. Numbers are written into the cells while they fit.
    """
    figure, axes = _figure(values.shape, max(len(short(name, NAME)) for name in columns))
    mesh = _cells(axes, values, limits, theme)
    axes.set_xticks(np.arange(len(columns)) + 0.5, [short(name, NAME) for name in columns], rotation=90)
    axes.set_yticks(np.arange(len(rows)) + 0.5, [short(name, NAME) for name in rows])
    axes.set(ylabel=labels[0], xlabel=labels[1])
    if len(columns) <= 8 and len(rows) <= 20:
        _numbers(axes, values, mesh)
    for i, column in enumerate(boxed):
        axes.add_patch(_box(column, i))
    thin = 8 * figure.get_figwidth()
    bar = figure.colorbar(mesh, ax=axes, location="top", fraction=0.05, aspect=thin, pad=0.02)
    bar.set_label(labels[2])
    bar.outline.set_visible(False)
    return figure


def _figure(shape: tuple[int, int], letters: int):
    """A figure for a table of `shape` whose columns have names of so many letters."""
    from matplotlib.figure import Figure

    width = max(WIDTH, min(12.0, 1.6 + COLUMN * shape[1]))
    figure = Figure(figsize=(width, 1.25 + ROW * max(3, shape[0]) + 0.075 * letters))
    return figure, figure.add_subplot()


def _cells(axes, values: np.ndarray, limits: Limits, theme: Theme):
    """The cells, first row on top; colours start at 0 or below unless `limits` say otherwise."""
    finite, (low, high) = values[np.isfinite(values)], limits
    low = min(0.0, float(finite.min())) if low is None and len(finite) else low
    axes.set_facecolor(MISSING)
    mesh = axes.pcolormesh(values, cmap=SCORES, vmin=low, vmax=high, edgecolors=theme.paper, linewidth=0.8)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return mesh


def _numbers(axes, values: np.ndarray, mesh) -> None:
    """The values in their cells, dark on light and light on dark."""
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            red, green, blue, _ = mesh.cmap(mesh.norm(value))
            light = 0.3 * red + 0.59 * green + 0.11 * blue > 0.5
            text, colour = f"{value:.2f}".replace("-0.00", "0.00"), "#000" if light else "#fff"
            axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=7.5, color=colour)


def _box(column: int, row: int):
    """A frame that is seen on light and on dark cells."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import Normal, Stroke

    frame = Rectangle((column + 0.09, row + 0.09), 0.82, 0.82, fill=False, edgecolor="#000", linewidth=1.3)
    frame.set_path_effects([Stroke(linewidth=2.8, foreground="#fff"), Normal()])
    return frame


def confusion(matrix: np.ndarray, classes: Sequence[str], limits: tuple[float, float], theme: Theme):
    """How often (n_classes shown, n_classes chosen) each class was chosen."""
    return heat_map(matrix, classes, classes, ("class shown", "class chosen", "share of choices"), theme, limits)
