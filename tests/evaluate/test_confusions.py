from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from src.evaluate.behaviour import Answers, design, shuffled_agreement, within
from src.evaluate.confusions import (
    Trials,
    agreement,
    halves,
    human_confusion,
    human_matrix,
    i2n,
    model_confusion,
    model_matrix,
    o2,
)
from src.evaluate.protocol import PUBLISHED, Protocol

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden"
REAL = Path(__file__).resolve().parents[3] / "shared" / "realdata" / "rajalingham2018"


def simulated(n_images=40, n_classes=4, n_trials=4000, seed=0):
    """Return two-way trials of an observer who confuses neighbouring classes, and a model's probabilities."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n_images) % n_classes
    image = rng.integers(n_images, size=n_trials)
    distractor = (truth[image] + rng.integers(1, n_classes, n_trials)) % n_classes
    wrong = rng.random(n_trials) < 0.15 + 0.3 * (np.abs(distractor - truth[image]) == 1) * rng.random(n_images)[image]
    choice = np.where(wrong, distractor, truth[image])
    probabilities = rng.dirichlet(np.ones(n_classes), n_images)
    return Trials(image, truth[image], choice, distractor, n_images, n_classes), truth, probabilities


def as_brainscore(trials, truth, probabilities):
    from brainscore_core.supported_data_standards.brainio.assemblies import BehavioralAssembly

    classes = np.array([f"c{i}" for i in range(trials.n_classes)])
    images = np.array([f"im{i:03}" for i in range(trials.n_images)])
    human = BehavioralAssembly(
        classes[trials.choice],
        dims=["presentation"],
        coords={
            "stimulus_id": ("presentation", images[trials.image]),
            "truth": ("presentation", classes[trials.truth]),
            "sample_obj": ("presentation", classes[trials.truth]),
            "dist_obj": ("presentation", classes[trials.distractor]),
        },
    )
    model = BehavioralAssembly(
        probabilities,
        dims=["presentation", "choice"],
        coords={
            "stimulus_id": ("presentation", images),
            "image_label": ("presentation", classes[truth]),
            "choice": classes,
        },
    )
    return model, human


@pytest.mark.parametrize(("name", "confusion"), [("I2n", i2n), ("O2", o2)])
def test_equal_to_brainscore_on_the_same_input(name, confusion):
    from brainscore_vision.metrics.i1i2 import metric as brainscore

    trials, truth, probabilities = simulated()
    model, human = as_brainscore(trials, truth, probabilities)
    metric = getattr(brainscore, name)()
    theirs, their_ceiling = metric(model, human), metric.ceiling(human)
    of_model = confusion(model_matrix(probabilities, truth), truth)
    pairs = [
        [confusion(human_matrix(trials.take(half)), truth) for half in pair] for pair in halves(len(trials), 2, seed=0)
    ]
    ours = [agreement(of_model, first) for first, _ in pairs]
    np.testing.assert_allclose(ours, theirs.raw.values, atol=1e-9)
    np.testing.assert_allclose([agreement(*pair) for pair in pairs], their_ceiling.raw.values, atol=1e-9)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real files are not beside the checkout")
@pytest.mark.parametrize("model_name", ["alexnet", "resnet18", "resnet34"])
def test_real_probabilities_of_240_images_and_24_objects_score_as_in_brainscore(model_name):
    """The files name no object, so that the truth is simulated; the arithmetic is compared at full size."""
    import xarray as xr
    from brainscore_vision.metrics.i1i2 import metric as brainscore

    with xr.open_dataarray(REAL / f"{model_name}-probabilities.nc") as stored:
        probabilities = stored.values.astype(np.float64)
    assert probabilities.shape == (240, 24)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    trials, truth, _ = simulated(n_images=240, n_classes=24, n_trials=20000)
    model, _ = as_brainscore(trials, truth, probabilities)
    model["truth"] = "presentation", model["image_label"].values
    metric = brainscore.I2n()
    theirs = metric.dprimes(metric.target_distractor_scores(model))
    theirs = theirs.sortby("stimulus_id").sortby("choice").transpose("presentation", "choice").values
    classes = np.argsort([f"c{i}" for i in range(24)])
    np.testing.assert_allclose(i2n(model_matrix(probabilities, truth), truth)[:, classes], theirs, atol=1e-9)


def test_golden_o2_is_reproduced_exactly():
    if not GOLDEN.is_dir():
        pytest.skip("the golden files are not beside the checkout")
    golden = np.load(GOLDEN / "beh.npz")
    images, image = np.unique(golden["tr_id"], return_inverse=True)
    classes, truth_of_trial = np.unique(golden["tr_truth"], return_inverse=True)
    choice = np.searchsorted(classes, golden["tr_resp"])
    trials = Trials(image, truth_of_trial, choice, None, len(images), len(classes))
    truth = trials.truth_of_image
    np.testing.assert_array_equal(trials.choice == trials.truth, golden["hacc"])
    for i, layer in enumerate(np.unique(golden["layer_of"])):
        columns = golden["layer_of"] == layer
        scaler = StandardScaler().fit(golden["Xf"][:, columns])
        read_out = LogisticRegression(max_iter=3000).fit(scaler.transform(golden["Xf"][:, columns]), golden["labf"])
        of_model = model_matrix(read_out.predict_proba(scaler.transform(golden["Xt"][:, columns])), truth)
        scores = [
            agreement(o2(of_model, truth), o2(human_matrix(trials.take(first)), truth))
            for first, _ in halves(len(trials), 10, seed=0)
        ]
        np.testing.assert_allclose(scores, golden["O2"][i], atol=1e-9)


def test_an_image_without_trials_and_a_pair_never_offered_are_nan():
    trials = Trials(np.array([0, 0, 2]), np.array([0, 0, 1]), np.array([1, 0, 1]), np.array([1, 1, 0]), 3, 3)
    matrix = human_matrix(trials)
    np.testing.assert_array_equal(matrix, [[np.nan, 0.5, np.nan], [np.nan] * 3, [0.0, np.nan, np.nan]])


def test_agreement_needs_something_to_correlate():
    assert np.isnan(agreement(np.array([1.0, np.nan, 2.0]), np.array([1.0, 2.0, 3.0])))
    assert np.isnan(agreement(np.ones(5), np.arange(5.0)))


def test_halves_are_disjoint_and_exhaustive():
    for first, second in halves(11, 5, seed=1):
        assert sorted([*first, *second]) == list(range(11))
        assert len(first) == 5


def test_human_and_model_confusions_count_the_classes_offered():
    truth, choice = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 0])
    n_way = Trials(np.arange(5), truth, choice, None, 5, 3)
    np.testing.assert_allclose(human_confusion(n_way), [[0.5, 0.5, 0], [0, 1, 0], [1, 0, 0]])
    two_way = Trials(np.arange(5), truth, choice, np.array([1, 1, 0, 2, 0]), 5, 3)
    np.testing.assert_allclose(human_confusion(two_way), [[np.nan, 0.5, np.nan], [0, np.nan, 0], [1, np.nan, np.nan]])
    probabilities = np.array([[0.6, 0.2, 0.2], [0.8, 0.2, 0], [0, 1, 0], [0.5, 0.5, 0], [0.1, 0.1, 0.8]])
    np.testing.assert_allclose(model_confusion(probabilities, truth, False)[0], [0.7, 0.2, 0.1])
    np.testing.assert_allclose(model_confusion(probabilities, truth, True)[1], [0.25, np.nan, 0])


@pytest.mark.parametrize("protocol", [Protocol(n_splits=3), replace(PUBLISHED, n_splits=3)])
def test_shuffled_answers_agree_at_chance(protocol):
    trials, truth, _ = simulated()
    rates = human_matrix(trials)
    probabilities = np.where(np.isnan(rates), 1.0, rates)
    plan, answers = design(trials, None, protocol), Answers(probabilities, probabilities)
    null = shuffled_agreement([answers, answers], trials, plan, "O2", 40, protocol)
    observed = agreement(
        o2(within(model_matrix(probabilities, truth), plan.parts[0]), truth), o2(plan.splits[0].test, truth)
    )
    assert abs(null.mean()) < 0.35
    assert observed > np.quantile(null, 0.95)
    np.testing.assert_array_equal(null, shuffled_agreement([answers, answers], trials, plan, "O2", 40, protocol))
