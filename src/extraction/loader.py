"""Loader of model input: stimuli are decoded once, in order, and preprocessed ahead of the forward pass."""

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

MAX_MERGED_MS = 60_000.0  # longest stretch of an unchanging video that one input represents
READ_AHEAD_BYTES = 1 << 30  # decoded frames of the stimuli behind the current one
QUEUE_LENGTH = 2  # packs of one stimulus that wait for the forward pass


@dataclass(frozen=True)
class Settings:
    """Settings of an extraction, common to all stimuli: bins_ms (n_bins, 2) and the windows (see `extract`)."""

    bins_ms: np.ndarray
    mode: Mode
    context_ms: float
    partial: bool


@dataclass(frozen=True)
class Plan:
    """Windows of one stimulus, (n_windows, 2) in ms, the indices of those needed, and their map to time bins."""

    stimulus: int
    label: str
    path: str
    still: bool
    info: VideoInfo
    windows_ms: np.ndarray
    needed: np.ndarray
    time_map: TimeMap


@dataclass(frozen=True)
class DistinctInput:
    """Frames that are computed once, for the windows first..last, which all contain the same frames."""

    first: int
    last: int
    frames: list[np.ndarray]


@dataclass(frozen=True)
class Pack:
    """Preprocessed input; row i of the tensor represents the windows spans[i] = (first, last) of the plan."""

    plan: Plan
    spans: list[tuple[int, int]]
    tensor: torch.Tensor


def make_plan(model: Model, stimuli: Stimuli, index: int, settings: Settings) -> Plan:
    """Return the plan of one stimulus; raise BadInput with its id and file if the file cannot be probed."""
    label, path = f"stimulus '{stimuli.ids[index]}' of {stimuli.name}", str(stimuli.paths[index])
    still = stimuli.kind[index] == "image"
    with _naming(label):
        info = VideoInfo(float(stimuli.duration_ms[index]), 1, model.fps, 0, 0) if still else probe(path)
        info = piece(info, *stimuli.piece_ms(index)) if stimuli.piece_ms(index) else info
    windows_ms = make_windows(model, settings.mode, settings.context_ms, info.duration_ms)
    one_frame_each = framewise(model, settings.mode)
    time_map = TimeMap(windows_ms, one_frame_each, info.duration_ms, model.fps, settings.bins_ms, settings.partial)
    needed = np.fromiter(time_map.needed(), dtype=int)
    return Plan(index, label, path, still, info, windows_ms, needed, time_map)


def distinct_inputs(plan: Plan, fps: float) -> Iterator[DistinctInput]:
    """Yield the needed windows in their order; consecutive windows with the same frames are merged."""
    content, merged = None, None
    for window, pictures, frames in _frames_of_windows(plan, fps):
        joins = merged is not None and pictures == content and window == merged.last + 1
        if joins and plan.windows_ms[window, 1] - plan.windows_ms[merged.first, 0] <= MAX_MERGED_MS:
            merged = DistinctInput(merged.first, window, merged.frames)
            continue
        if merged is not None:
            yield merged
        content, merged = pictures, DistinctInput(window, window, frames)
    if merged is not None:
        yield merged


def _frames_of_windows(plan: Plan, fps: float) -> Iterator[tuple[int, tuple[int, ...], list[np.ndarray]]]:
    """Yield (window, numbers of its distinct pictures, its frames); frames before the current window are dropped."""

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
    """Yield each number of the sorted arrays that exceeds all before it."""
    last = -1
    for array in arrays:
        for number in np.unique(array[array > last]).tolist():
            yield number
            last = number


def _pictures(plan: Plan, numbers: Iterable[int]) -> Iterator[tuple[int, tuple[int, np.ndarray]]]:
    """Yield (number, (picture, frame)) for increasing `numbers`; equal consecutive frames are one picture."""
    frames = [(0, read_image(plan.path))] if plan.still else decode(plan.path, numbers, plan.info)
    picture, before = -1, None
    for number, frame in frames:
        if before is None or not np.array_equal(frame, before):
            picture, before = picture + 1, frame
        yield number, (picture, before)


def preprocessing_calls(plan: Plan, model: Model, pack_size: int) -> Iterator[Callable[[], Pack]]:
    """Yield one preprocessing call per pack: a clip, or up to `pack_size` frames of an image model."""
    waiting = []
    for inputs in distinct_inputs(plan, model.fps):
        waiting.append(inputs)
        if model.kind == "video" or len(waiting) == pack_size:
            yield partial(_preprocess, plan, model, waiting)
            waiting = []
    if waiting:
        yield partial(_preprocess, plan, model, waiting)


def _preprocess(plan: Plan, model: Model, inputs: list[DistinctInput]) -> Pack:
    """Return the preprocessed inputs; raise BadInput if there is not one row per input."""
    tensor = model.preprocess(np.stack([frame for each in inputs for frame in each.frames]))
    tensor = tensor[None] if model.kind == "video" else tensor
    if len(tensor) != len(inputs):
        raise BadInput(
            f"model {model.name}: preprocess made {len(tensor)} rows of {len(inputs)} frames; expected one each"
        )
    return Pack(plan, [(each.first, each.last) for each in inputs], tensor)


@contextmanager
def _naming(label: str) -> Iterator[None]:
    """Prefix the message of a BadInput raised in the block with `label`."""
    try:
        yield
    except BadInput as error:
        raise BadInput(f"{label}: {error}") from error


class _MemoryBudget:
    """Bytes of decoded frames that may wait: the current stimulus is never delayed, the later ones share the rest."""

    def __init__(self, limit: int):
        self.free, self.current, self.closed, self.changed = limit, 0, False, Condition()

    def acquire(self, size: int, position: int) -> None:
        """Take `size` bytes for the stimulus at `position` in the order; wait unless it is the current one."""
        with self.changed:
            self.changed.wait_for(lambda: self.closed or position == self.current or self.free >= size)
            self.free -= size

    def release(self, size: int = 0, finished: int = 0, close: bool = False) -> None:
        """Give back bytes, count finished stimuli, or close the budget, which ends all waiting."""
        with self.changed:
            self.free += size
            self.current += finished
            self.closed = self.closed or close
            self.changed.notify_all()


def load_packs(
    model: Model, stimuli: Stimuli, todo: Iterable[int], settings: Settings, pack_size: int, n_workers: int
) -> Iterator[Plan | Pack]:
    """Yield for each stimulus of `todo`, in this order, its plan and then its packs, prepared ahead by threads.

    The order does not depend on the threads. Closing the generator ends them.
    """
    budget, stop = _MemoryBudget(READ_AHEAD_BYTES), Event()
    readers, preprocessors = ThreadPoolExecutor(n_workers), ThreadPoolExecutor(n_workers)
    queues, remaining = deque(), enumerate(todo)

    def start_next():
        for position, index in remaining:
            queue = Queue(QUEUE_LENGTH)
            job = partial(_read, model, stimuli, index, settings, pack_size)
            readers.submit(_fill, queue, job, position, preprocessors, budget, stop)
            queues.append(queue)
            return

    try:
        for _ in range(n_workers + 1):
            start_next()
        while queues:
            yield from _drain(queues.popleft(), budget)
            budget.release(finished=1)
            start_next()
    finally:
        stop.set()
        budget.release(close=True)
        readers.shutdown(cancel_futures=True)
        preprocessors.shutdown(cancel_futures=True)


def _read(model, stimuli, index, settings, pack_size) -> Iterator[Plan | Callable[[], Pack]]:
    """Yield the plan of a stimulus, then its preprocessing calls."""
    plan = make_plan(model, stimuli, index, settings)
    yield plan
    with _naming(plan.label):
        yield from preprocessing_calls(plan, model, pack_size)


def _fill(queue: Queue, job, position: int, preprocessors, budget: _MemoryBudget, stop: Event) -> None:
    """Put the items of the job on the queue, calls as futures, then None; or the exception that ended the job."""
    try:
        for item in job():
            size = 0 if isinstance(item, Plan) else sum(f.nbytes for each in item.args[2] for f in each.frames)
            budget.acquire(size, position)
            if not _put(queue, (item if isinstance(item, Plan) else preprocessors.submit(item), size), stop):
                return
        _put(queue, (None, 0), stop)
    except BaseException as error:
        _put(queue, (error, 0), stop)


def _put(queue: Queue, item, stop: Event) -> bool:
    """Put an item on the queue; return False if `stop` was set before there was space."""
    while not stop.is_set():
        try:
            queue.put(item, timeout=0.1)
            return True
        except Full:
            continue
    return False


def _drain(queue: Queue, budget: _MemoryBudget) -> Iterator[Plan | Pack]:
    """Yield the items of a queue up to its end; raise the exception that ended its job."""
    while True:
        item, size = queue.get()
        if item is None:
            return
        if isinstance(item, BaseException):
            raise item
        yield item.result() if isinstance(item, Future) else item
        budget.release(size)
