"""Confusions of resampled images: each image once gives the score, copies of images count as repeated images."""

import numpy as np
import pytest

from src.evaluate.confusion_bootstrap import ConfusionBootstrap, ResponseMatrix
from src.evaluate.metrics import METRICS

NAMES = [name for name, metric in METRICS.items() if metric.needs == "human choices"]

N_IMAGES, N_CLASSES = 60, 4


def matrix(seed, holes=0.1):
    """Return a response matrix with entries at 0 and 1, and some without a trial."""
    rng = np.random.default_rng(seed)
    truth = np.arange(N_IMAGES) % N_CLASSES
    values = np.clip(np.round(rng.normal(0.3, 0.3, (N_IMAGES, N_CLASSES)), 1), 0, 1)
    values[rng.random(values.shape) < holes] = np.nan
    values[np.arange(N_IMAGES), truth] = np.nan
    return values, truth


def compared(metric, seeds=(1, 2)):
    model, truth = matrix(0, holes=0)
    humans = [matrix(seed)[0] for seed in seeds]
    human = [ResponseMatrix(h, truth) for h in humans]
    return model, humans, truth, ConfusionBootstrap(metric, [ResponseMatrix(model, truth)] * len(human), human)


def compared_by(metric, model, human, truth):
    of = METRICS[metric]
    return of.agreement(of.model(model, truth, False), of.human(human, truth, False))


@pytest.mark.parametrize("metric", NAMES)
def test_every_image_once_is_the_agreement_itself(metric):
    model, humans, truth, bootstrap = compared(metric)
    expected = np.mean([compared_by(metric, model, human, truth) for human in humans])
    np.testing.assert_allclose(bootstrap.replicates(np.ones((1, N_IMAGES))), [[expected]], atol=1e-9)


@pytest.mark.parametrize("metric", NAMES)
def test_an_image_sampled_twice_counts_as_two(metric):
    model, humans, truth, bootstrap = compared(metric)
    counts = np.random.default_rng(5).integers(0, 4, (3, N_IMAGES))
    found = bootstrap.replicates(counts)[:, 0]
    for times, r in zip(counts, found, strict=True):
        rows = np.repeat(np.arange(N_IMAGES), times)
        by_hand = [compared_by(metric, model[rows], human[rows], truth[rows]) for human in humans]
        assert r == pytest.approx(np.mean(by_hand), abs=1e-9)


def test_an_image_without_trials_has_no_effect():
    model, humans, truth, _ = compared("I2n")
    truth = truth.copy()
    truth[:5] = -1
    shown = ConfusionBootstrap(
        "I2n", [ResponseMatrix(model, truth)] * len(humans), [ResponseMatrix(h, truth) for h in humans]
    )
    ones = np.ones((1, N_IMAGES))
    without = ones.copy()
    without[0, :5] = 0
    np.testing.assert_allclose(shown.replicates(ones), shown.replicates(without))
