"""PLS, logistic and banded ridge against scikit-learn, and the requirements on every decoder."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import PLSRegression
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.preprocessing import StandardScaler

from src.config import Config
from src.evaluate import behaviour
from src.evaluate.cross_validate import cross_validate
from src.evaluate.decoders import ALPHAS, DECODERS, PLS, BandedRidge, LeftOut, Logistic, Ridge
from src.evaluate.decoders.logistic_solver import fit_splits, minimise
from src.evaluate.layer_choice import Rule
from src.evaluate.splits import item_splits
from src.pipeline import Request
from src.pipeline.benchmarks import benchmarks
from src.pipeline.run import Run
from src.utils import BadInput

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]


def regression(n=60, p=12, t=4, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(n + 15, p)) * rng.uniform(0.1, 9, p) + 3).astype(np.float32)
    Y = StandardScaler().fit_transform(X.astype(float)) @ rng.normal(size=(p, t)) + noise * rng.normal(size=(n + 15, t))
    return X[:n], Y[:n] + 5, X[n:]


def classification(n=90, p=12, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, n_classes, n + 15)
    X = (rng.normal(size=(n + 15, p)) + rng.normal(size=(n_classes, p))[codes]).astype(np.float32)
    labels = np.array(["ant", "bee", "cat", "dog"])[codes][:, None]
    return X[:n], labels[:n], X[n:]


def fitted(name, **options):
    if name == "logistic":
        X, Y, held = classification(**options)
        return Logistic().fit(X, Y), X, Y, held
    X, Y, held = regression(**options)
    decoder = BandedRidge(bands=(5, X.shape[1] - 5)) if name == "banded" else DECODERS[name]()
    return decoder.fit(X, Y), X, Y, held


def numbers(decoder, X):
    return decoder.predict_proba(X) if isinstance(decoder, Logistic) else decoder.predict(X)


@pytest.mark.parametrize("name", DECODERS)
def test_held_out_rows_are_standardised_by_the_training_rows(name):
    decoder, _, _, held = fitted(name)
    one_by_one = np.concatenate([numbers(decoder, held[[i]]) for i in range(len(held))])
    np.testing.assert_allclose(numbers(decoder, held), one_by_one, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", DECODERS)
def test_a_constant_column_contributes_nothing(name):
    decoder, X, Y, held = fitted(name)
    X[:, 2] = held[:, 2] = 0.1
    expected = numbers(deepcopy(decoder).fit(X, Y), held)
    held[:, 2] = 1e6
    np.testing.assert_allclose(numbers(deepcopy(decoder).fit(X, Y), held), expected, rtol=1e-9, atol=1e-9)
    assert np.isfinite(expected).all()


@pytest.mark.parametrize("name", ["pls", "ridge", "banded"])
def test_a_constant_target_is_predicted_by_itself(name):
    decoder, X, Y, held = fitted(name)
    expected = deepcopy(decoder).fit(X, Y[:, :2]).predict(held)
    Y[:, 2:] = 4.0
    predicted = decoder.fit(X, Y).predict(held)
    np.testing.assert_allclose(predicted[:, 2:], 4.0)
    if name != "ridge":
        np.testing.assert_allclose(predicted[:, :2], expected, rtol=1e-6)


@pytest.mark.parametrize("n_components", [3, 25])
def test_pls_equals_scikit_learn(n_components):
    X, Y, held = regression()
    scaler = StandardScaler().fit(X.astype(float))
    model = PLSRegression(min(n_components, 12), scale=False).fit(scaler.transform(X.astype(float)), Y)
    expected = model.predict(scaler.transform(held.astype(float)))
    np.testing.assert_allclose(PLS(n_components).fit(X, Y).predict(held), expected, rtol=1e-8)


def test_pls_weights_equal_repeated_rows():
    X, Y, held = regression()
    counts = np.random.default_rng(1).integers(1, 4, len(X))
    weighted = PLS(4).fit(X, Y, counts.astype(float))
    repeated = PLS(4).fit(np.repeat(X, counts, axis=0), np.repeat(Y, counts, axis=0))
    np.testing.assert_allclose(weighted.predict(held), repeated.predict(held), rtol=1e-5)


def test_pls_has_no_more_components_than_the_features_have_dimensions():
    X, Y, held = regression()
    X[:, 3:], held[:, 3:] = X[:, :1], held[:, :1]
    with_one = [np.insert(rows[:, :3].astype(float), 0, 1, axis=1) for rows in (X, held)]
    expected = with_one[1] @ np.linalg.lstsq(with_one[0], Y, rcond=None)[0]
    np.testing.assert_allclose(PLS().fit(X, Y).predict(held), expected, rtol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_logistic_equals_scikit_learn(n_classes):
    X, Y, held = classification(n_classes=n_classes)
    scaler = StandardScaler().fit(X.astype(float))
    model = LogisticRegression(C=1.0, max_iter=3000).fit(scaler.transform(X.astype(float)), Y[:, 0])
    decoder = Logistic().fit(X, Y)
    np.testing.assert_array_equal(decoder.classes_, model.classes_)
    expected = scaler.transform(held.astype(float))
    np.testing.assert_allclose(decoder.predict_proba(held), model.predict_proba(expected), atol=1e-12)
    np.testing.assert_array_equal(decoder.predict(held)[:, 0], model.predict(expected))
    assert decoder.predict(held).dtype == Y.dtype


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3, 4])
def test_torch_logistic_finds_scikit_learns_optimum(n_classes, weighted, device):
    X, Y, held = classification(n_classes=n_classes)
    weights = np.random.default_rng(2).uniform(0.3, 3, len(X)) if weighted else None
    scaler = StandardScaler().fit(X.astype(float), sample_weight=weights)
    model = LogisticRegression(C=1.0, max_iter=10000, tol=1e-10)
    model.fit(scaler.transform(X.astype(float)), Y[:, 0], sample_weight=weights)
    decoder = Logistic(device=device, solver="torch").fit(X, Y, weights)
    expected = model.predict_proba(scaler.transform(held.astype(float)))
    np.testing.assert_allclose(decoder.predict_proba(held), expected, atol=2e-5)
    np.testing.assert_array_equal(decoder.classes_, model.classes_)


@pytest.mark.parametrize("device", DEVICES)
def test_the_batched_solver_is_nearer_the_optimum_than_scikit_learn(device):
    """Ten classes, more features than the labels need: scikit-learn stops early, at its default tolerance."""
    rng = np.random.default_rng(0)
    digits = load_digits()
    features = np.maximum(digits.data / 16 @ rng.normal(size=(64, 300)), 0) + 2.4 * rng.normal(size=(1797, 300))
    rows = rng.permutation(1797)
    train, held = rows[:500], rows[500:]
    scaler = StandardScaler().fit(features[train])
    Z, Z_held, labels = scaler.transform(features[train]), scaler.transform(features[held]), digits.target

    def objective(coef, intercept):
        log_p = torch.from_numpy(Z @ coef.T + intercept).log_softmax(1).numpy()
        return -log_p[np.arange(len(Z)), labels[train]].sum() + 0.5 * (coef**2).sum()

    best = LogisticRegression(max_iter=10**5, tol=1e-9, solver="newton-cg").fit(Z, labels[train])
    default = LogisticRegression(max_iter=3000).fit(Z, labels[train])
    ours = Logistic(device=device, solver="torch").fit(features[train], labels[train])
    fits = ours._fits[0].fits
    values = [objective(one.coef_, one.intercept_) for one in (best, default)]
    found = objective(fits.W[0].cpu().numpy().T, fits.b[0].cpu().numpy())
    assert found - values[0] < 1e-5 * values[0]
    assert found - values[0] < 0.01 * (values[1] - values[0])
    assert abs(ours.score(features[held], labels[held]) - best.score(Z_held, labels[held])) < 1e-3
    np.testing.assert_allclose(ours.predict_proba(features[held]), best.predict_proba(Z_held), atol=3e-3)


@pytest.mark.parametrize("device", DEVICES)
def test_batched_read_outs_equal_each_alone(device):
    X, Y, held = classification()
    weights = torch.ones(3, len(X), dtype=torch.float64)
    weights[0, :20], weights[1, 40:70] = 0, 0
    weights[2, Y[:, 0] == "cat"] = 0
    codes = torch.from_numpy(np.unique(Y, return_inverse=True)[1].reshape(-1))
    options = {"C": 1.0, "max_iter": 3000, "tol": 1e-9}
    fits = fit_splits(torch.from_numpy(X).to(device), codes.to(device), 3, weights.to(device), **options)
    for k in range(3):
        rows = weights[k].numpy() > 0
        alone = Logistic(solver="torch").fit(X[rows], Y[rows])
        found = fits.probabilities(torch.from_numpy(held).to(device), k).cpu().numpy()
        np.testing.assert_allclose(found[:, : len(alone.classes_)], alone.predict_proba(held), atol=1e-4)
    np.testing.assert_array_equal(found[:, 2], 0)


def test_minimise_solves_independent_quadratics():
    rng = np.random.default_rng(0)
    factors = torch.from_numpy(rng.normal(size=(4, 8, 8)) * np.array([1, 10, 0.1, 3])[:, None, None])
    H, target = factors @ factors.mT + 0.1 * torch.eye(8), torch.from_numpy(rng.normal(size=(4, 8)))

    def objective(theta):
        gradient = torch.einsum("sij,sj->si", H, theta - target)
        return 0.5 * ((theta - target) * gradient).sum(1), gradient

    found, _ = minimise(objective, torch.zeros(4, 8, dtype=torch.float64), 2000, 1e-9)
    np.testing.assert_allclose(found, target, atol=1e-6)


def test_several_labels_are_decoded_one_by_one():
    X, Y, held = classification()
    both = np.concatenate([Y, Y[::-1]], axis=1)
    predicted = Logistic().fit(X, both).predict(held)
    np.testing.assert_array_equal(predicted[:, [1]], Logistic().fit(X, Y[::-1]).predict(held))


def test_logistic_refuses_one_class():
    X, Y, _ = classification()
    with pytest.raises(BadInput, match="all 90 training rows have the label 'ant'; expected at least two labels"):
        Logistic().fit(X, np.full_like(Y, "ant"))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("per_target", [False, True])
@pytest.mark.parametrize("penalty", ["gcv", "rows", "blocks"])
def test_one_band_is_ridge(penalty, per_target, scaled):
    X, Y, held = regression()
    options = {"penalty": penalty, "alpha_per_target": per_target, "scaled": scaled}
    left_out = [LeftOut(np.arange(k, k + 5), np.array([k + 5])) for k in range(0, len(X) - 5, 5)]
    assert BandedRidge(bands=(12,), **options).grid.tolist() == Ridge(**options).grid.tolist()
    banded = BandedRidge(bands=(12,), alphas=ALPHAS, **options).fit(X, Y, left_out=left_out)
    ridge = Ridge(ALPHAS, **options).fit(X, Y, left_out=left_out)
    np.testing.assert_allclose(np.ravel(banded.alpha_), np.ravel(ridge.alpha_))
    np.testing.assert_allclose(banded.predict(held), ridge.predict(held), rtol=1e-8)


@pytest.mark.parametrize("weighted", [False, True])
def test_banded_ridge_is_the_best_of_all_combinations(weighted):
    """Brute force: scikit-learn's RidgeCV, features scaled by the penalties, over the whole grid."""
    X, Y, held = regression(noise=2.0)
    Y = Y + 3 * np.random.default_rng(0).normal(size=Y.shape)
    weights = np.random.default_rng(1).uniform(0.5, 2, len(X)) if weighted else None
    scaler = StandardScaler().fit(X.astype(float), sample_weight=weights)
    Z, Z_held = scaler.transform(X.astype(float)), scaler.transform(held.astype(float))
    grid = np.logspace(-1, 3, 5)
    best = {}
    for pair in [(a, b) for a in grid for b in grid]:
        scale = 1 / np.sqrt(np.repeat(pair, (5, 7)))
        for target in range(Y.shape[1]):
            model = RidgeCV([1.0]).fit(Z * scale, Y[:, target], sample_weight=weights)
            if target not in best or model.best_score_ > best[target][0]:
                best[target] = model.best_score_, pair, model.predict(Z_held * scale)
    banded = BandedRidge(bands=(5, 7), alphas=grid, penalty="rows", max_bytes=32 * 60 * 3).fit(X, Y, weights)
    np.testing.assert_allclose(banded.alpha_, np.array([best[t][1] for t in best]).T)
    np.testing.assert_allclose(banded.predict(held), np.array([best[t][2] for t in best]).T, rtol=1e-6)


def test_bands_separate_signal_from_noise():
    rng = np.random.default_rng(0)
    X, noise = rng.normal(size=(80, 10)), 30 * rng.normal(size=(80, 200))
    Y = X @ rng.normal(size=(10, 3))
    banded = BandedRidge(bands=(10, 200)).fit(np.concatenate([X, noise], axis=1), Y)
    assert (banded.alpha_[0] < banded.alpha_[1]).all()
    assert banded.alpha_.shape == (2, 3)
    assert set(np.log10(banded.alpha_).round(6).ravel()) <= set(np.log10(ALPHAS).round(6))


def test_bands_are_checked():
    X, Y, _ = regression()
    with pytest.raises(BadInput, match="expected the sizes of the feature groups, summing to 12"):
        BandedRidge(bands=(5, 5)).fit(X, Y)
    one = BandedRidge().fit(X, Y)
    np.testing.assert_array_equal(one.alpha_, BandedRidge(bands=(12,)).fit(X, Y).alpha_)


def test_many_bands_are_searched_at_random():
    """Sixteen bands of noise cost little beside the two that carry the signal; the search is the same every time."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 18 * 6))
    Y = X[:, :12] @ rng.normal(size=(12, 2)) + 3 * rng.normal(size=(200, 2))
    options = {"bands": (6,) * 18, "scaled": True}
    found = BandedRidge(**options).fit(X[:150], Y[:150])
    assert found.score(X[150:], Y[150:]).min() > Ridge(scaled=True).fit(X[:150], Y[:150]).score(X[150:], Y[150:]).min()
    np.testing.assert_array_equal(found.alpha_, BandedRidge(**options).fit(X[:150], Y[:150]).alpha_)
    assert np.median(found.alpha_[:2]) < np.median(found.alpha_[2:])


@pytest.mark.parametrize(("device", "solver"), [("cuda:1", "torch"), ("cpu", "sklearn"), ("mps", "sklearn")])
def test_read_outs_of_scores_run_on_a_cuda_device(device, solver, tmp_path, monkeypatch):
    config = Config(*[tmp_path / name for name in ("data", "activations", "results", "torch")], 1)
    found = {}
    for benchmark, dataset in (("task", "fake-action"), ("behaviour", "fake-behaviour")):
        run = Run(Request(benchmark, "fake-net", (dataset,)), config)
        vars(run)["device"] = device
        (found[benchmark],) = benchmarks(run)
    decoder = found["task"].decoder()
    assert (decoder.device, decoder.solver_used) == (device if solver == "torch" else "cpu", solver)
    monkeypatch.setattr(type(found["behaviour"]), "_inputs", lambda self: ())
    monkeypatch.setattr(behaviour, "scores", lambda *_, device, **__: device)
    assert found["behaviour"].evaluate(null=False, metrics=("I2n",)) == decoder.device


@pytest.mark.parametrize(("device", "used"), [("cuda:1", "cuda:1"), ("cpu", "cpu"), ("mps", "cpu")])
def test_ridge_regressions_of_scores_run_on_the_cpu_where_a_device_has_no_float64(device, used, tmp_path, monkeypatch):
    config = Config(*[tmp_path / name for name in ("data", "activations", "results", "torch")], 1)
    for decoder in ("ridge", "banded", "stacked"):
        run = Run(Request("fmri", "fake-net", ("fake-fmri",), decoder=decoder), config)
        vars(run)["device"] = device
        (found,) = benchmarks(run)
        monkeypatch.setattr(type(found), "band_sizes", lambda self: [1])
        assert str(found.decoder().device) == used


@pytest.mark.parametrize("n_targets", [1, 3, 300])
@pytest.mark.parametrize("n_features", [4, 400])
@pytest.mark.parametrize("per_target", [False, True])
@pytest.mark.parametrize("penalty", ["blocks", "rows", "gcv"])
def test_features_that_do_not_vary_have_no_score_in_training_or_test(n_targets, n_features, per_target, penalty):
    """Their left-out predictions were rounding that correlates with the targets, by .3 to .6."""
    rng = np.random.default_rng(0)
    Y = rng.standard_normal((120, n_targets)).astype(np.float32)
    layers = {"dead": np.full((120, n_features), 0.3, np.float32), "noise": rng.standard_normal((120, 4), np.float32)}
    left_out = [LeftOut(np.arange(k, k + 5)) for k in range(0, 120, 5)]
    decoder = Ridge(penalty=penalty, scaled=True, alpha_per_target=per_target)
    splits = item_splits(120, layout="tiled", n_splits=3)
    options = {"left_out": left_out, "rule": Rule()}
    found = cross_validate({n: lambda n=n: layers[n] for n in layers}, Y, splits, decoder, "pearson", **options)
    assert np.isnan(found.valid[0]).all()
    assert np.isnan(found.test[0]).all()
    assert np.isfinite(found.test[1]).all()
