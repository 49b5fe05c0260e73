"""Modules and packages that source files import, found by their import statements."""

import ast
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from importlib.util import resolve_name
from types import ModuleType

from .origin import is_users, module_file

# packages that open files in compiled code, where nothing tells their names
COMPILED = ("duckdb", "itk", "jpype", "matlab", "osgeo", "rpy2", "tensorstore", "vtk", "ctypes", "cffi")


def imported_by(files: Iterable[str]) -> tuple[set[str], set[str], list[str]]:
    """Return all that Python files import, directly or through other files of the user's.

    Parameters
    ----------
    files : iterable of str
        Python files of the user's.

    Returns
    -------
    modules : set of str
        Files of the user's that are imported, those of `files` included; only modules that are loaded count.
    versions : set of str
        Installed distributions.
    compiled : list of str
        Packages of COMPILED.
    """
    by_file = {}
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType) and is_users(file := module_file(module)):
            by_file[file] = module
    waiting, seen, tops = list(files), set(), set()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        module = by_file.get(file)
        for name in _imports(file, getattr(module, "__package__", None) or ""):
            tops.add(name.split(".")[0])
            parts = name.split(".")
            for loaded in (sys.modules.get(".".join(parts[: k + 1])) for k in range(len(parts))):
                if loaded is not None and is_users(other := module_file(loaded)):
                    waiting.append(other)
    distributions = _distributions()
    return seen, {d for top in tops for d in distributions.get(top, ())}, [n for n in COMPILED if n in tops]


@cache
def _distributions() -> dict[str, list[str]]:
    """Return {top-level module: distributions}, this program's own left out."""
    found = metadata.packages_distributions()
    own = found.get("dynamic_vision", [])
    return {top: [d for d in names if d not in own] for top, names in found.items()}


def _imports(path: str, package: str) -> Iterator[str]:
    """Yield the full names that the import statements of a file name, also those inside functions."""
    if not path.endswith(".py"):
        return
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                try:
                    base = resolve_name("." * node.level + base, package)
                except ImportError:
                    continue
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
