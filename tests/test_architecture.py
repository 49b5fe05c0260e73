"""The rules of the source: the direction of imports, what an import may load, and the language of docstrings."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
SCRIPTS = sorted(ROOT.glob("score_*.py"))
GROUND = {
    "arguments",
    "columns",
    "config",
    "fakenet",
    "files",
    "interrupts",
    "locks",
    "records",
    "sound",
    "stages",
    "tables",
    "utils",
    "video",
    "watch",
}
SCIENCE = {"analysis", "ceiling", "data", "evaluate", "extraction", "models"}
MAY_IMPORT = {
    "__init__": GROUND | SCIENCE | {"_alias", "api", "pipeline"},
    "_alias": set(),
    "arguments": set(),
    "interrupts": set(),
    "utils": set(),
    **{key: {"utils"} for key in ("columns", "config", "fakenet", "files", "stages")},
    "watch": {"stages", "utils"},
    "records": {"columns", "utils", "watch"},
    "sound": {"files", "utils"},
    "video": {"files", "utils", "watch"},
    "locks": {"files", "utils"},
    "tables": {"files", "utils"},
    **dict.fromkeys(("store", "ceiling", "data", "models"), GROUND),
    "evaluate": GROUND | {"ceiling"},
    "extraction": GROUND | {"models"},
    "analysis": GROUND | {"ceiling", "evaluate"},
    "pipeline": GROUND | SCIENCE | {"store"},
    "grid": GROUND | {"data", "models", "pipeline", "store"},
    "report": GROUND | {"analysis", "data", "evaluate", "models", "pipeline", "store"},
    "api": GROUND | SCIENCE | {"pipeline"},
    "cli": GROUND | SCIENCE | {"grid", "pipeline", "report", "store"},
    "__main__": {"cli", "interrupts"},
}
HEAVY = ("torch", "torchvision", "xarray", "pandas", "sklearn", "brainscore_vision", "av", "netCDF4")
QUESTION = re.compile(r"\W*(What|Which|Who|Whose|How|Whether|Why|Where|When)\b")
NAMES_A_ROOT = re.compile(
    r"(?<![\w/.-])src\.[a-z_]+|python -m (src|dynamic_vision)|dynamic_vision\.(?![a-z]+(/|\(\)))[a-z_]+"
)


def name(path):
    return str(path.relative_to(ROOT))


def room(path):
    relative = path.relative_to(ROOT / "src")
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path):
    """(node, module relative to the package) of all imports from the package, also inside functions; "" is its root."""
    package = path.relative_to(ROOT / "src").parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            module = [*base, *(node.module or "").split(".")] if node.module else list(base)
            if module:
                yield node, ".".join(module)
            else:
                yield from ((node, alias.name) for alias in node.names)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_imports_point_one_way(path):
    here = room(path)
    if path.stem == "__main__":
        here = "__main__"
    rooms = {module.split(".")[0] for _, module in imports(path)} - {here}
    assert rooms <= MAY_IMPORT[here] | {room(path)}, f"{here} must not import {rooms - MAY_IMPORT[here]}"


@pytest.mark.parametrize("path", [p for p in SOURCES if room(p) in ("grid", "report")], ids=name)
def test_grid_and_report_read_the_store_through_its_public_face(path):
    assert not [module for _, module in imports(path) if module.startswith("store.")]


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_swallowed_errors_wildcards_absolute_paths_or_prints(path):
    for node in ast.walk(ast.parse(path.read_text())):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"{where}: bare except"
        assert not (isinstance(node, ast.ImportFrom) and node.names[0].name == "*"), f"{where}: wildcard import"
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
            assert room(path) == "cli", f"{where}: print outside the command line"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not node.value.startswith(("/home/", "/Users/", "/root/", "/work/")), f"{where}: {node.value}"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_the_package_does_not_name_its_own_root(path):
    """A checkout is imported as `src`, an installation as `dynamic_vision`: neither may be in an import or a hint."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        roots = []
        if isinstance(node, ast.ImportFrom) and not node.level:
            roots = [node.module.split(".")[0]]
        elif isinstance(node, ast.Import):
            roots = [alias.name.split(".")[0] for alias in node.names]
        assert not {"src", "dynamic_vision"} & set(roots), f"{path.name}:{node.lineno}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and path.parent.name != "src":
            assert not NAMES_A_ROOT.search(node.value), f"{path.name}:{node.lineno}: {node.value}"


def documented():
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, kinds) and (text := ast.get_docstring(node)):
                yield f"{name(path)}:{getattr(node, 'lineno', 1)}", text


def test_no_docstring_opens_with_a_question():
    assert not [f"{where} {text.splitlines()[0]}" for where, text in documented() if QUESTION.match(text)]


def loaded_by(code):
    program = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module", ["", ".data", ".models", ".store", ".pipeline", ".cli", ".grid", ".analysis", ".api"]
)
def test_importing_a_room_loads_nothing_heavy(module):
    heavy = loaded_by(f"import src{module}") & set(HEAVY)
    assert not heavy


def test_the_numeric_rooms_run_without_brainscore_and_xarray():
    block = "import sys\nfor name in ('brainscore_vision', 'brainscore_core', 'xarray'): sys.modules[name] = None\n"
    modules = []
    for folder in ("evaluate", "evaluate/decoders", "analysis", "extraction"):
        package = f"src.{folder.replace('/', '.')}"
        modules += [f"{package}.{p.stem}" for p in sorted((ROOT / "src" / folder).glob("*.py")) if p.stem != "__init__"]
    modules += ["src.ceiling", "src.video"]
    assert set(modules) <= loaded_by(block + "import " + ", ".join(modules))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_scripts_are_short(path):
    assert len(path.read_text().splitlines()) <= 40
