"""`python -m src.models list` and `python -m src.models check NAME`."""

import argparse
import math
import sys

from ..cli.table import markdown
from ..config import Config, export_homes
from ..utils import BadInput
from . import MODELS, ModelEntry, all_names, load, resolve
from .extras import missing

COLUMNS = ("name", "group", "kind", "params", "fps", "frames", "layers", "source", "ready")


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 2 where a name is wrong or the model breaks a promise."""
    parser = argparse.ArgumentParser(prog="python -m src.models", description="The models that can be scored.")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="what is known of every model, and what is missing here")
    listing.add_argument("--groups", action="store_true", help="without Brain-Score's plugins that are in no group")
    listing.add_argument("--markdown", action="store_true", help="what does not depend on this disk, for a document")
    checking = commands.add_parser("check", help="run a model on noise and a film; name the promises that it breaks")
    checking.add_argument("name")
    checking.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    export_homes(Config.from_env())
    try:
        if options.command == "list":
            return _document() if options.markdown else _list(options.groups)
        return _check(options.name, options.device)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _list(groups_only: bool) -> int:
    entries = list(MODELS.values()) if groups_only else [resolve(name) for name in all_names()]
    rows = [COLUMNS, *(_row(entry) for entry in entries)]
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]] + [0]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _document() -> int:
    head = (*COLUMNS[:-1], "weights", "licence", "note")
    rows = []
    for entry in MODELS.values():
        weights = entry.weights
        known = (weights.url or weights.file, weights.licence) if weights else ("", "")
        rows.append((*_known(entry), *known, entry.note or entry.unavailable))
    print(markdown(head, rows))
    return 0


def _row(entry: ModelEntry) -> tuple[str, ...]:
    return (*_known(entry), _ready(entry))


def _known(entry: ModelEntry) -> tuple[str, ...]:
    params = "" if entry.millions is None else f"{entry.millions:.1f}M"
    fps, layers = ("" if value is None else f"{value:g}" for value in (entry.fps, entry.layers))
    return (entry.name, entry.group, entry.kind, params, fps, _frames(entry), layers, entry.source)


def _frames(entry: ModelEntry) -> str:
    """How many frames one forward pass takes: "16", "2-64", or "1+" without an upper limit."""
    if entry.frames is None:
        return ""
    least, most = entry.frames
    if math.isinf(most):
        return f"{least:g}+"
    return f"{least:g}" if least == most else f"{least:g}-{most:g}"


def _ready(entry: ModelEntry) -> str:
    if entry.unavailable:
        return f"unavailable: {entry.unavailable}"
    if command := missing(entry.extra):
        return f"needs {command}"
    return entry.module.ready(entry.argument)


def _check(name: str, device: str) -> int:
    from ..cli.progress import Terminal
    from ..extraction.check import broken_in_extraction
    from .inspect.check import broken_promises

    entry, say = resolve(name), Terminal().say
    say(f"{name}: 1/4 loading")
    model = load(name, device)
    if entry.note:
        print(f"{model.name}: note: {entry.note}", flush=True)
    say(f"{name}: 2/4 noise: two samples together, again, and each alone")
    broken = broken_promises(model, device)
    if not broken:
        say(f"{name}: 3/4 a film: block and causal")
        broken = broken_in_extraction(model, device)
    say(f"{name}: 4/4 loading again")
    if load(name, device).digest != model.digest:
        broken.append("digest differs between two loads, expected the same weights each time")
    for promise in broken:
        print(f"{model.name}: {promise}")
    layers = ", ".join(f"{layer} {axes}" for layer, axes in model.layers.items())
    print(f"{model.name}: {len(broken)} promises broken" if broken else f"{model.name}: all promises kept ({layers})")
    print(f"{model.name}: digest {model.digest}")
    return 2 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
