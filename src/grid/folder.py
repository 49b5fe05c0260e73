"""The folder of a grid beside the results: its cells, its submissions and their logs."""

import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ..config import RESULTS_VARIABLE, Config
from ..files import DamagedFile, encode_json, read_json, reading, safe_name, write_atomic, writing
from ..utils import BadInput
from .cells import Cell
from .resources import Resources


@dataclass(frozen=True)
class Submission:
    """Cells that were started together.

    number: counted from 1; where: "slurm" or "local"; cells: ids, in the order of the array index; steps: resources per
    step, in order; jobs: {step: id of the SLURM job}; process: (host, process id) of a local run.
    """

    number: int
    where: str
    cells: tuple[str, ...]
    steps: dict[str, Resources]
    jobs: dict[str, str] = field(default_factory=dict)
    process: tuple[str, int] | None = None


@dataclass
class Grid:
    """The grid in the folder `path`; token: part of its job names, distinguishes it from grids of the same name."""

    path: Path
    token: str = field(default_factory=lambda: secrets.token_hex(3))
    cells: dict[str, Cell] = field(default_factory=dict)
    submissions: list[Submission] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def lock(self) -> Path:
        """Lock of changes to the grid."""
        return self.path / "grid.lock"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def log(self, submission: Submission, step: str, index: int) -> Path:
        """Return the file with the output of a cell."""
        return self.logs / f"{submission.number}.{step}.{index}.log"

    def exit_file(self, submission: Submission, step: str, index: int) -> Path:
        """Return the file with the exit code of a cell; a cell that was killed has none."""
        return self.log(submission, step, index).with_suffix(".exit")

    def run_lock(self, submission: Submission) -> Path:
        """Return the lock that a local run holds until it ends."""
        return self.path / f"run-{submission.number}.lock"

    def job_name(self, submission: Submission, step: str) -> str:
        return f"{self.name}.{submission.number}.{step}.{self.token}"

    def add_cells(self, cells: Iterable[Cell]) -> None:
        """Add cells and write the list; cells of the grid are not added again."""
        self.cells |= {cell.id: cell for cell in cells}
        self._write("cells.json", {"token": self.token, "cells": [asdict(cell) for cell in self.cells.values()]})

    def put_submission(self, submission: Submission) -> None:
        """Add a submission, in place of the one with its number, and write the list."""
        others = [other for other in self.submissions if other.number != submission.number]
        self.submissions = [*others, submission]
        self._write("submissions.json", {"submissions": [asdict(item) for item in self.submissions]})

    def new_submission(self, where: str, cells: Iterable[Cell], steps: dict[str, Resources]) -> Submission:
        """Return the next submission, without adding it."""
        number = max((submission.number for submission in self.submissions), default=0) + 1
        return Submission(number, where, tuple(cell.id for cell in cells), steps)

    def latest(self) -> dict[str, Submission]:
        """Return {cell id: the last submission that contains it}."""
        return {cell: submission for submission in self.submissions for cell in submission.cells}

    def _write(self, name: str, content: dict) -> None:
        with writing(self.path / name, RESULTS_VARIABLE):
            self.logs.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path / name, encode_json(content))


def grid_at(config: Config, name: str) -> Grid:
    """Return the grid of that name, an empty one if there is none; raise BadInput for a damaged one."""
    grid = Grid(_home(config) / safe_name(name))
    cells = _read(grid.path / "cells.json")
    if cells:
        grid.token = cells["token"]
        listed = [_cell(item) for item in cells["cells"]]
        grid.cells = {cell.id: cell for cell in listed}
    grid.submissions = [_submission(item) for item in _read(grid.path / "submissions.json").get("submissions", [])]
    return grid


def grid_names(config: Config) -> list[str]:
    """Return the names of all grids."""
    return sorted(path.parent.name for path in _home(config).glob("*/cells.json"))


def _home(config: Config) -> Path:
    return config.results_home / "grids"


def _read(path: Path) -> dict:
    with reading(path, RESULTS_VARIABLE):
        try:
            return read_json(path) or {}
        except DamagedFile as damage:
            raise BadInput(f"{path} is damaged ({damage}); move it away, and submit the grid again") from damage


def _cell(item: dict) -> Cell:
    model = item["model"] if isinstance(item["model"], str) else tuple(item["model"])
    return Cell(**item | {"model": model, "names": tuple(item["names"]), "flags": tuple(item["flags"])})


def _submission(item: dict) -> Submission:
    steps = {
        step: Resources(**fields | {"options": tuple(fields["options"])}) for step, fields in item["steps"].items()
    }
    process = None if item["process"] is None else (item["process"][0], int(item["process"][1]))
    found = Submission(**item | {"steps": steps, "process": process})
    return replace(found, cells=tuple(found.cells))
