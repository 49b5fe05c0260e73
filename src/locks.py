"""One lock per key that works on network disks: a marker file, renewed while its owner lives."""

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

# A marker not renewed for LEASE_SECONDS of the waiter's own clock belongs to a dead owner on another host; longer than
# the minute for which a network disk may show old file times. Every process must use the same number.
LEASE_SECONDS = 180.0
RENEW_SECONDS = 20.0
# A killed process may leave a marker it had no time to write its name into; a live one needs milliseconds for that.
NAMELESS_SECONDS = 10.0
LONGEST_NAP_SECONDS = 1.0

HELD: set[tuple[str, int, int]] = set()


@contextmanager
def locked(path: Path, variable: str) -> Iterator[Callable[[], bool]]:
    """Hold the lock file `path`; yields a function that tells whether the lock is still ours.

    A thread that holds the lock already does not wait for itself. Whom it waits for and whose lock it recovered is
    logged. Raises BadInput where `path` cannot be written.
    """
    from filelock import SoftFileLease

    mine = (str(path), os.getpid(), threading.get_ident())
    if mine in HELD:
        yield lambda: True
        return
    with writing(path, variable):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = SoftFileLease(path, lease_duration=LEASE_SECONDS, heartbeat_interval=RENEW_SECONDS)
        _acquire(lock, path)
    HELD.add(mine)
    try:
        yield lambda: lock.compromise is None
    finally:
        HELD.discard(mine)
        with suppress(OSError):
            lock.release()


def holder(path: Path) -> str | None:
    """Who holds the lock file `path`: "process 12 on host a", or None where nobody alive does."""
    from filelock import SoftFileLease

    owner = SoftFileLease(path, lease_duration=LEASE_SECONDS).owner
    return None if owner is None or _is_dead(owner) else _named(owner)


def is_dead_lock(path: Path) -> bool:
    """Whether the lock file `path` names a process of this host that has ended."""
    from filelock import SoftFileLease

    owner = SoftFileLease(path, lease_duration=LEASE_SECONDS).owner
    return owner is not None and _is_dead(owner)


def _acquire(lock, path: Path) -> None:
    from filelock import Timeout

    watch, lost, told, nap = _Watch(path), None, None, 0.02
    while True:
        owner, quiet_seconds = lock.owner, watch.unchanged_seconds()
        if owner is not None:
            # filelock's own clock for the lease starts a moment after ours
            lost = owner if _is_dead(owner) or quiet_seconds >= 0.99 * LEASE_SECONDS else None
        try:
            lock.acquire(timeout=0)
        except Timeout:
            told = _tell(owner, told, path)
        else:
            if lost is not None:
                log.warning("recovered the lock %s of %s, which ended without releasing it", path, _named(lost))
            return
        watch.remove_nameless()
        time.sleep(nap)
        nap = min(nap * 1.5, LONGEST_NAP_SECONDS)


def _tell(owner, told, path: Path):
    """Log once per owner whom we wait for."""
    if owner is not None and owner.token != told:
        log.info("waiting for %s, which holds %s", _named(owner), path)
        return owner.token
    return told


def _named(owner) -> str:
    return f"process {owner.pid} on {owner.hostname}"


def _is_dead(owner) -> bool:
    return owner.hostname == platform.node() and not is_running(owner.pid)


class _Watch:
    """For how long a marker file has not changed, by this process's own clock; other hosts' clocks play no part."""

    def __init__(self, path: Path):
        self.path = path
        self.state = None
        self.since = time.monotonic()

    def unchanged_seconds(self) -> float:
        found = self.look()
        state = found and (found.st_ino, found.st_mtime_ns, found.st_size)
        if state != self.state:
            self.state, self.since = state, time.monotonic()
        return time.monotonic() - self.since

    def look(self) -> os.stat_result | None:
        try:
            return os.lstat(self.path)
        except OSError:
            return None

    def remove_nameless(self) -> None:
        """Remove a marker without an owner's name that has not changed for NAMELESS_SECONDS."""
        unchanged_seconds, found = self.unchanged_seconds(), self.look()
        if found is None or found.st_size > 0 or unchanged_seconds < NAMELESS_SECONDS:
            return
        aside = self.path.with_name(f"{self.path.name}.nameless-{os.getpid()}")
        with suppress(OSError):
            os.rename(self.path, aside)
            taken = os.lstat(aside)
            if taken.st_ino != found.st_ino or taken.st_size > 0:
                os.link(aside, self.path)
            else:
                log.warning("removed the lock %s, which a killed process left without its name", self.path)
            os.unlink(aside)
