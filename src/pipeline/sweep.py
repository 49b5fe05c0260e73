"""Sweep of contexts: the scores of one model with several context durations."""

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
    first = run.with_context(several[0])
    runs = [first, *(first.with_context(context) for context in several[1:])]
    return [benchmark for of_score in zip(*map(benchmarks, runs), strict=True) for benchmark in of_score]
