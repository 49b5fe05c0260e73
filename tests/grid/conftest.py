import importlib.util
import json
import os
import re
import sys
from pathlib import Path

import pytest

from src.config import Config
from src.grid.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
STUB = Path(__file__).with_name("stub_score.py")


class Bench:
    """The grid's command line with a stub for the scripts and homes of its own."""

    def __init__(self, home: Path, capsys):
        self.home, self.capsys = home, capsys
        self.plan({})
        self.change_sources("")

    @property
    def config(self) -> Config:
        return Config.from_env()

    def plan(self, what: dict[str, str]) -> None:
        """What becomes of cells from now on, {"model on names": how}."""
        (self.home / "plan.json").write_text(json.dumps(what))

    def change_sources(self, text: str) -> None:
        """Change the code that every model and dataset rests on."""
        (self.home / "source.py").write_text(text)

    def __call__(self, *arguments: str, expect: int = 0) -> str:
        """What `python -m src.grid ARGUMENTS` prints, both streams; its exit code must be `expect`."""
        code = main([*map(str, arguments)], command=lambda script: [sys.executable, str(STUB), script])
        printed = self.capsys.readouterr()
        assert code == expect, printed
        return printed.out + printed.err

    def status(self) -> dict[str, list[str]]:
        """{"model on names": [state, reason]} as the table prints them."""
        lines = [re.split(r"\s{2,}", line.strip()) for line in self("status").splitlines()]
        rows = [line for line in lines if re.fullmatch("[0-9a-f]{10}", line[0])]
        return {f"{row[1]} on {row[2].replace(' + ', '+')}": [*row[3:], ""][:2] for row in rows}

    def states(self) -> dict[str, str]:
        """{"model on names": state}."""
        return {cell: state for cell, (state, _) in self.status().items()}

    def runs(self, cell: str) -> list[str]:
        """What a cell noted of its runs."""
        path = self.home / f"{cell.replace(' ', '_')}.runs"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def bench(tmp_path, monkeypatch, capsys) -> Bench:
    for name in [n for n in os.environ if n.startswith(("RESULTCACHING", "SLURM_", "SBATCH_"))]:
        monkeypatch.delenv(name)
    for name in ("DATA_HOME", "MMAP_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DYNAMIC_VISION_HOME", str(tmp_path))
    monkeypatch.setenv("STUB_PLAN", str(tmp_path / "plan.json"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(ROOT)
    return Bench(tmp_path, capsys)


@pytest.fixture(scope="session")
def stub():
    """The stub as a module."""
    spec = importlib.util.spec_from_file_location("stub_score", STUB)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
