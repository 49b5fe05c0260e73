"""Calls of SLURM: submission of sbatch files, states of jobs, cancellation."""

import os
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config import Config
from ..utils import BadInput
from .cells import Cell
from .folder import Grid, Submission
from .resources import require_printable

ARRAY_LIMIT = 1000
MAX_RESTARTS = 50
RUNNING = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}
PENDING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"}

SHELL = """\
rm -f "$ended"
child= n_signals=0 requeue=
trap 'n_signals=$((n_signals + 1)); kill -TERM "$child" 2>/dev/null' TERM
trap 'n_signals=$((n_signals + 1)); requeue=yes; kill -TERM "$child" 2>/dev/null' USR1
"${cell[@]}" &
child=$!
# pass on a signal that came before the child was started
[ "$n_signals" = 0 ] || kill -TERM "$child" 2>/dev/null
while :; do
    before=$n_signals
    wait "$child"
    code=$?
    # a signal ends the wait before the child ends
    [ "$before" = "$n_signals" ] && break
done
trap '' TERM USR1
echo "$code" >"$ended"
# A cell that was stopped before the time limit has stored what was finished, and continues after a requeue. After TERM
# alone (scancel, preemption) the cluster decides.
if [ "$code" = 143 ] && [ "$requeue" ] && [ "${SLURM_RESTART_COUNT:-0}" -lt @RESTARTS@ ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


@dataclass(frozen=True)
class Job:
    """One element of an array: SLURM's state and reason, and its id for `scancel`."""

    state: str
    reason: str
    id: str

    @property
    def live(self) -> bool:
        return self.state in RUNNING or self.state in PENDING


def sbatch_text(
    grid: Grid, submission: Submission, step: str, command: Sequence[str], config: Config, notes: Iterable[str] = ()
) -> str:
    """Return the sbatch file of one step of a submission; it can also be submitted by hand."""
    cells = [grid.cells[id] for id in submission.cells]
    options = [
        f"--job-name={grid.job_name(submission, step)}",
        *submission.steps[step].sbatch(len(cells)),
        f"--output={grid.logs}/{submission.number}.{step}.%a.log",
        "--open-mode=append",
        "--requeue",
        "--nodes=1",
        "--ntasks=1",
        f"--chdir={Path.cwd()}",
    ]
    notes = list(notes)
    require_printable([*options, *notes, grid.name, str(grid.logs), *command])
    require_printable(part for cell in cells for part in command_line(cell, step, command))
    require_printable(map(str, config.homes().values()))
    parts = [
        "#!/bin/bash",
        *(f"#SBATCH {_quoted(option)}" for option in options),
        f"# {len(cells)} cells of the grid {grid.name}, step {step}. To submit this file by hand:",
        f"# mkdir -p {shlex.quote(str(grid.logs))} && sbatch {_after(submission, step)}FILE",
        *(f"# {note}" for note in notes),
        *(f"export {name}={shlex.quote(str(value))}" for name, value in config.homes().items()),
        f"ended={shlex.quote(str(grid.logs))}/{submission.number}.{step}.$SLURM_ARRAY_TASK_ID.exit",
        'case "$SLURM_ARRAY_TASK_ID" in',
        *(f"{i}) cell=({shlex.join(command_line(cell, step, command))}) ;;" for i, cell in enumerate(cells)),
        "*) echo \"no cell '$SLURM_ARRAY_TASK_ID' in this file\" >&2; exit 2 ;;",
        "esac",
        SHELL.replace("@RESTARTS@", str(MAX_RESTARTS)),
    ]
    return "\n".join(parts)


def command_line(cell: Cell, step: str, command: Sequence[str]) -> list[str]:
    """Return the command line of a step of a cell; command: the score command of its benchmark."""
    return [*command, *cell.arguments(), *(["--extract-only"] if step == "extract" else [])]


def submit(path: Path, after: str | None = None) -> str:
    """Submit an sbatch file and return the id of the job; element i waits for element i of the job `after`."""
    wait = [f"--dependency=aftercorr:{after}", "--kill-on-invalid-dep=yes"] if after else []
    return _call("sbatch", "--parsable", *wait, str(path)).strip().split(";")[0]


def jobs(names: Sequence[str], ids: Sequence[str]) -> dict[tuple[str, int | None], Job]:
    """Return {(job name, array index): Job} of the jobs in the queue by name and in the accounts by id.

    Index None: the elements of an array that ended before they started, which SLURM lists together. Raises BadInput if
    the queue cannot be read, since no job can be taken for ended then.
    """
    found = {}
    for rows, in_queue in ((_accounted(ids), False), (_queued(names), True)):
        for name, id, index, state, reason in rows:
            job = Job(state, "" if reason == "None" else reason, f"{id}_{index}")
            element = (name, int(index) if index.isdigit() else None)
            # live jobs are taken from the queue, ended ones from the accounts where they are listed there
            if job.live if in_queue else not job.live:
                found[element] = job
            elif in_queue:
                found.setdefault(element, job)
    return found


def cancel(ids: Sequence[str]) -> None:
    """End jobs by their ids."""
    for start in range(0, len(ids), 200):
        _call("scancel", *ids[start : start + 200])


def _queued(names: Sequence[str]) -> list[list[str]]:
    """Return (name, job id, index, state, reason) of the jobs with these names, of any user, recently ended ones too.

    Users who share the folder of a grid see each other's jobs.
    """
    options = ("--noheader", "--array", "--states=all", f"--name={','.join(names)}", "--format=%j|%F|%K|%T|%r")
    return [line.strip().split("|", 4) for line in _call("squeue", *options).splitlines()]


def _accounted(ids: Sequence[str]) -> list[list[str]]:
    """Return rows as `_queued` does, from the accounts by job id; [] if the cluster keeps no accounts."""
    if not ids:
        return []
    options = ("--noheader", "--allocations", "--allusers", "--parsable2", f"--jobs={','.join(ids)}")
    try:
        output = _call("sacct", *options, "--format=JobName,JobID,State,Reason")
    except BadInput:
        return []
    rows = (line.split("|", 3) for line in output.splitlines())
    return [[name, *job.partition("_")[::2], state.split()[0], reason] for name, job, state, reason in rows]


def _call(program: str, *arguments: str) -> str:
    # inside a job, sbatch must not pass on the variables of that job
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_") or k in ("SLURM_CONF", "SLURM_CLUSTERS")}
    try:
        done = subprocess.run([program, *arguments], env=kept, capture_output=True, text=True, timeout=120)
    except FileNotFoundError:
        raise BadInput(f"no program {program}; run this on a machine with SLURM, or give --local N") from None
    except subprocess.TimeoutExpired:
        raise BadInput(f"{program} did not answer within 120 s; try again later") from None
    if done.returncode:
        error = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise BadInput(f"{program} failed: {error}")
    return done.stdout


def _after(submission: Submission, step: str) -> str:
    first = next(iter(submission.steps))
    return "" if step == first else "--dependency=aftercorr:JOB --kill-on-invalid-dep=yes "


def _quoted(option: str) -> str:
    name, equals, value = option.partition("=")
    if '"' in option and (" " in value or not equals):
        raise BadInput(
            f"{option!r} would go into an sbatch file; expected no quotation mark beside spaces; leave it out"
        )
    return f'{name}="{value}"' if equals and " " in value else option
