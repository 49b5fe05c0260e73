"""Small images and films whose class one layer of the embedded network represents, in formats of public releases."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from src.data.synthetic.scenes import Waves, to_uint8

SIZE = 64
COLOURS = np.array([[0.5, -0.3, -0.3], [-0.3, 0.5, -0.3], [-0.3, -0.3, 0.5], [0.4, 0.4, -0.4]])
_CODECS = {
    ".mp4": ("libx264", "yuv420p", {"preset": "ultrafast", "crf": "18", "threads": "1"}),
    ".avi": ("mpeg4", "yuv420p", {"qscale": "2", "threads": "1"}),
    ".webm": ("libvpx", "yuv420p", {"deadline": "realtime", "cpu-used": "8", "b": "1M", "threads": "1"}),
}


def image_of(kind: int, seed: int) -> np.ndarray:
    """Return a texture over the colour of a class, uint8 (64, 64, 3)."""
    rng = np.random.default_rng(seed)
    texture = Waves.sample(rng, 4, 0.3).film(np.zeros((1, 2)))[..., None]
    return to_uint8(texture, COLOURS[kind] + rng.normal(0, 0.15, 3))[0]


def film_of(kind: int, seed: int, n_frames: int, fps: float = 25.0, colour: float = 0.0) -> np.ndarray:
    """Return a texture that drifts in one of four class directions at 25 pixels per second, uint8 (T, 64, 64, 3)."""
    rng = np.random.default_rng(seed)
    heading = np.pi / 2 * kind
    shifts = np.arange(n_frames)[:, None] * (25 / fps) * np.array([np.cos(heading), np.sin(heading)])
    tint = colour * (COLOURS[kind] + rng.normal(0, 0.1, 3))
    return to_uint8(Waves.sample(rng, 10, 0.5).film(shifts)[..., None].repeat(3, axis=3), tint)


def write_film(path: Path, frames: Sequence[np.ndarray], fps: float = 25.0) -> None:
    """Write frames, uint8 (T, H, W, 3), as a film; the suffix sets container and codec."""
    import av

    codec, pixels, options = _CODECS[path.suffix]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        stream.bit_rate = 2_000_000
        for image in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame.reformat(format=pixels)))
        container.mux(stream.encode())


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an image in the format of its suffix (.jpg, .JPEG, .png ...)."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=95)


def write_classes(folder: Path, sizes: dict[str, int], suffixes: Sequence[str] = (".jpg",)) -> None:
    """Write <folder>/<class>/<number><suffix>, images in the colours of their classes, with alternating suffixes."""
    for kind, (label, n) in enumerate(sizes.items()):
        for k in range(n):
            write_image(folder / label / f"{k:04d}_01{suffixes[k % len(suffixes)]}", image_of(kind, 1000 * kind + k))
