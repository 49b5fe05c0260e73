from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from src.evaluate.confusions import error_consistency, human_right, model_right
from src.evaluate.cross_validate import Problem, cross_validate_metrics, cross_validate_problem
from src.evaluate.decoders import Logistic, Ridge
from src.evaluate.metrics import METRICS, Moments, PredictionMetric, accuracy, pearson
from src.evaluate.metrics.values import BLOCK_BYTES, balanced_accuracy, r2, top5
from src.evaluate.ranked import Ranked, most_probable
from src.evaluate.splits import item_splits
from src.utils import BadInput

PREDICTIONS = {name: m.value for name, m in METRICS.items() if isinstance(m, PredictionMetric) and name != "top5"}


def pair(n_rows=30, n_targets=5, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(n_rows, n_targets))
    return true + rng.normal(size=true.shape), true


def test_pearson_equals_scipy():
    predicted, true = pair()
    expected = [pearsonr(p, t).statistic for p, t in zip(predicted.T, true.T, strict=True)]
    np.testing.assert_allclose(pearson(predicted, true), expected, rtol=1e-12)


def test_pearson_of_float32_far_from_zero():
    predicted, true = pair()
    expected = pearson(predicted, true)
    found = pearson((predicted + 100).astype(np.float32), (true + 100).astype(np.float32))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("value", [0.0, 0.1, -7e8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pearson_is_nan_where_a_side_is_constant(side, value, dtype):
    sides = [array.astype(dtype) for array in pair()]
    sides[side][:, 2] = value
    np.testing.assert_array_equal(np.isnan(pearson(*sides)), [False, False, True, False, False])


def test_pearson_is_nan_with_fewer_than_two_rows():
    predicted, true = pair()
    assert np.isnan(pearson(predicted[:1], true[:1])).all()
    assert np.isnan(pearson(predicted[:0], true[:0])).all()


def test_pearson_is_one_with_itself_and_minus_one_with_its_mirror():
    _, true = pair()
    np.testing.assert_allclose(pearson(true * 3 + 1, true), 1)
    np.testing.assert_allclose(pearson(-true, true), -1)


@pytest.mark.parametrize("metric", PREDICTIONS.values(), ids=PREDICTIONS)
def test_weights_equal_repeated_rows(metric):
    predicted, true = (np.round(side) for side in pair())
    counts = np.random.default_rng(1).integers(1, 4, len(true))
    repeated = metric(np.repeat(predicted, counts, axis=0), np.repeat(true, counts, axis=0))
    np.testing.assert_allclose(metric(predicted, true, counts.astype(float)), repeated, rtol=1e-12)


def test_blocks_of_targets_do_not_matter():
    n_rows = 2000
    predicted, true = pair(n_rows, 2 * (BLOCK_BYTES["cpu"] // (8 * n_rows)) + 3)
    parts = [pearson(p, t) for p, t in zip(np.array_split(predicted, 7, 1), np.array_split(true, 7, 1), strict=True)]
    np.testing.assert_allclose(pearson(predicted, true), np.concatenate(parts), rtol=1e-12)


def test_tensors_give_the_same_array():
    predicted, true = pair()
    found = pearson(torch.from_numpy(predicted), torch.from_numpy(true))
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, pearson(predicted, true))


def test_accuracy_counts_equal_labels():
    predicted = np.array([["a", "x"], ["b", "y"], ["a", "x"], ["b", "z"]])
    true = np.array([["a", "x"], ["b", "x"], ["b", "x"], ["b", "x"]])
    np.testing.assert_allclose(accuracy(predicted, true), [0.75, 0.5])
    np.testing.assert_allclose(accuracy(predicted, true, np.array([1, 1, 6, 1.0])), [3 / 9, 7 / 9])
    assert np.isnan(accuracy(predicted[:0], true[:0])).all()


@pytest.mark.parametrize("metric", PREDICTIONS.values(), ids=PREDICTIONS)
def test_shapes_are_checked(metric):
    predicted, true = pair()
    with pytest.raises(BadInput, match=r"predictions of shape \(30, 4\) and truth of shape \(30, 5\)"):
        metric(predicted[:, :4], true)
    with pytest.raises(BadInput, match="29 weights for 30 rows; expected one weight per row"):
        metric(predicted, true, np.ones(29))


def test_r2_equals_scikit_learn():
    from sklearn.metrics import r2_score

    predicted, true = pair()
    weights = np.random.default_rng(2).uniform(0.5, 3, len(true))
    found = r2(predicted, true, weights)
    np.testing.assert_allclose(found, r2_score(true, predicted, sample_weight=weights, multioutput="raw_values"))
    assert np.isnan(r2(predicted, np.ones_like(true))).all()
    assert np.isnan(r2(predicted[:1], true[:1])).all()
    np.testing.assert_allclose(r2(true.mean(axis=0) + 0 * true, true), 0, atol=1e-12)


def test_balanced_accuracy_equals_scikit_learn():
    from sklearn.metrics import balanced_accuracy_score

    rng = np.random.default_rng(0)
    true, predicted = rng.choice(list("aaaab"), (50, 2)), rng.choice(list("ab"), (50, 2))
    expected = [balanced_accuracy_score(t, p) for t, p in zip(true.T, predicted.T, strict=True)]
    np.testing.assert_allclose(balanced_accuracy(predicted, true), expected)
    assert np.isnan(balanced_accuracy(predicted[:0], true[:0])).all()


def test_top5_equals_scikit_learn():
    from sklearn.metrics import top_k_accuracy_score

    rng = np.random.default_rng(0)
    labels = np.array(list("abcdefgh"))
    y = np.tile(labels, 15)
    X = (np.arange(8)[:, None] == np.arange(8))[np.searchsorted(labels, y)] + rng.standard_normal((120, 8))
    fitted = Ranked(Logistic()).fit(X[:80], y[:80, None])
    predicted = fitted.predict(X[80:])
    expected = top_k_accuracy_score(y[80:], fitted.decoder.predict_proba(X[80:]), k=5, labels=labels)
    assert top5(predicted, y[80:, None])[0] == pytest.approx(expected)
    np.testing.assert_array_equal(most_probable(predicted), Logistic().fit(X[:80], y[:80, None]).predict(X[80:]))
    with pytest.raises(BadInput, match="Ridge has no probabilities of classes; expected the decoder logistic"):
        Ranked(Ridge())


def planted(n=120, classes=False):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((n, 6)).astype(np.float32)
    Y = X @ rng.standard_normal((6, 4)) + rng.standard_normal((n, 4))
    Y = np.array(list("abcdefg"))[np.digitize(Y[:, :1], [-4, -2, -1, 0, 1, 2])] if classes else Y + 3
    layers = {"noise": lambda: rng.standard_normal((n, 6)).astype(np.float32), "signal": lambda: X}
    stimulus = np.arange(n)
    return Problem(layers, Y, item_splits(n), blocks=stimulus, stimulus=stimulus, shifted=np.zeros(n, bool))


@pytest.mark.parametrize(
    ("decoder", "names"),
    [(Ridge(), ("pearson", "r2")), (Logistic(), ("accuracy", "balanced_accuracy", "top5"))],
    ids=["numbers", "classes"],
)
def test_metrics_of_one_fit_are_those_of_their_own(decoder, names):
    classes = "accuracy" in names
    together = cross_validate_metrics(planted(classes=classes), decoder, names)
    counts = np.random.default_rng(0).integers(0, 3, (5, 120))
    for name in names:
        alone = cross_validate_problem(planted(classes=classes), decoder, name)
        np.testing.assert_array_equal(together[name].test, alone.test)
        np.testing.assert_array_equal(together[name].valid, alone.valid)
        first, second = (one.resampling.one_layer.replicates(counts) for one in (together[name], alone))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", ["pearson", "r2", "accuracy", "balanced_accuracy", "top5"])
def test_a_bootstrap_sample_is_its_rows_repeated(name):
    """The statistic of a metric gives the value of the metric on repeated rows."""
    metric, made = METRICS[name], planted(classes=METRICS[name].of_classes)
    decoder = Logistic() if metric.of_classes else Ridge()
    result = cross_validate_problem(made, decoder, name)
    counts = np.random.default_rng(1).integers(0, 4, (4, 120))
    layer = int(np.nanmedian(result.valid, axis=1).mean(axis=1).argmax())
    found = result.resampling.one_layer.replicates(counts)
    decoder = Ranked(decoder) if name == "top5" else decoder
    X = list(made.layers.values())[layer]()
    for sample, times in zip(found, counts, strict=True):
        scores = []
        for split in made.splits:
            fitted = decoder.fit(X[split.train], made.targets[split.train])
            rows = np.repeat(split.test, times[split.test])
            scores.append(metric.value(fitted.predict(X[rows]), made.targets[rows]))
        np.testing.assert_allclose(sample, np.nanmean(scores, axis=0), atol=2e-5)


@pytest.mark.parametrize("copies", [1, 31], ids=["few targets", "more than rows"])
def test_r2_of_permutations_without_a_fit_is_that_of_new_fits(copies):
    """Also where training rows, predicted without their block, choose the layer; targets have a mean."""
    from src.analysis.permutation import null
    from src.evaluate.layer_choice import Rule

    made, rng = planted(), np.random.default_rng(0)
    X, noise = (rng.standard_normal((120, 6)).astype(np.float32) for _ in range(2))
    targets = np.tile(X @ rng.standard_normal((6, 4)) + rng.standard_normal((120, 4)) + 30, (1, copies))
    splits = item_splits(120, layout="tiled", n_splits=3)
    made = replace(made, layers={"x": lambda: X, "y": lambda: noise}, targets=targets.astype(np.float32), splits=splits)
    decoder = Ridge(alphas=[1.0], penalty="blocks")
    options = {"rule": Rule(True), "missing": "units"}
    fast, slow = (null([lambda: made], decoder, "r2", 5, refit=refit, **options).test for refit in (False, True))
    np.testing.assert_allclose(fast, slow, atol=2e-4)
    assert fast.max() < 0.1


def test_a_smaller_score_may_be_the_better_one(monkeypatch):
    error = PredictionMetric(
        *("error", "error", "squared error", "numbers"),
        bounds=(0.0, float("inf")),
        direction=-1,
        value=lambda p, t, w: np.average((np.asarray(p) - np.asarray(t)) ** 2, axis=0, weights=w),
    )
    monkeypatch.setitem(METRICS, "error", error)
    from src.evaluate.layer_choice import Rule

    result = cross_validate_problem(planted(), Ridge(), "error", rule=Rule(False))
    rule = Rule(False, direction=-1)
    assert (rule.layers(result.valid) == 1).all()
    assert (Rule(False).layers(result.valid) == 0).all()


def test_error_consistency_equals_cohens_kappa():
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(0)
    a, b = rng.random(200) < 0.7, rng.random(200) < 0.6
    b[:120] = a[:120]
    found = error_consistency(a[:, None].astype(float), b[:, None].astype(float))
    assert found == pytest.approx(cohen_kappa_score(a, b))
    counts = rng.integers(0, 4, 200)
    rows = np.repeat(np.arange(200), counts)
    weighted = error_consistency(a[:, None].astype(float), b[:, None].astype(float), counts.astype(float))
    assert weighted == pytest.approx(cohen_kappa_score(a[rows], b[rows]))
    assert np.isnan(error_consistency(np.ones((5, 1)), np.ones((5, 1))))
    independent = [error_consistency(*(rng.random((2, 500, 1)) < 0.6).astype(float)) for _ in range(200)]
    assert abs(np.mean(independent)) < 0.01


def test_right_answers_follow_from_the_response_matrix():
    """Three classes; people see the first image as 0.75 right, the second never."""
    matrix = np.array([[np.nan, 0.25, 0.0], [0.5, np.nan, 0.5], [np.nan, np.nan, np.nan]])
    truth = np.array([0, 1, -1])
    np.testing.assert_array_equal(human_right(matrix, truth, False), [[0.75], [0.0], [np.nan]])
    np.testing.assert_array_equal(human_right(matrix, truth, True), 1 - matrix)
    model = np.array([[np.nan, 0.25, 0.4], [0.2, np.nan, 0.6], [np.nan] * 3])
    np.testing.assert_array_equal(model_right(model, truth, False), [[1.0], [0.0], [np.nan]])
    np.testing.assert_array_equal(model_right(model, truth, True), [[np.nan, 1, 1], [1, np.nan, 0], [np.nan] * 3])


def test_every_metric_states_its_range_and_names():
    for name, metric in METRICS.items():
        low, high = metric.bounds
        assert name == metric.name
        assert low < high
        assert metric.direction in (1, -1)
        assert metric.label
        assert metric.title
        assert metric.base is None or METRICS[metric.base].of_ceiling is not None
        inside = np.clip(np.array([-0.5, 0.0, 0.3, 0.9]), low, high)
        np.testing.assert_allclose(metric.scale.inverse(metric.scale.forward(inside)), inside, atol=1e-6)
        if isinstance(metric, PredictionMetric):
            assert metric.linear_null == isinstance(metric.statistic, Moments)
