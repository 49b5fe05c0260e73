"""Charts of scores: arrays and rows in, matplotlib figures out. Called inside `theme.figure_style`."""

from collections.abc import Mapping, Sequence

import numpy as np

from .theme import SCORE_COLOURS, Theme

WIDTH = 3.7  # inches: one column on a phone
ROW_HEIGHT = 0.24  # inches per row of a chart with one row per name
MAX_POINTS = 2000  # above it a scatter plot becomes a density plot
MARKERS = "os^DvP"
MAX_NAME = 24  # letters of a name beside a chart


def shorten(name: str, limit: int = MAX_NAME) -> str:
    """Return a name with at most `limit` letters, the middle replaced by an ellipsis."""
    half = (limit - 1) // 2
    return name if len(name) <= limit else f"{name[: limit - 1 - half]}…{name[-half:]}"


def _row_figure(n_rows: int, extra: float = 0.95):
    """Return a figure and its axes with a height for `n_rows` rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, extra + ROW_HEIGHT * max(2, n_rows)))
    return figure, figure.add_subplot()


def _figure(height: float):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.add_subplot()


def _label_rows(axes, names: Sequence[str]) -> None:
    """Write the names along the y-axis, the first at the top."""
    axes.set_yticks(range(len(names)), [shorten(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", linewidth=0.6)
    axes.locator_params(axis="x", nbins=6)


def _reference_lines(axes, values: Mapping[str, float | None], theme: Theme) -> None:
    """Add a vertical line with a legend entry for each value {name: value}."""
    for (name, value), style in zip(values.items(), ("--", ":", "-."), strict=False):
        if value is not None:
            axes.axvline(value, color=theme.muted, linestyle=style, linewidth=1, label=f"{name} {value:.2f}")


def _legend_below(axes, n: int = 2) -> None:
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        axes.figure.legend(loc="outside lower left", ncols=n)


def ranking(
    rows: Sequence[Mapping], metric: str, aggregation: str, references: Mapping[str, float | None], theme: Theme
):
    """Plot the test score of every model with its interval; references: {name: value} lines."""
    figure, axes = _row_figure(len(rows), 1.3)
    for i, row in enumerate(rows):
        if row["test"] is None:
            continue
        if row["low"] is not None and row["high"] is not None:
            axes.plot([row["low"], row["high"]], [i, i], color=theme.series[0], linewidth=2, alpha=0.55)
        axes.plot(row["test"], i, "o", color=theme.series[0], markersize=5)
    _reference_lines(axes, references, theme)
    _label_rows(axes, [row["model"] for row in rows])
    axes.set_xlabel(f"test {metric}\n{aggregation}")
    _legend_below(axes)
    return figure


def profile(layers: Sequence[Mapping], metric: str, aggregation: str, limits: tuple[float, float], theme: Theme):
    """Plot test and validation score of every layer, first layer at the top; bars: standard deviation over splits."""
    figure, axes = _row_figure(len(layers), 1.35)
    y = np.arange(len(layers))
    valid, test, test_sd = (np.array([row[k] for row in layers], dtype=float) for k in ("valid", "test", "test_sd"))
    axes.plot(valid, y, "o", color=theme.series[1], markersize=4, fillstyle="none", label="validation")
    axes.errorbar(
        test, y, xerr=test_sd, fmt="-o", color=theme.series[0], markersize=4, linewidth=1, elinewidth=1, label="test"
    )
    chosen = next(i for i, row in enumerate(layers) if row["best"])
    axes.plot(
        test[chosen], chosen, "o", color=theme.series[0], markersize=9, fillstyle="none", label="most chosen layer"
    )
    axes.set_xlim(*limits)
    _label_rows(axes, [row["layer"] for row in layers])
    axes.set_xlabel(f"{metric}\n{aggregation}")
    axes.set_ylabel("layer, first on top")
    _legend_below(axes, 3)
    return figure


def profile_limits(scores: Sequence[Sequence[Mapping]]) -> tuple[float, float]:
    """Return one range of the score axis for the layer profiles of several models."""
    rows = [row for layers in scores for row in layers if row["test"] is not None]
    low = [min(row["test"] - (row["test_sd"] or 0), row["valid"] or 0, 0) for row in rows]
    high = [max(row["test"] + (row["test_sd"] or 0), row["valid"] or 0, 0) for row in rows]
    margin = 0.05 * ((max(high) - min(low)) if rows else 1) or 0.05
    return (min(low) - margin, max(high) + margin) if rows else (0.0, 1.0)


def units(test: np.ndarray, ceiling: np.ndarray, groups: np.ndarray | None, metric: str, theme: Theme):
    """Plot the test score of each unit against its noise ceiling, with the line of equality."""
    figure, axes = _figure(WIDTH + 0.35)
    finite = np.isfinite(test) & np.isfinite(ceiling)
    low = min(0.0, float(test[finite].min())) - 0.03
    high = max(1.0, float(max(test[finite].max(), ceiling[finite].max()))) + 0.03
    axes.plot([low, high], [low, high], color=theme.muted, linewidth=1, linestyle="--", label="test = ceiling")
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal", xlabel=f"noise ceiling ({metric})")
    _scatter(axes, ceiling[finite], test[finite], None if groups is None else groups[finite], theme)
    axes.set_ylabel(f"test {metric}, n = {finite.sum():,} units")
    axes.grid(linewidth=0.6)
    _legend_below(axes, 3)
    return figure


def histogram(test: np.ndarray, metric: str, theme: Theme):
    """Plot the distribution of test scores over units."""
    figure, axes = _figure(2.6)
    finite = test[np.isfinite(test)]
    axes.hist(finite, bins=min(40, max(5, len(finite) // 2)), color=theme.series[0], edgecolor=theme.background)
    median = np.median(finite)
    axes.axvline(median, color=theme.text, linewidth=1, linestyle="--", label=f"median {median:.2f}")
    axes.set(xlabel=f"test {metric}", ylabel=f"units (of {len(finite):,})")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="y", linewidth=0.6)
    _legend_below(axes)
    return figure


def _scatter(axes, x: np.ndarray, y: np.ndarray, groups: np.ndarray | None, theme: Theme) -> None:
    """Plot points with a colour and a marker per group, for up to six groups; a density plot above MAX_POINTS."""
    if len(x) > MAX_POINTS:
        _density(axes, x, y)
        return
    style = {"s": 16, "alpha": 0.8, "linewidths": 0}
    names = [] if groups is None else list(dict.fromkeys(np.asarray(groups).astype(str).tolist()))
    if not 1 < len(names) <= len(theme.series):
        axes.scatter(x, y, color=theme.series[0], **style)
        return
    for name, colour, marker in zip(names, theme.series, MARKERS, strict=False):
        in_group = np.asarray(groups).astype(str) == name
        axes.scatter(x[in_group], y[in_group], color=colour, marker=marker, label=name, **style)


def _density(axes, x: np.ndarray, y: np.ndarray) -> None:
    """Plot the number of points per hexagonal cell."""
    cells = axes.hexbin(
        x,
        y,
        gridsize=48,
        extent=(*axes.get_xlim(), *axes.get_ylim()),
        mincnt=1,
        bins="log",
        cmap=SCORE_COLOURS,
        linewidths=0.1,
        rasterized=True,
    )
    bar = axes.figure.colorbar(cells, ax=axes, location="top", fraction=0.04, aspect=26, shrink=0.85, pad=0.02)
    bar.set_label("units per cell")
    # powers of ten as plain numbers, because superscripts would overlap
    bar.formatter = lambda value, _: f"{value:,.0f}"
    bar.minorticks_off()
    bar.outline.set_visible(False)


def model_pair(
    x: np.ndarray, y: np.ndarray, names: tuple[str, str], groups: np.ndarray | None, metric: str, theme: Theme
):
    """Plot the test scores of two models on the same targets, with the line of equality."""
    figure, axes = _figure(WIDTH + 0.35)
    finite = np.isfinite(x) & np.isfinite(y)
    both = np.concatenate([x[finite], y[finite]])
    margin = 0.05 * (np.ptp(both) or 1.0)
    limits = (both.min() - margin, both.max() + margin)
    axes.plot(limits, limits, color=theme.muted, linewidth=1, linestyle="--", label="equal scores")
    axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel=f"{shorten(names[0], 30)}, test {metric}")
    _scatter(axes, x[finite], y[finite], None if groups is None else groups[finite], theme)
    axes.set_ylabel(f"{shorten(names[1], 30)}, test {metric}")
    axes.grid(linewidth=0.6)
    _legend_below(axes, 3)
    return figure


def labels(values: np.ndarray, models: Sequence[str], names: Sequence[str], metric: str, theme: Theme):
    """Plot the test score of every model for each label of a task: `values` (n_models, n_labels)."""
    figure, axes = _row_figure(len(names), 1.35)
    for i, (row, model) in enumerate(zip(values, models, strict=True)):
        colour, marker = theme.series[i % len(theme.series)], MARKERS[i % len(MARKERS)]
        axes.plot(row, np.arange(len(names)), marker, color=colour, markersize=5, alpha=0.85, label=shorten(model))
    axes.axvline(0, color=theme.muted, linewidth=1)
    _label_rows(axes, names)
    axes.set_xlabel(f"test {metric}\nmean over splits")
    _legend_below(axes)
    return figure


def accuracies(rows: Sequence[Mapping], metric: str, references: Mapping[str, float | None], theme: Theme):
    """Plot the consistency with human choices against the accuracy of the read-out, one point per model and layer."""
    figure, axes = _figure(WIDTH)
    models = list(dict.fromkeys(row["model"] for row in rows))
    for i, model in enumerate(models):
        of_model = [row for row in rows if row["model"] == model]
        axes.plot(
            [row["accuracy"] for row in of_model],
            [row["test"] for row in of_model],
            MARKERS[i % len(MARKERS)],
            color=theme.series[i % len(theme.series)],
            markersize=5,
            alpha=0.85,
            label=shorten(model),
        )
    _reference_lines(axes, references, theme)
    axes.set_xlabel("accuracy of the read-out (proportion of stimuli)")
    axes.set_ylabel(f"test {metric}")
    axes.grid(linewidth=0.6)
    _legend_below(axes)
    return figure
