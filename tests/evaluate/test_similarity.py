"""Similarity: published formulas, invariances, and planted layers that reach their ceilings and others that do not."""

from functools import cache

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from src.ceiling import Recording
from src.evaluate import similarity
from src.evaluate.cross_validate import Problem
from src.evaluate.decoders import Ridge
from src.evaluate.layer_choice import PER_TARGET, Rule
from src.evaluate.metrics import METRICS, SimilarityMetric
from src.evaluate.metrics.similarity import Pairs, mean_ranks, soft_matching
from src.evaluate.splits import item_splits, left_out_groups
from src.evaluate.subjects import People

NAMES = [name for name, metric in METRICS.items() if isinstance(metric, SimilarityMetric)]
NO_FIT = [name for name in NAMES if not METRICS[name].fitted]
N, UNITS, REPETITIONS = 240, 24, 6
RULE = Rule(True, PER_TARGET)


def all_pairs(n):
    return Pairs(~np.eye(n, dtype=bool))


def score(name, X, Y, pairs=None):
    metric, pairs = METRICS[name], pairs or all_pairs(len(X))
    return metric.compare(metric.measure(X, pairs), metric.measure(Y, pairs), np.ones((1, len(X)))).score


def sides(n=40, seed=0):
    rng = np.random.default_rng(seed)
    X, Y = rng.standard_normal((n, 12)), rng.standard_normal((n, 9))
    Y[:, :5] += X[:, :5]
    return X, Y


def upper(D):
    return D[np.triu_indices(len(D), 1)]


def distances(X):
    return ((X[:, None] - X[None]) ** 2).sum(axis=2)


def hsic(K, L):
    """Unbiased HSIC, equation 5 of Song et al. 2012."""
    n, K, L = len(K), K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
    return np.trace(K @ L) + K.sum() * L.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * K.sum(axis=0) @ L.sum(axis=0)


def test_rsa_is_spearmans_correlation_of_correlation_distances():
    X, Y = sides()
    expected = spearmanr(upper(1 - np.corrcoef(X)), upper(1 - np.corrcoef(Y))).statistic
    assert score("rsa", X, Y) == pytest.approx(expected, abs=1e-10)


# of rsatoolbox 0.3.2 (numpy 2.4.6) for `sides(n, seed)`: calc_rdm(Dataset(X), "correlation") with compare(...,
# "spearman"), all pairs and without those of neighbours; "euclidean" with "corr_cov"
RSATOOLBOX = {
    (15, 0): (0.405722579307485, 0.4566952035306465, 0.4357517725008074),
    (40, 1): (0.2532749826246364, 0.26499477486319595, 0.2575752772353822),
    (60, 2): (0.3076788157668946, 0.3112446249188626, 0.3534272101567533),
}


@pytest.mark.parametrize("case", RSATOOLBOX)
def test_rsa_agrees_with_rsatoolbox(case):
    (X, Y), n = sides(*case), case[0]
    near = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) < 3
    found = score("rsa", X, Y), score("rsa", X, Y, Pairs(~near)), score("rsa_whitened", X, Y)
    np.testing.assert_allclose(found, RSATOOLBOX[case], rtol=0, atol=1e-10)


def test_ranks_are_those_of_scipy():
    rng = np.random.default_rng(0)
    for values in (rng.standard_normal(50), rng.integers(0, 6, 50) / 3, np.ones(4), np.zeros(0), np.array([2.0])):
        np.testing.assert_array_equal(mean_ranks(values), rankdata(values))


def test_whitened_rsa_inverts_the_covariance_of_distances():
    X, Y = sides(15)
    C = np.array([np.eye(15)[i] - np.eye(15)[j] for i, j in zip(*np.triu_indices(15, 1), strict=True)])
    inverse = np.linalg.inv((C @ C.T) ** 2)
    a, b = (upper(distances(Z)) - upper(distances(Z)).mean() for Z in (X, Y))
    expected = a @ inverse @ b / np.sqrt((a @ inverse @ a) * (b @ inverse @ b))
    assert score("rsa_whitened", X, Y) == pytest.approx(expected, abs=1e-10)


def test_cka_is_the_ratio_of_unbiased_hsic():
    X, Y = sides()
    K, L = X @ X.T, Y @ Y.T
    assert score("cka", X, Y) == pytest.approx(hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L)), abs=1e-10)


def test_soft_matching_finds_the_permutation_and_keeps_the_marginals():
    X, _ = sides(200)
    order = np.random.default_rng(1).permutation(12)
    assert score("soft_matching", X, X[:, order]) == pytest.approx(1, abs=1e-10)
    r = np.random.default_rng(2).standard_normal((4, 6))
    plan = soft_matching(r)
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 4, atol=1e-9)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 6, atol=1e-9)
    # each unit of 4 split in three, each of 6 in two: an assignment of 12 parts
    from scipy.optimize import linear_sum_assignment

    parts = np.repeat(np.repeat(r, 3, axis=0), 2, axis=1)
    best = parts[linear_sum_assignment(-parts)].sum() / 12
    assert (plan * r).sum() == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("name", NO_FIT)
def test_permuted_and_scaled_units_change_nothing(name):
    X, Y = sides()
    changed = 3 * Y[:, np.random.default_rng(0).permutation(9)]
    assert score(name, X, changed) == pytest.approx(score(name, X, Y), abs=1e-10)


@pytest.mark.parametrize("name", ["rsa_whitened", "cka"])
def test_rotations_change_nothing_where_geometry_is_compared(name):
    X, Y = sides()
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((9, 9)))[0]
    assert score(name, X, Y @ Q + 5) == pytest.approx(score(name, X, Y), abs=1e-10)


@pytest.mark.parametrize("name", ["rsa", "rsa_whitened", "cka"])
def test_pairs_that_are_left_out_have_no_effect(name):
    X, Y = sides()
    near = np.abs(np.subtract.outer(np.arange(40), np.arange(40))) < 3
    pairs = Pairs(~near)
    metric = METRICS[name]
    for side in metric.measure(X, pairs):
        assert (side[near] == 0).all()
    a = metric.measure(X, pairs)[0]
    if name == "cka":
        np.testing.assert_allclose(a.sum(axis=1), 0, atol=1e-9)
    assert 0.1 < score(name, X, Y, pairs) < 1


@pytest.mark.parametrize("name", ["rsa", "rsa_whitened", "cka"])
def test_unrelated_responses_score_nothing(name):
    found = [score(name, sides(30, seed)[0], sides(30, 1000 + seed)[1]) for seed in range(200)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))


@pytest.mark.parametrize("name", ["rsa", "cka"])
def test_slow_drift_scores_nothing_beyond_the_gap(name):
    """Unrelated slow series look alike in pairs that are near in time; without these the score is 0 on average."""
    found = []
    for seed in range(60):
        X, Y = np.random.default_rng(seed).standard_normal((2, 80, 6)).cumsum(axis=1)
        X, Y = (Z[10:] - Z[:-10] for Z in (X, Y))
        near = np.abs(np.subtract.outer(np.arange(70), np.arange(70))) < 10
        found.append((score(name, X, Y), score(name, X, Y, Pairs(~near))))
    (biased, mean), error = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
    assert biased > 3 * error[0]
    assert abs(mean) < 3 * error[1]


@cache
def planted():
    """Region `right` is a rotation of one layer plus noise, `noise` has none; six repetitions by six people."""
    rng = np.random.default_rng(0)
    layers = {name: rng.standard_normal((N, UNITS)).astype(np.float32) for name in ("other", "planted")}
    rotation = np.linalg.qr(rng.standard_normal((UNITS, UNITS)))[0]
    # units are axes for soft matching, and a rotation for the rest
    signal = np.concatenate([layers["planted"] @ rotation, layers["planted"]], axis=1)
    values = np.concatenate([signal, np.zeros((N, UNITS))], axis=1)[:, None]
    values = values + 1.5 * rng.standard_normal((N, REPETITIONS, 3 * UNITS))
    stimulus = np.arange(N)
    made = Problem(
        {name: lambda X=X: X for name, X in layers.items()},
        values.mean(axis=1).astype(np.float32),
        item_splits(N, layout="tiled", n_splits=4),
        blocks=stimulus,
        block_name="stimuli",
        left_out=left_out_groups(stimulus),
        stimulus=stimulus,
        shifted=np.zeros(N, bool),
    )
    subjects = tuple("abcdef")
    recording = Recording(values[:, :, None].astype(np.float32), subjects, stimulus, np.zeros(N, int))
    people = People(subjects, lambda s, units: values[:, s][:, units].astype(np.float32))
    regions = {"rotated": slice(0, UNITS), "axes": slice(UNITS, 2 * UNITS), "noise": slice(2 * UNITS, None)}
    columns = {name: np.arange(3 * UNITS)[part] for name, part in regions.items()}
    compared = similarity.scorer(made, NAMES, columns, RULE, recordings=[recording], permutations=39)
    similarity.fitted(compared, made, Ridge(penalty="blocks", scaled=True), NAMES, rule=RULE, missing="units")
    kept = {}

    def arrays(found):
        kept[len(kept)] = found
        return {}

    evaluations = compared.evaluations({}, True, people, arrays)
    return evaluations, dict(zip(evaluations, kept.values(), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_the_planted_layer_reaches_its_ceiling_and_the_other_does_not(name):
    found = planted()[0][name]
    region = list(found.targets["target_id"]).index("axes" if name == "soft_matching" else "rotated")
    ceiling = found.ceiling[region]
    layers = RULE.layers(found.valid)
    if not METRICS[name].fitted:
        assert (layers[:2] == 1).all()
    right, wrong = found.test[1, region].mean(), found.test[0, region].mean()
    print(name, round(right, 3), round(ceiling, 3), round(wrong, 3))
    assert right == pytest.approx(ceiling, rel=0.06)
    assert wrong < (0.5 if name == "soft_matching" else 0.15) * ceiling


@pytest.mark.parametrize("name", NAMES)
def test_intervals_and_p_values_tell_signal_from_noise(name):
    found = planted()[0][name]
    names = list(found.targets["target_id"])
    signal, noise = names.index("axes"), names.index("noise")
    layers = RULE.layers(found.valid)
    test = np.take_along_axis(found.test, layers[None], axis=0)[0].mean(axis=1)
    beats = (found.permuted < test).mean(axis=0)
    assert beats[signal] == 1
    assert 0.02 < beats[noise] < 0.98 or abs(test[noise]) < 0.05
    statistics = found.resampling.per_target
    counts = np.random.default_rng(0).multinomial(
        len(found.resampling.strata), [1 / len(found.resampling.strata)] * len(found.resampling.strata), 200
    )
    replicates = statistics.replicates(counts)
    np.testing.assert_allclose(statistics.replicates(np.ones((1, counts.shape[1])))[0], test, atol=1e-5)
    assert 0.002 < replicates[:, signal].std() < 0.1


@pytest.mark.parametrize("name", NO_FIT)
def test_influences_have_the_spread_of_new_stimuli(name):
    """The spread over bootstrap samples of one data set is that of the score over data sets."""
    metric, spreads, scores = METRICS[name], [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((60, 8))
        Y = X + rng.standard_normal((60, 8))
        pairs, member = all_pairs(60), np.kron(np.eye(20), np.ones(3))
        found = metric.compare(metric.measure(X, pairs), metric.measure(Y, pairs), member)
        scores.append(found.score)
        spreads.append(np.sqrt((found.influence**2).sum()))
    assert np.mean(spreads) == pytest.approx(np.std(scores), rel=0.45)


@pytest.mark.parametrize("name", NAMES)
def test_people_have_scores_below_that_of_their_mean(name):
    evaluations, people = planted()
    of_people = people[name]
    assert of_people.test.shape == (6, 3, 4)
    found = evaluations[name]
    test = np.take_along_axis(found.test, RULE.layers(found.valid)[None], axis=0)[0]
    assert (of_people.test[:, 1].mean(axis=1) < test[1].mean()).all()
    # a person is as similar to the others as their signal allows, where there is one; a model may exceed it
    ceiling, error = found.extra["subject_ceiling"], found.extra["subject_ceiling_error"]
    assert ceiling.shape == error.shape == (6, 3)
    assert set(found.extra["subject_ceiling_kind"]) == {"inter-subject"}
    assert (ceiling[:, :2] > 0.1).all()
    assert abs(ceiling[:, 2].mean() - (test[2].mean() if name == "soft_matching" else 0)) < 0.1
    assert (error > 0).all()
    medians = np.median(of_people.test, axis=1).mean(axis=1)
    np.testing.assert_allclose(of_people.segments.mean(axis=1), medians, atol=1e-6)
