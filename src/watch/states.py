"""States of files, folders and variables as plain data, and the comparison of stored states with the present ones."""

import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache, wraps
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from ..stages import source_digest
from ..utils import digest, file_digest
from .active import records, unwatched

T = TypeVar("T")
# larger files are compared by size and time alone: reading the data again costs as much as their digest
CONTENT_BYTES = 64 * 2**20
# a second change within this time of the first may leave size and time as they are
RECENT_NS = 2 * 10**9
CACHES = ("__pycache__",)
# a module that is loaded and was changed later may differ from its file
STARTED_NS = time.time_ns()


def stamp(path: str | Path) -> list[int] | None:
    """Return [size, mtime, ctime, inode] of a file (times in ns), None if there is none.

    A program can set the size and the mtime of a file back, but not its ctime.
    """
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def once_per_state(function: Callable[..., T]) -> Callable[..., T]:
    """Return a function of a path that remembers its last result for each file, while size, times and inode last.

    A file that was changed just now may change again within the resolution of its times, and is read again. So is every
    file while code is watched, because what is opened is recorded then.
    """
    known: dict[str, tuple[list[int], T]] = {}

    @wraps(function)
    def remembered(path: str | Path) -> T:
        name, began, before = os.path.abspath(path), time.time_ns(), _quiet_stamp(path)
        if before is not None and not records() and known.get(name, (None,))[0] == before:
            return known[name][1]
        result = function(path)
        if before is not None and began - max(before[1:3]) >= RECENT_NS and _quiet_stamp(path) == before:
            known[name] = before, result
        return result

    return remembered


def _quiet_stamp(path: str | Path) -> list[int] | None:
    """Return `stamp` of a file, without a record where code is watched."""
    with unwatched():
        return stamp(path)


digest_once = once_per_state(file_digest)


def file_state(path: str, whole: bool = False) -> list | None:
    """Return [size, mtime, ctime, inode, SHA-256 of the content] of a file, None if there is no such file.

    The times (ns) of a file that was changed just now are 0, so that the next comparison reads its content. The digest
    of a file of CONTENT_BYTES or more is None, unless `whole` files are wanted.
    """
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            return None
        content = digest_once(path) if whole or found.st_size < CONTENT_BYTES else None
    except OSError:
        return None
    recent = time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) < RECENT_NS
    times = [0, 0] if recent else [found.st_mtime_ns, found.st_ctime_ns]
    return [found.st_size, *times, found.st_ino, content]


def kind_of(path: str, follow: bool = True) -> str:
    """Return "absent", "file", "folder", "other" or, for a link that is not followed, "link to TARGET"."""
    try:
        mode = os.stat(path, follow_symlinks=follow).st_mode
        if stat.S_ISLNK(mode):
            return f"link to {os.readlink(path)}"
    except OSError:
        return "absent"
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def size_and_time(path: str) -> list | None:
    """Return [size, mtime in ns] of a file, of a folder [0, mtime]; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_size if stat.S_ISREG(found.st_mode) else 0, found.st_mtime_ns]


def names_in(path: str) -> list[str] | None:
    """Return the sorted names in a folder, those of folders with a "/" behind; None if there is no such folder."""
    try:
        with os.scandir(path) as entries:
            found = [entry.name + "/" * entry.is_dir() for entry in entries]
    except OSError:
        return None
    return sorted(name for name in found if name.rstrip("/") not in CACHES)


def importable_names(path: str, wanted: Iterable[str]) -> list[str]:
    """Return the names in a folder that an import of one of the `wanted` modules could find."""
    wanted = set(wanted)
    return [name for name in names_in(path) or () if name.rstrip("/").split(".")[0] in wanted]


@cache
def package_version(name: str) -> str:
    """Return the version of an installed distribution, or of Python for "python"; "" if it is not installed."""
    if name == "python":
        return "{}.{}".format(*sys.version_info)
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def checked(inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """Return the first difference between stored and present inputs as text, "" if there is none.

    Parameters
    ----------
    inputs : mapping
        As `Seen.inputs` returns them; empty: nothing was watched.

    Returns
    -------
    reason : str
    inputs : dict or None
        The inputs with the present times, where files were touched and have their content as before; else None.
    """
    for reason in (*_other_surroundings(inputs), *_other_names(inputs)):
        return reason, None
    reason, touched = files_checked(inputs.get("files", {}))
    if reason:
        return reason, None
    return "", {**inputs, "files": {**inputs["files"], **touched}} if touched else None


def files_checked(states: Mapping[str, list]) -> tuple[str, dict[str, list]]:
    """Return the first difference between stored and present files as text, "" if there is none.

    Parameters
    ----------
    states : mapping of {str: list}
        {path: `file_state`}.

    Returns
    -------
    reason : str
    touched : dict of {str: list}
        The present states of files that were touched and have their content as before.
    """
    touched = {}
    for path, state in states.items():
        reason, fresh = _file_checked(path, state)
        if reason:
            return reason, {}
        touched |= {path: fresh} if fresh else {}
    return "", touched


def _other_surroundings(inputs: Mapping[str, Any]) -> Iterable[str]:
    """Yield the differences in the working folder, the variables and the packages."""
    if inputs.get("cwd") not in (None, os.getcwd()):
        yield "it reads relative paths, and the working folder is another"
    for name, state in inputs.get("environment", {}).items():
        if variable_state(os.environ.get(name)) != state:
            yield f"the variable {name} changed"
    for name, wanted in inputs.get("versions", {}).items():
        if package_version(name) != wanted:
            yield f"{name} is {package_version(name) or 'not installed'}; it was {wanted}"


def _other_names(inputs: Mapping[str, Any]) -> Iterable[str]:
    """Yield the differences in folders and in the existence of paths."""
    for path, state in inputs.get("folders", {}).items():
        if listing_state(names_in(path)) != state:
            yield f"the files in {path} are others"
    for path, (wanted, found) in inputs.get("imports", {}).items():
        if importable_names(path, wanted) != found:
            yield f"the modules in {path} are others"
    for path, kind in inputs.get("kinds", {}).items():
        if kind_of(path, follow=not kind.startswith("link to ")) != kind:
            yield f"{path} is {kind_of(path)}; it was {kind}"
    for path, state in inputs.get("times", {}).items():
        if size_and_time(path) != state:
            yield f"the size or the time of {path} changed"


def _file_checked(path: str, state: list) -> tuple[str, list | None]:
    """Return (difference, "" if none; the new state of a file that was touched without a change of its content)."""
    content, found = state[-1], stamp(path)
    if found is None:
        return f"{path} is gone", None
    if found == state[:-1]:
        return "", None
    fresh = file_state(path, whole=True) if found[0] == state[0] and content else None
    if fresh is None or fresh[-1] != content:
        return f"{path} changed", None
    return "", fresh


def variable_state(value: str | None) -> str | None:
    """Return the digest of a variable's value, which may be secret; None if it is not set."""
    return None if value is None else digest(value)


def listing_state(names: list[str] | None) -> str | None:
    """Return the digest of the names in a folder, None if there is none."""
    return None if names is None else digest(names)


def file_content(path: str) -> str | None:
    """Return the SHA-256 of a whole file of any size, of Python its syntax tree's; None if there is none."""
    if not Path(path).is_file():
        return None
    return source_digest(Path(path).read_bytes()) if path.endswith(".py") else file_digest(path)
