"""The report as one HTML file: everything it needs is inside it."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from . import surface_maps, viewer
from .figures import Picture, over, pictures
from .rows import Row, layer_rows, leaderboard_rows, pair_rows, provenance_rows, region_rows, score_rows
from .scores import Benchmark, sound
from .theme import PAGE, drawing, inline

TEMPLATES = Path(__file__).parent / "templates"
KIND = {"fmri": "fMRI", "electrodes": "electrodes", "task": "task", "behaviour": "behaviour"}
GROUPS = {
    "models": "Models",
    "confusions": "Confusions",
    "layers": "Layers",
    "regions": "Regions and layers",
    "units": "Units",
    "pairs": "Model against model",
    "cortex": "On the cortex",
}
WIDE = 360  # points; a wider drawing takes two columns
Say = Callable[[str], None]


@dataclass(frozen=True)
class Section:
    """A benchmark ready to be shown: its tables, its drawings by group, and what could not be read."""

    benchmark: Benchmark
    scores: list[Row]
    layers: list[Row]
    regions: list[Row]
    pairs: list[Row]
    pictures: list[Picture]
    maps: list[dict[str, Any]]
    problems: list[str]


def sections(benchmarks: Sequence[Benchmark], top: int) -> Iterator[Section]:
    """One after the other, so that the arrays of one benchmark at a time are held; `top` models are drawn singly."""
    for benchmark in benchmarks:
        shown, problems = sound(benchmark, top)
        pairs = pair_rows(benchmark, shown)
        yield Section(
            benchmark,
            score_rows(benchmark),
            layer_rows(benchmark),
            region_rows(benchmark),
            pairs,
            list(pictures(benchmark, shown, pairs)),
            list(surface_maps.surface_maps(benchmark, shown)),
            problems,
        )
        for score in shown:
            score.release()


def html(benchmarks: Sequence[Benchmark], problems: Sequence[str], top: int, say: Say = lambda text: None) -> str:
    """The page. Its numbers are those that are stored; `say` hears of every benchmark."""
    shown, surfaces = [], []
    for i, section in enumerate(sections(benchmarks, top)):
        say(f"drawing {section.benchmark.title}")
        shown.append(_drawn(section, i))
        surfaces += section.maps
        problems = [*problems, *section.problems]
    return (
        _environment()
        .get_template("report.html")
        .render(
            sections=shown,
            leaderboard=leaderboard_rows(benchmarks),
            provenance=provenance_rows(benchmarks),
            problems=problems,
            surface=_json(viewer.surface(surfaces)) if surfaces else None,
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            models=sorted({s.stored.model for b in benchmarks for s in b.scores}),
            top=top,
            groups=GROUPS,
        )
    )


def _drawn(section: Section, number: int) -> dict[str, Any]:
    """What the template needs of a section, its figures drawn."""
    figures: dict[str, list[dict[str, Any]]] = {}
    with drawing(PAGE):
        for i, picture in enumerate(section.pictures):
            svg = inline(picture.draw(PAGE), f"{picture.title}: {picture.caption}", f"b{number}f{i}-")
            figures.setdefault(picture.group, []).append(
                {"title": picture.title, "caption": picture.caption, "svg": svg, "wide": _width(svg) > WIDE}
            )
    benchmark = section.benchmark
    return {
        "id": f"b{number}-{benchmark.slug}",
        "title": benchmark.title,
        "kind": KIND.get(benchmark.benchmark, benchmark.benchmark),
        "metric": benchmark.metric,
        "over": over(benchmark),
        "unit": benchmark.unit,
        "facts": benchmark.facts,
        "data_notes": benchmark.facts.get("data") or {},
        "figures": figures,
        "scores": section.scores,
        "layers": section.layers,
        "regions": section.regions,
        "pairs": section.pairs,
    }


def _width(svg: str) -> float:
    """The width of a drawing in points."""
    return float(re.search(r'width="([0-9.]+)pt"', svg).group(1))


@cache
def _environment():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "whole": whole, "p": p_value, "plain": plain}
    environment.globals["file"] = lambda name: Markup((TEMPLATES / name).read_text())
    return environment


def number(value: float | None, digits: int = 3) -> str:
    """A number as it is read; a dash for one that is missing."""
    return "–" if value is None or value != value else f"{value:.{digits}f}".replace("-", "−")


def whole(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def p_value(value: float | None) -> str:
    """A p or q value: three digits, or how small it is."""
    if value is None or value != value:
        return "–"
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def plain(value: Any) -> str:
    """Anything of a key or note as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _json(value: Any):
    """JSON that can stand inside a <script>."""
    from markupsafe import Markup

    return Markup(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c"))
