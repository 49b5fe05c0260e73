"""Lock files that work on network disks: a marker file that its owner renews at intervals."""

import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .files import is_running, writing

log = logging.getLogger(__name__)

# A marker that is not renewed for LEASE_SECONDS, by the clock of the waiting process, belongs to a dead owner on
# another host. A network disk may show old file times for a minute. Every process must use the same number.
LEASE_SECONDS = 180.0
RENEW_SECONDS = 20.0
# A killed process may leave a marker without its name; a live process writes its name within milliseconds.
NAMELESS_SECONDS = 10.0
LONGEST_POLL_SECONDS = 1.0

HELD: set[tuple[str, int, int]] = set()


class Held(Exception):
    """A lock that another process holds; the message names the process."""


@contextmanager
def locked(path: Path, variable: str, *, wait: bool = True) -> Iterator[Callable[[], bool]]:
    """Hold the lock file `path` inside the block; yield a function that returns False once the lock is lost.

    A thread that holds the lock already enters at once. The owner that is waited for and the owner of a recovered lock
    are logged. Raises BadInput that names `variable` if `path` cannot be written and, with `wait=False`, Held if a live
    process holds it.
    """
    from filelock import SoftFileLease

    held = (str(path), os.getpid(), threading.get_ident())
    if held in HELD:
        yield lambda: True
        return
    with writing(path, variable):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = SoftFileLease(path, lease_duration=LEASE_SECONDS, heartbeat_interval=RENEW_SECONDS)
        _acquire(lock, path, wait)
    HELD.add(held)
    try:
        yield lambda: lock.compromise is None
    finally:
        HELD.discard(held)
        with suppress(OSError):
            lock.release()


def holder(path: Path) -> str | None:
    """Return the owner of the lock file `path` as "process 12 on a-host", None if no live process holds it."""
    from filelock import SoftFileLease

    owner = SoftFileLease(path, lease_duration=LEASE_SECONDS).owner
    return None if owner is None or _is_dead(owner) else _owner_text(owner)


def is_dead_lock(path: Path) -> bool:
    """Return True if the owner of the lock file `path` is a process of this host that has ended."""
    from filelock import SoftFileLease

    owner = SoftFileLease(path, lease_duration=LEASE_SECONDS).owner
    return owner is not None and _is_dead(owner)


def _acquire(lock, path: Path, wait: bool) -> None:
    from filelock import Timeout

    watch, dead_owner, logged, poll_seconds = _FileWatch(path), None, None, 0.02
    while True:
        owner, unchanged_seconds = lock.owner, watch.unchanged_seconds()
        if owner is not None:
            # filelock starts to measure the lease a moment later
            dead_owner = owner if _is_dead(owner) or unchanged_seconds >= 0.99 * LEASE_SECONDS else None
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait and owner is not None and not _is_dead(owner):
                raise Held(f"{_owner_text(owner)} holds {path}") from None
            logged = _log_owner(owner, logged, path)
        else:
            if dead_owner is not None:
                dead = _owner_text(dead_owner)
                log.warning("recovered the lock %s of %s, which ended without releasing it", path, dead)
            return
        watch.remove_nameless()
        time.sleep(poll_seconds)
        poll_seconds = min(poll_seconds * 1.5, LONGEST_POLL_SECONDS)


def _log_owner(owner, logged, path: Path):
    """Log the owner that is waited for, once per owner; return the token of the owner logged last."""
    if owner is not None and owner.token != logged:
        log.info("waiting for %s, which holds %s", _owner_text(owner), path)
        return owner.token
    return logged


def _owner_text(owner) -> str:
    return f"process {owner.pid} on {owner.hostname}"


def _is_dead(owner) -> bool:
    return owner.hostname == platform.node() and not is_running(owner.pid)


class _FileWatch:
    """Time since a marker file last changed, by the clock of this process; the clocks of other hosts are not used."""

    def __init__(self, path: Path):
        self.path = path
        self.state = None
        self.since = time.monotonic()

    def unchanged_seconds(self) -> float:
        found = self.stat()
        state = found and (found.st_ino, found.st_mtime_ns, found.st_size)
        if state != self.state:
            self.state, self.since = state, time.monotonic()
        return time.monotonic() - self.since

    def stat(self) -> os.stat_result | None:
        try:
            return os.lstat(self.path)
        except OSError:
            return None

    def remove_nameless(self) -> None:
        """Remove a marker without the name of an owner that has not changed for NAMELESS_SECONDS."""
        unchanged_seconds, found = self.unchanged_seconds(), self.stat()
        if found is None or found.st_size > 0 or unchanged_seconds < NAMELESS_SECONDS:
            return
        moved = self.path.with_name(f"{self.path.name}.nameless-{os.getpid()}")
        with suppress(OSError):
            os.rename(self.path, moved)
            now = os.lstat(moved)
            if now.st_ino != found.st_ino or now.st_size > 0:
                os.link(moved, self.path)
            else:
                log.warning("removed the lock %s, which a killed process left without its name", self.path)
            os.unlink(moved)
