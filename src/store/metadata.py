"""Cards: what a cached re-run must know of a model or a dataset without loading it, while its sources are unchanged."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..files import close_json, read_json, write_atomic
from ..utils import digest, file_digest
from .entries import plain
from .keys import readable
from .provenance import package_version, provenance

WHOLE_BYTES = 64 * 2**20
SAMPLE_BYTES = 2**16
SAMPLES = 256


@dataclass(frozen=True)
class Metadata:
    """Facts (JSON-able), the files they were read from, and the versions {distribution: version} they depend on."""

    facts: dict
    files: tuple[Path, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)


def metadata_identifier(kind: str, name: str, inputs: dict) -> str:
    """`dynamic_vision.metadata/...`: one card per kind, name and inputs."""
    return f"dynamic_vision.metadata/{kind}-{readable(name)}-{digest([kind, name, plain(inputs)])[:16]}"


def read_metadata(path: Path, asked: dict) -> tuple[dict | None, str]:
    """(facts, "") of the card at `path` if it is valid for `asked`, else (None, why not); raises Damaged, Newer.

    A file whose time changed but whose content did not is noted again where the card can be written.
    """
    card = read_json(path)
    if card is None:
        return None, "there is none"
    for name, wanted in asked.items():
        if card[name] != wanted:
            return None, f"its {name} changed"
    for package, wanted in card["versions"].items():
        if package_version(package) != wanted:
            return None, f"{package} is {package_version(package)}; it was {wanted}"
    changed = [item for item in card["files"] if not _looks_the_same(item)]
    for item in changed:
        if not _same_content(item):
            return None, f"{item['path']} changed"
    if changed:
        _note_again(path, card)
    return card["facts"], ""


def metadata_bytes(asked: dict, card: Metadata) -> bytes:
    """The file that holds `card`; reads the files that the card names."""
    files = [_described(Path(file)) for file in card.files]
    content = {**asked, "facts": plain(card.facts), "files": files, "versions": dict(card.versions)}
    return close_json(content | {"provenance": provenance({})})


def _note_again(path: Path, card: dict) -> None:
    files = [item | {"mtime_ns": os.stat(item["path"]).st_mtime_ns} for item in card["files"]]
    try:
        write_atomic(path, close_json(card | {"files": files}))
    except OSError:
        return


def _described(path: Path) -> dict:
    found = path.stat()
    content = content_digest(path)
    return {"path": str(path.absolute()), "bytes": found.st_size, "mtime_ns": found.st_mtime_ns, "content": content}


def _looks_the_same(item: dict) -> bool:
    try:
        found = os.stat(item["path"])
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (item["bytes"], item["mtime_ns"])


def _same_content(item: dict) -> bool:
    try:
        return os.stat(item["path"]).st_size == item["bytes"] and content_digest(Path(item["path"])) == item["content"]
    except OSError:
        return False


def content_digest(path: Path) -> str:
    """SHA-256 of a file below WHOLE_BYTES; of a larger one, of its size and evenly spaced pieces, its ends included."""
    size = path.stat().st_size
    if size < WHOLE_BYTES:
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
