"""List, check and convert models."""

import argparse
import math
from collections import Counter

from ..arguments import add_action, add_actions
from ..config import Config
from ..models import ALIASES, MODELS, PREFIXES, ModelEntry, all_names, load, resolve
from ..models.catalogue.cards import CARDS, Card, input_pieces, pieces
from ..models.converters import CONVERTERS, convert
from ..models.extras import missing
from ..models.spec import left_out_text, notes_of
from ..pipeline.run import resolve_device
from ..tables import aligned, markdown
from . import PROGRAM
from .progress import Terminal

EXAMPLES = ("show VideoMAE-V1-B", "check Random-resnet18 --device cuda")
COLUMNS = ("name", "group", "kind", "params", "fps", "frames", "layers", "source", "ready")
LEFT = len(COLUMNS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands list, show, check and convert."""
    actions = add_actions(parser)
    text = "list the models of the catalogue: size, input, and whether they can be loaded here"
    listing = add_action(actions, "list", _list, text)
    listing.add_argument("--all", action="store_true", help="also Brain-Score's plugins that are in no group")
    listing.add_argument("--markdown", action="store_true", help="only what does not depend on this disk, as Markdown")
    showing = add_action(
        actions, "show", _show, "print the card of a model: weights, licence, input, and the source of each"
    )
    showing.add_argument("name", metavar="NAME", help="a name of `list`")
    text = "load a model and check what extraction relies on: layers, axes, finite and repeatable values, time steps"
    checking = add_action(actions, "check", _check, text)
    checking.add_argument("name", metavar="NAME", help="a name of `list`, or path/to/file.py:function")
    checking.add_argument(
        "--full",
        action="store_true",
        help="the whole network with its weights; default: of a name of `list` few blocks of few channels, with "
        "sampled weights, which takes less than a minute",
    )
    checking.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1, ... (default: auto, a GPU if there is one)"
    )
    checking.add_argument("--quiet", "-q", action="store_true", help="no progress")
    text = "make the weight file of a model from its published files, which have another program's format"
    converting = add_action(actions, "convert", _convert, text)
    converting.add_argument("name", metavar="NAME", help=f"one of {', '.join(CONVERTERS)}")
    converting.add_argument("files", nargs="+", metavar="FILE", help="the published files")


def run(options: argparse.Namespace, config: Config) -> int:
    """Run one subcommand; exit code 2 where a check fails."""
    return options.action(options)


def _list(options: argparse.Namespace) -> int:
    if options.markdown:
        head = (*COLUMNS[:-1], "weights", "licence", "note")
        print(markdown(head, [(*_facts(entry), *_weights(entry)) for entry in MODELS.values()]))
        return 0
    entries = [resolve(name) for name in all_names()] if options.all else list(MODELS.values())
    print(aligned(COLUMNS, [(*_facts(entry), _ready(entry)) for entry in entries], left=LEFT))
    groups = Counter(entry.group for entry in entries)
    more = "" if options.all else f"; --all lists {len(all_names()) - len(MODELS)} other plugins of Brain-Score too"
    print(f"\n{len(entries)} models in {len(groups)} groups{more}; `{PROGRAM} models check NAME` tries one")
    return 0


def _show(options: argparse.Namespace) -> int:
    entry = resolve(options.name)
    place, licence, _ = _weights(entry)
    rows = list(zip(COLUMNS, (*_facts(entry), _ready(entry)), strict=True))
    rows += [("weights", place), ("licence", licence), ("SHA-256", entry.weights.sha256 if entry.weights else "")]
    rows += [(f"input: {label}", text) for label, text in _fed(entry)]
    card = CARDS.get(_base(entry))
    rows += [(f"published: {label}", text) for label, text in (pieces(card) if card else ())]
    if entry.plugin is not None:
        rows.append(("Brain-Score's input", f"BrainScore-{_base(entry)}"))
    rows.append(("note", entry.note or entry.unavailable))
    print("\n".join(f"{label}: {text}" for label, text in rows if text))
    return 0


def _base(entry: ModelEntry) -> str:
    """Name of an entry without prefixes."""
    base = entry.name
    while base.startswith(PREFIXES):
        base = base.removeprefix(next(prefix for prefix in PREFIXES if base.startswith(prefix)))
    return ALIASES.get(base, base)


def _fed(entry: ModelEntry) -> list[tuple[str, str]]:
    """Input of the model here, where the catalogue states it."""
    if entry.preprocessing is None:
        return []
    given = entry.preprocessing
    made = Card("", "", given.size, given.resize, given.interpolation, (given.mean, given.std))
    return input_pieces(made)


def _facts(entry: ModelEntry) -> tuple[str, ...]:
    params = "" if entry.millions is None else f"{entry.millions:.1f}M"
    fps, layers = ("" if value is None else f"{value:g}" for value in (entry.fps, entry.layers))
    return (entry.name, entry.group, entry.kind, params, fps, _frames(entry), layers, entry.source)


def _weights(entry: ModelEntry) -> tuple[str, str, str]:
    weights = entry.weights
    place, licence = (weights.url or weights.file, weights.licence) if weights else ("", "")
    return place, licence, entry.note or entry.unavailable


def _frames(entry: ModelEntry) -> str:
    """Number of frames of a forward pass: "16", "2-64", or "1+" without an upper limit."""
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


def _check(options: argparse.Namespace) -> int:
    from ..extraction.check import failed_extraction_checks
    from ..models.inspect.check import failed_checks

    name, device, say = options.name, resolve_device(options.device), Terminal(quiet=options.quiet).say
    entry = resolve(name)
    listed = _base(entry) in MODELS and entry.source != "control"
    reduced = listed and not (options.full or entry.finetuned)
    size = "at reduced size, with sampled weights; --full for the whole network" if reduced else "the whole network"
    say(f"{name}: 1/4 loading {size}")
    model = load(name, device, reduced=reduced)
    if entry.note:
        print(f"{model.name}: note: {entry.note}", flush=True)
    if model.left_out:
        print(f"{model.name}: note: {left_out_text(model.left_out)}", flush=True)
    for note in notes_of(model):
        print(f"{model.name}: note: {note}", flush=True)
    say(f"{name}: 2/4 noise: two samples together, repeated, and each alone")
    failures = failed_checks(model, device)
    if not failures:
        say(f"{name}: 3/4 a film: block and causal inference")
        failures = failed_extraction_checks(model, device)
    say(f"{name}: 4/4 loading again")
    if load(name, device, reduced=reduced).digest != model.digest:
        failures.append("digest differs between two loads, expected the same weights each time")
    for failure in failures:
        print(f"{model.name}: {failure}")
    layers = ", ".join(f"{layer} {axes}" for layer, axes in model.layers.items())
    passed = f"all checks passed ({layers}){', at reduced size' if reduced else ''}"
    print(f"{model.name}: {f'{len(failures)} checks failed' if failures else passed}")
    print(f"{model.name}: digest {model.digest}")
    return 2 if failures else 0


def _convert(options: argparse.Namespace) -> int:
    print(f"{options.name}: weights in {convert(options.name, *options.files)}")
    return 0
