"""Responses that follow a layer at the true times of its steps, in bins of 20 ms, are recovered there."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import src as dv
from src.data.synthetic.files import read_frames, write_film
from src.extraction.extract import ArraySink, extract
from src.models.inspect.centres import step_times
from src.models.spec import Model, StepTimes
from src.records import Responses, Stimuli
from src.utils import regular_bins

FPS, SIDE, BIN_MS, FRAMES, N_FILMS = 25, 16, 20.0, 50, 24
WINDOW = 100  # frames of 4 s
STRIDE = 8  # of three convolutions


class Strided(nn.Module):
    """Three convolutions of kernel 3, stride 2 and padding 1 in time, symmetric: step k is centred on frame 8 k."""

    def __init__(self):
        super().__init__()
        widths = (3, 8, 8, 6)
        convolutions = [nn.Conv3d(*pair, (3, 4, 4), 2, 1) for pair in pairwise(widths)]
        for conv in convolutions:
            conv.weight.data[:, :, 2] = conv.weight.data[:, :, 0]
        self.layers = nn.Sequential(*convolutions)

    def forward(self, clip):
        return self.layers(clip)


def preprocess(frames):
    rows, columns = (np.arange(SIDE) * size // SIDE for size in frames.shape[1:3])
    frames = frames[:, rows][:, :, columns]
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2).float() / 255 - 0.5


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return Model("strided", Strided().eval(), preprocess, {"layers.2": "CTHW"}, "video", float(FPS), "0" * 64)


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Stimuli:
    """Films of coarse noise that changes with every frame."""
    folder, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(0)
    paths = [folder / f"film-{i}.mp4" for i in range(N_FILMS)]
    for path in paths:
        cells = rng.integers(0, 256, (FRAMES, 4, 4, 3), dtype=np.uint8)
        write_film(path, cells.repeat(SIDE // 4, axis=1).repeat(SIDE // 4, axis=2))
    durations = np.full(N_FILMS, FRAMES * 1000 / FPS)
    return Stimuli("films", tuple(path.stem for path in paths), tuple(paths), durations, ("video",) * N_FILMS)


def true_signal(model: Model, films: Stimuli) -> np.ndarray:
    """The layer at the step whose time, by the strides, is nearest to each bin: (n_films, n_bins, n_features)."""
    bins_ms = regular_bins(FRAMES * 1000 / FPS, BIN_MS)
    frame = bins_ms.mean(axis=1) * FPS / 1000 - 0.5
    nearest = np.floor(frame / STRIDE + 0.5).astype(int)
    signal = []
    for path in films.paths:
        shown = read_frames(path)
        padded = np.concatenate([shown[:-1], shown[-2:-1].repeat(WINDOW - FRAMES + 1, axis=0)])
        with torch.inference_mode():
            steps = model.module(preprocess(padded)[None])[0].movedim(1, 0).flatten(1).numpy()
        signal.append(steps[nearest])
    return np.stack(signal)


def test_activations_are_the_layer_at_its_true_times(model, films):
    times, note = step_times(model)
    assert not note
    assert times["layers.2"].first == pytest.approx(0, abs=0.125)
    assert (times["layers.2"].stride, times["layers.2"].shortest) == (8.0, 1)
    bins_ms, truth = regular_bins(FRAMES * 1000 / FPS, BIN_MS), true_signal(model, films)
    correlations = {}
    for name, placed in (("centres", times), ("even", {})):
        sink = ArraySink(len(films), len(bins_ms))
        extract(Model(**{**vars(model), "step_times": placed}), films, bins_ms, sink, n_components=None, n_workers=1)
        parts = [values - values.mean(axis=(0, 1)) for values in (sink.values["layers.2"], truth)]
        correlations[name] = np.corrcoef(*(part.ravel() for part in parts))[0, 1]
    assert correlations["centres"] > 0.999
    assert correlations["even"] < 0.85


@pytest.mark.slow
def test_planted_responses_reach_the_ceiling_at_the_true_times_only(model, films):
    rng, signal = np.random.default_rng(1), true_signal(model, films)
    flat = signal.reshape(-1, signal.shape[2])
    unit = (flat - flat.mean(axis=0)) / flat.std(axis=0)
    values = (unit @ rng.standard_normal((flat.shape[1], 12)) / np.sqrt(flat.shape[1])).reshape(*signal.shape[:2], 12)
    noisy = values[:, None] + 0.7 * values.std() * rng.standard_normal((len(values), 4, *values.shape[1:]))
    units = {"unit_id": np.array([f"unit-{i}" for i in range(12)])}
    time_ms = regular_bins(FRAMES * 1000 / FPS, BIN_MS)
    recording = Responses(films, noisy.astype(np.float32), time_ms, units, tuple("abcd"))
    found = {
        steps: dv.score(model, recording, benchmark="electrodes", step_times=steps, splits=4, bootstrap=0)
        for steps in ("centres", "even")
    }
    ratio = {steps: score.facts["headline"]["normalised"] for steps, score in found.items()}
    assert ratio["centres"] == pytest.approx(1, abs=0.03)
    assert ratio["even"] < 0.85
    assert found["even"].facts["options"]["step_times"] == "even"


def test_causal_inference_places_the_last_step_at_its_time(model, films):
    """Windows of 16 frames, of which the last of two steps is centred on frame 8: seven frames before their end."""
    two = {"num_frames": (16, 16), "fps": 25.0}
    bins_ms, values = regular_bins(FRAMES * 1000 / FPS, 1000 / FPS), {}
    for name, placed in (("centres", {"layers.2": StepTimes(listed=(0.0, 8.0))}), ("even", {})):
        sink, own = ArraySink(len(films), len(bins_ms)), Model(**{**vars(model), **two, "step_times": placed})
        extract(own, films, bins_ms, sink, mode="causal", n_components=None, n_workers=1)
        values[name] = sink.values["layers.2"]
    assert sink.n_valid.tolist() == [FRAMES] * N_FILMS
    np.testing.assert_allclose(values["centres"][:, : FRAMES - 7], values["even"][:, 7:], atol=1e-6)
    np.testing.assert_allclose(values["centres"][:, FRAMES - 7 :], values["even"][:, -1:].repeat(7, axis=1), atol=1e-6)
