"""Printed scores and faults of datasets in files of a standard."""

import re

from src import data
from src.cli import main
from src.config import Config


def load(name):
    return data.load(name, Config.from_env())


def best(printed: str) -> tuple[str, float]:
    """Return the chosen layer and its test score."""
    row = re.search(r"^\* .*", printed, re.M)[0]
    return row.split()[1], float(re.findall(r"(-?\d\.\d+) ±", row)[1])


def score(kind: str, name: str, capsys, *flags: str, model: str = "fake-net") -> str:
    """Score a dataset and return what is printed."""
    command = ["score", kind, "-m", model, "-d", name, "-q", "--splits", "3", "--bootstrap", "0"]
    assert main([*command, *flags]) == 0
    return capsys.readouterr().out


def fault(kind: str, name: str, capsys, home) -> str:
    """Return the one fault of a dataset, in one line of `data check` and of `score`, which write nothing."""
    assert main(["data", "check", name]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2, lines
    assert lines[1].endswith(": 1 fault")
    assert str(home.parent) not in lines[0]
    assert main(["score", kind, "-m", "pixels", "-d", name, "-q"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert "Traceback" not in error
    assert lines[0].split(";")[0] in error
    assert not [p for p in home.rglob("*") if p.is_file() and p.suffix != ".lock"]
    return lines[0]
