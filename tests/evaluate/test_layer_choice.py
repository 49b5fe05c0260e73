"""Choice of layers: by validation, ties to the first layer, NaN as the lowest score, the same choice in all modules."""

import numpy as np
import pytest

from src.analysis.aggregate import best_layer_test
from src.evaluate.bootstrap_statistics import BestLayers
from src.evaluate.layer_choice import argbest, best_layer, best_layer_per_unit, layer_scores


def test_the_best_layer_is_chosen_by_validation_alone():
    valid = np.zeros((3, 2, 4))
    valid[1] = 0.5
    test = np.zeros((3, 2, 4))
    test[2] = 0.9
    assert best_layer(valid) == 1
    np.testing.assert_array_equal(best_layer_test({"valid": valid, "test": test}), test[1])


def test_the_first_of_equal_layers_is_chosen():
    assert best_layer(np.full((3, 2, 4), 0.2)) == 0
    np.testing.assert_array_equal(best_layer_per_unit(np.full((3, 2, 4), 0.2)), [0, 0])


def test_an_undefined_layer_is_never_better_than_a_defined_one():
    valid = np.full((3, 2, 4), np.nan)
    assert best_layer(valid) == 0
    valid[2] = -0.9
    assert best_layer(valid) == 2
    np.testing.assert_array_equal(layer_scores(valid), [-np.inf, -np.inf, -0.9])
    np.testing.assert_array_equal(argbest(valid)[0], 2)


def test_a_target_without_score_does_not_count():
    valid = np.array([[[0.4], [np.nan]], [[0.3], [0.3]]])
    assert best_layer(valid) == 0


def test_a_split_without_score_excludes_a_layer_of_a_unit_unless_it_is_skipped():
    valid = np.array([[[0.9, np.nan]], [[0.1, 0.1]]])
    np.testing.assert_array_equal(best_layer_per_unit(valid), [1])
    np.testing.assert_array_equal(best_layer_per_unit(valid, skip_nan=True), [0])


@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_layers_that_are_added_one_by_one_give_the_same_choice(holes):
    rng = np.random.default_rng(0)
    for _ in range(50):
        valid = np.round(rng.standard_normal((5, 4, 3)), 1)
        valid[rng.random(valid.shape) < holes] = np.nan
        best = BestLayers()
        for layer, scores in enumerate(valid):
            best.add(layer, scores, None)
        assert best.kept[None][0] == best_layer(valid)
