"""The controls against their references: PIL's resized pixels, pymoten's pyramid, the embedded networks."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src import fakenet, models
from src.models.inspect.check import failed_checks
from src.models.inspect.outputs import run
from src.models.sources.controls import CONTROLS
from src.utils import BadInput

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def motion_energy():
    return models.load("motion-energy")


def values(model, batch):
    return {layer: calls[-1] for layer, calls in run(model.module, list(model.layers), batch, lambda _, o: o).items()}


def grating(direction: int, n_frames: int = 40, size: int = 64) -> np.ndarray:
    """A grating of 4 cycles that drifts at 2 cycles per second to the right (1) or to the left (-1)."""
    x = np.arange(size) / size
    t = np.arange(n_frames)[:, None] / 25
    wave = 127.5 * (1 + np.sin(2 * np.pi * (4 * x - direction * 2 * t)))
    return np.repeat(np.broadcast_to(wave[:, None, :, None], (n_frames, size, size, 1)), 3, axis=3).astype(np.uint8)


@pytest.mark.parametrize("name", CONTROLS)
def test_every_control_passes_the_checks(name):
    assert failed_checks(models.load(name)) == []


def test_pixels_are_the_frames_resized_by_pil():
    frames = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)
    model = models.load("pixels")
    seen = values(model, model.preprocess(frames))["pixels"]
    expected = np.stack([np.asarray(Image.fromarray(frame).convert("RGB").resize((256, 256))) for frame in frames])
    np.testing.assert_allclose(seen, expected / 255, atol=1e-6)
    assert model.layers == {"pixels": "HWC"}


def test_motion_energy_equals_pymoten_away_from_the_ends(motion_energy):
    import moten

    frames = np.random.default_rng(1).integers(0, 256, (30, 48, 64, 3), dtype=np.uint8)
    luminance = motion_energy.preprocess(frames)
    pyramid = moten.get_default_pyramid(vhsize=(64, 64), fps=25)
    expected = pyramid.project_stimulus(luminance.numpy().astype(np.float64))
    ours = values(motion_energy, luminance[None])["motion-energy"][0].numpy()
    assert ours.shape == expected.shape == (30, pyramid.nfilters)
    np.testing.assert_allclose(ours[8:-7], expected[8:-7], atol=2e-3)


def test_motion_energy_separates_directions(motion_energy):
    right, left = (
        values(motion_energy, motion_energy.preprocess(grating(way))[None])["motion-energy"][0, 10:-10].mean(dim=0)
        for way in (1, -1)
    )
    assert torch.corrcoef(torch.stack([right, left]))[0, 1] < 0.9
    assert (right - left).abs().max() > 1


def test_motion_energy_of_a_still_video_is_the_same_at_its_ends(motion_energy):
    still = np.repeat(grating(1)[:1], 20, axis=0)
    energy = values(motion_energy, motion_energy.preprocess(still)[None])["motion-energy"][0]
    assert torch.isfinite(energy).all()
    torch.testing.assert_close(energy[0], energy[10], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(energy[-1], energy[10], atol=1e-4, rtol=1e-3)


def test_motion_energy_window_holds_one_filter(motion_energy):
    least = motion_energy.num_frames[0]
    assert least == int(25 * 2 / 3)
    window = values(motion_energy, motion_energy.preprocess(grating(1, least))[None])["motion-energy"]
    assert window.shape[1] == least


def test_the_embedded_network_has_its_digest_and_layers():
    model = models.load("fake-net")
    assert model.digest == fakenet.digest()
    assert dict(model.layers) == fakenet.LAYERS
    assert models.load("Random-fake-net").digest != model.digest


def test_a_control_without_weights_has_no_random_variant():
    with pytest.raises(BadInput, match="Random-motion-energy: this model has no weights to sample"):
        models.load("Random-motion-energy")


def test_digests_are_the_same_in_another_process():
    names = ("pixels", "motion-energy", "fake-net", "fake-image-net", "Random-fake-image-net")
    code = f"from src import models\nfor name in {names}: print(models.load(name).digest)"
    there = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    here = [models.load(name).digest for name in names]
    assert there.stdout.split() == here
    assert len(set(here)) == len(names)
