import importlib.util
import json
import os
import re
import sys
from pathlib import Path

import pytest

from src.cli import run_command
from src.config import Config

ROOT = Path(__file__).resolve().parents[2]
STUB = Path(__file__).with_name("stub_score.py")


def stub_command(benchmark: str) -> list[str]:
    return [sys.executable, str(STUB), benchmark]


class Bench:
    """The grid command with a stub in place of the score command, and separate homes."""

    def __init__(self, home: Path, capsys):
        self.home, self.capsys = home, capsys
        self.plan({})
        self.change_sources("")

    @property
    def config(self) -> Config:
        return Config.from_env()

    def plan(self, outcomes: dict[str, str]) -> None:
        """Set the outcomes of cells, {"model on datasets": outcome}."""
        (self.home / "plan.json").write_text(json.dumps(outcomes))

    def change_sources(self, text: str) -> None:
        """Change the source file of the metadata of all models and datasets."""
        (self.home / "source.py").write_text(text)

    def __call__(self, *arguments: str, expect: int = 0) -> str:
        """Run `dynamic-vision grid ARGUMENTS` and return both output streams; its exit code must be `expect`."""
        code = run_command("grid", [*map(str, arguments)], command=stub_command)
        printed = self.capsys.readouterr()
        assert code == expect, printed
        return printed.out + printed.err

    def status(self) -> dict[str, list[str]]:
        """Return {"model on datasets": [state, reason]} as the table prints them."""
        lines = [re.split(r"\s{2,}", line.strip()) for line in self("status").splitlines()]
        rows = [line for line in lines if re.fullmatch("[0-9a-f]{10}", line[0])]
        return {f"{row[1]} on {row[2].replace(' + ', '+')}": [*row[3:], ""][:2] for row in rows}

    def states(self) -> dict[str, str]:
        """Return {"model on datasets": state}."""
        return {cell: state for cell, (state, _) in self.status().items()}

    def runs(self, cell: str) -> list[str]:
        """Return the lines that a cell has written about its runs."""
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
    """The stub of the score command as a module."""
    spec = importlib.util.spec_from_file_location("stub_score", STUB)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
