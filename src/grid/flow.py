"""Start of missing cells, on SLURM or locally, and end of live ones."""

import os
import platform
import shlex
import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ..config import RESULTS_VARIABLE, Config
from ..files import write_atomic
from ..locks import holder, locked
from ..store import Store
from ..utils import BadInput
from . import slurm
from .cells import Cell
from .folder import Grid, Submission
from .hints import hints
from .local import STEP, LocalRun
from .resources import Resources, Steps
from .states import LIVE, State, states

# benchmark -> the command that scores it
Command = Callable[[str], list[str]]


@dataclass(frozen=True)
class Plan:
    """Steps of a submission with their resources; local: number of processes at a time, None for SLURM."""

    steps: Steps
    local: int | None = None


def missing(found: Iterable[State]) -> list[Cell]:
    """Return the cells that have no score and no live job."""
    return [state.cell for state in found if state.state != "done" and state.state not in LIVE]


def start(
    grid: Grid, cells: Sequence[Cell], plan: Plan, command: Command, config: Config, report: Callable[[str], None]
) -> list[Submission]:
    """Submit cells as arrays, or add a local submission; the caller holds the grid's lock."""
    if plan.local:
        submission = grid.new_submission("local", cells, {STEP: Resources()})
        submission = replace(submission, process=(platform.node(), os.getpid()))
        grid.put_submission(submission)
        return [submission]
    notes, started = hints(cells, Store(config, read_only=True)), []
    for note in notes:
        report(note)
    for first in range(0, len(cells), slurm.ARRAY_LIMIT):
        chunk = cells[first : first + slurm.ARRAY_LIMIT]
        submission = grid.new_submission("slurm", chunk, plan.steps)
        texts = {step: _text(grid, submission, step, command, config, notes) for step in submission.steps}
        # written before sbatch runs: if this process is killed before it writes the job id, the job name identifies it
        grid.put_submission(submission)
        started.append(_submit(grid, submission, texts, report))
    return started


def _submit(grid: Grid, submission: Submission, texts: dict[str, str], report: Callable[[str], None]) -> Submission:
    """Submit one sbatch file per step, each dependent on the one before, and write the ids of the jobs."""
    after = None
    for step, text in texts.items():
        path = grid.path / f"{submission.number}.{step}.sbatch"
        write_atomic(path, text.encode())
        after = slurm.submit(path, after)
        submission = replace(submission, jobs=submission.jobs | {step: after})
        grid.put_submission(submission)
        report(f"job {after}: {len(submission.cells)} cells, {step}; {path}")
    return submission


def dry_run(grid: Grid, cells: Sequence[Cell], plan: Plan, command: Command, config: Config) -> str:
    """Return the sbatch files or, for a local run, the command lines; nothing is written."""
    if plan.local:
        lines = [shlex.join(slurm.command_line(cell, STEP, command(cell.benchmark))) for cell in cells]
        return "\n".join(lines) + "\n"
    grid.cells |= {cell.id: cell for cell in cells}
    submission = grid.new_submission("slurm", cells[: slurm.ARRAY_LIMIT], plan.steps)
    notes = hints(cells, Store(config, read_only=True))
    return "\n".join(_text(grid, submission, step, command, config, notes) for step in submission.steps)


def _text(grid: Grid, submission: Submission, step: str, command: Command, config: Config, notes: list[str]) -> str:
    return slurm.sbatch_text(grid, submission, step, command(_benchmark(grid, submission)), config, notes)


def _benchmark(grid: Grid, submission: Submission) -> str:
    return grid.cells[submission.cells[0]].benchmark


def run_local(
    grid: Grid, submission: Submission, plan: Plan, command: Command, config: Config, report: Callable[[str], None]
) -> bool:
    """Run a local submission to its end; return False if a signal stopped it."""
    n_cells, n_ended = len(submission.cells), 0

    def ended(index: int, code: int) -> None:
        nonlocal n_ended
        n_ended += 1
        outcome = "done" if code == 0 else f"exit {code}"
        report(f"[{n_ended}/{n_cells}] {outcome}: {grid.cells[submission.cells[index]].label}")

    return LocalRun(grid, submission, command(_benchmark(grid, submission)), config).run(plan.local or 1, ended)


def cancel(grid: Grid, store: Store, only: Sequence[Cell]) -> list[State]:
    """End the live jobs of the cells `only`, and the local runs that they belong to; return the states before."""
    with locked(grid.lock, RESULTS_VARIABLE):
        live = [state for state in states(grid, store, only) if state.state in LIVE]
        slurm.cancel([job for state in live for job in state.jobs])
        latest = grid.latest()
        runs = {s.number: s for state in live if (s := latest[state.cell.id]).where == "local"}
        for submission in runs.values():
            _stop_local(grid, submission)
    return live


def _stop_local(grid: Grid, submission: Submission) -> None:
    host, process = submission.process or ("", 0)
    if host != platform.node():
        raise BadInput(f"the cells run in process {process} on {host}; end it there")
    if holder(grid.run_lock(submission)):
        os.kill(process, signal.SIGTERM)
