"""Recurrent networks that carry their state in causal inference: each frame once, and the answer of windows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from src.extraction.extract import ArraySink, Part, extract_parts
from src.models.networks.convlstm import ConvLSTM
from src.models.networks.predrnn import PredRNN
from src.models.preprocessing import FramePreprocessing
from src.models.spec import Model, StepTimes
from src.records import Stimuli
from src.utils import regular_bins
from tests.extraction.test_extraction import assert_same, run
from tests.extraction.test_loader import scaled
from tests.models.films import drifting_frames, make_films, write_film

BINS_MS = regular_bins(2000, 200)
FPS = 10.0


class Counted(nn.Module):
    """A recurrent network that counts the frames that it sees."""

    def __init__(self, network):
        super().__init__()
        self.network, self.n_frames = network, 0

    def forward(self, frames):
        return self.carried(frames, None)[0]

    def carried(self, frames, state):
        self.n_frames += frames.shape[1]
        return self.network.carried(frames, state)


def recurrent(cls=ConvLSTM, **options) -> Model:
    torch.manual_seed(0)
    network = Counted(cls((4, 4))).eval()
    layers = {"network.memory.0": "TCHW", "network.memory.1": "TCHW", "network.prediction": "TCHW"}
    preprocess = FramePreprocessing(scaled, "TCHW")
    return Model("recurrent", network, preprocess, layers, kind="video", fps=FPS, digest="", **options)


class Windowed(nn.Module):
    """The same network without its state."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, frames):
        return self.network(frames)


def without_state(model: Model) -> Model:
    return replace(model, module=Windowed(model.module.network).eval())


@pytest.fixture
def films(tmp_path) -> Stimuli:
    """Films of 1.2, .6 and 2 s, and one that stands still in its middle."""
    found = make_films(tmp_path, [30, 15, 50])
    frames = drifting_frames(40, seed=5)
    frames[8:30] = frames[8]
    paths = (*found.paths, write_film(tmp_path / "still.mp4", frames))
    return Stimuli("films", tuple("abcd"), paths, np.array([*found.duration_ms, 1600.0]), ("video",) * 4)


@pytest.mark.parametrize("cls", [ConvLSTM, PredRNN])
@pytest.mark.parametrize("processes", [False, True])
@pytest.mark.parametrize("placed", [False, True])
def test_it_gives_what_windows_from_the_beginning_give(films, cls, processes, placed):
    model = recurrent(cls)
    times = {layer: StepTimes(-0.5, 1.0, 1, ()) for layer in model.layers} if placed else {}
    model = replace(model, step_times=times)
    found = run(model, films, BINS_MS, mode="causal", context_ms=1e6, processes=processes, n_workers=2)
    assert model.module.n_frames == 12 + 6 + 20 + 16, "each frame once"
    expected = run(without_state(model), films, BINS_MS, mode="causal", context_ms=1e6)
    assert_same(found, expected, 1e-5)
    assert found.done.all()


def test_shorter_windows_begin_anew_where_they_do_not_cover_the_film(films):
    """One context covers the short films alone, another one all of them."""
    model, sinks = recurrent(), [ArraySink(len(films), len(BINS_MS)) for _ in range(2)]
    extract_parts(
        [Part(model, s, c, None) for s, c in zip(sinks, (1200.0, 1e6), strict=True)], films, BINS_MS, mode="causal"
    )
    for sink, context_ms in zip(sinks, (1200.0, 1e6), strict=True):
        expected = run(without_state(model), films, BINS_MS, mode="causal", context_ms=context_ms)
        assert_same(sink, expected, 1e-5)


def test_bins_behind_gaps_need_the_frames_of_the_gap(films):
    bins_ms = np.array([[400.0, 500.0], [900.0, 1000.0]])
    model = recurrent()
    found = run(model, films, bins_ms, mode="causal", context_ms=1e6)
    assert_same(found, run(without_state(model), films, bins_ms, mode="causal", context_ms=1e6), 1e-5)


def test_half_precision_and_other_orders_of_frames_have_windows(films):
    model = recurrent()
    run(model, films, BINS_MS, mode="causal", context_ms=1e6, precision="bf16")
    assert model.module.n_frames > 54
    assert not replace(model, order="shuffled").carries_state
    assert not replace(model, order="frozen").carries_state


def test_consecutive_windows_do_not_carry_it(films):
    model = recurrent()
    found = run(model, films, BINS_MS, context_ms=400.0)
    assert_same(found, run(without_state(model), films, BINS_MS, context_ms=400.0), 1e-6)
