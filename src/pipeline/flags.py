"""The flags of the score commands, and the request that they make."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from ..arguments import count, count_or_zero, make_parser, number, number_or_zero
from ..data import BY_BENCHMARK
from ..evaluate import protocol
from ..evaluate.metrics import METRICS, ConfusionMetric
from .request import (
    CHOICES,
    DECODERS,
    MIN_BOOTSTRAP,
    MODES,
    PRECISIONS,
    REGRESSIONS,
    STAGES,
    Request,
    is_bootstrap_size,
)

DESCRIPTIONS = {
    "fmri": "Score a vision model on fMRI: a joint regression over the named datasets.",
    "electrodes": "Score a vision model on electrode recordings, one by one.",
    "task": "Score a vision model on standard computer-vision labels, one dataset at a time.",
    "behaviour": "Score a vision model on human choices, one dataset at a time.",
}
EXAMPLES = {
    "fmri": (
        "--model fake-net --datasets fake-fmri",
        "--model VideoMAE-V1-B --datasets keles2024-fmri --inference-mode causal --output scores.parquet",
    ),
    "electrodes": (
        "--model fake-net --datasets fake-electrodes",
        "--model resnet18 --datasets majajhong2015-V4 majajhong2015-IT --layers layer3 layer4",
    ),
    "task": (
        "--model motion-energy --tasks fake-action fake-selfmotion",
        "--model r3d_18 --tasks kinetics400 --permutations 1000",
    ),
    "behaviour": (
        "--model fake-net --tasks fake-behaviour",
        "--model alexnet --tasks rajalingham2018 --output choices.csv",
    ),
}
RESPONSES = [name for name, metric in METRICS.items() if metric.of_responses]
METRIC_HELP = {
    "fmri": f"agreement with the responses: {', '.join(RESPONSES)} (default: pearson)",
    "electrodes": f"agreement with the responses: {', '.join(RESPONSES)} (default: pearson)",
    "task": f"of classes: {', '.join(name for name, metric in METRICS.items() if metric.of_classes)}; of numbers: "
    "pearson, r2 (default: that of the dataset)",
    "behaviour": "agreement with human choices: "
    f"{', '.join(name for name, metric in METRICS.items() if isinstance(metric, ConfusionMetric))} "
    "(default: that of the dataset)",
}
DEFAULTS = {field.name: field.default for field in fields(Request)}


@dataclass(frozen=True)
class Flags:
    """A parsed command line: the request, and the use of its scores."""

    request: Request
    output: str | None = None
    dry_run: bool = False
    extract_only: bool = False
    quiet: bool = False
    list: bool = False
    log_file: str | None = None
    save_encoder: str | None = None


def parse(benchmark: str, arguments: Sequence[str], prog: str | None = None) -> Flags:
    """Return the parsed flags of a score command; leaves with argparse's exit codes for --help and unusable flags."""
    parser = make_parser(prog or f"score {benchmark}", DESCRIPTIONS[benchmark], EXAMPLES[benchmark])
    add_flags(parser, benchmark)
    return parsed(benchmark, parser.parse_args(list(arguments)))


def add_flags(parser: argparse.ArgumentParser, benchmark: str) -> None:
    """Add the flags of `score BENCHMARK` to a parser."""
    _add_subject(parser, benchmark)
    if benchmark in REGRESSIONS:
        _add_feature_sets(parser)
    _add_activations(parser)
    _add_evaluation(parser, benchmark)
    _add_inference(parser, benchmark)
    _add_run(parser, benchmark)
    _add_rerun(parser)


def _add_subject(parser: argparse.ArgumentParser, benchmark: str) -> None:
    option = "--tasks" if benchmark in ("task", "behaviour") else "--datasets"
    brains = ", or brain:DATASET:SUBJECT, one of the people of a dataset" if benchmark == "fmri" else ""
    text = f"names of --list, Random-NAME, or path/to/file.py:function{brains}; several: films are decoded once for all"
    parser.add_argument("--model", "-m", nargs="+", default=[], metavar="NAME", help=text)
    train = ("--train",) if benchmark == "fmri" else ()
    parser.add_argument(
        *(option, *train, "-d"),
        dest="datasets",
        nargs="+",
        default=["all"],
        metavar="NAME",
        help="names of --list, a folder, bids:, nwb: or brainio: files, or path/to/file.py:function; all: every "
        "dataset that is not embedded",
    )
    if benchmark == "fmri":
        parser.add_argument(
            "--test",
            nargs="+",
            default=[],
            metavar="NAME",
            help="datasets whose films are predicted by fits to the others (default: the films of all are split)",
        )
    parser.add_argument(
        "--layers",
        nargs="+",
        default=[],
        metavar="LAYER",
        help="only these layers: any module, module@2 for its second call in a pass, module.key for a part of its "
        "output (default: all, thinned to 15)",
    )
    parser.add_argument("--list", action="store_true", help="list the datasets and models, and exit")


def _add_feature_sets(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("feature sets", "A set is MODEL or MODEL:layer,layer")
    group.add_argument(
        "--features",
        nargs="+",
        default=[],
        metavar="SET",
        help="further feature sets in one fit with --model; without it the first one takes its place",
    )
    group.add_argument(
        "--partition",
        nargs="+",
        default=[],
        metavar="SET",
        help="unique and shared explained variance of two sets or more, e.g. r3d_18 Frozen-r3d_18; layers of --model "
        "need no name of the model",
    )
    group.add_argument(
        "--confounds",
        action="store_true",
        help="explained variance beyond luminance, contrast, cuts, position in the film, sound level and motion energy",
    )


def _add_activations(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("activations")
    group.add_argument(
        "--inference-mode",
        choices=MODES,
        default=DEFAULTS["mode"],
        help="of a video model: consecutive windows, or for every frame the window that ends there",
    )
    group.add_argument(
        "--context-duration",
        nargs="+",
        type=number,
        default=[DEFAULTS["context_ms"]],
        metavar="MS",
        help="length of a window of a video model, in ms (default: "
        f"{DEFAULTS['context_ms']:g}); several: a score with each, and the shortest that each unit and region needs",
    )
    _add_choice(
        group,
        "step_times",
        "of a video model: the steps of a layer count at their temporal centres, measured by changes of single frames, "
        "or are spread evenly over a window",
    )
    group.add_argument(
        "--precision", choices=PRECISIONS, default=DEFAULTS["precision"], help="precision of the forward pass"
    )
    group.add_argument(
        "--input-size",
        type=_input_size,
        metavar="PX|HxW",
        help="input of a network of your own, in px (default: 224)",
    )
    group.add_argument(
        "--fps",
        type=number,
        metavar="N",
        help="frames per second of a network of your own (default: 25), or of any model of single frames",
    )
    group.add_argument(
        "--layer-axes",
        nargs="+",
        type=_layer_axes,
        default=[],
        metavar="LAYER=AXES",
        help="axes of a layer, or of those of a pattern, where they are not detected: KC, or (T8K)C for 8 time steps "
        "in an axis of tokens, time slowest; (KT8)C: fastest; (1+T8K)C: behind a class token",
    )
    group.add_argument(
        "--batchsize", type=_batch_size, metavar="N|auto", help="rows of a forward pass (default: auto, as many as fit)"
    )
    group.add_argument(
        "--device",
        default=DEFAULTS["device"],
        help="cpu, cuda, cuda:1, ... (default: auto, a GPU if there is one)",
    )


def _add_evaluation(parser: argparse.ArgumentParser, benchmark: str) -> None:
    group = parser.add_argument_group("evaluation")
    group.add_argument(
        "--protocol",
        choices=protocol.PROTOCOLS,
        default=DEFAULTS["protocol"],
        help="default: unbiased, and as high as the data allow; published: the design of Tang et al. 2025",
    )
    group.add_argument(
        "--metric", nargs="+", default=[], metavar="NAME", help=f"{METRIC_HELP[benchmark]}; several share one fit"
    )
    group.add_argument("--splits", type=count, default=DEFAULTS["splits"], metavar="N", help="number of splits")
    group.add_argument(
        "--seed",
        type=int,
        default=DEFAULTS["seed"],
        metavar="N",
        help="seed of the splits, split halves and bootstrap samples",
    )
    _add_choice(
        group, "layer_choice", "layers are chosen inside the training rows of each split, or by scores over all splits"
    )
    if benchmark != "behaviour":
        _add_choice(
            group,
            "layout",
            "held-out data: contiguous runs that tile the films, runs at random places, scattered segments, or one "
            "film a split",
            "--split",
        )
        _add_choice(
            group, "missing", "each unit is scored on its own rows, or all units on the rows that none of them lacks"
        )
    if benchmark == "fmri":
        group.add_argument(
            "--clip-duration",
            type=number,
            default=DEFAULTS["clip_ms"] / 1000,
            metavar="S",
            help="length of the film segments that are the units of a split, in s",
        )
        _add_choice(
            group,
            "hrf",
            "films: response function that features are convolved with; fir: delayed copies from 2 to 10 s; delay: a "
            "shift by 5 s",
        )
        group.add_argument("--no-hrf", dest="hrf", action="store_const", const="delay", help="the same as --hrf delay")
        _add_choice(
            group,
            "runs",
            "each run is high-passed and z-scored before repetitions are averaged, or their mean afterwards",
        )
        group.add_argument(
            "--reverse",
            action="store_true",
            help="predict the features of each layer from the responses of the mean subject, by ridge regression",
        )
        _add_choice(
            group,
            "subjects",
            "ridge: score each subject of a dataset besides their mean (both), the mean alone (as other decoders do), "
            "or each subject alone: no ceiling and interval of the mean, and the score is the mean of theirs",
        )
        group.add_argument(
            "--high-pass",
            type=number_or_zero,
            metavar="S",
            help=_with_defaults(
                "films: cut-off period of the drift that is removed from each run, in s; 0: none",
                lambda named: f"{named.high_pass_s:g}",
            ),
        )
    if benchmark in ("fmri", "electrodes"):
        group.add_argument(
            "--gap",
            type=number_or_zero,
            metavar="S",
            help=_with_defaults(
                "films: drop training rows nearer than this to a held-out row, in s",
                lambda named: f"{named.gap_ms / 1000:g}",
            ),
        )
        for flag, text in (
            ("--penalty-block", "ridge on films: film left out together to choose the penalty, in s"),
            ("--penalty-gap", "ridge on films: film dropped around it, in s"),
        ):
            name = f"{flag[2:].replace('-', '_')}_ms"
            group.add_argument(
                flag,
                type=number_or_zero if name == "penalty_gap_ms" else number,
                metavar="S",
                help=_with_defaults(text, lambda named, name=name: f"{getattr(named, name) / 1000:g}"),
            )
        group.add_argument(
            "--decoder",
            choices=DECODERS,
            default=DEFAULTS["decoder"],
            help="linear decoder; pls: on the CPU; banded: all layers, or --features, in one fit with a penalty each; "
            "stacked: as a convex combination of their predictions",
        )
        group.add_argument("--alpha-per-target", action="store_true", help="one ridge penalty per unit")
        _add_choice(group, "headline", "score that models are ranked by: with a layer per unit, or one layer for all")
        group.add_argument(
            "--no-ceiling", action="store_true", help="no noise ceiling, for recordings that were not repeated"
        )
        _add_choice(group, "ceiling_rows", "noise ceiling within the test parts of the splits, or over all rows")
    if benchmark != "behaviour":
        _add_choice(
            group,
            "penalty",
            "ridge: rows left out together to choose the penalty, film or stimuli (blocks) or single rows; gcv: "
            "generalised error",
        )
        _add_choice(group, "alpha_scale", "ridge: penalties are multiples of trace(K) / n of the kernel, or absolute")


def _add_choice(group, name: str, text: str, flag: str | None = None) -> None:
    """Add an option whose default the protocol states."""
    flag = flag or f"--{name.replace('_', '-')}"
    choices = [choice.replace(" ", "-") for choice in CHOICES[name]]
    text = _with_defaults(text, lambda named: getattr(named, name).replace(" ", "-"))
    group.add_argument(flag, dest=name, choices=choices, help=text)


def _with_defaults(text: str, value: Callable[[protocol.Protocol], str]) -> str:
    """Return a help text with the value of the default protocol and, where it differs, of the others."""
    first, *others = protocol.PROTOCOLS.values()
    differ = [f"{named.name}: {value(named)}" for named in others if value(named) != value(first)]
    return f"{text} (default: {', '.join([value(first), *differ])})"


def _add_inference(parser: argparse.ArgumentParser, benchmark: str) -> None:
    group = parser.add_argument_group("statistical inference")
    group.add_argument(
        "--bootstrap",
        type=_bootstrap_size,
        default=DEFAULTS["bootstrap"],
        metavar="N",
        help=f"bootstrap samples for the 95 %% interval (default: {DEFAULTS['bootstrap']}; 0 disables it)",
    )
    group.add_argument(
        "--permutations",
        type=count_or_zero,
        default=DEFAULTS["permutations"],
        metavar="N",
        help="number of permutations (circular shifts or shuffles) for p values, e.g. 1000 (default: 0, no p values)",
    )
    if benchmark != "behaviour":
        group.add_argument(
            "--audit",
            action="store_true",
            help="also score with the stimulus-response pairing destroyed (null control)",
        )


def _add_run(parser: argparse.ArgumentParser, benchmark: str) -> None:
    group = parser.add_argument_group("run")
    group.add_argument(
        "--output", metavar="FILE", help="also write the scores to FILE: .csv, .json, .parquet or .nc (netCDF)"
    )
    if benchmark in REGRESSIONS:
        group.add_argument(
            "--save-encoder",
            metavar="FILE",
            help="also fit all rows, and write the encoder, for `predict`, to FILE.safetensors and a JSON file",
        )
    group.add_argument("--dry-run", action="store_true", help="print the steps and their state in the store, and exit")
    group.add_argument("--extract-only", action="store_true", help="compute and store the activations, and exit")
    group.add_argument(
        "--jobs",
        type=count,
        default=DEFAULTS["jobs"],
        metavar="N",
        help="number of splits computed in parallel",
    )
    group.add_argument("--quiet", "-q", action="store_true", help="print the scores only, no progress")
    group.add_argument(
        "--log-file", metavar="FILE", help="also write messages, progress and warnings to FILE, behind what it holds"
    )


def _add_rerun(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "recomputation",
        "Everything is stored, and reused while its inputs are unchanged.\n"
        "These flags recompute a stage and replace what is stored of it:",
    )
    meaning = {
        "activation": "activations, and the evaluation that uses them",
        "evaluation": "fits and scores, from the stored activations",
        "ceiling": "noise ceiling, and the scores divided by it; fits are kept",
    }
    for stage in STAGES:
        group.add_argument(f"--rerun-{stage}", action="store_true", help=meaning[stage])
    group.add_argument("--rerun-all", action="store_true", help="all three stages")


def parsed(benchmark: str, options: argparse.Namespace) -> Flags:
    """Return the flags that a parser with `add_flags` has read."""
    rerun = {stage for stage in STAGES if options.rerun_all or getattr(options, f"rerun_{stage}")}
    # new activations are of no use to an old evaluation
    rerun |= {"evaluation"} if "activation" in rerun else set()
    request = Request(
        benchmark=benchmark,
        model=tuple(options.model),
        datasets=tuple(dict.fromkeys((*_datasets(benchmark, options.datasets), *getattr(options, "test", ())))),
        layers=tuple(options.layers),
        mode=options.inference_mode,
        context_ms=tuple(options.context_duration),
        precision=options.precision,
        protocol=options.protocol,
        metric=tuple(options.metric),
        input_size=options.input_size,
        fps=options.fps,
        layer_axes=tuple(options.layer_axes),
        splits=options.splits,
        seed=options.seed,
        bootstrap=options.bootstrap,
        permutations=options.permutations,
        rerun=frozenset(rerun),
        device=options.device,
        batch_size=options.batchsize,
        jobs=options.jobs,
        **_options_of(benchmark, options),
    )
    files = {"output": options.output, "save_encoder": getattr(options, "save_encoder", None)}
    files["log_file"] = options.log_file
    return Flags(
        request,
        dry_run=options.dry_run,
        extract_only=options.extract_only,
        quiet=options.quiet,
        list=options.list,
        **files,
    )


def _in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds


def _options_of(benchmark: str, options: argparse.Namespace) -> dict:
    """The fields of a Request that only some benchmarks have flags for."""
    found = {} if benchmark == "behaviour" else {"audit": options.audit}
    if benchmark in ("fmri", "electrodes"):
        found |= {"decoder": options.decoder, "ceiling": not options.no_ceiling}
        found |= {"gap_ms": _in_ms(options.gap), "penalty_gap_ms": _in_ms(options.penalty_gap)}
        found |= {"penalty_block_ms": _in_ms(options.penalty_block)}
        found |= {"alpha_per_target": options.alpha_per_target, "confounds": options.confounds}
        found |= {"features": tuple(options.features), "partition": tuple(options.partition)}
    if benchmark == "fmri":
        found |= {"clip_ms": 1000 * options.clip_duration, "high_pass_s": options.high_pass}
        found |= {"test": tuple(options.test), "reverse": options.reverse}
    for name, choices in CHOICES.items():
        given = getattr(options, name, None)
        found[name] = next((choice for choice in choices if choice.replace(" ", "-") == given), None)
    return found


def _datasets(benchmark: str, names: list[str]) -> tuple[str, ...]:
    """Return the names; `all` is every dataset that is not embedded or, if there is none, every embedded one."""
    if names != ["all"]:
        return tuple(names)
    known = BY_BENCHMARK[benchmark].values()
    return tuple(d.name for d in known if d.access != "embedded") or tuple(d.name for d in known)


def _bootstrap_size(text: str) -> int:
    n = count_or_zero(text)
    if not is_bootstrap_size(n):
        raise argparse.ArgumentTypeError(f"{text}; expected 0, or at least {MIN_BOOTSTRAP} for the ends of an interval")
    return n


def _input_size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise argparse.ArgumentTypeError(f"{text}; expected px, as 112, or height x width, as 112x160")
    return int(sides[0]), int(sides[-1])


def _layer_axes(text: str) -> tuple[str, str]:
    layer, _, axes = text.rpartition("=")
    if not layer or not axes:
        raise argparse.ArgumentTypeError(f"{text}; expected LAYER=AXES, as 'blocks.*=(T8K)C'")
    return layer, axes


def _batch_size(text: str) -> int | None:
    return None if text == "auto" else count(text)
