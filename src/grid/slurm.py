"""The only door to SLURM: sbatch files out, job states in, cancelling by id."""

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

ARRAY_LIMIT = 1000
MAX_RESTARTS = 50
RUNNING = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}
PENDING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"}

SHELL = """\
rm -f "$ended"
child= heard=0 again=
trap 'heard=$((heard + 1)); kill -TERM "$child" 2>/dev/null' TERM
trap 'heard=$((heard + 1)); again=yes; kill -TERM "$child" 2>/dev/null' USR1
"${cell[@]}" &
child=$!
# a signal may have come before there was a child to pass it on to
[ "$heard" = 0 ] || kill -TERM "$child" 2>/dev/null
while :; do
    before=$heard
    wait "$child"
    code=$?
    # a wait that a signal cut short says nothing of the cell
    [ "$before" = "$heard" ] && break
done
trap '' TERM USR1
echo "$code" >"$ended"
# told to stop before the time limit, and all that was finished is stored: go on in a new turn. After TERM alone
# (scancel, preemption) the cluster decides.
if [ "$code" = 143 ] && [ "$again" ] && [ "${SLURM_RESTART_COUNT:-0}" -lt @RESTARTS@ ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


@dataclass(frozen=True)
class Job:
    """One element of an array: SLURM's state and reason, and the id `scancel` takes."""

    state: str
    reason: str
    id: str

    @property
    def live(self) -> bool:
        return self.state in RUNNING or self.state in PENDING


def sbatch_text(
    grid: Grid, submission: Submission, step: str, command: Sequence[str], config: Config, notes: Iterable[str] = ()
) -> str:
    """The sbatch file of one step of a submission; it can be kept and submitted by hand."""
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
    parts = [
        "#!/bin/bash",
        *(f"#SBATCH {_quoted(option)}" for option in options),
        f"# {len(cells)} cells of the grid {grid.name}, step {step}. To submit this file by hand:",
        f"# mkdir -p {shlex.quote(str(grid.logs))} && sbatch {_after(submission, step)}FILE",
        *(f"# {note}" for note in notes),
        *(f"export {name}={shlex.quote(str(value))}" for name, value in _homes(config).items()),
        f"ended={shlex.quote(str(grid.logs))}/{submission.number}.{step}.$SLURM_ARRAY_TASK_ID.exit",
        'case "$SLURM_ARRAY_TASK_ID" in',
        *(f"{i}) cell=({shlex.join(command_line(cell, step, command))}) ;;" for i, cell in enumerate(cells)),
        "*) echo \"there is no cell '$SLURM_ARRAY_TASK_ID' here\" >&2; exit 2 ;;",
        "esac",
        SHELL.replace("@RESTARTS@", str(MAX_RESTARTS)),
    ]
    return "\n".join(parts)


def command_line(cell: Cell, step: str, command: Sequence[str]) -> list[str]:
    """The command that runs a step of a cell, `command` being the script."""
    return [*command, *cell.arguments(), *(["--extract-only"] if step == "extract" else [])]


def submit(path: Path, after: str | None = None) -> str:
    """Hand an sbatch file to SLURM and return the job's id; element i waits for element i of the job `after`."""
    wait = [f"--dependency=aftercorr:{after}", "--kill-on-invalid-dep=yes"] if after else []
    answer = _ask("sbatch", "--parsable", *wait, str(path))
    return answer.strip().split(";")[0]


def jobs(names: Sequence[str], ids: Sequence[str]) -> dict[tuple[str, int | None], Job]:
    """{(job name, array index): Job} of all that SLURM still knows under these names and, in its accounts, these ids.

    Index None stands for the elements of an array that ended before they began, and are not listed by themselves.
    Raises BadInput where the queue cannot be read: nothing may be called ended then.
    """
    found = {}
    for rows, of_the_queue in ((_accounted(ids), False), (_queued(names), True)):
        for name, id, index, state, reason in rows:
            job = Job(state, "" if reason == "None" else reason, f"{id}_{index}")
            where = (name, int(index) if index.isdigit() else None)
            # the queue alone knows what lives, the accounts know better how the rest ended
            if job.live if of_the_queue else not job.live:
                found[where] = job
            elif of_the_queue:
                found.setdefault(where, job)
    return found


def cancel(ids: Sequence[str]) -> None:
    """End jobs by their ids."""
    for start in range(0, len(ids), 200):
        _ask("scancel", *ids[start : start + 200])


def _queued(names: Sequence[str]) -> list[list[str]]:
    """Rows (name, job id, index, state, reason) of the jobs so named, ended ones too while SLURM remembers them.

    Whoever shares the folder of a grid may have started them, so that they are asked for by name, not by user.
    """
    wanted = ("--noheader", "--array", "--states=all", f"--name={','.join(names)}", "--format=%j|%F|%K|%T|%r")
    return [line.strip().split("|", 4) for line in _ask("squeue", *wanted).splitlines()]


def _accounted(ids: Sequence[str]) -> list[list[str]]:
    """The same from the accounts; nothing where the cluster keeps none."""
    if not ids:
        return []
    wanted = ("--noheader", "--allocations", "--allusers", "--parsable2", f"--jobs={','.join(ids)}")
    try:
        answer = _ask("sacct", *wanted, "--format=JobName,JobID,State,Reason")
    except BadInput:
        return []
    rows = (line.split("|", 3) for line in answer.splitlines())
    return [[name, *job.partition("_")[::2], state.split()[0], reason] for name, job, state, reason in rows]


def _ask(program: str, *arguments: str) -> str:
    # inside a job, sbatch must not hand on what that job was given
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_") or k in ("SLURM_CONF", "SLURM_CLUSTERS")}
    try:
        done = subprocess.run([program, *arguments], env=kept, capture_output=True, text=True, timeout=120)
    except FileNotFoundError:
        raise BadInput(f"there is no {program} here; run this where SLURM is, or give --local N") from None
    except subprocess.TimeoutExpired:
        raise BadInput(f"{program} did not answer within 120 s; try again later") from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise BadInput(f"{program} refused: {said}")
    return done.stdout


def _homes(config: Config) -> dict[str, Path]:
    return {
        "DATA_HOME": config.data_home,
        "MMAP_HOME": config.activations_home,
        "RESULTCACHING_HOME": config.results_home,
        "TORCH_HOME": config.weights_home,
    }


def _after(submission: Submission, step: str) -> str:
    first = next(iter(submission.steps))
    return "" if step == first else "--dependency=aftercorr:JOB --kill-on-invalid-dep=yes "


def _quoted(option: str) -> str:
    name, equals, value = option.partition("=")
    return f'{name}="{value}"' if equals and " " in value else option
