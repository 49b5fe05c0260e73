"""`python -m src.models list` and `python -m src.models check NAME`."""

import argparse
import sys

from src.config import Config, export_homes
from src.models import MODELS, ModelEntry, all_names, load, resolve
from src.utils import BadInput

COLUMNS = ("name", "group", "kind", "source", "ready")


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 2 where a name is wrong or the model breaks a promise."""
    parser = argparse.ArgumentParser(prog="python -m src.models", description="The models that can be scored.")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="name, group, kind, source and what is missing, of every model")
    listing.add_argument("--groups", action="store_true", help="without Brain-Score's plugins that are in no group")
    checking = commands.add_parser("check", help="run a model on noise and name the promises that it breaks")
    checking.add_argument("name")
    checking.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    export_homes(Config.from_env())
    try:
        return _list(options.groups) if options.command == "list" else _check(options.name, options.device)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _list(groups_only: bool) -> int:
    entries = list(MODELS.values()) if groups_only else [resolve(name) for name in all_names()]
    rows = [COLUMNS, *(_row(entry) for entry in entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _row(entry: ModelEntry) -> tuple[str, ...]:
    return entry.name, entry.group, entry.kind, entry.source, entry.module.ready(entry.argument)


def _check(name: str, device: str) -> int:
    from src.models.contract import broken_promises

    model = load(name, device)
    broken = broken_promises(model, device)
    for promise in broken:
        print(f"{model.name}: {promise}")
    layers = ", ".join(f"{layer} {axes}" for layer, axes in model.layers.items())
    print(f"{model.name}: {len(broken)} promises broken" if broken else f"{model.name}: all promises kept ({layers})")
    return 2 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
