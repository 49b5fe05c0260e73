"""Results of tasks in a fixed order, from worker processes through shared memory, or from threads.

A task is a generator of items (header, array): any object that can be pickled, and an array or None. Of n processes the
first performs the tasks 0, n, 2 n, and so on, and items come in turns, one of each process, so that all of them work
however little of a task fits into their memory. The items of threads come task by task. Neither order depends on how
fast a worker is. Workers work ahead as far as their memory allows.

A process is a fork, so that a task may hold any object. Every process has its own part of one shared memory for arrays,
and uses it again when the receiver has released them. A task may get the memory of its next array from `new`, and
return a leading part of that array; any other array is copied.
"""

import contextlib
import ctypes
import gc
import mmap
import multiprocessing
import os
import pickle
import select
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from queue import Full, Queue
from threading import Condition, Event
from typing import Any, TypeVar

import numpy as np

from ..utils import BadInput

RING_BYTES = 512 << 20  # shared memory of all processes
PART_BYTES = 64 << 20  # most of it for one process
READ_AHEAD_BYTES = 512 << 20  # arrays of the tasks behind the current one, in threads
QUEUE_LENGTH = 2  # items of one task that wait, in threads
MESSAGE_BYTES = 1 << 20  # arrays that are announced in one message
ALIGNMENT = 64
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # options of glibc's mallopt
KEPT_BYTES = 256 << 20  # freed memory that a process keeps

T = TypeVar("T")
New = Callable[[tuple[int, ...], Any], np.ndarray]  # shape and type of an array -> the array, not initialised
Task = Callable[[int, New], Iterable[tuple[Any, np.ndarray | None]]]


@dataclass(frozen=True)
class Item:
    """Item of a task: its header, its array or None, the function that releases the array, and the process.

    The array may be read until its release; those of a process are released in their order. The tasks of a process
    follow each other; threads count as one process.
    """

    header: Any
    array: np.ndarray | None
    release: Callable[[], None]
    process: int = 0


def can_fork() -> bool:
    """Return True where processes can be forked: on Linux, outside a daemonic process."""
    return sys.platform == "linux" and not multiprocessing.current_process().daemon


class Threads:
    """Threads that perform the tasks 0..n_tasks - 1. `memory` is None: every array has its own."""

    memory = None

    def __init__(self, task: Task, n_tasks: int, n_workers: int):
        self._task, self._n_tasks, self._n_workers = task, n_tasks, n_workers

    def items(self, idle: Callable[[], None]) -> Iterator[Item]:
        """Yield the items of all tasks; `idle` is not needed. Closing the generator ends the threads."""
        budget, stop = _MemoryBudget(READ_AHEAD_BYTES), Event()
        pool, queues, remaining = ThreadPoolExecutor(self._n_workers), deque(), iter(range(self._n_tasks))

        def start_next():
            for number in remaining:
                queues.append(Queue(QUEUE_LENGTH))
                pool.submit(_fill, queues[-1], partial(self._task, number, np.empty), number, budget, stop)
                return

        try:
            for _ in range(self._n_workers + 1):
                start_next()
            while queues:
                yield from _drained(queues.popleft(), budget)
                budget.release(finished=1)
                start_next()
        finally:
            stop.set()
            budget.release(close=True)
            pool.shutdown(cancel_futures=True)

    def close(self) -> None:
        """End the threads, which end with the generator `items`."""


class _MemoryBudget:
    """Bytes of arrays that may wait: the current task is never delayed, the later ones share the rest."""

    def __init__(self, limit: int):
        self.free, self.current, self.closed, self.changed = limit, 0, False, Condition()

    def acquire(self, size: int, number: int) -> None:
        """Take `size` bytes for a task; wait unless it is the current one."""
        with self.changed:
            self.changed.wait_for(lambda: self.closed or number == self.current or self.free >= size)
            self.free -= size

    def release(self, size: int = 0, finished: int = 0, close: bool = False) -> None:
        """Give back bytes, count finished tasks, or close the budget, which ends all waiting."""
        with self.changed:
            self.free += size
            self.current += finished
            self.closed = self.closed or close
            self.changed.notify_all()


def _fill(queue: Queue, task: Callable, number: int, budget: _MemoryBudget, stop: Event) -> None:
    """Put the items of the task on the queue, then None; or the exception that ended it."""
    try:
        for header, array in task():
            size = 0 if array is None else array.nbytes
            budget.acquire(size, number)
            if not _put(queue, (header, array, size), stop):
                return
        _put(queue, None, stop)
    except BaseException as error:
        _put(queue, error, stop)


def _put(queue: Queue, item, stop: Event) -> bool:
    """Put an item on the queue; return False if `stop` was set before there was space."""
    while not stop.is_set():
        try:
            queue.put(item, timeout=0.1)
            return True
        except Full:
            continue
    return False


def _drained(queue: Queue, budget: _MemoryBudget) -> Iterator[Item]:
    """Yield the items of a queue up to its end; raise the exception that ended its task."""
    while (got := queue.get()) is not None:
        if isinstance(got, BaseException):
            raise got
        header, array, size = got
        yield Item(header, array, partial(budget.release, size))


class Processes:
    """Forked processes that perform the tasks 0..n_tasks - 1.

    They end with `close`, and with this process, however it ends: the read end of a pipe that only this process holds
    open tells them. `memory` is the shared memory, uint8; a GPU can copy from it once it is registered.
    """

    def __init__(self, task: Task, n_tasks: int, n_workers: int, ring_bytes: int = RING_BYTES):
        context = multiprocessing.get_context("fork")
        self._n_tasks, self._n_workers = n_tasks, n_workers
        self._capacity = min(PART_BYTES, ring_bytes // n_workers) // ALIGNMENT * ALIGNMENT
        self.memory = np.frombuffer(mmap.mmap(-1, self._capacity * n_workers), dtype=np.uint8)
        self._alive = os.pipe()
        self._workers, self._connections, self._released = [], [], [0] * n_workers
        with warnings.catch_warnings(), _frozen_garbage():
            # as in torch's DataLoader: the processes use no thread of the parent
            warnings.filterwarnings("ignore", "This process.*is multi-threaded", DeprecationWarning)
            try:
                for worker in range(n_workers):
                    ours, theirs = context.Pipe()
                    self._connections.append(ours)
                    with theirs:
                        process = context.Process(target=self._work, args=(task, worker, theirs), daemon=True)
                        process.start()
                    self._workers.append(process)
            except BaseException:
                self.close()
                raise
            finally:
                os.close(self._alive[0])

    def _part(self, worker: int) -> np.ndarray:
        return self.memory[worker * self._capacity : (worker + 1) * self._capacity]

    def _work(self, task: Task, worker: int, connection: Connection) -> None:
        """Perform tasks until there is none left; the life of a process."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # without the other ends of the pipes a process would not notice that its parent has ended
        os.close(self._alive[1])
        for other in self._connections:
            other.close()
        threading.Thread(target=_end_with_parent, args=(self._alive[0],), daemon=True).start()
        _prepare_process()
        sender = _Sender(connection, self._part(worker))
        with contextlib.suppress(_ParentEnded):
            for number in range(worker, self._n_tasks, self._n_workers):
                sender.perform(partial(task, number))
            sender.send(None)

    def items(self, idle: Callable[[], None]) -> Iterator[Item]:
        """Yield the items of all tasks; `idle`, called before it waits, has to release all arrays that it can."""
        return in_turns([self._items_of(worker, idle) for worker in range(len(self._workers))])

    def _items_of(self, worker: int, idle: Callable[[], None]) -> Iterator[Item]:
        """Yield the items of the tasks of one process; raise the exception that ended one of them."""
        connection, ready = self._connections[worker], select.poll()
        ready.register(connection, select.POLLIN)
        while True:
            try:
                if not ready.poll(0):
                    idle()
                    for each in range(len(self._workers)):
                        self._give_back(each)
                announced = connection.recv()
            except (EOFError, ConnectionResetError):
                self._workers[worker].join(5)
                code = self._workers[worker].exitcode
                raise BadInput(
                    f"a process that reads stimuli ended with exit code {code}; expected it to last as long as its "
                    "tasks; look for a lack of memory, or for a file that crashes ffmpeg"
                ) from None
            if announced is None:
                return
            for entry in announced:
                if isinstance(entry, BaseException):
                    raise entry
                yield self._item(worker, *entry)

    def _item(self, worker: int, header: Any, place: Any, shape: tuple, dtype: np.dtype | None, cost: int) -> Item:
        """Return an item that a process has announced; without a type, `place` is the array itself."""
        if dtype is None:
            return Item(header, place, _nothing, worker)
        count = int(np.prod(shape)) * dtype.itemsize
        array = self._part(worker)[place : place + count].view(dtype).reshape(shape)
        return Item(header, array, partial(self._release, worker, cost), worker)

    def _release(self, worker: int, cost: int) -> None:
        """Give bytes back to a process, in few messages: it may be too busy to read many."""
        self._released[worker] += cost
        if self._released[worker] >= MESSAGE_BYTES:
            self._give_back(worker)

    def _give_back(self, worker: int) -> None:
        """Tell a process the bytes that were released; it may have ended after its last task."""
        if cost := self._released[worker]:
            self._released[worker] = 0
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._connections[worker].send(cost)

    def close(self) -> None:
        """End the processes."""
        os.close(self._alive[1])
        for process in self._workers:
            process.kill()
        for process in self._workers:
            process.join()
            process.close()
        for connection in self._connections:
            connection.close()


def in_turns(sources: Iterable[Iterator[T]]) -> Iterator[T]:
    """Yield one item of each source in turn, until all sources have ended."""
    turns = deque(sources)
    while turns:
        source = turns.popleft()
        for item in source:
            yield item
            turns.append(source)
            break


@contextlib.contextmanager
def _frozen_garbage() -> Iterator[None]:
    """Keep forks of this process from collecting its garbage.

    A decoder of several threads, collected in a fork, would wait for threads that the fork does not have.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _nothing() -> None:
    """Release of an array that is not in the shared memory."""


def _end_with_parent(alive: int) -> None:
    """Wait until the parent has ended, then end this process."""
    os.read(alive, 1)
    os._exit(1)


def _prepare_process() -> None:
    """Let torch compute in one thread, as those of the parent do not exist in a fork, and keep freed memory.

    glibc returns the memory of a large frame to the system, and asking for it again takes as long as a conversion to
    RGB.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


class _ParentEnded(Exception):
    """The process that reads the results has ended."""


class _Sender:
    """Connection of a process, and its part of the shared memory, written round and round."""

    def __init__(self, connection: Connection, part: np.ndarray):
        self._connection, self._part = connection, part
        self._head, self._free = 0, len(part)
        self._new_place, self._new_cost = -1, 0  # of the array that the task got last, and what is left in front of it
        self._announced, self._size = [], 0

    def perform(self, task: Callable[[New], Iterable]) -> None:
        """Send the items of a task; or the exception that ends it."""
        try:
            for header, array in task(self._new):
                entry = self._written(header, array)  # which may announce those before it
                self._announced.append(entry)
                if self._size >= MESSAGE_BYTES:
                    self._announce()
        except _ParentEnded:
            raise
        except BaseException as error:
            self._announced.append(_picklable(error))
        self._announce()

    def _announce(self) -> None:
        if self._announced:
            self.send(self._announced)
        self._announced, self._size = [], 0

    def send(self, message: Any) -> None:
        """Send a message; raise _ParentEnded if nobody is there to read it."""
        try:
            self._connection.send(message)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise _ParentEnded from error

    def _freed(self) -> int:
        """Wait for bytes that are read; return their number."""
        try:
            return self._connection.recv()
        except (EOFError, ConnectionResetError) as error:
            raise _ParentEnded from error

    def _new(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an array for the next item, in the shared memory unless it is too large for it."""
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        if not 0 < size <= len(self._part) // 2:
            return np.empty(shape, dtype)
        place, cost = self._space(_aligned(size))
        self._new_place, self._new_cost = place, cost - _aligned(size)
        return self._part[place : place + size].view(dtype).reshape(shape)

    def _written(self, header: Any, array: np.ndarray | None):
        """Return the announcement of an item; an array too large for the shared memory is sent as it is."""
        size = 0 if array is None else array.nbytes
        if not 0 < size <= len(self._part) // 2:
            return header, array, (), None, 0
        if array.ctypes.data == self._part.ctypes.data + self._new_place:
            place, cost = self._new_place, self._new_cost + _aligned(size)
        else:
            place, cost = self._space(_aligned(size))
            self._part[place : place + size].view(array.dtype).reshape(array.shape)[...] = array
        self._new_place = -1
        self._head, self._free = place + _aligned(size), self._free - cost
        self._size += size
        return header, place, array.shape, array.dtype, cost

    def _space(self, size: int) -> tuple[int, int]:
        """Wait for `size` bytes in one stretch; return their place and the bytes to take, with those left before it."""
        while self._connection.poll():
            self._free += self._freed()
        if self._free == len(self._part):
            self._head = 0  # memory that was used last is in the processor's cache
        left = len(self._part) - self._head
        place, cost = (self._head, size) if size <= left else (0, left + size)
        while self._free < cost:
            self._announce()
            self._free += self._freed()
        return place, cost


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _picklable(error: BaseException) -> BaseException:
    """Return the exception, or its text as a RuntimeError if it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an exception of a user's preprocessing may fail in any way
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
