"""`python -m src.store ls | du | verify | rm | why`: what is in the cache, is it sound, what may go, why not reused."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from ..config import Config
from ..utils import BadInput, size_text
from . import Key, Store, prune, search
from .search import Stored

KeysOf = Callable[[list[str]], Iterable[Key]]


def main(arguments: Sequence[str] | None = None, keys_of: KeysOf | None = None) -> int:
    """Run one command and return its exit code: 0, or 2 for bad input and for damage found.

    keys_of: turns the words behind `why` into the keys they would need, none if they are no request; `why` then, or
    without it, searches by those words.
    """
    options = _parser().parse_args(arguments)
    config = Config.from_env()
    try:
        if options.command == "why":
            return _why(options.words, Store(config), keys_of)
        things = list(search.everything(config.results_home, config.activations_home))
        return COMMANDS[options.command](things, options)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m src.store", description="Look after the cache.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ls", help="list what is stored")
    commands.add_parser("du", help="room taken, by kind and model")
    commands.add_parser("verify", help="read everything and hold it against its checksums")
    rm = commands.add_parser("rm", help="remove what meets every condition given; lists it unless --yes")
    rm.add_argument("--older", type=float, metavar="DAYS", help="made more than so many days ago")
    rm.add_argument("--model", metavar="NAME", help="of this model")
    rm.add_argument("--unused", action="store_true", help="left-overs, and what no stored score stands on")
    rm.add_argument("--yes", action="store_true", help="remove, not only list")
    why = commands.add_parser("why", help="in which fields a wanted result differs from the nearest stored ones")
    why.add_argument(
        "words",
        nargs="+",
        metavar="WORD",
        help="MODEL DATASET... [-- FLAGS of the script]; or any models, datasets and FIELD=VALUE to search by",
    )
    return parser


def _ls(things: list[Stored], _) -> int:
    _print(["kind", "model", "datasets", "made", "state", "size", "name"], [_row(stored) for stored in things])
    return 0


def _row(stored: Stored) -> list[str]:
    made = stored.created[:16].replace("T", " ")
    size = size_text(stored.bytes_on_disk())
    return [stored.kind, stored.model, "+".join(stored.datasets), made, prune.state_of(stored), size, stored.name]


def _du(things: list[Stored], _) -> int:
    room, count = Counter(), Counter()
    for stored in things:
        room[stored.kind, stored.model] += stored.bytes_on_disk()
        count[stored.kind, stored.model] += 1
    rows = [[kind, model, str(count[kind, model]), size_text(n)] for (kind, model), n in room.most_common()]
    _print(["kind", "model", "items", "size"], [*rows, ["total", "", str(len(things)), size_text(sum(room.values()))]])
    return 0


def _verify(things: list[Stored], _) -> int:
    problems = [(stored, prune.problem_of(stored)) for stored in things if stored.kind != "left-over"]
    bad = [[stored.kind, stored.name, problem] for stored, problem in problems if problem]
    if bad:
        _print(["kind", "name", "problem"], bad)
    print(f"{len(problems)} items read, {len(bad)} damaged")
    return 2 if bad else 0


def _rm(things: list[Stored], options: argparse.Namespace) -> int:
    if options.older is None and options.model is None and not options.unused:
        raise BadInput("rm: got no condition; expected --older, --model or --unused")
    chosen = list(prune.unused(things)) if options.unused else things
    if options.model is not None:
        chosen = [stored for stored in chosen if stored.model == options.model]
    if options.older is not None:
        chosen = list(prune.older(chosen, options.older))
    size = size_text(sum(stored.bytes_on_disk() for stored in chosen))
    _print(["kind", "model", "datasets", "made", "state", "size", "name"], [_row(stored) for stored in chosen])
    if not options.yes:
        print(f"{len(chosen)} items, {size}; add --yes to remove them")
        return 0
    kept = [f"{stored.name}: {user}" for stored in chosen if (user := prune.remove(stored))]
    print("\n".join([*kept, f"{len(chosen) - len(kept)} items removed, {len(kept)} kept"]))
    return 0


def _why(words: list[str], store: Store, keys_of: KeysOf | None) -> int:
    keys = list(keys_of(words)) if keys_of is not None else []
    if keys:
        for key in keys:
            _explain(key, store)
        return 0
    things = [s for s in search.everything(store.results_home, store.activations_home) if s.key]
    rows = search.by_words(things, words)
    if not rows:
        raise BadInput("nothing is stored; expected at least one result to compare with")
    _print(["kind", "name", "field", "wanted", "stored"], rows)
    return 0


def _explain(key: Key, store: Store) -> None:
    found = search.nearest(key, store.results_home, store.activations_home)
    if found is None:
        print(f"{key.kind}: nothing of this kind is stored")
    elif not found[1]:
        print(f"{key.kind}: stored as {found[0]}")
    else:
        print(f"{key.kind}: not stored; the nearest, {found[0]}, differs in")
        _print(["field", "wanted", "stored"], [[name, str(ours), str(theirs)] for name, ours, theirs in found[1]])


def _print(head: list[str], rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [[title.upper() for title in head], *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def wanted_keys(words: Sequence[str]) -> list[Key]:
    """The keys that the script for MODEL DATASET... [FLAGS] would look for; none if the words are not of that form."""
    from ..cli.options import parse
    from ..data import BY_BENCHMARK
    from ..models import resolve
    from ..pipeline import keys

    flags = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    model, *names = words[:flags] or [""]
    kind = next((kind for kind, known in BY_BENCHMARK.items() if names and set(names) <= set(known)), None)
    if kind is None:
        return []
    resolve(model)
    return keys(parse(kind, ["--model", model, *words[flags:], "-d", *names]).request, Config.from_env())


COMMANDS = {"ls": _ls, "du": _du, "verify": _verify, "rm": _rm}


if __name__ == "__main__":
    sys.exit(main(keys_of=wanted_keys))
