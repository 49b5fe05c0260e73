"""Frames to files and back through real codecs (PyAV), apart from the decoder that the models use.

Planted truth is computed from what this module reads, so that it shares no code with what it tests.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np

from ...utils import granted_cores

FPS = 25

_CODECS = {
    ".mp4": ("libx264", "yuv420p", {"preset": "ultrafast", "crf": "18", "threads": "1"}),
    ".avi": ("mpeg4", "yuv420p", {"qscale": "2", "threads": "1"}),
    ".png": ("png", "rgb24", {"threads": "1"}),
}


def write_film(path: Path, frames: np.ndarray) -> None:
    """Encode frames, uint8 of shape (T, H, W, 3), at 25 fps; the suffix (.mp4, .avi) names the codec."""
    import av
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()
    codec, pixels, options = _CODECS[path.suffix]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(FPS), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        if "qscale" in options:
            stream.bit_rate = 2_000_000
        for image in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(reformatter.reformat(frame, format=pixels)))
        container.mux(stream.encode())


def write_image(path: Path, image: np.ndarray) -> None:
    """Write one image, uint8 of shape (H, W, 3), as PNG, without loss."""
    import av

    codec, pixels, options = _CODECS[path.suffix]
    encoder = av.CodecContext.create(codec, "w")
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt, encoder.time_base, encoder.options = pixels, Fraction(1, FPS), options
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    path.write_bytes(b"".join(bytes(packet) for packet in packets))


def read_frames(path: Path) -> np.ndarray:
    """All frames of a film or image file, uint8 of shape (T, H, W, 3), RGB."""
    import av
    from av.video.reformatter import VideoReformatter

    # One converter for all frames and one thread: both are several times faster on frames this small.
    reformatter = VideoReformatter()
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        frames = [reformatter.reformat(frame, format="rgb24") for frame in container.decode(video=0)]
    return np.stack([frame.to_ndarray() for frame in frames])


def render_films(draw: Callable[[str], np.ndarray], paths: Sequence[Path]) -> Iterator[np.ndarray]:
    """Draw, write and read back one film or image after another, a few ahead: yields the frames that a reader sees.

    draw: file name -> frames, uint8 of shape (T, H, W, 3).
    """

    def render(path: Path) -> np.ndarray:
        frames = draw(path.name)
        if path.suffix == ".png":
            write_image(path, frames[0])
        else:
            write_film(path, frames)
        return read_frames(path)

    with ThreadPoolExecutor(min(2, granted_cores())) as pool:
        ahead = deque()
        for path in paths:
            ahead.append(pool.submit(render, path))
            if len(ahead) > 4:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
