"""Fault injection into the store, with a count of wrong results: `python -m benchmarks.faults`.

Every injection ends with a run that must give the result of an undisturbed run or, if that is impossible, raise an
error of one line. The last line printed is "N injections, M wrong or lost"; the exit code is 1 if M > 0.
"""

import argparse
import errno
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.fault_world import (
    ACTIVATIONS,
    CEILING,
    IDS,
    SIZES,
    Outcome,
    World,
    collect,
    count_calls,
    count_lines,
    failing,
    flip,
    flush_at_once,
    in_child,
    kill_at_line,
    kill_in_write,
    shorten_waits,
    start,
)
from src import files, locks
from src.store import Interrupted, Store, key_name

Verdict = tuple[str, bool]
WORKS = ("entry", "activations", "metadata")


@contextmanager
def world(parent: Path | None = None) -> Iterator[World]:
    home = Path(tempfile.mkdtemp(prefix="faults-", dir=parent))
    try:
        yield World(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def expected() -> dict[str, object]:
    """Return the results and the bytes of undisturbed runs; the imports are made here, once for all children."""
    with world() as clean:
        for work in WORKS:
            getattr(clean, work)()
    with world() as clean:
        results = {work: in_child(getattr(clean, work), flush_at_once).result for work in WORKS}
        return results | {"bytes": clean.bytes()}


def again(broken: World, work: str) -> Outcome:
    return in_child(getattr(broken, work), shorten_waits)


def kills(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """Kill each task before a random line or inside a random write; the next run gives identical results and bytes."""
    for work in WORKS:
        with world() as probe:
            lines = count_lines(probe, getattr(probe, work))
        for i in range(count):
            with world() as broken:
                torn = i % 3 == 2
                fatal = kill_in_write(rng.randint(1, 40)) if torn else kill_at_line(rng.randint(1, lines))
                in_child(getattr(broken, work), fatal)
                last = again(broken, work)
                left = [path for path in broken.files() if ".tmp-" in str(path)]
                same = all(truth["bytes"][name] == content for name, content in broken.bytes().items())
                yield f"kill {work}", last.result == truth[work] and same and not left


def repeated_kills(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """Kill one task repeatedly; the last run gives the expected result."""
    with world() as probe:
        lines = count_lines(probe, probe.activations)
    with world() as broken:
        for _ in range(count):
            in_child(broken.activations, kill_at_line(rng.randint(lines // 8, lines)))
        last = again(broken, "activations")
        yield "kill repeatedly", last.result == truth["activations"]


def damage(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """Truncate, lengthen, empty and remove every file of the store, and invert bits of it."""
    for work in WORKS:
        with world() as probe:
            in_child(getattr(probe, work))
            names = [path.relative_to(probe.home) for path in probe.files()]
        for name in names:
            for what, change in _changes(count, rng):
                with world() as broken:
                    in_child(getattr(broken, work))
                    change(broken.home / name)
                    yield f"{what} {_kind(name)}", _is_repaired(broken, work, name, what, truth)


def _changes(count: int, rng: random.Random) -> Iterator[tuple[str, Callable[[Path], None]]]:
    yield "empty", lambda path: os.truncate(path, 0)
    yield "halve", lambda path: os.truncate(path, path.stat().st_size // 2)
    yield "cut the last byte of", lambda path: os.truncate(path, path.stat().st_size - 1)
    yield "lengthen", lambda path: path.write_bytes(path.read_bytes() + b"\0")
    yield "remove", lambda path: path.unlink()
    for _ in range(count):
        yield "flip a bit of", lambda path: flip(path, rng)


def _kind(name: Path) -> str:
    return name.name if name.suffix == ".json" and name.parts[0] == "activations" else name.parts[0] + name.suffix


def _is_repaired(broken: World, work: str, name: Path, what: str, truth: dict) -> bool:
    """Return True if the next run is correct, logs and keeps the damaged file, and the one after computes nothing."""
    first, computed = again(broken, work), len((broken.home / "computed.txt").read_text().split())
    second = again(broken, work)
    right = first.result == truth[work] and second.result == truth[work]
    quiet = len((broken.home / "computed.txt").read_text().split()) == computed
    if name.name == "seal.json" or what == "remove" or broken.computed(_unit(work)) == 1:
        return right and quiet
    kept = any(".damaged-" in str(path) for path in broken.files())
    return right and quiet and kept and ".damaged-" in first.logged


def _unit(work: str) -> str:
    return {"activations": "never"}.get(work, work)


def half_done(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """Invert a bit in a half-filled activation folder; the next run gives the expected result."""

    def some(sink) -> None:
        broken.fill(_Some(sink))

    for _ in range(count):
        with world() as broken:
            stopped = in_child(lambda: Store(broken.config).activations(ACTIVATIONS, SIZES, IDS, some))
            path = rng.choice([path for path in broken.files() if path.suffix == ".npy"])
            flip(path, rng)
            last = again(broken, "activations")
            yield (
                "flip a bit of a half-done folder",
                ((stopped.error or "").startswith(Interrupted.__name__) and last.result == truth["activations"]),
            )


class _Some:
    """Sink that marks all but the first three stimuli as done."""

    def __init__(self, sink):
        self.write, self.finish = sink.write, sink.finish
        self.done = sink.done.copy()
        self.done[3:] = True


def crowds(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """Start 8 or 16 processes with one key at once; the value is computed once and all get the same result."""
    for _ in range(max(1, count // 5)):
        for work, size in (("entry", 8), ("activations", 16), ("metadata", 8)):
            with world() as shared:
                found = [collect(child) for child in [start(getattr(shared, work), shorten_waits) for _ in range(size)]]
                once = all(shared.computed(unit) == 1 for unit in (IDS if work == "activations" else [work]))
                copies = len(list((shared.home / "activations").glob("*/manifest.json"))) <= 1
                yield f"{size} at once: {work}", once and copies and all(o.result == truth[work] for o in found)


def crowds_with_kills(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """Kill one of four simultaneous processes at a random line; the others get the expected result."""
    with world() as probe:
        lines = count_lines(probe, probe.activations)
    for _ in range(count):
        with world() as shared:
            doomed = start(shared.activations, kill_at_line(rng.randint(1, lines)))
            others = [start(shared.activations, shorten_waits) for _ in range(3)]
            collect(doomed)
            yield "kill one of four", all(collect(child).result == truth["activations"] for child in others)


def old_locks(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """Leave locks of dead owners, without a name, and of an owner on another host; all are recovered."""

    def short_lease() -> None:
        shorten_waits()
        locks.LEASE_SECONDS, locks.RENEW_SECONDS = 0.5, 0.1

    for work, home, name in (
        ("entry", "results/dynamic_vision.ceiling", key_name(CEILING)),
        ("activations", "activations", key_name(ACTIVATIONS)),
    ):
        for what in ("dead", "nameless", "silent"):
            with world() as broken:
                lock = broken.home / home / f"{name}.lock"
                lock.parent.mkdir(parents=True)
                in_child(lambda lock=lock: _hold_and_be_killed(lock), short_lease)
                text = lock.read_text()
                if what == "nameless":
                    lock.write_text("")
                if what == "silent":
                    lock.write_text(text.replace(f"host={os.uname().nodename}", "host=far-away"))
                    os.utime(lock, (time.time() + 1e6, time.time() + 1e6))
                last = in_child(getattr(broken, work), short_lease)
                logged = what != "dead" or "recovered the lock" in last.logged
                yield f"{what} lock", last.result == truth[work] and logged and not lock.exists()


def _hold_and_be_killed(lock: Path) -> None:
    with locks.locked(lock, "RESULTCACHING_HOME"):
        os.kill(os.getpid(), 9)


def manifests(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """Write manifests of a later format (refused and kept), of an earlier one (renamed) and from the future (read)."""
    for work in WORKS:
        for format_, year in ((2, "2026"), (0, "2026"), (1, "2999")):
            with world() as broken:
                in_child(getattr(broken, work))
                path = next(p for p in broken.files() if p.suffix == ".json" and p.name != "seal.json")
                content = json.loads(path.read_text())
                content.pop("checksum")
                content["provenance"]["created"] = f"{year}-01-01T00:00:00+00:00"
                path.write_bytes(files.encode_json(content | {"format": format_}))
                before, last = path.read_bytes(), again(broken, work)
                if format_ == 2:
                    refused = (last.error or "").startswith("BadInput") and "later version" in last.error
                    yield "manifest of a later version", refused and path.read_bytes() == before
                elif format_ == 0:
                    yield "manifest of an earlier version", last.result == truth[work] and ".damaged-" in last.logged
                else:
                    yield "manifest from the future", last.result == truth[work] and path.read_bytes() == before


def clocks(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """Set the times of all files far into the past or the future; nothing is computed again."""
    for work in WORKS:
        for shift in (-1e9, 1e9):
            with world() as broken:
                in_child(getattr(broken, work))
                computed = (broken.home / "computed.txt").read_text()
                for path in [*broken.files(), broken.home / "weights.bin"]:
                    if path.exists():
                        os.utime(path, (time.time() + shift,) * 2)
                last = again(broken, work)
                unchanged = (broken.home / "computed.txt").read_text() == computed
                yield "skewed clock", last.result == truth[work] and unchanged


def full_disks(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """Fill the disk at any point: one line names the path and the variable; with more space the result is correct."""
    for work in ("entry", "activations"):
        for kilobytes in range(4, 4 + 4 * max(4, count), 4):
            with small_disk(kilobytes) as disk:
                if disk is None:
                    return
                broken = World(disk)
                (disk / "computed.txt").symlink_to(os.devnull)
                first = in_child(getattr(broken, work), flush_at_once)
                named = first.result == truth[work] or "_HOME" in (first.error or "")
                subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
                last = again(broken, work)
                yield "full disk", named and last.result == truth[work]


@contextmanager
def small_disk(kilobytes: int) -> Iterator[Path | None]:
    """Yield a tmpfs of that size, None if this user may not mount one."""
    with tempfile.TemporaryDirectory() as place:
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", place]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            yield None
            return
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "-l", place], check=True)


def read_only(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """Write-protect a store; stored values are read, and all others raise one line."""
    with world() as shared, tempfile.TemporaryDirectory() as place:
        for work in WORKS:
            in_child(getattr(shared, work))
        bind = subprocess.run(["mount", "--bind", str(shared.home), place], capture_output=True)
        if bind.returncode or subprocess.run(["mount", "-o", "remount,ro,bind", place], capture_output=True).returncode:
            return
        try:
            protected = World(Path(place))
            for work in ("entry", "activations"):
                yield "read-only", again(protected, work).result == truth[work]
            flip(next(p for p in shared.files() if p.suffix == ".nc"), rng)
            yield "read-only and damaged", "RESULTCACHING_HOME" in (again(protected, "entry").error or "")
            shutil.rmtree(shared.home / "activations")
            (shared.home / "activations").mkdir()
            yield "read-only and absent", "MMAP_HOME" in (again(protected, "activations").error or "")
        finally:
            subprocess.run(["umount", "-l", place], check=True)


ERRORS = (errno.EIO, errno.ESTALE, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENOSPC)


def io_errors(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """Let calls of the system fail from a random one on, in an empty and in a filled store, and stale ones once.

    The result is right, or the error is one line of BadInput; the next run gives the expected result.
    """
    for work in WORKS:
        for filled in (False, True):
            with world() as probe:
                if filled:
                    in_child(getattr(probe, work))
                n_calls = in_child(lambda probe=probe, work=work: _number_of_calls(getattr(probe, work))).result
            for _ in range(count):
                error = rng.choice(ERRORS)
                once = error == errno.ESTALE and filled
                with world() as broken:
                    if filled:
                        in_child(getattr(broken, work))
                    first = in_child(getattr(broken, work), failing(error, rng.randint(1, n_calls), once))
                    last = again(broken, work)
                    line = (first.error or "").startswith("BadInput: ") and "\n" not in first.error
                    right = first.result == truth[work] or (line and not once)
                    yield (
                        f"{errno.errorcode[error]} {'once' if once else 'from a call on'}",
                        (right and last.result == truth[work]),
                    )


def _number_of_calls(work: Callable[[], object]) -> int:
    calls = count_calls()
    work()
    return calls[0]


GROUPS = (
    kills,
    repeated_kills,
    damage,
    half_done,
    crowds,
    crowds_with_kills,
    old_locks,
    manifests,
    clocks,
    full_disks,
    io_errors,
    read_only,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=50, help="injections per kind of random fault (default 50)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", metavar="TEXT", help="only the groups whose names contain this")
    options = parser.parse_args()
    truth, total, wrong = expected(), 0, 0
    for group in (one for one in GROUPS if options.only in one.__name__):
        start_time, tally, bad = time.monotonic(), Counter(), Counter()
        for name, right in group(options.count, random.Random(options.seed), truth):
            tally[name] += 1
            bad[name] += not right
        total, wrong = total + tally.total(), wrong + bad.total()
        for name in tally or ["(not possible here)"]:
            print(f"{group.__name__:18} {name:40} {tally[name]:5d} injected {bad[name]:3d} wrong or lost")
        print(f"{group.__name__:18} took {time.monotonic() - start_time:.1f} s", flush=True)
    print(f"{total} injections, {wrong} wrong or lost")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
