"""Preprocessing against torchvision's transforms, and the effect of each field of a Preprocessing."""

import numpy as np
import pytest
import torch
import torchvision
from torchvision import transforms
from torchvision.transforms.functional import center_crop, resize

from src.models.catalogue.entry import Preprocessing
from src.models.preprocessing import preprocessor
from src.models.sources.torchvision import _preprocessor

FRAMES = np.random.default_rng(0).integers(0, 256, (11, 60, 90, 3), dtype=np.uint8)


def test_equals_torchvisions_transforms():
    preprocessing = Preprocessing(size=32, resize=40, axes="TCHW")
    expected = transforms.Compose(
        [
            transforms.Resize(40, antialias=True),
            transforms.CenterCrop(32),
            transforms.Normalize(preprocessing.mean, preprocessing.std),
        ]
    )(torch.from_numpy(FRAMES).permute(0, 3, 1, 2) / 255)
    torch.testing.assert_close(preprocessor(preprocessing)(FRAMES), expected, atol=1e-5, rtol=0)


def test_presets_of_torchvision_give_what_torchvision_gives():
    """All distinct presets, to the last bit, though the normalisation is ours."""
    presets = {}
    for name in torchvision.models.list_models():
        preset = next(iter(torchvision.models.get_model_weights(name))).transforms()
        presets[repr(preset)] = preset
    frames, compared = torch.from_numpy(FRAMES[:3]), 0
    for preset in presets.values():
        kind = {"ImageClassification": "image", "VideoClassification": "video"}.get(type(preset).__name__)
        if kind is not None:
            made, expected = _preprocessor(preset, kind).images_of(frames), preset(frames.permute(0, 3, 1, 2))
            assert torch.equal(made, expected if kind == "image" else expected.transpose(0, 1))
            compared += 1
    assert compared > 10


def test_without_a_short_side_the_whole_frame_becomes_the_square():
    made = preprocessor(Preprocessing(size=32, mean=(0, 0, 0), std=(1, 1, 1), axes="CHW"))(FRAMES)
    expected = resize(torch.from_numpy(FRAMES).permute(0, 3, 1, 2) / 255, [32, 32], antialias=True)
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("axes", "shape"), [("CHW", (11, 3, 32, 32)), ("TCHW", (11, 3, 32, 32)), ("CTHW", (3, 11, 32, 32))]
)
def test_axes(axes, shape):
    made = preprocessor(Preprocessing(size=32, resize=40, axes=axes))(FRAMES)
    assert made.shape == shape
    assert made.dtype == torch.float32
    assert made.is_contiguous()


def test_a_frame_of_the_right_size_is_only_scaled():
    frames = FRAMES[:, :32, :32]
    made = preprocessor(Preprocessing(size=32, resize=32, mean=(0, 0, 0), std=(1, 1, 1), axes="TCHW"))(frames)
    np.testing.assert_allclose(made.numpy(), frames.transpose(0, 3, 1, 2) / 255, atol=1e-6)


@pytest.mark.parametrize("short_side", [0, 40])
def test_the_input_need_not_be_square(short_side):
    made = preprocessor(Preprocessing(size=(24, 32), resize=short_side, mean=(0, 0, 0), std=(1, 1, 1), axes="TCHW"))(
        FRAMES
    )
    shape = short_side or [24, 32]
    expected = resize(torch.from_numpy(FRAMES).permute(0, 3, 1, 2) / 255, shape, antialias=True)
    assert made.shape[2:] == (24, 32)
    assert torch.allclose(made, center_crop(expected, [24, 32]), atol=1e-5)


def test_bgr_reverses_the_channels_after_their_normalisation():
    preprocessing = Preprocessing(size=32, mean=(0.1, 0.2, 0.3), std=(1, 1, 1), axes="CHW")
    reversed_ = Preprocessing(size=32, mean=(0.1, 0.2, 0.3), std=(1, 1, 1), axes="CHW", bgr=True)
    torch.testing.assert_close(preprocessor(reversed_)(FRAMES), preprocessor(preprocessing)(FRAMES).flip(1))
