"""List, verify and remove what is stored."""

import argparse
from collections import Counter
from collections.abc import Sequence

from .. import models
from ..arguments import add_action, add_actions, number_or_zero
from ..config import Config
from ..data import BY_BENCHMARK, TYPES, custom, declaration
from ..pipeline import keys
from ..pipeline.flags import parse
from ..store import Key, Store, StoredItem, match_words, prune
from ..tables import aligned
from ..utils import BadInput, size_text

EXAMPLES = ("ls", "why fake-net fake-fmri -- --splits 5")
ITEM_COLUMNS = ("KIND", "MODEL", "DATASETS", "MADE", "STATE", "SIZE", "NAME")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands ls, du, verify, rm and why."""
    actions = add_actions(parser)
    add_action(actions, "ls", _ls, "list the stored scores, ceilings, activations and metadata")
    add_action(actions, "du", _du, "print the size on disk by kind and model")
    add_action(actions, "verify", _verify, "read everything and compare it with its checksums")
    rm = add_action(actions, "rm", _rm, "remove what meets all given conditions; without --yes only list it")
    rm.add_argument("--older", type=number_or_zero, metavar="DAYS", help="made more than this many days ago")
    rm.add_argument("--model", metavar="NAME", help="of this model")
    rm.add_argument("--unused", action="store_true", help="left-overs, and what belongs to no stored score")
    rm.add_argument("--yes", action="store_true", help="remove, not only list")
    why = add_action(actions, "why", _why, "compare a wanted score with the nearest stored ones, field by field")
    why.add_argument(
        "words",
        nargs="+",
        metavar="WORD",
        help="MODEL DATASET..., behind -- flags of the score command; or any models, datasets and FIELD=VALUE",
    )
    why.set_defaults(takes_flags=True)


def run(options: argparse.Namespace, config: Config) -> int:
    """Run one subcommand; exit code 2 where damage was found."""
    return options.action(options, config)


def _items(config: Config) -> list[StoredItem]:
    return list(Store(config, read_only=True).items())


def _print(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(aligned(header, rows, left=len(header)))


def _ls(options: argparse.Namespace, config: Config) -> int:
    _print(ITEM_COLUMNS, [_row(item) for item in _items(config)])
    return 0


def _row(item: StoredItem) -> list[str]:
    made = item.created[:16].replace("T", " ")
    size = size_text(item.bytes_on_disk())
    return [item.kind, item.model, "+".join(item.datasets), made, _state(item), size, item.name]


def _state(item: StoredItem) -> str:
    """Return whether an item is complete, and whether the present program may make another."""
    return f"{prune.state(item)}{' (other code)' * bool(item.outdated)}"


def _du(options: argparse.Namespace, config: Config) -> int:
    size, count = Counter(), Counter()
    for item in _items(config):
        size[item.kind, item.model] += item.bytes_on_disk()
        count[item.kind, item.model] += 1
    rows = [[kind, model, str(count[kind, model]), size_text(n)] for (kind, model), n in size.most_common()]
    _print(["KIND", "MODEL", "ITEMS", "SIZE"], [*rows, ["total", "", str(count.total()), size_text(size.total())]])
    return 0


def _verify(options: argparse.Namespace, config: Config) -> int:
    problems = [(item, prune.find_damage(item)) for item in _items(config) if item.kind != "left-over"]
    damaged = [[item.kind, item.name, problem] for item, problem in problems if problem]
    if damaged:
        _print(["KIND", "NAME", "PROBLEM"], damaged)
    print(f"{len(problems)} items read, {len(damaged)} damaged")
    return 2 if damaged else 0


def _rm(options: argparse.Namespace, config: Config) -> int:
    if options.older is None and options.model is None and not options.unused:
        raise BadInput("rm: got no condition; expected --older, --model or --unused")
    items = _items(config)
    chosen = list(prune.unused(items)) if options.unused else items
    if options.model is not None:
        chosen = [item for item in chosen if item.model == options.model]
    if options.older is not None:
        chosen = list(prune.older_than(chosen, options.older))
    size = size_text(sum(item.bytes_on_disk() for item in chosen))
    _print(ITEM_COLUMNS, [_row(item) for item in chosen])
    if not options.yes:
        print(f"{len(chosen)} items, {size}; add --yes to remove them")
        return 0
    kept = [f"{item.name}: {reason}" for item in chosen if (reason := prune.remove(item))]
    print("\n".join([*kept, f"{len(chosen) - len(kept)} items removed, {len(kept)} kept"]))
    return 0


def _why(options: argparse.Namespace, config: Config) -> int:
    wanted = _wanted_keys(options.words, options.flags, config)
    for key in wanted:
        _explain(key, config)
    if wanted:
        return 0
    rows = match_words([item for item in _items(config) if item.key], [*options.words, *options.flags])
    if not rows:
        raise BadInput("nothing is stored; expected at least one score to compare with")
    _print(["KIND", "NAME", "FIELD", "WANTED", "STORED"], rows)
    return 0


def _wanted_keys(words: Sequence[str], flags: Sequence[str], config: Config) -> list[Key]:
    """The keys of the score of MODEL DATASET... with these flags; none if the words have another form."""
    model, *names = words
    benchmark = next((b for b, known in BY_BENCHMARK.items() if names and set(names) <= set(known)), None)
    if names and all(map(custom.is_custom, names)):
        benchmark = next(b for b, kind in TYPES.items() if isinstance(declaration(None, names[0]), kind))
    if benchmark is None:
        return []
    models.resolve(model)
    return keys(parse(benchmark, ["--model", model, *flags, "-d", *names]).request, config)


def _explain(key: Key, config: Config) -> None:
    found = Store(config, read_only=True).nearest(key)
    if found is None:
        print(f"{key.kind}: nothing of this kind is stored")
        return
    item, differences = found
    outdated = f"; it was made by {item.outdated}" if item.outdated else ""
    if not differences:
        print(f"{key.kind}: stored as {item.name}{outdated}")
        return
    print(f"{key.kind}: not stored; the nearest, {item.name}, differs in{outdated and f' these fields{outdated}'}")
    _print(["FIELD", "WANTED", "STORED"], [[field, str(ours), str(theirs)] for field, ours, theirs in differences])
