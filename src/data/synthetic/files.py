"""Frames written to files and read back through real codecs (PyAV), independent of the models' decoder.

The planted truth is computed from the frames that this module reads, so that it shares no code with the tested reader.
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
    """Return all frames of a film or image file, uint8 of shape (T, H, W, 3), RGB."""
    import av
    from av.video.reformatter import VideoReformatter

    # one converter for all frames and one thread: both are several times faster on frames this small
    reformatter = VideoReformatter()
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        frames = [reformatter.reformat(frame, format="rgb24") for frame in container.decode(video=0)]
    return np.stack([frame.to_ndarray() for frame in frames])


def render_films(render: Callable[[str], np.ndarray], paths: Sequence[Path]) -> Iterator[np.ndarray]:
    """Render, write and read back films and images in order, a few ahead; yield the frames that were read back.

    render: file name -> frames, uint8 of shape (T, H, W, 3).
    """

    def make(path: Path) -> np.ndarray:
        frames = render(path.name)
        if path.suffix == ".png":
            write_image(path, frames[0])
        else:
            write_film(path, frames)
        return read_frames(path)

    with ThreadPoolExecutor(min(2, granted_cores())) as pool:
        ahead = deque()
        for path in paths:
            ahead.append(pool.submit(make, path))
            if len(ahead) > 4:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
