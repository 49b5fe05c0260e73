"""Errors of a user's file: their traceback, headed "in your file ...", and exit code 2."""

import re

import pytest

from src.cli import main

HEAD = """
import numpy as np
import torch
from src import Electrodes, responses

CARD = dict.fromkeys(("citation", "licence", "access", "source"), "mine")
"""
LOAD = """
from helper import read

def load(folder):
    return read(folder)

def data():
    return Electrodes(name="mine", study="mine", load=load, **CARD)
"""
HELPER = "def read(folder):\n    return {}['gone']\n"
DECLARATION = "\ndef data():\n    return Electrodes(name='mine', nothing=1, **CARD)\n"
MODEL = "\ndef data():\n    return torch.nn.Linear('x', 3)\n"
OURS = """
def load(folder):
    return responses([folder / "film.mkv"], np.zeros(3), bin_ms=lambda: 1)

def data():
    return Electrodes(name="mine", study="mine", load=load, **CARD)
"""
SYNTAX = "\ndef data(:\n    pass\n"
FAULTY = "\ndef data():\n    return Net()\n\nclass Net(torch.nn.Module):\n    def __init__(self):\n        1 / 0\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("DYNAMIC_VISION_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "helper.py").write_text(HELPER)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "model", "line", "error"),
    [
        (LOAD, False, r"return read\(folder\)", "KeyError: 'gone'"),
        (DECLARATION, False, r"return Electrodes\(", "TypeError: .*unexpected keyword argument 'nothing'"),
        (SYNTAX, False, r"def data\(:", "SyntaxError: invalid syntax"),
        (MODEL, True, "return torch.nn.Linear", "TypeError: "),
        (FAULTY, True, "1 / 0", "ZeroDivisionError: division by zero"),
    ],
    ids=["load", "declaration", "syntax", "model", "network"],
)
def test_an_error_of_a_users_file_keeps_its_traceback(place, capsys, text, model, line, error):
    (place / "mine.py").write_text(HEAD + text)
    chosen = ["-m", "mine.py:data", "-d", "fake-electrodes"] if model else ["-m", "pixels", "-d", "mine.py:data"]
    assert main(["score", "electrodes", *chosen, "-q"]) == 2
    said = capsys.readouterr().err
    assert re.search(rf"error: in your file {place}/mine.py, line \d+:\n", said), said
    assert re.search(line, said), said
    assert re.search(rf"^{error}", said, re.M), said
    # only the user's part of the traceback
    assert "src/cli" not in said
    assert not [p for p in (place / "home" / "results").rglob("*") if p.suffix in (".nc", ".json")]


def test_an_error_of_the_program_is_no_error_of_the_user(place, monkeypatch):
    from src.cli import data

    (place / "mine.py").write_text(HEAD + LOAD)
    assert main(["data", "check", "mine.py:data"]) == 2

    def broken(*arguments):
        raise RuntimeError("ours")

    monkeypatch.setattr(data, "_list", broken)
    with pytest.raises(RuntimeError, match="ours"):
        main(["data", "list"])


def test_bad_input_of_a_users_record_is_one_line(place, capsys):
    (place / "mine.py").write_text(HEAD + OURS.replace("lambda: 1", "1"))
    assert main(["data", "check", "mine.py:data"]) == 2
    *faults, count = capsys.readouterr().out.splitlines()
    assert len(faults) == 1
    assert "film.mkv" in faults[0]
    assert count == "mine: 1 fault"


MANY = """
from src import Stimuli, Responses

def load(folder):
    shown = Stimuli("films", ("a", "a"), (folder / "x.mkv", folder / "y.mkv"), np.zeros(2), ("video", "film"))
    bins = np.array([[-100.0, 0.0], [0.0, 100.0]])
    return Responses(shown, np.zeros((3, 1, 2, 4)), bins, {"unit_id": list("abcd"), "region": ["V1"]}, ("s",))

def data():
    return Electrodes(name="mine", study="mine", load=load, **CARD)
"""


def test_all_faults_of_a_users_record_are_listed_at_once(place, capsys):
    (place / "mine.py").write_text(HEAD + MANY)
    assert main(["data", "check", "mine.py:data"]) == 2
    *faults, count = capsys.readouterr().out.splitlines()
    expected = [
        "ids repeated: a",
        "2 of 2 stimulus files are missing",
        "of kind film",
        "shape (3, 1, 2, 4); expected (2,",
    ]
    expected += ["start at -100 ms", "column 'region' of the unit table has 1 rows"]
    assert len(faults) == len(expected), faults
    for fault, text in zip(faults, expected, strict=True):
        assert text in fault
    assert count == "mine: 6 faults"
    # where the record is scored, the first one stops it
    assert main(["score", "electrodes", "-m", "pixels", "-d", "mine.py:data", "-q"]) == 2
    assert re.fullmatch(r".*error: films: stimulus ids repeated: a; .*\n", capsys.readouterr().err)
