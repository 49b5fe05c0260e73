"""Lossless films and images written from the bare frames (arrays, folders of images) of a release."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..files import replacing_file


def write_lossless(path: Path, frames: Iterable[np.ndarray], fps: float) -> Path:
    """Write frames as a lossless film (FFV1 in Matroska), whole or not at all.

    Parameters
    ----------
    path : Path
        File to write, with the suffix .mkv; its folder is made.
    frames : iterable of uint8 arrays
        Shape (height, width) for grey or (height, width, 3) for RGB; all of one shape.
    fps : float
        Frames per second.

    Returns
    -------
    Path
        `path`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_lossless(Path(folder) / "film.mkv", np.zeros((50, 32, 32), np.uint8), fps=25).name
    'film.mkv'
    """
    import av

    rate = Fraction(fps).limit_denominator(1001)
    # without random identifiers: equal frames give equal bytes, and stored activations of them stay valid
    options = {"fflags": "+bitexact"}
    with replacing_file(path) as temporary, av.open(str(temporary), "w", "matroska", options=options) as container:
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
    return path


def write_png(path: Path, image: np.ndarray) -> Path:
    """Write an image as PNG, whole or not at all.

    Parameters
    ----------
    path : Path
        File to write; its folder is made.
    image : uint8 array
        Shape (height, width, 3), RGB.

    Returns
    -------
    Path
        `path`.
    """
    from PIL import Image

    with replacing_file(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")
    return path
