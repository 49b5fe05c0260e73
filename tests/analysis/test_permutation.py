"""P values: shared ridge weights equal refitting, permutations are valid, chance is found at the nominal level."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from src.analysis import permutation
from src.analysis.fdr import p_values, q_values, significant
from src.evaluate.cross_validate import Problem, cross_validate_problem
from src.evaluate.decoders import Logistic, Ridge
from src.evaluate.layer_choice import ONE_LAYER, PER_TARGET, Rule
from src.evaluate.splits import item_splits
from src.utils import BadInput
from tests.analysis.fmri_like import problem


@pytest.fixture(autouse=True)
def one_core(monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")


@pytest.mark.parametrize("per_target", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_targets", [3, 90])
def test_ridge_permutations_equal_refitting(per_target, weighted, n_targets):
    made = problem(0, films_s=(90, 75), n_layers=2, n_targets=n_targets, n_features=5, n_splits=3)
    if weighted:
        weights = np.random.default_rng(0).choice([1.0, 3.0], len(made.targets))
        made = replace(made, weights=weights)
    decoder = Ridge(alphas=[10.0], penalty="gcv", alpha_per_target=per_target)
    fast, refitted = (permutation.null([lambda: made], decoder, "pearson", 5, refit=r).test for r in (False, True))
    np.testing.assert_allclose(fast, refitted, atol=2e-5)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("headline", [ONE_LAYER, PER_TARGET])
def test_permutations_choose_layers_as_refitting_does(nested, headline):
    """Two problems, one of them with units that lack different rows."""
    rule = Rule(nested, headline)
    made = [problem(seed, films_s=(90, 75), n_layers=3, n_targets=6, n_features=5, n_splits=3) for seed in (0, 1)]
    targets = made[1].targets.copy()
    targets[made[1].stimulus == 1, :2] = np.nan
    targets[:, 5] = np.nan
    problems = [lambda: made[0], lambda: replace(made[1], targets=targets)]
    options = {"rule": rule, "missing": "units"}
    decoder = Ridge(alphas=[10.0], penalty="blocks")
    fast, refitted = (permutation.null(problems, decoder, "pearson", 5, refit=r, **options).test for r in (False, True))
    assert np.isnan(fast[:, 11]).all()
    assert np.isfinite(fast[:, :6]).all()
    np.testing.assert_allclose(fast, refitted, atol=2e-5)


def test_several_problems_choose_one_layer():
    films = [problem(seed, films_s=(120,), n_targets=1, n_layers=3, n_features=5, n_splits=3) for seed in range(4)]
    decoder = Ridge(alphas=[10.0])
    makers = [lambda p=p: p for p in films]
    fast, refitted = (permutation.null(makers, decoder, "pearson", 8, refit=r).test for r in (False, True))
    assert fast.shape == (8, 4)
    np.testing.assert_allclose(fast, refitted, atol=2e-5)


def test_rows_that_are_not_finite_stay_out():
    made = problem(0, films_s=(90, 75), n_targets=3, n_features=5, n_splits=3)
    targets = made.targets.copy()
    targets[:4] = np.nan
    targets[:, 2] = np.nan
    decoder = Ridge(alphas=[10.0])
    found = permutation.null([lambda: replace(made, targets=targets)], decoder, "pearson", 4).test
    assert np.isfinite(found[:, :2]).all()
    assert np.isnan(found[:, 2]).all()


def test_films_are_shifted_and_clips_shuffled():
    stimulus = np.repeat([0, 1, 2, 3, 4], [40, 30, 3, 3, 2])
    made = Problem({}, np.zeros((78, 1)), [], stimulus=stimulus, shifted=stimulus < 2)
    for order in permutation.orders(made, 20, 0):
        for film, length in ((0, 40), (1, 30)):
            rows = np.flatnonzero(stimulus == film)
            shift = (order[rows] - rows[0] - np.arange(length)) % length
            assert len(set(shift)) == 1
            assert length // 4 <= length - shift[0] < 3 * length // 4 or length // 4 <= shift[0] <= 3 * length // 4
        assert [tuple(order[40 + 30 + 3 * i :][:3] - 70) for i in range(2)] in (
            [(0, 1, 2), (3, 4, 5)],
            [(3, 4, 5), (0, 1, 2)],
        )
        np.testing.assert_array_equal(order[-2:], [76, 77])


def test_one_film_has_a_limited_number_of_shifts():
    made = Problem({}, np.zeros((40, 1)), [], stimulus=np.zeros(40, int), shifted=np.ones(40, bool))
    found = permutation.orders(made, 1000, 0)
    assert len(found) == 20
    assert len(np.unique(found, axis=0)) == 20


def test_nothing_to_shuffle_is_an_error():
    made = Problem({}, np.zeros((3, 1)), [], stimulus=np.array([0, 1, 1]), shifted=np.zeros(3, bool))
    with pytest.raises(BadInput, match=r"no two stimuli have equally many rows.*--permutations 0"):
        permutation.orders(made, 10, 0)


def test_labels_are_shuffled_and_refitted():
    rng = np.random.default_rng(0)
    truth = np.repeat(["a", "b"], 30)[:, None]
    X = rng.standard_normal((60, 3)) + 3 * (truth == "a")
    rows = np.arange(60)
    made = Problem({"x": lambda: X}, truth, item_splits(60, strata=truth[:, 0], n_splits=2))
    made = replace(made, stimulus=rows, shifted=np.zeros(60, bool))
    null = permutation.null([lambda: made], Logistic(), "accuracy", 19)
    score = cross_validate_problem(made, Logistic(), "accuracy").test[0].mean(axis=1)
    assert abs(null.aggregate.mean() - 0.5) < 0.15
    assert p_values(null.test, score)[0] == pytest.approx(1 / 20)


def test_p_counts_the_permutations_that_reach_the_score():
    null = np.arange(9.0)[:, None] * np.ones(3)
    np.testing.assert_allclose(p_values(null, np.array([8.0, 100.0, np.nan])), [0.2, 0.1, np.nan])
    null[0] = np.nan
    assert p_values(null, np.full(3, 100.0))[0] == 0.2


def test_q_is_scipys_over_the_targets_that_have_a_p():
    p = np.array([0.01, np.nan, 0.04, 0.03, 0.5])
    q = q_values(p)
    np.testing.assert_allclose(q[[0, 2, 3, 4]], false_discovery_control(p[[0, 2, 3, 4]]))
    assert np.isnan(q[1])
    assert significant(q) == 1
    assert np.isnan(q_values(np.full(2, np.nan))).all()


def p_of(seed, n, **planted):
    made, rule = problem(seed, n_splits=5, **planted), Rule(headline=PER_TARGET)
    decoder = Ridge(penalty="blocks", scaled=True)
    result = cross_validate_problem(made, decoder, "pearson", rule=rule)
    score = rule.test({"valid": result.valid, "test": result.test}).mean(axis=1)
    null = permutation.null([lambda: made], decoder, "pearson", n, seed=seed, rule=rule)
    return p_values(null.test, score), p_values(null.aggregate, np.median(score))


@pytest.mark.timeout(1800)  # 25,000 regressions
@pytest.mark.slow
@pytest.mark.parametrize("n_layers", [1, 3])
def test_chance_is_found_at_the_nominal_level(n_layers):
    """Over 200 data sets of smooth noise; choosing the best of three layers for each target is no advantage."""
    found = [p_of(seed, 39, n_layers=n_layers, shared=0.5) for seed in range(200)]
    for p in (np.stack([of_targets for of_targets, _ in found]), np.array([whole for _, whole in found])):
        for level in (0.05, 0.2):
            error = np.sqrt(level * (1 - level) / 200)
            assert abs((p <= level).mean() - level) < 2.6 * error, (level, (p <= level).mean())


def test_a_planted_effect_is_found():
    found = [p_of(seed, 39, signal=1.0) for seed in range(4)]
    assert max(whole for _, whole in found) <= 0.05
    assert np.mean([of_targets <= 0.05 for of_targets, _ in found]) > 0.7
