"""The request of a score, and the interface through which a run reports its progress."""

import math
import signal
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any

from ..evaluate import protocol as protocols
from ..evaluate.metrics import METRICS
from ..models.spec import DEFAULT_CONTEXT_MS
from ..utils import BadInput, unknown_name
from .feature_sets import parsed

MODES = ("block", "causal")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
DECODERS = ("ridge", "pls", "banded", "stacked")
REGRESSIONS = ("fmri", "electrodes")
STAGES = ("activation", "evaluation", "ceiling")
# options of the evaluation whose defaults the named protocol states, with their choices
CHOICES = {
    "layout": protocols.LAYOUTS,
    "layer_choice": protocols.LAYER_CHOICES,
    "headline": protocols.HEADLINES,
    "penalty": protocols.PENALTIES,
    "alpha_scale": protocols.ALPHA_SCALES,
    "missing": protocols.MISSING,
    "runs": protocols.RUNS,
    "hrf": protocols.HRFS,
    "ceiling_rows": protocols.CEILING_ROWS,
    "subjects": protocols.SUBJECTS,
    "step_times": protocols.STEP_TIMES,
}
# options that add arrays to a score and leave its fits as they are, most important first
ADDED_OPTIONS = ("ceiling", "permutations", "bootstrap", "audit", "partition", "confounds")
TIMES_IN_MS = ("gap_ms", "penalty_block_ms", "penalty_gap_ms")
TIMES = (*TIMES_IN_MS, "high_pass_s")
OPTIONS_OF_PROTOCOL = (*TIMES, *CHOICES)
OPTION_NAMES = {
    "gap_ms": "gap",
    "penalty_block_ms": "penalty block",
    "penalty_gap_ms": "penalty gap",
    "clip_ms": "segments of",
    "layout": "split",
    "hrf": "HRF",
}
MIN_BOOTSTRAP = 40  # with fewer samples, none lies in the outer 2.5 per cent


@dataclass(frozen=True)
class Request:
    """A model, the datasets to score it on, and the options of the computation.

    The defaults of all options of the scripts and of `score` are stated here.

    Parameters
    ----------
    benchmark : {"fmri", "electrodes", "task", "behaviour"}
    model : str or tuple of str
        Several: the scores of each, for which films are decoded once.
    datasets : tuple of str
        For "fmri", all of them form one joint regression; otherwise each has a score of its own.
    test : tuple of str
        fMRI: those of the datasets that are predicted by fits to the others; empty: the films of all are split.
    layers : tuple of str
        Layers to score, in any order: any module of the network, "module@2" for its second call in a pass,
        "module.key" for a part of its output; empty: all layers of the model, thinned to 15.
    mode : {"block", "causal"}
        Inference mode of a video model: consecutive windows, or for every frame the window that ends there.
    context_ms : float or tuple of float
        Length of a window of a video model, in ms; several: a score with each, and the temporal windows that follow.
    precision : {"fp32", "tf32", "bf16", "fp16"}
        Precision of the forward pass.
    input_size : int or (int, int), optional
        Height and width of the input in px, for a network of one's own; default: 224 x 224.
    fps : float, optional
        Frames per second, for a network of one's own or a model of single frames; default: 25, or that of the model.
    layer_axes : tuple of (str, str), or mapping of {str: str}
        Axes of layers in place of the detected ones: layer or pattern, and "KC", or "(T8K)C" for 8 time steps in an
        axis of tokens.
    protocol : {"default", "published"}
        Named protocol, which fills the options of the evaluation that are None.
    clip_ms : float
        fMRI: length of the film segments that are the units of a split, in ms.
    gap_ms : float, optional
        Films: training rows nearer than this to a held-out row are dropped, in ms.
    penalty_block_ms, penalty_gap_ms : float, optional
        Films, ridge regression: film that is left out together where a penalty or a layer is chosen, and around it.
    layout, layer_choice, headline, penalty, alpha_scale, missing, runs, high_pass_s, hrf, ceiling_rows : optional
        Choices of the evaluation, see `evaluate.protocols.Protocol`.
    subjects : {"both", "mean", "each"}, optional
        fMRI: score each subject besides their mean, the mean alone, or each subject alone, so that a score is the mean
        of theirs. By ridge regression; scores by another decoder are of the mean alone, and say so.
    reverse : bool
        fMRI: predict the features of the model from the responses, in place of the responses from the features.
    metric : str or tuple of str
        Names of `evaluate.metrics.METRICS`: a score by each, from one fit; default: that of the benchmark (Pearson's
        r) or of the dataset.
    step_times : {"centres", "even"}, optional
        The steps of a layer of a video model count at their measured temporal centres, or are spread evenly over a
        window; default: that of the protocol.
    decoder : {"ridge", "pls", "banded", "stacked"}
        fMRI and electrodes: the linear decoder. "banded" and "stacked" fit all layers, or all feature sets, at once:
        with a penalty for each, or as a convex combination of their predictions.
    features : tuple of str
        fMRI and electrodes: further feature sets in one fit with the model, each "MODEL" or "MODEL:layer,layer".
        Without a model the first one takes its place.
    partition : tuple of str
        fMRI and electrodes: feature sets, as layers of the model or as in `features`, whose unique and shared explained
        variance is computed.
    confounds : bool
        fMRI and electrodes: compute the explained variance beyond low-level confounds too: luminance, contrast, cuts,
        position in the film, sound level and motion energy. They are one more set of a partition.
    alpha_per_target : bool
        Ridge: one penalty per target, or one for all targets.
    splits : int
        Number of splits.
    seed : int
        Seed of the splits, of the split halves and of the bootstrap.
    audit : bool
        Also score with the stimulus-response pairing destroyed (null control).
    bootstrap : int
        Number of bootstrap samples of the 95 % interval; 0 disables it.
    permutations : int
        Number of permutations of the p values; 0 disables them.
    ceiling : bool
        Whether the noise ceiling is computed.
    rerun : frozenset of {"activation", "evaluation", "ceiling"}
        Stages that are recomputed although they are stored.
    device : str
        "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", ...
    batch_size : int or None
        Rows of a forward pass; None: as many as fit.
    jobs : int
        Number of splits computed in parallel.

    Raises
    ------
    BadInput
        If an option has a value that it does not allow.
    """

    benchmark: str
    model: str | tuple[str, ...]
    datasets: tuple[str, ...]
    test: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    mode: str = "block"
    context_ms: float | tuple[float, ...] = DEFAULT_CONTEXT_MS
    precision: str = "fp32"
    input_size: int | tuple[int, int] | None = None
    fps: float | None = None
    layer_axes: tuple[tuple[str, str], ...] = ()
    clip_ms: float = protocols.SEGMENT_MS
    protocol: str = "default"
    gap_ms: float | None = None
    penalty_block_ms: float | None = None
    penalty_gap_ms: float | None = None
    layout: str | None = None
    layer_choice: str | None = None
    headline: str | None = None
    penalty: str | None = None
    alpha_scale: str | None = None
    missing: str | None = None
    runs: str | None = None
    high_pass_s: float | None = None
    hrf: str | None = None
    ceiling_rows: str | None = None
    subjects: str | None = None
    reverse: bool = False
    metric: tuple[str, ...] = ()
    step_times: str | None = None
    decoder: str = "ridge"
    features: tuple[str, ...] = ()
    partition: tuple[str, ...] = ()
    confounds: bool = False
    alpha_per_target: bool = False
    splits: int = protocols.N_SPLITS
    seed: int = protocols.SEED
    audit: bool = False
    bootstrap: int = protocols.N_BOOTSTRAP
    permutations: int = 0
    ceiling: bool = True
    rerun: frozenset[str] = frozenset()
    device: str = "auto"
    batch_size: int | None = None
    jobs: int = 1

    def __post_init__(self):
        several = tuple(dict.fromkeys((self.model,) if isinstance(self.model, str) else self.model))
        object.__setattr__(self, "model", several if len(several) > 1 else "".join(several))
        self._check_feature_sets()
        _check_choice("mode", self.mode, MODES)
        _check_choice("precision", self.precision, PRECISIONS)
        _check_choice("protocol", self.protocol, protocols.PROTOCOLS)
        _check_choice("decoder", self.decoder, DECODERS)
        names = (self.metric,) if isinstance(self.metric, str) else tuple(self.metric)
        object.__setattr__(self, "metric", names)
        for name in names:
            if name not in METRICS:
                raise unknown_name("metric", name, METRICS)
        named = protocols.PROTOCOLS[self.protocol]
        for name in OPTIONS_OF_PROTOCOL:
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(named, name))
        for name, choices in CHOICES.items():
            _check_choice(name, getattr(self, name), choices)
        for stage in self.rerun:
            _check_choice("rerun", stage, STAGES)
        several = self.context_ms if isinstance(self.context_ms, tuple | list) else (self.context_ms,)
        fixed = {name: (getattr(self, name),) for name in ("clip_ms", "penalty_block_ms")}
        for name, values in {"context_ms": several or (0,), **fixed}.items():
            for one in values:
                _check(name, one, lambda value: 0 < value < math.inf, "a number above 0")
        several = tuple(sorted(set(map(float, several))))
        object.__setattr__(self, "context_ms", several if len(several) > 1 else several[0])
        for name in TIMES:
            _check(name, getattr(self, name), lambda value: 0 <= value < math.inf, "0 or a number above it")
        if self.fps is not None:
            _check("fps", self.fps, lambda value: 0 < value < math.inf, "a number above 0")
        if self.input_size is not None:
            size = self.input_size if isinstance(self.input_size, tuple) else (self.input_size,) * 2
            _check("input_size", size, _is_size, "height and width in px, whole numbers above 0")
            object.__setattr__(self, "input_size", tuple(map(int, size)))
        object.__setattr__(self, "layer_axes", tuple(sorted(dict(self.layer_axes).items())))
        for name in ("splits", "jobs"):
            _check(name, getattr(self, name), lambda value: value >= 1, "a whole number above 0")
        _check("bootstrap", self.bootstrap, is_bootstrap_size, f"0, or at least {MIN_BOOTSTRAP}")
        if self.reverse and (self.permutations or self.audit or self.decoder != "ridge"):
            raise BadInput("reverse with permutations, audit or another decoder than ridge; expected none of these")
        if self.benchmark == "fmri" and self.subjects == "each":
            self._check_each_subject()
        _check("permutations", self.permutations, lambda value: value >= 0, "0 or a whole number above it")

    def _check_each_subject(self) -> None:
        """Raise BadInput for what is of the mean subject."""
        of_mean = ("reverse", "permutations", "audit", "features", "partition", "confounds")
        given = [name for name in of_mean if getattr(self, name)]
        given += [] if self.decoder == "ridge" else [f"decoder {self.decoder}"]
        given += [f"metric {name}" for name in self.metric if not METRICS[name].of_subjects]
        if given:
            raise BadInput(
                f"subjects each with {', '.join(given)}; expected ridge regression and Pearson's r alone: "
                "use subjects both"
            )

    @property
    def whole_films(self) -> bool:
        """True if films are predicted that no training row comes from."""
        return self.benchmark == "fmri" and not self.reverse and bool(self.test or self.layout == protocols.ONE_FILM)

    def _check_feature_sets(self) -> None:
        """Raise BadInput for feature sets of a benchmark without a regression; the first one may be the model."""
        sets = {"features": tuple(self.features), "partition": tuple(self.partition)}
        for name, value in sets.items():
            object.__setattr__(self, name, value)
        if not (self.features or self.partition or self.confounds):
            return
        if self.benchmark not in REGRESSIONS:
            raise BadInput(
                f"feature sets for {self.benchmark}; expected one of {' and '.join(REGRESSIONS)}: features, partition "
                "and confounds are of regressions of responses"
            )
        if len(self.partition) == 1 and not self.confounds:
            raise BadInput(f"partition {self.partition[0]}; expected two feature sets or more")
        if not self.model and (self.features or self.partition):
            first = parsed((self.features or self.partition)[0])
            object.__setattr__(self, "model", first.model)
            object.__setattr__(self, "layers", first.layers)
            object.__setattr__(self, "features", self.features[1:])

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return self.model if isinstance(self.model, tuple) else (self.model,)

    @property
    def of_model(self) -> dict[str, Any]:
        """Options with which the model is loaded."""
        return {
            "layers": self.layers,
            "input_size": self.input_size,
            "fps": self.fps,
            "layer_axes": dict(self.layer_axes),
        }


def changed_options(benchmark: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a stored score that differ from those of its named protocol.

    options: as `Benchmark.options` returns them; those that are no field of a request are left out.
    """
    name = options["protocol"].split()[0]
    if name not in protocols.PROTOCOLS:
        return {}
    known = vars(Request(benchmark, "", (), protocol=name))
    known.pop("protocol")
    return {option: value for option, value in options.items() if option in known and value != known[option]}


def check_effect(request: Request, without_effect: Mapping[str, str]) -> None:
    """Raise BadInput for an option that is none of the named protocol's and changes nothing: {option: why}."""
    usual = vars(Request(request.benchmark, "", (), protocol=request.protocol))
    for name, why in without_effect.items():
        value = getattr(request, name)
        if value != usual[name]:
            flag = OPTION_NAMES.get(name, name.removesuffix("_ms").removesuffix("_s").replace("_", "-")).lower()
            value = value / 1000 if name in TIMES_IN_MS else value
            given = "" if value is True else f" {value:g}" if name in TIMES else f" {value}"
            raise BadInput(f"--{flag.replace(' ', '-')}{given} changes nothing: {why}; leave the option out")


def option_text(name: str, value: Any) -> str:
    """Return an option of a score with its value, in words."""
    if name == "reverse":
        return "features predicted from responses"
    if name == "test":
        return f"tested on {value}"
    if value is True:
        return name.replace("_", " ")
    if isinstance(value, tuple | list):
        return f"{name} {', '.join(map(str, value))}"
    if name == "splits":
        return f"{value:g} splits"
    if name.endswith("_ms"):
        return f"{OPTION_NAMES.get(name, name[:-3])} {value / 1000:g} s"
    if name == "high_pass_s":
        return f"high-pass {value:g} s" if value else "no high-pass"
    return f"{OPTION_NAMES.get(name, name.replace('_', ' '))} {value}"


def is_bootstrap_size(n: int) -> bool:
    """Return whether an interval can be made of `n` bootstrap samples; 0 is no interval."""
    return n == 0 or n >= MIN_BOOTSTRAP


def _is_size(size: tuple) -> bool:
    """Return True for height and width in whole px."""
    return len(size) == 2 and all(isinstance(side, Integral) and side > 0 for side in size)


def check_options(names: Collection[str]) -> None:
    """Raise BadInput for a name that is no option of a Request, with the nearest ones."""
    known = [field.name for field in fields(Request)][3:]
    for name in names:
        if name not in known:
            raise unknown_name("option", name, known)


def _check(name: str, value, allowed: Callable[..., bool], expected: str) -> None:
    if not allowed(value):
        raise BadInput(f"{name} {value}; expected {expected}")


def _check_choice(name: str, value, choices: Collection) -> None:
    if value not in choices:
        raise BadInput(f"{name} '{value}'; expected one of {', '.join(map(str, choices))}")


class Reporter:
    """Interface through which a run reports its progress; this one is silent."""

    def say(self, text: str) -> None:
        """Report a line about the next step."""

    def progress(self, label: str) -> Callable[[float, float, str], None]:
        """Return a function to call with (done, total, text) while the step `label` runs."""
        return lambda done, total, text="": None

    def stopping(self) -> bool:
        """Return whether the run has been requested to stop."""
        return False


class Stopped(Exception):
    """The run was stopped by SIGTERM; all finished steps are in the store."""

    exit_code = 128 + signal.SIGTERM
