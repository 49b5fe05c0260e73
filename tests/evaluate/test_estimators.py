"""Decoders are scikit-learn estimators: its own checks, pipelines, scores per target, and a himalaya script."""

import pickle
import warnings
from inspect import signature

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from src import PLS, BandedRidge, Logistic, Ridge, StackedRidge
from src.evaluate.decoders import DECODERS

ESTIMATORS = {
    "ridge": Ridge(),
    "ridge per target": Ridge(alpha_per_target=True, penalty="gcv", scaled=True),
    "banded": BandedRidge(),
    "stacked": StackedRidge(),
    "pls": PLS(2),
    "logistic": Logistic(),
    "logistic torch": Logistic(solver="torch"),
}


def regression(n=60, p=8, t=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    return X, X @ rng.standard_normal((p, t)) + rng.standard_normal((n, t))


# of scikit-learn from 1.6 on, and expected for its RidgeCV too: a row is left out whole, whatever its weight
BY_LEAVING_OUT = {
    "check_sample_weight_equivalence_on_dense_data": "the choice of the penalty leaves out rows, not copies"
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_scikit_learn_accepts_the_estimator(name):
    estimator = ESTIMATORS[name]
    expected = {}
    if "expected_failed_checks" in signature(check_estimator).parameters and hasattr(estimator, "penalty"):
        expected = {"expected_failed_checks": BY_LEAVING_OUT}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(estimator, **expected)


@pytest.mark.parametrize("name", [name for name in DECODERS if name != "logistic"])
def test_regression_is_scored_per_target(name):
    X, Y = regression()
    decoder = DECODERS[name]().fit(X[:40], Y[:40])
    of_all = decoder.score(X[40:], Y[40:])
    assert of_all.shape == (3,)
    residual = ((Y[40:] - decoder.predict(X[40:])) ** 2).sum(0) / ((Y[40:] - Y[40:].mean(0)) ** 2).sum(0)
    np.testing.assert_allclose(of_all, 1 - residual)
    one = DECODERS[name]().fit(X[:40], Y[:40, 0])
    assert isinstance(one.score(X[40:], Y[40:, 0]), float)
    assert one.predict(X[40:]).shape == (20,)


def test_classification_is_scored_per_label():
    X, Y = regression()
    labels = np.where(Y > 0, "up", "down")
    found = Logistic().fit(X, labels).score(X, labels)
    assert found.shape == (3,)
    assert (found > 0.8).all()
    assert isinstance(Logistic().fit(X, labels[:, 0]).score(X, labels[:, 0]), float)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_works_in_a_pipeline_and_survives_pickle(name):
    X, Y = regression()
    y = np.where(Y[:, 0] > 0, "up", "down") if "logistic" in name else Y[:, 0]
    pipeline = make_pipeline(FunctionTransformer(np.tanh), clone(ESTIMATORS[name]))
    assert cross_val_score(pipeline, X, y, cv=3).min() > 0.3
    fitted = pipeline.fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), fitted.predict(X))


@pytest.mark.parametrize("name", ["ridge", "banded", "stacked", "pls"])
def test_coefficients_give_the_predictions(name):
    X, Y = regression()
    bands = {"bands": (3, 5)} if name in ("banded", "stacked") else {}
    decoder = DECODERS[name](**bands).fit(X, Y)
    Z = (X - X.mean(0)) / X.std(0)
    intercept = getattr(decoder, "intercept_", Y.mean(0))
    np.testing.assert_allclose(Z @ decoder.coef_.T + intercept, decoder.predict(X), atol=1e-9)


def test_rows_of_weight_0_are_left_out():
    X, Y = regression()
    weights = np.r_[np.ones(50), np.zeros(10)]
    for decoder in (Ridge(), BandedRidge(bands=(3, 5)), StackedRidge(bands=(3, 5)), PLS(3)):
        whole, part = clone(decoder).fit(X, Y, weights), clone(decoder).fit(X[:50], Y[:50])
        np.testing.assert_allclose(whole.predict(X), part.predict(X))
        with pytest.raises(ValueError, match="expected 60 numbers, 0 or above it"):
            clone(decoder).fit(X, Y, -weights)


def test_a_himalaya_script_swaps_one_import():
    """The calls of himalaya's examples: alphas, fit, predict, a score per target, best_alphas_."""
    himalaya = pytest.importorskip("himalaya.ridge")
    X, Y = regression(n=90, seed=1)
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    scores = []
    for RidgeCV in (Ridge, himalaya.RidgeCV):
        model = RidgeCV(alphas=np.logspace(-2, 3, 6))
        model.fit(X[:60], Y[:60])
        assert np.shape(model.predict(X[60:])) == (30, 3)
        assert model.best_alphas_.shape == (3,)
        scores.append(np.asarray(model.score(X[60:], Y[60:])))
    np.testing.assert_allclose(*scores, atol=0.05)
