"""A few of the trials of `make faults` on inputs, each in a fork."""

import random

import pytest

from benchmarks import fault_inputs


@pytest.mark.parametrize("group", [fault_inputs.displayed, fault_inputs.servers], ids=lambda group: group.__name__)
def test_every_trial_ends_in_the_right_value_or_one_line(tmp_path, group):
    ended = {}
    for number, (name, work, right) in enumerate(group(2, random.Random(1), tmp_path)):
        folder = tmp_path / str(number) / "inside"
        folder.mkdir(parents=True)
        ended[name] = fault_inputs.outcome(lambda w=work, f=folder: w(f), right)
    assert set(ended.values()) == {"fine"}, ended


def test_each_bad_ending_is_recognized():
    def fails():
        raise KeyError("x")

    def says_two_lines():
        raise fault_inputs.BadInput("two\nlines")

    assert fault_inputs.outcome(lambda: 1, 1) == "fine"
    assert fault_inputs.outcome(lambda: 1, 2) == "wrong"
    assert fault_inputs.outcome(lambda: 1, 2, old=1) == "stale"
    assert fault_inputs.outcome(fails, 1) == fault_inputs.outcome(says_two_lines, 1) == "traceback"
