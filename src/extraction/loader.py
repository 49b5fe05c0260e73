"""Loader of model input: stimuli are decoded once, in order, and preprocessed ahead of the forward passes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from ..models.preprocessing import FramePreprocessing
from ..models.spec import Model
from ..records import Stimuli
from ..utils import BadInput, seed_from
from ..video import VideoInfo, decode, entries_ms, piece, probe, read_image, single_frames, window_frames
from .gpu_video import FILMS_AT_ONCE, GpuDecoder, GpuFilms, choose_films
from .planes import Planes, rgb_of_planes
from .transfer import Transfer
from .windows import Mode, TimeMap, framewise, make_windows, streams
from .workers import Item, New, Processes, Task, Threads, can_fork, in_turns

PIECE_MS = 30_000.0  # least of a film that a process decodes while others decode the rest
PIECE_WINDOWS = 4  # least windows of a piece, as the frames of a window before a piece are decoded once more
MAX_MERGED_MS = 60_000.0  # longest stretch of an unchanging video that one input represents
FRAMES_PER_READ = 16  # frames and inputs that are preprocessed together
READ_BYTES = 4 << 20  # frames that are passed on together, if more than one
PACK_BYTES = 16 << 20  # input that is put together at once, if more than one row
STILLS_PER_TASK = 16
COMPARED_ROWS = 4  # rows of two frames that are compared first

Picture = np.ndarray | torch.Tensor  # a tensor if it was decoded on a device


@dataclass(frozen=True)
class Settings:
    """Settings of an extraction, common to all stimuli: bins_ms (n_bins, 2) and the windows (see `extract`).

    carried: whether the state of a recurrent network may be carried from window to window.
    """

    bins_ms: np.ndarray
    mode: Mode
    context_ms: float
    partial: bool
    carried: bool = True


@dataclass(frozen=True)
class Viewer:
    """A model that sees the stimuli in the windows of some settings."""

    model: Model
    settings: Settings


@dataclass(frozen=True)
class Plan:
    """Windows of one stimulus, (n_windows, 2) in ms, the indices of those needed, and their map to time bins.

    viewer: number of the viewer; network: number of its model among those of all viewers; fps: frames per second of
    the model.
    """

    stimulus: int
    viewer: int
    network: int
    fps: float
    label: str
    path: str
    still: bool
    info: VideoInfo
    windows_ms: np.ndarray
    needed: np.ndarray
    time_map: TimeMap
    single_frames: bool  # True if every window is one frame
    streamed: bool = False  # True if a window adds its last frame to the state that the network carries

    @property
    def id(self) -> tuple[int, int]:
        """Stimulus and viewer."""
        return self.stimulus, self.viewer

    def within(self, start_ms: float, end_ms: float) -> "Plan":
        """Return the plan of its windows that end behind `start_ms`, and not behind `end_ms`."""
        ends_ms = self.windows_ms[self.needed, 1]
        return replace(self, needed=self.needed[(ends_ms > start_ms) & (ends_ms <= end_ms)])

    @property
    def overlapping(self) -> bool:
        """Return True if a window may start before the end of its predecessor."""
        return not self.streamed and bool(np.any(self.windows_ms[1:, 0] < self.windows_ms[:-1, 1] - 1e-6))


@dataclass(frozen=True)
class DistinctInput:
    """Pictures that are computed once, for the windows first..last, which all show the same pictures.

    pictures: number of the picture of each frame, counted from the start of the stimulus among those that the model
    sees; equal consecutive frames are one picture. oldest: number of the oldest picture that a later input of the model
    may show. plan: number of the plan among those of the stimulus.
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
    or None. seen_by: numbers of the models that see each picture.
    """

    pictures: Picture | None
    seen_by: list[frozenset[int]]
    inputs: list[DistinctInput]
    space: int = 0

    def of(self, network: int, plans: Sequence[Plan]) -> "Read":
        """Return the part of it that one model sees."""
        inputs = [each for each in self.inputs if plans[each.plan].network == network]
        seen = [k for k, networks in enumerate(self.seen_by) if network in networks]
        pictures = self.pictures if len(seen) == len(self.seen_by) else self.pictures[seen] if seen else None
        return replace(self, pictures=pictures, inputs=inputs)


@dataclass(frozen=True)
class Pack:
    """Preprocessed input; row i of the tensor represents the windows spans[i] = (first, last) of the plan."""

    plan: Plan
    spans: list[tuple[int, int]]
    tensor: torch.Tensor


def make_plan(
    model: Model, stimuli: Stimuli, index: int, settings: Settings, viewer: int = 0, network: int = 0
) -> Plan:
    """Return the plan of one stimulus; raise BadInput with its id and file if the file cannot be probed."""
    label, path = f"stimulus '{stimuli.ids[index]}' of {stimuli.name}", str(stimuli.paths[index])
    still = stimuli.kind[index] == "image"
    with _naming(label):
        info = VideoInfo(float(stimuli.duration_ms[index]), 1, model.fps, 0, 0) if still else probe(path)
        info = piece(info, *stimuli.piece_ms(index)) if stimuli.piece_ms(index) else info
    windows_ms = make_windows(model, settings.mode, settings.context_ms, info.duration_ms)
    one_frame_each = framewise(model, settings.mode)
    bins = (info.duration_ms, model.fps, settings.bins_ms, settings.partial)
    time_map = TimeMap(windows_ms, one_frame_each, *bins, model.step_times.values())
    needed, streamed = time_map.needed(), settings.carried and streams(model, settings.mode, windows_ms)
    if streamed and len(needed):
        # the state needs all frames
        needed = np.arange(needed[-1] + 1)
    windows = (windows_ms, needed, time_map, model.kind == "image", streamed)
    return Plan(index, viewer, network, model.fps, label, path, still, info, *windows)


def reads(
    plan: Plan | Sequence[Plan], new: New = np.empty, decoder: "Decoder | GpuDecoder | None" = None
) -> Iterator[Read]:
    """Yield the pictures of a stimulus and its inputs, a few at a time.

    plan: of the stimulus, or several with different windows or models, whose pictures are decoded once. new: function
    that makes the array of pictures from its shape and type. A frame is copied there at once, while it is in the
    processor's cache. decoder: of the stimulus; by default one to RGB.
    """
    pictures, seen_by, inputs = None, [], []
    plans = [plan] if isinstance(plan, Plan) else plan
    decoder = decoder or Decoder(plans[0])

    def read() -> Read:
        return Read(None if pictures is None else pictures[: len(seen_by)], seen_by, inputs, decoder.space)

    for event in _pictures_and_inputs(plans, decoder):
        is_input = isinstance(event, DistinctInput)
        full = pictures is not None and not is_input and not _fits(event[0], pictures, len(seen_by))
        if full or (is_input and len(inputs) == FRAMES_PER_READ):
            yield read()
            pictures, seen_by, inputs = None, [], []
        if is_input:
            inputs.append(event)
            continue
        picture, networks = event
        if pictures is None:
            most = 1 if plans[0].still else max(1, min(FRAMES_PER_READ, READ_BYTES // picture.nbytes))
            pictures = new((most, *picture.shape), np.uint8)
        pictures[len(seen_by)] = picture
        seen_by.append(networks)
    if inputs:
        yield read()


def _fits(picture: Picture, pictures: Picture, count: int) -> bool:
    """Return True if an array of pictures has space for another one, of which it has `count`."""
    return count < len(pictures) and picture.shape == pictures.shape[1:]


def _pictures_and_inputs(
    plans: Sequence[Plan], decoder: "Decoder | GpuDecoder"
) -> Iterator[tuple[Picture, frozenset[int]] | DistinctInput]:
    """Yield each picture once, with the models that see it, and each input behind its pictures.

    Consecutive windows of equal pictures are merged. The windows of several plans are in the order of their last
    frames.
    """
    numbers_of = [_shown_frames(plan) for plan in plans]
    views = {
        network: _View({p: plan for p, plan in enumerate(plans) if plan.network == network}, numbers_of)
        for network in sorted({plan.network for plan in plans})
    }
    seen_by = _seen_by(plans, numbers_of)
    stream = decoder.frames(sorted(seen_by))
    order = sorted((numbers[-1], p, j) for p, of_plan in enumerate(numbers_of) for j, numbers in enumerate(of_plan))
    newest, before, holding = -1, None, frozenset()
    for last, p, j in order:
        while newest < last:
            newest, frame = next(stream)
            networks = seen_by[newest]
            if not networks <= holding or not same_frame(frame, before):
                # the windows that end later show a new picture, so that they are not merged
                for network in networks:
                    yield from views[network].new_picture()
                before, holding = frame, networks
                yield frame, networks
            for network in networks:
                views[network].show(newest)
        yield from views[plans[p].network].end(p, j)
    for view in views.values():
        yield from view.released(view.plans)


def _seen_by(plans: Sequence[Plan], numbers_of: Sequence[list[list[int]]]) -> dict[int, frozenset[int]]:
    """Return {number of a frame: the models that see it}."""
    of_network: dict[int, set[int]] = {}
    for plan, of_plan in zip(plans, numbers_of, strict=True):
        of_network.setdefault(plan.network, set()).update(n for numbers in of_plan for n in numbers)
    if len(of_network) == 1:
        ((network, numbers),) = of_network.items()
        return dict.fromkeys(numbers, frozenset([network]))
    every = set().union(*of_network.values())
    return {n: frozenset(network for network, numbers in of_network.items() if n in numbers) for n in every}


class _View:
    """Pictures that one model sees of a stimulus, and the inputs of each of its plans that windows may extend.

    plans: {number: plan}; numbers_of: frames of the windows of all plans, by number.
    """

    def __init__(self, plans: Mapping[int, Plan], numbers_of: Sequence[list[list[int]]]):
        self.plans = plans
        self._numbers_of = {p: numbers_of[p] for p in plans}
        self._needed = {p: plan.needed.tolist() for p, plan in plans.items()}
        self._overlapping = {p: plan.overlapping for p, plan in plans.items()}
        self._merged: dict[int, DistinctInput | None] = dict.fromkeys(plans)
        self._next_of = dict.fromkeys(plans, 0)
        self._newest = -1  # picture
        self._picture_of: dict[int, int] = {}  # {frame: picture}

    def new_picture(self) -> Iterator[DistinctInput]:
        """Count one more picture; yield the inputs that end before it."""
        yield from self.released(self.plans)
        self._newest += 1

    def show(self, frame: int) -> None:
        """Note that a frame shows the newest picture."""
        self._picture_of[frame] = self._newest

    def end(self, p: int, j: int) -> Iterator[DistinctInput]:
        """Add the window of number j of a plan; yield the input before it unless that shows the same."""
        shown = tuple(self._picture_of[number] for number in self._numbers_of[p][j])
        self._next_of[p] = j + 1
        before, window = self._merged[p], self._needed[p][j]
        if before is not None and _mergeable(self.plans[p], before, window, shown):
            self._merged[p] = replace(before, last=window)
            return
        yield from self.released([p])
        self._merged[p] = DistinctInput(window, window, shown, shown[0] if self._overlapping[p] else shown[-1], p)
        self._forget()

    def _forget(self) -> None:
        """Forget the frames that no window still to come shows."""
        oldest = min((self._numbers_of[p][j][0] for p, j in self._to_come()), default=None)
        if oldest is not None:
            self._picture_of = {number: shown for number, shown in self._picture_of.items() if number >= oldest}

    def _to_come(self) -> Iterator[tuple[int, int]]:
        """Yield the number of each plan that is not at its end, with that of its next window."""
        return ((p, j) for p, j in self._next_of.items() if j < len(self._numbers_of[p]))

    def released(self, of_plans: Iterable[int]) -> Iterator[DistinctInput]:
        """Yield the inputs of some plans, with the oldest picture that those still to come, of any plan, may show."""
        for p in of_plans:
            each, self._merged[p] = self._merged[p], None
            if each is not None:
                yield replace(each, oldest=min([each.oldest, *self._of_others(p)]))

    def _of_others(self, p: int) -> Iterator[int]:
        """Yield the oldest pictures that the inputs of other plans still to come may show."""
        for q, merged in self._merged.items():
            if q != p and merged is not None:
                yield merged.pictures[0]
            elif q != p and self._next_of[q] < len(self._numbers_of[q]):
                yield self._picture_of.get(self._numbers_of[q][self._next_of[q]][0], self._newest)


def _mergeable(plan: Plan, merged: DistinctInput, window: int, shown: tuple[int, ...]) -> bool:
    """Return True if a window shows the pictures of the input before it, and both are not too long together."""
    if plan.streamed:
        return False
    length_ms = plan.windows_ms[window, 1] - plan.windows_ms[merged.first, 0]
    return window == merged.last + 1 and shown == merged.pictures and length_ms <= MAX_MERGED_MS


def _shown_frames(plan: Plan) -> list[list[int]]:
    """Return the numbers of the frames that each needed window shows."""
    if plan.single_frames:
        return single_frames(plan.info, plan.windows_ms[plan.needed, 0])[:, None].tolist()
    if plan.streamed:
        return [window_frames(plan.info, *plan.windows_ms[w], plan.fps)[-1:].tolist() for w in plan.needed]
    return [window_frames(plan.info, *plan.windows_ms[window], plan.fps).tolist() for window in plan.needed]


class Decoder:
    """Frames of one stimulus by PyAV, as RGB, or as planes of the colour space `space` where they are exact.

    threads: of a film. left: see `GpuDecoder`.
    """

    left = ""

    def __init__(self, plan: Plan, threads: int = 1, planes: bool = False):
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


def same_frame(frame: Picture, other: Picture) -> bool:
    """Return True for equal frames; a few rows settle it for most frames that differ."""
    if isinstance(frame, torch.Tensor):
        return torch.equal(frame, other)
    height = len(frame)
    rows = slice(height // (2 * COMPARED_ROWS), None, max(1, height // COMPARED_ROWS))
    return frame[rows].tobytes() == other[rows].tobytes() and np.array_equal(frame, other)


def by_frame(model: Model) -> bool:
    """Return True if the preprocessing is one of single frames, by tensor operations on any device."""
    return isinstance(model.preprocess, FramePreprocessing)


class Assembler:
    """Inputs of one model put together from the pictures of one stimulus, for one plan or several.

    Preprocessing of single frames treats each picture once, on the device where the pictures are, however many windows
    show it. Any other preprocessing treats the frames of each input.
    """

    def __init__(self, model: Model, plans: Sequence[Plan]):
        self._model, self._plans = model, plans
        # pictures, or their images, from number `_first` on, in parts until an input is complete
        self._parts: list[torch.Tensor] = []
        self._held, self._first = None, 0

    def add(self, pictures: torch.Tensor | None, inputs: list[DistinctInput], space: int = 0) -> Iterator[Pack]:
        """Add pictures that the model sees; yield the inputs that they complete."""
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
        chosen = self._held[numbers.to(self._held.device, non_blocking=True)]
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
class Rows:
    """Header of rows: those of windows spans[i] = (first, last) of the plan `plan`, and the kind of their tensor."""

    plan: int
    spans: list[tuple[int, int]]
    dtype: torch.dtype
    shape: torch.Size


@dataclass(frozen=True)
class Section:
    """Stimulus, or a part of a film: the windows that end within (start_ms, end_ms]."""

    stimulus: int
    start_ms: float = -np.inf
    end_ms: float = np.inf


@dataclass(frozen=True)
class Reader:
    """Task of a worker: the sections groups[number], decoded, and preprocessed unless that is left to the device.

    Its items are, for each section with windows: the plans of the stimulus; for the models in `on_device`, reads
    without their pictures, with the pictures; for the other models, rows, with their bytes; and a line of text if it
    was not decoded as planned. wanted: {stimulus: its viewers}; network_of: the number of the model of each viewer.
    films: those of the stimuli that are decoded on the device, for models in `on_device` alone.
    """

    viewers: Sequence[Viewer]
    stimuli: Stimuli
    wanted: Mapping[int, Sequence[int]]
    network_of: Sequence[int]
    on_device: frozenset[int]
    groups: list[list[Section]]
    threads: int
    films: GpuFilms | None = None

    def __call__(self, number: int, new: New) -> Iterator[tuple[object, np.ndarray | None]]:
        """Yield the items of a task."""
        for section in self.groups[number]:
            plans = self.plans(section.stimulus)
            parts = [plan.within(section.start_ms, section.end_ms) for plan in _needed(plans)]
            if _needed(parts):
                yield plans, None
                with _naming(plans[0].label):
                    yield from self._items(parts, new)
            elif not _needed(plans):
                yield plans, None

    def plans(self, index: int) -> list[Plan]:
        """Return the plans of a stimulus, one for each viewer."""
        return [
            make_plan(self.viewers[v].model, self.stimuli, index, self.viewers[v].settings, v, self.network_of[v])
            for v in self.wanted[index]
        ]

    def _items(self, plans: Sequence[Plan], new: New) -> Iterator[tuple[object, np.ndarray | None]]:
        networks = {plan.network for plan in plans}
        assemblers = self.assemblers(plans, networks - self.on_device)
        on_device = networks & self.on_device
        decoder = self._decoder(plans[0], planes=bool(on_device))
        for read in reads(plans, new if on_device else np.empty, decoder):
            pictures = read.pictures
            if on_device:
                if assemblers and pictures is not None:
                    # those that are passed on may be released, and written over, while they are still assembled here
                    pictures = pictures.copy()
                yield replace(read, pictures=None), read.pictures
            for network, assembler in assemblers.items():
                seen = replace(read, pictures=pictures).of(network, plans)
                frames = None if seen.pictures is None else torch.from_numpy(seen.pictures)
                for pack in assembler.add(frames, seen.inputs, seen.space):
                    tensor = pack.tensor.detach().cpu().contiguous()
                    number = next(p for p, plan in enumerate(plans) if plan is pack.plan)
                    header = Rows(number, pack.spans, tensor.dtype, tensor.shape)
                    yield header, tensor.view(-1).view(torch.uint8).numpy()
        if decoder.left:
            yield f"{plans[0].label}: {decoder.left}", None

    def _decoder(self, plan: Plan, planes: bool) -> "Decoder | GpuDecoder":
        if self.films is not None:
            return self.films.decoder(plan.stimulus, plan.path, plan.info)
        return Decoder(plan, self.threads, planes)

    def assemblers(self, plans: Sequence[Plan], networks: Iterable[int]) -> dict[int, Assembler]:
        """Return the assembler of each of some models."""
        model_of = dict(zip(self.network_of, self.viewers, strict=True))
        return {network: Assembler(model_of[network].model, plans) for network in sorted(networks)}


def _needed(plans: Sequence[Plan]) -> list[Plan]:
    """Return the plans with a window that is needed."""
    return [plan for plan in plans if len(plan.needed)]


def make_reader(
    viewers: Sequence[Viewer],
    stimuli: Stimuli,
    wanted: Mapping[int, Sequence[int]],
    n_workers: int,
    pictures_only: bool,
    in_sections: bool = False,
) -> Reader:
    """Return the task of `n_workers` workers that read stimuli, see `load_packs`.

    pictures_only: True to leave preprocessing of single frames to the device. in_sections: True to let several workers
    decode a long film.
    """
    known = list({id(viewer.model): viewer.model for viewer in viewers}.values())
    network_of = [next(n for n, model in enumerate(known) if model is viewer.model) for viewer in viewers]
    on_device = frozenset(n for n, model in enumerate(known) if pictures_only and by_frame(model))
    reader = Reader(viewers, stimuli, wanted, network_of, on_device, groups=[], threads=1)
    groups = list(_groups(reader, n_workers, in_sections))
    # cores that have no file of their own help to decode one
    return replace(reader, groups=groups, threads=max(1, n_workers // max(1, len(groups))))


def load_packs(
    viewers: Sequence[Viewer],
    stimuli: Stimuli,
    wanted: Mapping[int, Sequence[int]],
    n_workers: int,
    device: "torch.device | str" = "cpu",
    processes: bool | None = None,
    gpu_video: bool | None = None,
    notice: Callable[[str], None] | None = None,
) -> Iterator[Plan | Pack]:
    """Yield the plans of the wanted stimuli, each before its packs, and the packs, on the device.

    wanted: {stimulus: numbers of the viewers that see it}. A stimulus is decoded once for all of them.

    Stimuli are decoded ahead by `n_workers` processes or threads, by default by processes for a device other than the
    CPU. Pictures are then preprocessed on the device if the preprocessing is one of single frames. If that of all
    models is, torchcodec decodes the films that it can on the device (gpu_video, notice: see `extract_parts`).

    From threads come the stimuli one after the other. Processes read several stimuli, and sections of a long film, at
    once, whose packs come in turns; the plans of a film then come with each of its sections. The order does not depend
    on how fast the workers are. Closing the generator ends them.
    """
    device, notice = torch.device(device), notice or (lambda line: None)
    processes = can_fork() and (device.type != "cpu" if processes is None else processes)
    films = None
    if gpu_video is not False and all(by_frame(viewer.model) for viewer in viewers):
        films = choose_films(stimuli, wanted, device, n_workers, gpu_video is True, notice)
    of_films = {index: wanted[index] for index in wanted if films and index in films.samples}
    others = {index: wanted[index] for index in wanted if index not in of_films}
    with ExitStack() as stack:

        def packs(reader: Reader, task: Task, kind: type, n_workers: int) -> Iterator[Plan | Pack]:
            n_tasks = len(reader.groups)
            workers = kind(task, n_tasks, min(n_workers, n_tasks))
            stack.callback(workers.close)
            transfer = Transfer(device, workers.memory)
            stack.callback(transfer.close)
            return _packs(reader, stack.enter_context(closing(workers.items(transfer.finish))), transfer, notice)

        sources = []
        if others:
            pictures_only = processes or device.type != "cpu"
            reader = make_reader(viewers, stimuli, others, n_workers, pictures_only, in_sections=processes)
            sources.append(packs(reader, reader, Processes if processes else Threads, n_workers))
        if of_films:
            reader = replace(make_reader(viewers, stimuli, of_films, FILMS_AT_ONCE, True), films=films)
            sources.append(packs(reader, films.task(reader), Threads, FILMS_AT_ONCE))
        yield from in_turns(sources)


def _packs(
    reader: Reader, items: Iterable[Item], transfer: Transfer, notice: Callable[[str], None]
) -> Iterator[Plan | Pack]:
    """Yield the plans and packs of a reader's items."""
    said, needed, assemblers = False, {}, {}  # of the section that each process reads
    for item in items:
        header, process = item.header, item.process
        if isinstance(header, list):
            yield from header
            needed[process] = _needed(header)
            networks = {plan.network for plan in needed[process]} & reader.on_device
            assemblers[process] = reader.assemblers(needed[process], networks)
        elif isinstance(header, str):
            if not said:
                notice(f"gpu-video: PyAV takes over where torchcodec does not give its frames, first in {header}")
            said = True
        elif isinstance(header, Rows):
            rows = transfer(item).view(header.dtype).view(header.shape)
            yield Pack(needed[process][header.plan], header.spans, rows)
        else:
            read = replace(header, pictures=None if item.array is None else transfer(item))
            for network, assembler in assemblers[process].items():
                seen = read.of(network, needed[process])
                yield from assembler.add(seen.pictures, seen.inputs, seen.space)


def _groups(reader: Reader, n_workers: int, in_sections: bool) -> Iterator[list[Section]]:
    """Yield the sections of each task: a film, a part of it, or several images, fewer if too few for all workers."""
    todo, kind = list(reader.wanted), reader.stimuli.kind
    most, group = max(1, min(STILLS_PER_TASK, len(todo) // (2 * n_workers))), []
    for index in todo:
        if kind[index] == "image":
            group.append(Section(index))
        if group and (kind[index] != "image" or len(group) == most):
            yield group
            group = []
        if kind[index] != "image":
            is_long = reader.stimuli.duration_ms[index] >= 2 * PIECE_MS
            cut = in_sections and n_workers > 1 and is_long
            yield from ([one] for one in (_sections(reader.plans(index)) if cut else [Section(index)]))
    if group:
        yield group


def _sections(plans: Sequence[Plan]) -> list[Section]:
    """Return the sections of a film that several processes may decode: each begins with an entry of the film.

    It is one where a state is carried through the film, or windows are nearly as long.
    """
    stimulus, info, ends_ms = plans[0].stimulus, plans[0].info, []
    longest_ms = max(float(np.ptp(plan.windows_ms, axis=1).max()) for plan in plans)
    count, entries = int(info.duration_ms // max(PIECE_MS, PIECE_WINDOWS * longest_ms)), entries_ms(info)
    if len(entries) and _needed(plans) and not any(plan.streamed for plan in plans):
        wished = np.arange(1, count) * info.duration_ms / count
        nearest = np.abs(entries[:, None] - wished).argmin(axis=0)
        # windows that begin with the entry do not end before half a frame
        ends_ms = (np.unique(entries[nearest]) + 500 / info.fps).tolist()
    limits_ms = [-np.inf, *ends_ms, np.inf]
    return [Section(stimulus, *limits) for limits in pairwise(limits_ms)]
