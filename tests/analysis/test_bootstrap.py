"""Intervals: samples that pair models, replicates equal to rows repeated by hand, spreads known in closed form."""

import numpy as np
import pytest

from src.analysis.aggregate import aggregate
from src.analysis.bootstrap import bootstrap, sample_counts
from src.evaluate.bootstrap_statistics import widening
from src.evaluate.cross_validate import Problem, cross_validate_each, cross_validate_problem
from src.evaluate.decoders import Ridge
from src.evaluate.decoders.base import Split
from src.evaluate.layer_choice import best_layer
from src.evaluate.splits import item_splits
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


@pytest.mark.parametrize("weighted", [False, True])
def test_replicates_are_the_scores_of_rows_repeated_by_hand(weighted):
    made = problem(0, films_s=(90, 75), n_targets=3, signal=1.0, n_splits=2)
    weights = np.random.default_rng(0).choice([1.0, 3.0], len(made.targets)) if weighted else None
    predicted = made.targets + np.random.default_rng(1).standard_normal(made.targets.shape).astype(np.float32)
    made = Problem({"x": lambda: predicted}, made.targets, made.splits, weights, made.blocks, "segments")
    kept = cross_validate_problem(made, Fixed(), "pearson").resampling
    counts = sample_counts(kept.strata, 6, 0, "x")
    found = kept.statistics[None].replicates(counts)
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
    for name, columns in {None: slice(None), **groups}.items():
        best = best_layer(result.valid[:, columns])
        score = result.test[best, columns].mean(axis=1)
        np.testing.assert_allclose(result.resampling.statistics[name].replicates(once)[0], score, atol=1e-5)


def test_a_problem_without_blocks_keeps_no_statistics():
    made = problem(0, films_s=(90, 75), n_splits=2)
    bare = Problem(made.layers, made.targets, made.splits)
    assert cross_validate_problem(bare, Ridge(), "pearson").resampling is None


def test_several_problems_are_resampled_within_each():
    films = [problem(seed, films_s=(300,), n_targets=1, signal=1.0, n_layers=2, n_splits=3) for seed in range(3)]
    result = cross_validate_each([lambda p=p: p for p in films], Ridge(), "pearson", jobs=1)
    kept = result.resampling
    np.testing.assert_array_equal(np.unique(kept.strata, return_counts=True)[1], [len(set(p.blocks)) for p in films])
    best = best_layer(result.valid)
    assert kept.layer == best
    once = np.ones((1, len(kept.strata)))
    np.testing.assert_allclose(kept.statistics[None].replicates(once)[0], result.test[best].mean(axis=1), atol=1e-5)
    other = once.copy()
    other[0, kept.strata == 2] = sample_counts(np.zeros((kept.strata == 2).sum(), int), 1, 0, "x")
    moved = kept.statistics[None].replicates(other)[0] - result.test[best].mean(axis=1)
    assert np.abs(moved[:2]).max() < 1e-5 < np.abs(moved[2])


def test_an_accuracys_interval_is_the_binomial_one():
    rng = np.random.default_rng(0)
    n = 1000
    truth = rng.choice(["a", "b"], n)[:, None]
    answers = np.where(rng.random(n)[:, None] < 0.8, truth, np.where(truth == "a", "b", "a"))
    codes = {"x": lambda: (answers == "a").astype(float)}

    class Names(Fixed):
        def predict(self, X):
            return np.where(X > 0.5, "a", "b")

    rows = np.arange(n)
    made = Problem(codes, truth, [Split(rows[:2], rows[2:4], rows[4:])], blocks=rows, block_name="stimuli")
    result = cross_validate_problem(made, Names(), "accuracy")
    kept = bootstrap(result.resampling, result.test[0], 2000, 0)
    spread = kept.aggregate.std() / result.resampling.widening
    assert spread == pytest.approx(np.sqrt(0.8 * 0.2 / (n - 4)), rel=0.1)
    assert kept.aggregate.mean() == pytest.approx(result.test.mean())


def test_replicates_are_centred_on_the_score_and_normalised_by_the_ceiling():
    made = problem(3, films_s=(150, 120), n_targets=9, signal=0.7, n_splits=4)
    result = cross_validate_problem(made, Ridge(), "pearson", groups={"r": np.arange(4)})
    ceiling = np.full(9, 0.5)
    ceiling[:2] = np.nan
    regional = {"r": result.test[0, :4]}
    found = bootstrap(result.resampling, result.test[0], 200, 0, ceiling=ceiling, regional=regional)
    score = result.test[0].mean(axis=1)
    assert found.aggregate.mean() == pytest.approx(aggregate(result.test[0]))
    assert found.normalised.mean() == pytest.approx(np.median(score[2:] / 0.5))
    assert found.regions["r"].mean() == pytest.approx(aggregate(result.test[0, :4]))
    assert np.all(found.low < score)
    assert np.all(score < found.high)
    assert found.normalised.std() > 1.5 * found.aggregate.std()


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
