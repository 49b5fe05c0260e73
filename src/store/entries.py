"""Scores and ceilings on the disk: a netCDF file of arrays and a JSON manifest with the key and the facts."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from ..files import DamagedFile, encode_json, read_bytes, read_json, rename_damaged, write_atomic
from .keys import Key, identifier, key_manifest, stage_of
from .provenance import provenance


@dataclass(frozen=True)
class Entry:
    """A result as the store keeps it.

    Attributes
    ----------
    arrays : mapping of str to numpy.ndarray
        Arrays of bool, numbers or text by name.
    facts : dict
        JSON-able facts, read without the arrays.
    provenance : dict
        Commit, versions, device and time of the computation; of an entry that is to be stored, at most the "sources"
        of the values that it was made from.
    """

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    facts: dict = field(default_factory=dict)
    provenance: dict = field(default_factory=dict)

    @property
    def made_by(self) -> dict:
        """Stages behind the value with the digests of their sources, see `stages.sources`."""
        return dict(self.provenance.get("sources", {}))


@dataclass(frozen=True)
class EntryPaths:
    """The files of the entry of `key` under `home`; value and manifest are named like the files of result_caching."""

    home: Path
    key: Key

    @property
    def manifest(self) -> Path:
        return self._path("json")

    @property
    def value(self) -> Path:
        return self._path("nc")

    @property
    def lock(self) -> Path:
        return self._path("lock")

    def _path(self, suffix: str) -> Path:
        return self.home / f"{identifier(self.key)}.{suffix}"


class LazyArrays(Mapping):
    """The arrays of a stored entry, read and checked on first access."""

    def __init__(self, load: Callable[[], Mapping[str, np.ndarray]]):
        self._load: Callable[[], Mapping[str, np.ndarray]] | None = load
        self._arrays: Mapping[str, np.ndarray] | None = None

    def _loaded(self) -> Mapping[str, np.ndarray]:
        if self._arrays is None:
            self._arrays, self._load = self._load(), None
        return self._arrays

    def __getitem__(self, name: str) -> np.ndarray:
        return self._loaded()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded())

    def __len__(self) -> int:
        return len(self._loaded())


def read_manifest(paths: EntryPaths) -> dict | None:
    """Return the manifest of an entry, None if nothing is stored.

    Raises DamagedFile if the manifest belongs to another key or the value has another size, NewerFormat for a manifest
    of a later version.
    """
    manifest = read_json(paths.manifest)
    if manifest is None:
        if paths.value.is_file():
            raise DamagedFile("a value without its manifest")
        return None
    expected = key_manifest(paths.key)
    if any(manifest.get(name) != expected[name] for name in ("digest", "key")):
        raise DamagedFile("the manifest of another key")
    problem = size_problem(paths.value, manifest)
    if problem:
        raise DamagedFile(problem)
    return manifest


def size_problem(path: Path, manifest: dict) -> str | None:
    """Return an error message if the file at `path` has not the size that its manifest states, else None."""
    expected = manifest.get("value", {}).get("bytes")
    found = path.stat().st_size if path.is_file() else 0
    return None if expected in (None, found) else f"its value has {found} bytes; expected {expected}"


def read_arrays(path: Path, manifest: dict, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Return the arrays, or those of `names`, in the netCDF file `path`.

    Raises DamagedFile unless the checksum of the file is that of the manifest.
    """
    from . import netcdf

    return netcdf.decode(read_value(path, manifest), names)


def read_value(path: Path, manifest: dict) -> bytes:
    """Return the content of the netCDF file `path`; raise DamagedFile unless its checksum is that of the manifest."""
    data = read_bytes(path)
    if data is None:
        raise DamagedFile("its value is missing")
    if hashlib.sha256(data).hexdigest() != manifest["value"]["sha256"]:
        raise DamagedFile("the checksum of its value does not fit")
    return data


def write_entry(paths: EntryPaths, entry: Entry, seconds: float) -> Entry:
    """Store `entry`, value first and manifest last, and return it as it will be read."""
    from . import netcdf

    data = netcdf.encode(entry.arrays)
    facts = json_round_trip(entry.facts)
    identity = key_manifest(paths.key)
    manifest = {
        **identity,
        "value": {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()},
        "facts": facts,
        "provenance": provenance(identity["key"], seconds, entry.made_by | stage_of(paths.key)),
    }
    write_atomic(paths.value, data)
    write_atomic(paths.manifest, encode_json(manifest))
    return Entry(LazyArrays(partial(netcdf.decode, data)), facts, manifest["provenance"])


def rename_damaged_entry(paths: EntryPaths, reason: str) -> None:
    """Rename the value and the manifest of a damaged entry."""
    for path in (paths.manifest, paths.value):
        if path.exists():
            rename_damaged(path, reason)


def json_round_trip(facts: dict) -> dict:
    """Return `facts` as they are read from JSON: numpy numbers become numbers, tuples become lists."""
    return json.loads(json.dumps(facts, default=_plain_number))


def _plain_number(value):
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"facts hold {value!r} of type {type(value).__name__}; expected what JSON can hold")
