"""The straight path from a request to its scores; the only room that knows both the store and the science."""

from collections.abc import Iterator

from ..config import Config
from ..store import Key
from .benchmarks import benchmarks
from .request import Reporter, Request, Score, Stopped
from .run import Run

__all__ = ["Reporter", "Request", "Score", "Stopped", "extract", "keys", "plan", "score"]


def score(request: Request, config: Config, report: Reporter | None = None) -> Iterator[Score]:
    """The scores of a request, one by one: from the store where they are, else computed and stored.

    All names are resolved before the first is computed. Raises BadInput for what cannot be done, Stopped when the
    reporter asked for an end.
    """
    run = Run(request, config, report or Reporter())
    for benchmark in benchmarks(run):
        yield benchmark.result()


def extract(request: Request, config: Config, report: Reporter | None = None) -> None:
    """Compute and store the activations that a request's scores stand on, and nothing else."""
    run = Run(request, config, report or Reporter())
    for benchmark in benchmarks(run):
        for name, role in benchmark.activation_keys():
            benchmark.activations(name, role)


def keys(request: Request, config: Config) -> list[Key]:
    """What a request is looked for under in the store: the keys of its activations and scores."""
    run = Run(request, config, Reporter())
    return [key for benchmark in benchmarks(run) for key in (*benchmark.activation_keys().values(), benchmark.key())]


def plan(request: Request, config: Config, report: Reporter | None = None) -> list[dict]:
    """What a request comes to, with nothing computed but cards: a row per step, see `Benchmark.steps`."""
    run = Run(request, config, report or Reporter())
    return [step for benchmark in benchmarks(run) for step in benchmark.steps()]
