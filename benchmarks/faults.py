"""Breaks a cache in every way it can be broken and counts what comes back wrong: `python -m benchmarks.faults`.

Every injection ends with a run that must give the result of an undisturbed one, or refuse with one line where nothing
can be done. The last line reads "N injections, M wrong or lost"; the exit code is 1 if M > 0.
"""

import argparse
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
    ANSWERS,
    CEILING,
    IDS,
    SIZES,
    Outcome,
    World,
    collect,
    count_lines,
    flip,
    flush_at_once,
    hurry,
    in_child,
    kill_at_line,
    kill_in_write,
    start,
)
from src import files, locks
from src.store import Interrupted, Store, key_name

Verdict = tuple[str, bool]
WORKS = ("entry", "answers", "metadata")


@contextmanager
def world(parent: Path | None = None) -> Iterator[World]:
    home = Path(tempfile.mkdtemp(prefix="faults-", dir=parent))
    try:
        yield World(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def expected() -> dict[str, object]:
    """What undisturbed runs give, and the bytes they leave; loads here what every child would have to load."""
    with world() as clean:
        for work in WORKS:
            getattr(clean, work)()
    with world() as clean:
        results = {work: in_child(getattr(clean, work), flush_at_once).result for work in WORKS}
        return results | {"bytes": clean.bytes()}


def again(broken: World, work: str) -> Outcome:
    return in_child(getattr(broken, work), hurry)


def kills(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """kill -9 before a random line and inside a random write of each work, then again: identical results and bytes."""
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
    """A run killed again and again gets to its end, and what was done is not done again."""
    with world() as probe:
        lines = count_lines(probe, probe.answers)
    with world() as broken:
        for _ in range(count):
            in_child(broken.answers, kill_at_line(rng.randint(lines // 8, lines)))
        last = again(broken, "answers")
        yield "kill again and again", last.result == truth["answers"]


def damage(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """Every file of the cache cut short, lengthened, emptied, removed and with bits turned over."""
    for work in WORKS:
        with world() as probe:
            in_child(getattr(probe, work))
            names = [path.relative_to(probe.home) for path in probe.files()]
        for name in names:
            for what, change in _changes(count, rng):
                with world() as broken:
                    in_child(getattr(broken, work))
                    change(broken.home / name)
                    yield f"{what} {_kind(name)}", _is_mended(broken, work, name, what, truth)


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


def _is_mended(broken: World, work: str, name: Path, what: str, truth: dict) -> bool:
    """Whether the next run is right, names the damage and keeps the damaged file, and the one after has no work."""
    first, computed = again(broken, work), len((broken.home / "computed.txt").read_text().split())
    second = again(broken, work)
    right = first.result == truth[work] and second.result == truth[work]
    quiet = len((broken.home / "computed.txt").read_text().split()) == computed
    if name.name == "seal.json" or what == "remove" or broken.computed(_unit(work)) == 1:
        return right and quiet
    kept = any(".damaged-" in str(path) for path in broken.files())
    return right and quiet and kept and "aside" in first.logged


def _unit(work: str) -> str:
    return {"answers": "never"}.get(work, work)


def half_done(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """A half-filled activation folder, damaged anywhere: only what is damaged or missing is computed again."""

    def some(sink) -> None:
        broken.fill(_Some(sink))

    for _ in range(count):
        with world() as broken:
            stopped = in_child(lambda: Store(broken.config).activations(ANSWERS, SIZES, IDS, some))
            path = rng.choice([path for path in broken.files() if path.suffix == ".npy"])
            flip(path, rng)
            last = again(broken, "answers")
            yield (
                "flip a bit of a half-done folder",
                ((stopped.error or "").startswith(Interrupted.__name__) and last.result == truth["answers"]),
            )


class _Some:
    """A sink that lets an extractor believe that only the first three stimuli are to be done."""

    def __init__(self, sink):
        self.write, self.finish = sink.write, sink.finish
        self.done = sink.done.copy()
        self.done[3:] = True


def crowds(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """8 processes with one entry and 16 with one activation key at once: each is computed once, all see the same."""
    for _ in range(max(1, count // 5)):
        for work, size in (("entry", 8), ("answers", 16), ("metadata", 8)):
            with world() as shared:
                found = [collect(child) for child in [start(getattr(shared, work), hurry) for _ in range(size)]]
                once = all(shared.computed(unit) == 1 for unit in (IDS if work == "answers" else [work]))
                copies = len(list((shared.home / "activations").glob("*/manifest.json"))) <= 1
                yield f"{size} at once: {work}", once and copies and all(o.result == truth[work] for o in found)


def crowds_with_kills(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """Several processes at once, one of them killed at a random line: the others get the right result."""
    with world() as probe:
        lines = count_lines(probe, probe.answers)
    for _ in range(count):
        with world() as shared:
            doomed = start(shared.answers, kill_at_line(rng.randint(1, lines)))
            others = [start(shared.answers, hurry) for _ in range(3)]
            collect(doomed)
            yield "kill one of four", all(collect(child).result == truth["answers"] for child in others)


def old_locks(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """Locks of dead owners, without a name, and of a silent owner on another host are recovered; the first is named."""

    def soon() -> None:
        hurry()
        locks.LEASE_SECONDS, locks.RENEW_SECONDS = 0.5, 0.1

    for work, home, name in (
        ("entry", "results/dynamic_vision.ceiling", key_name(CEILING)),
        ("answers", "activations", key_name(ANSWERS)),
    ):
        for what in ("dead", "nameless", "silent"):
            with world() as broken:
                lock = broken.home / home / f"{name}.lock"
                lock.parent.mkdir(parents=True)
                in_child(lambda lock=lock: _hold_and_die(lock), soon)
                text = lock.read_text()
                if what == "nameless":
                    lock.write_text("")
                if what == "silent":
                    lock.write_text(text.replace(f"host={os.uname().nodename}", "host=far-away"))
                    os.utime(lock, (time.time() + 1e6, time.time() + 1e6))
                last = in_child(getattr(broken, work), soon)
                named = what != "dead" or "recovered the lock" in last.logged
                yield f"{what} lock", last.result == truth[work] and named and not lock.exists()


def _hold_and_die(lock: Path) -> None:
    with locks.locked(lock, "RESULTCACHING_HOME"):
        os.kill(os.getpid(), 9)


def manifests(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """A later format is refused and left alone; an earlier one is set aside; dates in the future change nothing."""
    for work in WORKS:
        for format_, year in ((2, "2026"), (0, "2026"), (1, "2999")):
            with world() as broken:
                in_child(getattr(broken, work))
                path = next(p for p in broken.files() if p.suffix == ".json" and p.name != "seal.json")
                content = json.loads(path.read_text())
                content.pop("checksum")
                content["provenance"]["created"] = f"{year}-01-01T00:00:00+00:00"
                path.write_bytes(files.close_json(content | {"format": format_}))
                before, last = path.read_bytes(), again(broken, work)
                if format_ == 2:
                    refused = (last.error or "").startswith("BadInput") and "later version" in last.error
                    yield "manifest of a later version", refused and path.read_bytes() == before
                elif format_ == 0:
                    yield "manifest of an earlier version", last.result == truth[work] and "aside" in last.logged
                else:
                    yield "manifest from the future", last.result == truth[work] and path.read_bytes() == before


def clocks(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """Files dated far in the past or the future: nothing is computed again."""
    for work in WORKS:
        for shift in (-1e9, 1e9):
            with world() as broken:
                in_child(getattr(broken, work))
                notes = (broken.home / "computed.txt").read_text()
                for path in [*broken.files(), broken.home / "weights.bin"]:
                    if path.exists():
                        os.utime(path, (time.time() + shift,) * 2)
                last = again(broken, work)
                yield "skewed clock", last.result == truth[work] and (broken.home / "computed.txt").read_text() == notes


def full_disks(count: int, rng: random.Random, truth: dict) -> Iterator[Verdict]:
    """A disk that fills up at any point: one line that names path and variable; with room again, the right result."""
    for work in ("entry", "answers"):
        for kilobytes in range(4, 4 + 4 * max(4, count), 4):
            with small_disk(kilobytes) as disk:
                if disk is None:
                    return
                broken = World(disk)
                (disk / "computed.txt").symlink_to(os.devnull)
                first = in_child(getattr(broken, work), flush_at_once)
                told = first.result == truth[work] or "_HOME" in (first.error or "")
                subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
                last = again(broken, work)
                yield "full disk", told and last.result == truth[work]


@contextmanager
def small_disk(kilobytes: int) -> Iterator[Path | None]:
    """A tmpfs of that size, or None where this user may not mount one."""
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
    """A cache that may not be written serves what it has and refuses the rest in one line."""
    with world() as shared, tempfile.TemporaryDirectory() as place:
        for work in WORKS:
            in_child(getattr(shared, work))
        bind = subprocess.run(["mount", "--bind", str(shared.home), place], capture_output=True)
        if bind.returncode or subprocess.run(["mount", "-o", "remount,ro,bind", place], capture_output=True).returncode:
            return
        try:
            locked_up = World(Path(place))
            for work in ("entry", "answers"):
                yield "read-only", again(locked_up, work).result == truth[work]
            flip(next(p for p in shared.files() if p.suffix == ".nc"), rng)
            yield "read-only and damaged", "RESULTCACHING_HOME" in (again(locked_up, "entry").error or "")
            shutil.rmtree(shared.home / "activations")
            (shared.home / "activations").mkdir()
            yield "read-only and absent", "MMAP_HOME" in (again(locked_up, "answers").error or "")
        finally:
            subprocess.run(["umount", "-l", place], check=True)


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
    read_only,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=50, help="injections per kind of random fault (default 50)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    truth, total, wrong = expected(), 0, 0
    for group in GROUPS:
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
