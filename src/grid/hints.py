"""Estimates of the disk space, memory and time of cells, from what is stored."""

import math
from collections.abc import Iterable
from typing import Any

from ..pipeline import plan, stored_name
from ..store import NotStored, Store, StoredItem
from ..utils import size_text
from .cells import Cell

PROGRAM_GB = 4.0
COPIES = 4


def hints(cells: Iterable[Cell], store: Store) -> list[str]:
    """Return a line each on disk, --mem and --time of `cells`, with the source of the estimate."""
    cells = list(cells)
    return [*_space(cells, store), *_time(cells, store)]


def _space(cells: list[Cell], store: Store) -> list[str]:
    steps = [step for cell in cells for step in _steps(cell, store)]
    if not steps:
        return ["disk, memory: not known, since no metadata of these models and datasets is stored; try --local 1"]
    missing = {str(step["key"]): step["bytes"] for step in steps if not step["stored"]}
    largest = max(step["bytes"] / max(1, len(step["key"].layers)) for step in steps if hasattr(step["key"], "layers"))
    gigabytes = math.ceil(PROGRAM_GB + COPIES * largest / 1e9)
    return [
        f"disk: {size_text(sum(missing.values()))} of activations to write",
        f"memory: --mem {gigabytes}G or more: {PROGRAM_GB:.0f} GB for the program, {COPIES} copies of the largest "
        f"layer ({size_text(largest)}); the recordings are not included",
    ]


def _steps(cell: Cell, store: Store) -> list[dict[str, Any]]:
    try:
        return plan(cell.request(), store.config, store=store)
    except NotStored:
        return []


def _time(cells: list[Cell], store: Store) -> list[str]:
    wanted = {(cell.benchmark, tuple(map(stored_name, cell.names))) for cell in cells}
    times = [item.seconds for item in store.items() if _is_wanted(item, wanted) and item.seconds is not None]
    if not times:
        return ["time: not known, since no score on these datasets is stored"]
    return [f"time: {len(times)} stored scores on these datasets took up to {max(times) / 60:.1f} min each"]


def _is_wanted(item: StoredItem, wanted: set[tuple[str, tuple[str, ...]]]) -> bool:
    return item.kind == "score" and (item.key.get("benchmark"), item.datasets) in wanted
