"""Execution of users' files: with their neighbours on sys.path, and with the modules of no other project."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from ..utils import digest
from .active import unwatched
from .hooks import Uncached
from .origin import is_users, module_file

# names of modules that are made of a user's file begin with this
USERS_MODULE = "users_file_"
# modules that users' files have imported: {folder of the file: {name: module}}
_imported: dict[Path, dict[str, ModuleType]] = {}
_open: list[Path] = []


@contextmanager
def importable(folder: Path, again: bool = False) -> Iterator[None]:
    """Put a folder on sys.path in the block, so that a user's file can import its neighbours.

    Modules of the user's that an earlier block imported, and modules called like one in the folder, are set aside:
    they may belong to another project, or be older than their files. again: those of the last block of this folder are
    kept, since objects of that block are used.
    """
    importlib.invalidate_caches()
    own = _imported.get(folder, {}) if again else {}
    with unwatched():
        aside = {name: sys.modules.pop(name) for name in _others(folder, own)}
    sys.modules.update({name: module for name, module in own.items() if name not in sys.modules})
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    _open.append(folder)
    try:
        yield
    finally:
        _open.pop()
        sys.path.remove(str(folder))
        new = {n: m for n, m in list(sys.modules.items()) if n not in before and is_users(module_file(m))}
        users = {n: m for n, m in aside.items() if not any(m is other.get(n) for other in _imported.values())}
        _imported[folder] = own | new
        for name in _imported[folder] if _open else ():
            sys.modules.pop(name, None)
        sys.modules.update(aside if _open else users)


def _others(folder: Path, own: dict[str, ModuleType]) -> list[str]:
    """Return the names of loaded modules to set aside for the files of a folder, those of `own` left out."""
    earlier = [n for modules in _imported.values() for n, module in modules.items() if sys.modules.get(n) is module]
    tops = {name for name in sys.modules if "." not in name and name != "__main__"}
    here = {path.name.split(".")[0] for path in folder.iterdir()} & tops if folder.is_dir() else set()
    clashing = {name for name in here if is_users(module_file(sys.modules[name])) and _is_module(name, folder)}
    inside = [name for name in sys.modules if name.split(".")[0] in clashing]
    return [name for name in dict.fromkeys([*earlier, *inside]) if sys.modules[name] is not own.get(name)]


def _is_module(name: str, folder: Path) -> bool:
    """Return True if a folder has a module, or a package with an `__init__`, of that name."""
    found = PathFinder.find_spec(name, [str(folder)])
    return found is not None and found.origin is not None


def executed(path: Path) -> ModuleType:
    """Execute a user's Python file and return it as a module, in sys.modules too for dataclasses and pickles."""
    name = f"{USERS_MODULE}{digest(str(path))[:8]}"
    spec = spec_from_file_location(name, path, loader=Uncached(name, str(path)))
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
