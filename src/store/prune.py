"""Looking after a cache: is everything what was written, what takes the room, what may go."""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from ..files import Damaged, Newer, read_bytes, temporary_sibling
from ..locks import holder, locked
from .folder import Folder
from .keys import ActivationKey
from .npy import read_npy
from .search import Stored


def problem_of(stored: Stored) -> str | None:
    """What is wrong with a stored thing, everything read and held against its checksums; None if nothing is."""
    if stored.problem:
        return stored.problem
    if stored.kind == "left-over":
        return "left over"
    try:
        return _folder_problem(stored) if stored.kind == "activations" else _value_problem(stored)
    except (Damaged, Newer) as error:
        return str(error)


def _value_problem(stored: Stored) -> str | None:
    if stored.kind == "metadata":
        return None
    data = read_bytes(stored.paths[1])
    if data is None:
        return "its value is missing"
    return None if hashlib.sha256(data).hexdigest() == stored.manifest["value"]["sha256"] else "its value is damaged"


def _folder_problem(stored: Stored) -> str | None:
    try:
        folder = Folder(
            stored.paths[0], ActivationKey(**stored.key), dict(stored.manifest["sizes"]), stored.manifest["ids"]
        )
    except (TypeError, ValueError):
        return "its key is not one of this version of the program"
    folder.read()
    bad = folder.damaged(np.flatnonzero(folder.done))
    return f"{len(bad)} stimuli are damaged: {', '.join(folder.ids[row] for row in bad[:5])}" if bad else None


def state_of(stored: Stored) -> str:
    """In a word or two: "whole", "12 of 40", "damaged" or "left over", without reading the data."""
    if stored.kind == "left-over":
        return "left over"
    if stored.problem:
        return "damaged"
    if stored.kind != "activations":
        return "whole" if all(path.exists() for path in stored.paths) else "damaged"
    try:
        done = read_npy(stored.paths[0] / "done.npy", bool, (len(stored.manifest["ids"]),))
    except Damaged:
        return "damaged"
    return "whole" if done.all() else f"{done.sum()} of {len(done)}"


def unused(things: Iterable[Stored]) -> Iterator[Stored]:
    """What no stored score stands on: left-overs, and activations and ceilings that no score's key names."""
    things = list(things)
    scores = [stored.key for stored in things if stored.kind == "score"]
    activations = {digest for key in scores for digest in key.get("activations", [])}
    data = {digest for key in scores for digest in key.get("data", [])}
    for stored in things:
        gone = stored.kind == "activations" and stored.manifest.get("digest") not in activations
        if (
            gone
            or stored.kind == "left-over"
            or (stored.kind == "ceiling" and stored.key.get("data_digest") not in data)
        ):
            yield stored


def older(things: Iterable[Stored], days: float) -> Iterator[Stored]:
    """What was made more than `days` days ago by its own note; what has no note is taken by its file's time."""
    limit = datetime.now(UTC) - timedelta(days=days)
    for stored in things:
        made = datetime.fromisoformat(stored.created) if stored.created else _file_time(stored.paths[0])
        if made < limit:
            yield stored


def _file_time(path: Path) -> datetime:
    return datetime.fromtimestamp(path.lstat().st_mtime, UTC)


def remove(stored: Stored) -> str | None:
    """Remove a stored thing, or say who is using it."""
    if stored.kind == "left-over":
        return _delete(stored.paths)
    lock = stored.paths[0].with_name(f"{stored.name}.lock")
    user = holder(lock)
    if user:
        return f"in use by {user}"
    with locked(lock, "MMAP_HOME" if stored.kind == "activations" else "RESULTCACHING_HOME"):
        return _delete(stored.paths)


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            doomed = temporary_sibling(path)
            path.rename(doomed)
            shutil.rmtree(doomed)
        else:
            path.unlink(missing_ok=True)
