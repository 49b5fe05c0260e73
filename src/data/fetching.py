"""Download of the open files of a release: only those that a dataset needs, resumable, and checked when complete."""

import hashlib
import json
import logging
import re
import shutil
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from threading import Thread
from typing import Any

from ..files import kind_of, require_regular, unchecked_json, write_atomic
from ..locks import Held, locked
from ..utils import BadInput, size_text
from .brainio import from_brainscore
from .declare import Dataset
from .release import BrainScore, Http, Need, OpenNeuro, Origin, Progress

log = logging.getLogger(__name__)
BUCKET = "openneuro.org"
RECORD, LOCK = ".fetched.json", ".fetch.lock"
CHUNK = 2**16  # bytes that a broken connection can lose
PART_MIB = (5, 8, 16, 32, 64, 128, 256, 512, 1024)  # part sizes of S3 clients; OpenNeuro's are of 1 GiB
TIMEOUT_S = 60.0
ATTEMPTS = 5
SLOWEST_BYTES_S = 1024  # a server that sends less in TIMEOUT_S, in the mean, is given up
UNSTATED_BYTES = 2**30  # largest file whose length the server does not state
PAGE = re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE)
PAGES = (".html", ".htm")


@dataclass(frozen=True)
class Remote:
    """File to download: path below the study's folder, URL, size in bytes, checksum as "algorithm:hex"."""

    path: str
    url: str
    size: int | None
    checksum: str | None


class Refused(Exception):
    """Error of an answer that is not the file; the message says what came instead, in one line."""


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
        if path.endswith("/"):
            continue
        if any(fnmatchcase(path, pattern) for pattern in origin.paths):
            found += 1
            url = client.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": item["Key"]})
            _require_inside(name, path)
            if item["Size"] < 0:
                raise BadInput(f"{name}: the listing states {item['Size']} bytes for {path!r}; fetch again later")
            yield Remote(path, url, item["Size"], "etag:" + item.get("ETag", "").strip('"'))
    if not found:
        raise BadInput(f"{name}: OpenNeuro {origin.accession} has no file that matches {', '.join(origin.paths)}")


def _require_inside(name: str, path: str) -> None:
    """Raise BadInput for a name in a listing or archive that leads out of the study's folder."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or not path.isprintable():
        raise BadInput(
            f"{name}: a file is called {path[:100]!r}; expected a path within the study's folder; tell its owners"
        )


def _length(name: str, url: str) -> int | None:
    """Return the size of the file at `url` in bytes, None if the server does not state it."""
    import requests

    try:
        answer = _within(
            2 * TIMEOUT_S,
            lambda: requests.head(
                url, allow_redirects=True, timeout=TIMEOUT_S, headers={"Accept-Encoding": "identity"}
            ),
        )
        if answer.status_code in (requests.codes.forbidden, requests.codes.not_allowed):
            return None  # some servers accept GET only
        answer.raise_for_status()
        return _stated_length(answer)
    except (requests.RequestException, Refused, ValueError) as error:
        raise BadInput(
            f"{name}: {url} cannot be reached ({_one_line(error)}); connect to a network and fetch again"
        ) from error


def _stated_length(answer) -> int | None:
    """Return the length in the header of an answer; None if it states none, or that of a compressed form."""
    length = answer.headers.get("Content-Length")
    if length is None or "Content-Encoding" in answer.headers:
        return None
    if not (length.isascii() and length.isdigit()):
        raise Refused(f"the server states a length of '{length[:40]}'")
    return int(length)


def _within(seconds: float, call: Callable[[], Any]) -> Any:
    """Return the result of `call`; Refused if it takes longer, as with a server that sends its header by the byte."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append((call(), None))
        except BaseException as error:
            found.append((None, error))

    worker = Thread(target=run, daemon=True)
    worker.start()
    worker.join(seconds)
    if not found:
        raise Refused(f"no whole answer within {seconds:g} s")
    value, error = found[0]
    if error is not None:
        raise error
    return value


def _one_line(error: BaseException) -> str:
    """Return an error's text without line breaks and control characters, at most 300 of its characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return "".join(c if c.isprintable() else "?" for c in text)[:300]


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
    if kind_of(target) != "nothing":
        require_regular(target, "the published file")
        if _is_published(target, remote):
            return
        raise BadInput(f"{target} is not the published file (size or checksum differ); move it away and fetch again")
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _complete(remote, part)
    except Refused as error:
        _discard(part)
        raise BadInput(f"{remote.url}: {_one_line(error)}; expected {target.name}; fetch it again later") from error
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{target} cannot be fetched ({type(error).__name__}: {_one_line(error)}); run the same fetch again to "
            f"continue"
        ) from error
    if not _is_published(part, remote):
        _discard(part)
        raise BadInput(f"{remote.url} came with a wrong size or checksum and was discarded; fetch it again")
    part.replace(target)
    _discard(part)


def _validators(part: Path) -> Path:
    """Return the file beside a partial one that holds the server's ETag or date of it."""
    return part.with_name(f"{part.name}.json")


def _discard(part: Path) -> None:
    for path in (part, _validators(part)):
        path.unlink(missing_ok=True)


def _complete(remote: Remote, part: Path) -> None:
    """Append to `part` until it is complete, reconnecting after a broken connection.

    A partial file is continued only if the server confirms that its file is still the same one, or if the published
    checksum will tell; else it is fetched anew.
    """
    import requests
    from urllib3.exceptions import HTTPError

    for attempt in range(ATTEMPTS):
        have, same = _resumable(remote, part)
        if remote.size is not None and have == remote.size:
            return
        try:
            headers = {"Accept-Encoding": "identity"}
            if have:
                headers |= {"Range": f"bytes={have}-", **({"If-Range": same} if same else {})}
            if _receive(remote, part, headers, have):
                return
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.Timeout) as error:
            if attempt == ATTEMPTS - 1:
                raise OSError(_one_line(error)) from error
        except HTTPError as error:  # of urllib3, while the body is read
            if attempt == ATTEMPTS - 1:
                raise OSError(_one_line(error)) from error
    raise Refused(f"{ATTEMPTS} answers held no whole file")


def _resumable(remote: Remote, part: Path) -> tuple[int, str | None]:
    """Return the bytes of a partial file that can be kept, and the ETag or date that the server's file must have."""
    if not part.is_file() or not remote.size:
        return 0, None
    kept = unchecked_json(_validators(part), {})
    same = kept.get("etag") or kept.get("modified") if isinstance(kept, dict) else None
    have = part.stat().st_size
    if have > remote.size or not (same or remote.checksum):
        return 0, None
    return have, same


def _receive(remote: Remote, part: Path, headers: dict[str, str], have: int) -> bool:
    """Write the body of one answer to `part`; return whether the file is complete, as far as its length tells."""
    import requests

    answer = _within(2 * TIMEOUT_S, lambda: requests.get(remote.url, stream=True, timeout=TIMEOUT_S, headers=headers))
    with answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            _discard(part)
            return False
        answer.raise_for_status()
        goes_on = have > 0 and answer.status_code == requests.codes.partial_content
        if answer.status_code == requests.codes.partial_content and not _continues(answer, have, remote.size):
            _discard(part)
            return False
        start = have if goes_on else 0
        stated = _stated_length(answer)
        if remote.size is not None and stated is not None and start + stated != remote.size:
            raise Refused(f"{start + stated} bytes are sent, {remote.size} were promised")
        if Path(remote.path).suffix not in PAGES and answer.headers.get("Content-Type", "").startswith("text/html"):
            raise Refused("a web page came in place of the file")
        etag = answer.headers.get("ETag", "")
        strong = etag if not etag.startswith("W/") else ""
        state = {"etag": strong, "modified": answer.headers.get("Last-Modified", "")}
        write_atomic(_validators(part), json.dumps(state).encode())
        with open(part, "ab" if goes_on else "wb") as handle:
            got = _copy(answer, handle, remote, start)
    if remote.size is None:
        if stated is not None and got != stated:
            raise requests.ConnectionError(f"the connection ended after {got} of {stated} bytes")
        return True
    return got == remote.size


def _continues(answer, have: int, size: int | None) -> bool:
    """Return whether a partial answer begins where the partial file ends, in a file of the same size."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
    return found is not None and int(found[1]) == have > 0 and found[3] in ("*", str(size))


def _copy(answer, handle, remote: Remote, start: int) -> int:
    """Write an answer's body; return the bytes in the file. Refused for too many, too slow ones, or a web page."""
    got, limit = start, UNSTATED_BYTES if remote.size is None else remote.size
    since, then = time.monotonic(), got
    # one receipt at a time, since a full chunk of a slow server may never come
    read = getattr(answer.raw, "read1", answer.raw.read)
    while piece := read(CHUNK, decode_content=True):
        if got == 0 and PAGE.match(piece[:200]) and Path(remote.path).suffix not in PAGES:
            raise Refused("a web page came in place of the file")
        got += len(piece)
        if got > limit:
            raise Refused(f"more than the {limit} bytes that were promised are sent")
        handle.write(piece)
        seconds = time.monotonic() - since
        if seconds >= TIMEOUT_S:
            if got - then < SLOWEST_BYTES_S * seconds:
                raise Refused(f"{got - then} bytes in {seconds:.0f} s; expected at least {SLOWEST_BYTES_S} a second")
            since, then = time.monotonic(), got
    return got


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
    if not etag:
        log.warning("%s: the server states no checksum; accepted by its length alone", path)
        return True
    if not n_parts:
        with open(path, "rb") as handle:
            return hashlib.file_digest(handle, "md5").hexdigest() == digest
    if not n_parts.isdigit():
        return False
    size = path.stat().st_size
    fitting = [mib for mib in PART_MIB if -(-size // (mib << 20)) == int(n_parts)]
    # parts of an unusual size cannot be reproduced; then the file's length, checked before, decides
    if not fitting:
        log.warning("%s: uploaded in parts of an unknown size; accepted by its length alone", path)
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
        _unpack_one(declared.name, archive)
        noted.write_text(state)


def _unpack_one(name: str, archive: Path) -> None:
    """Unpack an archive into its own folder; BadInput if it is damaged, leads out of the folder, or would fill it."""
    room = shutil.disk_usage(archive.parent).free
    try:
        total = 0
        for path, size in _members(archive):
            _require_inside(f"{name}: {archive}", path.rstrip("/"))
            total += size
            if total > room or size < 0:
                raise BadInput(
                    f"{name}: {archive} unpacks to {size_text(total)} or more, {size_text(room)} are free; make room, "
                    f"or remove it and fetch again"
                )
        options: dict = {} if archive.suffix == ".zip" else {"filter": "data"}
        shutil.unpack_archive(archive, archive.parent, **options)
    except BadInput:
        raise
    except Exception as error:  # readers of archives raise errors of many kinds on damaged ones
        raise BadInput(
            f"{archive} cannot be unpacked ({_one_line(error)}); it is damaged: remove it and fetch again"
        ) from error


def _members(archive: Path) -> Iterator[tuple[str, int]]:
    """Yield (path, size in bytes when unpacked) of the members of an archive, without folders "." and "./"."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as opened:
            found = [(item.filename, item.file_size) for item in opened.infolist()]
    else:
        with tarfile.open(archive) as opened:
            found = [(item.name, item.size) for item in opened]
    yield from ((path, size) for path, size in found if path.strip("./") or ".." in path)


class _Record:
    """Record of the files that were fetched completely, so that the next fetch does not read them again."""

    def __init__(self, folder: Path):
        self.folder, self.path = folder, folder / RECORD
        known = unchecked_json(self.path, {})
        self.known = known if isinstance(known, dict) else {}

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
