"""Sweep of models and contexts: the benchmarks of a request for each of its models with each of its contexts."""

import math
from collections.abc import Iterator, Sequence

from .. import models
from ..utils import BadInput
from .benchmark import Benchmark
from .benchmarks import benchmarks
from .request import Request
from .run import Run

WEIGHTS_SHARE = 0.25  # of the free memory, for the networks that are loaded together


def contexts(request: Request) -> tuple[float, ...]:
    """Return the context durations of a request, in increasing order."""
    return request.context_ms if isinstance(request.context_ms, tuple) else (request.context_ms,)


def swept(runs: Sequence[Run]) -> list[list[Benchmark]]:
    """Return the benchmarks of each run; with several contexts, all of them for each dataset and metric in turn.

    Raises BadInput for several contexts of a model without windows.
    """
    return [_of_contexts(run) for run in runs]


def _of_contexts(run: Run) -> list[Benchmark]:
    several = contexts(run.request)
    if len(several) == 1:
        return benchmarks(run)
    if run.has_responses or run.model_metadata["kind"] == "image":
        raise BadInput(
            f"{len(several)} context durations of {models.title(run.request.model)}, a model of single frames; "
            "expected a video model, or one --context-duration"
        )
    _report_limits(run, several)
    first = run.with_context(several[0])
    runs = [first, *(first.with_context(context) for context in several[1:])]
    for one in runs:
        one.together = runs
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


def together(of_runs: Sequence[list[Benchmark]]) -> Iterator[Benchmark]:
    """Yield the benchmarks of several models, for which films are decoded once as far as memory allows.

    Networks whose weights take more than a quarter of the free memory follow later, and those before are forgotten.
    """
    for group in _groups(of_runs):
        runs = [list({id(b.run): b.run for b in found}.values()) for found in group]
        every = [run for of_model in runs for run in of_model if not run.has_responses]
        for run in every:
            run.together = every
        for found in group:
            yield from found
        for run in every:
            run.release_model()


def _groups(of_runs: Sequence[list[Benchmark]]) -> Iterator[list[list[Benchmark]]]:
    """Yield models whose networks are loaded together; one whose activations are stored takes no memory."""
    if len(of_runs) == 1:
        yield list(of_runs)
        return
    group, used, most = [], 0, None
    for found in of_runs:
        size = 0 if all(map(_is_extracted, found)) else found[0].run.model_metadata.get("bytes", 0)
        if size and most is None:
            most = WEIGHTS_SHARE * found[0].run.free_memory
        if group and size and used + size > most:
            yield group
            group, used = [], 0
        group.append(found)
        used += size
    yield group


def _is_extracted(benchmark: Benchmark) -> bool:
    """Return True if all activations behind a score are stored."""
    return all(benchmark.run.store.holds(key) for key in benchmark.activation_keys().values())
