"""Atomic writes, JSON files with a checksum, and the handling of damaged and half-written files."""

import errno
import json
import logging
import os
import platform
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from .utils import BadInput, digest

log = logging.getLogger(__name__)
T = TypeVar("T")

FORMAT = 1
ROOM_BYTES = 4096
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# errors of a disk, its mount or its rights, and of limits of the process: never faults of the program
OF_THE_SYSTEM = (
    *(errno.EIO, errno.ESTALE, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG),
    *(errno.ETIMEDOUT, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO, errno.ENOTCONN, errno.EHOSTDOWN),
    *DISK_FULL,
)
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.EISDIR)


class DamagedFile(Exception):
    """Error of a file whose content differs from what was written; the message names the difference."""


class NewerFormat(Exception):
    """Error of a manifest whose format belongs to a later version of this program."""


@contextmanager
def reading(path: Path, variable: str) -> Iterator[None]:
    """Convert NewerFormat and an OSError into BadInput that names `path` and the `variable` that moves it."""
    try:
        yield
    except OSError as error:
        raise BadInput(
            f"cannot read {error.filename or path} ({error.strerror or error}); check the disk and the rights of the "
            f"file, or set {variable} to another folder"
        ) from error
    except NewerFormat as error:
        raise BadInput(
            f"{path} was written by a later version of this program ({error}); "
            f"update this program or set {variable} to another folder"
        ) from error


@contextmanager
def writing(path: Path, variable: str) -> Iterator[None]:
    """Convert the OSError of a full, write-protected or failing disk into BadInput that names `path` and `variable`.

    netCDF and HDF5 tell the same without a reason, as a RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith(("NetCDF: ", "HDF")):
            raise
        raise BadInput(
            f"cannot write {path} ({error}); the disk may be full or failing; free some space or set {variable} to "
            "another disk"
        ) from error
    except OSError as error:
        if error.errno in DISK_FULL:
            raise BadInput(
                f"disk full while writing {path} ({error.strerror}); free some space or set {variable} to another disk"
            ) from error
        if error.errno in NOT_WRITABLE:
            raise BadInput(
                f"cannot write {path} ({error.strerror}); expected a folder that may be written; "
                f"change its rights or set {variable} to another folder"
            ) from error
        raise BadInput(
            f"cannot write {path} ({error.strerror or error}); check the disk or set {variable} to another one"
        ) from error


def not_stale(call: Callable[[], T]) -> T:
    """Return `call()`; called once more where a network disk has replaced a file that was open (ESTALE)."""
    try:
        return call()
    except OSError as error:
        if error.errno != errno.ESTALE:
            raise
        return call()


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` durably and completely, or raise and leave `path` as it was."""
    not_stale(lambda: _write_atomic(path, data))


def _write_atomic(path: Path, data: bytes) -> None:
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
    """Write all of `data` (bytes or a buffer) at `offset`; raise OSError if the disk is full."""
    view = memoryview(data)
    view = view.cast("B") if view.nbytes else view
    while view.nbytes:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable where the file system supports it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def temporary_sibling(path: Path) -> Path:
    """Return a unique path beside `path` whose name contains the host and the process id."""
    return path.with_name(f"{path.name}.tmp-{_host()}-{os.getpid()}-{secrets.token_hex(4)}")


def is_left_over(path: Path) -> bool:
    """Return True if `path` is a temporary file of a process of this host that has ended."""
    found = re.search(r"\.tmp-(.+)-(\d+)-[0-9a-f]{8}$", path.name)
    return bool(found) and found[1] == _host() and not is_running(int(found[2]))


def is_running(pid: int) -> bool:
    """Return True if a process of this host has the id `pid`."""
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
    """Remove a folder and its content as far as possible; never raise."""
    shutil.rmtree(path, ignore_errors=True)


def remove_left_overs(folder: Path, start: str) -> None:
    """Remove temporary files of ended processes of this host whose names in `folder` begin with `start`."""
    with suppress(OSError):
        for other in folder.glob(f"{start}*.tmp-*"):
            if is_left_over(other):
                log.info("removing %s, which a killed process left half-written", other)
                remove_folder(other) if other.is_dir() else other.unlink(missing_ok=True)


def kind_of(path: str | Path) -> str:
    """Return "file", or "nothing", "a folder", "a named pipe", "a device", "a socket" or "a loop of links"."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "nothing"
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "a loop of links"
        raise
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "file")


def require_regular(path: str | Path, expected: str) -> None:
    """Raise BadInput unless `path` is a file that can be read to its end: a named pipe would wait for ever.

    expected: name of the file's content in the message, such as "a film".
    """
    try:
        kind = not_stale(lambda: kind_of(path))
        readable = kind != "file" or os.access(path, os.R_OK)
    except OSError as error:
        raise BadInput(f"{path}: cannot be reached ({error.strerror}); expected {expected}") from None
    if kind == "nothing":
        raise BadInput(f"{path}: no such file; expected {expected}")
    if kind != "file":
        raise BadInput(f"{path}: is {kind}; expected {expected}, in a file; put the file there")
    if not readable:
        raise BadInput(f"{path}: may not be read; expected {expected}; change its rights")


_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def read_bytes(path: Path) -> bytes | None:
    """Return the content of a file, None if there is none; BadInput for a folder, pipe or loop of links there."""
    if not_stale(lambda: kind_of(path)) == "nothing":
        return None
    require_regular(path, "a file of this program")
    try:
        return not_stale(path.read_bytes)
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_json(path: Path) -> dict | None:
    """Return the content of a file written with `encode_json`, None if there is none; raise as `decode_json` does."""
    data = read_bytes(path)
    if data is None:
        return None
    return decode_json(data)


def encode_json(content: dict) -> bytes:
    """Return `content` with its format number and a checksum over both as JSON; the order of the fields is kept."""
    checked = {**content, "format": content.get("format", FORMAT)}
    return json.dumps({**checked, "checksum": digest(checked)}, separators=(",", ":")).encode()


def decode_json(data: bytes) -> dict:
    """Return the content of `encode_json`'s bytes; raise DamagedFile if they changed, NewerFormat for later formats."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedFile("not readable as JSON") from error
    if not isinstance(content, dict) or "checksum" not in content:
        raise DamagedFile("no checksum inside")
    checksum = content.pop("checksum")
    if digest(content) != checksum:
        raise DamagedFile("its checksum does not fit its content")
    written = content.pop("format", None)
    if not isinstance(written, int) or written < FORMAT:
        raise DamagedFile(f"manifest format {written}; expected {FORMAT}")
    if written > FORMAT:
        raise NewerFormat(f"manifest format {written}; this program reads {FORMAT}")
    return content


def rename_damaged(path: Path, reason: str) -> Path | None:
    """Rename a damaged file or folder to `<name>.damaged-<time>` and return the new path; return None if it is gone."""
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
    log.warning("%s: %s; renamed to %s", path, reason, target.name)
    return target


def check_can_replace(target: Path, option: str) -> None:
    """Raise BadInput if the file `target`, which an option names, could not be written; one beside it is tried."""
    with writing(target, option):
        kind = kind_of(target)
        if kind in ("nothing", "file"):
            part = temporary_sibling(target.with_name(f".{target.name}"))
            try:
                # an empty file fits on a full disk
                part.write_bytes(bytes(ROOM_BYTES))
            finally:
                part.unlink(missing_ok=True)
    if kind not in ("nothing", "file"):
        raise BadInput(f"{option} {target}: is {kind}; expected the name of a file; choose another")


@contextmanager
def replacing_file(target: Path) -> Iterator[Path]:
    """Yield a hidden path beside `target` to write to; the file takes the place of `target` unless the block raises."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_sibling(target.with_name(f".{target.name}"))
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` to fill; it takes the place of `target`, whole, unless the block raises."""
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = target.with_name(f".{target.name}")
    remove_left_overs(target.parent, hidden.name)
    temporary = temporary_sibling(hidden)
    try:
        (temporary / "new").mkdir(parents=True)
        yield temporary / "new"
        if target.exists():
            os.replace(target, temporary / "old")
        os.replace(temporary / "new", target)
    finally:
        remove_folder(temporary)


def unchecked_json(path: Path, default: dict | None = None) -> dict | None:
    """Return the content of a JSON file without a checksum, `default` where it is absent or not readable."""
    try:
        return json.loads(path.read_text()) if kind_of(path) == "file" else default
    except (OSError, ValueError, RecursionError):
        return default


def safe_name(text: str, limit: int = 80) -> str:
    """Return `text` as a file name: "_" for all but letters, digits and ".+-", at most `limit` characters."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", text)[:limit].strip(".") or "_"
