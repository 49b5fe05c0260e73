"""Task relevance finds planted tasks and axes, explains nothing by chance, and its intervals are those of families."""

import numpy as np
import pytest
from scipy.optimize import nnls

from src.analysis import relevance as r
from src.utils import BadInput

N_MODELS, N_TASKS = 90, 11
CAUSAL = {2: 0.5, 7: 0.3}


def study(seed=0, noise=0.01, n_models=N_MODELS, siblings=3, alike=0.5):
    """Return planted task scores (n_models, n_tasks), alignment (n_models,) by two of them, and families.

    alike: share of the variance over models that is common to a family.
    """
    rng = np.random.default_rng(seed)
    family = np.arange(n_models) // siblings

    def drawn(*shape):
        common = rng.standard_normal((family.max() + 1, *shape))[family]
        return np.sqrt(alike) * common + np.sqrt(1 - alike) * rng.standard_normal((n_models, *shape))

    ability = drawn(1)
    scores = 0.5 + 0.15 * (0.5 * ability + np.sqrt(0.75) * drawn(N_TASKS))
    alignment = 0.05 + sum(weight * scores[:, task] for task, weight in CAUSAL.items()) + noise * drawn()
    return scores, alignment, [f"family-{i}" for i in family]


@pytest.mark.parametrize("seed", range(5))
def test_two_causal_tasks_of_eleven_are_found(seed):
    scores, alignment, families = study(seed)
    truth = np.zeros(N_TASKS)
    truth[list(CAUSAL)] = list(CAUSAL.values())
    found = r.relevance(scores, alignment[:, None], families, n_samples=200)
    np.testing.assert_allclose(found.fit.slopes[:, 0], truth, atol=0.05)
    # the same in units of the spread over models
    spread = scores.std(axis=0) / alignment.std()
    np.testing.assert_allclose(found.fit.weights[:, 0] / alignment.std(), truth * spread, atol=0.05)
    assert found.fit.residual[0] <= 0.02
    assert found.adjusted_r2[0] > 0.97
    assert found.fit.held_out_r2[0] > 0.97
    assert found.p[0] <= 0.02
    assert (found.weights_low[:, 0] <= found.fit.weights[:, 0] + 1e-9).all()
    assert (found.weights_low[list(CAUSAL), 0] > 0).all()
    assert (np.delete(found.weights_low[:, 0], list(CAUSAL)) < 0.005).all()


def test_the_residual_falls_to_the_noise_when_the_causal_tasks_are_in_the_set():
    scores, alignment, families = study(1, noise=0.01)
    names = [f"task-{i}" for i in range(N_TASKS)]
    sets = r.task_sets(scores, alignment, families, names)
    assert sets[:N_TASKS] == [(name,) for name in names]
    assert ("task-2", "task-7") in sets
    assert sets[-1] == tuple(names)

    def residual(tasks):
        columns = [names.index(task) for task in tasks]
        return r.fit(scores[:, columns], alignment[:, None], families).residual[0]

    assert residual(("task-7",)) > residual(("task-2",)) > 0.03
    assert residual(("task-2", "task-7")) == pytest.approx(0.01, abs=0.003)


@pytest.mark.parametrize(("siblings", "alike"), [(1, 0.0), (3, 0.9), (6, 0.9)])
def test_unrelated_tasks_explain_nothing(siblings, alike):
    """The mean adjusted R² is 0, also where models of a family are nearly copies; the usual adjustment is then off."""
    found, usual, held_out = [], [], []
    for seed in range(40):
        scores, _, families = study(seed, siblings=siblings, alike=alike)
        rng = np.random.default_rng(1000 + seed)
        family = np.arange(N_MODELS) // siblings
        own = rng.standard_normal(N_MODELS)
        alignment = np.sqrt(alike) * rng.standard_normal(family.max() + 1)[family] + np.sqrt(1 - alike) * own
        one = r.relevance(scores, alignment[:, None], families, n_samples=0, seed=seed)
        found.append(one.adjusted_r2[0])
        usual.append(1 - (1 - one.fit.r2[0]) * (N_MODELS - 1) / (N_MODELS - 1 - (one.fit.slopes > 0).sum()))
        held_out.append(one.fit.held_out_r2[0])
    assert abs(np.mean(found)) < 0.02
    assert np.mean(held_out) < 0.01
    if siblings == 6:
        assert np.mean(usual) > 0.1


def test_chance_is_that_of_ezekiel_for_a_regression_without_bounds():
    """On independent models and orthogonal tasks, weights of 0 or more use half of the tasks by chance."""
    rng = np.random.default_rng(0)
    scores = np.linalg.qr(rng.standard_normal((N_MODELS, N_TASKS + 1)))[0]
    scores = scores[:, 1:] - scores[:, 1:].mean(axis=0)
    alone = [str(i) for i in range(N_MODELS)]
    chance = r.chance_r2(scores, r.permuted(rng.standard_normal((N_MODELS, 1)), alone, 2000))
    assert chance.mean() == pytest.approx(N_TASKS / (N_MODELS - 1) / 2, rel=0.1)


def test_permuted_alignment_keeps_the_families():
    """Each permutation holds every family's mean once, and every deviation in its own family."""
    families = ["a"] * 3 + ["b"] * 2 + ["c"]
    values = np.array([1.0, 2, 6, 10, 30, 100])
    found = r.permuted(values[:, None], families, 50)
    means, deviations = np.array([3.0, 20, 100]), {"a": [-2, -1, 3], "b": [-10, 10], "c": [0]}
    for column in found.T:
        parts = {name: column[[family == name for family in families]] for name in "abc"}
        assert sorted(round(part.mean(), 9) for part in parts.values()) == means.tolist()
        for name, part in parts.items():
            np.testing.assert_allclose(np.sort(part - part.mean()), deviations[name], atol=1e-9)
    assert len(np.unique(found.round(9), axis=1).T) > 20


def test_axes_of_units_are_the_planted_ones():
    """Units that follow two tasks in independent amounts: the axes span the two tasks, sorted by variance."""
    scores, _, families = study(3)
    rng = np.random.default_rng(3)
    amounts = rng.uniform(0, [[0.8], [0.4]], (2, 300))
    alignment = scores[:, list(CAUSAL)] @ amounts + 0.005 * rng.standard_normal((N_MODELS, 300))
    weights = r.fit(scores, alignment, families).weights
    found = r.axes(weights)
    planted = np.zeros((2, N_TASKS))
    planted[[0, 1], list(CAUSAL)] = 1
    assert np.abs(np.sum(found.loadings * planted, axis=1)).min() > 0.99
    assert found.share.sum() > 0.95
    assert np.corrcoef(found.coordinates[:, 0], amounts[0])[0, 1] > 0.99
    assert np.corrcoef(found.coordinates[:, 1], amounts[1])[0, 1] > 0.97


def test_axes_of_two_kinds_of_units_are_opposite():
    weights = np.zeros((3, 20))
    weights[0, :10], weights[2, 10:] = 0.3, 0.3
    found = r.axes(weights)
    np.testing.assert_allclose(found.loadings[0], [2**-0.5, 0, -(2**-0.5)], atol=1e-9)
    assert found.share[0] == pytest.approx(1)
    assert (found.coordinates[:10, 0] > 0).all()
    assert (found.coordinates[10:, 0] < 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_weights_are_those_of_scipy(seed):
    rng = np.random.default_rng(seed)
    design = rng.standard_normal((40, 8)) + rng.standard_normal((40, 1)) * (3 if seed % 2 else 0.5)
    targets = rng.standard_normal((40, 60)) + design[:, :1]
    expected = np.stack([nnls(design, target)[0] for target in targets.T], axis=1)
    np.testing.assert_allclose(r.non_negative(design, targets), expected, atol=1e-7)
    np.testing.assert_allclose(r.non_negative(design, targets[:, :3]), expected[:, :3], atol=1e-7)


def test_a_constant_task_and_a_copy_of_a_task_do_no_harm():
    scores, alignment, families = study(5)
    scores = np.column_stack([scores, np.full(N_MODELS, 0.4), scores[:, 2]])
    found = r.fit(scores, alignment[:, None], families)
    assert found.slopes[N_TASKS, 0] == 0
    assert found.slopes[2, 0] + found.slopes[N_TASKS + 1, 0] == pytest.approx(0.5, abs=0.05)
    assert found.residual[0] <= 0.02


def test_a_unit_without_alignment_is_nan_and_leaves_the_others_unchanged():
    scores, alignment, families = study(6)
    two = np.column_stack([alignment, alignment])
    two[4, 1] = np.nan
    found = r.relevance(scores, two, families, n_samples=20)
    assert np.isnan([found.adjusted_r2[1], found.low[1], found.p[1], found.fit.residual[1]]).all()
    assert np.isnan(found.fit.weights[:, 1]).all()
    alone = r.fit(scores, alignment[:, None], families)
    np.testing.assert_allclose(found.fit.weights[:, 0], alone.weights[:, 0])


def test_predictions_use_no_sibling():
    """A model's prediction does not change with the alignment of its own family."""
    scores, alignment, families = study(7)
    changed = alignment.copy()
    changed[:3] += 1
    before, after = (r.fit(scores, values[:, None], families).predicted[:3] for values in (alignment, changed))
    np.testing.assert_allclose(before, after)


def test_folds_separate_no_family_and_hold_every_model_once():
    families = ["a"] * 20 + ["b"] * 3 + [f"single-{i}" for i in range(25)]
    folds = r.family_folds(families)
    assert len(folds) == 10
    np.testing.assert_array_equal(np.sum(folds, axis=0), 1)
    for family in set(families):
        assert sum(any(fold[i] for i, name in enumerate(families) if name == family) for fold in folds) == 1


def test_intervals_are_those_of_families():
    """Interval of a mean over models: right by families, too narrow if siblings count as independent."""
    inside, naive, n = 0, 0, 200
    families = [str(i // 6) for i in range(60)]
    for seed in range(n):
        rng = np.random.default_rng(seed)
        values = rng.standard_normal(10).repeat(6) + 0.3 * rng.standard_normal(60)
        found = r.mean_interval(values, families, 200, seed)
        alone = r.mean_interval(values, [str(i) for i in range(60)], 200, seed)
        inside += found["low"] < 0 < found["high"]
        naive += alone["low"] < 0 < alone["high"]
    assert 0.90 <= inside / n <= 0.99
    assert naive / n < 0.75


def test_samples_of_one_task_are_those_of_one_regression_after_another():
    rng, families = np.random.default_rng(5), [str(i // 3) for i in range(60)]
    task = rng.normal(0.5, 0.15, (60, 1))
    alignment = rng.normal(size=(60, 4)) + task * [3, 1, 0, -2]
    found = r.relevance(task, alignment, families, n_samples=50)
    # a constant second task gets no weight, and makes every sample a regression of its own
    expected = r.relevance(np.hstack([task, np.ones((60, 1))]), alignment, families, n_samples=50)
    for name in ("low", "high"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9)
        weights = [getattr(one, f"weights_{name}")[0] for one in (found, expected)]
        np.testing.assert_allclose(*weights, rtol=1e-9, atol=1e-12)


def test_difference_and_correlation_of_planted_scores():
    rng = np.random.default_rng(0)
    families = [str(i // 2) for i in range(40)]
    values = rng.normal(0.4, 0.02, 40)
    found = r.difference(
        {"values": values[:20] + 0.1, "families": families[:20]}, {"values": values[20:], "families": families[20:]}
    )
    assert found["low"] < 0.1 < found["high"] < 0.15
    few = r.difference({"values": values[:4], "families": families[:4]}, {"values": values, "families": families})
    assert few["low"] is None
    other = 2 * values + 0.02 * rng.standard_normal(40)
    other[0] = np.nan
    related = r.correlation(values, other, families)
    assert related["models"] == 39
    assert related["r"] == pytest.approx(np.corrcoef(values[1:], other[1:])[0, 1])
    assert related["low"] < related["r"] < related["high"]
    assert r.correlation(values, np.full(40, 0.3), families)["r"] is None


def test_models_and_tasks_with_missing_scores_are_left_out():
    scores, alignment, _ = study(8)
    scores[:60, 3] = np.nan
    scores[5, 0] = np.nan
    alignment[9] = np.nan
    models, tasks = r.complete_cases(scores, alignment)
    assert 3 not in tasks
    assert len(tasks) == N_TASKS - 1
    assert sorted(set(range(N_MODELS)) - set(models)) == [5, 9]
    with pytest.raises(BadInput, match=r"6 models of 6 families .* on 2 tasks; expected at least 8 models of 5"):
        r.check_size(6, 2, list("abcdef"))
    with pytest.raises(BadInput, match="no task"):
        r.check_size(90, 0, list("abcdef"))
