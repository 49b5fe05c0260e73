import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.glm.first_level import spm_hrf

from src import fakenet
from src.data.synthetic import files, plant, scenes
from src.utils import overlap_weights, regular_bins


def test_haemodynamic_response_is_nilearns():
    """A second of stimulation, convolved on a grid of 1 / 50 s and averaged into bins of a second."""
    fine = np.convolve(spm_hrf(1.0, oversampling=50), np.full(50, 1 / 50))
    binned = fine[: 50 * (len(fine) // 50)].reshape(-1, 50).mean(axis=1)[:32]
    np.testing.assert_allclose(plant.spm_hrf()[:32], binned / binned.sum(), atol=2e-3)


def test_lag_is_causal():
    rows = np.ones((60, 2))
    rows[[20, 21], 0] = 2, 0
    found = plant.lagged(rows)
    assert found.shape == rows.shape
    np.testing.assert_allclose(found[:20], 1)
    np.testing.assert_allclose(found[20:53, 0] - 1, plant.spm_hrf() - np.append(0, plant.spm_hrf()[:-1]))
    np.testing.assert_allclose(found[:, 1], 1)


@settings(max_examples=30, deadline=None)
@given(n_frames=st.integers(5, 130), width_ms=st.sampled_from([20.0, 50.0, 130.0, 200.0]))
def test_bin_means_are_overlap_weighted_means(n_frames, width_ms):
    steps = np.random.default_rng(n_frames).standard_normal((n_frames, 3))
    source, target = regular_bins(40.0 * n_frames, 40.0), regular_bins(40.0 * n_frames, width_ms)
    np.testing.assert_allclose(plant.bin_means(steps, target), overlap_weights(source, target) @ steps, atol=1e-9)


def test_layer_steps_are_in_blocks_of_four_seconds_filled_by_the_last_frame():
    film = np.random.default_rng(0).integers(0, 256, (130, 64, 64, 3), dtype=np.uint8)
    (found,) = plant.layer_steps([film])
    second = np.concatenate([film[100:], film[-1:].repeat(70, axis=0)])
    network, activations = fakenet.build(), {}
    network.motion.register_forward_hook(lambda _m, _i, out: activations.update(motion=out))
    with torch.inference_mode():
        expected = network(fakenet.preprocess(second)[None])[0]
    assert {layer: steps.shape for layer, steps in found.items()} == {
        "colour": (200, 48),
        "orientation": (200, 32),
        "motion": (200, 32),
        "conjunction": (200, 24),
    }
    for step in range(100):
        np.testing.assert_allclose(found["conjunction"][100 + step], expected[:, step // 4].flatten(), atol=1e-5)
        motion = activations["motion"][0, :, step // 2].flatten()
        np.testing.assert_allclose(found["motion"][100 + step], motion, atol=1e-4)


@pytest.mark.parametrize("noise", [0.4, 2.0, 6.0])
def test_best_correlation_agrees_with_simulation(noise):
    rng = np.random.default_rng(1)
    signal = plant.unit_variance(rng.standard_normal((200_000, 1)))
    mean = plant.noisy(rng, signal, np.array([noise]), 6).mean(axis=0)
    simulated = np.corrcoef(signal[:, 0], mean[:, 0])[0, 1]
    assert simulated == pytest.approx(plant.best_correlation(np.ones(1), np.array([noise]), 6)[0], abs=0.004)


def test_no_signal_means_nothing_to_reach():
    assert plant.best_correlation(np.zeros(1), np.array([2.0]), 6)[0] == 0
    np.testing.assert_array_equal(plant.unit_variance(np.ones((5, 1))), 0)


def test_directions_lie_among_the_leading_components():
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((300, 20)) @ np.diag(np.linspace(3, 0.1, 20)) @ rng.standard_normal((20, 30))
    rows[:, 7] = 5.0
    weights = plant.directions(rng, rows, n_units=4, n_components=6)
    standard = (rows - rows.mean(0)) / np.where(rows.std(0) > 0, rows.std(0), 1)
    leading = np.linalg.svd(standard, full_matrices=False)[0][:, :6]
    signal = plant.unit_variance(rows @ weights)
    np.testing.assert_allclose(leading @ (leading.T @ signal), signal, atol=1e-8)
    np.testing.assert_allclose(signal.var(axis=0), 1)


def test_blocks_of_different_length_are_padded_with_nan():
    padded = plant.padded([np.ones((2, 5, 3), np.float32), np.ones((2, 3, 3), np.float32)])
    assert padded.shape == (2, 2, 5, 3)
    assert np.isnan(padded[1, :, 3:]).all()
    assert np.isfinite(padded[0]).all()
    assert np.isfinite(padded[1, :, :3]).all()


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_films_are_read_back_almost_as_rendered(tmp_path, suffix):
    film = scenes.moving_scenes(np.random.default_rng(3), 60)
    path = tmp_path / f"film{suffix}"
    files.write_film(path, film)
    found = files.read_frames(path)
    assert found.shape == film.shape
    assert np.abs(found.astype(int) - film).mean() < 4
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == 25
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 60
    other = np.stack([capture.read()[1][..., ::-1] for _ in range(60)])
    assert np.abs(found.astype(int) - other).mean() < 2


def test_images_are_read_back_exactly(tmp_path):
    image = np.random.default_rng(4).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    files.write_image(tmp_path / "image.png", image)
    np.testing.assert_array_equal(files.read_frames(tmp_path / "image.png")[0], image)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "image.png"))[..., ::-1], image)


def test_rendering_keeps_order_and_passes_errors_on(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(9)]
    frames = [
        f[0, 0, 0, 0] for f in files.render_films(lambda name: np.full((1, 8, 8, 3), int(name[0]), np.uint8), paths)
    ]
    assert frames == list(range(9))

    def fails(_name):
        raise RuntimeError("cannot render")

    with pytest.raises(RuntimeError, match="cannot render"):
        list(files.render_films(fails, paths))


def test_places_cover_the_field_evenly():
    windows = scenes.places()
    assert windows.shape == (4, 64, 64)
    np.testing.assert_allclose(windows.sum(axis=0), 1, rtol=1e-5)


def test_a_texture_moves_by_the_given_shifts():
    waves = scenes.Waves.sample(np.random.default_rng(5), 6, 0.5)
    film = waves.film(np.array([[0.0, 0.0], [3.0, -2.0]]))
    np.testing.assert_allclose(film[1, :-2, 3:], film[0, 2:, :-3], atol=1e-4)
    rotated = waves.film_under(np.array([0.0, np.pi]), np.ones(2), np.zeros((2, 2)))
    np.testing.assert_allclose(rotated[0], film[0], atol=1e-4)
    np.testing.assert_allclose(rotated[1], film[0, ::-1, ::-1], atol=1e-3)
