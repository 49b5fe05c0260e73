"""Temporal centres of steps: ten stacks of layers with centres that follow from their strides."""

import numpy as np
import pytest
import torch
from torch import nn

from src import models
from src.models.inspect.centres import evenly_spaced, step_centres
from src.models.spec import Model

FRAMES = 16
# (kernel, stride, padding) in time of consecutive layers
STACKS = {
    "patches of one frame": [(1, 1, 0)],
    "tubelets of two frames": [(2, 2, 0)],
    "tubelets of four frames": [(4, 4, 0)],
    "kernel 3": [(3, 1, 1)],
    "kernel 3, stride 2": [(3, 2, 1)],
    "two strides": [(3, 2, 1), (3, 2, 1)],
    "kernel 5, then stride 2": [(5, 1, 2), (3, 2, 1)],
    "no padding": [(3, 1, 0), (3, 1, 0)],
    "every second frame": [(1, 2, 0)],
    "causal": [(3, 1, 2)],
}


def preprocess(frames):
    return torch.from_numpy(frames[:, ::8, ::8].copy()).permute(3, 0, 1, 2).float() / 255 - 0.5


def stack(layers) -> Model:
    """Convolutions with equal weights in time, so that their centres are those of their kernels."""
    torch.manual_seed(0)
    parts, width = [], 3
    for kernel, stride, padding in layers:
        conv = nn.Conv3d(width, 8, (kernel, 3, 3), (stride, 2, 2), (padding, 1, 1))
        conv.weight.data.copy_(conv.weight.data[:, :, :1].expand_as(conv.weight))
        parts, width = [*parts, conv], 8
    network = nn.Sequential(*parts).eval()
    return Model("stack", network, preprocess, {str(len(parts) - 1): "CTHW"}, "video", 16.0, "0" * 64)


@pytest.mark.parametrize("name", STACKS)
def test_centres_are_those_of_the_strides(name):
    (found,) = step_centres(stack(STACKS[name]), n_frames=FRAMES).values()
    step, start, reach = 1, 0.0, 0.0
    for kernel, stride, padding in STACKS[name]:
        start += step * ((kernel - 1) / 2 - padding)
        reach += step * (kernel - 1) / 2
        step *= stride
    expected = start + step * np.arange(len(found))
    inside = (expected - reach >= 0) & (expected + reach <= FRAMES - 1)
    assert inside.sum() >= 2
    np.testing.assert_allclose(found[inside], expected[inside], atol=0.25)


def test_brain_scores_convention_is_late_by_half_a_frame_per_stride():
    (found,) = step_centres(stack([(3, 2, 1)]), n_frames=FRAMES).values()
    assert np.median(evenly_spaced(len(found), FRAMES) - found) == pytest.approx(0.5, abs=0.1)


def test_tubelets_of_a_transformer_and_models_of_single_frames():
    pytest.importorskip("transformers")
    from transformers import VideoMAEConfig, VideoMAEModel

    from src.models.sources.file import as_model

    facts = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 32}
    model = as_model("own", VideoMAEModel(VideoMAEConfig(**facts, image_size=32)), "cpu")
    found = step_centres(model)["embeddings"]
    np.testing.assert_allclose(found, evenly_spaced(8, 16), atol=0.1)
    assert step_centres(models.load("fake-image-net")) == {}
