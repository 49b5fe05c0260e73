"""Appearance of the figures: colours by role, colour scales, and figure files."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Theme:
    """Colours of a figure by role: text, muted (axes and reference lines), grid, background, data series in order."""

    text: str
    muted: str
    grid: str
    background: str
    series: tuple[str, ...]


# Okabe & Ito (2008), distinguishable with colour vision deficiency; darkened where contrast on white is too low
PRINT = Theme(
    "#1b2127", "#59636e", "#d8dee4", "#ffffff", ("#0072b2", "#d55e00", "#009e73", "#b4609a", "#a87a00", "#3d9fd6")
)
MISSING = "#9aa0a6"
N_COLOURS = 256
DPI = 180  # of images inside a vector figure

RC = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "pdf.fonttype": 42,
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Set matplotlib's parameters to the PRINT theme; figures are made and saved inside the context."""
    import matplotlib

    text = dict.fromkeys(
        ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor", "axes.titlecolor"), PRINT.text
    )
    muted = dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), PRINT.muted)
    with matplotlib.rc_context(RC | text | muted | {"grid.color": PRINT.grid}):
        yield


@cache
def colours(name: str, low: float, high: float) -> np.ndarray:
    """Return a colour scale from `low` to `high`, (N_COLOURS, 3) in [0, 1].

    "score": light grey at 0, yellow to dark red above it and blue below it, with equal steps of colour on both sides;
    "layer": plasma. Both have a uniform gradient of lightness and are readable with colour vision deficiency.
    """
    from matplotlib import colormaps

    if name == "layer":
        return colormaps["plasma"](np.linspace(0, 1, N_COLOURS))[:, :3]
    values = np.linspace(low, high, N_COLOURS)
    reach = max(abs(low), abs(high)) or 1.0
    zero = np.array([0.93, 0.92, 0.9])
    share = np.abs(values)[:, None] / reach
    sides = np.where(
        (values < 0)[:, None], colormaps["Blues"](share[:, 0])[:, :3], colormaps["YlOrRd"](share[:, 0])[:, :3]
    )
    blend = np.minimum(1, share / 0.12)
    return (1 - blend) * zero + blend * sides


def colour_map(name: str, low: float, high: float):
    """Return the colour scale `colours` for matplotlib."""
    from matplotlib.colors import ListedColormap

    return ListedColormap(colours(name, float(low), float(high)))


def save(figure, path: Path) -> None:
    """Save a figure as a reproducible .png, .svg or .pdf file."""
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix, {})
    figure.savefig(path, dpi=2 * DPI, facecolor=PRINT.background, metadata=dates)
