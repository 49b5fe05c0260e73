"""State of every cell of a grid, from the store, from SLURM, and from exit codes and logs, in this order."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ..locks import holder
from ..pipeline import Score, stored_scores
from ..store import Store
from ..utils import BadInput
from . import slurm
from .cells import Cell
from .folder import Grid, Submission

LIVE = ("running", "pending")
ORDER = ("done", "running", "pending", "interrupted", "failed", "missing")
INTERRUPTED = {
    "TIMEOUT": "time limit; request more with --time",
    "PREEMPTED": "preempted",
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node failed",
    "REVOKED": "revoked",
}
FAULTS = {
    "OUT_OF_MEMORY": "out of memory; request more with --mem",
    "DEADLINE": "deadline",
}
NOT_STORED = "exit 0, but its score is not in this store"
NEVER_STARTED = "not in the queue, and never started"
TAIL_BYTES = 4096
Jobs = dict[tuple[str, int | None], slurm.Job]


@dataclass(frozen=True)
class State:
    """A cell with its state (one of ORDER), the reason, its log and the last line of it, job ids and stored scores."""

    cell: Cell
    state: str
    reason: str = ""
    last_line: str = ""
    jobs: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()
    log: Path | None = None


def states(grid: Grid, store: Store, cells: Iterable[Cell] | None = None) -> list[State]:
    """Return the states of `cells` (default: all of the grid) in their order; SLURM is called for unfinished ones only.

    store: a read-only one. Raises BadInput if cells were submitted to SLURM and it does not answer.
    """
    cells = list(grid.cells.values() if cells is None else cells)
    found = {cell.id: by_store(cell, store) for cell in cells}
    unfinished = [cell for cell in cells if found[cell.id].state != "done"]
    latest = grid.latest()
    by_slurm = {s.number: s for c in unfinished if (s := latest.get(c.id)) and s.where == "slurm"}
    jobs = _jobs(grid, by_slurm.values()) if by_slurm else {}
    for cell in unfinished:
        state = _by_jobs(cell, grid, latest.get(cell.id), jobs)
        found[cell.id] = state if state.state in LIVE else _of_ended(state, store)
    return [found[cell.id] for cell in cells]


def by_store(cell: Cell, store: Store) -> State:
    """Return the state of a cell from the store alone: "done" with its scores, or "missing"."""
    try:
        scores = stored_scores(cell.request(), store.config, store)
    except BadInput as error:
        return State(cell, "missing", str(error))
    return State(cell, "done", scores=tuple(scores)) if scores else State(cell, "missing", NOT_STORED)


def _of_ended(state: State, store: Store) -> State:
    """Return the state of a cell without a live job; it may have ended since the store was read."""
    found = by_store(state.cell, store)
    if found.state == "done":
        return found
    if state.reason == NOT_STORED and found.reason != NOT_STORED:
        return replace(state, state="missing", reason=f"exit 0, but {found.reason}")
    return state


def _jobs(grid: Grid, submissions: Iterable[Submission]) -> Jobs:
    submissions = list(submissions)
    names = [grid.job_name(submission, step) for submission in submissions for step in submission.steps]
    return slurm.jobs(names, [id for submission in submissions for id in submission.jobs.values()])


def _by_jobs(cell: Cell, grid: Grid, submission: Submission | None, jobs: Jobs) -> State:
    if submission is None:
        return State(cell, "missing", "never submitted")
    index = submission.cells.index(cell.id)
    state_of = _local if submission.where == "local" else _on_slurm
    state, reason, step, ids = state_of(grid, submission, index, jobs)
    log = grid.log(submission, step, index)
    return State(cell, state, reason, last_line(log), ids, log=log if log.exists() else None)


def _local(grid: Grid, submission: Submission, index: int, jobs: Jobs) -> tuple[str, str, str, tuple[str, ...]]:
    step = next(iter(submission.steps))
    code = exit_code(grid.exit_file(submission, step, index))
    if code is not None:
        return *verdict(code), step, ()
    started = grid.log(submission, step, index).exists()
    runner = holder(grid.run_lock(submission))
    if runner:
        return "running" if started else "pending", f"local, {runner}", step, ()
    return ("interrupted" if started else "missing"), "the local run ended before it", step, ()


def _on_slurm(grid: Grid, submission: Submission, index: int, jobs: Jobs) -> tuple[str, str, str, tuple[str, ...]]:
    """Return state, reason, step and job ids: of the first step that is live or failed, else of the last step."""
    steps = list(submission.steps)
    started = {step: grid.log(submission, step, index).exists() for step in steps}
    found = {step: _job(jobs, grid.job_name(submission, step), index, started[step]) for step in steps}
    ids = tuple(job.id for job in found.values() if job and job.live)
    for slurm_states, state in ((slurm.RUNNING, "running"), (slurm.PENDING, "pending")):
        for step, job in found.items():
            if job and job.state in slurm_states:
                return state, _live_reason(step, steps, job), step, ids
    for step in steps:
        code = exit_code(grid.exit_file(submission, step, index))
        if code == 0 and step != steps[-1]:
            continue
        state, reason = _ended(found[step], code) if started[step] or found[step] else ("missing", NEVER_STARTED)
        return state, f"{step}: {reason}" if step != steps[-1] else reason, step, ()
    raise AssertionError("a submission has steps")


def _job(jobs: Jobs, name: str, index: int, started: bool) -> slurm.Job | None:
    """Return the job of one element of an array; elements that never started may be listed together."""
    return jobs.get((name, index)) or (None if started else jobs.get((name, None)))


def _live_reason(step: str, steps: list[str], job: slurm.Job) -> str:
    words = [f"job {job.id}", *([step] if len(steps) > 1 else []), *([job.reason] if job.state != "RUNNING" else [])]
    return ", ".join(word for word in words if word)


def _ended(job: slurm.Job | None, code: int | None) -> tuple[str, str]:
    """Return (state, reason) of a step without a live job, from SLURM's record and its exit code, if there are any."""
    if job and job.state == "CANCELLED":
        return "missing", "cancelled"
    if job and job.state in INTERRUPTED:
        return "interrupted", INTERRUPTED[job.state]
    if job and job.state in FAULTS:
        return "failed", FAULTS[job.state]
    if code is not None:
        return verdict(code)
    if job:
        return "failed", f"SLURM state {job.state}, and no exit code: killed?"
    return "failed", "not in the queue, and no result: killed?"


def verdict(code: int) -> tuple[str, str]:
    """Return (state, reason) for the exit code of a cell whose score is not in the store."""
    if code == 143:
        return "interrupted", "stopped by SIGTERM"
    if code == 0:
        return "failed", NOT_STORED
    if code == 2:
        return "failed", "bad input (exit 2)"
    if code > 128:
        return "failed", f"killed by signal {code - 128}" + (": out of memory?" if code == 137 else "")
    return "failed", f"exit {code}"


def exit_code(path: Path) -> int | None:
    """Return the number in an exit file, None if there is none."""
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return None
    return int(text) if text.isdigit() else None


def last_line(path: Path) -> str:
    """Return the last line of a log that is not blank, "" if there is none."""
    try:
        with open(path, "rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - TAIL_BYTES))
            tail = log.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    lines = [line.strip() for line in tail.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1] if lines else ""
