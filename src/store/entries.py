"""Small results: one netCDF file of arrays and, beside it, a JSON manifest that names it and carries the facts."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..files import Damaged, close_json, read_bytes, read_json, set_aside, write_atomic
from .keys import Key, key_content, key_digest, key_name
from .provenance import provenance


@dataclass(frozen=True)
class Entry:
    """A result: named arrays (bool, numbers or text) and JSON-able facts, the printed summary among them."""

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    facts: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where the entry of `key` lies: `value` and `manifest` side by side, named like result_caching's files."""

    home: Path
    key: Key

    @property
    def identifier(self) -> str:
        return f"dynamic_vision.{self.key.kind}/{key_name(self.key)}"

    @property
    def manifest(self) -> Path:
        return self.home / f"{self.identifier}.json"

    @property
    def value(self) -> Path:
        return self.home / f"{self.identifier}.nc"

    @property
    def lock(self) -> Path:
        return self.home / f"{self.identifier}.lock"


class StoredArrays(Mapping):
    """The arrays of a stored entry, read and checked when first touched."""

    def __init__(self, load: Callable[[], dict[str, np.ndarray]]):
        self._load = load
        self._arrays: dict[str, np.ndarray] | None = None

    def _all(self) -> dict[str, np.ndarray]:
        if self._arrays is None:
            self._arrays = self._load()
        return self._arrays

    def __getitem__(self, name: str) -> np.ndarray:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


def read_manifest(place: Place) -> dict | None:
    """The manifest of `place`, held against the wanted key and the value's size; None where nothing is stored.

    Raises Damaged where something is stored that cannot be trusted and Newer where a later program wrote it.
    """
    manifest = read_json(place.manifest)
    found = place.value.stat().st_size if place.value.is_file() else None
    if manifest is None:
        if found is not None:
            raise Damaged("a value without its manifest")
        return None
    if manifest.get("digest") != key_digest(place.key) or manifest.get("key") != key_content(place.key)["fields"]:
        raise Damaged("the manifest of another key")
    expected = manifest["value"]["bytes"]
    if found != expected:
        raise Damaged(f"its value has {found or 0} bytes; expected {expected}")
    return manifest


def read_arrays(path: Path, manifest: dict) -> dict[str, np.ndarray]:
    """The arrays in the value file `path`; raises Damaged unless its content is what `manifest` promises."""
    from . import netcdf

    data = read_bytes(path)
    if data is None:
        raise Damaged("its value is missing")
    if hashlib.sha256(data).hexdigest() != manifest["value"]["sha256"]:
        raise Damaged("the checksum of its value does not fit")
    return netcdf.decode(data)


def write_entry(place: Place, entry: Entry, seconds: float) -> Entry:
    """Store `entry`, value first and manifest last, and return it as a later call will read it."""
    from . import netcdf

    data = netcdf.encode(entry.arrays)
    content = key_content(place.key)
    facts = plain(entry.facts)
    manifest = {
        "class": content["class"],
        "key": content["fields"],
        "digest": key_digest(place.key),
        "value": {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()},
        "facts": facts,
        "provenance": provenance(content["fields"], seconds),
    }
    write_atomic(place.value, data)
    write_atomic(place.manifest, close_json(manifest))
    return Entry(netcdf.decode(data), facts)


def set_entry_aside(place: Place, reason: str) -> None:
    """Rename what is stored at `place`, value and manifest, and say why."""
    for path in (place.manifest, place.value):
        if path.exists():
            set_aside(path, reason)


def plain(facts: dict) -> dict:
    """`facts` as they are after a round trip through JSON; numpy numbers become numbers."""
    return json.loads(json.dumps(facts, default=_plain_number))


def _plain_number(value):
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"facts hold {value!r} of type {type(value).__name__}; expected what JSON can hold")
