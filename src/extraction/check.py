"""Check of a model in the extraction itself: a short synthetic video, in block and in causal inference."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..models.errors import error_line
from ..models.spec import Model
from ..records import Stimuli
from ..utils import regular_bins
from ..video import probe
from .extract import ArraySink, extract

VIDEO_FPS, SIDE = 25, 96
STEPS = 5  # length of the video in frames of the model
CELL = 8
COMPONENTS = 16


def write_video(path: Path, n_frames: int) -> Path:
    """Write seeded coarse noise that drifts by 2 and 3 pixels per frame, at 25 frames per second, H.264."""
    import av

    noise = np.random.default_rng(0).integers(0, 256, (SIDE // CELL, SIDE // CELL, 3), dtype=np.uint8)
    texture = noise.repeat(CELL, axis=0).repeat(CELL, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=VIDEO_FPS)
        stream.height = stream.width = SIDE
        stream.pix_fmt = "yuv420p"
        for i in range(n_frames):
            frame = av.VideoFrame.from_ndarray(np.roll(texture, (2 * i, 3 * i), axis=(0, 1)), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def failed_extraction_checks(model: Model, device: str = "cpu") -> list[str]:
    """Return the checks that the model fails in extraction, one line each; empty if it passes all.

    The video lasts five frames of the model, which may be less than its shortest window, with one bin per frame. In
    both modes every bin of every layer must be present and finite.
    """
    interval = 1000 / model.fps
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        path = write_video(Path(folder) / "video.mp4", int(np.ceil(STEPS * interval * VIDEO_FPS / 1000)))
        duration_ms = probe(path).duration_ms
        video = Stimuli("check", ("video",), (path,), np.array([duration_ms]), ("video",))
        bins_ms = regular_bins(duration_ms, interval)
        for mode in ("block", "causal"):
            failures += _failures(model, video, bins_ms, mode, device)
    return failures


def _failures(model: Model, video: Stimuli, bins_ms: np.ndarray, mode: str, device: str) -> Iterator[str]:
    """Yield the failed checks in one mode."""
    sink = ArraySink(1, len(bins_ms))
    options = {"mode": mode, "n_components": COMPONENTS, "device": device, "n_workers": 1}
    try:
        extract(model, video, bins_ms, sink, **options)
    except Exception as error:  # a network may raise any exception; its text is the finding
        yield f"{mode} inference fails: {error_line(error, 200)}"
        return
    if sink.n_valid[0] != len(bins_ms):
        yield f"{mode} inference has {sink.n_valid[0]} time bins; expected {len(bins_ms)}"
    for layer in model.layers:
        values = sink.values.get(layer)
        if values is None or not np.isfinite(values[0]).all():
            missing = "all" if values is None else int((~np.isfinite(values[0]).all(axis=1)).sum())
            yield f"layer {layer} lacks {missing} of {len(bins_ms)} time bins in {mode} inference"
