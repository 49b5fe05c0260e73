import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest

from src.extraction.workers import Processes, Threads, can_fork
from src.utils import BadInput

pytestmark = pytest.mark.skipif(not can_fork(), reason="processes cannot be forked here")
RING = 1 << 16


def array_of(number: int) -> np.ndarray | None:
    """Array of a task, of several sizes; that of task 5 does not fit into the shared memory."""
    length = 40_000 if number == 5 else 300 * number + 7
    return np.random.default_rng(number).integers(0, 256, length, dtype=np.uint8) if number % 4 else None


def task(number: int, new):
    """Four items, of which two are written into memory that the task got, longer than needed."""
    time.sleep(0.002 * (number * 7 % 5))
    for part in range(4):
        array = array_of(number)
        if array is not None and part % 2:
            longer = new((len(array) + 1000,), np.uint8)
            longer[: len(array)] = array
            array = longer[: len(array)]
        yield (number, part), array


def received(workers, hold: int = 0) -> list[tuple]:
    """All items, copied; up to `hold` of them are released late, or when the workers would wait."""
    seen, held = [], []

    def release_all():
        while held:
            held.pop(0).release()

    items = workers.items(release_all)
    try:
        for item in items:
            held.append(item)
            seen.append((item.header, None if item.array is None else item.array.copy()))
            while len(held) > hold:
                held.pop(0).release()
    finally:
        items.close()
        workers.close()
    return seen


@pytest.mark.parametrize("kind", [Threads, Processes])
@pytest.mark.parametrize("n_workers", [1, 3])
@pytest.mark.parametrize("hold", [0, 100])
def test_items_come_unchanged_task_by_task_from_threads_and_in_turns_from_processes(kind, n_workers, hold):
    seen = received(kind(task, 20, n_workers) if kind is Threads else kind(task, 20, n_workers, RING), hold)
    n = 1 if kind is Threads else n_workers
    of_each = [[(number, part) for number in range(first, 20, n) for part in range(4)] for first in range(n)]
    in_turns = [header for turn in zip_longest(*of_each) for header in turn if header is not None]
    assert [header for header, _ in seen] == in_turns
    for (number, _), array in seen:
        expected = array_of(number)
        assert (array is None) == (expected is None)
        if expected is not None:
            np.testing.assert_array_equal(array, expected)


def test_tasks_larger_than_the_memory_of_their_process_are_performed_at_the_same_time():
    """Each of two tasks waits, half-way, until the other is as far, with ten times what fits into the memory behind."""
    context = multiprocessing.get_context("fork")
    met = context.Barrier(2, timeout=30)

    def large(number, new):
        for part in range(40):
            if part == 20:
                met.wait()
            yield (number, part), np.full(RING // 8, part, np.uint8)

    seen = received(Processes(large, 2, 2, RING))
    assert [header for header, _ in seen] == [(number, part) for part in range(40) for number in range(2)]
    assert all((array == part).all() for (_, part), array in seen)


def test_many_small_arrays_block_neither_side():
    """A message for each released array filled the pipe of a process that was itself about to send."""

    def many(number, new):
        for part in range(100_000):
            yield part, np.full(64, part % 251, np.uint8)

    def late(*_):
        raise TimeoutError("the processes and their receiver wait for each other")

    workers, count = Processes(many, 2, 2), 0
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    try:
        for item in workers.items(lambda: None):
            count += 1
            item.release()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        workers.close()
    assert count == 200_000


def test_the_types_of_arrays_are_kept():
    values = np.array([[0, 1.5], [np.nan, -1]], dtype=np.float32)
    ((_, array),) = received(Processes(lambda _, new: [("", values)], 1, 1, RING))
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, values)


def test_memory_of_an_array_is_not_used_again_before_its_release():
    def counting(_, new):
        for value in range(40):
            array = new((RING // 8 + 100,), np.uint8)[: RING // 8] if value % 3 else np.empty(RING // 8, np.uint8)
            array[:] = value
            yield value, array

    workers, held, seen = Processes(counting, 1, 1, RING), [], []

    def release_oldest():
        while len(held) > 3:
            held.pop(0).release()

    for item in workers.items(release_oldest):
        held.append(item)
        seen.append(item.header)
        assert all((each.array == each.header).all() for each in held)
    workers.close()
    assert seen == list(range(40))


@pytest.mark.parametrize("kind", [Threads, Processes])
def test_an_error_ends_the_items_behind_those_before_it(kind):
    def failing(number, new):
        yield number, None
        if number == 2:
            raise BadInput("this film is broken")

    seen, workers = [], kind(failing, 5, 2)

    def collect():
        for item in workers.items(lambda: None):
            seen.append(item.header)

    with pytest.raises(BadInput, match="this film is broken"):
        collect()
    workers.close()
    # of two processes, the second performs the tasks 1 and 3 meanwhile
    assert seen == ([0, 1, 2] if kind is Threads else [0, 1, 2, 3])


@pytest.mark.parametrize("error", [BrokenPipeError, EOFError, ConnectionResetError])
def test_an_error_of_a_task_is_not_taken_for_the_end_of_the_parent(error):
    def failing(*_):
        yield "before", None
        raise error("of a user's own")

    workers = Processes(failing, 3, 2, RING)
    with pytest.raises(error, match="of a user's own"):
        list(workers.items(lambda: None))
    workers.close()


def test_processes_that_were_started_end_where_a_later_fork_fails(monkeypatch):
    fork, started = os.fork, []

    def second_fails():
        if started:
            raise BlockingIOError("no more processes")
        number = fork()
        started.append(number)
        return number

    monkeypatch.setattr(os, "fork", second_fails)
    with pytest.raises(BlockingIOError, match="no more processes"):
        Processes(task, 4, 3, RING)
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)


def test_an_error_that_cannot_be_pickled_keeps_its_text():
    class Odd(Exception):
        pass

    def failing(*_):
        raise Odd("of a user's own")
        yield

    workers = Processes(failing, 1, 1, RING)
    with pytest.raises(RuntimeError, match="Odd: of a user's own"):
        list(workers.items(lambda: None))
    workers.close()


def test_a_process_that_is_killed_is_reported():
    def dying(*_):
        yield "before", None
        os.kill(os.getpid(), signal.SIGKILL)

    workers = Processes(dying, 3, 2, RING)
    with pytest.raises(BadInput, match=r"ended with exit code -9.*lack of memory"):
        list(workers.items(lambda: None))
    workers.close()


def test_closing_ends_busy_and_waiting_processes():
    def endless(*_):
        while True:
            yield "", np.zeros(RING // 8, dtype=np.uint8)

    def open_files():
        return len(os.listdir("/proc/self/fd"))

    Processes(endless, 1, 1, RING).close()
    before, n_open = threading.active_count(), open_files()
    workers = Processes(endless, 2, 2, RING)
    pids = [process.pid for process in workers._workers]
    items = workers.items(lambda: None)
    next(items)
    items.close()
    workers.close()
    assert not any(alive(pid) for pid in pids)
    assert (threading.active_count(), open_files()) == (before, n_open)


PARENT = """
import signal, sys, time, numpy as np
from src.extraction.workers import Processes

def task(number, new):
    if number == 0:
        while True:
            yield "", np.zeros(1000, dtype=np.uint8)
    deadline = time.time() + 60
    while time.time() < deadline:
        pass
    yield "", None

# a job in the background inherits that it ignores SIGINT
signal.signal(signal.SIGINT, signal.default_int_handler)
workers = Processes(task, 2, 2, 1 << 16)
next(workers.items(lambda: None))
print(*[process.pid for process in workers._workers], flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    """Return True for a process that runs; one that has ended may still be listed."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] not in "ZX"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_processes_end_with_their_parent(number):
    root = Path(__file__).resolve().parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    parent.send_signal(number)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(alive(pid) for pid in pids)


def test_a_process_does_not_finalise_garbage_of_its_parent():
    """A decoder of several threads would wait for those that a fork does not have."""
    finalised = []

    class Decoder:
        def __init__(self):
            self.itself = self

        def __del__(self):
            finalised.append(os.getpid())

    def collecting(number, new):
        gc.collect()
        yield len(finalised), None

    gc.disable()
    try:
        Decoder()
        assert [header for header, _ in received(Processes(collecting, 1, 1))] == [0]
    finally:
        gc.enable()
    gc.collect()
    assert finalised == [os.getpid()]
