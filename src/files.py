"""Files that are whole or absent: atomic writes, checked JSON, damage set aside; no lock and no key here."""

import errno
import json
import logging
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .utils import BadInput, digest

log = logging.getLogger(__name__)

FORMAT = 1
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.EISDIR)


class Damaged(Exception):
    """A stored file is not what was written; the message says in what."""


class Newer(Exception):
    """A stored manifest has a format that this program does not know."""


@contextmanager
def understood(path: Path, variable: str) -> Iterator[None]:
    """Turn Newer into BadInput: what a later program wrote is neither read nor replaced."""
    try:
        yield
    except Newer as error:
        raise BadInput(
            f"{path} was written by a later version of this program ({error}); "
            f"update this program or set {variable} to another folder"
        ) from error


@contextmanager
def writing(path: Path, variable: str) -> Iterator[None]:
    """Turn a full disk or a refused write below `path` into BadInput that names it and the `variable` that moves it."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise BadInput(
                f"disk full while writing {path} ({error.strerror}); free some space or set {variable} to another disk"
            ) from error
        if error.errno in REFUSED:
            raise BadInput(
                f"cannot write {path} ({error.strerror}); expected a folder that may be written; "
                f"change its rights or set {variable} to another folder"
            ) from error
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Put `data` at `path`: wholly, durably, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_sibling(path)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            write_all(descriptor, data, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def write_all(descriptor: int, data, offset: int) -> None:
    """Write all of `data` (bytes or a buffer) at `offset`; a full disk is an OSError here, never a signal."""
    view = memoryview(data)
    view = view.cast("B") if view.nbytes else view
    while view.nbytes:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def temporary_sibling(path: Path) -> Path:
    """A name beside `path` that no other process uses and that says whose it is."""
    return path.with_name(f"{path.name}.tmp-{_host()}-{os.getpid()}-{secrets.token_hex(4)}")


def is_left_over(path: Path) -> bool:
    """Whether `path` is a temporary file of a process of this host that has ended."""
    found = re.search(r"\.tmp-(.+)-(\d+)-[0-9a-f]{8}$", path.name)
    return bool(found) and found[1] == _host() and not is_running(int(found[2]))


def is_running(pid: int) -> bool:
    """Whether a process of this host has the id `pid`."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "_", platform.node())[:60] or "host"


def remove_folder(path: Path) -> None:
    """Remove a folder of ours and all in it, as far as that is possible."""
    shutil.rmtree(path, ignore_errors=True)


def remove_left_overs(folder: Path, start: str) -> None:
    """Remove what ended processes of this host left half-written in `folder` under names that begin with `start`."""
    with suppress(OSError):
        for other in folder.glob(f"{start}*.tmp-*"):
            if is_left_over(other):
                log.info("removing %s, which a killed process left half-written", other)
                remove_folder(other) if other.is_dir() else other.unlink(missing_ok=True)


def read_bytes(path: Path) -> bytes | None:
    """The content of a file, or None where there is none."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_json(path: Path) -> dict | None:
    """The content of a checked JSON file, or None where there is none; raises Damaged, Newer."""
    data = read_bytes(path)
    if data is None:
        return None
    return open_json(data)


def close_json(content: dict) -> bytes:
    """`content` with the format and a checksum over everything, as bytes that `open_json` reads; order is kept."""
    whole = {**content, "format": content.get("format", FORMAT)}
    return json.dumps({**whole, "checksum": digest(whole)}, separators=(",", ":")).encode()


def open_json(data: bytes) -> dict:
    """The content of `close_json`'s bytes; raises Damaged if they changed, Newer if a later program wrote them."""
    try:
        whole = json.loads(data)
    except ValueError as error:
        raise Damaged("not readable as JSON") from error
    if not isinstance(whole, dict) or "checksum" not in whole:
        raise Damaged("no checksum inside")
    checksum = whole.pop("checksum")
    if digest(whole) != checksum:
        raise Damaged("its checksum does not fit its content")
    written = whole.pop("format", None)
    if not isinstance(written, int) or written < FORMAT:
        raise Damaged(f"manifest format {written}; expected {FORMAT}")
    if written > FORMAT:
        raise Newer(f"manifest format {written}; this program reads {FORMAT}")
    return whole


def set_aside(path: Path, reason: str) -> Path | None:
    """Rename a damaged file or folder to `<name>.damaged-<time>` and say so; None if it is gone."""
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    target = path.with_name(f"{path.name}.damaged-{stamp}")
    count = 1
    while os.path.lexists(target):
        count += 1
        target = path.with_name(f"{path.name}.damaged-{stamp}-{count}")
    try:
        os.rename(path, target)
    except FileNotFoundError:
        return None
    sync_folder(path.parent)
    log.warning("%s: %s; set aside as %s", path, reason, target.name)
    return target
