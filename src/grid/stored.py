"""Which cells' scores are in the store, read off cards and manifests; nothing is computed, nobody waited for."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..config import Config
from ..pipeline import Reporter, Score
from ..pipeline.benchmarks import Benchmark, benchmarks
from ..pipeline.run import Run
from ..store import Store
from ..utils import BadInput
from .cells import Cell

CACHED_ONLY = "RESULTCACHING_CACHEDONLY"


class Unknown(Exception):
    """A model or dataset that was never met, or changed since, so that what it is stored under cannot be told."""


class Shelf(Store):
    """The store as it stands: a card is read once, and Unknown is raised where it would have to be made."""

    def __init__(self, config: Config):
        super().__init__(config)
        self.config = config
        self._known: dict[tuple[str, str], dict] = {}

    def metadata(self, kind, name, make, **asked) -> dict:
        if (kind, name) not in self._known:
            try:
                with _nothing_computed():
                    self._known[kind, name] = super().metadata(kind, name, make, **asked)
            except BadInput as error:
                raise Unknown(f"this store never met {kind} {name}, or it changed since") from error
        return self._known[kind, name]

    def benchmarks(self, cell: Cell) -> list[Benchmark]:
        """The scores that a cell comes to, as the pipeline sees them."""
        run = Run(cell.request(), self.config, Reporter())
        run.store = self
        return benchmarks(run)

    def scores(self, cell: Cell) -> list[Score]:
        """The stored scores of a cell, [] unless all of them are there; raises Unknown, and BadInput as the script."""
        found = [self.find(benchmark.key()) for benchmark in self.benchmarks(cell)]
        return [] if None in found else [Score(entry.facts, entry.arrays) for entry in found]


@contextmanager
def _nothing_computed() -> Iterator[None]:
    """A store that is asked for what it lacks raises BadInput, without waiting for whoever is making it."""
    before = os.environ.get(CACHED_ONLY)
    os.environ[CACHED_ONLY] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[CACHED_ONLY]
        else:
            os.environ[CACHED_ONLY] = before
