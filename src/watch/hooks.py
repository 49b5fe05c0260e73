"""Accesses of running code: an audit hook, and functions and an import finder that are in place while code is watched.

Python raises audit events for files that are opened, folders that are listed, programs and connections; questions for
the existence of a path, variables and imports raise none that name them fully.
"""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.machinery import PathFinder, SourceFileLoader
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from .active import active, records, unwatched
from .origin import asks_for_times, called_by_user, is_import_system, is_users, serves_python
from .readers import READERS, Wrapped
from .seen import Seen

_variables = type(os.environ)
PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.spawn")
FORKS = ("os.fork", "os.forkpty")
NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request")


class Watching:
    """Context in which all that is read is recorded.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp()) / "notes.txt"
    >>> _ = path.write_text("one")
    >>> with Watching() as seen:
    ...     _ = path.read_text()
    >>> list(seen.inputs()["files"]) == [str(path)]
    True
    """

    def __enter__(self) -> Seen:
        _install_hook()
        self.seen = Seen(boundary=sys._getframe(1))
        active.append(self.seen)
        if len(active) == 1:
            _replace_functions()
        return self.seen

    def __exit__(self, *_: Any) -> None:
        active[:] = [other for other in active if other is not self.seen]
        self.seen.boundary = None
        if not active:
            _restore_functions()


@cache
def _install_hook() -> None:
    """Add the audit hook, once per process; a hook cannot be removed, and does nothing while nothing is watched."""
    sys.addaudithook(_audited)


def _audited(event: str, arguments: tuple) -> None:
    if event not in HANDLERS or not records():
        return
    frame = sys._getframe(1)
    with unwatched() as watched:
        for seen in active if watched else ():
            try:
                HANDLERS[event](seen, arguments, frame)
            except (OSError, ValueError, TypeError):  # a path that no file can have: the access itself fails
                continue


def _opened(seen: Seen, arguments: tuple, frame: FrameType) -> None:
    """Record a file that is opened: path, mode of `open` or None, flags of `os.open`."""
    path, mode, flags = arguments
    if isinstance(path, int) or serves_python(frame):
        return
    flags = flags or 0
    if isinstance(mode, str):
        reads, writes = "r" in mode or "a+" in mode, any(letter in mode for letter in "wxa+")
    else:
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
        reads = not flags & (os.O_WRONLY | os.O_TRUNC | os.O_EXCL)
    if reads:
        seen.read(path)
    if writes:
        seen.wrote(path)


def _connected(seen: Seen, arguments: tuple, frame: FrameType) -> None:
    if called_by_user(frame, seen.boundary):
        seen.cannot_watch("reads from the network")


def _started(seen: Seen, arguments: tuple, frame: FrameType) -> None:
    if called_by_user(frame, seen.boundary):
        command = arguments[0] or (arguments[1] if len(arguments) > 1 else "")
        first = command if isinstance(command, str | bytes | os.PathLike) else next(iter(command or [""]))
        seen.cannot_watch(f"runs the program {os.path.basename(os.fsdecode(first)).split(' ')[0]}")


def _forked(seen: Seen, arguments: tuple, frame: FrameType) -> None:
    if called_by_user(frame, seen.boundary):
        seen.cannot_watch("starts processes")


def _listed(seen: Seen, arguments: tuple, frame: FrameType) -> None:
    # imports are recorded by the modules that they look for
    if not is_import_system(frame):
        seen.listed(arguments[0])


def _changed(seen: Seen, arguments: tuple, frame: FrameType) -> None:
    seen.wrote(arguments[0])


def _moved(seen: Seen, arguments: tuple, frame: FrameType) -> None:
    seen.wrote(arguments[0])
    seen.wrote(arguments[1])


def _linked(seen: Seen, arguments: tuple, frame: FrameType) -> None:
    seen.wrote(arguments[1])


def _entered(seen: Seen, arguments: tuple, frame: FrameType) -> None:
    seen.absolute(arguments[0])
    seen.moved = True


def _set_variable(seen: Seen, arguments: tuple, frame: FrameType) -> None:
    seen.set_variables.add(os.fsdecode(arguments[0]))


def _loaded_library(seen: Seen, arguments: tuple, frame: FrameType) -> None:
    if isinstance(arguments[0], str) and os.sep in arguments[0]:
        seen.read(arguments[0])


def _database(seen: Seen, arguments: tuple, frame: FrameType) -> None:
    if arguments[0] != ":memory:":
        path = os.fsdecode(arguments[0]).removeprefix("file:").split("?")[0]
        for suffix in ("", "-wal"):
            seen.read(path + suffix)


HANDLERS: dict[str, Callable[[Seen, tuple, FrameType], None]] = {
    "open": _opened,
    "os.listdir": _listed,
    "os.scandir": _listed,
    **dict.fromkeys(("os.remove", "os.mkdir", "os.rmdir", "os.truncate"), _changed),
    "os.rename": _moved,
    **dict.fromkeys(("os.link", "os.symlink"), _linked),
    "os.chdir": _entered,
    **dict.fromkeys(("os.putenv", "os.unsetenv"), _set_variable),
    "ctypes.dlopen": _loaded_library,
    "sqlite3.connect": _database,
    **dict.fromkeys(PROGRAMS, _started),
    **dict.fromkeys(FORKS, _forked),
    **dict.fromkeys(NETWORK, _connected),
}


def _asking(function: Callable, follows: bool) -> Callable:
    """Return `os.stat` or a function like it, with a record of the path that it asks for."""

    @functools.wraps(function)
    def asking(path, *arguments, **options):
        if records() and options.get("dir_fd") is None:
            frame = sys._getframe(1)
            with unwatched() as watched:
                for seen in active if watched and not isinstance(path, int) and not is_import_system(frame) else ():
                    try:
                        follow = follows and options.get("follow_symlinks", True)
                        seen.asked(path, follow, times=function is _os["stat"] and asks_for_times(frame))
                    except (OSError, ValueError, TypeError):  # the question itself fails
                        continue
        return function(path, *arguments, **options)

    return asking


def _asking_cwd() -> str:
    """Return the working folder, with a record that the user's code asked for it."""
    frame = sys._getframe(1)
    with unwatched() as watched:
        for seen in active if watched else ():
            if called_by_user(frame, seen.boundary):
                seen.reads_cwd()
    return _os["getcwd"]()


def _variable(self: Any, key: str) -> str:
    """Return a variable, with a record that the user's code read it."""
    frame = sys._getframe(1)
    with unwatched() as watched:
        if watched and isinstance(key, str | bytes):
            _record_variable(os.fsdecode(key), frame)
    return _read_variable(self, key)


def _all_variables(self: Any) -> Iterator:
    """Iterate over all variables, with a record that the user's code read them."""
    frame = sys._getframe(1)
    with unwatched() as watched:
        for name in list(map(os.fsdecode, self._data)) if watched else ():
            _record_variable(name, frame)
    return _iterate_variables(self)


def _record_variable(name: str, frame: FrameType) -> None:
    for seen in active:
        if called_by_user(frame, seen.boundary):
            value = os.environ._data.get(os.fsencode(name))
            seen.read_variable(name, None if value is None else os.fsdecode(value))


def _starting(self: BaseProcess) -> None:
    """Start a process, with a record that it cannot be watched."""
    frame = sys._getframe(1)
    with unwatched() as watched:
        for seen in active if watched else ():
            _forked(seen, (), frame)
    _start_process(self)


class Uncached(SourceFileLoader):
    """Loader of a user's source, which is compiled anew: a compiled module may be older than its source."""

    def get_code(self, fullname: str):
        """Return the code of the source."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Finder:
    """Import finder that records where modules of the user's are looked for, and wraps the readers of new packages."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None):
        """Return the specification of a module of the user's or of a package of READERS, None for all others."""
        folders = [os.path.abspath(folder or ".") for folder in (sys.path if path is None else path)]
        with unwatched() as watched:
            if watched:
                for seen in active:
                    for folder in folders:
                        seen.looked_for(folder, name.rpartition(".")[2])
        if name not in READERS and not any(map(is_users, folders)):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or not spec.origin:
            return None
        if name in READERS:
            spec.loader.exec_module = _then_wrapped(spec.loader.exec_module, name)
            return spec
        if not is_users(spec.origin):
            return None
        if type(spec.loader) is SourceFileLoader:
            spec.loader = Uncached(spec.loader.name, spec.loader.path)
        return spec


def _then_wrapped(execute: Callable, name: str) -> Callable:
    """Return a loader's `exec_module` that wraps the readers of the module afterwards."""

    def executed(module: Any) -> None:
        execute(module)
        if _wrapped:
            _wrapped[0].wrap(name)

    return executed


_os = {name: getattr(os, name) for name in ("stat", "lstat", "readlink", "access", "getcwd")}
_asked = {
    name: _asking(_os[name], follows=name in ("stat", "access")) for name in ("stat", "lstat", "readlink", "access")
}
_asked["getcwd"] = _asking_cwd
_read_variable, _iterate_variables = _variables.__getitem__, _variables.__iter__
_start_process = BaseProcess.start
_wrapped: list[Wrapped] = []
CAPABILITIES = ("supports_dir_fd", "supports_fd", "supports_follow_symlinks", "supports_effective_ids")


def _replace_functions() -> None:
    """Put the functions, the finder and the readers in place."""
    for name, function in _asked.items():
        setattr(os, name, function)
        for capability in CAPABILITIES:
            if _os[name] in getattr(os, capability):
                getattr(os, capability).add(function)
    _variables.__getitem__, _variables.__iter__ = _variable, _all_variables
    BaseProcess.start = _starting
    sys.meta_path.insert(0, _Finder)
    _wrapped.append(Wrapped())


def _restore_functions() -> None:
    """Take the functions, the finder and the readers away."""
    _wrapped.pop().undo()
    sys.meta_path.remove(_Finder)
    BaseProcess.start = _start_process
    _variables.__getitem__, _variables.__iter__ = _read_variable, _iterate_variables
    for name, function in _asked.items():
        setattr(os, name, _os[name])
        for capability in CAPABILITIES:
            getattr(os, capability).discard(function)


def include(inputs: dict[str, Any]) -> None:
    """Add inputs of code that was watched earlier to all that is being watched."""
    for seen in active:
        seen.include(inputs)
