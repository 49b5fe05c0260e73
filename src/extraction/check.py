"""A model through the extraction itself: a short film, drawn and encoded here, in block and in causal inference."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..models.spec import Model
from ..records import Stimuli
from ..utils import regular_bins
from ..video import probe
from .extract import ArraySink, extract

FILM_FPS, SIDE = 25, 96
CONTEXT_MS = 4000.0
STEPS = 5  # frames of the model that the film lasts
CELL = 8
COMPONENTS = 16


def write_film(path: Path, n_frames: int) -> Path:
    """Seeded coarse noise that drifts by 2 and 3 pixels per frame, at 25 frames per second, H.264."""
    import av

    noise = np.random.default_rng(0).integers(0, 256, (SIDE // CELL, SIDE // CELL, 3), dtype=np.uint8)
    texture = noise.repeat(CELL, axis=0).repeat(CELL, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FILM_FPS)
        stream.height = stream.width = SIDE
        stream.pix_fmt = "yuv420p"
        for i in range(n_frames):
            frame = av.VideoFrame.from_ndarray(np.roll(texture, (2 * i, 3 * i), axis=(0, 1)), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def broken_in_extraction(model: Model, device: str = "cpu") -> list[str]:
    """The promises that the model breaks in extraction, in words; empty if it keeps them all.

    The film lasts five frames of the model, which may be less than its shortest window; one bin per frame. Every bin
    of every layer must be there and finite, in both modes.
    """
    interval = 1000 / model.fps
    broken: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        path = write_film(Path(folder) / "film.mp4", int(np.ceil(STEPS * interval * FILM_FPS / 1000)))
        duration_ms = probe(path).duration_ms
        film = Stimuli("rehearsal", ("film",), (path,), np.array([duration_ms]), ("video",))
        bins_ms = regular_bins(duration_ms, interval)
        for mode in ("block", "causal"):
            broken += _broken(model, film, bins_ms, mode, device)
    return broken


def _broken(model: Model, film: Stimuli, bins_ms: np.ndarray, mode: str, device: str) -> Iterator[str]:
    sink = ArraySink(1, len(bins_ms))
    options = {"mode": mode, "context_ms": CONTEXT_MS, "n_components": COMPONENTS, "device": device, "n_workers": 1}
    try:
        extract(model, film, bins_ms, sink, **options)
    except Exception as error:  # a network may fail with whatever it likes; its text is the finding
        yield f"{mode} inference fails: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return
    if sink.n_valid[0] != len(bins_ms):
        yield f"{mode} inference gives {sink.n_valid[0]} time steps for a film of {len(bins_ms)}"
    for layer in model.layers:
        values = sink.values.get(layer)
        if values is None or not np.isfinite(values[0]).all():
            lacking = "all" if values is None else int((~np.isfinite(values[0]).all(axis=1)).sum())
            yield f"layer {layer} lacks {lacking} of {len(bins_ms)} time steps in {mode} inference"
