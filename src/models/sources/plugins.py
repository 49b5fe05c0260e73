"""Model plugins of the installed Brain-Score, read from their source text without importing it."""

import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from ...utils import BadInput, digest, file_digest

REGISTRATION = re.compile(r"""^[ \t]*model_registry\[\s*['"]([^'"]+)['"]\s*\]""", re.MULTILINE)
IMPORT = re.compile(r"^(?:from|import) ([A-Za-z_]\w*)", re.MULTILINE)


@cache
def plugins_dir() -> Path | None:
    """Return the folder of Brain-Score's model plugins, None if it is not installed."""
    found = importlib.util.find_spec("brainscore_vision")
    return Path(found.origin).parent / "models" if found and found.origin else None


@cache
def plugin_names() -> Mapping[str, str]:
    """Return {model name: plugin folder} of the installed Brain-Score; empty if it is not installed."""
    root = plugins_dir()
    if root is None:
        return {}
    names = {}
    for init in sorted(root.glob("[!._]*/__init__.py")):
        for name in REGISTRATION.findall(init.read_text(encoding="utf-8", errors="replace")):
            names[name] = init.parent.name
    return names


def plugin_of(name: str) -> Path:
    """Return the folder of the model's plugin; raise BadInput if the installed Brain-Score has none."""
    if name not in plugin_names():
        raise BadInput(f"{name} is a Brain-Score model that is not installed; pip install -U brainscore-vision")
    return plugins_dir() / plugin_names()[name]


def source_files(name: str) -> tuple[Path, ...]:
    """Return the Python files of the model's plugin."""
    return tuple(sorted(path for path in plugin_of(name).rglob("*.py") if path.name != "test.py"))


@cache
def missing_imports(plugin: str) -> tuple[str, ...]:
    """Return the packages that the plugin's top-level code imports and that are not installed."""
    sources = [path for path in (plugins_dir() / plugin).glob("*.py") if path.name not in ("test.py", "setup.py")]
    names = {name for path in sources for name in IMPORT.findall(path.read_text(encoding="utf-8", errors="replace"))}
    local = {path.stem for path in (plugins_dir() / plugin).iterdir()}
    return tuple(sorted(name for name in names - local if not _installed(name)))


@cache
def _installed(package: str) -> bool:
    """Return True for an installed package and for one of the standard library."""
    return package in sys.stdlib_module_names or importlib.util.find_spec(package) is not None


@contextmanager
def no_installs() -> Iterator[None]:
    """Set the variable without which Brain-Score runs `pip install` before it loads a model; restore it afterwards."""
    before = os.environ.get("BS_INSTALL_DEPENDENCIES")
    os.environ["BS_INSTALL_DEPENDENCIES"] = before or "no"
    try:
        yield
    finally:
        if before is None:
            del os.environ["BS_INSTALL_DEPENDENCIES"]


@contextmanager
def fresh(plugin: str, registry: dict) -> Iterator[None]:
    """Import the plugin again in the block and remove it from sys.modules and the registry afterwards.

    Some plugins build their network while they are imported. Two loads must not share it, because sampling new weights
    for one would change the other.
    """

    def remove_modules() -> dict[str, Any]:
        package = f"brainscore_vision.models.{plugin}"
        names = [name for name in sys.modules if name == package or name.startswith(package + ".")]
        return {name: sys.modules.pop(name) for name in names}

    before, registered = remove_modules(), dict(registry)
    try:
        yield
    finally:
        remove_modules()
        sys.modules.update(before)
        registry.clear()
        registry.update(registered)


def recipe(name: str) -> str:
    """Return the digest of the plugin's source and of Brain-Score's helpers that resize and normalise for it."""
    helpers = plugins_dir().parent / "model_helpers" / "activations"
    files = [*source_files(name), helpers / "pytorch.py", helpers / "temporal" / "utils.py"]
    return digest([name, *([path.name, file_digest(path)] for path in files)])
