import numpy as np
import pytest
import torch
from scipy.stats import pearsonr

from src.evaluate.metrics import BLOCK, METRICS, accuracy, pearson
from src.utils import BadInput


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


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_weights_equal_repeated_rows(metric):
    predicted, true = (np.round(side) for side in pair())
    counts = np.random.default_rng(1).integers(1, 4, len(true))
    repeated = metric(np.repeat(predicted, counts, axis=0), np.repeat(true, counts, axis=0))
    np.testing.assert_allclose(metric(predicted, true, counts.astype(float)), repeated, rtol=1e-12)


def test_blocks_of_targets_do_not_matter():
    predicted, true = pair(10, 2 * BLOCK + 3)
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


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_shapes_are_checked(metric):
    predicted, true = pair()
    with pytest.raises(BadInput, match=r"predictions of shape \(30, 4\) and truth of shape \(30, 5\)"):
        metric(predicted[:, :4], true)
    with pytest.raises(BadInput, match="29 weights for 30 rows; expected one weight per row"):
        metric(predicted, true, np.ones(29))
