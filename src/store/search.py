"""What is stored, read from the manifests alone; and how a wanted key differs from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..files import Damaged, Newer, is_left_over, read_json
from ..locks import is_dead_lock
from ..utils import unknown_name
from .keys import Key, key_content

PREFIX = "dynamic_vision."
Difference = tuple[str, object, object]


@dataclass(frozen=True)
class Stored:
    """One stored thing: kind (score, ceiling, activations, card, left-over), its files or folder, its manifest.

    problem: why it cannot be used, or None.
    """

    kind: str
    name: str
    paths: tuple[Path, ...]
    manifest: dict
    problem: str | None = None

    @property
    def key(self) -> dict:
        return self.manifest.get("key", {})

    @property
    def created(self) -> str:
        return self.manifest.get("provenance", {}).get("created", "")

    @property
    def model(self) -> str:
        return str(self.key.get("model", ""))

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(self.key.get("datasets", [self.key["dataset"]] if "dataset" in self.key else []))

    @cached_property
    def files(self) -> list[Path]:
        inside = [file for path in self.paths if path.is_dir() for file in path.rglob("*") if file.is_file()]
        return inside + [path for path in self.paths if path.is_file()]

    def bytes_on_disk(self) -> int:
        """Room taken; the holes of sparse files take none."""
        return sum(file.stat().st_blocks * 512 for file in self.files)


def everything(results_home: Path, activations_home: Path) -> Iterator[Stored]:
    """All that is stored, by kind and name, with what was set aside or left half-written."""
    for folder in sorted(results_home.glob(f"{PREFIX}*")):
        yield from _results(folder)
    yield from _activations(activations_home)


def _activations(home: Path) -> Iterator[Stored]:
    for folder in sorted(home.glob("*")):
        if folder.is_dir() and not _is_left_over(folder) and (folder / "manifest.json").exists():
            yield _read("activations", folder.name, (folder,), folder / "manifest.json")
            yield from (_left_over(path) for path in sorted(folder.glob("*")) if _is_left_over(path))
        elif _is_left_over(folder):
            yield _left_over(folder)


def _results(folder: Path) -> Iterator[Stored]:
    kind = folder.name.removeprefix(PREFIX)
    for path in sorted(folder.glob("*")):
        if _is_left_over(path) or (path.suffix == ".nc" and not path.with_suffix(".json").exists()):
            yield _left_over(path)
        elif path.suffix == ".json":
            paths = (path,) if kind == "metadata" else (path, path.with_suffix(".nc"))
            yield _read(kind, path.stem, paths, path)


def _is_left_over(path: Path) -> bool:
    return ".damaged-" in path.name or is_left_over(path) or (path.suffix == ".lock" and is_dead_lock(path))


def _left_over(path: Path) -> Stored:
    return Stored("left-over", path.name, (path,), {})


def _read(kind: str, name: str, paths: tuple[Path, ...], manifest: Path) -> Stored:
    try:
        return Stored(kind, name, paths, read_json(manifest) or {})
    except (Damaged, Newer, OSError) as error:
        return Stored(kind, name, paths, {}, str(error))


def nearest(key: Key, results_home: Path, activations_home: Path) -> tuple[str, list[Difference]] | None:
    """(name, differing fields) of the stored value of the same class that differs from `key` in the fewest fields."""
    wanted = key_content(key)
    best: tuple[str, list[Difference]] | None = None
    for stored in _of_kind(key, results_home, activations_home):
        if stored.manifest.get("class") == wanted["class"]:
            found = differences(wanted["fields"], stored.key)
            if best is None or len(found) < len(best[1]):
                best = (stored.name, found)
    return best


def _of_kind(key: Key, results_home: Path, activations_home: Path) -> Iterator[Stored]:
    found = (
        _activations(activations_home) if key.kind == "activations" else _results(results_home / f"{PREFIX}{key.kind}")
    )
    return (stored for stored in found if stored.kind == key.kind)


def differences(wanted: dict, stored: dict) -> list[Difference]:
    """(field, wanted, stored) of every field of a key in which the two differ; options count one by one."""
    wanted, stored = _flat(wanted), _flat(stored)
    names = list(dict.fromkeys([*wanted, *stored]))
    missing = "(absent)"
    both = [(name, wanted.get(name, missing), stored.get(name, missing)) for name in names]
    return [(name, ours, theirs) for name, ours, theirs in both if ours != theirs]


def _flat(key: dict) -> dict:
    options = {f"options.{name}": value for name, value in key.get("options", [])}
    return {name: value for name, value in key.items() if name != "options"} | options


def by_words(things: list[Stored], words: list[str], limit: int = 5) -> list[list[str]]:
    """The stored things nearest to `words` (names of models and datasets, FIELD=VALUE) as rows of text.

    A row is (kind, name, field, wanted, stored); what meets every word has one row without a field. Raises BadInput for
    a field that no stored key has.
    """
    known = {name for stored in things for name in _flat(stored.key)}
    for field in (word.partition("=")[0] for word in words if "=" in word):
        if things and not known & {field, f"options.{field}"}:
            raise unknown_name("field", field, sorted(known))
    found = [(stored, [miss for word in words for miss in _miss(stored, word)]) for stored in things]
    found.sort(key=lambda pair: len(pair[1]))
    rows = [[s.kind, s.name, *map(str, miss)] for s, misses in found[:limit] for miss in misses or [("-", "-", "-")]]
    return rows


def _miss(stored: Stored, word: str) -> list[Difference]:
    """How a stored key fails a word: [] if it meets it or has no such field."""
    field, equals, wanted = word.partition("=")
    if not equals:
        names = [stored.model, *stored.datasets, str(stored.key.get("benchmark", ""))]
        return [] if word in names else [("name", word, " ".join(name for name in names if name))]
    key = _flat(stored.key)
    name = field if field in key else f"options.{field}"
    return [(name, wanted, key[name])] if name in key and not _says(key[name], wanted) else []


def _says(value, text: str) -> bool:
    """Whether `text` is how a person would write `value`: 4000 for 4000.0, true for True."""
    if isinstance(value, bool) or value is None:
        return text.lower() == str(value).lower()
    if isinstance(value, list):
        return text in (" ".join(map(str, value)), ",".join(map(str, value)), "+".join(map(str, value)))
    try:
        return float(text) == float(value)
    except (TypeError, ValueError):
        return text == str(value)
