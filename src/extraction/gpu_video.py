"""Films decoded on a GPU (NVDEC) by torchcodec, the extra `gpu-video`, in place of the worker processes.

torchcodec gives the planes of every frame as they are coded, and `planes` converts them, so that no colour conversion
of torchcodec takes part. The standards of the codecs in CODECS fix every sample, and frames are shown as they are
stored: frames are equal to those of PyAV to the last bit, and activations share their key with those of the workers.
The first frames of every film are compared (`sample`), and the time stamps of all frames; from a frame on that differs,
PyAV decodes the film. All other films are left to the workers.

What PyAV alone states of a frame is known of the first frames only: that it is damaged, interlaced, or of another
colour space. The workers refuse a frame that is damaged; a film that is damaged further on is found here only if it
lacks frames.
"""

import hashlib
import importlib.util
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from ..records import Stimuli
from ..utils import BadInput
from ..video import VideoInfo, decode, probe
from .planes import Planes
from .workers import New, Processes, Task, Threads, can_fork

CODECS = ("h264", "hevc", "vp8", "vp9", "av1")  # their standards state every sample; MPEG-4's leaves the rounding open
LAYOUTS = ("nv12", "yuv420p")  # of the planes of torchcodec, on a GPU and on the CPU
SAMPLE_FRAMES = 16  # compared at the start of a film: three periods of interlaced film at 24 frames/s in 30
FILMS_AT_ONCE = 4  # threads; a GPU has 1 to 8 decoders
STAMP_TOLERANCE_MS = 1e-3  # of a variable frame rate


@dataclass(frozen=True)
class Sample:
    """First frames of a film as PyAV decodes them: digests of their planes; codec, height, width, colour space."""

    codec: str
    size: tuple[int, int]
    space: int
    digests: tuple[str, ...]


@dataclass(frozen=True)
class GpuFilms:
    """Films that are decoded on a device: {stimulus: sample of its first frames}."""

    samples: dict[int, Sample]
    device: torch.device

    def decoder(self, stimulus: int, path: str, info: VideoInfo) -> "GpuDecoder":
        """Return the decoder of one of the films, or of its piece `info`."""
        return GpuDecoder(path, info, self.samples[stimulus], self.device)

    def task(self, task: Task) -> Task:
        """Return the task with its arrays on the device: tensors made in a stream of their own, complete when given."""

        def new(shape, dtype) -> torch.Tensor:
            return torch.empty(shape, dtype=torch.uint8, device=self.device)

        def run(number: int, _: New):
            stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
            with torch.cuda.stream(stream) if stream else nullcontext():
                for item in task(number, new):
                    if stream:
                        stream.synchronize()
                    yield item

        return run


def choose_films(
    stimuli: Stimuli,
    wanted: Iterable[int],
    device: torch.device,
    n_workers: int,
    always: bool,
    notice: Callable[[str], None],
) -> GpuFilms | None:
    """Return the wanted films that the device decodes to the frames of PyAV, None if there is none.

    always: True for torchcodec on any device; else only on a GPU, if torchcodec is installed. notice: called with one
    line if torchcodec is installed and films are left to the workers.
    """
    films = [index for index in wanted if stimuli.kind[index] != "image"]
    installed = importlib.util.find_spec("torchcodec") is not None
    if not films or not (always or (installed and device.type == "cuda")):
        return None
    if reason := not_usable():
        notice(f"gpu-video: {reason}; films are decoded by the workers")
        return None
    paths = [str(stimuli.paths[index]) for index in films]
    found: dict[int, Sample | str] = dict(zip(films, _samples(paths, n_workers), strict=True))
    refused: dict[tuple, str] = {}
    for (index, one), path in zip(found.items(), paths, strict=True):
        if isinstance(one, Sample):
            kind = one.codec, one.size
            if kind not in refused:
                refused[kind] = _refusal(path, device)
            found[index] = refused[kind] or one
    reasons = Counter(one for one in found.values() if isinstance(one, str))
    if reasons:
        named = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        notice(f"gpu-video: the workers decode {reasons.total()} of {len(films)} films: {named}")
    samples = {index: one for index, one in found.items() if isinstance(one, Sample)}
    return GpuFilms(samples, device) if samples else None


def not_usable() -> str:
    """Return why torchcodec cannot be used in one line, "" if it can."""
    try:
        import torchcodec
        from torchcodec.decoders import Demuxer  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:
        return f"torchcodec 0.17 or newer cannot be imported ({_first_line(error)})"
    if torchcodec.ffmpeg_major_version is None:
        return "torchcodec finds no shared libraries of FFmpeg, or was built for another torch"
    return ""


def _samples(paths: Sequence[str], n_workers: int) -> list["Sample | str"]:
    """Return the sample of each film, or why it is left to the workers, from processes where they can be forked."""
    n_workers = max(1, min(n_workers, len(paths)))
    workers = (Processes if can_fork() else Threads)(lambda n, new: [(sample(paths[n]), None)], len(paths), n_workers)
    try:
        return [item.header for item in workers.items(lambda: None)]
    finally:
        workers.close()


def sample(path: str) -> Sample | str:
    """Return the first frames of a film, or why torchcodec may not decode it."""
    from torchcodec.decoders import VideoStreamHeaderMetadata, get_container_metadata

    made: list[Planes] = []

    def converted(to_rgb: Callable) -> Planes:
        made.append(Planes(to_rgb))
        return made[0]

    try:
        streams = get_container_metadata(path).streams
        codecs = [one.codec for one in streams if isinstance(one, VideoStreamHeaderMetadata)]
        if len(codecs) != 1:
            return "without exactly one video stream"
        if codecs[0] not in CODECS:
            return f"in {codecs[0]}"
        info = probe(path)
        numbers = range(min(SAMPLE_FRAMES, info.n_frames))
        frames = [frame for _, frame in decode(path, numbers, info, 1, converted)]
    except (BadInput, RuntimeError):
        return "cannot be read"
    if not made:
        return "turned or with pixels that are not square"
    if any(frame.ndim == 3 for frame in frames):
        return "not of progressive 8-bit 4:2:0 in limited range"
    digests = tuple(_digest(torch.from_numpy(frame)) for frame in frames)
    return Sample(codecs[0], (info.height, info.width), made[0].space, digests)


def _refusal(path: str, device: torch.device) -> str:
    """Return why a device cannot decode a film, "" if it can."""
    if device.type != "cuda":
        return ""
    from torchcodec.decoders import VideoDecoder

    try:
        decoder = VideoDecoder(path, device=device)
        return f"in {decoder.metadata.codec}, which this GPU cannot decode" if decoder.cpu_fallback else ""
    except (RuntimeError, ValueError) as error:
        return f"refused by the GPU ({_first_line(error)})"


class GpuDecoder:
    """Frames of one film, or of a piece of it, from torchcodec; from PyAV once a frame is not the same.

    space: colour space of the planes. left: why PyAV has taken over, "" if it has not.
    """

    def __init__(self, path: str, info: VideoInfo, first: Sample, device: torch.device):
        self._path, self._info, self._first, self._device = path, info, first, device
        self.space, self.left = first.space, ""

    def frames(self, numbers: Sequence[int]) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield (number, frame) of increasing numbers: planes, uint8 (3 * height / 2, width), on the device.

        Those of PyAV are RGB, uint8 (height, width, 3).
        """
        got = 0
        for number, frame in self._same_frames(set(numbers)):
            yield number, frame
            got += 1
        if got < len(numbers):
            for number, frame in decode(self._path, numbers[got:], self._info, 1):
                yield number, torch.from_numpy(frame).to(self._device)

    def _same_frames(self, wanted: set[int]) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield the wanted frames up to the first frame that is not that of PyAV, and note what it is."""
        whole, digests, begins_s = probe(self._path), self._first.digests, None
        last = max(wanted) + self._info.first
        try:
            for k, raw in enumerate(raw_frames(self._path, self._device)):
                begins_s = raw.pts_seconds if begins_s is None else begins_s
                if not on_time(whole, k, 1000 * (raw.pts_seconds - begins_s)):
                    self.left = f"frame {k} has another time stamp"
                    return
                number, compared = k - self._info.first, k < len(digests)
                if compared or number in wanted:
                    planes = self._planes(raw)
                    if planes is None or (compared and _digest(planes) != digests[k]):
                        self.left = f"frame {k} differs"
                        return
                if number in wanted:
                    yield number, planes
                if k == last:
                    return
            self.left = "frames are missing"
        except (RuntimeError, ValueError) as error:
            self.left = _first_line(error)

    def _planes(self, raw) -> torch.Tensor | None:
        """Return the planes of a frame of torchcodec as `stacked_planes` does; None if they are of another kind."""
        if raw.pixel_format not in LAYOUTS or (raw.height, raw.width) != self._first.size:
            return None
        return stacked(*raw.planes)


def raw_frames(path: str, device: torch.device) -> Iterator:
    """Yield the frames of torchcodec in the order in which they are shown."""
    from torchcodec.decoders import Demuxer

    demuxer = Demuxer(path)
    decoder = demuxer.streams[0].make_decoder(device)
    # a demuxer and its streams refer to each other: the file would be open until garbage is collected
    demuxer.streams = ()
    for packet in demuxer:
        yield from decoder.decode(packet)
    yield from decoder.drain()


def stacked(luma: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Return planes, 4:2:0 with even sides, as `planes.stacked_planes` does: the rows of Y, then U and V."""
    height, width = luma.shape
    found = luma.new_empty((height * 3 // 2, width))
    found[:height] = luma
    colour = found[height:].view(2, height // 2, width // 2)
    colour[0], colour[1] = u, v
    return found


def on_time(whole: VideoInfo, k: int, onset_ms: float) -> bool:
    """Return True if a time stamp is that of frame k of a film; at a constant rate, if no other frame is as near."""
    if whole.starts_ms is None:
        return abs(onset_ms - k * 1000 / whole.fps) < 500 / whole.fps
    return k < whole.n_frames and abs(onset_ms - whole.starts_ms[k]) <= STAMP_TOLERANCE_MS


def _digest(planes: torch.Tensor) -> str:
    return hashlib.sha256(np.ascontiguousarray(planes.cpu().numpy())).hexdigest()


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split("\n", 1)[0].split())[:120] or type(error).__name__
