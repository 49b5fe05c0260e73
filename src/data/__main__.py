"""`python -m src.data list|fetch|prepare|check`: what is here, and how to get, read and verify what is not."""

import argparse
import sys
from pathlib import Path
from textwrap import shorten

from .. import data
from ..cli.progress import Terminal
from ..cli.table import aligned, markdown
from ..config import Config, export_homes
from ..utils import BadInput, size_text
from . import prepared
from .declare import Dataset
from .release import BrainScore

COLUMNS = ("name", "kind", "state", "to get", "access", "licence", "next")


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 done; 2 where a name or file is wrong, something is still missing, or a check fails."""
    options = _parser().parse_args(arguments)
    config = Config.from_env()
    export_homes(config)
    try:
        with Terminal(quiet=getattr(options, "quiet", False)) as terminal:
            return options.run(options, config, terminal)
    except BadInput as error:
        print(f"python -m src.data: error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m src.data", description="The datasets and their files.")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, run, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        return made

    listing = command("list", _list, "every dataset and what to do next; of one NAME everything that is known")
    listing.add_argument("names", nargs="*", metavar="NAME")
    listing.add_argument("--markdown", action="store_true", help="what does not depend on this disk, for a document")
    fetching = command("fetch", _fetch, "download the open files that a dataset needs; say how to get the others")
    preparing = command("prepare", _prepare, "read a release and store it as BrainIO netCDF and a stimulus table")
    checking = command("check", _check, "hold a dataset against its declaration")
    for one in (fetching, preparing, checking):
        one.add_argument("names", nargs="+", metavar="NAME")
        one.add_argument("--quiet", action="store_true", help="no progress")
    fetching.add_argument("--jobs", type=int, default=4, metavar="N", help="files at a time (default 4)")
    preparing.add_argument("--jobs", type=int, default=None, metavar="N", help="parts at a time (default: all cores)")
    preparing.add_argument("--force", action="store_true", help="also where it is prepared already")
    for option, values in _preparation_options().items():
        preparing.add_argument(f"--{option}", choices=values, help=f"default {values[0]}")
    return parser


def _preparation_options() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for declared in _all():
        for option, values in declared.options.items():
            found[option] = list(dict.fromkeys([*found.get(option, []), *values]))
    return found


def _all() -> list[Dataset]:
    return [declared for registry in data.BY_BENCHMARK.values() for declared in registry.values()]


def _kind(declared: Dataset) -> str:
    return next(kind for kind, registry in data.BY_BENCHMARK.items() if declared.name in registry)


def _folder(declared: Dataset, config: Config) -> Path:
    return config.data_home / declared.study


def _missing(declared: Dataset, folder: Path) -> list:
    return [need for need in declared.needs if not need.optional and need.missing(folder)]


def _state(declared: Dataset, folder: Path) -> tuple[str, str]:
    """(what is here, what to do next)."""
    command = f"python -m src.data {{}} {declared.name}"
    if declared.load is not None:
        return "embedded", "score it"
    was = prepared.stated(declared, folder)
    if was is not None:
        current = was.get("census") == prepared.census(declared, folder)
        return ("ready", "score it") if current else ("outdated", command.format("prepare"))
    missing = _missing(declared, folder)
    if all(isinstance(need.origin, BrainScore) for need in declared.needs):
        return "not here", command.format("prepare")
    if not missing:
        return "here", command.format("prepare")
    have = sum(1 for need in declared.needs if need.found(folder))
    return ("partly here" if have else "not here"), command.format("fetch")


def _size(declared: Dataset, needs) -> str:
    gigabytes = sum({id(need.origin): need.origin.gigabytes for need in needs}.values())
    return size_text(gigabytes * 1e9) if gigabytes else "-"


def _list(options, config: Config, terminal: Terminal) -> int:
    if options.names:
        print("\n\n".join(_described(data.declaration(None, name), config) for name in options.names))
        return 0
    if options.markdown:
        print(_document())
        return 0
    rows = []
    for declared in _all():
        folder = _folder(declared, config)
        state, following = _state(declared, folder)
        wanted = [] if state in ("ready", "outdated") else [n for n in declared.needs if not n.found(folder)]
        row = (declared.name, _kind(declared), state, _size(declared, wanted), declared.access, declared.licence)
        rows.append([*(shorten(cell, 40, placeholder=" ...") for cell in row), following])
    print(f"datasets under {config.data_home} (DATA_HOME)\n")
    print(aligned(COLUMNS, rows, left=len(COLUMNS)))
    print(
        "\n`python -m src.data list NAME` tells everything about one; fetch gets open files, and says how to get others"
    )
    return 0


def _document() -> str:
    head = ("name", "kind", "access", "licence", "source", "citation")
    rows = [(d.name, _kind(d), d.access, d.licence, d.source, " ".join(d.citation.split())) for d in _all()]
    return markdown(head, rows)


def _described(declared: Dataset, config: Config) -> str:
    folder = _folder(declared, config)
    state, following = _state(declared, folder)
    card = [
        ("state", f"{state}; next: {following}"),
        ("folder", str(folder)),
        ("citation", declared.citation),
        ("licence", declared.licence),
        ("access", f"{declared.access}: {declared.source}"),
        ("expected", ", ".join(f"{n} {what}" for what, n in declared.expected.items())),
        *((f"--{name}", " | ".join(values)) for name, values in declared.options.items()),
        *([("note", declared.note)] if declared.note else []),
    ]
    lines = [declared.name, *(f"  {name:<12} {text}" for name, text in card)]
    for need in declared.needs:
        of = "" if need.count is None else f" of {need.count}"
        lines.append(
            f"  {need.what}{' (optional)' * need.optional}: {len(need.found(folder))}{of} here, {need.pattern}"
        )
        lines.append(f"    {_how(need.origin)}")
    return "\n".join(lines)


def _how(origin) -> str:
    size = f", {size_text(origin.gigabytes * 1e9)}" if origin.gigabytes else ""
    if hasattr(origin, "instructions"):
        return f"by hand: {origin.instructions}{size}"
    if hasattr(origin, "accession"):
        return f"fetch: OpenNeuro {origin.accession}{size}"
    if hasattr(origin, "identifier"):
        return f"fetch: Brain-Score's {origin.identifier}{size}"
    return f"fetch: {', '.join(list(origin.files.values())[:2])}{size}"


def _fetch(options, config: Config, terminal: Terminal) -> int:
    from .fetching import fetch

    left = False
    for declared in [data.declaration(None, name) for name in options.names]:
        if declared.load is not None:
            print(f"{declared.name}: embedded, nothing to fetch")
            continue
        folder = _folder(declared, config)
        missing = fetch(declared, folder, jobs=options.jobs, progress=terminal.progress(f"fetching {declared.name}"))
        for line in missing:
            print(f"{declared.name}: still missing: {line}")
        if not missing:
            print(f"{declared.name}: everything is here; next: python -m src.data prepare {declared.name}")
        left = left or bool(missing)
    return 2 if left else 0


def _prepare(options, config: Config, terminal: Terminal) -> int:
    for declared in [data.declaration(None, name) for name in options.names]:
        if declared.load is not None:
            print(f"{declared.name}: embedded, nothing to prepare")
            continue
        asked = {name: getattr(options, name) for name in _preparation_options() if getattr(options, name) is not None}
        asked = {name: value for name, value in asked.items() if name in declared.options or len(options.names) == 1}
        folder, progress = _folder(declared, config), terminal.progress(f"preparing {declared.name}")
        made = prepared.prepare(
            declared, folder, asked, jobs=options.jobs or config.cores, progress=progress, force=options.force
        )
        place = prepared.home(declared, folder)
        print(f"{declared.name}: {'prepared in' if made else 'is prepared already in'} {place}")
    return 0


def _check(options, config: Config, terminal: Terminal) -> int:
    from .checking import check

    failed = False
    for declared in [data.declaration(None, name) for name in options.names]:
        findings = check(declared, data.load(declared.name, config))
        rows = [["" if finding.fine else "!", finding.what, finding.found, finding.expected] for finding in findings]
        print(f"{declared.name}\n{aligned(['', 'what', 'found', 'expected'], rows, left=4)}")
        wrong = sum(not finding.fine for finding in findings)
        print(f"{declared.name}: {f'{wrong} of {len(findings)} checks fail' if wrong else 'all checks pass'}\n")
        failed = failed or bool(wrong)
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
