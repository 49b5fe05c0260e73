"""Stored items, described by their manifests alone, and the fields in which a wanted key differs from them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..files import DamagedFile, NewerFormat, is_left_over, read_json
from ..locks import is_dead_lock
from ..stages import differing
from ..utils import unknown_name
from .entries import read_arrays, size_problem
from .keys import KEYS, PREFIX, Key, key_content

Difference = tuple[str, object, object]


@dataclass(frozen=True)
class StoredItem:
    """One item on the disk, described by its manifest.

    Attributes
    ----------
    kind : str
        "score", "ceiling", "activations", "metadata", or "left-over" for damaged and half-written files.
    name : str
        The name of its files without suffix, or of its folder.
    paths : tuple of Path
        The manifest and the netCDF file of a score or a ceiling; the manifest of metadata; the folder of activations.
    manifest : dict
        Empty where it cannot be read.
    problem : str or None
        The reason why the item cannot be used, as far as its manifest and the size of its file show.
    """

    kind: str
    name: str
    paths: tuple[Path, ...]
    manifest: dict
    problem: str | None = None

    @property
    def key(self) -> dict[str, Any]:
        """Fields of the key, {} for metadata and left-overs."""
        return self.manifest.get("key", {})

    @property
    def digest(self) -> str:
        """SHA-256 of the key, "" for metadata and left-overs."""
        return self.manifest.get("digest", "")

    @property
    def facts(self) -> dict[str, Any]:
        """Facts of a score, a ceiling or metadata, {} for others."""
        return self.manifest.get("facts", {})

    @property
    def created(self) -> str:
        """Time of creation (ISO 8601, UTC), "" where it is not known."""
        return self.manifest.get("provenance", {}).get("created", "")

    @property
    def seconds(self) -> float | None:
        """Wall time of the computation in s, None where it is not known."""
        return self.manifest.get("provenance", {}).get("seconds")

    @property
    def made_by(self) -> dict[str, list]:
        """Stages behind the value with the digests of their sources, see `stages.sources`; {} where not known."""
        return self.manifest.get("provenance", {}).get("sources", {})

    @property
    def outdated(self) -> str:
        """Stages that may give another value today, in words: of an earlier version, or of other sources."""
        found, key_class = [], KEYS.get(self.manifest.get("class", ""))
        if key_class and self.key.get("version") != key_class.version:
            found.append(f"version {self.key.get('version')} of the {self.kind}, now {key_class.version}")
        if stages := differing(self.made_by):
            found.append(f"other sources of {', '.join(stages)}")
        return "; ".join(found)

    @property
    def model(self) -> str:
        """Name of the model, "" where the key has none."""
        return str(self.key.get("model", ""))

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the datasets, () where the key has none."""
        return tuple(self.key.get("datasets", [self.key["dataset"]] if "dataset" in self.key else []))

    def read_arrays(self, names: Iterable[str] | None = None) -> Mapping[str, np.ndarray]:
        """Return the arrays of a score or a ceiling by name; nothing on the disk changes.

        Parameters
        ----------
        names : iterable of str, optional
            Only these, as far as they are stored (default: all).

        Raises
        ------
        DamagedFile
            If the netCDF file is missing or differs from what was written.
        """
        return read_arrays(self.paths[1], self.manifest, names)

    @cached_property
    def files(self) -> list[Path]:
        """All files of the item."""
        inside = [file for path in self.paths if path.is_dir() for file in path.rglob("*") if file.is_file()]
        return inside + [path for path in self.paths if path.is_file()]

    def bytes_on_disk(self) -> int:
        """Return the allocated size of the files in bytes; the holes of sparse files count as 0."""
        return sum(file.stat().st_blocks * 512 for file in self.files)


def stored_items(results_home: Path, activations_home: Path) -> Iterator[StoredItem]:
    """Yield every item under the two homes, by kind and name, left-overs included."""
    for folder in sorted(results_home.glob(f"{PREFIX}*")):
        yield from _results(folder)
    yield from _activations(activations_home)


def _activations(home: Path) -> Iterator[StoredItem]:
    for folder in sorted(home.glob("*")):
        if folder.is_dir() and not _is_left_over(folder) and (folder / "manifest.json").exists():
            yield _read("activations", folder.name, (folder,), folder / "manifest.json")
            yield from (_left_over(path) for path in sorted(folder.glob("*")) if _is_left_over(path))
        elif _is_left_over(folder):
            yield _left_over(folder)


def _results(folder: Path) -> Iterator[StoredItem]:
    kind = folder.name.removeprefix(PREFIX)
    for path in sorted(folder.glob("*")):
        if _is_left_over(path) or (path.suffix == ".nc" and not path.with_suffix(".json").exists()):
            yield _left_over(path)
        elif path.suffix == ".json":
            paths = (path,) if kind == "metadata" else (path, path.with_suffix(".nc"))
            yield _read(kind, path.stem, paths, path)


def _is_left_over(path: Path) -> bool:
    return ".damaged-" in path.name or is_left_over(path) or (path.suffix == ".lock" and is_dead_lock(path))


def _left_over(path: Path) -> StoredItem:
    return StoredItem("left-over", path.name, (path,), {})


def _read(kind: str, name: str, paths: tuple[Path, ...], manifest_path: Path) -> StoredItem:
    try:
        manifest = read_json(manifest_path) or {}
        return StoredItem(kind, name, paths, manifest, size_problem(paths[-1], manifest))
    except (DamagedFile, NewerFormat, OSError) as error:
        return StoredItem(kind, name, paths, {}, str(error))


def nearest(key: Key, results_home: Path, activations_home: Path) -> tuple[StoredItem, list[Difference]] | None:
    """Return the stored item of the key's class with the fewest differing fields, and these differences."""
    wanted = key_content(key)
    found = [
        (item, differences(wanted["fields"], item.key))
        for item in _of_kind(key.kind, results_home, activations_home)
        if item.manifest.get("class") == wanted["class"]
    ]
    return min(found, key=lambda pair: len(pair[1]), default=None)


def _of_kind(kind: str, results_home: Path, activations_home: Path) -> Iterator[StoredItem]:
    found = _activations(activations_home) if kind == "activations" else _results(results_home / f"{PREFIX}{kind}")
    return (item for item in found if item.kind == kind)


def differences(wanted: dict, stored: dict) -> list[Difference]:
    """Return (field, wanted, stored) for every field in which two keys differ; each option counts as a field."""
    wanted, stored = _flat(wanted), _flat(stored)
    names = list(dict.fromkeys([*wanted, *stored]))
    absent = "(absent)"
    pairs = [(name, wanted.get(name, absent), stored.get(name, absent)) for name in names]
    return [(name, first, second) for name, first, second in pairs if first != second]


def _flat(key: dict) -> dict:
    options = {f"options.{name}": value for name, value in key.get("options", [])}
    return {name: value for name, value in key.items() if name != "options"} | options


def match_words(items: Iterable[StoredItem], words: list[str], limit: int = 5) -> list[list[str]]:
    """Return the items nearest to some words as rows of text.

    Parameters
    ----------
    items : iterable of StoredItem
    words : list of str
        Names of models and datasets, and FIELD=VALUE for fields and options of a key.
    limit : int
        The number of items (default: 5).

    Returns
    -------
    list of [kind, name, field, wanted, stored]
        One row per mismatch; an item that matches every word has one row with "-" in the last three columns.

    Raises
    ------
    BadInput
        For a field that no stored key has.
    """
    items = list(items)
    known = {name for item in items for name in _flat(item.key)}
    for field in (word.partition("=")[0] for word in words if "=" in word):
        if items and not known & {field, f"options.{field}"}:
            raise unknown_name("field", field, sorted(known))
    found = [(item, [difference for word in words for difference in _mismatch(item, word)]) for item in items]
    found.sort(key=lambda pair: len(pair[1]))
    return [
        [item.kind, item.name, *map(str, difference)]
        for item, mismatches in found[:limit]
        for difference in mismatches or [("-", "-", "-")]
    ]


def _mismatch(item: StoredItem, word: str) -> list[Difference]:
    """Return the difference between an item and a word: [] if they match or the key has no such field."""
    field, equals, wanted = word.partition("=")
    if not equals:
        names = [item.model, *item.datasets, str(item.key.get("benchmark", ""))]
        return [] if word in names else [("name", word, " ".join(name for name in names if name))]
    key = _flat(item.key)
    name = field if field in key else f"options.{field}"
    return [(name, wanted, key[name])] if name in key and not _matches(key[name], wanted) else []


def _matches(value, text: str) -> bool:
    """Return True if `text` is a spelling of `value`: 4000 for 4000.0, true for True."""
    if isinstance(value, bool) or value is None:
        return text.lower() == str(value).lower()
    if isinstance(value, list):
        return text in (" ".join(map(str, value)), ",".join(map(str, value)), "+".join(map(str, value)))
    try:
        return float(text) == float(value)
    except (TypeError, ValueError):
        return text == str(value)
