"""Estimates of the disk space, memory and time of cells, from what is stored."""

from collections.abc import Iterable
from typing import Any

from ..pipeline import plan, stored_name
from ..pipeline.estimates import device_text, disk_text, memory_gigabytes, time_text
from ..store import NotStored, Store
from .cells import Cell


def hints(cells: Iterable[Cell], store: Store) -> list[str]:
    """Return a line each on disk, --mem and --time of `cells`, with the source of the estimate."""
    cells = list(cells)
    return [*_space(cells, store), *_time(cells, store)]


def _space(cells: list[Cell], store: Store) -> list[str]:
    of_cells = [_steps(cell, store) for cell in cells]
    steps = [step for of_cell in of_cells for step in of_cell]
    if not steps:
        return ["disk, memory: not known, since no metadata of these models and datasets is stored; try --local 1"]
    gigabytes, parts = memory_gigabytes(steps)
    return [disk_text(steps), f"memory: --mem {gigabytes}G or more: {parts}", device_text(of_cells, None)]


def _steps(cell: Cell, store: Store) -> list[dict[str, Any]]:
    try:
        return plan(cell.request(), store.config, store=store)
    except NotStored:
        return []


def _time(cells: list[Cell], store: Store) -> list[str]:
    wanted = {(cell.benchmark, tuple(map(stored_name, cell.names))) for cell in cells}
    return [time_text(wanted, store.items())]
