"""Files of a report: page, figures and tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config import Config
from ..files import write_atomic, writing
from ..tables import write_rows
from ..utils import BadInput
from .against import Ranking, rank_against
from .charts import plot
from .contexts import window_rows
from .curves import curve_rows
from .dataset_card import write_dataset_card
from .figures import pictures
from .maps import write_maps
from .metrics_agreement import metric_rows
from .metrics_agreement import picture as metrics_picture
from .overview import overview_picture
from .page import render
from .rows import Row, layer_rows, leaderboard_rows, pair_rows, provenance_rows, region_rows, score_rows
from .scores import BenchmarkScores, collect, readable_scores
from .theme import figure_style, save

FIGURES = ("png", "svg", "pdf")
TABLES = ("csv", "parquet", "json")
TOP = 6


@dataclass(frozen=True)
class Report:
    """Files of a written report and the scores in it.

    Attributes
    ----------
    page : Path
        The HTML file.
    n_scores : int
        Number of ranked scores; superseded scores are not counted.
    n_benchmarks : int
        Number of benchmarks.
    n_figures : int
        Number of figure files.
    n_maps : int
        Number of cortical maps, of two GIFTI files each.
    tables : tuple of Path
        The table files.
    problems : tuple of str
        One line for each score that was left out because it cannot be read.
    ranking : Ranking or None
        Own scores among those of bundles, if there were any.
    """

    page: Path
    n_scores: int
    n_benchmarks: int
    n_figures: int
    n_maps: int
    tables: tuple[Path, ...]
    problems: tuple[str, ...]
    ranking: Ranking | None = None


def write_report(
    config: Config,
    output: str | Path,
    models: Sequence[str] = (),
    datasets: Sequence[str] = (),
    *,
    figures: str | None = None,
    tables: str | None = None,
    maps: bool = False,
    top: int = TOP,
    against: Sequence[str | Path] = (),
    log: Callable[[str], None] = lambda text: None,
) -> Report:
    """Write the stored scores as an HTML page and, on request, as figure and table files.

    Parameters
    ----------
    config : Config
        The homes of results and activations.
    output : str or Path
        The folder to write into, created if absent: index.html, figures/BENCHMARK/NAME.FORMAT and tables/NAME.FORMAT.
    models : sequence of str
        Names of stored models; empty for all (default).
    datasets : sequence of str
        Names of stored datasets; a joint score matches each of its datasets. Empty for all (default).
    figures : {"png", "svg", "pdf"}, optional
        Format of the figure files (default: none are written).
    tables : {"csv", "parquet", "json"}, optional
        Format of the table files (default: none are written).
    maps : bool
        Also write the cortical maps as GIFTI files to maps/BENCHMARK (default: False).
    top : int
        Number of models per benchmark, best first, with figures of a single model and paired comparisons (default: 6).
    against : sequence of str or Path
        Bundles among whose scores one's own are ranked (default: none).
    log : callable
        Called with one line of progress per benchmark (default: no output).

    Returns
    -------
    Report

    Raises
    ------
    BadInput
        If `output` is a file or cannot be written, for an unknown format or name, or if no stored score matches.

    Examples
    --------
    >>> report = write_report(Config.from_env(), "report", figures="png", tables="csv")  # doctest: +SKIP
    >>> report.page, report.n_scores  # doctest: +SKIP
    """
    folder = Path(output).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"--output {output} is a file; expected a folder, which gets an index.html")
    for option, given, formats in (("figures", figures, FIGURES), ("tables", tables, TABLES)):
        if given is not None and given not in formats:
            raise BadInput(f"unknown format of {option} '{given}'; expected one of: {', '.join(formats)}")
    if top < 1:
        raise BadInput(f"got top = {top}; expected 1 or more")
    benchmarks, problems = collect(config, models, datasets)
    ranking = rank_against(benchmarks, against) if against else None
    page = folder / "index.html"
    problems = write_page(benchmarks, problems, page, top, log, ranking)
    return Report(
        page=page,
        n_scores=sum(len(b.scores) for b in benchmarks),
        n_benchmarks=len(benchmarks),
        n_figures=write_figures(benchmarks, folder / "figures", figures, top) if figures else 0,
        n_maps=write_maps(benchmarks, folder / "maps", top) if maps else 0,
        tables=tuple(write_tables(benchmarks, folder / "tables", tables, top, ranking)) if tables else (),
        problems=tuple(problems),
        ranking=ranking,
    )


def write_page(
    benchmarks: Sequence[BenchmarkScores],
    problems: Sequence[str],
    path: Path,
    top: int = TOP,
    log: Callable[[str], None] = lambda text: None,
    ranking: Ranking | None = None,
) -> list[str]:
    """Write the HTML page and return `problems` with the damaged scores found on the way."""
    html, problems = render(benchmarks, problems, top, log, ranking)
    with writing(path, "--output"):
        write_atomic(path, html.encode())
    return problems


def write_figures(benchmarks: Sequence[BenchmarkScores], folder: Path, suffix: str, top: int = TOP) -> int:
    """Write every figure to FOLDER/BENCHMARK/NAME.SUFFIX and return the number of files.

    The ranking over benchmarks is FOLDER/overview.SUFFIX, the agreement of metrics FOLDER/metrics.SUFFIX.
    """
    n = 0
    for found in (overview_picture(benchmarks), metrics_picture(metric_rows(benchmarks))):
        if found is not None:
            with writing(folder, "--output"), figure_style():
                folder.mkdir(parents=True, exist_ok=True)
                save(plot(found.spec), folder / f"{found.name}.{suffix}")
            n += 1
    for benchmark in benchmarks:
        shown, _ = readable_scores(benchmark, top)
        subfolder = folder / benchmark.slug
        with writing(subfolder, "--output"), figure_style():
            subfolder.mkdir(parents=True, exist_ok=True)
            for picture in pictures(benchmark, shown, pair_rows(benchmark, shown)):
                save(plot(picture.spec), subfolder / f"{picture.name}.{suffix}")
                n += 1
        for score in shown:
            score.release()
    return n


def all_tables(
    benchmarks: Sequence[BenchmarkScores], top: int = TOP, ranking: Ranking | None = None
) -> dict[str, list[Row]]:
    """Return {name: rows} of all tables of the page; pairs are those of the first `top` models of a benchmark."""
    pairs = []
    for benchmark in benchmarks:
        shown, _ = readable_scores(benchmark, top)
        pairs += pair_rows(benchmark, shown)
        for score in shown:
            score.release()
    return {
        "scores": [row for b in benchmarks for row in score_rows(b)],
        "layers": [row for b in benchmarks for row in layer_rows(b)],
        "regions": [row for b in benchmarks for row in region_rows(b)],
        "curves": [row for b in benchmarks for row in curve_rows(b)],
        "windows": [row for b in benchmarks for row in window_rows(b)],
        "pairs": pairs,
        "metrics": metric_rows(benchmarks),
        "leaderboard": [_flat(row) for row in leaderboard_rows(benchmarks)],
        "provenance": provenance_rows(benchmarks),
        "against": ranking.rows if ranking else [],
    }


def _flat(row: Row) -> Row:
    """Return a leaderboard row with one column per benchmark in place of its cells."""
    cells = {name: None if cell is None else cell["normalised"] for name, cell in row["cells"].items()}
    return {name: value for name, value in row.items() if name != "cells"} | cells


def write_tables(
    benchmarks: Sequence[BenchmarkScores], folder: Path, suffix: str, top: int = TOP, ranking: Ranking | None = None
) -> list[Path]:
    """Write the tables that have rows to FOLDER/NAME.SUFFIX and return the files; Parquet with a dataset card."""
    paths = []
    with writing(folder, "--output"):
        folder.mkdir(parents=True, exist_ok=True)
    for name, rows in all_tables(benchmarks, top, ranking).items():
        if rows:
            paths.append(folder / f"{name}.{suffix}")
            write_rows(rows, paths[-1])
    with writing(folder, "--output"):
        write_dataset_card(paths)
    return paths
