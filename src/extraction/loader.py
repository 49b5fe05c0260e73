"""Loader of model input: stimuli are decoded once, in order, and preprocessed ahead of the forward passes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from ..records import Stimuli
from ..utils import BadInput
from ..video import entries_ms, has_entries
from .assembly import Assembler, Pack, by_frame
from .gpu_video import FILMS_AT_ONCE, GpuDecoder, GpuFilms, choose_films
from .plans import Plan, Viewer, make_plan, naming, with_windows
from .reads import Decoder, reads
from .transfer import Transfer
from .workers import Item, New, Processes, Task, Threads, can_fork, in_turns

SECTION_MS = 30_000.0  # least of a film that a process decodes while others decode the rest
SECTION_WINDOWS = 4  # least windows of a section, since frames of its first window belong to the one before, too
STILLS_PER_TASK = 16


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
            parts = [plan.within(section.start_ms, section.end_ms) for plan in with_windows(plans)]
            if with_windows(parts):
                yield plans, None
                with naming(plans[0].label):
                    yield from self._items(parts, new)
            elif not with_windows(plans):
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
            needed[process] = with_windows(header)
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
            is_long = reader.stimuli.duration_ms[index] >= 2 * SECTION_MS
            cut = in_sections and n_workers > 1 and is_long
            yield from ([one] for one in (_sections(reader, index) if cut else [Section(index)]))
    if group:
        yield group


def _sections(reader: Reader, index: int) -> list[Section]:
    """Return the sections of a film that several processes may decode: each begins with an entry of the film.

    It is one where a state is carried through the film, where windows are nearly as long, and where it cannot be read,
    which its worker will say.
    """
    ends_ms: list[float] = []
    with suppress(BadInput):
        plans = reader.plans(index)
        path, info = plans[0].path, plans[0].info
        longest_ms = max(float(np.ptp(plan.windows_ms, axis=1).max()) for plan in plans)
        count, entries = int(info.duration_ms // max(SECTION_MS, SECTION_WINDOWS * longest_ms)), entries_ms(info)
        carried = any(plan.streamed for plan in plans)
        if count > 1 and len(entries) and with_windows(plans) and not carried and has_entries(path, info):
            wished = np.arange(1, count) * info.duration_ms / count
            nearest = np.abs(entries[:, None] - wished).argmin(axis=0)
            # windows that begin with the entry do not end before half a frame
            ends_ms = (np.unique(entries[nearest]) + 500 / info.fps).tolist()
    return [Section(index, *limits) for limits in pairwise([-np.inf, *ends_ms, np.inf])]
