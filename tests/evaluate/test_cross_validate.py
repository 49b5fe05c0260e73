"""Cross-validation over layers and splits: refitting, planted truth, noise, weights, dropped rows."""

import threading

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from src.evaluate.cross_validate import Problem, Split, cross_validate, cross_validate_each
from src.evaluate.decoders import ALPHAS, PLS, BandedRidge, Logistic, Ridge
from src.evaluate.metrics import pearson
from src.utils import BadInput

LAYERS = ("low", "high")
CHOICES = [
    {},
    {"penalty": "gcv", "alpha_per_target": True},
    {"alpha_per_target": True},
    {"penalty": "blocks", "scaled": True},
]


def splits(n_rows, n_splits=3, seed=0):
    rng = np.random.default_rng(seed)
    edges = [int(0.7 * n_rows), int(0.85 * n_rows)]
    return [Split(*np.split(rng.permutation(n_rows), edges)) for _ in range(n_splits)]


def data(n_rows=80, n_features=120, n_targets=5, noise=1.0, seed=0):
    """Return two layers, the second of which carries the targets, and the targets."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n_rows, 6))
    layers = {name: rng.normal(size=(n_rows, n_features)).astype(np.float32) for name in LAYERS}
    layers["high"] = (latent @ rng.normal(size=(6, n_features)) + 0.01 * layers["high"]).astype(np.float32)
    targets = latent @ rng.normal(size=(6, n_targets)) + 2
    return layers, targets + noise * rng.normal(size=targets.shape)


def lazy(layers):
    return {name: lambda X=X: X for name, X in layers.items()}


def refitted(layers, targets, parts, make):
    valid = np.empty((len(layers), targets.shape[1], len(parts)))
    test = np.empty_like(valid)
    for i, X in enumerate(layers.values()):
        for k, split in enumerate(parts):
            model = make().fit(X[split.train].astype(float), targets[split.train])
            for scores, rows in ((valid, split.valid), (test, split.test)):
                predicted = model.predict(X[rows].astype(float))
                scores[i, :, k] = pearson(predicted.reshape(len(rows), -1), targets[rows])
    return valid, test


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("shape", [(80, 120, 5), (80, 120, 150), (120, 20, 5), (120, 20, 200)])
def test_ridge_equals_scikit_learn(shape, jobs):
    layers, targets = data(*shape)
    parts = splits(len(targets))
    valid, test = refitted(layers, targets, parts, lambda: make_pipeline(StandardScaler(), RidgeCV(ALPHAS)))
    result = cross_validate(lazy(layers), targets, parts, Ridge(), "pearson", jobs=jobs)
    tolerance = 1e-10 if shape[2] <= shape[0] else 2e-6
    np.testing.assert_allclose(result.valid, valid, atol=tolerance)
    np.testing.assert_allclose(result.test, test, atol=tolerance)
    assert result.alphas.shape == (2, 3)


@pytest.mark.parametrize(
    "decoder",
    [
        Ridge(),
        Ridge(penalty="gcv", alpha_per_target=True),
        Ridge(alpha_per_target=True),
        PLS(3),
        BandedRidge(bands=(60, 60)),
    ],
    ids=["ridge", "gcv", "loo", "pls", "banded"],
)
def test_cross_validation_equals_fit_and_predict_of_every_decoder(decoder):
    layers, targets = data()
    parts, before = splits(len(targets)), dict(vars(decoder))
    result = cross_validate(lazy(layers), targets, parts, decoder, "pearson")
    _, test = refitted(layers, targets, parts, lambda: type(decoder)(**construction(decoder)))
    np.testing.assert_allclose(result.test, test, atol=1e-5)
    assert vars(decoder).keys() == before.keys()


def construction(decoder):
    return {name: value for name, value in vars(decoder).items() if not name.startswith("_")}


def test_alphas_per_target_are_kept():
    layers, targets = data(n_targets=7)
    parts = splits(len(targets))
    decoder = Ridge(penalty="gcv", alpha_per_target=True, max_bytes=32 * len(targets) * 3)
    result = cross_validate(lazy(layers), targets, parts, decoder, "pearson")
    assert result.alphas.shape == (2, 3, 7)
    fitted = Ridge(penalty="gcv", alpha_per_target=True).fit(layers["high"][parts[1].train], targets[parts[1].train])
    np.testing.assert_array_equal(result.alphas[1, 1], fitted.alpha_)


@pytest.mark.parametrize("options", CHOICES, ids=str)
def test_target_batches_do_not_matter(options):
    layers, targets = data(n_targets=100)
    parts = splits(len(targets))
    whole = cross_validate(lazy(layers), targets, parts, Ridge(**options), "pearson")
    decoder = Ridge(**options, max_bytes=32 * len(targets) * 7)
    batched = cross_validate(lazy(layers), targets, parts, decoder, "pearson")
    np.testing.assert_allclose(batched.test, whole.test, atol=1e-5)
    np.testing.assert_array_equal(batched.alphas, whole.alphas)


def test_planted_signal_reaches_the_best_correlation_and_chooses_its_layer():
    """With noise as strong as the signal the best r is sqrt(1/2); without, 1."""
    layers, targets = data(n_rows=600, n_features=40, n_targets=30, noise=0.0)
    parts = splits(len(targets), 2)
    clean = cross_validate(lazy(layers), targets, parts, Ridge(), "pearson")
    assert clean.test[1].min() > 0.99
    noisy = targets + targets.std(0) * np.random.default_rng(5).normal(size=targets.shape)
    result = cross_validate(lazy(layers), noisy, parts, Ridge(), "pearson")
    assert abs(result.test[1].mean() - np.sqrt(0.5)) < 0.03
    assert np.median(result.valid[1]) > np.median(result.valid[0]) + 0.3


@pytest.mark.parametrize(
    "decoder", [Ridge(), Ridge(penalty="gcv", alpha_per_target=True), PLS(5)], ids=["ridge", "gcv", "pls"]
)
def test_noise_scores_nothing(decoder):
    rng = np.random.default_rng(0)
    X, targets = rng.normal(size=(300, 50)).astype(np.float32), rng.normal(size=(300, 200))
    result = cross_validate({"noise": lambda: X}, targets, splits(300, 2), decoder, "pearson")
    assert abs(result.test.mean()) < 0.04


@pytest.mark.parametrize("decoder", [Ridge(alphas=[10.0]), PLS(3)], ids=["ridge", "pls"])
@pytest.mark.parametrize("n_targets", [5, 250])
def test_weights_equal_repeated_rows(decoder, n_targets):
    layers, targets = data(n_targets=n_targets)
    counts = np.random.default_rng(1).integers(1, 4, len(targets))
    rows = np.repeat(np.arange(len(targets)), counts)
    parts = splits(len(targets))
    copies = [Split(*(np.flatnonzero(np.isin(rows, p)) for p in (s.train, s.valid, s.test))) for s in parts]
    weighted = cross_validate(lazy(layers), targets, parts, decoder, "pearson", weights=counts)
    repeated_layers = {name: X[rows] for name, X in layers.items()}
    repeated = cross_validate(lazy(repeated_layers), targets[rows], copies, decoder, "pearson")
    np.testing.assert_allclose(weighted.valid, repeated.valid, atol=2e-5)
    np.testing.assert_allclose(weighted.test, repeated.test, atol=2e-5)


@pytest.mark.parametrize("decoder", [Ridge(), PLS(3)], ids=["ridge", "pls"])
@pytest.mark.parametrize("n_targets", [5, 150])
def test_rows_that_are_not_finite_are_dropped_and_counted(decoder, n_targets):
    layers, targets = data(n_targets=n_targets)
    parts = splits(len(targets))
    layers["low"][3, 7], layers["high"][[3, 9], 0], targets[11, 2] = np.nan, np.inf, np.nan
    result = cross_validate(lazy(layers), targets, parts, decoder, "pearson")
    assert (result.n_dropped, result.dropped) == (3, {"low": 2, "high": 3})
    kept = [Split(*(np.setdiff1d(p, [3, 9, 11]) for p in (s.train, s.valid, s.test))) for s in parts]
    clean = np.nan_to_num(targets)
    expected = cross_validate(
        {"high": lambda: np.nan_to_num(layers["high"], posinf=0)}, clean, kept, decoder, "pearson"
    )
    np.testing.assert_allclose(result.test[1], expected.test[0], atol=1e-5)
    assert expected.n_dropped == 0


@pytest.mark.parametrize(
    "decoder", [Ridge(), Ridge(penalty="gcv", alpha_per_target=True), PLS(3)], ids=["ridge", "gcv", "pls"]
)
@pytest.mark.parametrize("n_targets", [5, 150])
def test_constant_and_absent_targets_score_nan_alone(decoder, n_targets):
    layers, targets = data(n_targets=n_targets)
    parts = splits(len(targets), 2)
    targets[:, 0], targets[:, 1] = 3.3, np.nan
    targets[parts[0].train, 2] = 0.7
    result = cross_validate(lazy(layers), targets, parts, decoder, "pearson")
    assert result.n_dropped == 0
    undefined = np.zeros((n_targets, 2), dtype=bool)
    undefined[:2], undefined[2, 0] = True, True
    np.testing.assert_array_equal(np.isnan(result.test), np.broadcast_to(undefined, result.test.shape))


def test_a_layer_of_constants_scores_nan():
    _, targets = data(n_targets=150)
    result = cross_validate({"flat": lambda: np.full((80, 9), 0.1)}, targets, splits(80), Ridge(), "pearson")
    assert np.isnan(result.test).all()


@pytest.mark.parametrize("solver", ["sklearn", "torch"])
def test_labels_are_scored_by_accuracy(solver):
    layers, targets = data(n_rows=150, noise=0.0)
    labels = np.where(targets[:, :1] > 2, "above", "below")
    parts = splits(len(labels))
    result = cross_validate(lazy(layers), labels, parts, Logistic(solver=solver), "accuracy")
    assert result.valid.shape == (2, 1, 3)
    assert result.alphas is None
    assert result.test[1].mean() > 0.9
    assert result.test[0].mean() < 0.75
    split = parts[2]
    predicted = Logistic().fit(layers["high"][split.train], labels[split.train]).predict(layers["high"][split.test])
    np.testing.assert_allclose(result.test[1, 0, 2], (predicted == labels[split.test]).mean())


def test_each_layer_is_read_once():
    layers, targets = data()
    reads = []
    counted = {name: lambda name=name: (reads.append(name), layers[name])[1] for name in layers}
    cross_validate(counted, targets, splits(len(targets)), Ridge(), "pearson")
    assert reads == list(LAYERS)


def test_memory_mapped_read_only_half_precision_layers(tmp_path):
    layers, targets = data()
    half = layers["high"].astype(np.float16)
    np.save(tmp_path / "x.npy", half)
    parts = splits(len(targets))
    mapped = cross_validate(
        {"x": lambda: np.load(tmp_path / "x.npy", mmap_mode="r")}, targets, parts, Ridge(), "pearson"
    )
    plain = cross_validate({"x": lambda: half.astype(np.float32)}, targets, parts, Ridge(), "pearson")
    np.testing.assert_array_equal(mapped.test, plain.test)


def test_progress_counts_to_the_end():
    layers, targets = data()
    seen = []
    cross_validate(lazy(layers), targets, splits(len(targets)), Ridge(), "pearson", progress=lambda *a: seen.append(a))
    assert [done for done, _, _ in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[-1] == (6, 6, "high, split 3 of 3")


def test_the_number_of_threads_is_restored():
    before = torch.get_num_threads()
    layers, targets = data()
    cross_validate(lazy(layers), targets, splits(len(targets)), Ridge(), "pearson", jobs=2)
    assert torch.get_num_threads() == before


def problems(n_problems=5):
    made = []
    for seed in range(n_problems):
        layers, targets = data(n_rows=60 + 5 * seed, n_targets=2, seed=seed)
        made.append(Problem(lazy(layers), targets, splits(len(targets), seed=seed)))
    return made


@pytest.mark.parametrize("jobs", [1, 3])
def test_many_small_problems_equal_each_alone(jobs):
    made = problems()
    result = cross_validate_each([lambda p=p: p for p in made], Ridge(), "pearson", jobs=jobs)
    alone = [cross_validate(p.layers, p.targets, p.splits, Ridge(), "pearson") for p in made]
    np.testing.assert_allclose(result.test, np.concatenate([r.test for r in alone], axis=1), atol=1e-10)
    np.testing.assert_allclose(result.valid, np.concatenate([r.valid for r in alone], axis=1), atol=1e-10)
    assert result.alphas.shape == (2, 3, 10)
    np.testing.assert_array_equal(result.alphas[:, :, 2], alone[1].alphas)


def test_problems_are_made_shortly_before_they_are_scored():
    made, alive, most, lock = problems(12), 0, 0, threading.Lock()

    def make(problem):
        nonlocal alive
        with lock:
            alive += 1
        return problem

    def progress(done, total, text):
        nonlocal most
        most = max(most, alive - done)

    cross_validate_each([lambda p=p: make(p) for p in made], Ridge(), "pearson", jobs=2, progress=progress)
    assert alive == 12
    assert most <= 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "pearsen"}, "unknown metric 'pearsen'; did you mean pearson"),
        (
            {"splits": [Split(np.arange(50), np.arange(49, 60), np.arange(60, 80))]},
            "split 0 has a row in two of its parts",
        ),
        ({"splits": [Split(np.arange(50), np.arange(50, 60), np.arange(60, 81))]}, "rows 0 to 80; expected 0 to 79"),
        ({"splits": [Split(np.arange(1), np.arange(50, 60), np.arange(60, 80))]}, "1 usable training rows in a split"),
        ({"splits": []}, "2 layers and 0 splits; expected at least one of each"),
        ({"weights": np.zeros(80)}, "expected 80 finite numbers above 0"),
        ({"weights": np.ones(79)}, r"row weights of shape \(79,\)"),
        ({"targets": np.ones(80)}, r"targets of shape \(80,\); expected \(n_rows, n_targets\)"),
        ({"layers": {"a": lambda: np.ones((79, 3))}}, r"layer a has shape \(79, 3\); expected \(80, n_features\)"),
    ],
)
def test_inputs_are_checked(change, message):
    layers, targets = data()
    inputs = {"layers": lazy(layers), "targets": targets, "splits": splits(80), "decoder": Ridge(), "metric": "pearson"}
    with pytest.raises(BadInput, match=message):
        cross_validate(**{**inputs, **change})


def test_no_problems_are_an_error():
    with pytest.raises(BadInput, match="no problems to cross-validate"):
        cross_validate_each([], Ridge(), "pearson")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("options", CHOICES[:2], ids=str)
def test_cuda_equals_cpu(options):
    layers, targets = data(n_targets=150)
    parts = splits(len(targets))
    cpu = cross_validate(lazy(layers), targets, parts, Ridge(**options), "pearson")
    cuda = cross_validate(lazy(layers), targets, parts, Ridge(**options, device="cuda"), "pearson")
    np.testing.assert_array_equal(cuda.alphas, cpu.alphas)
    np.testing.assert_allclose(cuda.test, cpu.test, atol=1e-5)
