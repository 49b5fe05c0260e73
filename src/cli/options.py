"""The flags: what they are called, what they accept, and the request that they make."""

import argparse
from dataclasses import dataclass

from ..data import BY_BENCHMARK
from ..pipeline import Request
from .listing import listing

FEWEST_DRAWS = 40  # with fewer, none lies in the outer 2.5 per cent
ABOUT = {
    "fmri": "Score a vision model on fMRI: a joint regression over the named datasets.",
    "electrodes": "Score a vision model on electrode recordings.",
    "task": "Score a vision model on standard computer-vision labels.",
    "behaviour": "Score a vision model on human choices.",
}


@dataclass(frozen=True)
class Options:
    """A parsed command line: what to score, and what to do with the scores."""

    request: Request
    output: str | None
    dry_run: bool
    extract_only: bool
    quiet: bool


def parse(benchmark: str, arguments: list[str] | None = None) -> Options:
    """The options of a command line; --help, --list and unusable flags leave with argparse's exit codes 0 and 2."""
    parser = argparse.ArgumentParser(prog=f"score_{benchmark}.py", description=ABOUT[benchmark])
    _add_what(parser, benchmark)
    _add_model(parser)
    _add_protocol(parser, benchmark)
    _add_run(parser)
    given = parser.parse_args(arguments)
    if given.list:
        print(listing(benchmark))
        parser.exit(0)
    if given.model is None:
        parser.error("no model named; expected --model NAME: see --list")
    return Options(_request(benchmark, given), given.output, given.dry_run, given.extract_only, given.quiet)


def _add_what(parser: argparse.ArgumentParser, benchmark: str) -> None:
    what = "--tasks" if benchmark in ("task", "behaviour") else "--datasets"
    parser.add_argument(
        "--model", "-m", metavar="NAME", help="a name of --list, Random-NAME, or path/to/file.py:function"
    )
    parser.add_argument(
        what, "-d", dest="names", nargs="+", default=["all"], metavar="NAME", help="names of --list, or all (default)"
    )
    parser.add_argument(
        "--layers", nargs="+", default=[], metavar="LAYER", help="only these layers (default: up to 15)"
    )
    parser.add_argument("--list", action="store_true", help="list datasets and models, and leave")


def _add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("activations")
    group.add_argument("--inference-mode", choices=("block", "causal"), default="block", help="default: block")
    group.add_argument(
        "--context-duration",
        type=_positive,
        default=4000.0,
        metavar="MS",
        help="window of a video model (default: 4000)",
    )
    group.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32", help="default: fp32")
    group.add_argument("--batchsize", type=_batch_size, default=None, metavar="N|auto", help="default: auto")
    group.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")


def _add_protocol(parser: argparse.ArgumentParser, benchmark: str) -> None:
    group = parser.add_argument_group("protocol")
    group.add_argument("--splits", type=_count, default=10, metavar="N", help="train/valid/test splits (default: 10)")
    group.add_argument("--seed", type=int, default=0, help="of splits and halves (default: 0)")
    group.add_argument(
        "--bootstrap",
        type=_draws,
        default=1000,
        metavar="N",
        help="draws of segments or stimuli behind the 95 %% interval, 0 for none (default: 1000)",
    )
    group.add_argument(
        "--permutations",
        type=_number_of,
        default=0,
        metavar="N",
        help="scores with responses turned or exchanged, for p values: say 1000 (default: 0)",
    )
    if benchmark == "fmri":
        group.add_argument(
            "--clip-duration", type=_positive, default=15.0, metavar="S", help="segments that are split (default: 15)"
        )
        group.add_argument("--no-hrf", action="store_true", help="shift by 5 s instead of convolving with the HRF")
        group.add_argument(
            "--split", choices=("runs", "scattered"), default="runs", help="held-out segments (default: runs)"
        )
    if benchmark in ("fmri", "electrodes"):
        group.add_argument(
            "--gap", type=_not_negative, default=10.0, metavar="S", help="kept clear around held-out film (default: 10)"
        )
        group.add_argument("--decoder", choices=("ridge", "pls"), default="ridge", help="default: ridge")
        group.add_argument(
            "--alpha-per-target",
            nargs="?",
            const="gcv",
            choices=("gcv", "loo"),
            help="one ridge penalty per target, by generalised (gcv, default) or exact (loo) leave-one-out",
        )
        group.add_argument("--no-ceiling", action="store_true", help="score recordings that were not repeated")
    if benchmark != "behaviour":
        group.add_argument(
            "--audit", action="store_true", help="score also with stimuli and responses parted: the null"
        )


def _add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    for stage in ("activation", "evaluation", "ceiling"):
        group.add_argument(f"--rerun-{stage}", action="store_true", help=f"compute the {stage} anew")
    group.add_argument("--rerun-all", action="store_true", help="compute everything anew")
    group.add_argument("--jobs", type=_count, default=1, metavar="N", help="layers fitted side by side (default: 1)")
    group.add_argument("--output", metavar="FILE", help="write the scores to FILE: .csv, .json, .parquet or .nc")
    group.add_argument("--dry-run", action="store_true", help="print what would be computed and written, and leave")
    group.add_argument("--extract-only", action="store_true", help="store the activations, and leave")
    group.add_argument("--quiet", "-q", action="store_true", help="no progress, only the scores")


def _request(benchmark: str, given: argparse.Namespace) -> Request:
    stages = ("activation", "evaluation", "ceiling")
    rerun = {stage for stage in stages if given.rerun_all or getattr(given, f"rerun_{stage}")}
    # fresh activations that nothing reads would be a strange thing to ask for
    rerun |= {"evaluation"} if "activation" in rerun else set()
    return Request(
        benchmark=benchmark,
        model=given.model,
        names=_names(benchmark, given.names),
        layers=tuple(given.layers),
        mode=given.inference_mode,
        context_ms=given.context_duration,
        precision=given.precision,
        clip_ms=1000.0 * getattr(given, "clip_duration", 15.0),
        gap_ms=1000.0 * getattr(given, "gap", 10.0),
        layout=getattr(given, "split", "runs"),
        hrf=not getattr(given, "no_hrf", False),
        decoder=getattr(given, "decoder", "ridge"),
        alpha_per_target=getattr(given, "alpha_per_target", None),
        splits=given.splits,
        seed=given.seed,
        audit=getattr(given, "audit", False),
        bootstrap=given.bootstrap,
        permutations=given.permutations,
        ceiling=not getattr(given, "no_ceiling", False),
        rerun=frozenset(rerun),
        device=given.device,
        batch_size=given.batchsize,
        jobs=given.jobs,
    )


def _names(benchmark: str, names: list[str]) -> tuple[str, ...]:
    """The names given; `all` stands for every dataset of the kind but the embedded ones, if there are others."""
    if names != ["all"]:
        return tuple(names)
    declared = BY_BENCHMARK[benchmark].values()
    return tuple(d.name for d in declared if d.access != "embedded") or tuple(d.name for d in declared)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}; expected a number above 0")
    return value


def _not_negative(text: str) -> float:
    return 0.0 if float(text) == 0 else _positive(text)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}; expected a whole number above 0")
    return int(text)


def _number_of(text: str) -> int:
    return 0 if text == "0" else _count(text)


def _draws(text: str) -> int:
    n = _number_of(text)
    if 0 < n < FEWEST_DRAWS:
        raise argparse.ArgumentTypeError(f"{text}; expected 0, or at least {FEWEST_DRAWS} for the ends of an interval")
    return n


def _batch_size(text: str) -> int | None:
    return None if text == "auto" else _count(text)
