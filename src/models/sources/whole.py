"""Controls that see a stimulus as a whole: its low-level course over time, and nothing but its place in time."""

from collections import OrderedDict
from pathlib import Path

import numpy as np

from ...sound import sound_levels
from ...utils import digest, seed_from
from ..spec import Model, Shown

FPS = 25
LUMA = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32) / 255
CELLS = 16  # rows and columns of the picture whose changes are cuts
CUT = 0.1  # mean change of luminance from one frame to the next, as a share of white
COSINES = 8  # of the position, from one half period in the film on
KNOT_S, SPREAD_S = 1.0, 2.0  # distance of the knots in time, and standard deviation of their weights
RANDOM = 512  # features of the time in a stimulus
SIZES = {"luminance": 1, "contrast": 1, "cuts": 2, "position": 1 + COSINES, "sound": 1}


def low_level() -> tuple[Model, str]:
    """Return the low-level course of a stimulus: features that explain responses without any vision.

    Layers: "luminance", mean of each frame; "contrast", its standard deviation over pixels; "cuts", mean change of
    luminance from the frame before, and 1 where it is a cut; "position", minutes since the start and eight cosines over
    the film; "sound", level in decibels, 0 for a stimulus without sound.
    """
    return _model("low-level", _low_level, SIZES), digest(["low-level", 1, FPS, CELLS, CUT, COSINES])


def autocorrelation() -> tuple[Model, str]:
    """Return random features that two moments share if they are near each other in one stimulus, and else not.

    They know nothing of the content: their score is that of autocorrelation alone, and 0 where a gap is wide enough.
    """
    parts = ["autocorrelation", 1, FPS, KNOT_S, SPREAD_S, RANDOM]
    return _model("autocorrelation", _autocorrelation, {"time": RANDOM}), digest(parts)


def source_files() -> tuple[Path, ...]:
    """Return the files that define these controls."""
    return (Path(__file__), Path(__file__).parents[2] / "sound.py")


def _model(name: str, series, sizes) -> Model:
    from torch import nn

    return Model(
        name=name,
        module=nn.Sequential(OrderedDict((layer, nn.Identity()) for layer in sizes)).eval(),
        preprocess=_not_by_frames,
        layers=dict.fromkeys(sizes, "C"),
        kind="image",
        fps=float(FPS),
        digest="",
        series=series,
        sizes=sizes,
    )


def _not_by_frames(frames: np.ndarray):
    raise NotImplementedError("this control sees whole stimuli, not single frames")


def _low_level(shown: Shown) -> dict[str, np.ndarray]:
    """Return the course of each feature: {layer: (n_frames, n_features)} float32."""
    found = np.zeros((shown.n_frames, 4), dtype=np.float32)
    before = None
    for first, last, picture in shown.pictures():
        luma = picture.astype(np.float32) @ LUMA
        cells = _cells(luma)
        change = 0.0 if before is None else float(np.abs(cells - before).mean())
        found[first : last + 1, :2] = luma.mean(), luma.std()
        found[first, 2:] = change, change > CUT
        before = cells
    share = (np.arange(shown.n_frames) + 0.5) / shown.n_frames
    minutes = np.arange(shown.n_frames)[:, None] / shown.fps / 60
    position = np.hstack([minutes, np.cos(np.pi * share[:, None] * np.arange(1, COSINES + 1))])
    sound = None if shown.still else sound_levels(shown.path, shown.n_frames, 1000 / shown.fps, shown.start_ms)
    sound = np.zeros(shown.n_frames) if sound is None else sound
    parts = {"luminance": found[:, :1], "contrast": found[:, 1:2], "cuts": found[:, 2:]}
    parts |= {"position": position, "sound": sound[:, None]}
    return {layer: values.astype(np.float32) for layer, values in parts.items()}


def _cells(luma: np.ndarray) -> np.ndarray:
    """Return the means over a grid of cells; a picture smaller than the grid as it is."""
    if min(luma.shape) < CELLS:
        return luma
    rows, columns = (np.linspace(0, n, CELLS + 1).astype(int)[:-1] for n in luma.shape)
    sums = np.add.reduceat(np.add.reduceat(luma, rows, axis=0), columns, axis=1)
    sizes = np.outer(np.diff([*rows, luma.shape[0]]), np.diff([*columns, luma.shape[1]]))
    return sums / sizes


def _autocorrelation(shown: Shown) -> dict[str, np.ndarray]:
    """Return random directions of knots in time, weighted by their nearness: {"time": (n_frames, 512)} float32."""
    times = np.arange(shown.n_frames)[:, None] / shown.fps
    knots = np.arange(-SPREAD_S * 2, times[-1, 0] + SPREAD_S * 2 + KNOT_S, KNOT_S)
    rng = np.random.default_rng(seed_from("autocorrelation", shown.id))
    weights = np.exp(-(((times - knots) / SPREAD_S) ** 2) / 2)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return {"time": (weights @ rng.standard_normal((len(knots), RANDOM))).astype(np.float32)}
