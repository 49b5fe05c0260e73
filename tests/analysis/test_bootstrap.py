"""Intervals: samples that pair models, replicates equal to rows repeated by hand, spreads known in closed form."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from src.analysis.aggregate import aggregate
from src.analysis.bootstrap import (
    bootstrap,
    recentre,
    sample_counts,
    tails,
    training_factor,
)
from src.evaluate.bootstrap_statistics import widening
from src.evaluate.cross_validate import Problem, cross_validate_each, cross_validate_problem
from src.evaluate.decoders import Ridge
from src.evaluate.decoders.base import Split
from src.evaluate.layer_choice import PER_TARGET, Rule
from src.evaluate.metrics import METRICS
from src.evaluate.metrics.base import ARCSINE, FISHER
from src.evaluate.sample_medians import sample_medians
from src.evaluate.splits import item_splits
from src.utils import nan_mean
from tests.analysis.fmri_like import problem


@pytest.fixture(autouse=True)
def one_core(monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")


class Fixed:
    """Decoder that predicts its features."""

    def fit(self, X, Y, weights=None):
        return self

    def predict(self, X):
        return X


def test_the_samples_follow_from_seed_and_blocks_alone():
    strata = np.array([0, 0, 0, 1, 1, 2])
    counts = sample_counts(strata, 500, 3, "rows")
    np.testing.assert_array_equal(counts, sample_counts(strata, 500, 3, "rows"))
    assert not np.array_equal(counts, sample_counts(strata, 500, 4, "rows"))
    assert not np.array_equal(counts, sample_counts(strata, 500, 3, "other rows"))
    for stratum, size in ((0, 3), (1, 2), (2, 1)):
        np.testing.assert_array_equal(counts[:, strata == stratum].sum(axis=1), size)
    assert abs(counts[:, :3].mean() - 1) < 1e-6
    assert counts[:, 0].std() == pytest.approx(np.sqrt(2 / 3), abs=0.1)


@pytest.mark.parametrize("n_blocks", [40, 41])
def test_segments_are_sampled_with_their_neighbours(n_blocks):
    deviations = sample_counts(np.zeros(n_blocks, int), 20_000, 0, "rows", run=2) - 1
    np.testing.assert_array_equal(deviations.sum(axis=1), 0)
    # as two blocks of each draw: variance 1, covariance 1 / 2 with either neighbour, both less 1 / n for the fixed sum
    covariance = [(deviations * np.roll(deviations, k, axis=1)).mean() for k in range(3)]
    np.testing.assert_allclose(covariance, np.array([1, 0.5, 0]) - 2 / n_blocks, atol=0.02)


def test_few_segments_are_sampled_one_by_one():
    strata = np.zeros(7, int)
    np.testing.assert_array_equal(sample_counts(strata, 50, 0, "x", run=2), sample_counts(strata, 50, 0, "x"))


@pytest.mark.parametrize("weighted", [False, True])
def test_replicates_are_the_scores_of_rows_repeated_by_hand(weighted):
    made = problem(0, films_s=(90, 75), n_targets=3, signal=1.0, n_splits=2)
    weights = np.random.default_rng(0).choice([1.0, 3.0], len(made.targets)) if weighted else None
    predicted = made.targets + np.random.default_rng(1).standard_normal(made.targets.shape).astype(np.float32)
    made = Problem({"x": lambda: predicted}, made.targets, made.splits, weights, made.blocks, "segments")
    kept = cross_validate_problem(made, Fixed(), "pearson").resampling
    counts = sample_counts(kept.strata, 6, 0, "x")
    found = kept.one_layer.replicates(counts)
    for copies, of_sample in zip(counts, found, strict=True):
        by_split = []
        for split in made.splits:
            times = copies[made.blocks[split.test]].astype(int)
            rows = np.repeat(split.test, times * (1 if weights is None else weights[split.test].astype(int)))
            if len(np.unique(rows)) > 1:
                by_split.append([np.corrcoef(predicted[rows, t], made.targets[rows, t])[0, 1] for t in range(3)])
        np.testing.assert_allclose(of_sample, np.mean(by_split, axis=0), atol=2e-4)


def test_each_block_once_gives_the_score_itself():
    made = problem(0, films_s=(90, 75), n_layers=2, n_targets=20, signal=1.0, n_splits=3)
    groups = {"odd": np.arange(1, 20, 2), "even": np.arange(0, 20, 2)}
    result = cross_validate_problem(made, Ridge(), "pearson", groups=groups)
    once = np.ones((1, len(result.resampling.strata)))
    rule, kept = Rule(nested=False), result.resampling
    for columns, statistics in [(slice(None), kept.one_layer), *((c, kept.regions[g]) for g, c in groups.items())]:
        score = rule.test({"valid": result.valid[:, columns], "test": result.test[:, columns]}).mean(axis=1)
        np.testing.assert_allclose(statistics.replicates(once)[0], score, atol=1e-5)


def test_units_that_lack_different_rows_have_replicates_of_their_own_rows():
    made = problem(0, films_s=(150, 120), n_layers=3, n_targets=12, signal=1.0, n_splits=3)
    targets, rng = made.targets.copy(), np.random.default_rng(0)
    targets[rng.random(len(targets)) < 0.2, :4] = np.nan
    targets[made.stimulus == 1, 4:7] = np.nan
    targets[:, 11] = np.nan
    rule = Rule(headline=PER_TARGET)
    options = {"rule": rule, "missing": "units"}
    result = cross_validate_problem(replace(made, targets=targets), Ridge(penalty="blocks"), "pearson", **options)
    once = np.ones((1, len(result.resampling.strata)))
    for per_target, statistics in ((False, result.resampling.one_layer), (True, result.resampling.per_target)):
        test = rule.test({"valid": result.valid, "test": result.test}, per_target)
        np.testing.assert_allclose(statistics.replicates(once)[0], nan_mean(test, axis=1), atol=1e-5)
        assert np.isnan(test[11]).all()
        assert np.isfinite(test[:4]).all()


def test_a_problem_without_blocks_keeps_no_statistics():
    made = problem(0, films_s=(90, 75), n_splits=2)
    bare = Problem(made.layers, made.targets, made.splits)
    assert cross_validate_problem(bare, Ridge(), "pearson").resampling is None


def test_several_problems_are_resampled_within_each():
    films = [problem(seed, films_s=(300,), n_targets=1, signal=1.0, n_layers=2, n_splits=3) for seed in range(3)]
    result = cross_validate_each([lambda p=p: p for p in films], Ridge(), "pearson", jobs=1)
    kept = result.resampling
    np.testing.assert_array_equal(np.unique(kept.strata, return_counts=True)[1], [len(set(p.blocks)) for p in films])
    best = Rule(nested=False).layers(result.valid)[0, 0]
    once = np.ones((1, len(kept.strata)))
    np.testing.assert_allclose(kept.one_layer.replicates(once)[0], result.test[best].mean(axis=1), atol=1e-5)
    other = once.copy()
    other[0, kept.strata == 2] = sample_counts(np.zeros((kept.strata == 2).sum(), int), 1, 0, "x")
    moved = kept.one_layer.replicates(other)[0] - result.test[best].mean(axis=1)
    assert np.abs(moved[:2]).max() < 1e-5 < np.abs(moved[2])


def test_an_accuracys_interval_is_the_binomial_one():
    rng = np.random.default_rng(0)
    n = 2000
    truth = rng.choice(["a", "b"], n)[:, None]
    answers = np.where(rng.random(n)[:, None] < 0.8, truth, np.where(truth == "a", "b", "a"))
    codes = {"x": lambda: (answers == "a").astype(float)}

    class Names(Fixed):
        def predict(self, X):
            return np.where(X > 0.5, "a", "b")

    rows = np.arange(n)
    made = Problem(codes, truth, [Split(rows[:998], rows[998:1000], rows[1000:])], blocks=rows, block_name="stimuli")
    result = cross_validate_problem(made, Names(), "accuracy")
    kept = bootstrap(result.resampling, result.test[0], 2000, 0, metric="accuracy")
    spread = kept.aggregate.std() / training_factor(result.test.mean(), result.resampling.widening, ARCSINE)
    assert spread == pytest.approx(np.sqrt(0.8 * 0.2 / 1000), rel=0.1)
    assert kept.aggregate.mean() == pytest.approx(result.test.mean(), abs=1e-3)


def test_replicates_are_centred_on_the_score_and_normalised_by_the_ceiling():
    made = problem(3, films_s=(150, 120), n_targets=9, signal=0.7, n_splits=4)
    result = cross_validate_problem(made, Ridge(), "pearson", groups={"r": np.arange(4)})
    ceiling = np.full(9, 0.5)
    ceiling[:2] = np.nan
    regional = {"r": (np.arange(4), result.test[0, :4])}
    score = result.test[0].mean(axis=1)
    options = {"ceiling": ceiling, "normalised": np.median(score[2:]) / 0.5, "regional": regional}
    found = bootstrap(result.resampling, result.test[0], 2000, 0, **options)
    for draws, centre in (
        (found.aggregate, aggregate(result.test[0])),
        (found.normalised * 0.5, np.median(score[2:])),
        (found.regions["r"], aggregate(result.test[0, :4])),
    ):
        assert np.arctanh(draws).mean() == pytest.approx(np.arctanh(centre), abs=0.03)
    assert np.all(found.low < score)
    assert np.all(score < found.high)
    assert found.normalised.std() > 1.5 * found.aggregate.std()


def test_no_draw_leaves_the_bounds_of_the_score():
    """Good predictions, of a quality that changes between segments: on the scale of r itself, draws lie above 1."""
    rng = np.random.default_rng(0)
    made = problem(3, films_s=(240, 180), n_targets=9, signal=1.0, n_splits=5)
    quality = np.repeat(rng.uniform(0.2, 2, 28), 15)[:, None]
    noise = quality * np.linspace(0.5, 1.0, 9) * rng.standard_normal(made.targets.shape)
    near = made.targets + noise.astype(np.float32)
    made = Problem({"x": lambda: near}, made.targets, made.splits, None, made.blocks, "segments")
    result = cross_validate_problem(made, Fixed(), "pearson", groups={"good": np.arange(3)})
    kept, test = replace(result.resampling, widening=2.5), result.test[0]
    plain = np.median(kept.regions["good"].replicates(sample_counts(kept.strata, 1000, 0, kept.identity)), axis=1)
    assert (test[:3].mean() + kept.widening * (plain - plain.mean()) > 1).mean() > 0.03
    options = {"ceiling": np.full(9, 0.8), "normalised": np.median(test.mean(axis=1)) / 0.8}
    found = bootstrap(kept, test, 1000, 0, **options, regional={"good": (np.arange(3), test[:3])})
    for draws in (found.aggregate, found.regions["good"], found.low, found.high):
        assert np.abs(draws).max() <= 1
    assert found.regions["good"].std() > 0.05
    assert 1 < found.normalised.max() <= 1 / 0.8
    assert np.all(found.low < test.mean(axis=1))
    assert np.all(test.mean(axis=1) < found.high)


@pytest.mark.parametrize(("scale", "scores"), [(FISHER, [-0.9, 0.0, 0.99, 1.0]), (ARCSINE, [0.0, 0.5, 0.99, 1.0])])
def test_a_scale_maps_back_and_bounds_what_is_added(scale, scores):
    np.testing.assert_allclose(scale.inverse(scale.forward(np.array(scores))), scores, atol=2e-6)
    low, high = (-1, 1) if scale is FISHER else (0, 1)
    for score in scores:
        draws = recentre(np.linspace(max(low, score - 0.5), min(high, score + 0.5), 50), score, 3.0, scale)
        assert low <= draws.min() <= draws.max() <= high
    assert METRICS["accuracy"].scale is ARCSINE
    assert METRICS["pearson"].scale is METRICS["O2"].scale is FISHER


def test_training_rows_matter_at_noise_and_not_at_a_perfect_score():
    assert training_factor(np.array([0.0, 1.0, -1.0, 1.2]), 1.5) == pytest.approx([1.5, 1, 1, 1])
    assert training_factor(np.array([0.0, 1.0]), 1.5, ARCSINE) == pytest.approx([1.5, 1])
    between = training_factor(np.linspace(0, 1, 50), 1.5)
    assert np.all(np.diff(between) < 0)
    assert training_factor(0.3, 1.0) == 1


def test_the_tails_turn_a_normal_into_students_t():
    rng = np.random.default_rng(0)
    strata = np.repeat([0, 1], 4)
    factors = tails(strata, 20_000, 0, "rows")
    assert stats.kstest(factors * rng.standard_normal(20_000), stats.t(6).cdf).pvalue > 0.01
    assert stats.kstest(factors * rng.standard_normal(20_000), stats.norm.cdf).pvalue < 1e-6
    np.testing.assert_array_equal(factors, tails(strata, 20_000, 0, "rows"))
    assert not np.array_equal(factors, tails(strata, 20_000, 0, "other rows"))
    assert np.isfinite(tails(np.array([0]), 40, 0, "one block")).all()


def test_the_median_over_targets_varies_in_samples_as_in_new_data():
    """200 equal targets with own noise: the plain median of noisy samples of noisy scores varies too much."""
    rng = np.random.default_rng(0)
    data = 0.3 + 0.1 * rng.standard_normal((400, 200))
    true = np.median(data, axis=1).std()
    samples = data[0] + 0.1 * rng.standard_normal((2000, 200))
    assert sample_medians(samples).std() == pytest.approx(true, rel=0.12)
    assert np.median(samples, axis=1).std() > 1.08 * true
    # half of the noise is that of other training rows, which the samples do not vary
    part = data[0] + 0.1 * np.sqrt(0.5) * rng.standard_normal((2000, 200))
    assert np.sqrt(2) * sample_medians(part, np.sqrt(2)).std() == pytest.approx(true, rel=0.12)
    assert np.sqrt(2) * sample_medians(part).std() > 1.15 * true
    # noise in common moves all targets alike and is kept
    common = data[0] + 0.1 * rng.standard_normal((2000, 1))
    np.testing.assert_allclose(sample_medians(common), np.median(common, axis=1))
    holes = np.where(rng.random(samples.shape) < 0.01, np.nan, samples)
    holes[:, 3] = np.nan
    assert sample_medians(holes).std() == pytest.approx(sample_medians(samples).std(), rel=0.05)
    assert np.isnan(sample_medians(np.full((3, 2), np.nan))).all()


def test_a_target_without_score_has_no_interval_and_leaves_the_others_unchanged():
    made = problem(3, films_s=(150, 120), n_targets=3, signal=0.7, n_splits=3)
    targets = made.targets.copy()
    targets[:, 1] = np.nan
    result = cross_validate_problem(
        Problem(made.layers, targets, made.splits, blocks=made.blocks), Ridge(), "pearson", groups=None
    )
    found = bootstrap(result.resampling, result.test[0], 100, 0)
    np.testing.assert_array_equal(np.isnan(found.low), [False, True, False])
    assert np.isfinite(found.aggregate).all()


def test_few_training_rows_widen_and_overlapping_tests_less():
    rows = np.arange(100)
    folds = [Split(np.delete(rows, range(k, k + 10)), rows[:0], rows[k : k + 10]) for k in range(0, 100, 10)]
    ones = np.ones(100)
    assert widening(folds, ones) == pytest.approx(np.sqrt(1 + 10 / 90 / 0.1))
    assert widening(folds[:1], ones) == pytest.approx(np.sqrt(1 + 10 / 90))
    assert widening(folds[:1], 3 * ones) == pytest.approx(np.sqrt(1 + 10 / 90))
    assert 1 < widening(item_splits(100), ones) < 1.5


@pytest.mark.slow
@pytest.mark.parametrize(("signal", "shared"), [(0.7, 0.5), (0.0, 0.5)])
def test_the_interval_covers_the_expected_score(signal, shared):
    """Nominally in 95 % of data sets: of each target, and of the median over targets."""
    scores, targets, whole = [], [], []
    for seed in range(100):
        made = problem(seed, signal=signal, shared=shared, n_splits=5)
        result = cross_validate_problem(made, Ridge(), "pearson")
        found = bootstrap(result.resampling, result.test[0], 200, 0)
        scores.append(result.test[0].mean(axis=1))
        targets.append((found.low, found.high))
        whole.append((aggregate(result.test[0]), *np.percentile(found.aggregate, [2.5, 97.5])))
    expected, (low, high) = np.mean(scores, axis=0), np.swapaxes(targets, 0, 1)
    assert 0.88 < ((low <= expected) & (expected <= high)).mean() <= 1
    score, low, high = np.transpose(whole)
    assert 0.88 < ((low <= score.mean()) & (score.mean() <= high)).mean() <= 1
