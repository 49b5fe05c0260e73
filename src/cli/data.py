"""List, fetch, prepare and check datasets, and make the folder of one of your own."""

import argparse
import shlex
from pathlib import Path
from textwrap import shorten

from .. import data
from ..arguments import add_action, add_actions, count
from ..config import Config
from ..data import own, prepared
from ..data.declare import Dataset
from ..data.release import BrainScore
from ..tables import aligned, markdown
from ..utils import counted, size_text
from . import PROGRAM
from .progress import Terminal

EXAMPLES = ("fetch mcmahon2023-fmri --jobs 8", "new mine --kind electrodes")
COLUMNS = ("name", "benchmark", "state", "to get", "access", "licence", "next")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands list, fetch, prepare, new and check."""
    actions = add_actions(parser)
    listing = add_action(actions, "list", _list, "list the datasets with their state, or describe the named ones")
    listing.add_argument("names", nargs="*", metavar="NAME", help="datasets to describe (default: list all)")
    listing.add_argument("--markdown", action="store_true", help="only what does not depend on this disk, as Markdown")
    fetching = add_action(actions, "fetch", _fetch, "download the open files of a dataset; say how to get the others")
    preparing = add_action(
        actions, "prepare", _prepare, "read a release and store it as BrainIO netCDF and a stimulus table"
    )
    text = "write a commented template into the folder of a dataset of your own; nothing is overwritten"
    making = add_action(actions, "new", _new, text)
    making.add_argument("folder", metavar="FOLDER", help="a new folder, or one with films and images, which are listed")
    making.add_argument("--kind", required=True, choices=tuple(data.TYPES), help="kind of the dataset")
    text = "compare a dataset with its declaration, and read all of its films; list all faults of one of your own"
    checking = add_action(actions, "check", _check, text)
    for one in (fetching, preparing, checking):
        own_too = ", folders, bids:, nwb: and brainio: files, or path/to/file.py:function" if one is checking else ""
        one.add_argument("names", nargs="+", metavar="NAME", help=f"datasets{own_too}")
        one.add_argument("--quiet", "-q", action="store_true", help="no progress")
    fetching.add_argument("--jobs", type=count, default=4, metavar="N", help="number of parallel downloads")
    preparing.add_argument(
        "--jobs", type=count, metavar="N", help="number of parts read in parallel (default: all cores)"
    )
    preparing.add_argument("--force", action="store_true", help="prepare it again where it is prepared already")
    for option, values in _preparation_options().items():
        preparing.add_argument(
            f"--{option}", choices=values, help=f"of datasets with this option (default: {values[0]})"
        )


def run(options: argparse.Namespace, config: Config) -> int:
    """Run one subcommand; exit code 2 where something is missing or a check fails."""
    with Terminal(quiet=getattr(options, "quiet", False)) as terminal:
        return options.action(options, config, terminal)


def _preparation_options() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for declared in _all():
        for option, values in declared.options.items():
            found[option] = list(dict.fromkeys([*found.get(option, []), *values]))
    return found


def _all() -> list[Dataset]:
    return [declared for registry in data.BY_BENCHMARK.values() for declared in registry.values()]


def _benchmark(declared: Dataset) -> str:
    return next(name for name, registry in data.BY_BENCHMARK.items() if declared.name in registry)


def _kind(declared: Dataset) -> str:
    return next(name for name, kind in data.TYPES.items() if isinstance(declared, kind))


def _folder(declared: Dataset, config: Config) -> Path:
    return config.data_home / declared.study


def _missing(declared: Dataset, folder: Path) -> list:
    return [need for need in declared.needs if not need.optional and need.missing(folder)]


def _state(declared: Dataset, folder: Path) -> tuple[str, str]:
    """(state on this disk, next step)."""
    command = f"{PROGRAM} data {{}} {declared.name}"
    if declared.load is not None:
        return "own" if declared.access == "own" else "embedded", "score it"
    was = prepared.stated(declared, folder)
    if was is not None:
        current = not prepared.outdated(declared, folder, was)
        return ("ready", "score it") if current else ("outdated", command.format("prepare"))
    missing = _missing(declared, folder)
    if all(isinstance(need.origin, BrainScore) for need in declared.needs):
        return "not here", command.format("prepare")
    if not missing:
        return "here", command.format("prepare")
    have = sum(1 for need in declared.needs if need.found(folder))
    return ("partly here" if have else "not here"), command.format("fetch")


def _size(needs) -> str:
    gigabytes = sum({id(need.origin): need.origin.gigabytes for need in needs}.values())
    return size_text(gigabytes * 1e9) if gigabytes else "-"


def _list(options, config: Config, terminal: Terminal) -> int:
    if options.names:
        print("\n\n".join(_described(name, config) for name in options.names))
        return 0
    if options.markdown:
        print(_document())
        return 0
    rows = []
    for declared in _all():
        folder = _folder(declared, config)
        state, next_step = _state(declared, folder)
        wanted = [] if state in ("ready", "outdated") else [n for n in declared.needs if not n.found(folder)]
        row = (declared.name, _benchmark(declared), state, _size(wanted), declared.access, declared.licence)
        rows.append([*(shorten(cell, 40, placeholder=" ...") for cell in row), next_step])
    print(f"datasets under {config.data_home} (DATA_HOME)\n")
    print(aligned(COLUMNS, rows, left=len(COLUMNS)))
    print(f"\n`{PROGRAM} data list NAME` describes one; fetch gets its open files, and says how to get the others")
    return 0


def _document() -> str:
    head = ("name", "benchmark", "access", "licence", "source", "citation")
    rows = [(d.name, _benchmark(d), d.access, d.licence, d.source, " ".join(d.citation.split())) for d in _all()]
    return markdown(head, rows)


def _described(name: str, config: Config) -> str:
    declared = data.declaration(None, name)
    folder = data.custom.place(name) if data.custom.is_custom(name) else _folder(declared, config)
    state, next_step = _state(declared, folder)
    facts = [
        ("state", f"{state}; next: {next_step}"),
        ("folder", str(folder)),
        ("citation", declared.citation),
        ("licence", declared.licence),
        ("access", f"{declared.access}: {declared.source}"),
        ("expected", ", ".join(f"{n} {what}" for what, n in declared.expected.items())),
        *((f"--{name}", " | ".join(values)) for name, values in declared.options.items()),
        *([("note", declared.note)] if declared.note else []),
    ]
    lines = [declared.name, *(f"  {name:<12} {text}" for name, text in facts)]
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
    from ..data.fetching import fetch

    incomplete = False
    for declared in [data.declaration(None, name) for name in options.names]:
        if declared.load is not None:
            print(f"{declared.name}: embedded, nothing to fetch")
            continue
        folder = _folder(declared, config)
        missing = fetch(declared, folder, jobs=options.jobs, progress=terminal.progress(f"fetching {declared.name}"))
        for line in missing:
            print(f"{declared.name}: still missing: {line}")
        if not missing:
            print(f"{declared.name}: complete; next: {PROGRAM} data prepare {declared.name}")
        incomplete = incomplete or bool(missing)
    return 2 if incomplete else 0


def _prepare(options, config: Config, terminal: Terminal) -> int:
    given = {name: getattr(options, name) for name in _preparation_options() if getattr(options, name) is not None}
    for declared in [data.declaration(None, name) for name in options.names]:
        if declared.load is not None:
            print(f"{declared.name}: embedded, nothing to prepare")
            continue
        # an option of some of several datasets leaves the others alone
        chosen = {name: v for name, v in given.items() if name in declared.options or len(options.names) == 1}
        folder, progress = _folder(declared, config), terminal.progress(f"preparing {declared.name}")
        made = prepared.prepare(
            declared, folder, chosen, jobs=options.jobs or config.cores, progress=progress, force=options.force
        )
        place = prepared.home(declared, folder)
        print(f"{declared.name}: {'prepared in' if made else 'is prepared already in'} {place}")
    return 0


def _check(options, config: Config, terminal: Terminal) -> int:
    from ..data.checking import check

    failed = False
    for name in options.names:
        if data.custom.is_custom(name):
            failed = not _check_own(name, config) or failed
            continue
        declared = data.declaration(None, name)
        findings = check(declared, data.load(name, config))
        rows = [["" if finding.fine else "!", finding.what, finding.found, finding.expected] for finding in findings]
        print(f"{declared.name}\n{aligned(['', 'what', 'found', 'expected'], rows, left=4)}")
        wrong = sum(not finding.fine for finding in findings)
        print(f"{declared.name}: {f'{wrong} of {len(findings)} checks fail' if wrong else 'all checks pass'}\n")
        failed = failed or bool(wrong)
    return 2 if failed else 0


def _check_own(name: str, config: Config) -> bool:
    """Print a line per fault of a user's dataset or, without faults, its summary; return whether there are none."""
    from ..data.checking import check, summary

    declared, record, faults, said = data.examine(name, config)
    findings = [] if record is None else check(declared, record)
    faults = faults or [f"{f.what}: {f.found}; expected {f.expected}" for f in findings if not f.fine]
    title = data.custom.title(name) if declared is None else declared.name
    if faults:
        print("\n".join([*faults, f"{title}: {counted(len(faults), 'fault')}"]))
        return False
    rows = summary(declared, record)
    told = {what for what, _ in rows}
    rows += [(f.what, f.found) for f in findings if f.what not in told and f.found not in ("none", "0")]
    rows += [("inferred", text) for text in said]
    print(f"{title}\n" + "\n".join(f"  {what:<28} {text}" for what, text in rows))
    print(f"{title}: no faults; score it with: {PROGRAM} score {_kind(declared)} --model NAME -d {shlex.quote(name)}")
    return True


def _new(options, config: Config, terminal: Terminal) -> int:
    written = own.new(Path(options.folder).expanduser(), options.kind)
    print(
        f"{options.folder}: wrote {', '.join(written)}; next: fill them in, then {PROGRAM} data check {options.folder}"
    )
    return 0
