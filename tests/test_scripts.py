"""The other three benchmarks recover what was planted: the layer of every unit, of a task, of a simulated observer."""

import numpy as np
import pytest

from tests.test_end_to_end import per_unit, scores, units


def best_layer(table, column="test"):
    return table.groupby("layer")[column].mean().idxmax()


def test_electrodes_reach_the_best_possible_r_of_every_unit(cli):
    table, printed = scores(cli, "electrodes", "-m", "fake-net", "-d", "fake-electrodes")
    facts, test = units(table), per_unit(table)
    for layer, members in facts.groupby("target_planted_layer"):
        reached = test.loc[members.index]
        assert abs((members["target_best_r"] - reached[layer]).median()) < 0.08, layer
        assert reached.drop(columns=layer).median().max() < reached[layer].median() - 0.2, layer
    np.testing.assert_allclose(facts["ceiling"], facts["target_best_r"], atol=0.08)
    assert "1600" in printed


@pytest.mark.slow
def test_a_film_per_unit_is_fitted_unit_by_unit(cli):
    table, printed = scores(cli, "electrodes", "-m", "fake-net", "-d", "fake-mt", "--audit")
    facts = units(table)
    assert abs((facts["target_best_r"] - per_unit(table)["motion"]).median()) < 0.08
    assert best_layer(table) == "motion"
    assert abs(per_unit(table, "null_test")["motion"].median()) < 0.12
    assert "ceiling" not in printed


@pytest.mark.slow
@pytest.mark.parametrize(("task", "least"), [("fake-action", 0.95), ("fake-selfmotion", 0.9)])
def test_tasks_that_only_motion_answers(cli, task, least):
    table, printed = scores(cli, "task", "-m", "fake-net", "-d", task)
    by_layer = table.groupby("layer")["test"].mean()
    assert by_layer.idxmax() == "motion"
    assert by_layer["motion"] > least
    assert by_layer.drop("motion").max() < 0.5
    assert "* motion" in printed


def test_parted_labels_are_at_chance(cli):
    table, _ = scores(cli, "task", "-m", "fake-net", "-d", "fake-action", "--layers", "motion", "--audit")
    assert abs(table["null_test"].mean() - 1 / 6) < 0.1
    assert table["test"].mean() > 0.95


def test_a_real_static_task_needs_no_download(cli):
    table, printed = scores(cli, "task", "-m", "fake-image-net", "-d", "digits", "--splits", "3")
    assert table.groupby("layer")["test"].mean().max() > 0.85
    assert "chance 0.1" in printed


@pytest.mark.parametrize("behaviour", ["fake-behaviour", "fake-behaviour-2afc"])
def test_the_observers_layer_makes_the_observers_confusions(cli, behaviour):
    table, printed = scores(cli, "behaviour", "-m", "fake-net", "-d", behaviour)
    agreement = table.groupby("layer")["test"].mean()
    assert agreement.idxmax() == "motion"
    assert agreement["motion"] > 0.85 * table["ceiling"].iloc[0]
    assert agreement.drop("motion").max() < agreement["motion"] - 0.3
    assert "human accuracy" in printed
