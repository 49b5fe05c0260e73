"""A small part of `python -m benchmarks.faults` in the quick tests, and all of it in the slow tests."""

import os
import random
import tempfile

import pytest

from benchmarks import faults


@pytest.fixture(scope="module")
def truth():
    return faults.expected()


@pytest.fixture(autouse=True, scope="module")
def in_memory():
    """Use a memory disk: a kill loses as much there as on a disk, and synchronous writes take no time."""
    before = tempfile.tempdir
    if os.access("/dev/shm", os.W_OK):
        tempfile.tempdir = "/dev/shm"
    yield
    tempfile.tempdir = before


QUICK = [group for group in faults.GROUPS if group is not faults.damage]  # one damage of each kind takes 20 s


@pytest.mark.parametrize("group", QUICK, ids=lambda group: group.__name__)
def test_a_few_faults(group, truth):
    wrong, count = [], 0
    for name, right in group(4 if group is faults.io_errors else 10, random.Random(1), truth):
        count += 1
        wrong += [] if right else [name]
    assert wrong == []
    if not count:
        pytest.skip("needs the right to mount a file system")


@pytest.mark.slow
@pytest.mark.parametrize("group", faults.GROUPS, ids=lambda group: group.__name__)
def test_many_faults(group, truth):
    wrong = [name for name, right in group(50, random.Random(2), truth) if not right]
    assert wrong == []
