"""Coverage of the interval and level of the paired test, on simulated recordings with known truth."""

import functools

import numpy as np
import pytest
import torch

from benchmarks.intervals import DATA, DEFAULT, RULES, WORLDS, Design, measure, repeat
from src.analysis.paired import compare
from src.evaluate.bootstrap_statistics import widening


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@functools.cache
def simulated(data, world, repeats):
    """Return the repeats of a world, and Nadeau and Bengio's factor."""
    design = Design.of(DATA[data])
    blocks = design.blocks(15.0)
    found = [repeat(WORLDS[world], design, blocks, seed) for seed in range(repeats)]
    return found, widening(design.splits, np.ones(len(design.stimulus)))


def stored(one, model, wide):
    """Return the arrays of a score."""
    test = np.broadcast_to(one.score[model, 1:, None], (1, one.score.shape[1] - 1, 3))
    draws = RULES[DEFAULT].draws(one, model, 0, wide)
    return {"valid": test, "test": test, "bootstrap": draws, "resampled": np.array(["segments", "s"])}


def rejected(found, wide):
    """Return the share of repeats in which the two models differ at p < 0.05."""
    return np.mean([compare(stored(one, 0, wide), stored(one, 1, wide))["p"] < 0.05 for one in found])


@pytest.mark.parametrize("data", ["1 film", "clips"])
def test_intervals_of_two_equal_models_cover_and_paired_tests_keep_their_level(data):
    """60 data sets, 2 models: standard error of a coverage of 0.95 at most 0.028, of 0.05 rejected 0.028."""
    found, wide = simulated(data, "two parts", 60)
    coverage, of_units, differ, units_differ, above = measure(found, wide, RULES[DEFAULT])
    assert coverage > 0.88
    assert 0.91 < of_units < 0.98
    assert differ <= 0.12
    assert 0.015 < units_differ < 0.09
    assert above == 0
    assert rejected(found, wide) == differ
    narrow = measure(found, wide, RULES["test rows only"])
    assert narrow[1] < of_units - 0.05
    assert narrow[3] > units_differ + 0.03


def test_a_better_model_is_found():
    found, wide = simulated("clips", "unequal", 20)
    assert rejected(found, wide) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("data", list(DATA))
@pytest.mark.parametrize("world", ["noise", "weak", "strong", "two parts"])
def test_coverage_and_level_are_nominal(data, world):
    """200 data sets: standard error of a coverage of 0.95 at most 0.015, of 0.05 rejected 0.015."""
    found, wide = simulated(data, world, 200)
    coverage, of_units, differ, units_differ, above = measure(found, wide, RULES[DEFAULT])
    assert 0.89 < coverage < 0.995
    assert 0.91 < of_units < 0.98
    assert differ < 0.09
    assert 0.015 < units_differ < 0.11
    assert above == 0
