"""Temporal centres of steps: ten stacks of layers with centres that follow from their strides."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from src import models
from src.models.inspect.centres import evenly_spaced, step_centres, step_times
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


@pytest.mark.parametrize("name", STACKS)
def test_step_times_are_those_of_the_strides_for_clips_of_any_length(name):
    model = stack(STACKS[name])
    (found,), note = step_times(model)[0].values(), step_times(model)[1]
    stride, start, shortest = 1, 0.0, 1
    for kernel, step, padding in STACKS[name]:
        start += stride * ((kernel - 1) / 2 - padding)
        shortest += stride * (kernel - 1 - 2 * padding)
        stride *= step
    assert not note
    assert (found.stride, found.shortest) == (stride, shortest)
    assert found.first == pytest.approx(start, abs=0.25)
    for n_frames in (17, 24, 33):
        n_steps = model.module(model.preprocess(np.zeros((n_frames, 96, 128, 3), np.uint8))[None]).shape[2]
        assert found.of_last(n_frames) == pytest.approx(found.of_steps(n_steps)[-1])


WIDE = [(2, 2, 0), *[(5, 1, 2)] * 10]  # pairs of frames, each step reaching 20 pairs back and ahead


def test_a_network_of_one_length_has_the_times_of_whole_fields():
    """The clip of 16 frames cuts every field off: the mean of the frames that exist is drawn inwards."""
    model = replace(stack(WIDE), num_frames=(16, 16))
    (found,), note = step_times(model)[0].values(), step_times(model)[1]
    assert not note
    np.testing.assert_allclose(found.listed, evenly_spaced(8, 16), atol=0.25)
    (drawn,) = step_centres(model, n_frames=16).values()
    assert np.abs(drawn - evenly_spaced(8, 16)).max() > 2


def test_fields_that_are_wider_than_the_first_clip_are_measured_in_a_longer_one():
    (found,) = step_times(stack([(3, 2, 1)] * 3 + [(5, 1, 2)] * 4))[0].values()
    assert (found.stride, found.shortest) == (8.0, 1)
    assert found.first == pytest.approx(0, abs=0.25)


class Sampled(nn.Module):
    """Frames 0, 1, 4 and 7 of every 8, then a convolution over five of these steps, of equal weights in time."""

    def __init__(self):
        super().__init__()
        self.steps = nn.Conv3d(3, 8, (1, 4, 4), (1, 4, 4))
        self.wide = nn.Conv3d(8, 8, (5, 1, 1), padding=(2, 0, 0))
        self.wide.weight.data.copy_(self.wide.weight.data[:, :, :1].expand_as(self.wide.weight))

    def forward(self, clip):
        taken = [start + i for start in range(0, clip.shape[2], 8) for i in (0, 1, 4, 7)]
        return self.wide(self.steps(clip[:, :, taken]))


def test_steps_that_are_irregular_within_a_clip_have_times_of_their_own():
    torch.manual_seed(0)
    layers = {"steps": "CTHW", "wide": "CTHW"}
    model = Model("sampled", Sampled().eval(), preprocess, layers, "video", 8.0, "0" * 64, num_frames=(8, 8))
    times, note = step_times(model)
    assert not note
    assert times["steps"].listed == (0, 1, 4, 7)
    taken = np.array([-4, -1, 0, 1, 4, 7, 8, 9])
    means = [taken[i : i + 5].mean() for i in range(4)]
    np.testing.assert_allclose(times["wide"].listed, means, atol=0.25)


class Mixed(nn.Module):
    """Tubelets of two frames with a share of the mean over all tubelets, as attention adds; and that mean alone."""

    def __init__(self, pooled: int = 1):
        super().__init__()
        self.tubelets = nn.Conv3d(3, 8, (2, 8, 8), (2, 8, 8))
        self.mixed, self.pooled = nn.Identity(), nn.AdaptiveAvgPool3d((pooled, 1, 1))

    def forward(self, clip):
        steps = self.tubelets(clip)
        self.mixed(steps + 3 * steps.mean(dim=2, keepdim=True))
        return self.pooled(steps)


def mixed(pooled: int, **limits) -> Model:
    torch.manual_seed(0)
    layers = {"mixed": "CTHW", "pooled": "CTHW"}
    return Model("mixed", Mixed(pooled).eval(), preprocess, layers, "video", 8.0, "0" * 64, **limits)


class Recurrent(nn.Module):
    """Leaky mean over the past of pairs of frames."""

    def __init__(self):
        super().__init__()
        self.pairs, self.state = nn.Conv3d(3, 8, (2, 8, 8), (2, 8, 8)), nn.Identity()

    def forward(self, clip):
        states = []
        for pair in self.pairs(clip).unbind(2):
            states.append(pair + 0.9 * states[-1] if states else pair)
        return self.state(torch.stack(states, 2))


@pytest.mark.parametrize("limits", [(1, np.inf), (16, 16)])
def test_a_recurrent_layer_counts_at_the_last_frames_that_it_has_seen(limits):
    torch.manual_seed(0)
    facts = {"layers": {"state": "CTHW"}, "kind": "video", "fps": 8.0, "digest": "0" * 64, "num_frames": limits}
    times, _ = step_times(Model("leaky", Recurrent().eval(), preprocess, **facts))
    np.testing.assert_allclose(times["state"].of_steps(8), evenly_spaced(8, 16), atol=0.25)


def test_what_changes_all_steps_does_not_draw_them_to_the_middle():
    found = step_times(mixed(1))[0]
    assert list(found) == ["mixed"]
    assert found["mixed"].first == pytest.approx(0.5, abs=0.125)
    assert (found["mixed"].stride, found["mixed"].shortest) == (2.0, 2)
    fixed = step_times(mixed(1, num_frames=(16, 16)))[0]
    assert list(fixed) == ["mixed"]
    np.testing.assert_allclose(fixed["mixed"].listed, evenly_spaced(8, 16), atol=0.25)
    drawn = step_centres(mixed(1))["mixed"]
    assert np.abs(drawn - evenly_spaced(8, 16)).max() > 1


def test_steps_that_are_not_regular_are_named_and_spread_evenly():
    times, note = step_times(mixed(5))
    assert list(times) == ["mixed"]
    assert note == "steps of pooled are not regular in time; they are spread evenly"


def test_a_network_that_cannot_be_measured_is_reported():
    broken = mixed(1)
    broken.module.mixed.register_forward_hook(lambda *_: 1 / 0)
    times, note = step_times(broken)
    assert not times
    assert note.startswith("times of the steps cannot be measured (ZeroDivisionError")


def test_the_embedded_networks_times_are_those_of_the_frames_that_it_pools():
    model = models.load("fake-net")
    measured, note = step_times(model)
    assert not note
    for layer, stated in model.step_times.items():
        # motion compares each frame with the one before, so that half a frame lies before those that are pooled
        before = 0.5 if layer == "motion" else 0.0
        assert measured[layer].first == pytest.approx(stated.first - before, abs=0.25)
        assert (measured[layer].stride, measured[layer].shortest) == (stated.stride, stated.shortest)


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
