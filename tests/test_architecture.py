"""The rules of the house that a reader can rely on, read off the source."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
SCRIPTS = sorted(ROOT.glob("score_*.py"))
BASE = {"utils", "records", "config", "video", "fakenet"}
MAY_IMPORT = {
    "utils": set(),
    "config": {"utils"},
    "records": {"utils"},
    "video": {"utils"},
    "fakenet": {"utils"},
    **dict.fromkeys(("store", "ceiling", "data", "models", "evaluate"), BASE),
    "analysis": BASE | {"ceiling", "evaluate"},
    "pipeline": BASE | {"store", "ceiling", "data", "models", "evaluate", "analysis"},
    "cli": BASE | {"store", "data", "models", "pipeline"},
    "grid": BASE | {"store", "data", "models", "pipeline", "cli"},
    "report": BASE | {"store", "data", "analysis", "pipeline", "cli"},
}
PRINTING = {"cli", "grid", "__main__"}
HEAVY = ("torch", "torchvision", "xarray", "pandas", "sklearn", "brainscore_vision", "av", "netCDF4")


def room(path):
    relative = path.relative_to(ROOT / "src")
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported(tree):
    """Every module that the code imports, also inside functions; `from src import a` counts as src.a."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((f"src.{alias.name}" for alias in node.names) if node.module == "src" else (node.module,))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    here = room(path)
    if here == "__init__" or path.stem == "__main__":
        return  # a package's command is a script, at the top of the house
    rooms = {name.split(".")[1] for name in imported(ast.parse(path.read_text())) if name.startswith("src.")}
    assert rooms <= MAY_IMPORT[here] | {here}, f"{here} must not import {rooms - MAY_IMPORT[here] - {here}}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_swallowed_errors_wildcards_absolute_paths_or_prints(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"{where}: bare except"
        assert not (isinstance(node, ast.ImportFrom) and node.names[0].name == "*"), f"{where}: wildcard import"
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
            assert room(path) in PRINTING or path.stem in PRINTING, f"{where}: print outside the command line"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not node.value.startswith(("/home/", "/Users/", "/root/", "/work/")), f"{where}: {node.value}"


def loaded_by(code):
    program = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module", ["src", "src.data", "src.models", "src.store", "src.pipeline", "src.cli", "src.grid", "src.analysis"]
)
def test_importing_a_room_loads_nothing_heavy(module):
    heavy = loaded_by(f"import {module}") & set(HEAVY)
    assert not heavy


def test_the_numeric_rooms_run_without_brainscore_and_xarray():
    block = "import sys\nfor name in ('brainscore_vision', 'brainscore_core', 'xarray'): sys.modules[name] = None\n"
    names = [p.stem for p in sorted((ROOT / "src" / "evaluate").glob("*.py")) if p.stem != "__init__"]
    modules = [f"src.evaluate.{name}" for name in names]
    modules += [f"src.analysis.{p.stem}" for p in (ROOT / "src" / "analysis").glob("*.py") if p.stem != "__init__"]
    modules += ["src.ceiling", "src.extraction.extract", "src.extraction.projection", "src.video"]
    assert set(modules) <= loaded_by(block + "import " + ", ".join(modules))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_scripts_are_short(path):
    assert len(path.read_text().splitlines()) <= 40
