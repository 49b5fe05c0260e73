"""Loader of model input: stimuli are decoded once, in order, and preprocessed ahead of the forward pass."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..models.preprocessing import FramePreprocessing
from ..models.spec import Model
from ..records import Stimuli
from ..utils import BadInput, seed_from
from ..video import VideoInfo, decode, piece, probe, read_image, single_frames, window_frames
from .planes import Planes, rgb_of_planes
from .transfer import Transfer
from .windows import Mode, TimeMap, framewise, make_windows
from .workers import New, Processes, Threads, can_fork

MAX_MERGED_MS = 60_000.0  # longest stretch of an unchanging video that one input represents
FRAMES_PER_READ = 16  # frames and inputs that are preprocessed together
READ_BYTES = 4 << 20  # frames that are passed on together, if more than one
PACK_BYTES = 16 << 20  # input that is put together at once, if more than one row
STILLS_PER_TASK = 16
COMPARED_ROWS = 4  # rows of two frames that are compared first


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
    single_frames: bool  # True if every window is one frame

    @property
    def overlapping(self) -> bool:
        """Return True if a window may start before the end of its predecessor."""
        return bool(np.any(self.windows_ms[1:, 0] < self.windows_ms[:-1, 1] - 1e-6))


@dataclass(frozen=True)
class DistinctInput:
    """Pictures that are computed once, for the windows first..last, which all show the same pictures.

    pictures: number of the picture of each frame, counted from the start of the stimulus; equal consecutive frames are
    one picture. oldest: number of the oldest picture that a later input may show. plan: number of the plan of the
    stimulus, one per context.
    """

    first: int
    last: int
    pictures: tuple[int, ...]
    oldest: int
    plan: int = 0


@dataclass(frozen=True)
class Read:
    """Pictures that follow those before, and the inputs that they complete.

    pictures: uint8 (n, height, width, 3), RGB; or planes of the colour space `space`, uint8 (n, 3 * height / 2, width);
    or None.
    """

    pictures: np.ndarray | None
    inputs: list[DistinctInput]
    space: int = 0


@dataclass(frozen=True)
class Pack:
    """Preprocessed input; row i of the tensor represents the windows spans[i] = (first, last) of the plan."""

    plan: Plan
    spans: list[tuple[int, int]]
    tensor: torch.Tensor


def make_plan(model: Model, stimuli: Stimuli, index: int, settings: Settings, number: int | None = None) -> Plan:
    """Return the plan of one stimulus; raise BadInput with its id and file if the file cannot be probed.

    number: that of stimulus and context, by default `index`.
    """
    label, path = f"stimulus '{stimuli.ids[index]}' of {stimuli.name}", str(stimuli.paths[index])
    still = stimuli.kind[index] == "image"
    with _naming(label):
        info = VideoInfo(float(stimuli.duration_ms[index]), 1, model.fps, 0, 0) if still else probe(path)
        info = piece(info, *stimuli.piece_ms(index)) if stimuli.piece_ms(index) else info
    windows_ms = make_windows(model, settings.mode, settings.context_ms, info.duration_ms)
    one_frame_each = framewise(model, settings.mode)
    bins = (info.duration_ms, model.fps, settings.bins_ms, settings.partial)
    time_map = TimeMap(windows_ms, one_frame_each, *bins, model.step_times.values())
    number = index if number is None else number
    return Plan(number, label, path, still, info, windows_ms, time_map.needed(), time_map, model.kind == "image")


def reads(
    plan: Plan | Sequence[Plan], fps: float, new: New = np.empty, threads: int = 1, planes: bool = False
) -> Iterator[Read]:
    """Yield the pictures of a stimulus and its inputs, a few at a time; `threads` decode a film.

    plan: of the stimulus, or several with different windows, whose pictures are decoded once. new: function that makes
    the array of pictures from its shape and type. A frame is copied there at once, while it is in the processor's
    cache. planes: True for the planes of a film instead of RGB, where they are exact.
    """
    pictures, count, inputs = None, 0, []
    plans = [plan] if isinstance(plan, Plan) else plan
    decoder = _Decoder(plans[0], threads, planes)

    def read() -> Read:
        return Read(None if pictures is None else pictures[:count], inputs, decoder.space)

    for event in _pictures_and_inputs(plans, fps, decoder):
        is_input = isinstance(event, DistinctInput)
        if len(inputs) == FRAMES_PER_READ if is_input else pictures is not None and not _fits(event, pictures, count):
            yield read()
            pictures, count, inputs = None, 0, []
        if is_input:
            inputs.append(event)
            continue
        if pictures is None:
            most = 1 if plans[0].still else max(1, min(FRAMES_PER_READ, READ_BYTES // event.nbytes))
            pictures = new((most, *event.shape), np.uint8)
        pictures[count] = event
        count += 1
    if inputs:
        yield read()


def _fits(picture: np.ndarray, pictures: np.ndarray, count: int) -> bool:
    """Return True if an array of pictures has space for another one, of which it has `count`."""
    return count < len(pictures) and picture.shape == pictures.shape[1:]


def _pictures_and_inputs(
    plans: Sequence[Plan], fps: float, decoder: "_Decoder"
) -> Iterator[np.ndarray | DistinctInput]:
    """Yield each picture once, and each input behind its pictures; consecutive windows of equal pictures are merged.

    The windows of several plans are in the order of their last frames.
    """
    numbers_of = [_shown_frames(plan, fps) for plan in plans]
    stream = decoder.frames(sorted({n for of_plan in numbers_of for numbers in of_plan for n in numbers}))
    order = sorted((numbers[-1], p, j) for p, of_plan in enumerate(numbers_of) for j, numbers in enumerate(of_plan))
    waiting = _Waiting(plans, numbers_of)
    newest, picture, before, picture_of = -1, -1, None, {}
    for last, p, j in order:
        oldest = waiting.oldest_frame()
        picture_of = {number: shown for number, shown in picture_of.items() if number >= oldest}
        while newest < last:
            newest, frame = next(stream)
            if before is None or not same_frame(frame, before):
                # the windows that end later show a new picture, so that they are not merged
                yield from waiting.released(range(len(plans)), picture_of, picture)
                picture, before = picture + 1, frame
                yield frame
            picture_of[newest] = picture
        shown = tuple(picture_of[number] for number in numbers_of[p][j])
        waiting.next_of[p] = j + 1
        if not waiting.merges(p, j, shown):
            yield from waiting.released([p], picture_of, picture)
            waiting.start(p, j, shown)
    yield from waiting.released(range(len(plans)), picture_of, picture)


class _Waiting:
    """Inputs of each plan that later windows may extend, and the number of the next window of each."""

    def __init__(self, plans: Sequence[Plan], numbers_of: Sequence[list[list[int]]]):
        self._plans, self._numbers_of = plans, numbers_of
        self._needed = [plan.needed.tolist() for plan in plans]
        self._overlapping = [plan.overlapping for plan in plans]
        self._merged: list[DistinctInput | None] = [None] * len(plans)
        self.next_of = [0] * len(plans)

    def oldest_frame(self) -> int:
        """Return the number of the oldest frame that a window still to come shows."""
        return min(self._numbers_of[p][j][0] for p, j in enumerate(self.next_of) if j < len(self._numbers_of[p]))

    def merges(self, p: int, j: int, shown: tuple[int, ...]) -> bool:
        """Extend the input of a plan by its window of number j, if that shows the same; return True if it does."""
        before, window = self._merged[p], self._needed[p][j]
        if before is None or not _mergeable(self._plans[p], before, window, shown):
            return False
        self._merged[p] = replace(before, last=window)
        return True

    def start(self, p: int, j: int, shown: tuple[int, ...]) -> None:
        """Begin an input of a plan with its window of number j."""
        window, oldest = self._needed[p][j], shown[0] if self._overlapping[p] else shown[-1]
        self._merged[p] = DistinctInput(window, window, shown, oldest, p)

    def released(self, of_plans: Iterable[int], picture_of: Mapping[int, int], newest: int) -> Iterator[DistinctInput]:
        """Yield the inputs of some plans, with the oldest picture that those still to come, of any plan, may show."""
        for p in of_plans:
            each, self._merged[p] = self._merged[p], None
            if each is not None:
                yield replace(each, oldest=min([each.oldest, *self._of_others(p, picture_of, newest)]))

    def _of_others(self, p: int, picture_of: Mapping[int, int], newest: int) -> Iterator[int]:
        """Yield the oldest pictures that the inputs of other plans still to come may show."""
        for q, (merged, j) in enumerate(zip(self._merged, self.next_of, strict=True)):
            if q != p and merged is not None:
                yield merged.pictures[0]
            elif q != p and j < len(self._numbers_of[q]):
                yield picture_of.get(self._numbers_of[q][j][0], newest)


def _mergeable(plan: Plan, merged: DistinctInput, window: int, shown: tuple[int, ...]) -> bool:
    """Return True if a window shows the pictures of the input before it, and both are not too long together."""
    length_ms = plan.windows_ms[window, 1] - plan.windows_ms[merged.first, 0]
    return window == merged.last + 1 and shown == merged.pictures and length_ms <= MAX_MERGED_MS


def _shown_frames(plan: Plan, fps: float) -> list[list[int]]:
    """Return the numbers of the frames that each needed window shows."""
    if plan.single_frames:
        return single_frames(plan.info, plan.windows_ms[plan.needed, 0])[:, None].tolist()
    return [window_frames(plan.info, *plan.windows_ms[window], fps).tolist() for window in plan.needed]


class _Decoder:
    """Frames of one stimulus, as RGB, or as planes of the colour space `space`."""

    def __init__(self, plan: Plan, threads: int, planes: bool):
        self._plan, self._threads = plan, threads
        self._wanted, self._planes = planes, None

    @property
    def space(self) -> int:
        return self._planes.space if self._planes else 0

    def frames(self, numbers: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (number, frame) of increasing numbers."""
        if self._plan.still:
            return iter([(0, read_image(self._plan.path))])
        converted = self._converted if self._wanted else None
        return decode(self._plan.path, numbers, self._plan.info, self._threads, converted)

    def _converted(self, to_rgb: Callable) -> Planes:
        self._planes = Planes(to_rgb)
        return self._planes


def same_frame(frame: np.ndarray, other: np.ndarray) -> bool:
    """Return True for equal frames; a few rows settle it for most frames that differ."""
    height = len(frame)
    rows = slice(height // (2 * COMPARED_ROWS), None, max(1, height // COMPARED_ROWS))
    return frame[rows].tobytes() == other[rows].tobytes() and np.array_equal(frame, other)


def by_frame(model: Model) -> bool:
    """Return True if the preprocessing is one of single frames, by tensor operations on any device."""
    return isinstance(model.preprocess, FramePreprocessing)


class Assembler:
    """Inputs put together from the pictures of one stimulus, of one plan or several.

    Preprocessing of single frames treats each picture once, on the device where the pictures are, however many windows
    show it. Any other preprocessing treats the frames of each input.
    """

    def __init__(self, model: Model, plans: Sequence[Plan]):
        self._model, self._plans = model, plans
        # pictures, or their images, from number `_first` on, in parts until an input is complete
        self._parts: list[torch.Tensor] = []
        self._held, self._first = None, 0

    def add(self, pictures: torch.Tensor | None, inputs: list[DistinctInput], space: int = 0) -> Iterator[Pack]:
        """Add the pictures of a Read; yield the inputs that they complete."""
        if pictures is not None:
            pictures = rgb_of_planes(pictures, space) if pictures.ndim == 3 else pictures
            self._parts.append(self._model.preprocess.images_of(pictures) if by_frame(self._model) else pictures)
        if not inputs:
            return
        self._held = torch.cat(self._parts) if len(self._parts) > 1 else self._parts[0]
        for group in self._groups(sorted(inputs, key=lambda each: each.plan)):
            yield self._images(group) if by_frame(self._model) else self._preprocessed(group)
        # a copy, so that the memory of pictures that are not needed any more is free
        self._parts = [self._held[inputs[-1].oldest - self._first :].clone()]
        self._held, self._first = None, inputs[-1].oldest

    def _groups(self, inputs: list[DistinctInput]) -> Iterator[list[DistinctInput]]:
        """Yield inputs that are put together at once: of one plan, of equal length, and few if they are large."""
        group = []
        for each in inputs:
            if group and not self._joins(group, each):
                yield group
                group = []
            group.append(each)
        if group:
            yield group

    def _joins(self, group: list[DistinctInput], other: DistinctInput) -> bool:
        if self._model.kind == "image":
            return True
        if not by_frame(self._model) or len(other.pictures) != len(group[0].pictures) or other.plan != group[0].plan:
            return False
        return self._held[0].nbytes * len(other.pictures) * (len(group) + 1) <= PACK_BYTES

    def _images(self, group: list[DistinctInput]) -> Pack:
        """Return inputs whose images are chosen from those held."""
        numbers = torch.tensor([ordered(each, self._model.order) for each in group]) - self._first
        if self._model.kind == "image":
            numbers = numbers[:, 0]
        chosen = self._held[numbers.to(self._held.device)]
        return Pack(self._plans[group[0].plan], _spans(group), self._model.preprocess.arranged(chosen))

    def _preprocessed(self, group: list[DistinctInput]) -> Pack:
        """Return inputs preprocessed from their frames; raise BadInput if there is not one row per input."""
        frames = self._held[[number - self._first for each in group for number in ordered(each, self._model.order)]]
        tensor = self._model.preprocess(frames.numpy())
        tensor = tensor[None] if self._model.kind == "video" else tensor
        if len(tensor) != len(group):
            name, made, given = self._model.name, len(tensor), len(group)
            raise BadInput(f"model {name}: preprocess made {made} rows of {given} frames; expected one each")
        return Pack(self._plans[group[0].plan], _spans(group), tensor)


def ordered(each: DistinctInput, order: str) -> tuple[int, ...]:
    """Return the pictures of an input in the order in which a model sees them, see `Model`.

    The random order has a seed of its own for each window and number of frames, the same in every stimulus.
    """
    shown = each.pictures
    if order == "frozen":
        return (shown[len(shown) // 2],) * len(shown)
    if order == "shuffled":
        rng = np.random.default_rng(seed_from("shuffled", each.first, len(shown)))
        return tuple(shown[i] for i in rng.permutation(len(shown)))
    return shown


def _spans(group: list[DistinctInput]) -> list[tuple[int, int]]:
    return [(each.first, each.last) for each in group]


@contextmanager
def _naming(label: str) -> Iterator[None]:
    """Prefix the message of a BadInput raised in the block with `label`."""
    try:
        yield
    except BadInput as error:
        raise BadInput(f"{label}: {error}") from error


@dataclass(frozen=True)
class Reader:
    """Task of a worker: the stimuli groups[number], decoded, and preprocessed unless that is left to the device.

    Its items are lists of the plans of a stimulus; Read's inputs and space with its pictures, where `pictures_only`;
    else the number of a plan that is needed, spans of its rows, the type and the shape of their tensor, with its bytes.
    settings: those of each context; wanted: {stimulus: its contexts}.
    """

    model: Model
    stimuli: Stimuli
    settings: Sequence[Settings]
    groups: list[list[int]]
    pictures_only: bool
    threads: int
    wanted: Mapping[int, Sequence[int]]

    def __call__(self, number: int, new: New) -> Iterator[tuple[object, np.ndarray | None]]:
        """Yield the items of a task."""
        for index in self.groups[number]:
            number = len(self.settings) * index
            plans = [
                make_plan(self.model, self.stimuli, index, self.settings[c], number + c) for c in self.wanted[index]
            ]
            yield plans, None
            if needed := _needed(plans):
                with _naming(plans[0].label):
                    yield from self._pictures(needed, new) if self.pictures_only else self._rows(needed)

    def _pictures(self, plans: Sequence[Plan], new: New) -> Iterator[tuple[object, np.ndarray | None]]:
        for read in reads(plans, self.model.fps, new, self.threads, planes=True):
            yield (read.inputs, read.space), read.pictures

    def _rows(self, plans: Sequence[Plan]) -> Iterator[tuple[object, np.ndarray]]:
        assembler, number_of = Assembler(self.model, plans), {id(plan): p for p, plan in enumerate(plans)}
        for read in reads(plans, self.model.fps, threads=self.threads):
            pictures = None if read.pictures is None else torch.from_numpy(read.pictures)
            for pack in assembler.add(pictures, read.inputs):
                tensor = pack.tensor.detach().cpu().contiguous()
                header = (number_of[id(pack.plan)], pack.spans, tensor.dtype, tensor.shape)
                yield header, tensor.view(-1).view(torch.uint8).numpy()


def _needed(plans: Sequence[Plan]) -> list[Plan]:
    """Return the plans with a window that is needed."""
    return [plan for plan in plans if len(plan.needed)]


def make_reader(
    model: Model,
    stimuli: Stimuli,
    todo: list[int],
    settings: Settings | Sequence[Settings],
    n_workers: int,
    pictures_only: bool,
) -> Reader:
    """Return the task of `n_workers` workers that read the stimuli of `todo`, see `load_packs`."""
    settings = [settings] if isinstance(settings, Settings) else settings
    wanted: dict[int, list[int]] = {}
    for number in todo:
        index, context = divmod(number, len(settings))
        wanted.setdefault(index, []).append(context)
    groups = list(_groups(stimuli, list(wanted), n_workers))
    # cores that have no file of their own help to decode one
    threads = max(1, n_workers // max(1, len(groups)))
    return Reader(model, stimuli, settings, groups, pictures_only, threads, wanted)


def load_packs(
    model: Model,
    stimuli: Stimuli,
    todo: list[int],
    settings: Settings | Sequence[Settings],
    n_workers: int,
    device: "torch.device | str" = "cpu",
    processes: bool | None = None,
) -> Iterator[Plan | Pack]:
    """Yield for each stimulus of `todo`, in this order, its plans and then their packs, on the device.

    settings: those of one context, or of each of several; `todo` then has the numbers n_contexts * stimulus + context
    in increasing order, and a stimulus is decoded once for its contexts.

    Stimuli are decoded ahead by `n_workers` processes or threads, by default by processes for a device other than the
    CPU. Pictures are then preprocessed on the device if the preprocessing is one of single frames. The order does not
    depend on the workers. Closing the generator ends them.
    """
    device = torch.device(device)
    processes = can_fork() and (device.type != "cpu" if processes is None else processes)
    pictures_only = by_frame(model) and (processes or device.type != "cpu")
    reader = make_reader(model, stimuli, todo, settings, n_workers, pictures_only)
    with ExitStack() as stack:
        n_tasks = len(reader.groups)
        workers = (Processes if processes else Threads)(reader, n_tasks, max(1, min(n_workers, n_tasks)))
        stack.callback(workers.close)
        transfer = Transfer(device, workers.memory)
        stack.callback(transfer.close)
        items = stack.enter_context(closing(workers.items(transfer.finish)))
        for item in items:
            if isinstance(item.header, list):
                yield from item.header
                needed = _needed(item.header)
                assembler = Assembler(model, needed)
            elif pictures_only:
                inputs, space = item.header
                yield from assembler.add(None if item.array is None else transfer(item), inputs, space)
            else:
                number, spans, dtype, shape = item.header
                yield Pack(needed[number], spans, transfer(item).view(dtype).view(shape))


def _groups(stimuli: Stimuli, todo: list[int], n_workers: int) -> Iterator[list[int]]:
    """Yield the stimuli of each task: one film, or several images, fewer if there are too few for all workers."""
    most, group = max(1, min(STILLS_PER_TASK, len(todo) // (2 * n_workers))), []
    for index in todo:
        if stimuli.kind[index] == "image":
            group.append(index)
        if group and (stimuli.kind[index] != "image" or len(group) == most):
            yield group
            group = []
        if stimuli.kind[index] != "image":
            yield [index]
    if group:
        yield group
