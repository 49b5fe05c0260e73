"""Preparation of fMRI runs: high-pass against nilearn's drift model, standardisation, and the scores that follow."""

from pathlib import Path

import numpy as np
import pytest
from nilearn.glm.first_level.design_matrix import create_cosine_drift
from scipy.signal import lfilter

from src.ceiling import repetition_mean
from src.evaluate import hrf, runs
from src.records import Responses, Stimuli
from src.utils import regular_bins


def responses(values, subjects, width_ms=1000.0):
    """Return a record of films with these values (stimulus, repetition, bin, unit)."""
    n_stimuli, _, n_time, n_units = values.shape
    here = Path(__file__)
    stimuli = Stimuli(
        "films",
        tuple(f"film-{k}" for k in range(n_stimuli)),
        (here,) * n_stimuli,
        np.full(n_stimuli, n_time * width_ms),
        ("video",) * n_stimuli,
    )
    bins_ms = regular_bins(n_time * width_ms, width_ms)
    return Responses(stimuli, values, bins_ms, {"unit_id": np.arange(n_units).astype(str)}, tuple(subjects))


def series(rng, n, width):
    """Return autoregressive noise convolved with the HRF, of deviation 1: (n, width)."""
    slow = hrf.convolve(lfilter([1.0], [1.0, -0.7], rng.standard_normal((n + 60, width)), axis=0), 1000.0)[60:]
    return slow / slow.std(axis=0)


def correlation(a, b):
    a, b = ((x - x.mean(axis=0)) / x.std(axis=0) for x in (a, b))
    return (a * b).mean(axis=0)


@pytest.mark.parametrize(("n", "width_s"), [(478, 1.0), (389, 1.0), (600, 0.72), (250, 1.5), (182, 1.0)])
def test_high_pass_is_the_residual_of_nilearns_drift_model(n, width_s):
    values = 1e4 + 50 * np.random.default_rng(0).standard_normal((n, 7)) + 0.5 * np.arange(n)[:, None]
    drift = create_cosine_drift(1 / 128, np.arange(n) * width_s)
    expected = values - drift @ np.linalg.lstsq(drift, values, rcond=None)[0]
    np.testing.assert_allclose(runs.high_pass(values, width_s), expected, atol=2e-3)
    np.testing.assert_allclose(runs.high_pass(values.T, width_s, axis=1), expected.T, atol=2e-3)


def test_high_pass_fits_the_recorded_bins_of_each_column():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((400, 30)) + np.linspace(0, 9, 400)[:, None]
    values[100:160, 10:20] = np.nan
    values[rng.random((400, 30)) < 0.02] = np.nan
    values[0], values[-1] = 0.0, 1.0  # every run spans all bins
    values[:, 29] = np.nan
    drift = create_cosine_drift(1 / 128, np.arange(400.0))
    found = runs.high_pass(values, 1.0)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(values))
    for column in range(29):
        at = np.isfinite(values[:, column])
        fit = drift[at] @ np.linalg.lstsq(drift[at], values[at, column], rcond=None)[0]
        np.testing.assert_allclose(found[at, column], values[at, column] - fit, atol=1e-4)


def test_the_run_spans_its_recorded_bins_and_a_short_one_loses_its_mean_only():
    values = np.random.default_rng(0).standard_normal((400, 3)) + 5
    padded = np.full((460, 3), np.nan)
    padded[20:420] = values
    np.testing.assert_allclose(runs.high_pass(padded, 1.0)[20:420], runs.high_pass(values, 1.0), atol=1e-6)
    short = values[:120]
    np.testing.assert_allclose(runs.high_pass(short, 1.0), short - short.mean(axis=0), atol=1e-6)


def test_each_run_of_a_film_is_standardised():
    rng = np.random.default_rng(0)
    values = (rng.standard_normal((2, 3, 300, 5)) * [1, 2, 3, 4, 5] + 1000).astype(np.float32)
    values[0, 1, 50:80] = np.nan
    values[1, :, 200:] = np.nan
    values[0, 2, :, 3] = 7.0
    values[1, :, :200, 4] = 0.1
    before = values.copy()
    found = runs.standardised(responses(values, "abc"), films=True).values
    np.testing.assert_array_equal(values, before)
    assert found.dtype == np.float32
    assert np.isnan(found[0, 2, :, 3]).all(), "a constant run is not recorded where other runs vary"
    assert (found[1, :, :200, 4] == 0).all(), "a unit without a run that varies is 0"
    found[0, 2, :, 3] = before[0, 2, :, 3]
    np.testing.assert_array_equal(np.isnan(found), np.isnan(before))
    for film, run in ((0, 0), (0, 1), (1, 2)):
        np.testing.assert_allclose(np.nanmean(found[film, run, :, :3], axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(np.nanstd(found[film, run, :, :3], axis=0), 1, atol=1e-5)


def test_a_release_that_removed_the_drift_is_z_scored_only():
    values = np.random.default_rng(0).standard_normal((1, 2, 300, 4)) + np.linspace(0, 3, 300)[:, None]
    found = runs.standardised(responses(values, "ab"), films=True, high_pass_s=None).values
    expected = (values - values.mean(axis=2, keepdims=True)) / values.std(axis=2, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("n_time", [1, 3])
def test_clips_are_standardised_per_subject_over_all_stimuli(n_time):
    values = np.random.default_rng(0).standard_normal((40, 5, n_time, 3)) * np.array([1, 1, 6, 6, 1])[:, None, None]
    values[:10, 4] = np.nan
    values[:, 4, :, 1] = 2.0
    found = runs.standardised(responses(values, "aabbc"), films=False).values
    for own in ([0, 1], [2, 3]):
        part = values[:, own]
        expected = (part - part.mean(axis=(0, 1, 2))) / part.std(axis=(0, 1, 2))
        np.testing.assert_allclose(found[:, own], expected, atol=1e-5)
    assert np.isnan(found[:, 4, :, 1]).all()


def test_one_bin_per_stimulus_is_a_clip_even_if_films_are_named():
    values = np.random.default_rng(0).standard_normal((40, 2, 1, 3))
    one, other = (runs.standardised(responses(values, "ab"), films=films).values for films in (True, False))
    np.testing.assert_array_equal(one, other)
    assert one.std() > 0.9


@pytest.mark.parametrize("films", [True, False])
def test_a_subject_with_six_times_the_amplitude_does_not_dominate(films):
    """Planted: 6 subjects, signal 1, noise 4.5 each; a perfect model reaches sqrt(1 / (1 + 4.5 / 6)) = .756."""
    rng = np.random.default_rng(0)
    signal = series(rng, 478, 200) if films else rng.standard_normal((478, 200))
    values = signal + np.sqrt(4.5) * rng.standard_normal((6, 478, 200))
    values[0] *= 6
    values = values[None] if films else values.transpose(1, 0, 2)[:, :, None]
    perfect = runs.high_pass(signal, 1.0) if films else signal
    prepared = runs.standardised(responses(values, "abcdef"), films=films).values
    raw, right = (
        correlation(model, repetition_mean(v).reshape(478, 200)).mean()
        for model, v in ((signal, values), (perfect, prepared))
    )
    # the mean of all six weighs subject 0 by 6: noise 4.5 (36 + 5) / 121
    assert raw == pytest.approx(np.sqrt(1 / (1 + 4.5 * 41 / 121)), abs=0.03)
    # the high-pass removes the slow part of the signal, 7 of 478 components of white noise
    power = perfect.var(axis=0)
    assert right == pytest.approx(np.sqrt(power / (power + 0.75)).mean(), abs=0.01)


def test_a_subject_who_misses_a_minute_leaves_no_step_in_the_mean():
    """Subjects differ in their baseline: the raw mean jumps where one of them is missing."""
    rng = np.random.default_rng(0)
    signal = series(rng, 478, 100)
    values = signal + np.sqrt(4.5) * rng.standard_normal((6, 478, 100)) + 20 * np.arange(6)[:, None, None]
    complete = correlation(signal, values.mean(axis=0)).mean()
    values[5, 200:260] = np.nan
    prepared = runs.standardised(responses(values[None], "abcdef"), films=True).values
    assert correlation(signal, repetition_mean(values[None])[0]).mean() < complete - 0.3
    assert correlation(runs.high_pass(signal, 1.0), repetition_mean(prepared)[0]).mean() > complete - 0.03


def test_drift_makes_a_permutation_test_reject_too_often_and_the_high_pass_ends_it():
    """Size: 1,500 pairs of unrelated series of 478 s with linear drift in both; 439 circular shifts each."""
    rng = np.random.default_rng(0)
    n, n_pairs, least = 478, 1500, 20
    ramp = np.linspace(-1.7, 1.7, n)[:, None]
    x, y = (series(rng, n, n_pairs) + rng.standard_normal(n_pairs) * ramp for _ in range(2))

    def rejected(x, y):
        x, y = ((v - v.mean(axis=0)) / v.std(axis=0) for v in (x, y))
        r = np.fft.irfft(np.fft.rfft(x, axis=0) * np.conj(np.fft.rfft(y, axis=0)), n=n, axis=0)
        shifted = r[least : n - least + 1]
        return np.mean((1 + (shifted >= r[0]).sum(axis=0)) / (1 + len(shifted)) <= 0.05)

    assert rejected(x, y) > 0.2
    assert 0.03 <= rejected(runs.high_pass(x, 1.0), runs.high_pass(y, 1.0)) <= 0.07
