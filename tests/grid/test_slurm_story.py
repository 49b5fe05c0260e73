"""The grid on a real one-node SLURM, with and without accounting: `make slurm-test`."""

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from src.cli import run_command

SLURM_LOCAL = Path(__file__).resolve().parents[1] / "slurm" / "slurm_local.sh"
EXTRA = """\
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=urgent Nodes=@HOST@ PriorityTier=10 MaxTime=INFINITE State=UP"""
DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd")
CPUS = 8

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(not os.environ.get("SLURM_TEST"), reason="needs SLURM: make slurm-test"),
]


@dataclass(frozen=True)
class Cluster:
    """A SLURM of one node on loopback in a separate folder."""

    folder: Path
    accounting: bool

    def call(self, action: str) -> None:
        """Call slurm_local.sh."""
        # the two clusters run side by side
        first_port = 20000 + 10 * (os.getpid() % 1200)
        names = ("CTLD", "SLURMD", "DBD", "DB")
        environment = os.environ | {
            **{f"SLURM_LOCAL_{name}_PORT": str(first_port + i) for i, name in enumerate(names)},
            "SLURM_LOCAL_DIR": str(self.folder),
            "SLURM_LOCAL_CPUS": str(CPUS),
            "SLURM_LOCAL_ACCT": str(int(self.accounting)),
            "SLURM_LOCAL_EXTRA": EXTRA,
        }
        subprocess.run([SLURM_LOCAL, action], env=environment, check=True, timeout=120)

    @property
    def conf(self) -> str:
        return str(self.folder / "slurm.conf")

    def processes(self) -> dict[str, int]:
        """Return {daemon: process id} of the daemons with a pid file."""
        files = {name: self.folder / f"{name}.pid" for name in DAEMONS}
        return {name: int(file.read_text()) for name, file in files.items() if file.exists()}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(False, id="without accounting", marks=pytest.mark.xdist_group("without accounting")),
        pytest.param(True, id="with accounting", marks=pytest.mark.xdist_group("with accounting")),
    ],
)
def cluster(request, tmp_path_factory):
    found = Cluster(tmp_path_factory.mktemp("slurm"), request.param)
    found.call("start")
    pids = found.processes()
    assert len(pids) == (5 if found.accounting else 3)
    yield found
    pids |= found.processes()
    found.call("stop")
    shutil.rmtree(found.folder / "db", ignore_errors=True)
    left = [name for name, pid in pids.items() if alive(pid)]
    assert not left, f"still running: {left}"


@pytest.fixture
def slurm(bench, cluster, monkeypatch):
    """The bench on the cluster."""
    monkeypatch.setenv("SLURM_CONF", cluster.conf)
    return bench


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def until(condition, seconds: float, name: str):
    """Wait until `condition()` is true, and return its value."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{name}: not within {seconds} s"
        time.sleep(0.3)
    return found


def command(*arguments: str) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def no_live_cell(bench) -> bool:
    return not {"running", "pending"} & set(bench.states().values())


def counted(bench, cell: str, word: str) -> int:
    return sum(line.startswith(word) for line in bench.runs(cell))


MODELS = ("fake-net", "pixels", "alexnet", "resnet18", "resnet50", "r3d_18")
GRID = ("submit", "--benchmark", "fmri", "--each", "-m", *MODELS, "-d", "fake-fmri", "fake-clips-fmri")
FAILING, KILLED, SHOT, LONG, PREEMPTED = (f"{model} on fake-fmri" for model in MODELS[:5])


def test_twelve_cells_with_every_kind_of_failure(slurm):
    slurm.plan({FAILING: "fail", KILLED: "hang", SHOT: "kill-shell", LONG: "steps 80", PREEMPTED: "steps 24"})
    # SLURM checks time limits every half minute: with this notice the first check ends a cell that still runs
    printed = slurm(*GRID, "--time", "1", "--notice", "60")
    assert "12 of 12 cells to start" in printed
    assert "0 of 12 cells to start" in slurm(*GRID), "a second submission starts nothing"

    until(lambda: slurm.runs(KILLED), 30, "the cell to be killed starts")
    os.kill(int(slurm.runs(KILLED)[0].split()[1]), signal.SIGKILL)
    until(lambda: counted(slurm, PREEMPTED, "step") > 2 and counted(slurm, LONG, "step") > 2, 30, "cells are running")
    urgent = command("sbatch", "--parsable", "-p", "urgent", "-c", str(CPUS), "-o", "/dev/null", "--wrap", "sleep 1")
    until(
        lambda: "COMPLETED" in command("squeue", "-h", "-t", "all", "-j", urgent.strip(), "-o", "%T"), 30, "urgent job"
    )
    assert counted(slurm, PREEMPTED, "step") < 24, "preempted too late to mean anything"

    until(lambda: no_live_cell(slurm), 150, "the grid comes to rest")
    status = slurm.status()
    assert status[FAILING] == ["failed", "exit 1; an error of the score command"]
    assert status[KILLED][0] == "failed"
    assert status[KILLED][1].startswith("killed by signal 9")
    assert status[SHOT][0] == "failed"
    assert "killed?" in status[SHOT][1]
    others = {cell: state for cell, (state, _) in status.items() if cell not in (FAILING, KILLED, SHOT)}
    assert set(others.values()) == {"done"}
    assert len(others) == 9
    for cell, n_steps in ((LONG, 80), (PREEMPTED, 24)):
        assert sorted(slurm.runs(cell)).count("end 0") == 1
        assert counted(slurm, cell, "start") > 1, "it was never interrupted"
        assert counted(slurm, cell, "step") == n_steps, "steps were lost or done twice"
    assert counted(slurm, LONG, "start") > 2, "preempted, and signalled before the time limit at least once"

    slurm.plan({})
    assert "3 of 12 cells to start (9 done)" in slurm("retry")
    until(lambda: set(slurm.states().values()) == {"done"}, 60, "what failed is done")
    assert len(slurm("collect", "--output", slurm.home / "scores.csv").splitlines()) == 1 + 12 + 1
    assert "0 of 12 cells to start (12 done)" in slurm(*GRID)


def test_cancelled_cells_stay_cancelled_until_retried(slurm):
    cells = [f"{model} on fake-fmri" for model in MODELS[:3]]
    slurm.plan(dict.fromkeys(cells, "hang"))
    slurm("submit", "--benchmark", "fmri", "-m", *MODELS[:3], "-d", "fake-fmri", "--max-parallel", "1", "--time", "10")
    until(lambda: sorted(slurm.states().values()) == ["pending", "pending", "running"], 20, "one at a time")
    until(lambda: slurm.runs(cells[0]), 20, "the first one started")
    assert "3 cells cancelled" in slurm("cancel")
    until(lambda: no_live_cell(slurm), 30, "the cells end")
    # a requeued job would be back after cred_expire
    time.sleep(12)
    assert set(map(tuple, ((s, r.split(";")[0]) for s, r in slurm.status().values()))) == {("missing", "cancelled")}
    assert slurm.runs(cells[0])[-1] == "end 143"
    slurm.plan({})
    slurm("retry")
    until(lambda: set(slurm.states().values()) == {"done"}, 60, "the cells are done")


def test_two_steps_with_different_resources(slurm):
    broken, *others = (f"{model} on fake-fmri" for model in MODELS[:3])
    slurm.plan({broken: "fail-extraction"})
    slurm(
        "submit",
        "--benchmark",
        "fmri",
        "-m",
        *MODELS[:3],
        "-d",
        "fake-fmri",
        "--split-steps",
        "--gpus",
        "1",
        "--time",
        "5",
    )
    until(lambda: no_live_cell(slurm), 60, "the grid comes to rest")
    assert slurm.status()[broken] == ["failed", "extract: exit 1; no such film"]
    assert counted(slurm, broken, "start") == 1, "nothing may be scored without activations"
    assert {slurm.states()[cell] for cell in others} == {"done"}
    assert {counted(slurm, cell, "start") for cell in others} == {2}
    texts = {path.name: path.read_text() for path in slurm.home.rglob("*.sbatch")}
    assert "gres=gpu:1" in texts["1.extract.sbatch"]
    assert "gres" not in texts["1.score.sbatch"]
    slurm.plan({})
    slurm("retry")
    until(lambda: set(slurm.states().values()) == {"done"}, 60, "the broken cell is done")
    assert (slurm.config.results_home / "grids" / "fmri" / "2.extract.sbatch").exists()


def test_the_real_score_command_on_slurm(slurm, cluster):
    if cluster.accounting:
        pytest.skip("once is enough")
    names = ("-m", "fake-net", "pixels", "-d", "fake-clips-fmri")
    submit = ["submit", "--benchmark", "fmri", *names, "--cpus", "1", "--", "--splits", "3"]
    assert run_command("grid", submit) == 0
    until(lambda: "loading" in slurm("status"), 60, "a cell is running")
    job = next(line.split("job ")[1].split(";")[0] for line in slurm("status").splitlines() if "loading" in line)
    command("scontrol", "requeue", job)
    until(lambda: no_live_cell(slurm), 200, "two real cells, one of them started twice")
    assert list(slurm.states().values()) == ["done", "done"], slurm("status")
    assert len(slurm("collect").splitlines()) == 1 + 2 + 1


def test_a_job_unknown_to_slurm_is_failed_and_a_slurm_that_does_not_answer_raises(slurm, cluster):
    if cluster.accounting:
        pytest.skip("the accounts list the job")
    slurm.plan({"pixels on fake-fmri": "kill-shell"})
    slurm("submit", "--benchmark", "fmri", "-m", "pixels", "-d", "fake-fmri")
    until(lambda: no_live_cell(slurm), 30, "the cell ends")
    cluster.call("stop")
    assert "squeue failed" in slurm("retry", expect=2)
    cluster.call("start")
    assert slurm.status()["pixels on fake-fmri"][0] == "failed"
    assert "not in the queue, and no result" in slurm("status")
    slurm.plan({})
    slurm("retry")
    until(lambda: slurm.states()["pixels on fake-fmri"] == "done", 30, "the cell is done")
