"""The grid without SLURM: real processes and a real store."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from src.grid.folder import grid_at

MODELS = ("fake-net", "pixels", "alexnet")
CELLS = ("submit", "--benchmark", "fmri", "-m", *MODELS, "-d", "fake-fmri")
FIRST, SECOND, THIRD = (f"{model} on fake-fmri" for model in MODELS)


def test_only_what_is_missing_runs_again(bench):
    bench.plan({FIRST: "fail", SECOND: "lost"})
    bench(*CELLS, "--local", 2, expect=1)
    status = bench.status()
    assert status[FIRST] == ["failed", "exit 1; an error of the score command"]
    assert status[SECOND] == ["failed", "exit 0, but its score is not in this store"]
    assert status[THIRD] == ["done", ""]

    bench.plan({SECOND: "fail"})
    assert "2 of 3 cells to start (1 done)" in bench(*CELLS, "--local", 2, expect=1)
    assert bench.states() == {FIRST: "done", SECOND: "failed", THIRD: "done"}

    bench.plan({})
    assert "1 of 3 cells to start (2 done)" in bench("retry", "--local", 2)
    assert set(bench.states().values()) == {"done"}
    assert "0 of 3 cells to start (3 done)" in bench(*CELLS, "--local", 2)
    assert [len(bench.runs(cell)) for cell in (FIRST, SECOND, THIRD)] == [4, 6, 2]


def test_a_grid_grows_and_retry_takes_single_cells(bench):
    bench.plan({FIRST: "fail", SECOND: "fail"})
    bench("submit", "--benchmark", "fmri", "-m", "pixels", "-d", "fake-fmri", "--local", 1, expect=1)
    bench(*CELLS, "--local", 3, expect=1)
    assert bench.states() == {SECOND: "failed", FIRST: "failed", THIRD: "done"}
    bench.plan({})
    wanted = next(line.split()[0] for line in bench("status").splitlines() if "pixels" in line)
    bench("retry", wanted, "--local", 1)
    assert bench.states() == {SECOND: "done", FIRST: "failed", THIRD: "done"}
    assert f"unknown cell '{wanted[:-1]}'" in bench("retry", wanted[:-1], "--local", 1, expect=2)


def test_scores_of_changed_code_are_missing(bench):
    bench("submit", "--benchmark", "fmri", "-m", "pixels", "-d", "fake-fmri", "--local", 1)
    bench.change_sources("changed")
    changed = f"valid metadata of data fake-fmri is not stored ({bench.home / 'source.py'} changed)"
    [line] = [line for line in bench("status").splitlines() if "missing" in line and "pixels" in line]
    assert line.endswith(".score.0.log")
    assert Path(line.split()[-1]).is_file()
    reason = f"exit 0, but {changed}; run the score command to compute it"
    assert bench.status() == {SECOND: ["missing", reason]}
    bench("retry", "--local", 2)
    assert bench.states() == {SECOND: "done"}


@pytest.mark.parametrize(
    ("benchmark", "names"),
    [("electrodes", ["fake-electrodes", "fake-mt"]), ("task", ["digits"]), ("behaviour", ["fake-behaviour"])],
)
def test_every_benchmark_can_be_a_grid(bench, benchmark, names):
    bench("submit", "--benchmark", benchmark, "-m", "fake-net", "-d", *names, "--local", 1)
    assert list(bench.states().values()) == ["done"]
    scores = [line for line in bench("collect").splitlines() if line.startswith("fake-net")]
    assert len(scores) == len(names)


def test_local_cells_share_the_cores(bench):
    bench.plan(dict.fromkeys((FIRST, SECOND, THIRD), "environment OMP_NUM_THREADS"))
    bench(*CELLS, "--local", 3)
    share = max(1, bench.config.cores // 3)
    logs = [path.read_text().strip() for path in bench.home.rglob("*.log")]
    assert logs == [os.environ.get("OMP_NUM_THREADS", str(share))] * 3


def started(home, n_cells):
    end = time.monotonic() + 60
    while len(list(home.glob("*.runs"))) < n_cells:
        assert time.monotonic() < end, "the cells did not start"
        time.sleep(0.05)


@pytest.fixture
def runner(bench):
    """The same command line in a separate process, with two cells that wait and one behind them."""
    bench.plan(dict.fromkeys((FIRST, SECOND), "hang"))
    program = (
        "import sys; from src.cli import run_command; "
        f"stub = lambda benchmark: [{sys.executable!r}, 'tests/grid/stub_score.py', benchmark]; "
        "sys.exit(run_command('grid', command=stub))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, *CELLS, "--local", "2"], stderr=subprocess.PIPE)
    started(bench.home, 2)
    yield process
    process.kill()
    process.communicate()


def test_a_local_run_passes_sigterm_on_and_can_continue(bench, runner):
    live = bench.status()
    assert [state for state, _ in live.values()] == ["running", "running", "pending"]
    assert "local, process" in live[FIRST][1]
    assert "0 of 3 cells to start" in bench(*CELLS, "--local", 2)
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(30) == 143
    assert bench.status()[FIRST] == ["interrupted", "stopped by SIGTERM; waiting"]
    assert bench.states()[THIRD] == "missing"
    bench.plan({})
    bench("retry", "--local", 3)
    assert set(bench.states().values()) == {"done"}


def test_cancel_ends_a_local_run(bench, runner):
    assert "3 cells cancelled" in bench("cancel")
    assert runner.wait(30) == 143
    assert bench.states() == {FIRST: "interrupted", SECOND: "interrupted", THIRD: "missing"}


def test_a_killed_local_run_is_not_live(bench, runner):
    runner.kill()
    runner.wait(20)
    for cell in (FIRST, SECOND):
        os.kill(int(bench.runs(cell)[0].split()[1]), signal.SIGKILL)
    status = bench.status()
    assert status[FIRST] == ["interrupted", "the local run ended before it; waiting"]
    assert status[THIRD] == ["missing", "the local run ended before it"]


def test_a_grid_of_several_models_a_cell_is_collected(bench, stub):
    submit = ("submit", "--benchmark", "fmri", "--models", "pixels", "fake-net", "--datasets", "fake-fmri")
    bench(*submit, "--together", "2", "--local", "1")
    (cell,) = grid_at(bench.config, "fmri").cells.values()
    assert cell.models == ("pixels", "fake-net")
    assert "pixels + fake-net" in bench("status")
    assert [line.split()[0] for line in bench("collect").splitlines() if "fake-fmri" in line] == ["pixels", "fake-net"]
