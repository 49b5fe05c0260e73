"""The flags of `python -m src.grid`, and the resources that they ask for."""

import argparse

from ..data import BY_BENCHMARK
from .resources import Resources, Steps


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options before the first `--`, and the flags of the script behind it; leaves with argparse's exit codes."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    parser = _parser()
    options, flags = parser.parse_args(arguments[:at]), arguments[at + 1 :]
    if flags and options.command != "submit":
        parser.error(f"{' '.join(flags)} behind --; expected only after submit")
    return options, flags


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m src.grid", description="Run many cells: models x datasets.")
    commands = parser.add_subparsers(dest="command", required=True)
    submit = commands.add_parser(
        "submit",
        help="start the cells that have neither a score nor a live job",
        epilog="-- FLAGS: given to the script",
    )
    submit.add_argument("--benchmark", required=True, choices=tuple(BY_BENCHMARK), help="score_SCRIPT.py runs a cell")
    submit.add_argument("--models", "-m", nargs="+", required=True, metavar="NAME")
    submit.add_argument("--datasets", "--tasks", "-d", nargs="+", required=True, metavar="NAME")
    submit.add_argument("--each", action="store_true", help="a cell per model and dataset, not one per model")
    retry = commands.add_parser("retry", help="start again what failed, was interrupted or is missing")
    for command in (submit, retry):
        command.add_argument("--dry-run", action="store_true", help="print the sbatch file, and leave")
        command.add_argument(
            "--local", type=_count, metavar="N", help="without SLURM: N cells at a time on this machine"
        )
        _add_resources(command)
    commands.add_parser("status", help="how every cell stands, and why")
    commands.add_parser("cancel", help="end the live jobs")
    gather = commands.add_parser("collect", help="the stored scores as one table")
    gather.add_argument("--output", metavar="FILE", help="a row per score, layer and region: .csv, .json or .parquet")
    gather.add_argument("--targets", metavar="FOLDER", help="a .parquet per score: a row per layer, target and split")
    for name, command in commands.choices.items():
        default = "the script's name" if name == "submit" else "the only one there is"
        command.add_argument("--grid", metavar="NAME", help=f"the grid (default: {default})")
        if name in ("retry", "cancel"):
            command.add_argument("cells", nargs="*", metavar="CELL", help="only these, by the ids of `status`")
    return parser


def _add_resources(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("asked of SLURM, for each cell")
    group.add_argument("--partition", "-p")
    group.add_argument("--account", "-A")
    group.add_argument("--gpus", metavar="N", help="or type:N")
    group.add_argument("--time", metavar="T", help="a cell that needs longer is stopped, queued again and goes on")
    group.add_argument("--mem", metavar="M", help="say 32G")
    group.add_argument("--cpus", type=_count, metavar="C")
    group.add_argument("--max-parallel", type=_count, metavar="K", help="cells at a time")
    group.add_argument(
        "--notice", type=_count, metavar="S", help="told to stop S seconds before the limit (default: 120)"
    )
    group.add_argument(
        "--sbatch", action="append", default=[], metavar="OPTION", help="any other, as --sbatch=--qos=long"
    )
    group.add_argument("--split-steps", action="store_true", help="extract (with the GPUs), then score (without)")
    second = parser.add_argument_group("asked of SLURM for the second of two steps, where it differs")
    for flag, name in (("--score-partition", "P"), ("--score-time", "T"), ("--score-mem", "M")):
        second.add_argument(flag, metavar=name)
    second.add_argument("--score-cpus", type=_count, metavar="C")


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}; expected a whole number above 0")
    return int(text)


def _asked(options: argparse.Namespace) -> Resources:
    names = ("partition", "account", "gpus", "time", "mem", "cpus", "max_parallel", "notice")
    return Resources(**{name: getattr(options, name) for name in names}, options=tuple(options.sbatch))


def _asked_for_score(options: argparse.Namespace) -> Resources:
    return Resources(**{name: getattr(options, f"score_{name}") for name in ("partition", "time", "mem", "cpus")})


def steps(options: argparse.Namespace) -> Steps:
    """One step, or with --split-steps two: the GPUs are asked for the first only."""
    asked = _asked(options)
    if not options.split_steps:
        return {"score": asked}
    without_gpus = Resources(**vars(asked) | {"gpus": None})
    return {"extract": asked, "score": without_gpus.changed(_asked_for_score(options))}


def steps_again(before: Steps, options: argparse.Namespace) -> Steps:
    """The steps of an earlier submission, with what `options` states in place of what was asked then."""
    if not before or (options.split_steps and "extract" not in before):
        return steps(options)
    asked = _asked(options)
    if "extract" not in before:
        return {"score": before["score"].changed(asked)}
    return {"extract": before["extract"].changed(asked), "score": before["score"].changed(_asked_for_score(options))}
