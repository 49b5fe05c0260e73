"""Appearance of the figures: colours by role, and figures as inline SVG or as files."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path


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
# placeholder colours, one per role and used nowhere else, which `inline_svg` replaces by CSS variables
PAGE = Theme(
    "#010a01", "#020b02", "#030c03", "#040d04", ("#050e05", "#060f06", "#071007", "#081108", "#091209", "#0a130a")
)
ROLES = {PAGE.text: "text", PAGE.muted: "muted", PAGE.grid: "grid", PAGE.background: "background"}
ROLES |= {colour: f"series-{i}" for i, colour in enumerate(PAGE.series)}

# colour maps of uniform lightness gradient, readable with colour vision deficiency
SCORE_COLOURS, LAYER_COLOURS = "viridis", "plasma"
MISSING = "#9aa0a6"
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
def figure_style(theme: Theme) -> Iterator[None]:
    """Set matplotlib's parameters to the theme; figures are made and saved inside the context."""
    import matplotlib

    text = dict.fromkeys(
        ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor", "axes.titlecolor"), theme.text
    )
    muted = dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), theme.muted)
    with matplotlib.rc_context(RC | text | muted | {"grid.color": theme.grid}):
        yield


def inline_svg(figure, title: str, prefix: str) -> str:
    """Return the figure as an <svg> in the colours and the font of the page.

    title: the text for screen readers; prefix: the start of all ids, unique within the page.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", dpi=DPI, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    for colour, role in ROLES.items():
        svg = svg.replace(colour, f"var(--{role})")
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", svg)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)


def save(figure, path: Path) -> None:
    """Save a figure in the PRINT theme as a reproducible .png, .svg or .pdf file."""
    dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix, {})
    figure.savefig(path, dpi=2 * DPI, facecolor=PRINT.background, metadata=dates)
