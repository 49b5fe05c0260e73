"""The ridge solver against scikit-learn and himalaya: alpha, coefficients, predictions, over shapes and pathologies."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from src.evaluate.cross_validate import Problem, cross_validate_problem
from src.evaluate.decoders import ALPHAS, Ridge
from src.evaluate.decoders.base import LeftOut, Split
from src.evaluate.decoders.targets import Targets
from src.evaluate.layer_choice import Rule
from src.utils import BadInput

SHAPES = {
    "wide": (50, 200, 4),
    "wide, many targets": (50, 200, 120),
    "tall": (150, 20, 4),
    "tall, many targets": (90, 20, 200),
    "square": (40, 40, 3),
    "one target": (60, 100, 1),
    "one feature": (60, 1, 3),
    "one of each": (30, 1, 1),
}
CHOICES = [
    {},
    {"penalty": "gcv", "alpha_per_target": True},
    {"alpha_per_target": True},
    {"penalty": "gcv"},
    {"penalty": "blocks", "scaled": True},
    {"penalty": "blocks", "alpha_per_target": True},
]
FEATURES = ("plain", "collinear", "constant column", "steep eigenvalues")


def make(shape, features="plain", noise=1.0, seed=0):
    """Return features, targets (both with an offset) and 20 held-out rows of features."""
    n, p, t = shape
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n + 20, p)) + 5
    if features == "collinear":
        X[:, : (p + 1) // 2] = X[:, -((p + 1) // 2) :]
    if features == "constant column":
        X[:, 0] = 0.1
    if features == "steep eigenvalues":
        X = rng.normal(size=(n + 20, p)) * np.logspace(0, -6, p) @ rng.normal(size=(p, p))
    X = X.astype(np.float32)
    Y = (X - X.mean(0)) @ rng.normal(size=(p, t))
    Y = Y + noise * (Y.std(0) + 1e-3) * rng.normal(size=Y.shape) + 7
    return X[:n], Y[:n], X[n:]


def oracle(X, Y, held, weights=None, alphas=ALPHAS):
    scaler = StandardScaler().fit(X.astype(np.float64), sample_weight=weights)
    model = RidgeCV(alphas).fit(scaler.transform(X.astype(np.float64)), Y, sample_weight=weights)
    return model, model.predict(scaler.transform(held.astype(np.float64))).reshape(len(held), -1)


def assert_close(actual, expected, tolerance):
    """Assert equality to `tolerance` of the largest value."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def assert_equals_oracle(fitted, model, X, Y, held, expected, tolerance):
    scale = Y.std(axis=0).max()
    assert fitted.alpha_ == model.alpha_
    assert_close(fitted.predict(held), expected, tolerance)
    assert_close(fitted.coef_, model.coef_.reshape(fitted.coef_.shape), tolerance)
    np.testing.assert_allclose(fitted.intercept_, np.ravel(model.intercept_), atol=tolerance * scale)


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_equals_scikit_learn(shape, features):
    if shape[1] == 1 and features == "constant column":
        pytest.skip("without features all alphas are equal")
    X, Y, held = make(shape, features)
    model, expected = oracle(X, Y, held)
    tolerance = 1e-8 if shape[2] <= shape[0] else 3e-6
    assert_equals_oracle(Ridge().fit(X, Y), model, X, Y, held, expected, tolerance)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_equals_scikit_learn_without_noise(shape):
    X, Y, held = make(shape, noise=0.0)
    model, expected = oracle(X, Y, held)
    assert_equals_oracle(Ridge().fit(X, Y), model, X, Y, held, expected, 1e-6 if shape[2] <= shape[0] else 2e-5)


@pytest.mark.parametrize("shape", [SHAPES[name] for name in ("wide", "wide, many targets", "tall", "one feature")])
def test_weights_equal_scikit_learns(shape):
    X, Y, held = make(shape)
    weights = np.random.default_rng(1).uniform(0.2, 4, len(X))
    model, expected = oracle(X, Y, held, weights)
    assert_equals_oracle(Ridge().fit(X, Y, weights), model, X, Y, held, expected, 3e-6)


@pytest.mark.parametrize("shape", [SHAPES["wide"], SHAPES["tall"], SHAPES["wide, many targets"]])
def test_weights_equal_repeated_rows_at_a_given_alpha(shape):
    X, Y, held = make(shape)
    counts = np.random.default_rng(2).integers(1, 4, len(X))
    weighted = Ridge(alphas=[10.0]).fit(X, Y, counts.astype(float))
    repeated = Ridge(alphas=[10.0]).fit(np.repeat(X, counts, axis=0), np.repeat(Y, counts, axis=0))
    assert_close(weighted.coef_, repeated.coef_, 2e-6)
    assert_close(weighted.predict(held), repeated.predict(held), 2e-6)


@pytest.mark.parametrize("shape", [SHAPES["wide"], SHAPES["tall"]])
def test_leave_one_out_leaves_the_whole_weighted_row_out(shape):
    """The curve equals refitting without each row, and counts a row's squared error times its weight."""
    X, Y, _ = make(shape)
    X, Y = X[:30], Y[:30]
    weights = np.random.default_rng(3).uniform(0.5, 3, len(X))
    Z = StandardScaler().fit(X.astype(float), sample_weight=weights).transform(X.astype(float))
    curve = [sum(weights[i] * refit_error(Z, Y, weights, alpha, i) for i in range(len(X))) for alpha in ALPHAS]
    assert Ridge().fit(X, Y, weights).alpha_ == ALPHAS[int(np.argmin(curve))]


def refit_error(Z, Y, weights, alpha, i):
    from sklearn.linear_model import Ridge as SklearnRidge

    rest = np.arange(len(Z)) != i
    model = SklearnRidge(alpha).fit(Z[rest], Y[rest], sample_weight=weights[rest])
    return ((model.predict(Z[[i]]) - Y[i]) ** 2).sum()


@pytest.mark.parametrize("shape", [SHAPES["wide"], SHAPES["tall"], SHAPES["wide, many targets"]])
def test_loo_per_target_equals_scikit_learn(shape):
    X, Y, held = make(shape, noise=3.0)
    Y[:, ::2] = Y[:, ::2] + 20 * np.random.default_rng(0).normal(size=Y[:, ::2].shape)
    scaler = StandardScaler().fit(X.astype(float))
    model = RidgeCV(ALPHAS, alpha_per_target=True).fit(scaler.transform(X.astype(float)), Y)
    fitted = Ridge(alpha_per_target=True).fit(X, Y)
    np.testing.assert_array_equal(fitted.alpha_, model.alpha_)
    assert len(np.unique(fitted.alpha_)) > 1
    assert_close(fitted.predict(held), model.predict(scaler.transform(held.astype(float))), 2e-6)


def test_loo_per_target_equals_himalaya():
    """himalaya with one fold per row refits without each row: the exact leave-one-out choice."""
    ridge = pytest.importorskip("himalaya.ridge")
    X, Y, held = make((40, 15, 12), noise=3.0)
    Z = StandardScaler().fit(X.astype(float))
    model = ridge.RidgeCV(alphas=ALPHAS, cv=KFold(len(X)), fit_intercept=True).fit(Z.transform(X.astype(float)), Y)
    fitted = Ridge(alpha_per_target=True).fit(X, Y)
    np.testing.assert_allclose(fitted.alpha_, model.best_alphas_)
    assert_close(fitted.predict(held), model.predict(Z.transform(held.astype(float))), 1e-8)


@pytest.mark.parametrize("shape", [(60, 90, 6), (120, 15, 6), (60, 90, 150)])
def test_gcv_per_target_minimises_the_generalised_error(shape):
    X, Y, _ = make(shape, noise=2.0)
    Y = Y + np.random.default_rng(0).normal(size=Y.shape) * np.linspace(0, 30, Y.shape[1])
    Z = StandardScaler().fit_transform(X.astype(np.float64))
    centred = Y - Y.mean(0)
    errors = []
    for alpha in ALPHAS:
        H = Z @ np.linalg.solve(Z.T @ Z + alpha * np.eye(Z.shape[1]), Z.T)
        free = len(Z) - 1 - np.trace(H)
        errors.append(((centred - H @ centred) ** 2).sum(0) / free**2)
    fitted = Ridge(penalty="gcv", alpha_per_target=True).fit(X, Y)
    np.testing.assert_allclose(fitted.alpha_, np.array(ALPHAS)[np.argmin(errors, axis=0)])


def test_gcv_per_target_resolves_noise_free_targets_in_float64():
    X, Y, held = make((150, 20, 200), noise=0.0)
    fitted = Ridge(penalty="gcv", alpha_per_target=True).fit(X, Y)
    np.testing.assert_array_equal(fitted.alpha_, ALPHAS[0])
    _, expected = oracle(X, Y, held)
    assert_close(fitted.predict(held), expected, 2e-6)


@pytest.mark.parametrize("options", CHOICES, ids=str)
def test_target_batches_do_not_matter(options):
    X, Y, held = make((40, 60, 90))
    whole = Ridge(**options).fit(X, Y)
    batched = Ridge(**options, max_bytes=32 * 40 * 7).fit(X, Y)
    assert Targets(Y, max_bytes=32 * 40 * 7).batch == 7
    np.testing.assert_array_equal(batched.alpha_, whole.alpha_)
    assert_close(batched.predict(held), whole.predict(held), 1e-6)


@pytest.mark.parametrize("offset", [0.0, 0.005, 3.0])
def test_targets_of_about_mean_0_are_not_copied(offset):
    Y = np.random.default_rng(0).standard_normal((40, 60)).astype(np.float32)
    Y = Y - Y.mean(axis=0) + np.float32(offset)
    targets = Targets(Y)
    assert np.shares_memory(targets.values.numpy(), Y) == (offset < 0.01)
    np.testing.assert_allclose(targets.values.numpy() + targets.offset, Y, atol=1e-6)


@pytest.mark.parametrize("n_targets", [3, 70])
def test_a_constant_target_is_predicted_by_itself_and_leaves_the_others_alone(n_targets):
    X, Y, held = make((40, 60, n_targets))
    Y[:, 1] = 2.5
    fitted, others = Ridge().fit(X, Y), Ridge().fit(X, np.delete(Y, 1, axis=1))
    np.testing.assert_allclose(fitted.predict(held)[:, 1], 2.5, rtol=1e-6)
    assert_close(np.delete(fitted.predict(held), 1, axis=1), others.predict(held), 1e-6)


def test_constant_features_alone_predict_the_mean():
    X, Y, held = make((40, 60, 3))
    fitted = Ridge().fit(np.ones_like(X), Y)
    np.testing.assert_allclose(fitted.predict(held), np.tile(Y.mean(0), (len(held), 1)))
    assert not fitted.coef_.any()


def test_constant_features_are_predicted_without_blocks_too():
    rng = np.random.default_rng(0)
    Y, blocks = rng.standard_normal((60, 3)), [LeftOut(np.arange(k, k + 10)) for k in range(0, 60, 10)]
    fitted = Ridge(penalty="blocks").fit(np.ones((60, 4)), Y, left_out=blocks)
    np.testing.assert_allclose(fitted.predict(np.ones((5, 4))), np.tile(Y.mean(0), (5, 1)))
    splits = [Split(np.arange(40), np.zeros(0, int), np.arange(40, 60))]
    problem = Problem({"flat": lambda: np.ones((60, 4))}, Y, splits, left_out=blocks)
    result = cross_validate_problem(problem, Ridge(penalty="blocks"), "pearson", rule=Rule(nested=True))
    assert np.isnan(result.test).all()


def test_scale_and_offset_of_features_do_not_matter():
    X, Y, held = make((50, 80, 3))
    expected = Ridge().fit(X, Y).predict(held)
    scale = np.logspace(-3, 3, 80)
    moved = Ridge().fit(X.astype(float) * scale + 100, Y).predict(held.astype(float) * scale + 100)
    assert_close(moved, expected, 1e-6)


@pytest.mark.parametrize("n_targets", [30, 100])
def test_surrogates_have_the_targets_products(n_targets):
    """The factor differs from the centred targets' product only by what centring removes."""
    Y = np.random.default_rng(0).normal(size=(40, n_targets)) + 3
    targets, centre = Targets(Y), np.eye(40) - 1 / 40
    expected = centre @ Y @ Y.T @ centre
    for factor in (targets.surrogates(exact=False), targets.surrogates(exact=True)):
        assert factor.shape[1] == min(40, n_targets)
        L = factor.numpy()
        np.testing.assert_allclose(centre @ L @ L.T @ centre, expected, atol=1e-4)


def test_duplicated_rows_with_many_targets():
    X, Y, held = make((30, 60, 100))
    X, Y = np.repeat(X, 2, axis=0), np.repeat(Y, 2, axis=0)
    model, expected = oracle(X, Y, held)
    assert_equals_oracle(Ridge().fit(X, Y), model, X, Y, held, expected, 3e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alphas": []}, "expected one or more finite numbers above 0"),
        ({"alphas": [0.0, 1.0]}, "expected one or more finite numbers above 0"),
        ({"penalty": "best"}, "penalty is 'best'; expected one of blocks, rows, gcv"),
    ],
)
def test_options_are_checked(options, message):
    X, Y, _ = make(next(iter(SHAPES.values())))
    with pytest.raises(BadInput, match=message):
        Ridge(**options).fit(X, Y)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("options", CHOICES, ids=str)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_cuda_equals_cpu(shape, options):
    X, Y, held = make(shape)
    cpu = Ridge(**options).fit(X, Y)
    cuda = Ridge(**options, device="cuda").fit(X, Y)
    np.testing.assert_array_equal(cuda.alpha_, cpu.alpha_)
    assert_close(cuda.predict(held), cpu.predict(held), 1e-5)


@pytest.mark.parametrize("penalty", ["blocks", "rows", "gcv"])
def test_r_of_the_training_rows_is_that_of_their_fitted_values(penalty):
    X, Y, _ = make((60, 100, 5))
    weights = np.random.default_rng(1).uniform(0.5, 2, len(X))
    split = Split(np.arange(40), np.arange(0), np.arange(40, 60))
    decoder = Ridge(penalty=penalty, alpha_per_target=True)
    result = cross_validate_problem(Problem({"layer": lambda: X}, Y, [split], weights=weights), decoder, "pearson")
    fitted = decoder.fit(X[:40], Y[:40], weights[:40]).predict(X[:40])
    for k in range(5):
        covariance = np.cov(fitted[:, k], Y[:40, k], aweights=weights[:40])
        r = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
        assert result.fitted[0, 0, k] == pytest.approx(r, abs=1e-5)
    shared = cross_validate_problem(Problem({"layer": lambda: X}, Y, [split]), Ridge(penalty=penalty), "pearson")
    assert shared.fitted is None
