"""Download of the open files of a release: only those that a dataset needs, resumable, and checked when complete."""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ..files import unchecked_json, write_atomic
from ..locks import Held, locked
from ..utils import BadInput, size_text
from .brainio import from_brainscore
from .declare import Dataset
from .release import BrainScore, Http, Need, OpenNeuro, Origin, Progress

log = logging.getLogger(__name__)
BUCKET = "openneuro.org"
RECORD, LOCK = ".fetched.json", ".fetch.lock"
CHUNK = 2**16  # bytes that a broken connection can lose
PART_MIB = (5, 8, 16, 32, 64, 128)  # the part sizes that S3 clients upload with
TIMEOUT_S = 60.0
ATTEMPTS = 5


@dataclass(frozen=True)
class Remote:
    """File to download: path below the study's folder, URL, size in bytes, checksum as "algorithm:hex"."""

    path: str
    url: str
    size: int | None
    checksum: str | None


def fetch(declared: Dataset, folder: Path, *, jobs: int = 4, progress: Progress | None = None) -> list[str]:
    """Download the files that need no account; return one line for each need whose files are still missing.

    Complete files are kept and partial ones resumed. Raises BadInput if the server cannot be reached, a file differs
    from the published one, the disk has too little room, or another fetch of the study is under way.
    """
    remotes = [remote for origin in _origins(declared) for remote in _wanted(declared, origin)]
    record = _Record(folder)
    todo = [remote for remote in remotes if not record.has(remote)]
    _check_room(declared, folder, todo)
    if todo:
        with _exclusive(declared, folder):
            _get(todo, folder, record, jobs, progress)
    for origin in _origins(declared):
        if isinstance(origin, Http):
            _unpack(declared, origin, folder)
        if isinstance(origin, BrainScore):
            from_brainscore.get(declared.name, origin.identifier)
    return [_line(need, folder) for need in declared.needs if not need.optional and need.missing(folder)]


@contextmanager
def _exclusive(declared: Dataset, folder: Path) -> Iterator[None]:
    """Hold the study's lock, since two fetches would append to the same partial files; BadInput if it is held."""
    try:
        with locked(folder / LOCK, "DATA_HOME", wait=False):
            yield
    except Held as error:
        raise BadInput(
            f"{declared.name}: another fetch into {folder} is under way ({error}); wait for it to end"
        ) from None


def _get(todo: list[Remote], folder: Path, record: "_Record", jobs: int, progress: Progress | None) -> None:
    total, done = sum(remote.size or 0 for remote in todo), 0

    def one(remote: Remote) -> Remote:
        _download(remote, folder)
        return remote

    with ThreadPoolExecutor(jobs) as pool:
        for remote in pool.map(one, todo):
            record.add(remote)
            done += remote.size or 0
            if progress:
                progress(done, max(total, 1), remote.path)


def _origins(declared: Dataset) -> list[Origin]:
    """Return the distinct origins of the needs, in order."""
    return list({id(need.origin): need.origin for need in declared.needs}.values())


def _line(need: Need, folder: Path) -> str:
    """Return the line on the missing files of a need."""
    have, of = len(need.found(folder)), "" if need.count is None else f" of {need.count}"
    how = getattr(need.origin, "instructions", "") or "run fetch again"
    return f"{need.what}: {have}{of} files here ({folder / need.pattern}): {how}"


def _wanted(declared: Dataset, origin: Origin) -> list[Remote]:
    """Return the files of an origin; none if all its needs are optional and it cannot be reached."""
    try:
        return list(_remotes(declared, origin))
    except BadInput as error:
        if any(need.origin is origin and not need.optional for need in declared.needs):
            raise
        log.warning("optional files left out: %s", error)
        return []


def _remotes(declared: Dataset, origin: Origin) -> Iterator[Remote]:
    if isinstance(origin, OpenNeuro):
        yield from _listed(declared.name, origin)
    if isinstance(origin, Http):
        for path, url in origin.files.items():
            checksum = f"sha256:{origin.sha256[path]}" if path in origin.sha256 else None
            yield Remote(path, url, _length(declared.name, url), checksum)


def _listed(name: str, origin: OpenNeuro) -> Iterator[Remote]:
    """Yield the wanted files of an OpenNeuro dataset from its bucket; AWS_ENDPOINT_URL sets another server."""
    import boto3
    from botocore import UNSIGNED
    from botocore.client import Config
    from botocore.exceptions import BotoCoreError, ClientError

    plain = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"}, retries={"max_attempts": ATTEMPTS})
    client = boto3.client("s3", region_name="us-east-1", config=plain)
    prefix = f"{origin.accession}/"
    try:
        pages = list(client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix))
    except (BotoCoreError, ClientError) as error:
        raise BadInput(
            f"{name}: OpenNeuro's bucket cannot be listed ({error}); connect to a network and fetch again"
        ) from error
    found = 0
    for item in (item for page in pages for item in page.get("Contents", [])):
        path = item["Key"].removeprefix(prefix)
        if any(fnmatchcase(path, pattern) for pattern in origin.paths):
            found += 1
            url = client.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": item["Key"]})
            yield Remote(path, url, item["Size"], "etag:" + item["ETag"].strip('"'))
    if not found:
        raise BadInput(f"{name}: OpenNeuro {origin.accession} has no file that matches {', '.join(origin.paths)}")


def _length(name: str, url: str) -> int | None:
    """Return the size of the file at `url` in bytes, None if the server does not state it."""
    import requests

    try:
        answer = requests.head(url, allow_redirects=True, timeout=TIMEOUT_S)
        if answer.status_code in (requests.codes.forbidden, requests.codes.not_allowed):
            return None  # some servers accept GET only
        answer.raise_for_status()
    except requests.RequestException as error:
        raise BadInput(f"{name}: {url} cannot be reached ({error}); connect to a network and fetch again") from error
    length = answer.headers.get("Content-Length")
    return int(length) if length and "Content-Encoding" not in answer.headers else None


def _check_room(declared: Dataset, folder: Path, todo: list[Remote]) -> None:
    """Raise BadInput if the disk has less room than the files need."""
    above = next(path for path in (folder, *folder.parents) if path.exists())
    wanted, free = sum(remote.size or 0 for remote in todo), shutil.disk_usage(above).free
    if wanted > free:
        raise BadInput(
            f"{declared.name}: {size_text(wanted)} to fetch, {size_text(free)} free in {above}; make room or point "
            f"DATA_HOME at a larger disk"
        )


def _download(remote: Remote, folder: Path) -> None:
    """Download a file, complete and checked; an interrupted download leaves a partial file to resume from."""
    target = folder / remote.path
    if target.exists():
        if _is_published(target, remote):
            return
        raise BadInput(f"{target} is not the published file (size or checksum differ); move it away and fetch again")
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _complete(remote, part)
    except OSError as error:
        raise BadInput(
            f"{target} cannot be fetched ({type(error).__name__}: {error}); run the same fetch again to continue"
        ) from error
    if not _is_published(part, remote):
        part.unlink()
        raise BadInput(f"{remote.url} came with a wrong size or checksum and was discarded; fetch it again")
    part.replace(target)


def _complete(remote: Remote, part: Path) -> None:
    """Append to `part` until it is complete, reconnecting after a broken connection."""
    import requests

    for attempt in range(ATTEMPTS):
        have = part.stat().st_size if part.exists() and remote.size else 0
        if remote.size is not None and have >= remote.size:
            return
        try:
            ranged = {"Range": f"bytes={have}-", "Accept-Encoding": "identity"} if have else {}
            with requests.get(remote.url, stream=True, timeout=TIMEOUT_S, headers=ranged) as answer:
                answer.raise_for_status()
                goes_on = answer.status_code == requests.codes.partial_content
                with open(part, "ab" if goes_on else "wb") as handle:
                    for chunk in answer.iter_content(CHUNK):
                        handle.write(chunk)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.Timeout):
            if attempt == ATTEMPTS - 1:
                raise
            continue
        if remote.size is None:
            return


def _is_published(path: Path, remote: Remote) -> bool:
    """Return whether size and checksum, where known, are the published ones."""
    if remote.size is not None and path.stat().st_size != remote.size:
        return False
    if remote.checksum is None:
        return True
    algorithm, _, expected = remote.checksum.partition(":")
    if algorithm == "etag":
        return _etag_fits(path, expected)
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, algorithm).hexdigest() == expected


def _etag_fits(path: Path, etag: str) -> bool:
    """Return whether the file has this S3 ETag: its MD5 or, for a multipart upload, the MD5 of the parts' MD5s."""
    digest, _, n_parts = etag.partition("-")
    if not n_parts:
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "md5").hexdigest() == digest
    size = path.stat().st_size
    fitting = [mib for mib in PART_MIB if -(-size // (mib << 20)) == int(n_parts)]
    # parts of an unusual size cannot be reproduced; then the file's length, checked before, decides
    return not fitting or any(_parts_digest(path, mib << 20) == digest for mib in fitting)


def _parts_digest(path: Path, part_bytes: int) -> str:
    """Return the MD5, in hex, of the MD5s of the file's parts."""
    total = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as handle:
        while piece := handle.read(part_bytes):
            total.update(hashlib.md5(piece, usedforsecurity=False).digest())
    return total.hexdigest()


def _unpack(declared: Dataset, origin: Http, folder: Path) -> None:
    """Unpack archives into their own folders, once per size and time of an archive; again if needed files are missing.

    A hidden file beside the archive holds the size and time of the unpacked one.
    """
    lacking = any(need.missing(folder) for need in declared.needs if need.origin is origin)
    for name in origin.unpack:
        archive = folder / name
        if not archive.is_file():
            continue
        noted = archive.with_name(f".{archive.name}.unpacked")
        state = f"{archive.stat().st_size} {archive.stat().st_mtime_ns}"
        if not lacking and noted.is_file() and noted.read_text() == state:
            continue
        try:
            options: dict = {} if archive.suffix == ".zip" else {"filter": "data"}
            shutil.unpack_archive(archive, archive.parent, **options)
        except (shutil.ReadError, OSError, EOFError, ValueError) as error:
            raise BadInput(
                f"{archive} cannot be unpacked ({error}); it is damaged: remove it and fetch again"
            ) from error
        noted.write_text(state)


class _Record:
    """Record of the files that were fetched completely, so that the next fetch does not read them again."""

    def __init__(self, folder: Path):
        self.folder, self.path = folder, folder / RECORD
        self.known = unchecked_json(self.path, {})

    def _state(self, remote: Remote) -> list | None:
        try:
            found = (self.folder / remote.path).stat()
        except OSError:
            return None
        return [found.st_size, found.st_mtime_ns, remote.checksum]

    def has(self, remote: Remote) -> bool:
        state = self._state(remote)
        return state is not None and self.known.get(remote.path) == state

    def add(self, remote: Remote) -> None:
        self.known[remote.path] = self._state(remote)
        write_atomic(self.path, json.dumps(self.known, indent=0).encode())
