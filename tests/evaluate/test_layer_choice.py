"""Choice of layers: nested or over splits, ties to the first, NaN as the lowest score, the same in all modules."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from src.analysis.aggregate import headline_test
from src.analysis.profiles import chosen_layers
from src.evaluate.bootstrap_statistics import AllLayers, BootstrapStatistics, ChosenLayers, SplitStatistics, join
from src.evaluate.cross_validate import Problem, Split, cross_validate, cross_validate_problem
from src.evaluate.decoders import LeftOut, Logistic, Ridge
from src.evaluate.layer_choice import ONE_LAYER, PER_TARGET, Rule, most_frequent, stored_rule, taken
from src.evaluate.metrics import METRICS
from src.pipeline.statistics import statistics_arrays

NESTED, OVER_SPLITS = Rule(), Rule(nested=False)
RULES = [Rule(nested, headline) for nested in (True, False) for headline in (ONE_LAYER, PER_TARGET)]


def test_a_choice_over_splits_is_one_layer_by_validation_alone():
    valid = np.zeros((3, 2, 4))
    valid[1] = 0.5
    test = np.zeros((3, 2, 4))
    test[2] = 0.9
    np.testing.assert_array_equal(OVER_SPLITS.layers(valid), np.ones((2, 4)))
    np.testing.assert_array_equal(OVER_SPLITS.test({"valid": valid, "test": test}), test[1])


def test_a_nested_choice_is_made_in_each_split_and_target():
    valid = np.zeros((2, 3, 2))
    valid[1, :2, 0] = 0.1  # the median over targets prefers layer 1 in split 0
    np.testing.assert_array_equal(NESTED.layers(valid), [[1, 0]] * 3)
    np.testing.assert_array_equal(NESTED.layers(valid, per_target=True), [[1, 0], [1, 0], [0, 0]])
    np.testing.assert_array_equal(OVER_SPLITS.layers(valid, per_target=True), [[1, 1], [1, 1], [0, 0]])


def test_an_undefined_layer_is_never_better_than_a_defined_one():
    valid = np.full((3, 2, 4), np.nan)
    for rule in RULES:
        np.testing.assert_array_equal(rule.layers(valid), 0)
    valid[2] = -0.9
    for rule in RULES:
        np.testing.assert_array_equal(rule.layers(valid), 2)


def test_a_target_without_score_does_not_count():
    valid = np.array([[[0.4], [np.nan]], [[0.3], [0.3]]])
    assert OVER_SPLITS.layers(valid)[0, 0] == NESTED.layers(valid)[0, 0] == 0


def test_a_target_is_chosen_for_by_the_splits_that_have_a_score():
    valid = np.array([[[0.9, np.nan]], [[0.1, 0.1]]])
    np.testing.assert_array_equal(OVER_SPLITS.layers(valid, per_target=True), [[0, 0]])
    np.testing.assert_array_equal(OVER_SPLITS.layers(valid, per_target=False), [[1, 1]])


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_all_modules_choose_the_same_layers(rule, holes):
    rng = np.random.default_rng(0)
    groups = {"first": np.array([0, 1]), "last": np.array([2, 3])}
    for _ in range(20):
        valid = np.round(rng.standard_normal((5, 4, 3)), 1)
        valid[rng.random(valid.shape) < holes] = np.nan
        arrays = {"layers": np.arange(5), "valid": valid, "test": rng.standard_normal(valid.shape)}
        arrays["layer_choice"] = rule.to_array()
        assert stored_rule(arrays) == rule
        one, each = rule.layers(valid, per_target=False), rule.layers(valid, per_target=True)
        np.testing.assert_array_equal(headline_test(arrays), taken(arrays["test"], rule.layers(valid)))
        assert chosen_layers(arrays)["all"] == str(most_frequent(one[0]))
        chosen, several = ChosenLayers(rule, groups), [AllLayers(), AllLayers()]
        for layer, scores in enumerate(valid):
            # the sums name the layer they are of
            sums = BootstrapStatistics([marked(layer, 4) for _ in range(3)], 1, METRICS["pearson"].statistic)
            chosen.add(layer, scores, sums)
            for columns, problem in zip((slice(0, 2), slice(2, 4)), several, strict=True):
                problem.add(
                    layer,
                    scores[columns],
                    BootstrapStatistics([marked(layer, 2) for _ in range(3)], 1, METRICS["pearson"].statistic),
                )
        kept = chosen.resampling("rows", np.zeros(1, int), 1.0, "")
        parts = [problem.resampling("rows", np.zeros(1, int), 1.0, "") for problem in several]
        joined = join(parts, rule, groups, valid)
        np.testing.assert_array_equal(layers_of(kept.one_layer), one)
        np.testing.assert_array_equal(np.vstack([layers_of(m) for m in joined.one_layer.members]), one)
        if rule.headline == PER_TARGET:
            np.testing.assert_array_equal(layers_of(kept.per_target), each)
            np.testing.assert_array_equal(np.vstack([layers_of(m) for m in joined.per_target.members]), each)
            assert not kept.regions
            continue
        assert kept.per_target is None
        for name, columns in groups.items():
            expected = rule.layers(valid[:, columns], per_target=False)
            np.testing.assert_array_equal(layers_of(kept.regions[name]), expected)
            members = np.vstack([layers_of(m) for m in joined.regions[name].members])
            np.testing.assert_array_equal(members[columns], expected)


def test_layers_share_the_sums_of_their_targets():
    rng = np.random.default_rng(0)
    Y, blocks = rng.standard_normal((60, 5)), np.repeat(np.arange(12), 5)
    layers = {f"layer{k}": lambda k=k: np.random.default_rng(k).standard_normal((60, 3)) for k in range(3)}
    splits = [
        Split(np.arange(30), np.arange(0), np.arange(30, 60)),
        Split(np.arange(30, 60), np.arange(0), np.arange(30)),
    ]
    made = Problem(layers, Y, splits, blocks=blocks, left_out=[LeftOut(np.flatnonzero(blocks == b)) for b in range(12)])
    found = cross_validate_problem(made, Ridge(penalty="blocks"), "pearson", rule=Rule(headline=PER_TARGET)).resampling
    pairs = list(zip(found.one_layer.splits, found.per_target.splits, strict=True))
    # predictions, targets, their squares, and products
    assert [[a is b for a, b in zip(one.sums, each.sums, strict=True)][1::2] for one, each in pairs] == [[True] * 2] * 2
    assert len(statistics_arrays(found)) < len(statistics_arrays(replace(found, per_target=doubled(found.per_target))))


def doubled(statistics: BootstrapStatistics) -> BootstrapStatistics:
    """The same statistics with arrays of their own."""
    copies = [replace(split, sums=[one.clone() for one in split.sums]) for split in statistics.splits]
    return replace(statistics, splits=copies)


def marked(layer: int, n_targets: int) -> SplitStatistics:
    return SplitStatistics(np.array([0]), torch.ones(1, 1), torch.full((1, 1, n_targets), float(layer)))


def layers_of(statistics: BootstrapStatistics) -> np.ndarray:
    return np.stack([split.sums[0][0].numpy() for split in statistics.splits], axis=1)


@pytest.mark.parametrize("n_targets", [5, 120])
def test_nested_validation_scores_are_those_of_left_out_training_rows(n_targets):
    """The first layer is better in the training rows of each split, the second one in all test rows."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((90, 2, 4)).astype(np.float32)
    Y = X[:, 0] @ rng.standard_normal((4, n_targets)) + rng.standard_normal((90, n_targets))
    blocks = [LeftOut(np.arange(k, k + 5)) for k in range(0, 90, 5)]
    rows = np.arange(90)
    splits = [Split(rows[:80], rows[:0], rows[80:])]
    Y[80:] = X[80:, 1] @ rng.standard_normal((4, n_targets))
    layers = {"train": lambda: X[:, 0], "test": lambda: X[:, 1]}
    options = {"left_out": blocks, "rule": Rule(headline=PER_TARGET)}
    result = cross_validate(layers, Y, splits, Ridge(penalty="blocks", scaled=True), "pearson", **options)
    assert np.median(result.valid[0]) > 0.7 > 0.2 > np.median(result.valid[1])
    assert (options["rule"].layers(result.valid) == 0).mean() > 0.95
    classes = np.where(Y[:, :1] > 0, "a", "b")
    without = cross_validate(layers, classes, splits, Logistic(), "accuracy", rule=Rule())
    assert np.isnan(without.valid).all(), "logistic regression has no left-out predictions, and no row to validate on"
