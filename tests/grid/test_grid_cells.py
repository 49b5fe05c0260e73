"""Cells of a command line, their identity, their sbatch files and states; no cell is run."""

import os
import re
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from src.grid import slurm
from src.grid.cells import Cell, make_cells
from src.grid.folder import grid_at
from src.grid.hints import hints
from src.grid.resources import Resources, seconds
from src.grid.states import last_line, verdict
from src.pipeline import Request
from src.store import Store
from src.utils import BadInput


def test_one_cell_per_model_or_per_model_and_dataset():
    models, names = ["pixels", "fake-net", "pixels"], ["fake-fmri", "fake-clips-fmri"]
    joint = make_cells("fmri", models, names, [], each=False)
    assert [(cell.model, cell.names) for cell in joint] == [(m, tuple(sorted(names))) for m in ("pixels", "fake-net")]
    each = make_cells("fmri", models, names, [], each=True)
    assert [(cell.model, *cell.names) for cell in each] == [(m, n) for m in ("pixels", "fake-net") for n in names]
    assert make_cells("fmri", models, names[::-1], [], each=False) == joint


def test_models_that_share_a_cell():
    models = ["pixels", "fake-net", "motion-energy"]
    cells = make_cells("fmri", models, ["fake-fmri", "fake-clips-fmri"], [], each=True, together=2)
    assert [cell.model for cell in cells] == [("pixels", "fake-net")] * 2 + ["motion-energy"] * 2
    assert cells[2:] == make_cells("fmri", models[2:], ["fake-fmri", "fake-clips-fmri"], [], each=True)
    pair = cells[0]
    assert pair.arguments() == ["--model", "pixels", "fake-net", "-d", "fake-fmri"]
    assert pair.label == "pixels + fake-net on fake-fmri"
    assert pair.request() == Request("fmri", ("pixels", "fake-net"), ("fake-fmri",))
    assert len({cell.id for cell in cells}) == 4


def test_a_cell_is_its_command_line():
    cell = Cell("fmri", "pixels", ("fake-fmri",), ("--splits", "3", "--alpha-per-target"))
    expected = Request("fmri", "pixels", ("fake-fmri",), splits=3, alpha_per_target=True)
    assert cell.request() == expected
    others = [
        Cell("task", "pixels", ("fake-fmri",), cell.flags),
        Cell("fmri", "fake-net", ("fake-fmri",), cell.flags),
        Cell("fmri", "pixels", ("fake-fmri", "fake-clips-fmri"), cell.flags),
        Cell("fmri", "pixels", ("fake-fmri",), ("--splits", "4", "--alpha-per-target")),
        Cell("fmri", "pixels", ("fake-fmri",)),
    ]
    assert len({c.id for c in [cell, *others]}) == 6
    assert Cell(*vars(cell).values()).id == cell.id == "8ca19b733c"


def test_jobs_get_the_homes_of_all_libraries(bench, monkeypatch):
    monkeypatch.setenv("HF_HOME", "some where")
    monkeypatch.setenv("BRAINSCORE_HOME", "/scores")
    monkeypatch.delenv("BRAINIO_HOME", raising=False)
    lines = bench(*DRY).splitlines()
    assert f"export HF_HOME='{Path.cwd() / 'some where'}'" in lines
    assert "export BRAINSCORE_HOME=/scores" in lines
    assert f"export BRAINIO_HOME={Path('~/.brainio').expanduser()}" in lines
    for variable in ("DATA_HOME", "MMAP_HOME", "RESULTCACHING_HOME", "TORCH_HOME"):
        assert any(line.startswith(f"export {variable}=") for line in lines), variable


@pytest.mark.parametrize(
    ("models", "names", "flags", "message"),
    [
        (["pixel"], ["fake-fmri"], [], "unknown model 'pixel'; did you mean pixels"),
        (["pixels"], ["fake-fmr"], [], "unknown fmri dataset 'fake-fmr'; did you mean fake-fmri"),
        (["pixels"], ["fake-fmri"], ["--rerun-all"], "dynamic-vision store rm"),
        (["pixels"], ["fake-fmri"], ["--output", "x.csv"], "collect --output FILE"),
        (["pixels"], ["fake-fmri"], ["--extract-only"], "--split-steps"),
        (["pixels"], ["fake-fmri"], ["--log-file", "x"], "every cell has a log of its own"),
        (["pixels"], ["fake-fmri"], ["-d", "fake-clips-fmri"], "expected --models and --datasets before it"),
        (["pixels"], ["fake-fmri"], ["--model", "fake-net"], "expected --models and --datasets before it"),
    ],
)
def test_flags_and_names_that_make_no_cell_raise(models, names, flags, message):
    with pytest.raises(BadInput, match=message):
        make_cells("fmri", models, names, flags, each=False)


def test_unknown_flags_exit_as_in_the_score_command(capsys):
    with pytest.raises(SystemExit, match="2"):
        make_cells("fmri", ["pixels"], ["fake-fmri"], ["--spits", "3"], each=False)
    assert "score fmri: error: unrecognized arguments: --spits 3" in capsys.readouterr().err


DRY = ("submit", "--benchmark", "fmri", "-m", "fake-net", "pixels", "-d", "fake-fmri", "fake-clips-fmri", "--dry-run")


def test_the_dry_run_prints_an_sbatch_file_and_writes_nothing(bench):
    before = sorted(bench.home.rglob("*"))
    resources = "--partition gpu --gpus a100:2 --time 4:00:00 --mem 32G --cpus 8 --max-parallel 5 --account lab"
    text = bench(*DRY, *resources.split(), "--sbatch=--qos=long", "--", "--layers", "a layer")
    assert sorted(bench.home.rglob("*")) == before
    options = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH")]
    wanted = (
        "--array=0-1%5 --partition=gpu --gres=gpu:a100:2 --time=4:00:00 --mem=32G --qos=long --cpus-per-task=8 "
        "--account=lab --signal=B:USR1@120 --requeue --open-mode=append"
    )
    assert set(wanted.split()) <= set(options)
    assert "score" in text
    assert "'a layer'" in text
    assert "# disk, memory: not known" in text


@pytest.mark.parametrize(
    ("time", "expected"),
    [("5", 300), ("5:30", 330), ("1:05:30", 3930), ("2-3", 183600), ("2-3:04", 183840), ("2-3:04:05", 183845)],
)
def test_times_in_the_notation_of_slurm(time, expected):
    assert seconds(time) == expected


def test_times_that_are_too_short_or_not_times_raise(bench):
    assert "--time 1 is less than the 120 s before the limit at which a cell is stopped" in bench(
        *DRY, "--time", "1", expect=2
    )
    assert "--time soon; expected minutes" in bench(*DRY, "--time", "soon", expect=2)


@pytest.mark.parametrize(
    "options",
    [
        ("--sbatch=--qos=long\n#SBATCH --account=other",),
        ("--partition", "gpu\nrm x"),
        ("--account", "a\x1b[2J"),
        ("--sbatch=--comment=a\u2028b",),
        ('--sbatch=--comment=a b" --wrap=x',),
        ("--", "--layers", "a\nb"),
    ],
)
def test_control_characters_in_an_sbatch_file_are_refused(bench, options):
    before = sorted(bench.home.rglob("*"))
    text = bench(*DRY, *options, expect=2)
    assert re.search(r"would go into an sbatch file; expected (printable characters only|no quotation mark)", text)
    assert len(text.splitlines()) == 1
    submitted = [argument for argument in DRY if argument != "--dry-run"]
    assert "would go into an sbatch file" in bench(*submitted, *options, expect=2)
    kept = [path for path in bench.home.rglob("*") if path not in before and path.is_file() and "lock" not in path.name]
    assert not [path for path in kept if path.suffix in (".sbatch", ".json")], kept


def test_two_steps_are_two_files(bench):
    text = bench(*DRY, "--split-steps", "--gpus", "1", "--mem", "8G", "--score-mem", "64G", "--score-partition", "cpu")
    first, second = text[text.index("#!/bin/bash") :].split("#!/bin/bash")[1:]
    assert first.count("--extract-only") == 2
    assert "--gres=gpu:1" in first
    assert "--mem=8G" in first
    assert "--extract-only" not in second
    assert "--gres" not in second
    assert "--mem=64G" in second
    assert "--partition=cpu" in second
    assert "--dependency=aftercorr:JOB --kill-on-invalid-dep=yes" in second


def test_large_grids_are_several_arrays(bench, monkeypatch):
    submitted = fake_slurm(bench, monkeypatch, squeue="")
    monkeypatch.setattr(slurm, "ARRAY_LIMIT", 3)
    models = ("fake-net", "pixels", "alexnet", "resnet18")
    bench("submit", "--benchmark", "fmri", "-m", *models, "-d", "fake-fmri", "fake-clips-fmri", "--each")
    assert [line.split()[-1].rsplit("/", 1)[1] for line in submitted()] == [f"{n}.score.sbatch" for n in (1, 2, 3)]
    assert len(grid_at(bench.config, "fmri").latest()) == 8


@pytest.mark.parametrize("code", [0, 1, 2, 137, 143])
def test_the_batch_shell_passes_on_the_exit_code(bench, tmp_path, code):
    done = run_batch(bench, tmp_path, f"exit {code}")
    assert done.returncode == code
    assert exit_file(bench) == f"{code}\n"
    assert not (tmp_path / "requeued").exists()


@pytest.mark.parametrize(("signal", "requeued"), [("USR1", True), ("TERM", False)])
def test_only_the_signal_before_the_time_limit_requeues_a_cell(bench, tmp_path, signal, requeued):
    cell = f"trap 'sleep 0.3; exit 143' TERM; kill -{signal} $PPID; while :; do sleep 0.1; done"
    done = run_batch(bench, tmp_path, cell)
    assert done.returncode == 143, done.stderr
    assert (tmp_path / "requeued").exists() == requeued


def test_a_cell_that_ends_with_0_after_the_signal_is_not_requeued(bench, tmp_path):
    done = run_batch(bench, tmp_path, "trap 'sleep 0.3; exit 0' TERM; kill -USR1 $PPID; while :; do sleep 0.1; done")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "requeued").exists()


def test_requeues_are_limited(bench, tmp_path):
    cell = "trap 'exit 143' TERM; kill -USR1 $PPID; while :; do sleep 0.1; done"
    done = run_batch(bench, tmp_path, cell, SLURM_RESTART_COUNT=str(slurm.MAX_RESTARTS))
    assert done.returncode == 143
    assert not (tmp_path / "requeued").exists()


def run_batch(bench, tmp_path, cell: str, **environment: str):
    """Run the sbatch file by hand as SLURM does, with a shell as its cell."""
    grid = grid_at(bench.config, "fmri")
    grid.add_cells(make_cells("fmri", ["pixels"], ["fake-fmri"], [], each=False))
    submission = grid.new_submission("slurm", grid.cells.values(), {"score": Resources()})
    text = slurm.sbatch_text(grid, submission, "score", ["bash", "-c", cell], bench.config)
    path = program(tmp_path / "batch", text)
    program(tmp_path / "scontrol", f"#!/bin/sh\ntouch {tmp_path}/requeued\n")
    given = {"SLURM_ARRAY_TASK_ID": "0", "SLURM_JOB_ID": "1", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    return subprocess.run([path], env=os.environ | given | environment, capture_output=True, text=True, timeout=30)


def exit_file(bench) -> str:
    return (grid_at(bench.config, "fmri").logs / "1.score.0.exit").read_text()


def program(path, text: str):
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def fake_slurm(bench, monkeypatch, squeue: str, sacct: str | None = None):
    """Put stubs of the SLURM programs first in PATH; return a function that lists the calls of sbatch."""
    folder = bench.home / "slurm"
    folder.mkdir(exist_ok=True)
    calls = folder / "calls"
    program(folder / "sbatch", f'#!/bin/sh\necho "$@" >>{calls}\nwc -l <{calls}\n')
    program(folder / "scancel", f'#!/bin/sh\necho "$@" >>{folder}/cancelled\n')
    program(folder / "squeue", f"#!/bin/sh\nprintf %s {shlex.quote(squeue)}\n")
    program(
        folder / "sacct", "#!/bin/sh\nexit 1\n" if sacct is None else f"#!/bin/sh\nprintf %s {shlex.quote(sacct)}\n"
    )
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return lambda: calls.read_text().splitlines()


def submitted_cell(bench, monkeypatch, benchmark="fmri"):
    """Submit a grid of one cell as job 1; return the grid and the name of the job."""
    fake_slurm(bench, monkeypatch, squeue="")
    bench("submit", "--benchmark", benchmark, "-m", "pixels", "-d", "fake-fmri")
    grid = grid_at(bench.config, "fmri")
    return grid, grid.job_name(grid.submissions[0], "score")


@pytest.mark.parametrize(
    ("squeue", "sacct", "log", "code", "expected"),
    [
        ("{name}|1|0|PENDING|Priority", None, None, None, ["pending", "job 1_0, Priority"]),
        ("{name}|1|0|RUNNING|None", None, "50%\r60%", None, ["running", "job 1_0; 60%"]),
        ("{name}|1|0|COMPLETING|None", None, "60%", "0", ["running", "job 1_0; 60%"]),
        ("{name}|1|0|CANCELLED|None", None, "60%", "143", ["missing", "cancelled; 60%"]),
        ("{name}|1|N/A|CANCELLED|None", None, None, None, ["missing", "cancelled"]),
        (
            "{name}|1|0|TIMEOUT|TimeLimit",
            None,
            "60%",
            None,
            ["interrupted", "time limit; request more with --time; 60%"],
        ),
        ("", "{name}|1_0|TIMEOUT|None", "60%", None, ["interrupted", "time limit; request more with --time; 60%"]),
        ("", "{name}|1_0|CANCELLED by 7|None", None, None, ["missing", "cancelled"]),
        ("", "{name}|1_0|OUT_OF_MEMORY|None", "", "137", ["failed", "out of memory; request more with --mem"]),
        ("{name}|1|0|PENDING|BeginTime", "{name}|1_0|PREEMPTED|None", "", None, ["pending", "job 1_0, BeginTime"]),
        ("", "{name}|1_0|FAILED|None", "no luck", "1", ["failed", "exit 1; no luck"]),
        ("", None, "no luck", "143", ["interrupted", "stopped by SIGTERM; no luck"]),
        ("", None, "no luck", None, ["failed", "not in the queue, and no result: killed?; no luck"]),
        ("", None, None, None, ["missing", "not in the queue, and never started"]),
        (
            "another|1|0|RUNNING|None",
            "another|1_0|RUNNING|None",
            None,
            None,
            ["missing", "not in the queue, and never started"],
        ),
    ],
)
def test_the_state_of_a_cell(bench, monkeypatch, squeue, sacct, log, code, expected):
    grid, name = submitted_cell(bench, monkeypatch)
    submission = grid.submissions[0]
    for path, content in ((grid.log(submission, "score", 0), log), (grid.exit_file(submission, "score", 0), code)):
        if content is not None:
            path.write_text(content)
    fake_slurm(bench, monkeypatch, squeue.format(name=name), sacct and sacct.format(name=name))
    assert bench.status() == {"pixels on fake-fmri": expected}
    to_start = int(expected[0] not in ("running", "pending"))
    again = ("submit", "--benchmark", "fmri", "-m", "pixels", "-d", "fake-fmri", "--dry-run")
    assert f"{to_start} of 1 cells to start" in bench(*again)


def test_a_job_whose_id_was_not_written_is_found_by_its_name(bench, monkeypatch):
    fake_slurm(bench, monkeypatch, squeue="")
    program(bench.home / "slurm" / "sbatch", "#!/bin/sh\nkill -9 $$\n")
    assert "sbatch failed" in bench("submit", "--benchmark", "fmri", "-m", "pixels", "-d", "fake-fmri", expect=2)
    grid = grid_at(bench.config, "fmri")
    fake_slurm(bench, monkeypatch, f"{grid.job_name(grid.submissions[0], 'score')}|7|0|RUNNING|None")
    assert bench.status()["pixels on fake-fmri"] == ["running", "job 7_0"]
    assert "1 cells cancelled" in bench("cancel")
    assert (bench.home / "slurm" / "cancelled").read_text() == "7_0\n"


def test_variables_of_an_outer_job_are_not_passed_on(bench, monkeypatch):
    fake_slurm(bench, monkeypatch, squeue="")
    program(bench.home / "slurm" / "sbatch", f"#!/bin/sh\nenv >{bench.home}/given; echo 1\n")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")
    monkeypatch.setenv("SLURM_CONF", "/some/slurm.conf")
    bench("submit", "--benchmark", "fmri", "-m", "pixels", "-d", "fake-fmri")
    given = (bench.home / "given").read_text()
    assert "SLURM_CONF=/some/slurm.conf" in given
    assert "SLURM_CPUS_PER_TASK" not in given


def test_a_queue_that_does_not_answer_raises(bench, monkeypatch):
    submitted_cell(bench, monkeypatch)
    program(bench.home / "slurm" / "squeue", "#!/bin/sh\necho slurm_load_jobs error >&2; exit 1\n")
    for command in ("status", "retry", "cancel"):
        assert "squeue failed: slurm_load_jobs error" in bench(command, expect=2)
    monkeypatch.setenv("PATH", str(bench.home))
    assert "no program squeue" in bench("status", expect=2)


def test_retry_uses_the_same_resources(bench, monkeypatch):
    submitted = fake_slurm(bench, monkeypatch, squeue="")
    bench(
        "submit",
        "--benchmark",
        "fmri",
        "-m",
        "pixels",
        "-d",
        "fake-fmri",
        "--split-steps",
        "--gpus",
        "1",
        "--mem",
        "8G",
    )
    bench("retry", "--time", "9:00:00")
    grids = bench.config.results_home / "grids" / "fmri"
    text = (grids / "2.extract.sbatch").read_text()
    assert all(option in text for option in ("--gres=gpu:1", "--mem=8G", "--time=9:00:00"))
    assert "gres" not in (grids / "2.score.sbatch").read_text()
    assert submitted()[3].startswith("--parsable --dependency=aftercorr:3 --kill-on-invalid-dep=yes")


def test_a_damaged_grid_is_named(bench, monkeypatch):
    grid, _ = submitted_cell(bench, monkeypatch)
    path = grid.path / "submissions.json"
    path.write_bytes(path.read_bytes()[:-20])
    assert "submissions.json is damaged" in bench("status", expect=2)


def test_no_grid_yet(bench):
    assert "there is no grid under" in bench("status", expect=2)
    with pytest.raises(SystemExit, match="2"):
        bench("status", "--", "--splits", "3")


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        (143, "interrupted", "SIGTERM"),
        (2, "failed", "bad input"),
        (137, "failed", "out of memory"),
        (9, "failed", "exit 9"),
    ],
)
def test_the_verdict_on_exit_codes(code, state, reason):
    found = verdict(code)
    assert found[0] == state
    assert reason in found[1]


def test_the_last_line_of_a_log(tmp_path):
    path = tmp_path / "log"
    assert last_line(path) == ""
    path.write_bytes(b"x" * 10000 + b"\nfirst\nbar: 10%\rbar: 20%\r\n  \n")
    assert last_line(path) == "bar: 20%"
    path.write_bytes(b"\xff\xfe")
    assert last_line(path)


def test_hints_use_what_is_stored(bench, stub):
    cell = Cell("fmri", "pixels", ("fake-fmri",))
    unknown = hints([cell], Store(bench.config, read_only=True))
    assert "not known" in unknown[0]
    assert "no score on these datasets is stored" in unknown[1]
    stub.store_scores(cell.request())
    disk, memory, device, time = hints([cell], Store(bench.config, read_only=True))
    # 2 stimuli x 2 bins x (5000 projected + 10) x 4 bytes
    assert disk == "disk: 80.2 kB of activations to write"
    assert "--mem 5G" in memory
    assert device == "device memory: weights of a size that is not stored, and a batch, fitted to what is free"
    assert "1 stored scores" in time
