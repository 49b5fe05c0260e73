"""Names that are printed, stored and written: those that a user declares, never a path of their disk."""

import json

import pytest

from src.cli import main
from tests.data.own_folders import KINDS, electrodes

PROJECT = """
import numpy as np
import torch
from src import Electrodes
from src.data.own import load

CARD = dict.fromkeys(("citation", "licence", "access", "source"), "mine")

def net():
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())

def data():
    from pathlib import Path
    return Electrodes(name="mine", study="mine", load=lambda folder: load(Path(__file__).parent / "films"), **CARD)
"""
OPTIONS = ["-q", "--splits", "2", "--bootstrap", "0"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder called secret with a network and a recording, and homes beside it."""
    monkeypatch.setenv("DYNAMIC_VISION_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    electrodes(tmp_path / "secret" / "films", n=6)
    (tmp_path / "secret" / "project.py").write_text(PROJECT)
    return tmp_path


def test_no_path_is_printed_stored_in_a_score_or_reported(project, capsys):
    chosen = ["-m", str(project / "secret" / "project.py:net"), "-d", "secret/project.py:data"]
    written = [project / f"score.{suffix}" for suffix in ("csv", "json", "nc")]
    for file in written:
        assert main(["score", "electrodes", *chosen, *OPTIONS, "--output", str(file)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("project.py:net on mine: ")
    assert main(["report", "--output", "report", "--tables", "csv"]) == 0
    found = [*written, *(p for p in (project / "report").rglob("*") if p.is_file())]
    stored = (project / "home" / "results").rglob("dynamic_vision.[sc]*/*.json")
    found += [p for p in stored if "metadata" not in str(p)]
    assert len(found) > 6
    assert "secret" not in printed
    for file in found:
        assert "secret" not in str(file.relative_to(project))
        assert b"secret" not in file.read_bytes(), file
    facts = json.loads(written[1].read_text())[0]
    assert (facts["model"], facts["datasets"], list(facts["data"])) == ("project.py:net", ["mine"], ["mine"])


def test_a_second_run_finds_the_score_under_its_name(project, capsys):
    chosen = ["-m", "pixels", "-d", "secret/project.py:data", *OPTIONS]
    assert main(["score", "electrodes", *chosen]) == 0
    first = capsys.readouterr().out
    assert main(["score", "electrodes", *chosen, "--dry-run"]) == 0
    plan = capsys.readouterr().out
    assert plan.count("stored") == 2
    assert "score on mine" in plan
    assert "secret" not in plan
    assert main(["score", "electrodes", *chosen]) == 0
    assert capsys.readouterr().out == first


def test_two_datasets_of_one_name_are_not_scored_jointly(project, capsys):
    for name in ("a", "b"):
        KINDS["fmri"](project / name)
    assert main(["score", "fmri", "-m", "pixels", "-d", "./a", "./b", *OPTIONS]) == 2
    assert "datasets called my-films, my-films; expected a name of its own for each" in capsys.readouterr().err
