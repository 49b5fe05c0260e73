"""Section "Across models" of the report, and the report of `report relevance`: page, figures, tables and maps."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config import Config
from ..files import write_atomic, writing
from ..tables import write_rows
from ..utils import BadInput
from .charts import plot
from .maps import write_picture
from .relevance import BRAIN, Across, Study, across_models
from .relevance_pictures import MIN_SHOWN, maps, pictures
from .rows import Row
from .scores import collect
from .text import number
from .theme import figure_style, save
from .viewer import PageFigures

PUBLISHED = (
    "Tang et al. 2025, for comparison: mean ceiling-normalised alignment of image models about 0.39, forward "
    "prediction 0.34, untrained 0.26, classical 0.16, best video model about 0.51; adjusted R² over models 0.55 by "
    "Kinetics alone, 0.73 by objects and motion-only actions, 0.75 by all tasks."
)


def sentences(study: Study, across: Across) -> list[str]:
    """Return what was found for a benchmark, in words."""
    title, found = study.benchmark.title, []
    groups = [row for row in across.tables["groups"] if row["benchmark"] == title]
    best = max(groups, key=lambda row: row["mean"])
    found.append(
        f"{len(study.models.scores)} models of {len(groups)} group{'s' if len(groups) != 1 else ''}; the highest mean "
        f"is that of {best['group']}: {_with_interval(best, 'mean')}."
    )
    for row in (row for row in across.tables["dynamics"] if row["benchmark"] == title):
        found.append(
            f"Trained networks of films ({row['dynamic_models']}) {number(row['dynamic'])}, of single frames "
            f"({row['static_models']}) {number(row['static'])}: difference {_with_interval(row, 'difference')}."
        )
    if study.regression is None:
        return [*found, f"No task relevance: {study.problem}."]
    rows = [row for row in across.tables["sets"] if row["benchmark"] == title and not row["region"]]
    single = max((row for row in rows if row["n_tasks"] == 1), key=lambda row: row["adjusted_r2"])
    full = rows[-1]
    found.append(
        f"The best single task, {single['tasks']}, explains {_with_interval(single, 'adjusted_r2')} of the variance "
        f"over models (adjusted R²), all {full['n_tasks']} tasks {_with_interval(full, 'adjusted_r2')}; with them a "
        f"residual of {number(full['residual'])} is left."
    )
    return found


def _with_interval(row: Row, name: str) -> str:
    ends = "" if row["low"] is None else f" [{number(row['low'])}, {number(row['high'])}]"
    return f"{number(row[name])}{ends}"


def section_context(across: Across, figures: PageFigures, kinds: Sequence[str] = (*BRAIN, "behaviour")) -> dict | None:
    """Return the template variables of the section, and add its figures to `figures`; None if no benchmark has five.

    kinds: benchmarks with figures.
    """
    if all(len(study.models.scores) < MIN_SHOWN for study in across.studies):
        return None
    shown = []
    for i, study in enumerate(across.studies):
        drawn = []
        for picture in pictures(study, across) if study.benchmark.benchmark in kinds else ():
            name = f"r{i}-{study.benchmark.slug}-{picture.name}"
            figures.add(name, picture, study.benchmark.title)
            kind = picture.spec["kind"]
            drawn.append({"id": name, "title": picture.title, "caption": picture.caption, "wide": kind == "surface"})
        title = study.benchmark.title
        shown.append({"title": title, "sentences": sentences(study, across), "figures": drawn})
    is_fmri = any(study.benchmark.benchmark == "fmri" for study in across.studies)
    behaviour = [row for row in across.tables["behaviour"] if row["r"] is not None]
    return {"studies": shown, "behaviour": behaviour, "published": PUBLISHED if is_fmri else ""}


@dataclass(frozen=True)
class RelevanceReport:
    """Files of a written report across models: page, tables, number of figures and maps, and left-out scores."""

    page: Path
    across: Across
    tables: tuple[Path, ...]
    n_figures: int
    n_maps: int
    problems: tuple[str, ...]


def write_relevance(
    config: Config,
    output: str | Path,
    models: Sequence[str] = (),
    datasets: Sequence[str] = (),
    *,
    figures: str | None = None,
    tables: str | None = None,
    maps: bool = False,
    units: bool = True,
    log: Callable[[str], None] = lambda text: None,
) -> RelevanceReport:
    """Write the results across models as a page and, on request, as figures, tables and GIFTI maps.

    Parameters
    ----------
    config : Config
    output : str or Path
        Folder that gets relevance.html, figures/, tables/ and maps/.
    models, datasets : sequence of str
        Names of stored models and datasets; empty for all.
    figures, tables : str, optional
        Formats, as in `write_report`.
    maps : bool
        Also write the maps of vertices as GIFTI files.
    units : bool
        Regress every unit, whose arrays are read (default: True).
    log : callable
        Called with one line of progress per benchmark.

    Raises
    ------
    BadInput
        If no benchmark has two models, or nothing can be written.
    """
    folder = Path(output).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"--output {output} is a file; expected a folder, which gets a relevance.html")
    benchmarks, problems = collect(config, models, datasets)
    across = across_models(benchmarks, units=units, log=log)
    if not across.studies:
        raise BadInput("no stored benchmark of fMRI, electrodes or behaviour has two models; score another model")
    page = folder / "relevance.html"
    with writing(page, "--output"):
        write_atomic(page, render_relevance(across).encode())
    found = RelevanceReport(
        page,
        across,
        tuple(write_across_tables(across, folder / "tables", tables)) if tables else (),
        _write_figures(across, folder / "figures", figures) if figures else 0,
        _write_maps(across, folder / "maps") if maps else 0,
        tuple(problems),
    )
    for study in across.studies:
        for score in study.models.scores:
            score.release()
    return found


def render_relevance(across: Across) -> str:
    """Return the page of the results across models as HTML."""
    from .page import as_json, environment

    figures = PageFigures()
    context = section_context(across, figures)
    data, surface = {"figures": figures.figures, "colours": figures.colours}, figures.surface()
    template = environment().get_template("relevance.html")
    return template.render(across=context, data=as_json(data), surface=as_json(surface) if surface else None)


def write_across_tables(across: Across, folder: Path, suffix: str) -> Iterator[Path]:
    """Write the tables that have rows to FOLDER/relevance-NAME.SUFFIX and yield the files."""
    with writing(folder, "--output"):
        folder.mkdir(parents=True, exist_ok=True)
    for name, rows in across.tables.items():
        if rows:
            write_rows(rows, folder / f"relevance-{name}.{suffix}")
            yield folder / f"relevance-{name}.{suffix}"


def _write_figures(across: Across, folder: Path, suffix: str) -> int:
    n = 0
    for study in across.studies:
        subfolder = folder / study.benchmark.slug
        with writing(subfolder, "--output"), figure_style():
            subfolder.mkdir(parents=True, exist_ok=True)
            for picture in pictures(study, across):
                save(plot(picture.spec), subfolder / f"relevance-{picture.name}.{suffix}")
                n += 1
    return n


def _write_maps(across: Across, folder: Path) -> int:
    n = 0
    for study in (study for study in across.studies if study.regression is not None):
        for picture in maps(study.regression):
            n += write_picture(picture, folder / study.benchmark.slug, "relevance-")
    return n
