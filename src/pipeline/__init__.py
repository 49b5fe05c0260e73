"""The straight path from a request to its scores; the only room that knows both the store and the science."""

from collections.abc import Iterator

from ..config import Config
from ..store import Key
from .benchmarks import doors
from .request import Reporter, Request, Result, Stopped
from .run import Run

__all__ = ["Reporter", "Request", "Result", "Stopped", "extract", "keys", "plan", "score"]


def score(request: Request, config: Config, report: Reporter | None = None) -> Iterator[Result]:
    """The scores of a request, one by one: from the store where they are, else computed and stored.

    All names are resolved before the first is computed. Raises BadInput for what cannot be done, Stopped when the
    reporter asked for an end.
    """
    run = Run(request, config, report or Reporter())
    for door in doors(run):
        yield door.result()


def extract(request: Request, config: Config, report: Reporter | None = None) -> None:
    """Compute and store the activations that a request's scores stand on, and nothing else."""
    run = Run(request, config, report or Reporter())
    for door in doors(run):
        for name, role in door.activation_keys():
            door.activations(name, role)


def keys(request: Request, config: Config) -> list[Key]:
    """What a request is looked for under in the store: the keys of its activations and scores."""
    run = Run(request, config, Reporter())
    return [key for door in doors(run) for key in (*door.activation_keys().values(), door.key())]


def plan(request: Request, config: Config, report: Reporter | None = None) -> list[dict]:
    """What a request comes to, with nothing computed but cards: a row per step, see `Door.steps`."""
    run = Run(request, config, report or Reporter())
    return [step for door in doors(run) for step in door.steps()]
