"""Stages of the computation, and digests of their source files.

Every stored value carries the digest of the sources that made it. A digest counts the syntax tree alone, so that
comments, docstrings and formatting change nothing. `stages.json` records, per stage, the version in the keys of its
values and the digest for which somebody decided that values of this version are the same; `tests/stages.py` writes it.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from .utils import digest

HERE = Path(__file__).parent
RECORD = HERE / "stages.json"
DIGITS = 16
STAGES = {
    "activations": (
        *("extraction/*.py", "models/inspect/outputs.py", "models/preprocessing.py", "models/wrappers.py"),
        *("utils.py", "video.py"),
    ),
    "ceiling": ("ceiling.py",),
    "score": (
        *("evaluate/**/*.py", "analysis/aggregate.py", "analysis/bootstrap.py", "analysis/fdr.py"),
        *("analysis/crossed.py", "analysis/permutation.py", "analysis/variance.py", "pipeline/behaviour.py"),
        *("pipeline/benchmark.py", "pipeline/brain.py", "pipeline/electrodes.py", "pipeline/feature_sets.py"),
        *("pipeline/fmri.py", "pipeline/parts.py", "pipeline/summary.py", "pipeline/task.py"),
        *("pipeline/uncertainty.py", "utils.py"),
    ),
}
# what a study's module reads its release with, besides the modules of `data`
GROUND_OF_DATA = ("columns", "records", "video")
Sources = Mapping[str, list]


def sources(stage: str) -> dict[str, list]:
    """Return {stage: [digest of its sources, whether it is the recorded one]}, as values are stored with it."""
    found = stage_digest(stage)
    return {stage: [found, recorded().get(stage, [None, None])[1] == found]}


def differing(made_by: Sources) -> list[str]:
    """Return the stages whose present sources may give other values than those that a value was made by.

    Two states of the sources that were recorded with one version give the same values: somebody decided so.
    """
    return [stage for stage, state in made_by.items() if not _same(state, sources(stage)[stage])]


def joined(states: Iterable[Sources]) -> dict[str, list]:
    """Return several values' stages as one; of a stage that was in two states, one that differs from the present."""
    found: dict[str, list] = {}
    for state in states:
        found |= {stage: one for stage, one in state.items() if stage not in found or differing({stage: one})}
    return found


def _same(first: list, second: list) -> bool:
    return first[0] == second[0] or (first[1] and second[1])


@cache
def recorded() -> dict[str, list]:
    """Return {stage: [version, digest]} as committed."""
    return json.loads(RECORD.read_text())


@cache
def stage_digest(stage: str) -> str:
    """Return the digest of the sources of a stage, one of STAGES or the module of a study, "data/fmri/keles2024"."""
    files = stage_files(stage)
    return digest([[path.relative_to(HERE).as_posix(), _file_digest(path)] for path in files])[:DIGITS]


@cache
def _file_digest(path: Path) -> str:
    return source_digest(path.read_bytes(), docstrings=False)


def stage_files(stage: str) -> list[Path]:
    """Return the source files of a stage, sorted."""
    if stage in STAGES:
        return sorted({path for pattern in STAGES[stage] for path in HERE.glob(pattern)})
    module = HERE / f"{stage}.py"
    return sorted(_read_with(module)) if module.is_file() else []


def study_stage(module: str) -> str:
    """Return the stage of a study's module: "data/fmri/keles2024" of its full name."""
    return module.partition(".")[2].replace(".", "/")


def _read_with(module: Path) -> set[Path]:
    """Return a study's module and all modules of `data` and GROUND_OF_DATA that it imports, directly or not."""
    found, waiting = set(), [module]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imports(path)
    return found


def _imports(path: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1] / (node.module or "").replace(".", "/")
            for place in (base, *(base / alias.name for alias in node.names)):
                file = place.with_suffix(".py")
                parts = file.relative_to(HERE).parts
                if file.is_file() and (parts[0] == "data" or file.stem in GROUND_OF_DATA):
                    yield file


def source_digest(source: bytes, docstrings: bool = True) -> str:
    """Return the SHA-256 of the syntax tree of Python's source; of its bytes if it is none.

    docstrings: False leaves them out. Every version of Python gives the same digest.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return hashlib.sha256(source).hexdigest()
    if not docstrings:
        _drop_docstrings(tree)
    total = hashlib.sha256()
    for text in _words(tree):
        total.update(text.encode(errors="surrogatepass") + b"\0")
    return total.hexdigest()


def _drop_docstrings(tree: ast.AST) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                del node.body[0]


def _words(value: object) -> Iterable[str]:
    """Yield the types and values of a tree; fields that are empty are left out, as versions of Python add some."""
    if isinstance(value, ast.AST):
        yield f"({type(value).__name__}"
        for name, field in ast.iter_fields(value):
            if field is not None and field != [] and name != "type_comment":
                yield f".{name}"
                yield from _words(field)
        yield ")"
    elif isinstance(value, list):
        yield "["
        for item in value:
            yield from _words(item)
        yield "]"
    else:
        yield f"{type(value).__name__} {value!r}"
