"""Films and images as frames: properties of a file (`probe`) and its frames in order (`decode`, `read_frames`).

A film of constant frame rate is sampled by frame number, as in Brain-Score; one of variable rate by the time stamps in
its container. The files are read with PyAV, which includes ffmpeg, gives the time stamps, and is as fast as OpenCV.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .utils import BadInput

EPS_FRAMES = 1e-9  # Brain-Score's tolerance against one frame too many at the end of a window


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a film, or of a piece of one.

    fps: frames per second, the mean for a variable rate; starts_ms: (n_frames,) onset of each frame after the first, in
    a film of variable rate; None at a constant rate; tick_ms: resolution of the container's clock; first: number of the
    piece's first frame in the file, 0 for a whole film.
    """

    duration_ms: float
    n_frames: int
    fps: float
    width: int
    height: int
    starts_ms: np.ndarray | None = field(default=None, compare=False, repr=False)
    tick_ms: float = field(default=0.0, compare=False, repr=False)
    first: int = 0


def probe(path: str | Path) -> VideoInfo:
    """Return length, rate and size of a film, from its packets and without decoding.

    Raises BadInput for a file that is missing, empty or no film, and for one that is shorter than its header states.
    """
    with _opened(path) as (container, stream):
        stamps, lengths, complete = _packets(container, stream)
        _check_complete(path, container, stream, stamps, lengths, complete)
        return _describe(path, stream, stamps, lengths)


def piece(info: VideoInfo, start_ms: float, duration_ms: float) -> VideoInfo:
    """Return the piece of a film that starts at `start_ms` and lasts `duration_ms`, the film's last frame held.

    Its frames are numbered from 0. Raises BadInput for a start outside the film.
    """
    if not 0 <= start_ms < info.duration_ms:
        raise BadInput(
            f"a piece from {start_ms:g} ms on; expected it to start within the film, which lasts "
            f"{info.duration_ms:g} ms; prepare the data again"
        )
    if info.starts_ms is None:
        first = min(int(np.floor(start_ms * info.fps / 1000 + EPS_FRAMES)), info.n_frames - 1)
        # one frame more than shown, since `window_frames` never returns the very last one
        length = int(np.ceil(duration_ms * info.fps / 1000 - EPS_FRAMES)) + 1
        return replace(info, first=first, n_frames=min(length, info.n_frames - first), duration_ms=duration_ms)
    first, end = frames_at(info, np.array([start_ms, start_ms + duration_ms - info.tick_ms])).tolist()
    starts_ms = np.maximum(info.starts_ms[first : end + 1] - start_ms, 0)
    return replace(info, first=first, n_frames=end + 1 - first, duration_ms=duration_ms, starts_ms=starts_ms)


def window_frames(info: VideoInfo, start_ms: float, end_ms: float, fps: float) -> np.ndarray:
    """Return the numbers of the frames that sample [start_ms, end_ms) at `fps`, the first and last repeated outside.

    Constant rate: Brain-Score's arithmetic to the last bit (`Video.to_numpy`), which never shows the very last frame of
    a film. Variable rate: the frame shown at each sampled time, to one tick.
    """
    first, end = start_ms * info.fps / 1000, end_ms * info.fps / 1000
    samples = np.arange(first, end - EPS_FRAMES, info.fps / fps)
    if info.starts_ms is None:
        return np.clip(samples.astype(int), 0, _last(info))
    return frames_at(info, start_ms + np.arange(len(samples)) * (1000 / fps))


def single_frames(info: VideoInfo, starts_ms: np.ndarray) -> np.ndarray:
    """Return the numbers of the frames of windows of one frame, (n_windows,), as `window_frames` does for each."""
    if info.starts_ms is not None:
        return frames_at(info, starts_ms)
    return np.clip((starts_ms * info.fps / 1000).astype(int), 0, _last(info))


def _last(info: VideoInfo) -> int:
    """Return the number of the last frame that is shown at a constant rate."""
    return max(info.n_frames - 2, 0)


def frames_at(info: VideoInfo, times_ms: np.ndarray) -> np.ndarray:
    """Return the numbers of the frames shown at `times_ms` (n_times,), the first and last repeated outside the film."""
    times_ms = np.asarray(times_ms, dtype=np.float64)
    if info.starts_ms is None:
        numbers = np.floor(times_ms * info.fps / 1000 + EPS_FRAMES).astype(int)
        return np.clip(numbers, 0, _last(info))
    return np.clip(np.searchsorted(info.starts_ms, times_ms + info.tick_ms, side="right") - 1, 0, info.n_frames - 1)


def decode(
    path: str | Path, numbers: Iterable[int], info: VideoInfo, threads: int = 0, converted: Callable | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (number, frame) for increasing `numbers`; a frame is an uint8 array (height, width, 3), RGB.

    The film is decoded once, in order; only these frames are converted to RGB, and decoding stops after the last one.
    threads: of ffmpeg, 0 for one per core; one takes the least time of all cores together. converted: function from
    the conversion to RGB to another conversion of PyAV's frames, which is then used. Raises BadInput if the film, or
    its piece, has fewer frames than `info` states.
    """
    wanted, convert = iter(numbers), _to_rgb(threads)
    convert = converted(convert) if converted else convert
    following, got = next(wanted, None), 0
    with _opened(path) as (container, stream):
        stream.thread_type, stream.codec_context.thread_count = "NONE" if threads == 1 else "AUTO", threads
        for got, frame in enumerate(container.decode(stream), start=1 - info.first):
            if got - 1 == following:
                yield following, convert(frame)
                following = next(wanted, None)
            if following is None:
                return
    if following is not None:
        raise _truncated(path, max(got, 0), info.n_frames)


def _to_rgb(threads: int) -> Callable:
    """Return the conversion of PyAV's frames to RGB arrays of the size of the first, in `threads` if PyAV can."""
    from av.video.reformatter import VideoReformatter

    reformat, size = VideoReformatter().reformat, []
    options = {"threads": threads} if "threads" in (reformat.__doc__ or "") else {}

    def array(frame) -> np.ndarray:
        size[:] = size or (frame.width, frame.height)
        return reformat(frame, *size, format="rgb24", **options).to_ndarray()

    return array


def read_frames(path: str | Path, times_ms: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the frame shown at each of `times_ms` (n_times,), never decreasing: uint8 arrays (height, width, 3), RGB.

    Times outside the film give its first or last frame. The film is decoded once, in order; a frame that is shown at
    several times is the same array.
    """
    if np.any(np.diff(times_ms) < 0):
        raise BadInput(f"{path}: frame times decrease; expected times in ms in their order")
    info = probe(path)
    numbers = frames_at(info, times_ms)
    frames = decode(path, np.unique(numbers).tolist(), info)
    shown, frame = -1, None
    for number in numbers.tolist():
        if number != shown:
            shown, frame = next(frames)
        yield frame


def read_image(path: str | Path) -> np.ndarray:
    """Return a still image as an uint8 array (height, width, 3), RGB; BadInput for another file."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; expected an image") from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise BadInput(f"{path}: cannot be read as an image ({error}); expected png, jpeg, bmp or tiff") from error


@contextmanager
def _opened(path):
    """Open a film and yield its container and first video stream; errors of ffmpeg become BadInput."""
    import av

    if not Path(path).is_file():
        raise BadInput(f"{path}: no such file; expected a film")
    if Path(path).stat().st_size == 0:
        raise BadInput(f"{path}: the file is empty; expected a film; fetch it again")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise BadInput(f"{path}: has no video stream; expected a film")
            yield container, container.streams.video[0]
    except av.error.FFmpegError as error:
        raise BadInput(
            f"{path}: cannot be read as a film ({error.strerror}); expected a whole mp4, mov, avi, mkv, webm or gif; "
            f"fetch it again"
        ) from error


def _packets(container, stream) -> tuple[np.ndarray, np.ndarray, int]:
    """Return sorted time stamps and lengths, in ticks, of the packets shown, and the number of whole packets."""
    shown, complete = [], 0
    for packet in container.demux(stream):
        if packet.size and not packet.is_corrupt:
            complete += 1
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is not None and not packet.is_discard:
                shown.append((stamp, packet.duration or 0))
    table = np.array(sorted(shown), dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1], complete


def _describe(path, stream, stamps, lengths) -> VideoInfo:
    tick_ms = float(stream.time_base) * 1000
    starts_ms = (stamps - stamps[0]) * tick_ms
    n, size = len(stamps), (stream.codec_context.width, stream.codec_context.height)
    for fps in _possible_rates(stream, starts_ms):
        if np.all(np.abs(starts_ms - np.arange(n) * (1000 / fps)) <= tick_ms + 1e-6):
            return VideoInfo(n / fps * 1000, n, fps, *size)
    last_ms = lengths[-1] * tick_ms or float(np.median(np.diff(starts_ms)))
    duration_ms = float(starts_ms[-1] + last_ms)
    return VideoInfo(duration_ms, n, n / duration_ms * 1000, *size, starts_ms, tick_ms)


def _possible_rates(stream, starts_ms) -> Iterator[float]:
    """Yield the rates that the header states, then the mean rate of the time stamps."""
    yield from (float(rate) for rate in (stream.guessed_rate, stream.average_rate) if rate)
    if len(starts_ms) > 1 and starts_ms[-1] > 0:
        yield (len(starts_ms) - 1) / starts_ms[-1] * 1000


def _check_complete(path, container, stream, stamps, lengths, complete) -> None:
    """Raise BadInput if the film has no frame, or fewer than its header states."""
    if len(stamps) == 0 or not stream.codec_context.width:
        raise BadInput(f"{path}: has no frame; expected a film; fetch it again")
    if complete < stream.frames:
        raise _truncated(path, complete, stream.frames)
    stated_s = _header_seconds(container, stream)
    rate = float(stream.guessed_rate or stream.average_rate or 25)
    missing = (stated_s - (stamps[-1] + lengths[-1]) * float(stream.time_base)) * rate
    if not stream.frames and missing > 2:
        raise _truncated(path, complete, complete + round(missing))
    if container.format.name == "gif" and not _ends_as_gif(path):
        raise _truncated(path, complete, f"more than {complete}")


def _header_seconds(container, stream) -> float:
    """Return the length of the stream in the header, in seconds; 0 if it states none."""
    if "DURATION" in stream.metadata:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return (container.duration or 0) / 1e6 if len(container.streams) == 1 else 0.0


def _ends_as_gif(path) -> bool:
    with open(path, "rb") as handle:
        handle.seek(-min(64, Path(path).stat().st_size), 2)
        return handle.read().rstrip(b"\0").endswith(b";")


def _truncated(path, got, expected) -> BadInput:
    return BadInput(f"{path}: the film ends after {got} frames; expected {expected}; it is truncated, fetch it again")
