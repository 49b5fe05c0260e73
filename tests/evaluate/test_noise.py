"""Noise scores 0: layers are chosen inside the training rows, and the protocol that chose over splits shows why."""

import numpy as np
import pytest

from benchmarks.noise import WORLDS, measure
from src.evaluate.protocol import PUBLISHED, Protocol


def scores(name, protocol, n_worlds):
    """Return the scores of worlds of noise: (n_worlds, 3), of a layer per unit, per region, and for all units."""
    return np.array([measure(*WORLDS[name], seed, protocol, 0)[:3] for seed in range(n_worlds)])


def assert_zero(found):
    """Assert that the means are within 3.5 standard errors of 0, which are small."""
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert error.max() < 0.02
    assert np.all(np.abs(found.mean(axis=0)) < 3.5 * error), found.mean(axis=0)


def test_clips_of_noise_score_zero_and_did_not_under_the_published_protocol():
    assert_zero(scores("200 clips", Protocol(), 24))
    assert scores("200 clips", PUBLISHED, 8)[:, 0].mean() > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", ["1 film, 478 s", "1 film, drift"])
def test_films_of_noise_score_zero_with_and_without_drift(name):
    assert_zero(scores(name, Protocol(), 30))
