"""A small cache to break: the same three pieces of work, done in child processes that may be killed at any line."""

import hashlib
import logging
import os
import pickle
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import src.store
from src import locks
from src.config import Config
from src.store import ActivationKey, CeilingKey, Entry, Metadata, Store, activations
from src.utils import array_digest, digest

IDS = tuple(f"film-{i}" for i in range(7))
SIZES = {"conv.1": 5, "head/2": 3}
BINS_MS = tuple((1000.0 * t, 1000.0 * (t + 1)) for t in range(4))
CEILING = CeilingKey("fake-fmri", "d" * 64, splits=10, seed=1)
ANSWERS = ActivationKey("r3d", "m" * 64, tuple(SIZES), "s" * 64, BINS_MS, False, "block", 4000, "fp32", None, 25)
STORE_FOLDER = str(Path(src.store.__file__).parent)
NAP_SECONDS = 0.02


@dataclass
class World:
    """A cache below `home` and a note of every computation made for it."""

    home: Path

    @property
    def config(self) -> Config:
        return Config(self.home, self.home / "activations", self.home / "results", self.home, 1)

    def note(self, what: str) -> None:
        with open(self.home / "computed.txt", "a") as notes:
            notes.write(what + "\n")

    def computed(self, what: str) -> int:
        notes = self.home / "computed.txt"
        return notes.read_text().split().count(what) if notes.exists() else 0

    def make_entry(self) -> Entry:
        self.note("entry")
        rng = np.random.default_rng(3)
        arrays = {"raw": rng.normal(size=(50, 10)), "names": np.array(["a", "ünit", ""]), "ok": rng.random(9) > 0.5}
        return Entry(arrays, {"summary": "median 0.31", "values": [0.1, None, float("inf")]})

    def entry(self) -> str:
        """Fetch the entry; a digest of all that the caller sees."""
        found = Store(self.config).fetch(CEILING, self.make_entry)
        return digest([{name: array_digest(found.arrays[name]) for name in sorted(found.arrays)}, found.facts])

    def fill(self, sink) -> None:
        for i in np.flatnonzero(~sink.done).tolist():
            self.note(f"film-{i}")
            n_valid = 1 + i % len(BINS_MS)
            for layer, size in SIZES.items():
                values = np.random.default_rng([i, size]).normal(size=(n_valid, size))
                sink.write(i, layer, 0, values[: n_valid // 2])
                sink.write(i, layer, n_valid // 2, values[n_valid // 2 :])
            sink.finish(i, n_valid)

    def answers(self) -> str:
        """Fetch the activations; a digest of all that the caller sees."""
        found = Store(self.config).activations(ANSWERS, SIZES, IDS, self.fill)
        layers = {layer: array_digest(values) for layer, values in found.layers.items()}
        return digest([layers, array_digest(found.n_valid), array_digest(found.time_ms), list(found.ids)])

    def metadata(self) -> str:
        """Fetch a card that rests on one file; a digest of its facts."""
        source = self.home / "weights.bin"
        if not source.exists():
            source.write_bytes(b"weights")

        def make() -> Metadata:
            self.note("metadata")
            return Metadata({"layers": list(SIZES), "fps": 25.0}, (source,), {"numpy": np.__version__})

        return digest(Store(self.config).metadata("model", "r3d", make))

    def files(self) -> list[Path]:
        """Every file of the cache but locks."""
        homes = (self.home / "results", self.home / "activations")
        return sorted(p for home in homes for p in home.rglob("*") if p.is_file() and p.suffix != ".lock")

    def bytes(self) -> dict[str, str]:
        """{file: digest} of the values; manifests and seals carry dates and are left out."""
        names = [p for p in self.files() if p.suffix in (".nc", ".npy") and "damaged" not in str(p)]
        return {str(p.relative_to(self.home)): hashlib.sha256(p.read_bytes()).hexdigest() for p in names}


@dataclass
class Outcome:
    """How a child ended: what it returned or raised, the signal that killed it, what it logged."""

    result: object = None
    error: str | None = None
    killed: int = 0
    logged: str = ""


def in_child(work: Callable[[], object], before: Callable[[], None] | None = None) -> Outcome:
    """Run `work` in a fork of this process."""
    return collect(start(work, before))


def start(work: Callable[[], object], before: Callable[[], None] | None = None) -> tuple[int, int]:
    """Begin `work` in a fork; (process id, the end of the pipe on which it reports)."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _be_child(work, before, writing)
    os.close(writing)
    return pid, reading


def collect(child: tuple[int, int]) -> Outcome:
    """Wait for a child and read its report."""
    pid, reading = child
    with os.fdopen(reading, "rb") as pipe:
        report = pipe.read()
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status) or not report:
        return Outcome(killed=os.WTERMSIG(status) or 1)
    return pickle.loads(report)


def _be_child(work: Callable[[], object], before: Callable[[], None] | None, writing: int) -> None:
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(f"{record.levelname} {record.getMessage()}")
    logging.getLogger(src.__name__).handlers = [handler]
    logging.getLogger(src.__name__).setLevel(logging.INFO)
    outcome = Outcome()
    try:
        if before:
            before()
        outcome.result = work()
    except BaseException as error:
        outcome.error = f"{type(error).__name__}: {error}"
    sys.settrace(None)
    outcome.logged = "\n".join(records)
    os.write(writing, pickle.dumps(outcome))
    os._exit(0)


def flush_at_once() -> None:
    """Bring every stimulus to the disk when it is finished, so that a kill can hit any step."""
    activations.FLUSH_SECONDS = 0.0


def hurry() -> None:
    """Take lost locks back sooner than users would want."""
    locks.NAMELESS_SECONDS = 0.2
    locks.LONGEST_NAP_SECONDS = NAP_SECONDS


class Tracer:
    """Counts the lines of the store that a process runs and kills it at the `fatal` one; 0 only counts."""

    def __init__(self, fatal: int = 0):
        self.fatal, self.count = fatal, 0

    def __call__(self, frame, event, _):
        if not frame.f_code.co_filename.startswith(STORE_FOLDER):
            return None
        if event == "line":
            self.count += 1
            if self.count == self.fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        return self


def count_lines(world: World, work: Callable[[], object]) -> int:
    """How many lines of the store a whole run of `work` takes."""
    tracer = Tracer()

    def counted() -> int:
        work()
        return tracer.count

    def prepare() -> None:
        flush_at_once()
        sys.settrace(tracer)

    return in_child(counted, prepare).result


def kill_at_line(number: int) -> Callable[[], None]:
    """Prepares a child to be killed before the `number`th line of the store that it runs."""

    def prepare() -> None:
        flush_at_once()
        hurry()
        sys.settrace(Tracer(number))

    return prepare


def kill_in_write(number: int) -> Callable[[], None]:
    """Prepares a child to be killed in its `number`th write, half of which reaches the file."""

    def prepare() -> None:
        flush_at_once()
        hurry()
        write, count = os.pwrite, iter(range(1, 10**9))

        def torn(descriptor, data, offset):
            if next(count) == number:
                write(descriptor, data[: len(data) // 2], offset)
                os.kill(os.getpid(), signal.SIGKILL)
            return write(descriptor, data, offset)

        os.pwrite = torn

    return prepare


def flip(path: Path, rng: random.Random, first: float = 0.0) -> None:
    """Turn one bit of a file over, somewhere behind the share `first` of it."""
    data = bytearray(path.read_bytes())
    place = rng.randrange(int(first * len(data)), len(data))
    data[place] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
