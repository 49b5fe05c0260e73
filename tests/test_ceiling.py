from pathlib import Path

import numpy as np
import pytest

from src.ceiling import joint, split_half
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
