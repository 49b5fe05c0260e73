"""Sweep of contexts: the scores of one model with several context durations."""

import math
from collections.abc import Sequence

from .. import models
from ..utils import BadInput
from .benchmark import Benchmark
from .benchmarks import benchmarks
from .request import Request
from .run import Run


def contexts(request: Request) -> tuple[float, ...]:
    """Return the context durations of a request, in increasing order."""
    return request.context_ms if isinstance(request.context_ms, tuple) else (request.context_ms,)


def scored(run: Run) -> list[Benchmark]:
    """Return the benchmarks of a run; with several contexts, all of them for each dataset and metric in turn.

    Raises BadInput for several contexts of a model without windows.
    """
    several = contexts(run.request)
    if len(several) == 1:
        return benchmarks(run)
    if run.has_responses or run.model_metadata["kind"] == "image":
        raise BadInput(
            f"{len(several)} context durations of {models.title(run.request.model)}, a model of single frames; "
            "expected a video model, or one --context-duration"
        )
    run.swept = several
    _report_limits(run, several)
    first = run.with_context(several[0])
    runs = [first, *(first.with_context(context) for context in several[1:])]
    return [benchmark for of_score in zip(*map(benchmarks, runs), strict=True) for benchmark in of_score]


def _report_limits(run: Run, several: Sequence[float]) -> None:
    """Report the contexts that no window of the model can have, and those that it sees in their place."""
    # a model that was stored by an earlier version has no limits
    shortest, longest = run.model_metadata.get("windows_ms", (0.0, None))
    longest = math.inf if longest is None else longest
    seen: dict[float, list[str]] = {}
    for context in several:
        used = min(max(context, shortest), longest)
        if abs(used - context) > 1e-6:
            seen.setdefault(used, []).append(f"{context / 1000:g}")
    if seen:
        texts = [f"of {', '.join(texts)} s as {used / 1000:.3g} s" for used, texts in seen.items()]
        ends = list(dict.fromkeys(f"{end / 1000:.3g}" for end in (shortest, longest)))
        limits = f"{ends[0]} s or more" if longest == math.inf else f"{' to '.join(ends)} s"
        run.report.say(
            f"{models.title(run.request.model)}: windows of {limits}; it sees contexts {' and '.join(texts)}, and "
            "equal windows give equal scores"
        )
