"""Make a page, figures and tables of the stored scores."""

import argparse
import sys
from collections.abc import Callable

from ..arguments import add_action, add_actions, count, count_or_zero
from ..config import Config
from ..report import (
    FIGURES,
    TABLES,
    TOP,
    merge_bundles,
    verify_bundle,
    write_bundle,
    write_relevance,
    write_report,
)
from ..report.against import YOURS, Ranking, summary
from ..report.bundle import Written, row_name
from ..report.relevance import set_name
from ..tables import aligned
from ..utils import counted, size_text
from .progress import Terminal

EXAMPLES = (
    "--models fake-net --datasets fake-fmri --output figures --format png --tables csv",
    "relevance --output relevance --tables csv",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the report, and its actions."""
    _add_selection(parser, "report", "folder that gets an index.html")
    parser.add_argument("--format", choices=FIGURES, help="also write every figure to a file")
    parser.add_argument("--tables", choices=TABLES, help="also write the tables to files")
    parser.add_argument("--maps", action="store_true", help="also write the cortical maps as GIFTI files")
    parser.add_argument(
        "--top", type=count, default=TOP, metavar="N", help="number of models per benchmark with figures of their own"
    )
    parser.add_argument(
        "--against",
        nargs="+",
        default=[],
        metavar="BUNDLE",
        help="also rank your scores among those of bundles; baselines: the bundle in the package",
    )
    actions = add_actions(parser, required=False)
    relevance = add_action(
        actions, "relevance", _relevance, "compare groups of models, and regress alignment on task scores over models"
    )
    _add_selection(relevance, "report", "folder that gets a relevance.html")
    relevance.add_argument("--format", choices=FIGURES, help="also write every figure to a file")
    relevance.add_argument("--tables", choices=TABLES, help="also write the tables to files")
    relevance.add_argument("--maps", action="store_true", help="also write the maps of vertices as GIFTI files")
    relevance.add_argument("--no-units", action="store_true", help="regions only: no arrays of single units are read")
    bundle = add_action(actions, "bundle", _bundle, "write the scores with digests of their inputs, to be shared")
    _add_selection(bundle, "bundle", "folder of the bundle")
    bundle.add_argument("--no-replicates", action="store_true", help="leave out the bootstrap draws, most of its size")
    merge = add_action(actions, "merge", _merge, "write the scores of several bundles as one")
    merge.add_argument("bundles", nargs="+", metavar="BUNDLE", help="folders of bundles")
    merge.add_argument("--output", "-o", required=True, metavar="DIR", help="folder of the merged bundle")
    verify = add_action(actions, "verify", _verify, "check a bundle, and compute some of its scores again")
    verify.add_argument("bundle", metavar="BUNDLE", help="folder of a bundle, or baselines")
    verify.add_argument("--rows", type=count, default=3, metavar="N", help="rows to compute again, at random")
    verify.add_argument("--seed", type=count_or_zero, default=0, metavar="N", help="seed of their choice")
    verify.add_argument("--quiet", "-q", action="store_true", help="no progress")


def _add_selection(parser: argparse.ArgumentParser, output: str, text: str) -> None:
    """Add the options that choose scores, and the folder to write to."""
    parser.add_argument("--models", "-m", nargs="+", default=[], metavar="NAME", help="only these (default: all)")
    parser.add_argument(
        "--datasets", "-d", nargs="+", default=[], metavar="NAME", help="only scores on one of these (default: all)"
    )
    parser.add_argument("--output", "-o", default=output, metavar="DIR", help=text)
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress")


def run(options: argparse.Namespace, config: Config) -> int:
    """Write the report, or run one of its actions."""
    return (options.action or _page)(options, config)


def _log(options: argparse.Namespace) -> Callable[[str], None]:
    def log(text: str) -> None:
        if not options.quiet:
            print(text, file=sys.stderr)

    return log


def _page(options: argparse.Namespace, config: Config) -> int:
    report = write_report(
        config,
        options.output,
        options.models,
        options.datasets,
        figures=options.format,
        tables=options.tables,
        maps=options.maps,
        top=options.top,
        against=options.against,
        log=_log(options),
    )
    size = size_text(report.page.stat().st_size)
    print(f"{counted(report.n_scores, 'score')} on {counted(report.n_benchmarks, 'benchmark')}: ", end="")
    print(f"open {report.page} ({size})")
    _print_problems(report.problems)
    folder = report.page.parent
    if options.format:
        print(f"{report.n_figures} figures in {folder / 'figures'}")
    if options.tables:
        print(f"tables {', '.join(path.stem for path in report.tables)} in {folder / 'tables'}")
    if options.maps:
        print(f"{counted(report.n_maps, 'map')} in {folder / 'maps'}")
    if report.ranking:
        _print_ranking(report.ranking)
    return 0


def _print_ranking(ranking: Ranking) -> None:
    for title in dict.fromkeys(row["benchmark"] for row in ranking.rows):
        rows = [row for row in ranking.rows if row["benchmark"] == title]
        names = ("test", "low", "high", "normalised")
        cells = [
            [f"{'> ' if row['source'] == YOURS else '  '}{row['rank']}", row["model"], row["source"]]
            + [_number(row[name]) for name in names]
            for row in rows
        ]
        header = ["rank", "model", "source", "test", "low", "high", "test/ceiling"]
        print(f"\n{title}\n{aligned(header, cells, left=3)}")
    for line in ranking.refused:
        print(f"refused: {line}", file=sys.stderr)
    if ranking.n_elsewhere:
        print(f"{counted(ranking.n_elsewhere, 'row')} on datasets without a score of yours", file=sys.stderr)


def _bundle(options: argparse.Namespace, config: Config) -> int:
    _print_written(write_bundle(config, options.output, options.models, options.datasets, not options.no_replicates))
    return 0


def _merge(options: argparse.Namespace, config: Config) -> int:
    _print_written(merge_bundles(options.bundles, options.output))
    return 0


def _print_written(written: Written) -> None:
    size = size_text(sum(file.stat().st_size for file in written.folder.iterdir()))
    counts = f"{counted(written.n_scores, 'score')} on {counted(written.n_benchmarks, 'benchmark')}"
    print(f"{counts} in {written.folder} ({size})")
    _print_problems(written.problems)


def _verify(options: argparse.Namespace, config: Config) -> int:
    with Terminal(quiet=options.quiet) as terminal:
        found = verify_bundle(config, options.bundle, options.rows, options.seed, terminal, _log(options))
    cells = [[row_name(one.row), _number(one.row["test"]), _number(one.test), one.problem or "same"] for one in found]
    print(aligned(["score", "stored", "again", "result"], cells, left=1))
    print(summary(found))
    return 2 if any(one.problem for one in found) else 0


def _relevance(options: argparse.Namespace, config: Config) -> int:
    found = write_relevance(
        config,
        options.output,
        options.models,
        options.datasets,
        figures=options.format,
        tables=options.tables,
        maps=options.maps,
        units=not options.no_units,
        log=_log(options),
    )
    for study in found.across.studies:
        print(f"{study.benchmark.title}: {counted(len(study.models.scores), 'model')}")
        title = study.benchmark.title
        groups = [row for row in found.across.tables["groups"] if row["benchmark"] == title]
        cells = [[row["group"], row["models"], row["families"], *map(_number, _values(row, "mean"))] for row in groups]
        print(aligned(["group", "models", "families", "mean", "low", "high"], cells))
        if study.regression is None:
            print(f"no task relevance: {study.problem}\n")
            continue
        sets = [row for row in found.across.tables["sets"] if row["benchmark"] == title and not row["region"]]
        names = ("adjusted_r2", "low", "high", "held_out_r2", "residual")
        cells = [[set_name(row, sets), *(_number(row[name]) for name in names)] for row in sets]
        print(f"\n{aligned(['tasks', 'adjusted R²', 'low', 'high', 'held-out R²', 'residual'], cells)}\n")
    print(f"open {found.page} ({size_text(found.page.stat().st_size)})")
    _print_problems(found.problems)
    folder = found.page.parent
    if options.format:
        print(f"{found.n_figures} figures in {folder / 'figures'}")
    if options.tables:
        print(f"tables {', '.join(path.stem for path in found.tables)} in {folder / 'tables'}")
    if options.maps:
        print(f"{counted(found.n_maps, 'map')} in {folder / 'maps'}")
    return 0


def _values(row: dict, name: str) -> list[float | None]:
    return [row[name], row["low"], row["high"]]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _print_problems(problems) -> None:
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)
