"""What a cell will need, as far as the store can tell before anything runs: bytes to write, memory, time."""

import math
from collections.abc import Iterable
from typing import Any

from ..config import Config
from ..store.search import Stored, everything
from .cells import Cell
from .stored import Shelf, Unknown

PROGRAM_GB = 4.0
COPIES = 4


def hints(cells: Iterable[Cell], shelf: Shelf, config: Config) -> list[str]:
    """Lines of advice on disk, --mem and --time for `cells`; each says what it rests on."""
    cells = list(cells)
    return [*_room(cells, shelf), *_time(cells, config)]


def _room(cells: list[Cell], shelf: Shelf) -> list[str]:
    steps = [step for cell in cells for step in _steps(cell, shelf)]
    if not steps:
        return ["disk, memory: not known before these models and datasets were met once; try a cell with --local 1"]
    missing = {str(step["key"]): step["bytes"] for step in steps if not step["stored"]}
    largest = max(step["bytes"] / max(1, len(step["key"].layers)) for step in steps if hasattr(step["key"], "layers"))
    gigabytes = math.ceil(PROGRAM_GB + COPIES * largest / 1e9)
    return [
        f"disk: {_size(sum(missing.values()))} of activations to write",
        f"memory: --mem {gigabytes}G or more: {PROGRAM_GB:.0f} GB for the program, {COPIES} copies of the largest "
        f"layer ({_size(largest)}); the recordings come on top",
    ]


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def _steps(cell: Cell, shelf: Shelf) -> list[dict[str, Any]]:
    try:
        return [step for benchmark in shelf.benchmarks(cell) for step in benchmark.steps()]
    except Unknown:
        return []


def _time(cells: list[Cell], config: Config) -> list[str]:
    wanted = {(cell.benchmark, cell.names) for cell in cells}
    stored = everything(config.results_home, config.activations_home)
    spent = [seconds for item in stored if (seconds := _seconds(item, wanted)) is not None]
    if not spent:
        return ["time: nothing is stored yet on these datasets to judge by"]
    return [f"time: {len(spent)} stored scores on these datasets took up to {max(spent) / 60:.1f} min each"]


def _seconds(stored: Stored, wanted: set[tuple[str, tuple[str, ...]]]) -> float | None:
    if stored.kind != "score" or (stored.key.get("benchmark"), stored.datasets) not in wanted:
        return None
    return stored.manifest.get("provenance", {}).get("seconds")
