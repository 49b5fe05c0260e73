"""The report as one self-contained HTML file."""

import json
from collections.abc import Callable, Sequence, Set
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from ..models import membership
from . import metrics_agreement, page_tables, relevance_page
from .against import Ranking
from .figures import pictures
from .overview import LABELS, overview
from .relevance import BRAIN, across_models
from .rows import layer_rows, leaderboard_rows, pair_rows, provenance_rows, region_rows, score_rows
from .scores import BenchmarkScores, StoredScore, public_name, readable_scores
from .text import as_text, count, number, p_value
from .viewer import PageFigures

TEMPLATES = Path(__file__).parent / "templates"
N_SAMPLES = 100  # samples of model families behind the intervals of the page; `report relevance` takes 1,000


def render(
    benchmarks: Sequence[BenchmarkScores],
    problems: Sequence[str],
    top: int,
    log: Callable[[str], None] = lambda text: None,
    ranking: Ranking | None = None,
) -> tuple[str, list[str]]:
    """Return the page as HTML, and `problems` with the scores whose arrays are damaged.

    top: number of models per benchmark with figures of a single model; log: called with one line per benchmark;
    ranking: own scores among those of bundles.
    """
    figures, tables, sections, problems = PageFigures(), {}, [], list(problems)
    for i, benchmark in enumerate(benchmarks):
        log(f"plotting {benchmark.title}")
        section, damaged = _section(benchmark, f"b{i}-{benchmark.slug}", top, figures, tables)
        sections.append(section)
        problems += damaged
    across = relevance_page.section_context(across_models(benchmarks, N_SAMPLES), figures, BRAIN)
    metrics = _metrics(benchmarks, figures)
    labels = {s.label: s.item.model for b in benchmarks for s in b.scores}
    groups = {label: membership(model).group for label, model in labels.items()}
    provenance, strings = page_tables.provenance(provenance_rows(benchmarks))
    data = {
        "overview": overview(benchmarks, [section["id"] for section in sections], groups),
        "figures": figures.figures,
        "colours": figures.colours,
        "tables": tables | {"provenance": provenance},
        "strings": strings,
    }
    surface = figures.surface()
    leaderboard = leaderboard_rows(benchmarks)
    html = (
        environment()
        .get_template("report.html")
        .render(
            sections=sections,
            # of one benchmark, its own table is the leaderboard
            leaderboard=leaderboard if leaderboard and len(leaderboard[0]["cells"]) > 1 else [],
            problems=problems,
            data=as_json(data),
            surface=as_json(surface) if surface else None,
            created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            models=list(labels),
            groups=list(dict.fromkeys(groups.values())),
            n_scores=len(provenance["rows"]),
            top=top,
            ranking=ranking,
            across=across,
            metrics=metrics,
        )
    )
    return html, problems


def _metrics(benchmarks: Sequence[BenchmarkScores], figures: PageFigures) -> dict[str, Any]:
    """Return the template variables of the rankings by metric, and add their figure to `figures`."""
    rows = metrics_agreement.metric_rows(benchmarks)
    found, drawn = metrics_agreement.picture(rows), None
    if found is not None:
        figures.add("metrics-tau", found)
        drawn = {"id": "metrics-tau", "title": found.title, "caption": found.caption}
    return {"sentence": metrics_agreement.sentence(benchmarks, rows), "rows": rows, "figure": drawn}


def _section(
    benchmark: BenchmarkScores, name: str, top: int, figures: PageFigures, tables: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return the template variables of a benchmark and the lines on its damaged scores.

    Its figures and tables are added to `figures` and `tables`. Only the arrays of one benchmark are in memory.
    """
    shown, damaged = readable_scores(benchmark, top)
    pairs, drawn, groups = pair_rows(benchmark, shown), [], set()
    for picture in pictures(benchmark, shown, pairs):
        html_id = f"{name}-{picture.name}"
        figures.add(html_id, picture, benchmark.title)
        spec = picture.spec
        is_wide = len(spec["panels"]) > 1 or spec["kind"] == "surface"
        drawn.append({"id": html_id, "title": picture.title, "caption": picture.caption, "wide": is_wide})
        groups.add(picture.group)
    for score in shown:
        score.release()
    found = {"layers": layer_rows(benchmark), "regions": region_rows(benchmark), "pairs": pairs}
    made = page_tables.tables(benchmark, found)
    tables |= {f"{name}-{kind}": table for kind, table in made.items()}
    return {
        "id": name,
        "title": benchmark.title,
        "benchmark": LABELS.get(benchmark.benchmark, benchmark.benchmark),
        "key": benchmark.key,
        "metric": benchmark.metric,
        "aggregation": benchmark.aggregation,
        "target_noun": benchmark.target_noun,
        "facts": benchmark.facts,
        "data_notes": {public_name(name): notes for name, notes in (benchmark.facts.get("data") or {}).items()},
        # narrow figures first, so that they fill lines
        "figures": sorted(drawn, key=lambda figure: figure["wide"]),
        "missing": _missing(benchmark, shown, groups),
        "scores": score_rows(benchmark),
        "tables": {kind: len(table["rows"]) for kind, table in made.items()},
    }, damaged


def _missing(benchmark: BenchmarkScores, shown: Sequence[StoredScore], groups: Set[str]) -> list[str]:
    """Return a sentence for each figure that a reader may look for and that cannot be drawn."""
    found = []
    if not shown:
        return ["No score of this benchmark has readable arrays, so that it has no figures of single models."]
    if benchmark.benchmark in ("fmri", "electrodes"):
        if benchmark.facts["ceiling"] is None:
            found.append("No noise ceiling is stored, so that scores are raw and units are shown without a ceiling.")
        if not any(len(s.facts["regions"]) > 1 for s in benchmark.scores):
            found.append("The targets have no regions, or only one: there is no figure of regions.")
        if benchmark.benchmark == "fmri" and "surface" not in groups:
            found.append("The targets are not vertices of fsaverage5: there is no cortical map.")
    without = [s.label for s in benchmark.scores if s.headline[benchmark.key] is None]
    if without and benchmark.key == "normalised":
        found.append(f"Without a test / ceiling, and therefore last: {', '.join(without)}.")
    if "layers" not in groups:
        found.append("The models have one layer each: there is no layer profile.")
    if len(shown) < 2:
        found.append("There is one model: nothing to compare it with.")
    return found


@cache
def environment():
    """Return the environment of the page's templates."""
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


def as_json(value: Any):
    """Return JSON that is safe inside a <script> element."""
    from markupsafe import Markup

    return Markup(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c"))
