import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from src import utils

ROOT = Path(__file__).resolve().parents[1]


def test_an_unknown_name_offers_the_nearest():
    assert str(utils.unknown_name("model", "alexnte", ["alexnet", "r3d_18"])) == (
        "unknown model 'alexnte'; did you mean alexnet?"
    )
    assert "expected one of: a1, a2" in str(utils.unknown_name("layer", "zzzz", ["a1", "a2"]))
    assert "(30 in all)" in str(utils.unknown_name("layer", "zzzz", [f"a{i}" for i in range(30)]))


def test_far_off_suggestions_are_left_out():
    assert "did you mean" not in str(utils.unknown_name("model", "resnext", ["alexnet", "sample"]))
    assert str(utils.unknown_name("layer", "motoin", ["motion", "motion.vote", "notional-net"])).endswith(
        "did you mean motion or motion.vote?"
    )


def test_thinning_keeps_first_and_last_and_never_repeats():
    for n in range(1, 60):
        kept = utils.thin(range(n))
        assert kept[0] == 0
        assert kept[-1] == n - 1
        assert len(kept) == len(set(kept)) == min(n, 15)


def test_digests_and_seeds_are_the_same_in_every_process():
    program = "from src.utils import digest, seed_from; print(seed_from('a', 3), digest({'b': 1, 'a': [2.0]}))"
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert said == {f"{utils.seed_from('a', 3)} {utils.digest({'a': [2.0], 'b': 1})}\n"}


def test_array_digests_know_type_shape_and_content():
    a = np.arange(6.0)
    digests = [utils.array_digest(x) for x in (a, a.reshape(2, 3), a.astype(np.float32), a + 1, a.astype(str))]
    assert len(set(digests)) == 5
    assert utils.array_digest(np.array(["x", "yy"])) == utils.array_digest(np.array(["x", "yy"], dtype=object))


def test_regular_bins_are_whole_bins():
    np.testing.assert_array_equal(utils.regular_bins(2500, 1000), [[0, 1000], [1000, 2000]])
    assert len(utils.regular_bins(3 * 0.1, 0.1)) == 3
    assert len(utils.regular_bins(10, 1000)) == 0


def test_granted_cores_respect_slurm(monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert utils.granted_cores() == 1
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4096")
    assert 1 <= utils.granted_cores() < 4096


@pytest.mark.parametrize("array", [np.array(["a", None], dtype=object), np.zeros((0, 3))])
def test_odd_arrays_have_digests(array):
    assert len(utils.array_digest(array)) == 64
