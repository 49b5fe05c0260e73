"""The report as one self-contained HTML file."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from . import surface_maps, viewer
from .figures import Picture, pictures
from .rows import Row, layer_rows, leaderboard_rows, pair_rows, provenance_rows, region_rows, score_rows
from .scores import BenchmarkScores, readable_scores
from .text import as_text, count, number, p_value
from .theme import PAGE, figure_style, inline_svg

TEMPLATES = Path(__file__).parent / "templates"
BENCHMARK_LABELS = {"fmri": "fMRI", "electrodes": "electrodes", "task": "task", "behaviour": "behaviour"}
GROUPS = {
    "models": "Models",
    "confusions": "Confusion matrices",
    "layers": "Layers",
    "regions": "Regions and layers",
    "units": "Units",
    "pairs": "Model comparison",
    "surface": "Cortical surface",
}
WIDE = 360  # points; a wider figure takes two columns


@dataclass(frozen=True)
class Section:
    """Contents of the page for one benchmark: tables, figures, surface maps, and the scores that cannot be read."""

    benchmark: BenchmarkScores
    scores: list[Row]
    layers: list[Row]
    regions: list[Row]
    pairs: list[Row]
    pictures: list[Picture]
    maps: list[dict[str, Any]]
    problems: list[str]


def sections(benchmarks: Sequence[BenchmarkScores], top: int) -> Iterator[Section]:
    """Yield the sections one by one, so that only the arrays of one benchmark are in memory.

    top: number of models per benchmark with figures of a single model.
    """
    for benchmark in benchmarks:
        shown, problems = readable_scores(benchmark, top)
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


def render(
    benchmarks: Sequence[BenchmarkScores],
    problems: Sequence[str],
    top: int,
    log: Callable[[str], None] = lambda text: None,
) -> tuple[str, list[str]]:
    """Return the page as HTML, and `problems` with the scores whose arrays are damaged.

    log: called with one line per benchmark.
    """
    rendered, maps, problems = [], [], list(problems)
    for i, section in enumerate(sections(benchmarks, top)):
        log(f"plotting {section.benchmark.title}")
        rendered.append(_section_context(section, i))
        maps += section.maps
        problems += section.problems
    html = (
        _environment()
        .get_template("report.html")
        .render(
            sections=rendered,
            leaderboard=leaderboard_rows(benchmarks),
            provenance=provenance_rows(benchmarks),
            problems=problems,
            surface=_json(viewer.surface_data(maps)) if maps else None,
            created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            models=sorted({s.item.model for b in benchmarks for s in b.scores}),
            top=top,
            groups=GROUPS,
        )
    )
    return html, problems


def _section_context(section: Section, number: int) -> dict[str, Any]:
    """Return the template variables of a section, with its figures as inline SVG."""
    figures: dict[str, list[dict[str, Any]]] = {}
    with figure_style(PAGE):
        for i, picture in enumerate(section.pictures):
            svg = inline_svg(picture.plot(PAGE), f"{picture.title}: {picture.caption}", f"b{number}f{i}-")
            figures.setdefault(picture.group, []).append(
                {"title": picture.title, "caption": picture.caption, "svg": svg, "wide": _width(svg) > WIDE}
            )
    benchmark = section.benchmark
    return {
        "id": f"b{number}-{benchmark.slug}",
        "title": benchmark.title,
        "benchmark": BENCHMARK_LABELS.get(benchmark.benchmark, benchmark.benchmark),
        "metric": benchmark.metric,
        "aggregation": benchmark.aggregation,
        "target_noun": benchmark.target_noun,
        "facts": benchmark.facts,
        "data_notes": benchmark.facts.get("data") or {},
        "figures": figures,
        "scores": section.scores,
        "layers": section.layers,
        "regions": section.regions,
        "pairs": section.pairs,
    }


def _width(svg: str) -> float:
    """Return the width of a figure in points."""
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
    environment.filters |= {"number": number, "count": count, "p": p_value, "text": as_text}
    environment.globals["file"] = lambda name: Markup((TEMPLATES / name).read_text())
    return environment


def _json(value: Any):
    """Return JSON that is safe inside a <script> element."""
    from markupsafe import Markup

    return Markup(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c"))
