"""Variance partitioning finds planted unique and shared parts, and no variance in noise."""

import numpy as np
import pytest

from src.analysis.variance import partition
from src.evaluate.decoders import Ridge
from src.evaluate.decoders.base import Split
from src.utils import BadInput

N = 400


def folds(n, k=5):
    """Return splits in which every row is tested once."""
    rows = np.arange(n)
    return [Split(rows[rows % k != i], rows[:0], rows[rows % k == i]) for i in range(k)]


def planted(seed=0, n=N):
    """Return two sets that share four of eight directions, and targets: 50 % A; 30 % shared; 30 % A + 30 % B; noise."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.standard_normal((n, 16)))[0] * np.sqrt(n)
    common, a, b, noise = np.split(directions, 4, axis=1)
    targets = np.stack(
        [
            np.sqrt(0.5) * a[:, 0] + np.sqrt(0.5) * noise[:, 0],
            np.sqrt(0.3) * common[:, 0] + np.sqrt(0.7) * noise[:, 1],
            np.sqrt(0.3) * a[:, 1] + np.sqrt(0.3) * b[:, 1] + np.sqrt(0.4) * noise[:, 2],
            noise[:, 3],
        ],
        axis=1,
    )
    return {"A": np.hstack([common, a]), "B": np.hstack([common, b])}, targets, folds(n)


@pytest.mark.parametrize("decoder", [None, lambda sizes: Ridge(penalty="gcv", alpha_per_target=True)])
def test_planted_parts_are_found(decoder):
    features, targets, splits = planted()
    found = partition(features, targets, splits, decoder=decoder)
    np.testing.assert_allclose(found.unique["A"], [0.5, 0, 0.3, 0], atol=0.12)
    np.testing.assert_allclose(found.unique["B"], [0, 0, 0.3, 0], atol=0.12)
    np.testing.assert_allclose(found.shared, [0, 0.3, 0, 0], atol=0.15)
    np.testing.assert_allclose(found.joint, [0.5, 0.3, 0.6, 0], atol=0.15)


def test_the_parts_add_up():
    features, targets, splits = planted(1)
    found = partition(features, targets, splits[:2])
    np.testing.assert_allclose(found.shared + found.unique["A"] + found.unique["B"], found.joint)
    np.testing.assert_allclose(found.alone["A"] + found.alone["B"] - found.joint, found.shared)
    np.testing.assert_allclose(found.without["A"], found.alone["B"])


def test_three_sets_are_partitioned_by_leaving_out_each():
    features, targets, splits = planted(2, n=160)
    features["chance"] = np.random.default_rng(3).standard_normal((160, 5))
    found = partition(features, targets, splits[:2])
    np.testing.assert_allclose(found.unique["chance"], 0, atol=0.1)
    assert found.unique["A"][0] > 0.3 > found.unique["B"][0] + 0.2
    assert set(found.without) == {"A", "B", "chance"}


def test_one_set_cannot_be_partitioned():
    features, targets, splits = planted()
    with pytest.raises(BadInput, match="1 feature sets; expected at least two"):
        partition({"A": features["A"]}, targets, splits)
