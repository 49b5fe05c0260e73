"""Metadata of models and datasets, valid while the files and packages that they were read from are unchanged.

A cached run reads them instead of loading the model or the dataset.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..files import encode_json, read_json, safe_name, write_atomic
from ..utils import BadInput, digest
from ..watch import checked, file_state, files_checked, stamp
from .entries import json_round_trip
from .keys import PREFIX
from .provenance import package_version, provenance

ATTEMPTS = 3
# clocks of file systems lag behind
LAG_NS = 50 * 10**6


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

    identity: fields that the file must have. update: write the state of a file that was touched without a change of its
    content, so that it need not be read again; metadata whose inputs cannot all be watched are then not valid.
    Raises DamagedFile, NewerFormat.
    """
    stored = read_json(path)
    if stored is None:
        return None, "there is none"
    for name, wanted in identity.items():
        if stored.get(name) != wanted:
            return None, f"{name} changed"
    if not isinstance(stored["files"], dict):
        return None, "an earlier version of this program wrote it"
    for package, wanted in stored["versions"].items():
        if package_version(package) != wanted:
            return None, f"{package} is {package_version(package)}; it was {wanted}"
    watched = stored.get("watched", {})
    reason, fresh = checked(watched)
    if update and watched.get("unwatched"):
        reason = f"it {watched['unwatched'][0]}, which cannot be watched"
    if reason:
        return None, reason
    reason, touched = files_checked(stored["files"])
    if reason:
        return None, reason
    if (touched or fresh) and update:
        _write_states(path, stored | {"files": stored["files"] | touched, "watched": fresh or watched})
    return stored["facts"], ""


def made_while_unchanged(make: Callable[[], Metadata]) -> tuple[Metadata, dict[str, list]]:
    """Return metadata and the states {path: state} of their files, which did not change while they were read.

    make: reads all files anew whenever it is called. It is called again if a file may have changed meanwhile, as one
    that was fetched. Raises BadInput for a file that keeps changing.
    """
    began, before = time.time_ns() - LAG_NS, {}
    for _ in range(ATTEMPTS):
        made = make()
        after = {path: stamp(path) for path in (str(Path(file).absolute()) for file in made.files)}
        if gone := [path for path, found in after.items() if found is None]:
            raise BadInput(f"{gone[0]} is gone, although it was just read; run again when nothing changes it")
        files = {path: file_state(path, whole=True) for path in after}
        changed = [
            path
            for path, found in after.items()
            if stamp(path) != found or (before[path] != found if path in before else found[2] >= began)
        ]
        if not changed:
            return made, files
        before = after
    raise BadInput(f"{changed[0]} changed while it was read; run again when nothing changes it")


def encode_metadata(identity: dict, metadata: Metadata, files: dict[str, list]) -> bytes:
    """Return the content of the file that holds `metadata`, with the states of its files."""
    content = {**identity, "facts": json_round_trip(metadata.facts), "files": files}
    content |= {"watched": dict(metadata.watched)} if metadata.watched else {}
    return encode_json(content | {"versions": dict(metadata.versions), "provenance": provenance({})})


def _write_states(path: Path, stored: dict) -> None:
    try:
        write_atomic(path, encode_json(stored))
    except OSError:
        return
