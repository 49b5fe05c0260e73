"""Starting what is missing, starting again what failed, ending what lives."""

import os
import platform
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..config import Config
from ..files import write_atomic
from ..locks import holder, locked
from ..utils import BadInput
from . import slurm
from .cells import Cell
from .folder import VARIABLE, Grid, Submission
from .hints import hints
from .local import STEP, LocalRun
from .resources import Resources, Steps
from .states import LIVE, State, states
from .stored import Shelf

Command = Callable[[str], list[str]]


@dataclass(frozen=True)
class Plan:
    """How to start cells: steps and what each asks for; local: processes at a time, None for SLURM."""

    steps: Steps
    local: int | None = None


def missing(found: Iterable[State]) -> list[Cell]:
    """The cells that have no score and no live job."""
    return [state.cell for state in found if state.state != "done" and state.state not in LIVE]


def start(
    grid: Grid, cells: Sequence[Cell], plan: Plan, command: Command, config: Config, tell: Callable[[str], None]
) -> list[Submission]:
    """Submit cells as arrays, or note them for a local run; whoever calls holds the grid's lock."""
    if plan.local:
        submission = grid.new_submission("local", cells, {STEP: Resources()})
        submission = replace(submission, process=(platform.node(), os.getpid()))
        grid.put_submission(submission)
        return [submission]
    notes, started = hints(cells, Shelf(config), config), []
    for note in notes:
        tell(note)
    for first in range(0, len(cells), slurm.ARRAY_LIMIT):
        chunk = cells[first : first + slurm.ARRAY_LIMIT]
        submission = grid.new_submission("slurm", chunk, plan.steps)
        # noted before it is submitted: a job that this process does not live to note is known by its name
        grid.put_submission(submission)
        texts = {step: _text(grid, submission, step, command, config, notes) for step in submission.steps}
        started.append(_submit(grid, submission, texts, tell))
    return started


def _submit(grid: Grid, submission: Submission, texts: dict[str, str], tell: Callable[[str], None]) -> Submission:
    """Hand one sbatch file per step to SLURM, each waiting for the one before, and note the jobs' ids."""
    after = None
    for step, text in texts.items():
        path = grid.path / f"{submission.number}.{step}.sbatch"
        write_atomic(path, text.encode())
        after = slurm.submit(path, after)
        submission = replace(submission, jobs=submission.jobs | {step: after})
        grid.put_submission(submission)
        tell(f"job {after}: {len(submission.cells)} cells, {step}; {path}")
    return submission


def dry_run(grid: Grid, cells: Sequence[Cell], plan: Plan, command: Command, config: Config) -> str:
    """The sbatch files that would be submitted, or the command lines that would be run; nothing is written."""
    if plan.local:
        lines = [shlex.join(slurm.command_line(cell, STEP, command(cell.benchmark))) for cell in cells]
        return "\n".join(lines) + "\n"
    grid.cells |= {cell.id: cell for cell in cells}
    submission = grid.new_submission("slurm", cells[: slurm.ARRAY_LIMIT], plan.steps)
    notes = hints(cells, Shelf(config), config)
    return "\n".join(_text(grid, submission, step, command, config, notes) for step in submission.steps)


def _text(grid: Grid, submission: Submission, step: str, command: Command, config: Config, notes=()) -> str:
    benchmark = grid.cells[submission.cells[0]].benchmark
    return slurm.sbatch_text(grid, submission, step, command(benchmark), config, notes)


def run_local(
    grid: Grid, submission: Submission, plan: Plan, command: Command, config: Config, tell: Callable[[str], None]
) -> bool:
    """Run a local submission to its end; False if asked to stop before."""
    benchmark = grid.cells[submission.cells[0]].benchmark
    n_cells, ended = len(submission.cells), []

    def told(index: int, code: int) -> None:
        ended.append(index)
        how = "done" if code == 0 else f"exit {code}"
        tell(f"[{len(ended)}/{n_cells}] {how}: {grid.cells[submission.cells[index]].label}")

    return LocalRun(grid, submission, command(benchmark), config).run(plan.local or 1, told)


def cancel(grid: Grid, shelf: Shelf, only: Sequence[Cell]) -> list[State]:
    """End the live jobs of the cells `only`, and a local run that holds one of them; returns what lived."""
    with locked(grid.lock, VARIABLE):
        lived = [state for state in states(grid, shelf, only) if state.state in LIVE]
        slurm.cancel([job for state in lived for job in state.jobs])
        latest = grid.latest()
        runs = {s.number: s for state in lived if (s := latest[state.cell.id]).where == "local"}
        for submission in runs.values():
            _stop_local(grid, submission)
    return lived


def _stop_local(grid: Grid, submission: Submission) -> None:
    host, process = submission.process or ("", 0)
    if host != platform.node():
        raise BadInput(f"cells run in process {process} on {host}; end it there")
    if holder(grid.run_lock(submission)):
        os.kill(process, signal.SIGTERM)


def scripts_here(benchmark: str) -> list[str]:
    """The command that runs `score_<script>.py` with this Python."""
    return [sys.executable, str(Path(__file__).parents[2] / f"score_{benchmark}.py")]
