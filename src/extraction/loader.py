"""Stimuli -> what a model is shown: films are decoded once, in order, and made ready ahead of the forward pass."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from queue import Full, Queue
from threading import Condition, Event

import numpy as np
import torch

from ..models.spec import Model
from ..records import Stimuli
from ..utils import BadInput
from ..video import VideoInfo, decode, piece, probe, read_image, window_frames
from .windows import Mode, TimeMap, framewise, make_windows

MOST_MERGED_MS = 60_000.0  # one answer stands for at most so long a stretch of unchanging film
AHEAD_BYTES = 1 << 30  # raw frames read ahead of the stimulus in hand
LANE_DEPTH = 2  # windows of one stimulus that wait for the forward pass


@dataclass(frozen=True)
class Request:
    """What is asked of every stimulus: bins_ms (n_bins, 2), and how the film is cut (see `extract`)."""

    bins_ms: np.ndarray
    mode: Mode
    context_ms: float
    partial: bool


@dataclass(frozen=True)
class Plan:
    """One stimulus: its windows (n_windows, 2) in ms, which of them are needed, and where their answers belong."""

    stimulus: int
    label: str
    path: str
    still: bool
    info: VideoInfo
    windows_ms: np.ndarray
    needed: np.ndarray
    time_map: TimeMap


@dataclass(frozen=True)
class Unit:
    """Frames that are computed once: the answer of the windows first..last, which all show the same."""

    first: int
    last: int
    frames: list[np.ndarray]


@dataclass(frozen=True)
class Pack:
    """Ready input: row i of the tensor answers for the windows spans[i] = (first, last) of the plan."""

    plan: Plan
    spans: list[tuple[int, int]]
    tensor: torch.Tensor


def make_plan(model: Model, stimuli: Stimuli, index: int, request: Request) -> Plan:
    """Probe one stimulus and cut it into windows; BadInput names the stimulus and its file."""
    label, path = f"stimulus '{stimuli.ids[index]}' of {stimuli.name}", str(stimuli.paths[index])
    still = stimuli.kind[index] == "image"
    with _naming(label):
        info = VideoInfo(float(stimuli.duration_ms[index]), 1, model.fps, 0, 0) if still else probe(path)
        info = piece(info, *stimuli.piece_ms(index)) if stimuli.piece_ms(index) else info
    windows_ms = make_windows(model, request.mode, request.context_ms, info.duration_ms)
    one_frame_each = framewise(model, request.mode)
    time_map = TimeMap(windows_ms, one_frame_each, info.duration_ms, model.fps, request.bins_ms, request.partial)
    needed = np.fromiter(time_map.needed(), dtype=int)
    return Plan(index, label, path, still, info, windows_ms, needed, time_map)


def units(plan: Plan, fps: float) -> Iterator[Unit]:
    """The needed windows in their order, consecutive ones that show the same frames as one."""
    same, unit = None, None
    for window, content, frames in _frames_of_windows(plan, fps):
        joins = unit is not None and content == same and window == unit.last + 1
        if joins and plan.windows_ms[window, 1] - plan.windows_ms[unit.first, 0] <= MOST_MERGED_MS:
            unit = Unit(unit.first, window, unit.frames)
            continue
        if unit is not None:
            yield unit
        same, unit = content, Unit(window, window, frames)
    if unit is not None:
        yield unit


def _frames_of_windows(plan: Plan, fps: float) -> Iterator[tuple[int, tuple[int, ...], list[np.ndarray]]]:
    """(window, which distinct pictures it shows, its frames); only frames that a later window may show are held."""

    def numbers_of(window):
        return window_frames(plan.info, *plan.windows_ms[window], fps)

    if len(plan.needed) == 0:
        return
    if np.any(plan.windows_ms[1:, 0] < plan.windows_ms[:-1, 1] - 1e-6):
        wanted = range(numbers_of(plan.needed[0])[0], numbers_of(plan.needed[-1])[-1] + 1)
    else:
        wanted = _increasing(map(numbers_of, plan.needed))
    stream, held, newest = _pictures(plan, wanted), {}, -1
    for window in plan.needed.tolist():
        numbers = numbers_of(window).tolist()
        held = {number: picture for number, picture in held.items() if number >= numbers[0]}
        while newest < numbers[-1]:
            newest, picture = next(stream)
            held[newest] = picture
        yield window, tuple(held[n][0] for n in numbers), [held[n][1] for n in numbers]


def _increasing(arrays: Iterable[np.ndarray]) -> Iterator[int]:
    last = -1
    for array in arrays:
        for number in np.unique(array[array > last]).tolist():
            yield number
            last = number


def _pictures(plan: Plan, numbers: Iterable[int]) -> Iterator[tuple[int, tuple[int, np.ndarray]]]:
    """(number, (picture, frame)) for increasing `numbers`; frames equal to the one before are the same picture."""
    frames = [(0, read_image(plan.path))] if plan.still else decode(plan.path, numbers, plan.info)
    picture, before = -1, None
    for number, frame in frames:
        if before is None or not np.array_equal(frame, before):
            picture, before = picture + 1, frame
        yield number, (picture, before)


def tasks(plan: Plan, model: Model, pack_size: int) -> Iterator[Callable[[], Pack]]:
    """The preprocessing still to do, one call per pack: a clip, or up to `pack_size` frames of a static model."""
    waiting = []
    for unit in units(plan, model.fps):
        waiting.append(unit)
        if model.kind == "video" or len(waiting) == pack_size:
            yield partial(_preprocess, plan, model, waiting)
            waiting = []
    if waiting:
        yield partial(_preprocess, plan, model, waiting)


def _preprocess(plan: Plan, model: Model, pack: list[Unit]) -> Pack:
    tensor = model.preprocess(np.stack([frame for unit in pack for frame in unit.frames]))
    tensor = tensor[None] if model.kind == "video" else tensor
    if len(tensor) != len(pack):
        raise BadInput(
            f"model {model.name}: preprocess made {len(tensor)} rows of {len(pack)} frames; expected one each"
        )
    return Pack(plan, [(unit.first, unit.last) for unit in pack], tensor)


@contextmanager
def _naming(label: str):
    try:
        yield
    except BadInput as error:
        raise BadInput(f"{label}: {error}") from error


class _Budget:
    """Bytes that may wait: the lane in hand always goes on, the lanes behind it share what is left."""

    def __init__(self, limit: int):
        self.free, self.head, self.closed, self.changed = limit, 0, False, Condition()

    def take(self, size: int, lane: int) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self.closed or lane == self.head or self.free >= size)
            self.free -= size

    def give(self, size: int = 0, lanes: int = 0, close: bool = False) -> None:
        with self.changed:
            self.free, self.head, self.closed = self.free + size, self.head + lanes, self.closed or close
            self.changed.notify_all()


def feed(
    model: Model, stimuli: Stimuli, todo: Iterable[int], request: Request, pack_size: int, n_workers: int
) -> Iterator[Plan | Pack]:
    """For each stimulus of `todo`, in this order, its plan and then its packs, made ready by threads that run ahead.

    A lane is one stimulus that is being read. The order does not depend on the threads. Closing the generator ends
    them.
    """
    budget, stop = _Budget(AHEAD_BYTES), Event()
    readers, preparers = ThreadPoolExecutor(n_workers), ThreadPoolExecutor(n_workers)
    lanes, starts = deque(), enumerate(todo)

    def start():
        for lane, index in starts:
            queue = Queue(LANE_DEPTH)
            job = partial(_read, model, stimuli, index, request, pack_size)
            readers.submit(_run_lane, job, lane, queue, preparers, budget, stop)
            lanes.append(queue)
            return

    try:
        for _ in range(n_workers + 1):
            start()
        while lanes:
            yield from _drain(lanes.popleft(), budget)
            budget.give(lanes=1)
            start()
    finally:
        stop.set()
        budget.give(close=True)
        readers.shutdown(cancel_futures=True)
        preparers.shutdown(cancel_futures=True)


def _read(model, stimuli, index, request, pack_size) -> Iterator[Plan | Callable[[], Pack]]:
    plan = make_plan(model, stimuli, index, request)
    yield plan
    with _naming(plan.label):
        yield from tasks(plan, model, pack_size)


def _run_lane(job, lane: int, queue: Queue, preparers, budget: _Budget, stop: Event) -> None:
    """Put what the job yields on the queue, tasks as futures, then None; an exception instead where there was one."""
    try:
        for item in job():
            size = 0 if isinstance(item, Plan) else sum(f.nbytes for unit in item.args[2] for f in unit.frames)
            budget.take(size, lane)
            if not _put(queue, (item if isinstance(item, Plan) else preparers.submit(item), size), stop):
                return
        _put(queue, (None, 0), stop)
    except BaseException as error:
        _put(queue, (error, 0), stop)


def _put(queue: Queue, item, stop: Event) -> bool:
    while not stop.is_set():
        try:
            queue.put(item, timeout=0.1)
            return True
        except Full:
            continue
    return False


def _drain(queue: Queue, budget: _Budget) -> Iterator[Plan | Pack]:
    while True:
        item, size = queue.get()
        if item is None:
            return
        if isinstance(item, BaseException):
            raise item
        yield item.result() if isinstance(item, Future) else item
        budget.give(size)
