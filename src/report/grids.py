"""Heat maps: regions x layers, classes x classes. Called inside `theme.figure_style`."""

from collections.abc import Sequence

import numpy as np

from .charts import ROW_HEIGHT, WIDTH, shorten
from .theme import MISSING, SCORE_COLOURS, Theme

MAX_NAME = 18  # letters of a name beside a cell
COLUMN_WIDTH = 0.24  # inches
Limits = tuple[float | None, float | None]


def heat_map(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    labels: tuple[str, str, str],
    theme: Theme,
    limits: Limits = (None, None),
    framed: Sequence[int] = (),
):
    """Plot `values` (n_rows, n_columns) as coloured cells, NaN grey, with numbers in the cells of small tables.

    labels: of rows, columns and colour; framed: (n_rows,) index of the framed column of each row.
    """
    figure, axes = _figure(values.shape, max(len(shorten(name, MAX_NAME)) for name in columns))
    mesh = _cells(axes, values, limits, theme)
    axes.set_xticks(np.arange(len(columns)) + 0.5, [shorten(name, MAX_NAME) for name in columns], rotation=90)
    axes.set_yticks(np.arange(len(rows)) + 0.5, [shorten(name, MAX_NAME) for name in rows])
    axes.set(ylabel=labels[0], xlabel=labels[1])
    if len(columns) <= 8 and len(rows) <= 20:
        _numbers(axes, values, mesh)
    for i, column in enumerate(framed):
        axes.add_patch(_frame(column, i))
    aspect = 8 * figure.get_figwidth()
    bar = figure.colorbar(mesh, ax=axes, location="top", fraction=0.05, aspect=aspect, pad=0.02)
    bar.set_label(labels[2])
    bar.outline.set_visible(False)
    return figure


def _figure(shape: tuple[int, int], n_letters: int):
    """Return a figure and its axes for a table of `shape` whose column names have up to `n_letters` letters."""
    from matplotlib.figure import Figure

    width = max(WIDTH, min(12.0, 1.6 + COLUMN_WIDTH * shape[1]))
    figure = Figure(figsize=(width, 1.25 + ROW_HEIGHT * max(3, shape[0]) + 0.075 * n_letters))
    return figure, figure.add_subplot()


def _cells(axes, values: np.ndarray, limits: Limits, theme: Theme):
    """Plot the cells, first row at the top; without a lower limit the colours start at the smaller of 0 and minimum."""
    finite, (low, high) = values[np.isfinite(values)], limits
    low = min(0.0, float(finite.min())) if low is None and len(finite) else low
    axes.set_facecolor(MISSING)
    mesh = axes.pcolormesh(values, cmap=SCORE_COLOURS, vmin=low, vmax=high, edgecolors=theme.background, linewidth=0.8)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return mesh


def _numbers(axes, values: np.ndarray, mesh) -> None:
    """Write the values into their cells, black on light cells and white on dark cells."""
    for (i, j), value in np.ndenumerate(values):
        if np.isfinite(value):
            red, green, blue, _ = mesh.cmap(mesh.norm(value))
            is_light = 0.3 * red + 0.59 * green + 0.11 * blue > 0.5
            text, colour = f"{value:.2f}".replace("-0.00", "0.00"), "#000" if is_light else "#fff"
            axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=7.5, color=colour)


def _frame(column: int, row: int):
    """Return a frame that is visible on light and on dark cells."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import Normal, Stroke

    frame = Rectangle((column + 0.09, row + 0.09), 0.82, 0.82, fill=False, edgecolor="#000", linewidth=1.3)
    frame.set_path_effects([Stroke(linewidth=2.8, foreground="#fff"), Normal()])
    return frame


def confusion(matrix: np.ndarray, classes: Sequence[str], limits: tuple[float, float], theme: Theme):
    """Plot a confusion matrix (n_classes shown, n_classes chosen)."""
    return heat_map(matrix, classes, classes, ("class shown", "class chosen", "proportion of choices"), theme, limits)
