"""Metadata of models and datasets, valid while the files and packages that they were read from are unchanged.

A cached run reads them instead of loading the model or the dataset.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..files import encode_json, read_json, safe_name, write_atomic
from ..utils import digest, file_digest
from ..watch import checked
from .entries import json_round_trip
from .keys import PREFIX
from .provenance import package_version, provenance

# larger files are sampled
COMPLETE_BYTES = 64 * 2**20
SAMPLE_BYTES = 2**16
SAMPLES = 256


@dataclass(frozen=True)
class Metadata:
    """Facts about a model or a dataset, and their sources.

    Attributes
    ----------
    facts : dict
        JSON-able facts.
    files : tuple of Path
        Files that decide the facts.
    versions : dict of str to str
        {distribution: version} of the packages that decide the facts.
    watched : dict
        Inputs of users' code, as `watch` records them; if some of them cannot be watched, the metadata are never valid
        for a computation.
    """

    facts: dict
    files: tuple[Path, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    watched: dict = field(default_factory=dict)


def metadata_identifier(kind: str, name: str, inputs: dict) -> str:
    """Return the identifier of metadata, unique for kind, name and inputs: `dynamic_vision.metadata/...`."""
    return f"{PREFIX}metadata/{kind}-{safe_name(name)}-{digest([kind, name, json_round_trip(inputs)])[:16]}"


def read_metadata(path: Path, identity: dict, update: bool) -> tuple[dict | None, str]:
    """Return (facts, "") of the metadata at `path`, or (None, reason) if they are absent or not valid.

    identity: fields that the file must have. update: write the time of a file that was touched without a change of its
    content, so that it need not be read again; metadata whose inputs cannot all be watched are then not valid.
    Raises DamagedFile, NewerFormat.
    """
    stored = read_json(path)
    if stored is None:
        return None, "there is none"
    for name, wanted in identity.items():
        if stored.get(name) != wanted:
            return None, f"{name} changed"
    for package, wanted in stored["versions"].items():
        if package_version(package) != wanted:
            return None, f"{package} is {package_version(package)}; it was {wanted}"
    watched = stored.get("watched", {})
    reason, fresh = checked(watched)
    if update and watched.get("unwatched"):
        reason = f"it {watched['unwatched'][0]}, which cannot be watched"
    if reason:
        return None, reason
    touched = [item for item in stored["files"] if not _has_same_stat(item)]
    for item in touched:
        if not _has_same_content(item):
            return None, f"{item['path']} changed"
    if (touched or fresh) and update:
        _write_times(path, stored | {"watched": fresh or watched})
    return stored["facts"], ""


def encode_metadata(identity: dict, metadata: Metadata) -> bytes:
    """Return the content of the file that holds `metadata`; the files that it names are read for their digests."""
    files = [_described(Path(file)) for file in metadata.files]
    content = {**identity, "facts": json_round_trip(metadata.facts), "files": files}
    content |= {"watched": dict(metadata.watched)} if metadata.watched else {}
    return encode_json(content | {"versions": dict(metadata.versions), "provenance": provenance({})})


def _write_times(path: Path, stored: dict) -> None:
    files = [item | {"mtime_ns": os.stat(item["path"]).st_mtime_ns} for item in stored["files"]]
    try:
        write_atomic(path, encode_json(stored | {"files": files}))
    except OSError:
        return


def _described(path: Path) -> dict:
    found = path.stat()
    content = content_digest(path)
    return {"path": str(path.absolute()), "bytes": found.st_size, "mtime_ns": found.st_mtime_ns, "content": content}


def _has_same_stat(item: dict) -> bool:
    try:
        found = os.stat(item["path"])
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (item["bytes"], item["mtime_ns"])


def _has_same_content(item: dict) -> bool:
    try:
        return os.stat(item["path"]).st_size == item["bytes"] and content_digest(Path(item["path"])) == item["content"]
    except OSError:
        return False


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a file; beyond COMPLETE_BYTES, of its size and evenly spaced pieces, both ends included."""
    size = path.stat().st_size
    if size < COMPLETE_BYTES:
        return file_digest(path)
    total = hashlib.sha256(str(size).encode())
    for piece in _pieces(path, size):
        total.update(piece)
    return total.hexdigest()


def _pieces(path: Path, size: int) -> Iterator[bytes]:
    with open(path, "rb") as handle:
        for i in range(SAMPLES):
            handle.seek((size - SAMPLE_BYTES) * i // (SAMPLES - 1))
            yield handle.read(SAMPLE_BYTES)
