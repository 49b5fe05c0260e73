import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from src import fakenet

ROOT = Path(__file__).resolve().parents[2]


def film(n_frames, seed=0, size=64):
    return np.random.default_rng(seed).integers(0, 256, (n_frames, size, size, 3), dtype=np.uint8)


def drifting(n_frames, pixels_per_frame):
    x = np.arange(64)[None] - pixels_per_frame * np.arange(n_frames)[:, None]
    wave = (127.5 + 80 * np.sin(2 * np.pi * x / 9)).astype(np.uint8)
    return np.broadcast_to(wave[:, None, :, None], (n_frames, 64, 64, 3))


def layers(batch):
    network, found = fakenet.build(), {}
    for layer in fakenet.LAYERS:
        network.get_submodule(layer).register_forward_hook(lambda _m, _i, out, at=layer: found.update({at: out}))
    with torch.inference_mode():
        network(batch)
    return found


def test_layers_have_the_declared_axes_and_sizes():
    found = layers(fakenet.preprocess(film(100))[None])
    shapes = {layer: tuple(out.shape[1:]) for layer, out in found.items()}
    assert shapes == {
        "colour": (3, 100, 4, 4),
        "orientation": (2, 100, 4, 4),
        "motion": (2, 50, 4, 4),
        "conjunction": (6, 25, 2, 2),
    }
    assert list(fakenet.LAYERS) == list(found)
    assert all(len(axes) == out.ndim - 1 for axes, out in zip(fakenet.LAYERS.values(), found.values(), strict=True))


@pytest.mark.parametrize("n_frames", [1, 2, 3, 13])
def test_takes_any_number_of_frames(n_frames):
    found = layers(fakenet.preprocess(film(n_frames))[None])
    assert found["conjunction"].shape[2] == -(-n_frames // 4)
    assert all(torch.isfinite(out).all() for out in found.values())


def test_a_batch_of_two_equals_two_of_one():
    clips = [fakenet.preprocess(film(20, seed)) for seed in (1, 2)]
    together = layers(torch.stack(clips))
    for i, clip in enumerate(clips):
        for layer, out in layers(clip[None]).items():
            torch.testing.assert_close(together[layer][i], out[0], rtol=1e-4, atol=1e-5)


def test_is_frozen_in_eval_mode():
    network = fakenet.build()
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_preprocessing_scales_and_resizes():
    grey = fakenet.preprocess(np.full((2, 96, 128, 3), 255, np.uint8))
    assert grey.shape == (3, 2, 64, 64)
    assert grey.dtype == torch.float32
    torch.testing.assert_close(grey, torch.ones_like(grey))
    assert fakenet.preprocess(np.zeros((1, 64, 64, 3), np.uint8)).min() == -1


def test_only_motion_represents_direction():
    there, back = (layers(fakenet.preprocess(drifting(40, speed))[None]) for speed in (1.0, -1.0))
    inner = (..., slice(4, None), slice(1, -1), slice(1, -1))
    right, left = there["motion"][inner], back["motion"][inner]
    assert torch.abs(right).mean() > 0.05
    torch.testing.assert_close(right.mean(dim=(2, 3, 4)), -left.mean(dim=(2, 3, 4)), rtol=0.1, atol=0.01)
    still = layers(fakenet.preprocess(drifting(40, 0.0))[None])["motion"]
    assert torch.abs(still).max() < 1e-4
    opposed = torch.corrcoef(torch.stack([out["orientation"].mean(2).flatten() for out in (there, back)]))[0, 1]
    assert opposed > 0.95


def test_a_still_film_gives_constant_activations():
    for layer, out in layers(fakenet.preprocess(film(1).repeat(30, axis=0))[None]).items():
        torch.testing.assert_close(out, out[:, :, :1].expand_as(out), rtol=1e-3, atol=1e-4, msg=layer)


def test_weights_and_digest_are_the_same_in_every_process():
    code = "from src import fakenet; import sys; print(fakenet.digest(), 'torch' in sys.modules)"
    for hash_seed in ("1", "2"):
        output = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        assert output == [fakenet.digest(), "False"]


def test_digest_follows_the_weights(monkeypatch):
    changed = fakenet.weights() | {"gabor.weight": fakenet.weights()["gabor.weight"] + 0.01}
    monkeypatch.setattr(fakenet, "weights", lambda: changed)
    assert fakenet.digest.__wrapped__() != fakenet.digest()


def test_four_seconds_take_well_under_a_second():
    network, clip = fakenet.build(), fakenet.preprocess(film(100))[None]
    times = []
    for _ in range(5):
        start = time.perf_counter()
        with torch.inference_mode():
            network(clip)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.2
