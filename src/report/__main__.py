"""`python -m src.report`: the stored scores as one HTML file that opens offline, and as figures and tables."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..config import Config
from ..utils import BadInput, size_text
from .export import FIGURES, TABLES, write_figures, write_tables
from .scores import collect


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report and return the exit code: 0, or 2 for bad input."""
    options = _parser().parse_args(arguments)
    try:
        folder = _folder(options.output)
        benchmarks, problems = collect(Config.from_env(), options.models, options.datasets)
        _write_page(benchmarks, problems, folder, options)
        if options.format:
            n = write_figures(benchmarks, folder / "figures", options.format, options.top)
            print(f"{n} figures in {folder / 'figures'}")
        if options.tables:
            names = write_tables(benchmarks, folder / "tables", options.tables, options.top)
            print(f"tables {', '.join(names)} in {folder / 'tables'}")
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _write_page(benchmarks, problems, folder: Path, options: argparse.Namespace) -> None:
    from ..files import write_atomic, writing
    from .page import html

    def say(text: str) -> None:
        if not options.quiet:
            print(text, file=sys.stderr)

    path = folder / "index.html"
    page = html(benchmarks, problems, options.top, say)
    with writing(path, "--output"):
        write_atomic(path, page.encode())
    n_scores = sum(len(b.scores) for b in benchmarks)
    size = size_text(path.stat().st_size)
    print(f"{_counted(n_scores, 'score')} on {_counted(len(benchmarks), 'benchmark')}: open {path} ({size})")
    for problem in problems:
        print(f"left out: {problem}", file=sys.stderr)


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _folder(name: str) -> Path:
    """The folder to write into; BadInput where a file is in the way."""
    folder = Path(name).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"--output {name} is a file; expected a folder, which gets an index.html")
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m src.report", description=__doc__.partition(": ")[2])
    parser.add_argument("--models", "-m", nargs="+", default=[], metavar="NAME", help="only these (default: all)")
    parser.add_argument(
        "--datasets", "-d", nargs="+", default=[], metavar="NAME", help="only scores with one of these (default: all)"
    )
    parser.add_argument("--output", "-o", default="report", metavar="DIR", help="where to (default: report)")
    parser.add_argument("--format", choices=FIGURES, help="write every figure to a file of its own as well")
    parser.add_argument("--tables", choices=TABLES, help="write the tables to files as well")
    parser.add_argument(
        "--top",
        type=_count,
        default=6,
        metavar="N",
        help="models of a benchmark with figures of their own (default: 6)",
    )
    parser.add_argument("--quiet", "-q", action="store_true", help="do not tell what is being drawn")
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {text}; expected 1 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
