"""Planted parts of the explained variance: dynamic, static, shared, drift and noise, against their closed forms."""

from dataclasses import replace

import numpy as np
import pytest

from src.analysis.variance import errors, explained
from src.evaluate.cross_validate import Problem
from src.evaluate.decoders.base import LeftOut, Split
from src.models.sources.whole import COSINES

N_ROWS, N_SPLITS, BLOCK = 900, 3, 15
N_UNITS = 12


def orthogonal(seed, width, n=N_ROWS):
    """Return seeded columns of mean 0 and variance 1, uncorrelated over all rows."""
    values = np.random.default_rng(seed).standard_normal((n, width))
    return np.linalg.qr(values - values.mean(axis=0))[0] * np.sqrt(n)


def problem(sets, targets):
    """Return contiguous test parts, with segments as blocks."""
    rows = np.arange(len(targets))
    parts = np.array_split(rows, N_SPLITS)
    splits = [Split(np.setdiff1d(rows, part), rows[:0], part) for part in parts]
    blocks = rows // BLOCK
    left_out = [LeftOut(rows[blocks == block]) for block in np.unique(blocks)]
    layers = {name: lambda values=values: values for name, values in sets.items()}
    return Problem(layers, targets, splits, blocks=blocks, left_out=left_out)


def partition(sets, targets, areas=(), n_samples=200):
    found = errors(problem(sets, targets), {name: [(name,)] for name in sets})
    return explained([found], [np.arange(targets.shape[1]), *areas], n_samples, 0)


@pytest.fixture(scope="module")
def dynamic():
    """A video model and its frozen control: 20 % dynamic variance in one region, 0 % in another, noise in a third."""
    directions = orthogonal(0, 14 + 3 * N_UNITS)
    static, moving, noise = directions[:, :7], directions[:, 7:14], directions[:, 14:]
    rng = np.random.default_rng(1)

    def signal(features):
        weights = rng.standard_normal((features.shape[1], N_UNITS))
        return features @ (weights / np.linalg.norm(weights, axis=0))

    mt = np.sqrt(0.3) * signal(static) + np.sqrt(0.2) * signal(moving) + np.sqrt(0.5) * noise[:, :N_UNITS]
    v4 = np.sqrt(0.4) * signal(static) + np.sqrt(0.6) * noise[:, N_UNITS : 2 * N_UNITS]
    targets = np.hstack([mt, v4, noise[:, 2 * N_UNITS :]])
    mixing = np.linalg.qr(rng.standard_normal((14, 14)))[0]
    sets = {"video": np.hstack([static, moving]) @ mixing, "frozen": static}
    return partition(sets, targets, np.split(np.arange(3 * N_UNITS), 3))


def test_unique_dynamic_variance_is_that_of_the_closed_form(dynamic):
    assert dynamic.sets == ("video", "frozen")
    _, mt, _, _ = dynamic.areas
    joint, unique, of_frozen, shared = mt[:, 0]
    assert unique == pytest.approx(0.2, abs=0.02)
    assert of_frozen == pytest.approx(0, abs=0.01)
    assert shared == pytest.approx(0.3, abs=0.03)
    assert joint == pytest.approx(0.5, abs=0.03)
    assert mt[1, 1] < 0.2 < mt[1, 2]
    assert mt[1, 2] - mt[1, 1] < 0.1
    assert (dynamic.q[0, :N_UNITS] < 0.05).all()


def test_a_static_region_has_no_dynamic_variance(dynamic):
    _, _, v4, noise = dynamic.areas
    assert v4[1, 0] == pytest.approx(0, abs=0.01)
    assert v4[3, 0] == pytest.approx(0.4, abs=0.03)
    assert noise[:, 0] == pytest.approx(0, abs=0.01)
    # features that explain nothing cost a little: the unique part is 0 from below
    assert v4[1, 2] > -0.002
    assert (dynamic.q[0, N_UNITS:] > 0.05).mean() > 0.9


def test_parts_have_intervals_that_contain_them(dynamic):
    assert (dynamic.low <= dynamic.parts).all()
    assert (dynamic.parts <= dynamic.high).all()
    none = partition({"a": orthogonal(0, 3, 90), "b": orthogonal(1, 3, 90)}, orthogonal(2, 2, 90), n_samples=0)
    assert np.isnan(none.low).all()
    assert np.isnan(none.q).all()
    assert np.isfinite(none.parts).all()


def test_five_thousand_noise_features_add_nothing():
    directions = orthogonal(2, 10 + N_UNITS)
    weights = np.random.default_rng(3).standard_normal((10, N_UNITS))
    signal = directions[:, :10] @ (weights / np.linalg.norm(weights, axis=0))
    targets = np.sqrt(0.4) * signal + np.sqrt(0.6) * directions[:, 10:]
    noise = np.random.default_rng(4).standard_normal((N_ROWS, 5000)).astype(np.float32)
    found = partition({"signal": directions[:, :10], "noise": noise}, targets, n_samples=0)
    assert abs(found.areas[0, 2, 0]) <= 0.005
    assert found.areas[0, 1, 0] == pytest.approx(0.4, abs=0.03)


def test_drift_alone_scores_0_beyond_confounds():
    """A model whose features drift predicts responses that drift; beyond the position in the film it adds nothing."""
    rng = np.random.default_rng(5)
    share = (np.arange(N_ROWS) + 0.5) / N_ROWS
    position = np.cos(np.pi * share[:, None] * np.arange(1, COSINES + 1))
    # the parts that are held out need several periods: the drift repeats in each third of the film
    position = np.tile(position[::N_SPLITS], (N_SPLITS, 1))
    drift = position @ rng.standard_normal((COSINES, N_UNITS))
    drift /= drift.std(axis=0)
    targets = np.sqrt(0.5) * drift + np.sqrt(0.5) * rng.standard_normal((N_ROWS, N_UNITS))
    model = position @ rng.standard_normal((COSINES, 30)) + 0.5 * rng.standard_normal((N_ROWS, 30))
    found = partition({"model": model, "confounds": position}, targets)
    assert found.alone[0].mean() > 0.3
    assert found.areas[0, 1, 0] == pytest.approx(0, abs=0.01)
    assert found.areas[0, 1, 1] < 0 < found.areas[0, 1, 2]


def test_units_are_partitioned_on_their_own_rows():
    sets, targets = {"a": orthogonal(6, 4, 300), "b": orthogonal(7, 4, 300)}, orthogonal(8, 3, 300)
    targets[:60, 0] = np.nan
    targets[:, 2] = np.nan
    found = errors(problem(sets, targets), {"a": [("a",)], "b": [("b",)]}, missing="units").partition()
    part = problem({name: values[60:] for name, values in sets.items()}, targets[60:])
    assert np.isfinite(found.joint[:2]).all()
    assert np.isnan(found.joint[2])
    splits = [split.restricted(np.arange(300) >= 60) for split in problem(sets, targets).splits]
    moved = [Split(split.train - 60, split.valid, split.test - 60) for split in splits]
    expected = errors(replace(part, targets=targets[60:, :1], splits=moved), {"a": [("a",)], "b": [("b",)]}).partition()
    np.testing.assert_allclose(found.joint[0], expected.joint[0], atol=1e-6)
