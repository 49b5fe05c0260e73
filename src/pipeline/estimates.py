"""Estimates of the disk space, memory and time of a run, from its plan and from what is stored."""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ..store import StoredItem
from ..utils import size_text

PROGRAM_GB = 4.0
COPIES = 4
Step = Mapping[str, Any]


def disk_text(steps: Iterable[Step]) -> str:
    """Return the size of the activations that are to be written."""
    missing = {str(step["key"]): step["bytes"] for step in steps if not step["stored"]}
    return f"disk: {size_text(sum(missing.values()))} of activations to write"


def memory_gigabytes(steps: Iterable[Step]) -> tuple[int, str]:
    """Return the memory of the host in GB, and what it consists of."""
    largest = max(step["bytes"] / max(1, len(step["key"].layers)) for step in steps if hasattr(step["key"], "layers"))
    return math.ceil(PROGRAM_GB + COPIES * largest / 1e9), (
        f"{PROGRAM_GB:.0f} GB for the program, {COPIES} copies of the largest layer ({size_text(largest)}); the "
        "recordings are not included"
    )


def device_text(of_cells: Iterable[Iterable[Step]], batch_size: int | None) -> str:
    """Return the memory of the device that the networks of a cell take, at most."""
    of_models = [{step["key"].model: step["weights"] for step in cell if step.get("weights")} for cell in of_cells]
    most = max((sum(weights.values()) for weights in of_models), default=0)
    weights = f"{size_text(most)} of weights" if most else "weights of a size that is not stored"
    batches = "and a batch, fitted to what is free" if batch_size is None else f"and a batch of {batch_size}"
    return f"device memory: {weights}, {batches}"


def time_text(wanted: Collection[tuple[str, tuple[str, ...]]], items: Iterable[StoredItem]) -> str:
    """Return the times of stored scores of the wanted (benchmark, datasets)."""
    times = [item.seconds for item in items if _is_wanted(item, wanted) and item.seconds is not None]
    if not times:
        return "time: not known, since no score on these datasets is stored"
    return f"time: {len(times)} stored scores on these datasets took up to {max(times) / 60:.1f} min each"


def _is_wanted(item: StoredItem, wanted: Collection[tuple[str, tuple[str, ...]]]) -> bool:
    return item.kind == "score" and (item.key.get("benchmark"), item.datasets) in wanted


def estimates(steps: list[Step], items: Iterable[StoredItem], batch_size: int | None) -> list[str]:
    """Return a line each on disk, memory, the memory of the device, and time; none where all steps are stored."""
    if all(step["stored"] for step in steps):
        return []
    gigabytes, parts = memory_gigabytes(steps)
    scores = [step["key"] for step in steps if not hasattr(step["key"], "layers")]
    wanted = {(key.benchmark, key.datasets) for key in scores}
    memory = f"memory: about {gigabytes} GB: {parts}"
    return [disk_text(steps), memory, device_text([steps], batch_size), time_text(wanted, items)]
