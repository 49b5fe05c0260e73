"""Pictures of a stimulus, decoded once and in order, and the inputs of models that they complete."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..video import decode, read_image
from .gpu_video import GpuDecoder
from .planes import Planes
from .plans import Plan, shown_frames
from .workers import New

MAX_MERGED_MS = 60_000.0  # longest stretch of an unchanging video that one input represents
FRAMES_PER_READ = 16  # frames and inputs that are preprocessed together
READ_BYTES = 4 << 20  # frames that are passed on together, if more than one
COMPARED_ROWS = 4  # rows of two frames that are compared first

Picture = np.ndarray | torch.Tensor  # a tensor if it was decoded on a device


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
    numbers_of = [shown_frames(plan) for plan in plans]
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
