"""Origin of code: a user's own, or that of Python, of installed packages and of this program."""

import linecache
import os
import site
import sys
import sysconfig
from functools import cache
from types import FrameType

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SYSTEM = ("/proc/", "/sys/", "/dev/")
STANDARD = tuple(
    {os.path.join(os.path.realpath(sysconfig.get_path(name)), "") for name in ("stdlib", "platstdlib")}
    | {os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib")}
)


@cache
def _installed() -> tuple[str, ...]:
    """Return the folders of Python, of installed packages and of this program."""
    folders = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [*site.getsitepackages(), site.getusersitepackages(), HERE]
    folders += [os.path.join(os.path.dirname(folders[0]), "python{}{}.zip".format(*sys.version_info))]
    both = {form for folder in folders for form in (folder, os.path.realpath(folder))}
    return tuple(os.path.join(folder, "") for folder in both)


@cache
def is_users(path: str) -> bool:
    """Return True for an absolute path outside Python, installed packages, this program and the system's devices."""
    return os.path.isabs(path) and not os.path.join(path, "").startswith((*_installed(), *SYSTEM))


@cache
def holds_installed(path: str) -> bool:
    """Return True for a folder in which Python, installed packages or this program lie."""
    return any(other.startswith(os.path.join(path, "")) for other in _installed())


@cache
def is_standard(path: str) -> bool:
    """Return True for a file of Python's standard library."""
    return path.startswith(("<frozen", *STANDARD)) and "-packages" not in path


def is_import_system(frame: FrameType) -> bool:
    """Return True for a frame of Python's import system or of its search for installed packages."""
    return frame.f_code.co_filename.startswith("<frozen importlib") or _is_package_search(frame)


def _is_package_search(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return "importlib/metadata" in file or "importlib_metadata" in file


def serves_python(frame: FrameType | None) -> bool:
    """Return True if a call serves the search for installed packages, or source lines that a warning quotes.

    Python keeps both in memory, so that the same code reads these files or not.
    """
    while frame is not None and not (_is_package_search(frame) or frame.f_code.co_filename == linecache.__file__):
        frame = frame.f_back if is_standard(frame.f_code.co_filename) else None
    return frame is not None


def called_by_user(frame: FrameType | None, boundary: FrameType | None) -> bool:
    """Return True if code of the user's is behind a call: on the stack between `frame` and the frame `boundary`.

    What a package does while it is imported does not count. A thread of its own has no boundary, and counts.
    """
    while frame is not None:
        file = frame.f_code.co_filename
        if is_import_system(frame):
            return False
        if is_users(file):
            return True
        if frame is boundary:
            return False
        frame = frame.f_back
    return True


def asks_for_times(frame: FrameType | None) -> bool:
    """Return True if a call of `os.stat` serves a user's question for size or time, not one for existence."""
    names = []
    while frame is not None and is_standard(frame.f_code.co_filename):
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    asked = set(names) <= {"stat", "lstat", "getmtime", "getctime", "getatime", "getsize"}
    return asked and frame is not None and is_users(frame.f_code.co_filename)


def module_file(module: object) -> str:
    """Return the absolute path of a module's source or library, "" if it has none."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return ""
    return file if os.path.isabs(file) else os.path.abspath(file)
