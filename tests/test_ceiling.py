from pathlib import Path

import numpy as np
import pytest

from src.ceiling import Ceiling, Recording, joint, normalised, spearman_brown, split_half, window_split_half
from src.evaluate import runs
from src.utils import BadInput

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"


PROTOCOL = {"n_splits": 10, "seed": 0}


def recordings(reliability, n_repetitions=6, n_stimuli=40, n_time=50, seed=0):
    """Return responses whose mean over repetitions has the given reliability per unit."""
    rng = np.random.default_rng(seed)
    reliability = np.asarray(reliability)
    signal = rng.standard_normal((n_stimuli, 1, n_time, len(reliability)))
    noise = rng.standard_normal((n_stimuli, n_repetitions, n_time, len(reliability)))
    with np.errstate(divide="ignore"):
        scale = np.where(reliability > 0, np.sqrt(n_repetitions * (1 / reliability - 1)), 1.0)
    return (np.where(reliability > 0, signal, 0) + scale * noise).astype(np.float32)


def test_the_planted_reliability_is_found():
    planted = np.array([0.9, 0.7, 0.5, 0.3])
    found = split_half(recordings(planted), list("abcdef"), **PROTOCOL)
    np.testing.assert_allclose(found.reliability, planted, atol=0.05)
    np.testing.assert_allclose(found.best_r, np.sqrt(planted), atol=0.05)
    assert found.raw.shape == (10, 4)


def test_halves_are_random_and_a_subjects_runs_stay_together():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.standard_normal((3, 4, 200, 5)), 2, axis=1)
    subjects = [s for s in "abcd" for _ in range(2)]
    together = split_half(values, subjects, **PROTOCOL)
    assert abs(together.raw.mean()) < 0.1, "the noise of different subjects must not agree"
    apart = split_half(values, [f"r{i}" for i in range(8)], **PROTOCOL)
    assert apart.raw.mean() > 0.2, "the same values in both halves must agree"
    assert len(np.unique(together.raw[:, 0].round(6))) > 1


def test_golden_split_halves_agree_within_their_spread():
    if not GOLDEN.is_dir():
        pytest.skip("the golden files are not beside the checkout")
    golden = np.load(GOLDEN / "ceil.npz")
    values = golden["Y"].transpose(0, 1, 3, 2)
    ours = split_half(values, [str(i) for i in range(values.shape[1])], n_splits=50, seed=0)
    difference = ours.raw.mean(axis=0) - golden["c"].mean(axis=0)
    assert np.all(np.abs(difference) <= 3 * golden["c"].std(axis=0) + 0.02), difference


def test_missing_repetitions_are_left_out_not_counted_as_zero():
    values = recordings([0.8, 0.8])
    holes = values.copy()
    holes[np.random.default_rng(1).random(values.shape[:3]) < 0.1] = np.nan
    np.testing.assert_allclose(split_half(holes, range(6), **PROTOCOL).reliability, [0.8, 0.8], atol=0.08)


def test_noise_is_masked_and_signal_is_not():
    found = split_half(recordings([0.9] * 5 + [0.0] * 20), list("abcdef"), **PROTOCOL)
    assert not found.masked[:5].any()
    assert found.masked[5:].all()
    assert found.significant[5:].sum() <= 2


def test_slow_noise_is_worth_fewer_samples():
    rng = np.random.default_rng(0)
    slow = np.cumsum(rng.standard_normal((2, 4, 400, 30)), axis=2)
    found = split_half(slow, list("abcd"), **PROTOCOL)
    assert found.n_independent.max() < 100
    assert found.significant.mean() < 0.2


def test_joint_ceiling_is_weighted_by_bins_and_weight():
    a, b = (split_half(recordings([r], n_stimuli=n), list("abcdef"), **PROTOCOL) for r, n in ((0.9, 20), (0.3, 60)))
    both = joint([a, b], [1.0, 3.0])
    np.testing.assert_allclose(both.raw, (a.raw * 20 + b.raw * 180) / 200)


def test_one_repetition_has_no_ceiling():
    with pytest.raises(BadInput, match=r"1 repetition; expected at least 2.*--no-ceiling"):
        split_half(recordings([0.5], n_repetitions=1), ["a"], **PROTOCOL)


def test_contiguous_halves_are_runs_of_repetitions():
    values = np.repeat(np.random.default_rng(0).standard_normal((1, 4, 300, 3)), 2, axis=1)
    found = split_half(values, ["s"] * 8, halves="contiguous", **PROTOCOL)
    runs_of_four = [np.arange(start, start + 4) % 8 for start in range(4)]
    halves = [[values[0, half, :, 0].mean(axis=0) for half in (run, (run + 4) % 8)] for run in runs_of_four]
    expected = {round(float(np.corrcoef(*pair)[0, 1]), 3) for pair in halves}
    assert set(found.raw[:, 0].round(3)) <= expected
    assert len(np.unique(found.raw[:, 0].round(3))) > 1


def recording(values, subjects):
    """Return the rows of all recorded bins."""
    return Recording(values, subjects, *np.nonzero(np.isfinite(values).any(axis=(1, 3))))


def in_windows(values, subjects=None, n_windows=10, **options):
    """Return the ceiling within contiguous windows of equal size."""
    rows = recording(values, range(values.shape[1]) if subjects is None else subjects)
    windows = np.array_split(np.arange(len(rows.stimulus)), n_windows)
    return window_split_half([rows], windows, **{"seed": 0} | options)


@pytest.mark.parametrize("n_repetitions", range(2, 9))
def test_any_number_of_repetitions_gives_the_planted_reliability(n_repetitions):
    """Halves of one and two of three repetitions give .468 for .5."""
    values = recordings([0.8] * 20 + [0.5] * 20, n_repetitions, n_stimuli=60)
    found = in_windows(values).reliability
    assert found[:20].mean() == pytest.approx(0.8, abs=0.01)
    assert found[20:].mean() == pytest.approx(0.5, abs=0.015)


@pytest.mark.parametrize(("n_repetitions", "n_halvings"), [(2, 1), (3, 3), (4, 3), (5, 15), (6, 10), (7, 24), (8, 24)])
def test_few_halvings_are_all_used_once(n_repetitions, n_halvings):
    found = in_windows(recordings([0.5] * 3, n_repetitions))
    assert found.raw.shape == (n_halvings, 3)
    assert len(np.unique(found.raw[:, 0].round(6))) == n_halvings


def test_r_is_that_of_the_halves_within_each_window():
    values = recordings([0.5, 0.8], 4, n_stimuli=1, n_time=90)
    found = in_windows(values, n_windows=3)
    expected = np.empty((3, 3, 2))  # halvings, windows, units
    for h, (a, b) in enumerate((([0, 1], [2, 3]), ([0, 2], [1, 3]), ([0, 3], [1, 2]))):
        for w in range(3):
            x, y = (values[0, half, 30 * w : 30 * w + 30].mean(axis=0) for half in (a, b))
            expected[h, w] = [np.corrcoef(x[:, u], y[:, u])[0, 1] for u in range(2)]
    np.testing.assert_allclose(np.sort(found.raw, axis=0), np.sort(expected.mean(axis=1), axis=0), atol=1e-5)
    np.testing.assert_allclose(found.windows, expected.mean(axis=0), atol=1e-5)


def test_runs_of_one_subject_are_never_in_both_halves():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.standard_normal((1, 4, 800, 20)), 2, axis=1)
    together = in_windows(values, [s for s in "abcd" for _ in range(2)])
    assert abs(together.raw.mean()) < 0.05
    assert together.length == pytest.approx(2)
    assert in_windows(values).raw.mean() > 0.2


def test_halves_are_equal_for_each_stimulus_whoever_saw_it():
    values = recordings([0.6] * 40, 6, n_stimuli=80, n_time=20)
    full = in_windows(values).reliability.mean()
    values[:40, 3:], values[40:, :3] = np.nan, np.nan
    found = in_windows(values)
    # three of six repetitions: r of single ones, half of the noise variance of three thirds
    assert found.length == pytest.approx(3)
    assert found.reliability.mean() == pytest.approx(spearman_brown(full, 0.5), abs=0.015)


def test_a_missing_repetition_of_some_units_leaves_the_others_as_they_are():
    values = recordings([0.7] * 10, 6)
    complete = in_windows(values)
    values[:30, 2, :, :5] = np.nan
    found = in_windows(values)
    np.testing.assert_allclose(found.windows[:, 5:], complete.windows[:, 5:], atol=1e-5)
    np.testing.assert_allclose(found.reliability[:5], complete.reliability[:5], atol=0.1)


def test_a_row_of_weight_three_counts_as_three_rows():
    values = recordings([0.6, 0.8], 4, n_stimuli=60, n_time=1)
    one = recording(values, "abcd")
    weights = np.where(np.arange(60) < 20, 3.0, 1.0)
    found = window_split_half([one], [np.arange(60)], weights=weights, seed=0)
    repeated = np.repeat(np.arange(60), weights.astype(int))
    rows = Recording(values, "abcd", repeated, np.zeros_like(repeated))
    np.testing.assert_allclose(found.raw, window_split_half([rows], [np.arange(len(repeated))], seed=0).raw, atol=1e-5)
    assert found.n_bins == 100


def test_datasets_of_one_regression_share_their_windows():
    """A window with rows of two datasets has the r of its rows, each dataset on the scale of its targets."""
    films = recordings([0.9] * 30, 4, n_stimuli=2, n_time=400)
    clips = 50 * recordings([0.3] * 30, 2, n_stimuli=800, n_time=1)
    parts = [recording(films, "abcd"), recording(clips, "ef")]
    mixed = window_split_half(parts, np.arange(1600).reshape(2, 800).T.reshape(10, -1), seed=0)
    alone = [in_windows(values).reliability.mean() for values in (films, clips)]
    # both targets have variance 1: reliabilities and so the variances of the signals are averaged
    assert mixed.reliability.mean() == pytest.approx(np.mean(alone), abs=0.03)
    apart = window_split_half(parts, [np.arange(800), np.arange(800, 1600)], seed=0)
    np.testing.assert_allclose(spearman_brown(apart.windows.mean(axis=1), 2), alone, atol=0.02)


def smooth(rng, *shape, passes=3):
    """Return noise that is smooth over the next to last axis, of deviation 1."""
    values = rng.standard_normal(shape)
    for _ in range(passes):
        values = values + np.roll(values, 1, axis=-2) + np.roll(values, 2, axis=-2)
    return values / values.std(axis=-2, keepdims=True)


DESIGNS = {"one film": [478], "three films": [478, 389, 600], "clips": [1] * 200}


def perfect(lengths, n_repetitions, reliability, seed, **slowness):
    """Return the ceiling within windows, that over all rows, and the score of the noiseless signal."""
    rng = np.random.default_rng(seed)
    n, n_time, n_units = len(lengths), max(lengths), len(reliability)
    make = smooth if n_time > 1 else lambda rng, *shape: rng.standard_normal(shape)
    signal = make(rng, n, n_time, n_units, **slowness) * (reliability > 0)
    shape = (n, n_repetitions, n_time, n_units)
    noise = (make(rng, *shape) + rng.standard_normal(shape)) / np.sqrt(2)
    scale = np.sqrt(n_repetitions * (1 / np.maximum(reliability, 1e-9) - 1))
    values = signal[:, None] + np.where(reliability > 0, scale, 1.0) * noise
    for k, length in enumerate(lengths):
        values[k, :, length:] = np.nan
        if n_time > 1:
            values[k] = runs.high_pass(values[k], 1.0, axis=1)
            signal[k, :length] = runs.high_pass(signal[k, :length], 1.0)
    rows = recording(values, range(n_repetitions))
    order = np.arange(len(rows.stimulus)) if n_time > 1 else rng.permutation(n)
    windows = np.array_split(order, 10)
    mean, model = (x[rows.stimulus, rows.time_bin] for x in (values.mean(axis=1), signal))
    test = np.zeros((n_units, 10))
    for w, window in enumerate(windows):
        a, b = (x[window] - x[window].mean(axis=0) for x in (mean, model))
        norms = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
        test[:, w] = (a * b).sum(axis=0) / np.where(norms > 0, norms, 1)
    everywhere = split_half(values, range(n_repetitions), **PROTOCOL)
    return window_split_half([rows], windows, seed=0), everywhere, test


@pytest.mark.parametrize("n_repetitions", [2, 3, 6])
@pytest.mark.parametrize("design", DESIGNS)
def test_a_perfect_model_reaches_its_ceiling(design, n_repetitions):
    """Size: 10 worlds of 100 units, 30 % without signal, the others with a reliability of .05 to .95."""
    ratios = []
    for seed in range(10):
        rng = np.random.default_rng([5, seed])
        reliability = np.where(rng.random(100) < 0.3, 0, rng.uniform(0.05, 0.95, 100))
        found, _, test = perfect(DESIGNS[design], n_repetitions, reliability, seed)
        ratios.append(normalised(test, found.crossed))
    assert 0.98 <= np.mean(ratios) <= 1.02


def test_weak_units_are_not_selected_by_their_luck():
    """Size: 20 worlds of 100 units, half without signal, the others with a reliability of .1 to .55; two repetitions.

    The ceiling over all rows, and units masked by the ceiling that they are divided by, fall short of 1.
    """
    ratios = []
    for seed in range(20):
        rng = np.random.default_rng([6, seed])
        reliability = np.where(rng.random(100) < 0.5, 0, rng.uniform(0.1, 0.55, 100))
        found, everywhere, test = perfect(DESIGNS["clips"], 2, reliability, seed)
        lucky = np.where(found.masked, np.nan, found.best_r)[:, None]
        ratios.append([normalised(test, c) for c in (everywhere.crossed, lucky, found.crossed)])
    over_rows, masked, crossed = np.nanmean(ratios, axis=0)
    assert over_rows < 0.97
    assert masked < 0.975
    assert 0.98 <= crossed <= 1.02


def test_slow_responses_have_a_lower_ceiling_within_windows():
    """One film: a score of short windows loses what differs between them, and so must its ceiling."""
    found, everywhere, test = perfect([478], 4, np.full(200, 0.6), 0, passes=30)
    assert np.median(everywhere.best_r) > np.median(found.best_r) + 0.02
    assert normalised(test, everywhere.crossed) < 0.97
    assert 0.98 <= normalised(test, found.crossed) <= 1.02


def test_the_standard_error_is_the_spread_over_worlds():
    """Size: 30 worlds of 60 units, 200 clips, three repetitions."""
    reliability = np.linspace(0.4, 0.9, 60)
    found = [perfect(DESIGNS["clips"], 3, reliability, seed)[0] for seed in range(30)]
    spread = np.nanstd([c.best_r for c in found], axis=0, ddof=1)
    assert 0.85 < np.median(spread / np.mean([c.best_r_error for c in found], axis=0)) < 1.15
    medians = np.array([np.median(c.best_r) for c in found])
    low, high = np.array([c.median_interval(n_samples=200) for c in found]).T
    assert np.mean((low <= medians.mean()) & (medians.mean() <= high)) > 0.85
    assert np.mean(high - low) < 8 * medians.std(ddof=1)


@pytest.mark.parametrize("n_repetitions", [2, 3, 6])
def test_units_without_signal_are_significant_as_often_as_stated(n_repetitions):
    """Size: 1,000 units each, films of smooth noise (478 s, high-passed) and 200 clips."""
    from scipy.stats import norm

    for lengths in ([478], [1] * 200):
        found = perfect(lengths, n_repetitions, np.zeros(1000), 1)[0]
        z = np.arctanh(found.raw.mean(axis=0)) * np.sqrt(found.n_independent - 3)
        assert 0.02 <= np.mean(norm.sf(z) < 0.05) <= 0.075


@pytest.mark.parametrize("ceiling", [in_windows, lambda values: split_half(values, range(4), **PROTOCOL)])
def test_flat_bins_never_count_fewer_samples_than_stimuli(ceiling):
    """60 images with five equal bins are 60 samples; an autocorrelation across images would make them 9."""
    images = np.repeat(recordings([0.8] * 20, 4, n_stimuli=60, n_time=1), 5, axis=2)
    found = ceiling(images)
    assert found.n_independent.min() >= 50
    assert not found.masked.any()


def test_stimuli_of_different_lengths_count_at_least_once_each():
    values = recordings([0.8] * 5, 4, n_stimuli=210, n_time=1).repeat(30, axis=2)
    values[10:, :, 1:] = np.nan
    assert (in_windows(values).n_independent >= 200).all()


def test_the_mean_of_each_window_takes_a_sample():
    found = in_windows(recordings([0.5] * 3, 2, n_stimuli=200, n_time=1))
    np.testing.assert_allclose(found.n_independent, 200 - 10 + 1)


def test_scores_are_divided_by_the_ceilings_of_other_windows_than_those_that_select():
    # units: equal windows, even windows of too low a reliability (.33), odd windows without any
    windows = np.array([[0.6, 0.2, 0.6], [0.6, 0.5, 0.0]] * 2)
    found = Ceiling(windows.mean(axis=0)[None], 400.0, np.full(3, 400.0), 2.0, windows)
    expected = np.sqrt([[0.75, 0.75], [1 / 3, np.nan], [np.nan, np.nan]])
    np.testing.assert_allclose(found.crossed, np.tile(expected, 2))
    test = np.array([[0.2, 0.4, 0.4, 0.4], [0.6, 0.0, 0.8, 0.0], [0.9, 0.9, 0.9, 0.9]])
    even = (0.3 / np.sqrt(0.75) + 0.7 * np.sqrt(3)) / 2
    ratio = (even + 0.4 / np.sqrt(0.75)) / 2
    assert normalised(test, found.crossed) == pytest.approx(ratio)
    assert normalised(np.stack([test, 2 * test]), found.crossed) == pytest.approx([ratio, 2 * ratio])


def test_a_ceiling_without_windows_divides_each_unit_by_its_own():
    found = split_half(recordings([0.9, 0.6, 0.0]), list("abcdef"), **PROTOCOL)
    test = np.random.default_rng(0).random((3, 10))
    expected = np.median((test.mean(axis=1) / found.best_r)[~found.masked])
    assert normalised(test, found.crossed) == pytest.approx(expected)
    assert np.isnan(found.best_r_error).all()
    assert np.isnan(found.median_interval()).all()


def test_no_selected_unit_gives_nan():
    found = in_windows(recordings([0.0] * 5))
    assert np.isnan(normalised(np.zeros((5, 10)), found.crossed))


def test_the_correction_increases_and_never_exceeds_one():
    r = np.linspace(-1, 1, 201)
    for length in (2.0, 3.0, 5 / 2):
        found = spearman_brown(r, length)
        assert (np.diff(found[np.isfinite(found)]) > 0).all()
        assert found.max() == pytest.approx(1)


def test_one_repetition_has_no_ceiling_in_windows_either():
    with pytest.raises(BadInput, match=r"1 repetition; expected at least 2.*--no-ceiling"):
        in_windows(recordings([0.5], n_repetitions=1))


def test_a_window_with_too_few_rows_of_a_unit_does_not_count():
    """The last window of the second unit has 8 rows, in which it has no score, and would have an agreement of 1."""
    values = np.random.default_rng(0).standard_normal((1, 2, 100, 2))
    values[:, 1, 92:, 1] = values[:, 0, 92:, 1]
    values[:, :, 90:92, 1] = np.nan
    found = in_windows(values, least_rows=10)
    assert np.isnan(found.windows[:, 1]).tolist() == [False] * 9 + [True]
    assert np.isfinite(found.windows[:, 0]).all()
    np.testing.assert_allclose(found.raw[:, 1], np.nanmean(in_windows(values).windows[:9, 1]), atol=1e-6)
