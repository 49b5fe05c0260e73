"""Checks and removal of stored items: damage, completeness, items that no score uses, items of a given age."""

import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from ..config import ACTIVATIONS_VARIABLE, RESULTS_VARIABLE
from ..files import DamagedFile, NewerFormat, temporary_sibling
from ..locks import holder, locked
from ..utils import first_names
from .entries import read_value
from .folder import Folder
from .keys import ActivationKey
from .npy import read_npy
from .search import StoredItem

LEFT_OVER = "left over"


def find_damage(item: StoredItem) -> str | None:
    """Read an item completely and return what differs from its checksums, None if nothing does."""
    if item.problem:
        return item.problem
    if item.kind == "left-over":
        return LEFT_OVER
    try:
        if item.kind == "activations":
            return _damaged_stimuli(item)
        if item.kind != "metadata":
            read_value(item.paths[1], item.manifest)
        return None
    except (DamagedFile, NewerFormat) as error:
        return str(error)


def _damaged_stimuli(item: StoredItem) -> str | None:
    manifest = item.manifest
    try:
        folder = Folder(item.paths[0], ActivationKey(**item.key), dict(manifest["sizes"]), manifest["ids"])
    except (TypeError, ValueError):
        return "its key is not one of this version of the program"
    folder.read()
    rows = folder.damaged(np.flatnonzero(folder.done))
    return f"{len(rows)} stimuli are damaged: {first_names(folder.ids[row] for row in rows)}" if rows else None


def state(item: StoredItem) -> str:
    """Return "complete", "12 of 40" stimuli, "damaged" or "left over"; the arrays are not read."""
    if item.kind == "left-over":
        return LEFT_OVER
    if item.problem:
        return "damaged"
    if item.kind != "activations":
        return "complete"
    try:
        done = read_npy(item.paths[0] / "done.npy", bool, (len(item.manifest["ids"]),))
    except DamagedFile:
        return "damaged"
    return "complete" if done.all() else f"{done.sum()} of {len(done)}"


def unused(items: Iterable[StoredItem]) -> Iterator[StoredItem]:
    """Yield left-overs, and the activations, ceilings and statistics of no stored score."""
    items = list(items)
    scores = [item.key for item in items if item.kind == "score"]
    activations = {digest for key in scores for digest in key.get("activations", [])}
    data = {digest for key in scores for digest in key.get("data", [])}
    inputs = [(key.get("activations"), key.get("data")) for key in scores]
    for item in items:
        unnamed = {
            "activations": item.digest not in activations,
            "ceiling": not data.issuperset(item.key.get("data", [None])),
            "statistics": (item.key.get("activations"), item.key.get("data")) not in inputs,
        }.get(item.kind, False)
        if unnamed or item.kind == "left-over":
            yield item


def older_than(items: Iterable[StoredItem], days: float) -> Iterator[StoredItem]:
    """Yield the items created more than `days` days ago, by their provenance or else by the time of their file."""
    try:
        limit = datetime.now(UTC) - timedelta(days=days)
    except OverflowError:  # before the first year, when nothing was made
        return
    for item in items:
        created = datetime.fromisoformat(item.created) if item.created else _file_time(item.paths[0])
        if created < limit:
            yield item


def _file_time(path: Path) -> datetime:
    return datetime.fromtimestamp(path.lstat().st_mtime, UTC)


def remove(item: StoredItem) -> str | None:
    """Remove an item and return None; if a process uses it, keep it and return that process as text."""
    if item.kind == "left-over":
        return _delete(item.paths)
    lock = item.paths[0].with_name(f"{item.name}.lock")
    user = holder(lock)
    if user:
        return f"in use by {user}"
    with locked(lock, ACTIVATIONS_VARIABLE if item.kind == "activations" else RESULTS_VARIABLE):
        return _delete(item.paths)


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            renamed = temporary_sibling(path)
            path.rename(renamed)
            shutil.rmtree(renamed)
        else:
            path.unlink(missing_ok=True)
