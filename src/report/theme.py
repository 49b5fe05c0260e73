"""How figures look: colours by role, and a figure as inline SVG or as a file."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path


@dataclass(frozen=True)
class Theme:
    """The colours of a figure: ink for text, soft for lines, grid, paper behind it, and those of series in turn."""

    ink: str
    soft: str
    grid: str
    paper: str
    series: tuple[str, ...]


# Okabe & Ito (2008), told apart by colour-blind readers, darkened where white paper swallows them
PRINT = Theme(
    "#1b2127", "#59636e", "#d8dee4", "#ffffff", ("#0072b2", "#d55e00", "#009e73", "#b4609a", "#a87a00", "#3d9fd6")
)
# on the page every role is a colour that nothing else has, which `inline` replaces by the page's own
PAGE = Theme(
    "#010a01", "#020b02", "#030c03", "#040d04", ("#050e05", "#060f06", "#071007", "#081108", "#091209", "#0a130a")
)
ROLES = {PAGE.ink: "ink", PAGE.soft: "soft", PAGE.grid: "grid", PAGE.paper: "paper"}
ROLES |= {colour: f"series-{i}" for i, colour in enumerate(PAGE.series)}

SCORES, DEPTH = "viridis", "plasma"  # colour maps of even lightness, safe for colour-blind readers
MISSING = "#9aa0a6"
DPI = 180  # of what is an image inside a drawing

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
def drawing(theme: Theme) -> Iterator[None]:
    """Draw and save figures in here."""
    import matplotlib

    ink = dict.fromkeys(
        ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor", "axes.titlecolor"), theme.ink
    )
    soft = dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), theme.soft)
    with matplotlib.rc_context(RC | ink | soft | {"grid.color": theme.grid}):
        yield


def inline(figure, title: str, prefix: str) -> str:
    """The figure as an <svg> in the page's colours and font; its ids start with `prefix`, `title` is read out."""
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


def write(figure, path: Path) -> None:
    """The figure, drawn in PRINT, as a .png, .svg or .pdf file that is the same every time."""
    stamp = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix, {})
    figure.savefig(path, dpi=2 * DPI, facecolor=PRINT.paper, metadata=stamp)
