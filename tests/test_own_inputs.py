"""Scores of a user's own model and data from the command line: correct after every change of what they read."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT, Cli

pytestmark = pytest.mark.slow

NETWORK = """
from torch import nn
import helper
class Scaled(nn.Module):
    def forward(self, x):
        return x * helper.SCALE
def net():
    return nn.Sequential(nn.AdaptiveAvgPool2d({cells}), nn.Flatten(), Scaled())
"""
RECORDING = """
from pathlib import Path
import numpy as np
from PIL import Image
from src.data.declare import Electrodes
from src.records import Responses, Stimuli
HERE = Path(__file__).parent
def load(folder):
    folder.mkdir(parents=True, exist_ok=True)
    grey = np.random.default_rng(0).uniform(0, 1, (60, 2, 2))
    paths = [folder / f"{k}.png" for k in range(60)]
    for path, image in zip(paths, grey):
        Image.fromarray((255 * image).astype(np.uint8).repeat(16, 0).repeat(16, 1)).save(path)
    units = {"unit_id": list("abcd"), "region": (HERE / "regions.txt").read_text().split()}
    stimuli = Stimuli("s", tuple(p.stem for p in paths), tuple(paths), np.full(60, 100.0), ("image",) * 60)
    return Responses(stimuli, np.load(HERE / "responses.npy"), np.array([[0.0, 100.0]]), units, ("m", "m"), NOTES)
NOTES = {"atlas": "first"}
def data():
    terms = dict.fromkeys(("citation", "licence", "access", "source"), "own")
    return Electrodes(name="own", study="own", load=load, **terms)
"""


def write_responses(folder, right: bool) -> None:
    import numpy as np

    grey = np.random.default_rng(0).uniform(0, 1, (60, 4))
    values = grey[:, None, None, :] + np.random.default_rng(1).normal(0, 0.05, (60, 2, 1, 4))
    values = values if right else values[np.random.default_rng(5).permutation(60)]
    np.save(folder / "responses.npy", values.astype(np.float32))


def make(folder, cells=2):
    folder.mkdir()
    (folder / "net.py").write_text(NETWORK.format(cells=cells))
    (folder / "helper.py").write_text("SCALE = 1.0\n")
    (folder / "rec.py").write_text(RECORDING)
    (folder / "regions.txt").write_text("V1 V1 IT IT")
    write_responses(folder, right=True)
    return folder


@pytest.fixture
def score(tmp_path):
    """Printed table and messages of a score, by relative names in a folder; one home for all."""
    homes = Cli.at(tmp_path / "home")

    def run(folder, *options):
        command = [sys.executable, str(ROOT / "score_electrodes.py"), "-m", "net.py:net", "-d", "rec.py:data"]
        environment = homes.environment(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
        options = ("--bootstrap", "0", "--splits", "3", *options)
        done = subprocess.run([*command, *options], cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("net.py:net on own: ")
        return done.stdout, done.stderr

    return run


def best(printed: str) -> float | None:
    """The test score of the last layer, None where it is undefined."""
    value = re.search(r"^. 2 +(?:-?\d\.\d+ ±\d\.\d+|-) +(-?\d\.\d+|-)", printed, re.M)[1]
    return None if value == "-" else float(value)


def test_two_projects_with_the_same_names(score, tmp_path):
    first, second = make(tmp_path / "a"), make(tmp_path / "b", cells=1)
    assert best(score(first)[0]) > 0.98
    assert best(score(second)[0]) < 0.7
    printed, messages = score(first)
    assert best(printed) > 0.98
    assert "loading" not in messages


def test_a_helper_data_a_region_and_a_note_that_change(score, tmp_path):
    project = make(tmp_path / "a")
    (project / "helper.py").write_text("SCALE = 0.0\n")
    assert best(score(project)[0]) is None
    (project / "helper.py").write_text("SCALE = 1.0\n")
    assert best(score(project)[0]) > 0.98
    write_responses(project, right=False)
    assert best(score(project)[0]) < 0.5
    assert best(score(project, "--seed", "1")[0]) < 0.5
    write_responses(project, right=True)
    (project / "regions.txt").write_text("V4 V1 IT IT")
    printed = score(project)[0]
    assert best(printed) > 0.98
    assert re.findall(r"^(V1|V4|IT) +\d +(\d)", printed, re.M) == [("V4", "1"), ("V1", "1"), ("IT", "2")]
    (project / "rec.py").write_text(RECORDING.replace('"first"', '"second"'))
    assert "atlas: second" in score(project)[0]


def test_another_place_time_and_name_compute_nothing_again(score, tmp_path):
    project = make(tmp_path / "a")
    printed, _ = score(project)
    other = tmp_path / "b c" / "d"
    shutil.copytree(project, other, copy_function=shutil.copyfile)
    os.utime(other / "responses.npy", (5, 5))
    again, messages = score(other)
    assert again == printed
    assert not re.search("computing|stimuli are done|regression", messages)


def test_what_cannot_be_watched_is_said_and_loaded_again(score, tmp_path):
    project = make(tmp_path / "a")
    text = RECORDING.replace("    folder.mkdir", "    import subprocess; subprocess.run(['true'])\n    folder.mkdir")
    (project / "rec.py").write_text(text)
    printed, _ = score(project)
    again, messages = score(project)
    assert again == printed
    line = "own runs the program true, which cannot be watched: it is loaded on each run"
    assert messages.count(line) == 1
    assert "computing" not in messages


def test_a_load_that_returns_other_values_each_time_is_scored_on_its_own_values(score, tmp_path):
    project = make(tmp_path / "a")
    noise = 'np.load(HERE / "responses.npy") + np.random.default_rng().normal(0, 1e-3)'
    (project / "rec.py").write_text(RECORDING.replace('np.load(HERE / "responses.npy")', noise))
    score(project)
    printed, messages = score(project, "--seed", "1")
    assert "`load` returns other values than before" in messages
    assert best(printed) > 0.98
