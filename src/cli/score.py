"""Score a model on one or several datasets of a benchmark."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from .. import data, models
from ..arguments import examples_text, make_parser
from ..config import Config
from ..pipeline import (
    check_encoder_file,
    check_scores_file,
    contexts,
    extract,
    plan,
    save_encoder,
    score,
    sweeps,
    windows_text,
    write_scores,
)
from ..pipeline.estimates import estimates
from ..pipeline.flags import DESCRIPTIONS, add_flags, parsed
from ..pipeline.flags import EXAMPLES as SCORE_EXAMPLES
from ..store import Store, key_name
from ..tables import aligned
from ..utils import BadInput, size_text
from .progress import Terminal

EXAMPLES = ("fmri --model fake-net --datasets fake-fmri", "task --list")
N_LISTED = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a subcommand per benchmark."""
    benchmarks = parser.add_subparsers(dest="benchmark", title="benchmarks", metavar="BENCHMARK", required=True)
    for benchmark, text in DESCRIPTIONS.items():
        added = benchmarks.add_parser(benchmark, help=text, description=text, formatter_class=parser.formatter_class)
        added.epilog = examples_text(added.prog, SCORE_EXAMPLES[benchmark])
        add_flags(added, benchmark)


def script_parser(benchmark: str) -> argparse.ArgumentParser:
    """Return the parser of `score_<benchmark>.py`."""
    parser = make_parser(f"score_{benchmark}.py", DESCRIPTIONS[benchmark], SCORE_EXAMPLES[benchmark])
    add_flags(parser, benchmark)
    parser.set_defaults(benchmark=benchmark)
    return parser


def run(options: argparse.Namespace, config: Config) -> int:
    """Print the scores, and write them to a file where one is named."""
    flags = parsed(options.benchmark, options)
    if flags.list:
        print(listing(options.benchmark))
        return 0
    if not flags.request.model:
        raise BadInput("no model named; expected --model NAME: see --list")
    n_scores = len(flags.request.models) * max(1, len(set(flags.request.metric))) * len(contexts(flags.request))
    check_scores_file(flags.output, n_scores)
    check_encoder_file(flags.save_encoder, flags.request)
    with Terminal(quiet=flags.quiet) as terminal:
        if flags.dry_run:
            steps = plan(flags.request, config, terminal)
            items = Store(config, read_only=True).items()
            print("\n".join([_plan_text(steps), *estimates(steps, items, flags.request.batch_size)]))
        elif flags.extract_only:
            extract(flags.request, config, terminal)
        else:
            scores = []
            for found in score(flags.request, config, terminal):
                print(found.summary(), flush=True)
                scores.append(found)
            for group in sweeps(scores) if len(contexts(flags.request)) > 1 else ():
                print(windows_text(group), flush=True)
            write_scores(scores, flags.output)
            if flags.save_encoder is not None:
                save_encoder(flags.request, config, flags.save_encoder, terminal)
    return 0


def listing(benchmark: str) -> str:
    """Return the datasets of a benchmark and the models by group, as `--list` prints them."""
    datasets = data.BY_BENCHMARK[benchmark].values()
    lines = [f"{len(datasets)} {benchmark} datasets:"]
    lines += [f"  {d.name:<28} {d.access:<14} {d.citation.splitlines()[0]}" for d in datasets]
    lines.append("models:")
    for group, names in models.grouped().items():
        more = ", ..." if len(names) > N_LISTED else ""
        lines.append(f"  {group} ({len(names)}): {', '.join(names[:N_LISTED])}{more}")
    lines.append("  also Random-NAME, Frozen-NAME, Shuffled-NAME, NoDownsample-NAME, path/to/file.py:function and")
    lines.append("  package.module:function")
    return "\n".join(lines)


def _plan_text(steps: Sequence[Mapping[str, Any]]) -> str:
    several = len({step["key"].model for step in steps}) > 1
    rows = [
        [
            f"{step['key'].model}: {step['what']}" if several else step["what"],
            "stored" if step["stored"] else "to compute",
            size_text(step["bytes"]) if step["bytes"] else "-",
            key_name(step["key"]),
        ]
        for step in steps
    ]
    return aligned(["step", "state", "size", "name in the store"], rows, left=2)
