"""A few of the trials of `make faults` on inputs, each in a fork."""

import re
import subprocess
import sys

import pytest

from benchmarks import fault_inputs
from tests.conftest import ROOT


@pytest.mark.parametrize("group", ["displayed", "servers"])
def test_every_trial_ends_in_the_right_value_or_one_line(group):
    # in a process of its own: a fork of one with many threads may hang
    arguments = ["--only", group, "--count", "2", "--seed", "1", "--verbose"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fault_inputs", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) tried", done.stdout)[1]) >= 8


def test_each_bad_ending_is_recognized():
    def fails():
        raise KeyError("x")

    def says_two_lines():
        raise fault_inputs.BadInput("two\nlines")

    assert fault_inputs.outcome(lambda: 1, 1) == "fine"
    assert fault_inputs.outcome(lambda: 1, 2) == "wrong"
    assert fault_inputs.outcome(lambda: 1, 2, old=1) == "stale"
    assert fault_inputs.outcome(fails, 1) == fault_inputs.outcome(says_two_lines, 1) == "traceback"
