"""Films that a release holds as bare frames (arrays, folders of images), written without loss."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np


def write_lossless(path: Path, frames: Iterable[np.ndarray], fps: float) -> Path:
    """Frames, uint8 of shape (height, width) or (height, width, 3) RGB, as an FFV1 film (.mkv), whole or not at all."""
    import av

    beside = path.with_name(f".{path.name}.part.mkv")
    rate = Fraction(fps).limit_denominator(1001)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(beside), "w", format="matroska") as container:
        stream = None
        for image in frames:
            grey = image.ndim == 2
            if stream is None:
                stream = container.add_stream("ffv1", rate=rate)
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "gray" if grey else "bgr0"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="gray" if grey else "rgb24")
            container.mux(stream.encode(frame if grey else frame.reformat(format="bgr0")))
        container.mux(stream.encode())
    return beside.replace(path)
