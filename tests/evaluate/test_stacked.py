"""Stacked and banded fits of several layers against the closed forms of planted units, and against brute force."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from src.evaluate.cross_validate import Problem, cross_validate_problem
from src.evaluate.decoders import BandedRidge, Ridge, StackedRidge
from src.evaluate.decoders.base import LeftOut, Split
from src.evaluate.decoders.stacked import convex_weights, on_simplex
from src.evaluate.feature_sets import JOINT, joined
from src.evaluate.layer_choice import PER_TARGET, Rule

N_ROWS, N_UNITS, WIDTH, BLOCK = 800, 15, 8, 16
RULE = Rule(nested=True, headline=PER_TARGET)


def problem(seed=0):
    """Two layers; units of both (60 % signal, half of it of each layer), of the first alone (60 %), and of none."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((N_ROWS, 2 * (WIDTH + N_UNITS)))
    values = np.linalg.qr(values - values.mean(axis=0))[0] * np.sqrt(N_ROWS)
    first, second, noise = values[:, :WIDTH], values[:, WIDTH : 2 * WIDTH], values[:, 2 * WIDTH :]

    def signal(features):
        weights = rng.standard_normal((WIDTH, N_UNITS))
        return features @ (weights / np.linalg.norm(weights, axis=0))

    both = np.sqrt(0.3) * (signal(first) + signal(second)) + np.sqrt(0.4) * noise[:, :N_UNITS]
    one = np.sqrt(0.6) * signal(first) + np.sqrt(0.4) * noise[:, N_UNITS : 2 * N_UNITS]
    # noise that is orthogonal over all rows would be anticorrelated between training and test rows
    targets = np.hstack([both, one, rng.standard_normal((N_ROWS, N_UNITS))])
    rows, blocks = np.arange(N_ROWS), np.arange(N_ROWS) // BLOCK
    splits = [Split(rows[blocks % 5 != k], rows[:0], rows[blocks % 5 == k]) for k in range(5)]
    left_out = [LeftOut(rows[blocks == block]) for block in np.unique(blocks)]
    layers = {"first": lambda: first, "second": lambda: second}
    return Problem(layers, targets, splits, blocks=blocks, left_out=left_out)


OPTIONS = {"penalty": "blocks", "scaled": True}


def medians(result):
    """Median over the units of each kind of the headline."""
    test = RULE.test({"valid": result.valid, "test": result.test}).mean(axis=1)
    return [float(np.median(part)) for part in np.split(test, 3)]


@pytest.fixture(scope="module")
def single():
    return medians(cross_validate_problem(problem(), Ridge(**OPTIONS), "pearson", rule=RULE))


@pytest.mark.parametrize("kind", [StackedRidge, BandedRidge])
def test_units_of_two_layers_reach_their_ceiling_in_a_joint_fit(kind, single):
    made = joined(problem(), [("first",), ("second",)])
    result = cross_validate_problem(made, kind(bands=(WIDTH, WIDTH), **OPTIONS), "pearson", rule=RULE)
    assert list(result.dropped) == [JOINT]
    both, one, none = medians(result)
    # the closed forms: sqrt(0.3) for the best single layer, sqrt(0.6) for both
    assert single[0] == pytest.approx(np.sqrt(0.3), abs=0.05)
    assert both == pytest.approx(np.sqrt(0.6), abs=0.02)
    assert one == pytest.approx(np.sqrt(0.6), abs=0.02)
    assert abs(none) < 0.06
    assert none <= single[2] + 0.03
    if kind is StackedRidge:
        weights = np.split(result.shares[0].mean(axis=0), 3, axis=1)
        assert result.shares.shape == (1, 5, 2, 3 * N_UNITS)
        assert weights[0] == pytest.approx(0.5, abs=0.1)
        assert weights[1][0].mean() > 0.9
        np.testing.assert_allclose(result.shares.sum(axis=2), 1)
        assert result.extra["band_weight"].shape == (2, 3 * N_UNITS, 5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [StackedRidge, BandedRidge])
def test_a_session_predicts_as_a_fit(kind, weighted):
    rng = np.random.default_rng(1)
    X, Y = rng.standard_normal((60, 9)), rng.standard_normal((60, 3))
    Y += X[:, :4] @ rng.standard_normal((4, 3))
    weights = rng.uniform(0.5, 2, 60) if weighted else None
    rows = np.arange(60)
    split = Split(rows[:45], rows[45:50], rows[50:])
    left_out = [LeftOut(rows[k : k + 5]) for k in range(0, 60, 5)]
    decoder = kind(bands=(4, 5), penalty="block errors", scaled=True, alphas=(0.01, 1.0, 100.0))
    session = decoder.session(Y, weights, [split], left_out, inside=True)
    (found,) = session.predict(session.load(X), [split])
    fitted = decoder.fit(X[:45], Y[:45], None if weights is None else weights[:45], left_out[:9])
    offset = session.targets.offset if kind is BandedRidge else session.ridge.targets.offset
    np.testing.assert_allclose(found.values.numpy() + offset, fitted.predict(X[split.held]), atol=1e-9)
    assert found.inside.shape == (45, 3)
    np.testing.assert_allclose(found.alpha, fitted.alpha_)


def test_banded_predictions_of_left_out_rows_are_those_of_fits_without_them():
    rng = np.random.default_rng(2)
    X, Y = rng.standard_normal((40, 7)), rng.standard_normal((40, 2))
    rows = np.arange(40)
    split, left_out = Split(rows, rows[:0], rows[:0]), [LeftOut(rows[k : k + 8]) for k in range(0, 40, 8)]
    decoder = BandedRidge(bands=(3, 4), alphas=(1.0, 30.0), penalty="blocks")
    session = decoder.session(Y, None, [split], left_out, inside=True)
    (found,) = session.predict(session.load(X), [split])
    Z = (X - X.mean(0)) / X.std(0)
    for target in range(2):
        scaled = np.hstack([Z[:, :3] / np.sqrt(found.alpha[0, target]), Z[:, 3:] / np.sqrt(found.alpha[1, target])])
        for one in left_out:
            kept = np.setdiff1d(rows, one.rows)
            A = np.column_stack([scaled[kept], np.ones(len(kept))])
            penalty = np.diag([1.0] * 7 + [0.0])
            weights = np.linalg.solve(A.T @ A + penalty, A.T @ Y[kept, target])
            # the prediction at the mean of the features stays that of all rows
            expected = scaled[one.rows] @ weights[:-1] + Y[:, target].mean()
            np.testing.assert_allclose(found.inside[one.rows, target] + session.targets.offset[target], expected)


def test_convex_weights_are_the_optimum():
    rng = np.random.default_rng(3)
    residuals = rng.standard_normal((20, 4, 30)) * rng.uniform(0.3, 3, (20, 4, 1)) + rng.standard_normal((20, 1, 30))
    G = residuals @ residuals.transpose(0, 2, 1)
    found = convex_weights(torch.from_numpy(G)).numpy()
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found >= 0).all()
    for of_target, weights in zip(G, found, strict=True):
        best = minimize(
            lambda w, of_target=of_target: w @ of_target @ w,
            np.full(4, 0.25),
            jac=lambda w, of_target=of_target: 2 * of_target @ w,
            bounds=[(0, 1)] * 4,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            options={"ftol": 1e-12},
        )
        assert weights @ of_target @ weights <= best.fun * (1 + 1e-6)


def test_the_nearest_point_of_the_simplex():
    points = torch.tensor([[0.2, 0.3, 0.5], [2.0, 0.0, 0.0], [-1.0, -1.0, -1.0], [0.6, 0.6, -5.0]])
    expected = [[0.2, 0.3, 0.5], [1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]]
    np.testing.assert_allclose(on_simplex(points), expected, atol=1e-6)
