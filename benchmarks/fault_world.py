"""A small store for fault injection: three tasks that run in child processes, which can be killed at any line."""

import builtins
import faulthandler
import hashlib
import io
import logging
import os
import pickle
import random
import signal
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import src.store
from src import files, locks
from src.config import Config
from src.store import ActivationKey, CeilingKey, Entry, Metadata, Store, metadata
from src.utils import array_digest, digest
from src.watch import states

IDS = tuple(f"film-{i}" for i in range(7))
SIZES = {"conv.1": 5, "head/2": 3}
BINS_MS = tuple((1000.0 * t, 1000.0 * (t + 1)) for t in range(4))
CEILING = CeilingKey(("fake-fmri",), ("d" * 64,), splits=10, seed=1)
ACTIVATIONS = ActivationKey("r3d", "m" * 64, tuple(SIZES), "s" * 64, BINS_MS, False, "block", 4000, "fp32", None, 25)
# source files whose lines are counted and killed at
TRACED = (str(Path(src.store.__file__).parent), files.__file__, locks.__file__)
POLL_SECONDS = 0.02
CHILD_SECONDS = 300


@dataclass
class World:
    """A store under `home`, and a list of all computations for it."""

    home: Path

    @property
    def config(self) -> Config:
        return Config(self.home, self.home / "activations", self.home / "results", self.home, 1)

    def record(self, what: str) -> None:
        with open(self.home / "computed.txt", "a") as file:
            file.write(what + "\n")

    def computed(self, what: str) -> int:
        file = self.home / "computed.txt"
        return file.read_text().split().count(what) if file.exists() else 0

    def make_entry(self) -> Entry:
        self.record("entry")
        rng = np.random.default_rng(3)
        arrays = {"raw": rng.normal(size=(50, 10)), "names": np.array(["a", "ünit", ""]), "ok": rng.random(9) > 0.5}
        return Entry(arrays, {"summary": "median 0.31", "values": [0.1, None, float("inf")]})

    def entry(self) -> str:
        """Fetch the entry and return a digest of its arrays and facts."""
        found = Store(self.config).fetch(CEILING, self.make_entry)
        return digest([{name: array_digest(found.arrays[name]) for name in sorted(found.arrays)}, found.facts])

    def fill(self, sink) -> None:
        for i in np.flatnonzero(~sink.done).tolist():
            self.record(f"film-{i}")
            n_valid = 1 + i % len(BINS_MS)
            for layer, size in SIZES.items():
                values = np.random.default_rng([i, size]).normal(size=(n_valid, size))
                sink.write(i, layer, 0, values[: n_valid // 2])
                sink.write(i, layer, n_valid // 2, values[n_valid // 2 :])
            sink.finish(i, n_valid)

    def activations(self) -> str:
        """Fetch the activations and return a digest of them."""
        found = Store(self.config).activations(ACTIVATIONS, SIZES, IDS, self.fill)
        layers = {layer: array_digest(values) for layer, values in found.layers.items()}
        return digest([layers, array_digest(found.n_valid), array_digest(found.time_ms), list(found.ids)])

    def metadata(self) -> str:
        """Fetch metadata that depend on one file and return a digest of their facts."""
        source = self.home / "weights.bin"
        if not source.exists():
            source.write_bytes(b"weights")

        def make() -> Metadata:
            self.record("metadata")
            return Metadata({"layers": list(SIZES), "fps": 25.0}, (source,), {"numpy": np.__version__})

        return digest(Store(self.config).metadata("model", "r3d", make))

    def files(self) -> list[Path]:
        """Return all files of the store but locks."""
        homes = (self.home / "results", self.home / "activations")
        return sorted(p for home in homes for p in home.rglob("*") if p.is_file() and p.suffix != ".lock")

    def bytes(self) -> dict[str, str]:
        """Return {file: digest} of the values; manifests and seals contain dates and are left out."""
        names = [p for p in self.files() if p.suffix in (".nc", ".npy") and "damaged" not in str(p)]
        return {str(p.relative_to(self.home)): hashlib.sha256(p.read_bytes()).hexdigest() for p in names}


@dataclass
class Outcome:
    """Outcome of a child process: its result or error, the signal that killed it, and its log."""

    result: object = None
    error: str | None = None
    killed: int = 0
    logged: str = ""


def in_child(work: Callable[[], object], before: Callable[[], None] | None = None) -> Outcome:
    """Run `work` in a fork of this process and return its outcome."""
    return collect(start(work, before))


def start(work: Callable[[], object], before: Callable[[], None] | None = None) -> tuple[int, int]:
    """Start `work` in a fork and return (process id, read end of the pipe for its outcome)."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _run_child(work, before, writing)
    os.close(writing)
    return pid, reading


def collect(child: tuple[int, int]) -> Outcome:
    """Wait for a child process and return its outcome."""
    pid, reading = child
    with os.fdopen(reading, "rb") as pipe:
        pickled = pipe.read()
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status) or not pickled:
        return Outcome(killed=os.WTERMSIG(status) or 1)
    return pickle.loads(pickled)


def _run_child(work: Callable[[], object], before: Callable[[], None] | None, writing: int) -> None:
    # the weights of a world are new: as new files they would be read twice
    metadata.LAG_NS = states.RECENT_NS = 0
    # a fork of a process with threads may stop at a lock that one of them held: it ends and prints its stack
    faulthandler.dump_traceback_later(CHILD_SECONDS, exit=True, file=2)
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
    """Flush after every stimulus, so that a kill can hit any step."""
    src.store.activations.FLUSH_SECONDS = 0.0


def shorten_waits() -> None:
    """Recover lost locks sooner than in normal use."""
    locks.NAMELESS_SECONDS = 0.2
    locks.LONGEST_POLL_SECONDS = POLL_SECONDS


class Tracer:
    """Trace function that counts executed lines of the store and kills the process at line `fatal`, if not 0."""

    def __init__(self, fatal: int = 0):
        self.fatal, self.count = fatal, 0

    def __call__(self, frame, event, _):
        if not frame.f_code.co_filename.startswith(TRACED):
            return None
        if event == "line":
            self.count += 1
            if self.count == self.fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        return self


def count_lines(world: World, work: Callable[[], object]) -> int:
    """Return the number of lines of the store that `work` executes."""
    tracer = Tracer()

    def counted() -> int:
        work()
        return tracer.count

    def prepare() -> None:
        flush_at_once()
        sys.settrace(tracer)

    return in_child(counted, prepare).result


def kill_at_line(number: int) -> Callable[[], None]:
    """Return a function that sets up a child to be killed before the `number`th line of the store."""

    def prepare() -> None:
        flush_at_once()
        shorten_waits()
        sys.settrace(Tracer(number))

    return prepare


def kill_in_write(number: int) -> Callable[[], None]:
    """Return a function that sets up a child to be killed in its `number`th write, after half of the data."""

    def prepare() -> None:
        flush_at_once()
        shorten_waits()
        write, count = os.pwrite, iter(range(1, 10**9))

        def torn(descriptor, data, offset):
            if next(count) == number:
                write(descriptor, data[: len(data) // 2], offset)
                os.kill(os.getpid(), signal.SIGKILL)
            return write(descriptor, data, offset)

        os.pwrite = torn

    return prepare


def flip(path: Path, rng: random.Random, first: float = 0.0) -> None:
    """Invert one random bit of a file behind its leading share `first`."""
    data = bytearray(path.read_bytes())
    place = rng.randrange(int(first * len(data)), len(data))
    data[place] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


SYSTEM_CALLS = [
    *((os, name) for name in ("open", "stat", "lstat", "replace", "rename", "unlink", "mkdir", "scandir", "listdir")),
    *((os, name) for name in ("fsync", "pread", "pwrite", "read", "write", "link")),
    *((io, "open"), (builtins, "open")),
]


def failing(error: int, number: int, once: bool = False) -> Callable[[], None]:
    """Return a function that sets up a child whose calls of the system on the store fail from the `number`th on.

    error: number of the error; once: only this call fails.
    """

    def prepare() -> None:
        flush_at_once()
        shorten_waits()
        count_calls(lambda k: k == number if once else k >= number, error)

    return prepare


def count_calls(fails: Callable[[int], bool] = lambda k: False, error: int = 0) -> list[int]:
    """Replace the functions that call the system on files of worlds; return a list of the number of calls so far.

    fails: whether the call of this number, from 1, raises the `error`.
    """
    count = [0]

    def replaced(call: Callable) -> Callable:
        def wrapped(first, *arguments, **options):
            if _is_of_store(first):
                count[0] += 1
                if fails(count[0]):
                    raise OSError(error, os.strerror(error), None if isinstance(first, int) else os.fspath(first))
            return call(first, *arguments, **options)

        return wrapped

    for module, name in SYSTEM_CALLS:
        setattr(module, name, replaced(getattr(module, name)))
    return count


def _is_of_store(place: object) -> bool:
    """Return True for a path in a world's store, and for the descriptor of a file."""
    if isinstance(place, int):
        return stat.S_ISREG(os.fstat(place).st_mode)
    return "faults-" in os.fsdecode(place) and not os.fsdecode(place).endswith(("computed.txt", "weights.bin"))
