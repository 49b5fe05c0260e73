"""Record of all that a piece of code reads, and its inputs as plain data."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from ..utils import digest
from .active import unwatched
from .imports import imported_by
from .origin import holds_installed, is_users
from .states import (
    STARTED_NS,
    checked,
    file_content,
    file_state,
    importable_names,
    kind_of,
    listing_state,
    names_in,
    package_version,
    size_and_time,
    stamp,
    variable_state,
)

# functions of `os` that are replaced while code is watched
stat, getcwd = os.stat, os.getcwd


@dataclass
class Seen:
    """All that was read while code was watched.

    Attributes
    ----------
    reads : dict of str to [size, mtime, ctime, inode] or None
        Files that were opened for reading, or looked for, with their state at that time; [] for one that the watched
        code wrote before, None for one that was absent.
    written : set of str
        Paths that the watched code made, changed or removed.
    kinds : dict of str to str
        Paths whose existence or link was asked for.
    times : dict of str to [size, mtime]
        Paths whose size or time was asked for.
    folders : dict of str to list of str
        Folders that were listed, with the names in them.
    imports : dict of str to set of str
        Folders in which modules were looked for, with the names of the modules.
    environment : dict of str to str or None
        Variables that were read.
    unwatched : dict of str to None
        Actions whose inputs cannot be watched, as text, in their order.
    """

    reads: dict[str, list[int] | None] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    kinds: dict[str, str] = field(default_factory=dict)
    times: dict[str, list | None] = field(default_factory=dict)
    folders: dict[str, list[str] | None] = field(default_factory=dict)
    imports: dict[str, set[str]] = field(default_factory=dict)
    environment: dict[str, str | None] = field(default_factory=dict)
    unwatched: dict[str, None] = field(default_factory=dict)
    hdf5: set[str] = field(default_factory=set)
    set_variables: set[str] = field(default_factory=set)
    included: list[Mapping[str, Any]] = field(default_factory=list)
    cwd: str | None = None
    moved: bool = False
    boundary: FrameType | None = None

    def absolute(self, path: Any) -> str | None:
        """Return the absolute path of an argument of an event, None for one that is no path of the user's."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}") if os.path.isdir("/proc/self/fd") else None
        if path is None:
            return None
        path = os.fsdecode(path)
        if not os.path.isabs(path):
            self.reads_cwd()
            path = os.path.join(getcwd(), path)
        path = os.path.normpath(path) if ".." not in path.split(os.sep) else path
        return path if is_users(path) else None

    def reads_cwd(self) -> None:
        """Record that the working folder matters, unless the watched code chose it."""
        if not self.moved:
            self.cwd = getcwd()

    def read(self, path: Any) -> str | None:
        """Record a file that is opened for reading; return its absolute path."""
        path = self.absolute(path)
        if path is None:
            return None
        if path.endswith(".pyc"):
            path = _source_of(path)
        if kind_of(path) == "folder":
            self.kinds.setdefault(path, "folder")
        elif path not in self.reads:
            self.reads[path] = [] if path in self.written else stamp(path)
        return path

    def read_tree(self, path: Any) -> None:
        """Record a file, or a folder with all files in it, which compiled code reads."""
        path = self.read(path)
        if path and self.kinds.get(path) == "folder":
            for folder, _, names in os.walk(path):
                self.listed(folder)
                for name in names:
                    self.read(os.path.join(folder, name))

    def wrote(self, path: Any) -> None:
        """Record a path that is made, changed or removed; a folder that exists is neither."""
        path = self.absolute(path)
        if path is not None and kind_of(path) != "folder":
            self.written.add(path)

    def listed(self, path: Any) -> None:
        """Record a folder that is listed."""
        path = self.absolute("." if path in (None, "", b"") else path)
        if path is not None:
            self.folders.setdefault(path, names_in(path))

    def asked(self, path: Any, follow: bool = True, times: bool = False) -> None:
        """Record a path whose existence, link or, with `times`, size and time are asked for."""
        path = self.absolute(path)
        if path is None or holds_installed(path):
            return
        if times:
            self.times.setdefault(path, size_and_time(path))
        kind = kind_of(path, follow)
        if follow or kind.startswith("link to "):
            self.kinds.setdefault(path, kind)

    def looked_for(self, folder: str, name: str) -> None:
        """Record a module that an import looks for in a folder."""
        folder = os.path.abspath(folder or getcwd())
        if is_users(folder):
            self.imports.setdefault(folder, set()).add(name)

    def read_variable(self, name: str, value: str | None) -> None:
        """Record a variable that is read, unless the watched code set it."""
        if name not in self.set_variables:
            self.environment.setdefault(name, value)

    def cannot_watch(self, action: str) -> None:
        """Record an action whose inputs cannot be watched."""
        self.unwatched[action] = None

    def include(self, inputs: Mapping[str, Any]) -> None:
        """Add inputs of code that was watched earlier and whose result is used again."""
        self.included.append(inputs)

    def inputs(self) -> dict[str, Any]:
        """Return all that was seen as JSON-able data, with digests of the contents of files.

        Returns
        -------
        dict
            "files" {path: state}, "folders" {path: digest of the names}, "imports" {folder: [modules, names found]},
            "kinds" {path: kind}, "times" {path: [size, mtime]}, "environment" {name: digest of the value}, "versions"
            {package: version}, "cwd" path or None, "unwatched" [action]. `states.checked` compares them.
        """
        with unwatched():
            return self._inputs()

    def _inputs(self) -> dict[str, Any]:
        for path in sorted(self.hdf5 & self.reads.keys()):
            for other in _linked(path, self):
                self.read(other)
        modules, versions, compiled = imported_by(path for path in self.reads if path.endswith(".py"))
        for path in sorted(modules - self.reads.keys()):
            self.read(path)
            if stat(path).st_mtime_ns > STARTED_NS:
                self.cannot_watch(f"uses {path}, which changed after Python had loaded it")
        for package in compiled:
            self.cannot_watch(f"reads files with {package}")
        files = {path: state for path in self.reads if (state := self._final(path))}
        absent = {path: "absent" for path in self.reads if path not in files and kind_of(path) == "absent"}
        kinds = {path: kind_of(path) if path in self.written else kind for path, kind in self.kinds.items()}
        found = {
            "files": files,
            "folders": {path: listing_state(names) for path, names in self.folders.items()},
            "imports": {
                folder: [sorted(names), importable_names(folder, names)] for folder, names in self.imports.items()
            },
            "kinds": {path: kind for path, kind in (kinds | absent).items() if path not in files or "link" in kind},
            "times": {path: state for path, state in self.times.items() if path not in self.written},
            "environment": {name: variable_state(value) for name, value in self.environment.items()},
            "versions": {name: package_version(name) for name in sorted({"python", *versions})},
            "cwd": self.cwd,
            "unwatched": list(self.unwatched),
        }
        for other in self.included:
            found = _merged(other, found)
        return found

    def _final(self, path: str) -> list | None:
        """Return the state of a file that was read; one that changed after it was read cannot be watched."""
        first, state = self.reads[path], file_state(path)
        if first and stamp(path) != first:
            self.cannot_watch(f"reads {path}, which changed meanwhile")
        return state

    def content(self, folder: str | Path) -> str:
        """Return a digest of the contents of all that was seen, the same wherever `folder` and its neighbours lie.

        Files and folders are named relative to `folder` or, outside its parent, by their last part. Variables that hold
        a path, packages and what the watched code wrote itself are left out.
        """
        with unwatched():
            return self._content(os.path.abspath(folder))

    def _content(self, folder: str) -> str:
        files = {path for path in self.reads if path not in self.written}
        kinds = {path: kind for path, kind in self.kinds.items() if path not in self.written | files}
        listed = {path: names for path, names in self.folders.items() if not self._is_own(path)}
        parts = [
            sorted([_name(path, folder), file_content(path)] for path in files),
            sorted([_name(path, folder), kind] for path, kind in kinds.items() if not _holds(path, folder)),
            sorted([_name(path, folder), names] for path, names in listed.items()),
            sorted([name, v] for name, v in self.environment.items() if v is None or not os.path.exists(v)),
        ]
        return digest([part for part in parts if part])

    def _is_own(self, path: str) -> bool:
        """Return True for a folder that the watched code made."""
        return any(path == made or path.startswith(made + os.sep) for made in self.written)


def unchanged(inputs: Mapping[str, Any]) -> bool:
    """Return True if all that was seen is as it was, and nothing was seen that cannot be watched."""
    with unwatched():
        return not inputs.get("unwatched") and not checked(inputs)[0]


def _source_of(path: str) -> str:
    """Return the source of a compiled module, the module itself if there is no source."""
    folder, name = os.path.split(path)
    source = os.path.join(os.path.dirname(folder), f"{name.split('.')[0]}.py")
    return source if os.path.basename(folder) == "__pycache__" and os.path.exists(source) else path


def _name(path: str, folder: str) -> str:
    """Return the name of a path for `Seen.content`."""
    near = path.startswith(os.path.join(os.path.dirname(folder), ""))
    return os.path.relpath(path, folder) if near else os.path.basename(path)


def _holds(path: str, folder: str) -> bool:
    """Return True if `folder` is `path` or lies in it."""
    return os.path.join(folder, "").startswith(os.path.join(path, ""))


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return two inputs as one."""
    mappings = ("files", "folders", "kinds", "times", "environment", "versions")
    imports = dict(first["imports"])
    for folder, (names, found) in second["imports"].items():
        others, other_found = imports.get(folder, ([], []))
        imports[folder] = [sorted({*names, *others}), sorted({*found, *other_found})]
    return {
        **{name: {**first[name], **second[name]} for name in mappings},
        "imports": imports,
        "cwd": second["cwd"] or first["cwd"],
        "unwatched": list(dict.fromkeys([*first["unwatched"], *second["unwatched"]])),
    }


def _linked(path: str, seen: Seen, limit: int = 20_000) -> Iterator[str]:
    """Yield the files that an HDF5 file refers to: external links, sources of virtual datasets, external storage."""
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError:  # another format of netCDF, or a file that is gone
        return
    with file:
        waiting, done = [file], 0
        while waiting:
            group = waiting.pop()
            for name in group:
                done += 1
                link = group.get(name, getlink=True)
                if isinstance(link, h5py.ExternalLink):
                    yield _beside(path, link.filename)
                    continue
                item = group.get(name) if isinstance(link, h5py.HardLink) else None
                if isinstance(item, h5py.Group):
                    waiting.append(item)
                elif isinstance(item, h5py.Dataset):
                    sources = [source.file_name for source in item.virtual_sources()] if item.is_virtual else []
                    sources += [name for name, *_ in item.external or ()]
                    yield from (_beside(path, source) for source in sources if source != ".")
            if done > limit:
                seen.cannot_watch(f"reads {path}, which has more than {limit} links")
                return


def _beside(path: str, name: str | bytes) -> str:
    """Return the file that an HDF5 file calls `name`."""
    return os.path.join(os.path.dirname(path), os.fsdecode(name))
