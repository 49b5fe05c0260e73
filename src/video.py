"""Films and images as frames: properties of a file (`probe`) and its frames in order (`decode`, `read_frames`).

A film of constant frame rate is sampled by frame number, as in Brain-Score; one of variable rate by the time stamps in
its container. The files are read with PyAV, which includes ffmpeg, gives the time stamps, and is as fast as OpenCV.

Frames are as a player shows them: turned or mirrored by the container's display matrix, as ffmpeg does by default, and
as wide as pixels that are not square make them (ffmpeg's `scale=iw*sar:ih`, which it leaves to the player). RGB values
are those of `ffmpeg -pix_fmt rgb24` but for two kinds: colour of 10-bit 4:2:0 and of interlaced film is interpolated
otherwise (measured on test patterns: 2.1 and 1.8 of 255 in the mean). Interlaced frames are not separated into fields.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .files import require_regular
from .utils import BadInput
from .watch import once_per_state

MAX_PIXELS = 2**26  # of an image; a larger one is taken for a decompression bomb
WIDEST_PIXEL = 10  # width of a pixel in heights, or its inverse, above which it is taken for damage
HELD = ("gif", "apng", "webp_anim", "avi")  # containers that state how long the last frame is held
ATTACHED_PICTURE = 0x400  # ffmpeg's flag of a stream that is a cover picture
TS_PACKET = 188  # bytes of a packet of an MPEG transport stream
IMAGE_MODES = ("1", "L", "P", "LA", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP")
MAX_TOLERANCE_MS = 1.0  # of time stamps; a coarser clock is exact, since its ticks are what the film was timed by
FEW_FRAMES = 9  # largest number of frames of a film whose last one is shown: it is more than a tenth of the film
SEEKABLE = ("mov,mp4,", "matroska,")  # containers whose index leads to the very frame (tests/extraction/coded_films.py)
EPS_FRAMES = 1e-9  # Brain-Score's tolerance against one frame too many at the end of a window


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a film, or of a piece of one.

    fps: frames per second, the mean for a variable rate; starts_ms: (n_frames,) onset of each frame after the first, in
    a film of variable rate; None at a constant rate; tick_ms: tolerance of the container's clock; first: number of the
    piece's first frame in the file, 0 for a whole film; width, height: of the stored picture, before it is turned or
    widened for display; hidden: number of frames at the end that a constant rate never shows (see `window_frames`);
    entries: (n_entries, 2) numbers in the file, and time stamps in ticks, of the frames behind the first with which
    decoding can begin; None if no index leads to them.
    """

    duration_ms: float
    n_frames: int
    fps: float
    width: int
    height: int
    starts_ms: np.ndarray | None = field(default=None, compare=False, repr=False)
    tick_ms: float = field(default=0.0, compare=False, repr=False)
    first: int = 0
    hidden: int = 1
    entries: np.ndarray | None = field(default=None, compare=False, repr=False)


@once_per_state
def probe(path: str | Path) -> VideoInfo:
    """Return length, rate and size of a film, from its packets and without decoding.

    Raises BadInput for a file that is missing, empty or no film, and for one that is shorter than its header states.
    """
    with _opened(path) as (container, stream):
        packets = _packets(path, container, stream)
        _check_complete(path, container, stream, packets)
        return replace(_describe(container, stream, packets.stamps, packets.lengths), entries=packets.entries)


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
        within = first + length <= info.n_frames
        n_frames, hidden = (length, 1) if within else (info.n_frames - first, info.hidden)
        return replace(info, first=first, n_frames=n_frames, hidden=hidden, duration_ms=duration_ms)
    first, end = frames_at(info, np.array([start_ms, start_ms + duration_ms - info.tick_ms])).tolist()
    starts_ms = np.maximum(info.starts_ms[first : end + 1] - start_ms, 0)
    return replace(info, first=first, n_frames=end + 1 - first, duration_ms=duration_ms, starts_ms=starts_ms)


def window_frames(info: VideoInfo, start_ms: float, end_ms: float, fps: float) -> np.ndarray:
    """Return the numbers of the frames that sample [start_ms, end_ms) at `fps`, the first and last repeated outside.

    Constant rate: Brain-Score's arithmetic to the last bit (`Video.to_numpy`), which never shows the very last frame of
    a film of ten frames or more; of fewer, such as the four of han2024's "-4F", all are shown for their share. Variable
    rate: the frame shown at each sampled time, to one tick.
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
    return max(info.n_frames - 1 - info.hidden, 0)


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
    """Yield (number, frame) for increasing `numbers`; a frame is an uint8 array (height, width, 3), RGB, as displayed.

    The film is decoded once, in order, from the last entry before the first of these frames to the last one, and only
    these frames are converted to RGB. threads: of ffmpeg, 0 for one per core; one takes the least time of all cores
    together. converted: function from the conversion to RGB to another conversion of PyAV's frames, which is used for
    films that are displayed as they are stored. Raises BadInput if the film, or its piece, has fewer frames than `info`
    states, or one of these frames is damaged.
    """
    wanted, got = iter(numbers), 0
    following, convert = next(wanted, None), None
    if following is None:
        return
    entry, stamp = _entry_before(info, following)
    stamps = {} if info.entries is None else dict(info.entries.tolist())
    with _opened(path) as (container, stream):
        stream.thread_type, stream.codec_context.thread_count = "NONE" if threads == 1 else "AUTO", threads
        if entry:
            container.seek(stamp, stream=stream)
        for got, frame in enumerate(container.decode(stream), start=1 + entry - info.first):
            number = got - 1 + info.first
            if convert is None:
                if entry and not _is_entry(frame, info, stamp):
                    yield from decode(path, [following, *wanted], replace(info, entries=None), threads, converted)
                    return
                convert = _conversion(_Display(path, stream, frame, threads), converted)
            if frame.pts is not None and stamps.get(number, frame.pts) != frame.pts:
                raise BadInput(
                    f"{path}: a packet before frame {number} holds no frame; expected one in each; it is damaged or "
                    f"has hidden frames: encode it anew"
                )
            if got - 1 == following:
                yield following, convert(_sound(path, frame, number))
                following = next(wanted, None)
            if following is None:
                return
    if following is not None:
        raise _truncated(path, max(got, 0), info.n_frames)


def entries_ms(info: VideoInfo) -> np.ndarray:
    """Return the onsets, behind the first, of the frames of a film or piece with which decoding can begin, in ms."""
    if info.entries is None:
        return np.empty(0)
    numbers = info.entries[:, 0] - info.first
    numbers = numbers[(numbers > 0) & (numbers < info.n_frames)]
    return numbers * 1000 / info.fps if info.starts_ms is None else info.starts_ms[numbers]


def has_entries(path: str | Path, info: VideoInfo) -> bool:
    """Return True if decoding can begin with entries of a film: with the one in the middle of them, by trial."""
    if info.entries is None or not len(info.entries):
        return False
    _, stamp = info.entries[len(info.entries) // 2].tolist()
    with _opened(path) as (container, stream):
        container.seek(stamp, stream=stream)
        return _is_entry(next(container.decode(stream), None), info, stamp)


def _is_entry(frame, info: VideoInfo, stamp: int) -> bool:
    """Return True for the key frame with a time stamp, as large as the film's first frame.

    It is another where an index leads elsewhere, a packet is wrongly marked, or frames change their size: the film is
    then decoded from its start.
    """
    as_expected = (stamp, info.width, info.height)
    return frame is not None and frame.key_frame and (frame.pts, frame.width, frame.height) == as_expected


def _entry_before(info: VideoInfo, number: int) -> tuple[int, int]:
    """Return the last entry that is not behind a frame: its number in the file and its time stamp, (0, 0) if none."""
    place = 0 if info.entries is None else np.searchsorted(info.entries[:, 0], info.first + number, side="right")
    return tuple(info.entries[place - 1].tolist()) if place else (0, 0)


def _conversion(display: "_Display", converted: Callable | None) -> Callable:
    """Return the conversion of frames to RGB, or another one of films that are displayed as they are stored."""
    return converted(display.array) if converted and display.as_stored else display.array


def check_film(path: str | Path) -> VideoInfo:
    """Return `probe` of a film, all of whose frames were decoded.

    Raises BadInput if one is damaged, or if there are more or fewer than its packets promise.
    """
    info, count = probe(path), 0
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        for count, frame in enumerate(container.decode(stream), start=1):
            _sound(path, frame, count - 1)
    if count != info.n_frames:
        raise BadInput(
            f"{path}: {count} of {info.n_frames} frames can be decoded; it is damaged or begins within a group of "
            f"pictures; fetch it again"
        )
    return info


def _sound(path, frame, number: int):
    """Return the frame; raise BadInput if the decoder filled in what it could not read."""
    if frame.is_corrupt:
        raise BadInput(f"{path}: frame {number} is damaged; expected a whole film; fetch it again")
    return frame


class _Display:
    """Conversion of decoded frames to RGB as displayed, fixed by the first frame of a film."""

    def __init__(self, path, stream, first, threads: int = 0):
        from av.video.reformatter import VideoReformatter

        self.to_rgb, self.turned = VideoReformatter(), _turn(path, first.side_data.get("DISPLAYMATRIX"))
        sar = float(stream.sample_aspect_ratio or 1)
        if not 1 / WIDEST_PIXEL <= sar <= WIDEST_PIXEL:
            raise BadInput(
                f"{path}: its pixels are {sar:g} times as wide as high; expected 1/{WIDEST_PIXEL} to {WIDEST_PIXEL}; "
                f"correct its sample aspect ratio or fetch it again"
            )
        self.size = max(1, round(first.width * sar)), first.height
        resized = self.size != (first.width, first.height)
        self.options = {"interpolation": "BICUBIC"} if resized else {}
        if "threads" in (self.to_rgb.reformat.__doc__ or ""):
            self.options["threads"] = threads
        self.as_stored = not resized and not self.turned

    def array(self, frame) -> np.ndarray:
        rgb = self.to_rgb.reformat(frame, *self.size, format="rgb24", **self.options).to_ndarray()
        return np.ascontiguousarray(self.turned(rgb)) if self.turned else rgb


def _turn(path, matrix) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return the function that turns and mirrors a frame by a display matrix (9 int32), None if nothing is to be done.

    The choice is that of ffmpeg's command line. Raises BadInput for an angle other than 0, 90, 180 or 270 degrees.
    """
    if matrix is None:
        return None
    m = np.frombuffer(bytes(matrix), np.int32).astype(np.float64)
    lengths = np.hypot(m[0], m[3]), np.hypot(m[1], m[4])
    if not all(lengths):
        return None
    angle = np.round(np.degrees(np.arctan2(m[1] / lengths[1], m[0] / lengths[0]))) % 360
    near = int(np.round(angle / 90)) % 4
    if abs(angle - 90 * near) % 360 > 1 and abs(angle - 360) > 1:
        raise BadInput(f"{path}: is turned by {angle:g} degrees; expected 0, 90, 180 or 270; turn it before")
    if near == 1:
        return (lambda a: a.swapaxes(0, 1)) if m[3] > 0 else (lambda a: np.rot90(a, -1))
    if near == 3:
        return (lambda a: np.rot90(a.swapaxes(0, 1), 2)) if m[3] < 0 else np.rot90
    mirrored, upside_down = near == 2 and m[0] < 0, m[4] < 0
    if not mirrored and not upside_down:
        return None
    return lambda a: a[:: -1 if upside_down else 1, :: -1 if mirrored else 1]


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
    """Return a still image as an uint8 array (height, width, 3), RGB, upright by its EXIF orientation.

    Grey of 16 bits is scaled from 0..65535 to 0..255; transparent pixels are shown over black. Raises BadInput for
    another file, for floating-point and 32-bit values, whose range is not stated, and for more than 2**26 pixels.
    """
    from PIL import Image, ImageOps

    require_regular(path, "an image")
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            if image.width * image.height <= MAX_PIXELS:
                return np.array(_as_rgb(path, ImageOps.exif_transpose(image), image.format))
            size = f"{image.width} x {image.height}"
    except BadInput:
        raise
    except Image.DecompressionBombError:
        size = "several times as many"
    except Exception as error:  # decoders raise errors of many kinds on damaged files
        reason = " ".join(str(error).split()).removesuffix(f" {str(path)!r}") or type(error).__name__
        raise BadInput(
            f"{path}: cannot be read as an image ({reason}); expected png, jpeg, bmp, tiff, gif or webp"
        ) from error
    raise BadInput(f"{path}: an image of {size} pixels; expected at most {MAX_PIXELS:,}; make it smaller")


def _as_rgb(path, image, file_format: str):
    """Return an image of PIL in RGB; see `read_image`."""
    from PIL import Image

    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and file_format == "PNG"):
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if mode not in IMAGE_MODES:
        raise BadInput(
            f"{path}: has values of type '{mode}', whose range is not stated; expected grey or colour of 8 bits, or "
            f"grey of 16 bits; save it as one of them"
        )
    if mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba).convert("RGB")
    return image.convert("RGB")


@contextmanager
def _opened(path):
    """Open a film and yield its container and first video stream; errors of ffmpeg become BadInput."""
    import av

    require_regular(path, "a film")
    if Path(path).stat().st_size == 0:
        raise BadInput(f"{path}: the file is empty; expected a film; fetch it again")
    try:
        with av.open(str(path)) as container:
            films = [stream for stream in container.streams.video if not _is_cover(stream)]
            if not films:
                raise BadInput(
                    f"{path}: has no video stream, or is cut before its index; expected a film; fetch it again"
                )
            yield container, films[0]
    except av.error.FFmpegError as error:
        raise BadInput(
            f"{path}: cannot be read as a film ({error.strerror}); expected a whole mp4, mov, avi, mkv, webm or gif; "
            f"fetch it again"
        ) from error


def _is_cover(stream) -> bool:
    """Return whether a stream is the cover picture of a recording."""
    return bool(int(getattr(stream, "disposition", 0)) & ATTACHED_PICTURE)


@dataclass(frozen=True)
class _Packets:
    """Time stamps, sorted, and lengths, in ticks, of the packets shown; numbers of whole and of unstamped ones.

    entries: see `VideoInfo`.
    """

    stamps: np.ndarray
    lengths: np.ndarray
    complete: int
    unstamped: int
    entries: np.ndarray | None


def _packets(path, container, stream) -> _Packets:
    """Return the packets of a film; BadInput if time goes back between two of them in the order of decoding."""
    shown, keys, complete, unstamped, newest, end = [], [], 0, 0, None, 0.0
    for packet in container.demux(stream):
        if not packet.size or packet.is_corrupt:
            continue
        complete += 1
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None:
            unstamped += 1
            continue
        if packet.dts is not None:
            if newest is not None and packet.dts < newest:
                raise BadInput(
                    f"{path}: the time stamps start anew after {complete - 1} frames; expected one film, whose time "
                    f"goes on; it was joined from pieces: encode it anew"
                )
            newest = packet.dts
        end = max(end, (packet.dts if packet.dts is not None else stamp) + (packet.duration or 0))
        if not packet.is_discard:
            shown.append((stamp, packet.duration or 0))
            keys.append(packet.is_keyframe)
    seekable = container.format.name.startswith(SEEKABLE) and complete == len(shown)
    entries = _entries(np.array([stamp for stamp, _ in shown], np.int64), np.array(keys, bool)) if seekable else None
    table = np.array(sorted(shown), dtype=np.float64).reshape(-1, 2)
    if len(table) and container.format.name == "avi" and stream.duration:
        table[-1, 1] += max(0, stream.frames - end)  # trailing chunks without content hold the last frame
    return _Packets(table[:, 0], table[:, 1], complete, unstamped, entries)


def _entries(stamps: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return the entries of a film, see `VideoInfo`, of whose packets, in the order of decoding, some are key frames.

    They are the key frames between whose predecessors and successors the decoder's order and that of display agree:
    those that begin a closed group of pictures.
    """
    newest = np.maximum.accumulate(stamps[:-1])
    next_oldest = np.append(np.minimum.accumulate(stamps[:1:-1])[::-1], np.iinfo(np.int64).max)
    numbers = 1 + np.flatnonzero(keys[1:] & (newest < stamps[1:]) & (stamps[1:] < next_oldest[: len(newest)]))
    return np.stack([numbers, stamps[numbers]], axis=1)


def _describe(container, stream, stamps, lengths) -> VideoInfo:
    tick_ms = float(stream.time_base) * 1000
    starts_ms, lasts_ms = (stamps - stamps[0]) * tick_ms, lengths[-1] * tick_ms
    n, size = len(stamps), (stream.codec_context.width, stream.codec_context.height)
    held = container.format.name in HELD and lasts_ms > 0
    if n == 1 and held:
        return VideoInfo(lasts_ms, 1, 1000 / lasts_ms, *size)
    for fps in _possible_rates(stream, starts_ms):
        # stamps are rounded to ticks, which in an AVI file are whole frames: one that is skipped must count
        even = np.all(np.abs(starts_ms - np.arange(n) * (1000 / fps)) <= min(tick_ms, 400 / fps) + 1e-6)
        if even and not (held and lasts_ms > 1000 / fps + tick_ms):
            return VideoInfo(n / fps * 1000, n, fps, *size, hidden=int(n > FEW_FRAMES))
    duration_ms = float(starts_ms[-1] + (lasts_ms or float(np.median(np.diff(starts_ms)))))
    return VideoInfo(duration_ms, n, n / duration_ms * 1000, *size, starts_ms, min(tick_ms, MAX_TOLERANCE_MS))


def _possible_rates(stream, starts_ms) -> Iterator[float]:
    """Yield the rates that the header states, then the mean rate of the time stamps."""
    yield from (float(rate) for rate in (stream.guessed_rate, stream.average_rate) if rate)
    if len(starts_ms) > 1 and starts_ms[-1] > 0:
        yield (len(starts_ms) - 1) / starts_ms[-1] * 1000


def _check_complete(path, container, stream, packets: _Packets) -> None:
    """Raise BadInput if the film has no frame, no time stamps, or ends before its header states."""
    name, complete = container.format.name, packets.complete
    if packets.unstamped and not len(packets.stamps):
        raise BadInput(
            f"{path}: its {packets.unstamped} frames have no time stamps (a raw stream); expected a container, such as "
            f"mp4 or mkv; put it into one, for instance with ffmpeg -i IN -c copy OUT.mkv"
        )
    if not len(packets.stamps) or not stream.codec_context.width:
        raise BadInput(f"{path}: has no frame; expected a film; fetch it again")
    rate = float(stream.guessed_rate or stream.average_rate or 25)
    if name == "avi":
        if not _is_whole_avi(path) or complete < len(stream.index_entries):
            raise _truncated(path, complete, max(stream.frames, complete + 1))
    elif complete < stream.frames:
        raise _truncated(path, complete, stream.frames)
    stated_s = _header_seconds(container, stream)
    missing = (stated_s - (packets.stamps[-1] + packets.lengths[-1]) * float(stream.time_base)) * rate
    if not stream.frames and name != "avi" and missing > 2:
        raise _truncated(path, complete, complete + round(missing))
    if name == "gif" and not _ends_as_gif(path):
        raise _truncated(path, complete, f"more than {complete}")
    if name.startswith("matroska") and _is_cut_matroska(path):
        raise _truncated(path, complete, f"more than {complete}")
    if name == "mpegts" and _is_cut_stream(path):
        raise _truncated(path, complete, f"more than {complete}")


def _is_whole_avi(path) -> bool:
    """Return whether every RIFF chunk of an AVI file ends within the file.

    The header's number of frames cannot tell: chunks without content, for skipped frames, are counted there.
    """
    size, place = Path(path).stat().st_size, 0
    with open(path, "rb") as handle:
        while place + 8 <= size:
            handle.seek(place)
            name, length = handle.read(4), int.from_bytes(handle.read(4), "little")
            if name != b"RIFF":
                break
            place += 8 + length + length % 2
    return 0 < place <= size + 1


def _is_cut_matroska(path) -> bool:
    """Return whether the segment of a Matroska or WebM file, if its length is stated, ends after the file."""
    with open(path, "rb") as handle:
        head = handle.read(4096)
    place = 0
    for name in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):  # EBML header, segment
        if head[place : place + 4] != name or place + 5 > len(head):
            return False
        first = head[place + 4]
        width = 9 - first.bit_length()  # of the length, which its leading zero bits state
        stated = int.from_bytes(head[place + 4 : place + 4 + width], "big") - (1 << (7 * width))
        if not first or stated == (1 << (7 * width)) - 1:  # not stated
            return False
        place += 4 + width + stated
    return place > Path(path).stat().st_size


def _is_cut_stream(path) -> bool:
    """Return whether a transport stream ends within a packet, of 188 bytes, or 192 or 204 with a time or check code."""
    size = Path(path).stat().st_size
    with open(path, "rb") as handle:
        head = handle.read(4 + 204 * 4)
    for length, offset in ((TS_PACKET, 0), (192, 4), (204, 0)):
        marks = head[offset::length]
        if len(marks) > 2 and set(marks) == {0x47}:
            return size % length != 0
    return False


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
