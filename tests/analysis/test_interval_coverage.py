"""Coverage of the interval and level of the paired test, on simulated recordings with known truth."""

import functools

import numpy as np
import pytest
import torch

from benchmarks.intervals import DATA, DEFAULT, RULES, WORLDS, Design, measure, predict, repeat
from src.analysis.bootstrap import sample_counts, training_factor
from src.analysis.paired import compare
from src.evaluate.bootstrap_statistics import BlockSums, fitted_widening, widening
from src.evaluate.decoders.base import Split
from src.evaluate.metrics import METRICS


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@functools.cache
def simulated(data, world, repeats):
    """Return the repeats of a world, and Nadeau and Bengio's factor."""
    design = Design.of(DATA[data])
    blocks = design.blocks(15.0)
    found = [repeat(WORLDS[world], design, blocks, seed) for seed in range(repeats)]
    return found, widening(design.splits, np.ones(len(design.stimulus)))


def stored(one, model, wide):
    """Return the arrays of a score."""
    test = np.broadcast_to(one.score[model, 1:, None], (1, one.score.shape[1] - 1, 3))
    draws = RULES[DEFAULT].draws(one, model, 0, wide)
    return {"valid": test, "test": test, "bootstrap": draws, "resampled": np.array(["segments", "s"])}


def rejected(found, wide):
    """Return the share of repeats in which the two models differ at p < 0.05."""
    return np.mean([compare(stored(one, 0, wide), stored(one, 1, wide))["p"] < 0.05 for one in found])


@pytest.mark.parametrize("data", ["1 film", "clips"])
def test_intervals_of_two_equal_models_cover_and_paired_tests_keep_their_level(data):
    """60 data sets, 2 models: standard error of a coverage of 0.95 at most 0.028, of 0.05 rejected 0.028."""
    found, wide = simulated(data, "two parts", 60)
    coverage, of_units, differ, units_differ, above = measure(found, wide, RULES[DEFAULT])
    assert coverage > 0.88
    assert 0.91 < of_units < 0.98
    assert differ <= 0.12
    assert 0.015 < units_differ < 0.09
    assert above == 0
    assert rejected(found, wide) == differ
    narrow = measure(found, wide, RULES["test rows only"])
    assert narrow[1] < of_units - 0.05
    assert narrow[3] > units_differ + 0.03


def test_a_better_model_is_found():
    found, wide = simulated("clips", "unequal", 20)
    assert rejected(found, wide) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("data", list(DATA))
@pytest.mark.parametrize("world", ["noise", "weak", "strong", "two parts"])
def test_coverage_and_level_are_nominal(data, world):
    """200 data sets: standard error of a coverage of 0.95 at most 0.015, of 0.05 rejected 0.015."""
    found, wide = simulated(data, world, 200)
    coverage, of_units, differ, units_differ, above = measure(found, wide, RULES[DEFAULT])
    assert 0.89 < coverage < 0.995
    assert 0.91 < of_units < 0.98
    assert differ < 0.09
    assert 0.015 < units_differ < 0.11
    assert above == 0


def test_the_spread_of_well_fitted_scores_has_the_training_share_of_the_noise_of_their_fit():
    """Least squares on 20 features, r .5: most of what is unexplained is noise of the responses, not of the fit.

    300 worlds: standard error of a ratio of deviations 4 %.
    """
    n, p, block = 400, 20, np.repeat(np.arange(40), 10)
    splits = [
        Split(np.flatnonzero(block // 4 != k), np.zeros(0, int), np.flatnonzero(block // 4 == k)) for k in range(10)
    ]
    counts = sample_counts(np.zeros(40, int), 200, 0, "worlds")
    weights, wide = np.full((p, 1), 0.62 / np.sqrt(p)), widening(splits, np.ones(n))
    for signal in (0.0, 1.0):
        found = []
        for seed in range(300):
            rng = np.random.default_rng([7, seed])
            X = rng.standard_normal((n, p))
            Y = (signal * X @ weights + rng.standard_normal((n, 1))).astype(np.float32)
            sums, fitted = BlockSums(METRICS["pearson"].statistic, block, splits, None), []
            batches = []
            for k, split in enumerate(splits):
                of_train = Split(split.train, split.valid, split.train)
                fitted.append(np.corrcoef(predict(X, Y, of_train, 0.0)[:, 0], Y[split.train, 0])[0, 1])
                batches.append([sums.batch(k, split.test, np.arange(1), predict(X, Y, split, 0.0), Y[split.test])])
            kept = sums.statistics(batches, 1)
            r = kept.replicates(np.ones((1, 40))).item()
            found.append((r, np.arctanh(kept.replicates(counts)[:, 0]).std(), np.mean(fitted)))
        r, of_test_rows, fitted = np.array(found).T
        ratio = np.arctanh(r).std() / of_test_rows.mean()
        known = training_factor(r.mean(), fitted_widening(wide, r.mean(), fitted.mean()))
        assert known == pytest.approx(ratio, rel=0.12)
        if signal:
            assert r.mean() == pytest.approx(0.5, abs=0.03)
            assert training_factor(r.mean(), wide) > 1.2 * ratio
        else:
            assert known == pytest.approx(wide, rel=0.01)


def test_widening_by_the_fit_has_the_right_limits():
    assert fitted_widening(1.5, 0.0, 0.3) == pytest.approx(1.5)
    assert fitted_widening(1.5, -0.1, 0.3) >= 1.5
    assert fitted_widening(1.5, 0.6, 0.6) == 1
    assert fitted_widening(1.5, 0.7, 0.6) == 1
    assert np.isfinite(fitted_widening(1.5, 1.0, 1.0))
    for undefined in (np.nan, 0.0):
        assert training_factor(0.3, fitted_widening(1.5, 0.3, undefined)) == pytest.approx(
            np.sqrt(1 + 1.25 / (1 - 0.3**2))
        )
