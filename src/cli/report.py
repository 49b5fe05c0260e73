"""Make a page, figures and tables of the stored scores."""

import argparse
import sys

from ..arguments import count
from ..config import Config
from ..report import FIGURES, TABLES, TOP, write_report
from ..utils import counted, size_text

EXAMPLES = (
    "--output report",
    "--models fake-net --datasets fake-fmri --output figures --format png --tables csv",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the report."""
    parser.add_argument("--models", "-m", nargs="+", default=[], metavar="NAME", help="only these (default: all)")
    parser.add_argument(
        "--datasets", "-d", nargs="+", default=[], metavar="NAME", help="only scores on one of these (default: all)"
    )
    parser.add_argument("--output", "-o", default="report", metavar="DIR", help="folder that gets an index.html")
    parser.add_argument("--format", choices=FIGURES, help="also write every figure to a file")
    parser.add_argument("--tables", choices=TABLES, help="also write the tables to files")
    parser.add_argument(
        "--top", type=count, default=TOP, metavar="N", help="number of models per benchmark with figures of their own"
    )
    parser.add_argument("--quiet", "-q", action="store_true", help="no progress")


def run(options: argparse.Namespace, config: Config) -> int:
    """Write the report."""

    def log(text: str) -> None:
        if not options.quiet:
            print(text, file=sys.stderr)

    report = write_report(
        config,
        options.output,
        options.models,
        options.datasets,
        figures=options.format,
        tables=options.tables,
        top=options.top,
        log=log,
    )
    size = size_text(report.page.stat().st_size)
    print(f"{counted(report.n_scores, 'score')} on {counted(report.n_benchmarks, 'benchmark')}: ", end="")
    print(f"open {report.page} ({size})")
    for problem in report.problems:
        print(f"left out: {problem}", file=sys.stderr)
    folder = report.page.parent
    if options.format:
        print(f"{report.n_figures} figures in {folder / 'figures'}")
    if options.tables:
        print(f"tables {', '.join(path.stem for path in report.tables)} in {folder / 'tables'}")
    return 0
