"""The drawings of scores: arrays and rows in, a matplotlib figure out. Called inside `theme.drawing`."""

from collections.abc import Mapping, Sequence

import numpy as np

from .theme import SCORES, Theme

WIDTH = 3.7  # inches: one column of a phone
ROW = 0.24  # inches for a line of a list
CROWD = 2000  # points that are no longer drawn one by one
SHAPES = "os^DvP"
NAME = 24  # letters of a name that fit beside a chart


def short(name: str, limit: int = NAME) -> str:
    """A name with its middle left out where it is too long."""
    half = (limit - 1) // 2
    return name if len(name) <= limit else f"{name[: limit - 1 - half]}…{name[-half:]}"


def _figure(n_rows: int, extra: float = 0.95, width: float = WIDTH):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, extra + ROW * max(2, n_rows)))
    return figure, figure.add_subplot()


def _listed(axes, names: Sequence[str]) -> None:
    """Names from the top down the y-axis."""
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", linewidth=0.6)
    axes.locator_params(axis="x", nbins=6)


def _mark(axes, value: float | None, text: str, theme: Theme, style: str = "--") -> None:
    """A line across at `value`, named in the legend."""
    if value is not None:
        axes.axvline(value, color=theme.soft, linestyle=style, linewidth=1, label=f"{text} {value:.2f}")


def _legend_below(axes, n: int = 2) -> None:
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        axes.figure.legend(loc="outside lower left", ncols=n)


def ranking(rows: Sequence[Mapping], metric: str, n: str, marks: Mapping[str, float | None], theme: Theme):
    """Test score of every model's chosen layer with its interval; `marks` {name: value} are lines across."""
    figure, axes = _figure(len(rows), 1.3)
    for i, row in enumerate(rows):
        if row["test"] is None:
            continue
        if row["low"] is not None and row["high"] is not None:
            axes.plot([row["low"], row["high"]], [i, i], color=theme.series[0], linewidth=2, alpha=0.55)
        axes.plot(row["test"], i, "o", color=theme.series[0], markersize=5)
    for (name, value), dash in zip(marks.items(), ("--", ":", "-."), strict=False):
        _mark(axes, value, name, theme, dash)
    _listed(axes, [row["model"] for row in rows])
    axes.set_xlabel(f"test {metric}\n{n}")
    _legend_below(axes)
    return figure


def profile(layers: Sequence[Mapping], metric: str, n: str, limits: tuple[float, float], theme: Theme):
    """Test and validation score of every layer, first layer on top; bars: standard deviation over splits."""
    figure, axes = _figure(len(layers), 1.35)
    at = np.arange(len(layers))
    valid, test, spread = (np.array([row[k] for row in layers], dtype=float) for k in ("valid", "test", "test_sd"))
    axes.plot(valid, at, "o", color=theme.series[1], markersize=4, fillstyle="none", label="validation")
    axes.errorbar(
        test, at, xerr=spread, fmt="-o", color=theme.series[0], markersize=4, linewidth=1, elinewidth=1, label="test"
    )
    chosen = next(i for i, row in enumerate(layers) if row["best"])
    axes.plot(test[chosen], chosen, "o", color=theme.series[0], markersize=9, fillstyle="none", label="chosen layer")
    axes.set_xlim(*limits)
    _listed(axes, [row["layer"] for row in layers])
    axes.set_xlabel(f"{metric}\n{n}")
    axes.set_ylabel("layer, first on top")
    _legend_below(axes, 3)
    return figure


def profile_limits(scores: Sequence[Sequence[Mapping]]) -> tuple[float, float]:
    """One range of scores for the profiles of several models."""
    rows = [row for layers in scores for row in layers if row["test"] is not None]
    low = [min(row["test"] - (row["test_sd"] or 0), row["valid"] or 0, 0) for row in rows]
    high = [max(row["test"] + (row["test_sd"] or 0), row["valid"] or 0, 0) for row in rows]
    margin = 0.05 * ((max(high) - min(low)) if rows else 1) or 0.05
    return (min(low) - margin, max(high) + margin) if rows else (0.0, 1.0)


def units(test: np.ndarray, ceiling: np.ndarray, groups: np.ndarray | None, metric: str, theme: Theme):
    """Each unit's test score against its ceiling; on the line it is explained as well as it can be."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, WIDTH + 0.35))
    axes = figure.add_subplot()
    seen = np.isfinite(test) & np.isfinite(ceiling)
    low = min(0.0, float(test[seen].min())) - 0.03
    high = max(1.0, float(max(test[seen].max(), ceiling[seen].max()))) + 0.03
    axes.plot([low, high], [low, high], color=theme.soft, linewidth=1, linestyle="--", label="explained fully")
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal", xlabel=f"ceiling ({metric})")
    _dots(axes, ceiling[seen], test[seen], None if groups is None else groups[seen], theme)
    axes.set_ylabel(f"test {metric}, n = {seen.sum():,} units")
    axes.grid(linewidth=0.6)
    _legend_below(axes, 3)
    return figure


def spread(test: np.ndarray, metric: str, theme: Theme):
    """How the units' test scores are spread."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 2.6))
    axes = figure.add_subplot()
    seen = test[np.isfinite(test)]
    axes.hist(seen, bins=min(40, max(5, len(seen) // 2)), color=theme.series[0], edgecolor=theme.paper)
    axes.axvline(np.median(seen), color=theme.ink, linewidth=1, linestyle="--", label=f"median {np.median(seen):.2f}")
    axes.set(xlabel=f"test {metric}", ylabel=f"units (of {len(seen):,})")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="y", linewidth=0.6)
    _legend_below(axes)
    return figure


def _dots(axes, x: np.ndarray, y: np.ndarray, groups: np.ndarray | None, theme: Theme) -> None:
    """Points, in as many colours and shapes as there are groups up to six; of very many, how many lie where."""
    if len(x) > CROWD:
        _crowd(axes, x, y)
        return
    look = {"s": 16, "alpha": 0.8, "linewidths": 0}
    names = [] if groups is None else list(dict.fromkeys(np.asarray(groups).astype(str).tolist()))
    if not 1 < len(names) <= len(theme.series):
        axes.scatter(x, y, color=theme.series[0], **look)
        return
    for name, colour, shape in zip(names, theme.series, SHAPES, strict=False):
        at = np.asarray(groups).astype(str) == name
        axes.scatter(x[at], y[at], color=colour, marker=shape, label=name, **look)


def _crowd(axes, x: np.ndarray, y: np.ndarray) -> None:
    """The number of points in each of many cells."""
    cells = axes.hexbin(
        x,
        y,
        gridsize=48,
        extent=(*axes.get_xlim(), *axes.get_ylim()),
        mincnt=1,
        bins="log",
        cmap=SCORES,
        linewidths=0.1,
        rasterized=True,
    )
    bar = axes.figure.colorbar(cells, ax=axes, location="top", fraction=0.04, aspect=26, shrink=0.85, pad=0.02)
    bar.set_label("units per cell")
    # powers of ten as plain numbers: raised digits would be words on top of each other
    bar.formatter = lambda value, _: f"{value:,.0f}"
    bar.minorticks_off()
    bar.outline.set_visible(False)


def against(x: np.ndarray, y: np.ndarray, names: tuple[str, str], groups: np.ndarray | None, metric: str, theme: Theme):
    """Two models on the same targets; above the line the second is better."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, WIDTH + 0.35))
    axes = figure.add_subplot()
    seen = np.isfinite(x) & np.isfinite(y)
    both = np.concatenate([x[seen], y[seen]])
    margin = 0.05 * (np.ptp(both) or 1.0)
    limits = (both.min() - margin, both.max() + margin)
    axes.plot(limits, limits, color=theme.soft, linewidth=1, linestyle="--", label="equal")
    axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel=f"{short(names[0], 30)}, test {metric}")
    _dots(axes, x[seen], y[seen], None if groups is None else groups[seen], theme)
    axes.set_ylabel(f"{short(names[1], 30)}, test {metric}")
    axes.grid(linewidth=0.6)
    _legend_below(axes, 3)
    return figure


def labels(values: np.ndarray, models: Sequence[str], names: Sequence[str], metric: str, theme: Theme):
    """Test score of every model on each of a task's labels: `values` (n_models, n_labels)."""
    figure, axes = _figure(len(names), 1.35)
    for i, (row, model) in enumerate(zip(values, models, strict=True)):
        colour, shape = theme.series[i % len(theme.series)], SHAPES[i % len(SHAPES)]
        axes.plot(row, np.arange(len(names)), shape, color=colour, markersize=5, alpha=0.85, label=short(model))
    axes.axvline(0, color=theme.soft, linewidth=1)
    _listed(axes, names)
    axes.set_xlabel(f"test {metric}\nmean over splits")
    _legend_below(axes)
    return figure


def accuracies(rows: Sequence[Mapping], metric: str, marks: Mapping[str, float | None], theme: Theme):
    """Every layer of every model: how right its read-out is against how human its errors are."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, WIDTH))
    axes = figure.add_subplot()
    models = list(dict.fromkeys(row["model"] for row in rows))
    for i, model in enumerate(models):
        own = [row for row in rows if row["model"] == model]
        axes.plot(
            [row["accuracy"] for row in own],
            [row["test"] for row in own],
            SHAPES[i % len(SHAPES)],
            color=theme.series[i % len(theme.series)],
            markersize=5,
            alpha=0.85,
            label=short(model),
        )
    for (name, value), dash in zip(marks.items(), ("--", ":"), strict=False):
        _mark(axes, value, name, theme, dash)
    axes.set_xlabel("accuracy of the read-out (share of stimuli)")
    axes.set_ylabel(f"test {metric}")
    axes.grid(linewidth=0.6)
    _legend_below(axes)
    return figure
