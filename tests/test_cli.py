"""Help, lists, tables, progress and errors of the command line."""

import errno
import logging
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from src.cli import COMMANDS, main, run_score
from src.cli.progress import Terminal
from src.evaluate.protocol import Protocol
from src.pipeline import Score
from src.tables import aligned
from tests.conftest import ROOT

PROTOCOL = Protocol().title


@pytest.fixture
def call(cli, monkeypatch, capsys):
    """A function of the command line called in this process, in the session's homes: (exit code, stdout, stderr)."""

    def go(function, *arguments):
        for name, value in cli.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("RESULTCACHING_HOME", raising=False)
        try:
            code = function(*arguments)
        except SystemExit as left:
            code = left.code
        return code, *capsys.readouterr()

    return go


@pytest.fixture
def run(call):
    """A script run in this process."""
    return lambda benchmark, *arguments: call(run_score, benchmark, [str(a) for a in arguments])


@pytest.fixture
def command(call):
    """`dynamic-vision ARGUMENTS` run in this process."""
    return lambda *arguments: call(main, list(arguments))


def one_line(stderr):
    """The error, which is one line and the last; progress may stand before it."""
    *before, last = stderr.splitlines()
    assert "error: " in last
    assert "usage: " not in stderr
    assert not any("error" in line.lower() or "Traceback" in line for line in before), stderr
    return last


FMRI = ("fmri", "-m", "fake-net", "-d", "fake-clips-fmri")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fmri", "-m", "fake-nte", "-d", "fake-fmri"), r"unknown model 'fake-nte'; did you mean fake-net"),
        (
            ("fmri", "-m", "fake-net", "-d", "fake-fmri", "fake-fmir"),
            r"unknown fmri dataset 'fake-fmir'; did you mean fake-fmri",
        ),
        (("electrodes", "-m", "fake-net", "-d", "fake-electrodse"), r"did you mean fake-electrodes"),
        ((*FMRI, "--metric", "pearson", "r2", "--output", "x.nc"), r"2 scores for one .nc file; expected 1: name one"),
        ((*FMRI, "--metric", "peason"), r"unknown metric 'peason'; did you mean pearson\?"),
        (
            (*FMRI, "--metric", "r2", "top5"),
            r"--metric top5: not for predictions by the decoder ridge; expected one of: p",
        ),
        (
            ("behaviour", "-m", "fake-net", "-d", "fake-behaviour", "--metric", "rsa"),
            r"--metric rsa: not for human choices; expected one of: I2n, O2, error_consistency",
        ),
        ((*FMRI, "--layers", "motoin"), r"unknown layer of fake-net 'motoin'; did you mean motion or motion.vote\?"),
        ((*FMRI, "--output", "scores.xls"), r"--output scores.xls; expected a name that ends in .csv, .json"),
        ((*FMRI, "--output", "no/such/folder/x.csv"), r"there is no folder .*no/such/folder; create it first"),
        ((*FMRI, "--device", "cuda:7"), r"--device cuda:7, but .*; expected cpu"),
        ((*FMRI, "--device", "CPU"), r"--device 'CPU'; expected cpu, cuda, cuda:1, .*, mps or auto"),
        ((*FMRI, "--device", "opengl"), r"--device 'opengl'; expected cpu"),
        (
            ("fmri", "-m", "hf:", "-d", "fake-fmri"),
            r"model 'hf:' names nothing behind hf:; expected hf:owner",
        ),
        (("fmri", "-m", "timm:", "-d", "fake-fmri"), r"model 'timm:' names nothing behind timm:; expected timm:name"),
        (
            ("fmri", "-m", "fake-net", "-d", "imagenet2012"),
            r"imagenet2012 is no fmri dataset .*score_task",
        ),
        ((*FMRI, "--splits", "0"), r"argument --splits: 0; expected a whole number above 0"),
        ((*FMRI, "--clip-duration", "-3"), r"argument --clip-duration: -3; expected a number above 0"),
        ((*FMRI, "--inference-mode", "blocks"), r"invalid choice: 'blocks'"),
        (("fmri", "-d", "fake-fmri"), r"no model named; expected --model NAME: see --list"),
        ((*FMRI, "--no-such-flag"), r"^score_fmri.py: error: .*--no-such-flag \(see score_fmri.py --help\)$"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, arguments, message):
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert re.search(message, one_line(err)), err


FILMS = ("fmri", "-m", "fake-net", "-d", "fake-fmri")
ELECTRODES = ("electrodes", "-m", "fake-net", "-d", "fake-electrodes")
ACTION = ("task", "-m", "fake-net", "-d", "fake-action")
BANDED = (*FILMS, "--decoder", "banded")


@pytest.mark.parametrize(
    ("arguments", "given", "why"),
    [
        ((*FILMS, "--protocol", "published"), ("--high-pass", "128"), "runs are averaged as they are"),
        ((*FILMS, "--decoder", "pls"), ("--penalty", "rows"), "the decoder pls chooses no ridge penalty"),
        ((*FILMS, "--decoder", "pls"), ("--alpha-scale", "absolute"), "the decoder pls chooses no ridge penalty"),
        ((*FILMS, "--decoder", "pls"), ("--penalty-block", "60"), "the decoder pls chooses no ridge penalty"),
        ((*FILMS, "--decoder", "pls"), ("--penalty-gap", "10"), "the decoder pls chooses no ridge penalty"),
        ((*FILMS, "--decoder", "pls"), ("--alpha-per-target",), "the decoder pls chooses no ridge penalty"),
        (BANDED, ("--alpha-per-target",), "the decoder banded has a penalty for each band"),
        (
            (*FILMS, "--penalty", "rows", "--layer-choice", "over-splits"),
            ("--penalty-block", "60"),
            "the penalty rows leaves out no film",
        ),
        ((*FILMS, "--metric", "rsa"), ("--penalty", "rows"), "rsa needs no fit"),
        ((*FILMS, "--no-ceiling"), ("--ceiling-rows", "all"), "no noise ceiling is computed"),
        ((*FILMS, "--subjects", "each"), ("--ceiling-rows", "all"), "single subjects have their own ceilings"),
        ((*FILMS, "--reverse"), ("--alpha-per-target",), "the reverse direction has one score"),
        ((*FMRI, "fake-fmri", "--test", "fake-fmri"), ("--split", "runs"), "the films of --test are predicted"),
        (FMRI, ("--hrf", "glover"), "no dataset has films"),
        (FMRI, ("--gap", "5"), "no dataset has films"),
        (ELECTRODES, ("--gap", "5"), "the units of fake-electrodes share stimuli"),
        (ELECTRODES, ("--penalty-block", "60"), "the units of fake-electrodes share stimuli"),
        (ACTION, ("--penalty", "rows"), "the decoder logistic chooses no ridge penalty"),
        (ACTION, ("--alpha-scale", "absolute"), "the decoder logistic chooses no ridge penalty"),
    ],
)
def test_an_option_that_changes_nothing_is_refused(run, arguments, given, why):
    code, out, err = run(*arguments, *given)
    assert (code, out) == (2, "")
    last = one_line(err)
    assert f"error: {' '.join(given)} changes nothing: {why}" in last
    assert last.endswith("; leave the option out")


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ((*FILMS, "--protocol", "published", "--runs", "standardised"), ("--high-pass", "128")),
        (BANDED, ("--penalty", "gcv")),
        ((*FILMS, "--decoder", "pls"), ("--gap", "5")),
        (("task", "-m", "fake-net", "-d", "fake-selfmotion"), ("--penalty", "rows")),
    ],
)
def test_an_option_that_changes_the_score_changes_its_name(run, arguments, given):
    without, with_option = (run(*arguments, *options, "--dry-run") for options in ((), given))
    assert without[0] == with_option[0] == 0, with_option
    assert without[1] != with_option[1]


def test_nothing_is_written_for_bad_input(run, cli, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    assert run(*FMRI, "--output", tmp_path / "x.txt")[0] == 2
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("benchmark", ["fmri", "electrodes", "task", "behaviour"])
def test_help_and_list_name_what_there_is(run, benchmark):
    code, out, _ = run(benchmark, "--help")
    assert code == 0
    assert "--inference-mode" in out
    code, out, _ = run(benchmark, "--list")
    assert code == 0
    assert re.search(r"^  fake-\S+ +embedded", out, re.M)
    assert "fake-net" in out


def test_the_commands_and_the_scripts_are_the_same(run, command):
    arguments = ("--model", "fake-net", "--datasets", "fake-clips-fmri", "--splits", "2", "--seed", "78", "-q")
    assert command("score", "fmri", *arguments) == run("fmri", *arguments)
    code, _, err = command("score", "fmri", "--model", "fake-net", "-d", "fake-fmir")
    assert code == 2
    assert err.startswith("dynamic-vision score: error: unknown fmri dataset 'fake-fmir'")


def test_every_command_has_help_with_two_examples(command):
    names = [*COMMANDS, *(f"score {benchmark}" for benchmark in ("fmri", "electrodes", "task", "behaviour"))]
    for name in names:
        code, out, _ = command(*name.split(), "--help")
        assert code == 0
        examples = out.partition("examples:\n")[2].splitlines()
        assert len(examples) == 2, name
        assert all(example.startswith(f"  dynamic-vision {name}") for example in examples), name
    code, out, _ = command()
    assert code == 0
    assert all(re.search(rf"^    {name} ", out, re.M) for name in COMMANDS)


def test_the_defaults_are_those_of_a_request(run):
    out = " ".join(run("fmri", "--help")[1].split())
    for option, default in (
        ("--gap S", "10, published: 0"),
        ("--penalty {blocks,rows,gcv}", "blocks, published: rows"),
        ("--split {tiled,runs,scattered,leave-one-film-out}", "tiled, published: scattered"),
        ("--splits N", "10"),
        ("--context-duration MS", "4000"),
        ("--seed N", "0"),
    ):
        assert re.search(rf"{re.escape(option)} (?:(?!--).)*\(default: {default}\)", out), option


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completions_are_printed(command, shell):
    code, out, _ = command("--print-completion", shell)
    assert code == 0
    assert "context-duration" in out
    assert "electrodes" in out


def test_a_shell_completes_commands_and_options(command, tmp_path):
    (tmp_path / "completion").write_text(command("--print-completion", "bash")[1])
    lines = (
        f"source {tmp_path}/completion; COMP_WORDS=(dynamic-vision score fmri --inf); COMP_CWORD=3; COMP_LINE=x; "
        "_shtab_dynamic_vision; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(["bash", "-c", lines], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["--inference-mode"], done.stderr


def test_a_closed_pipe_is_silent(cli):
    for arguments in (["models", "list", "--all"], ["data", "list"], ["score", "fmri", "--list"]):
        line = f"{sys.executable} -m src {' '.join(arguments)} | head -1"
        done = subprocess.run(line, shell=True, cwd=ROOT, env=cli.environment(), capture_output=True, text=True)
        assert len(done.stdout.splitlines()) == 1
        assert done.stderr == ""


def test_a_terminal_without_unicode_shows_plain_characters(cli):
    arguments = ("-m", "fake-net", "-d", "fake-clips-fmri", "--splits", "2", "--bootstrap", "0")
    assert "±" in cli("fmri", *arguments).stdout
    plain = cli("fmri", *arguments, PYTHONIOENCODING="ascii").stdout
    assert "+-" in plain
    assert plain.isascii()
    unknown = cli("fmri", "-m", "\u03b1-net", "-d", "fake-fmri", expect=2, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert len(unknown.stderr.splitlines()) == 1
    assert "'?-net'" in unknown.stderr


def test_ctrl_c_is_one_line_and_130(call):
    from src.arguments import make_parser
    from src.cli import execute

    def interrupted(options, config):
        raise KeyboardInterrupt

    assert call(execute, make_parser("prog", ""), interrupted, []) == (
        130,
        "",
        "prog: interrupted; run it again to continue\n",
    )


@pytest.mark.parametrize(
    "module", ["src.cli", "numpy", "src.cli.score", "src.pipeline.estimates", "torch", "src.evaluate.decoders"]
)
def test_ctrl_c_during_the_imports_is_one_line(cli, module):
    command = [sys.executable, "-c", IMPORTING, module, str(ROOT)]
    done = subprocess.run(command, env=cli.environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
    assert re.fullmatch(r"(\s*loading .*\n)*.*interrupted; run it again to continue\n", done.stderr), done.stderr


# the import of a module is the moment: one after so many seconds is another on every machine
IMPORTING = """
import os, signal, sys
module, path = sys.argv[1:]
class Interrupt:
    def find_spec(self, name, *rest):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
sys.path.insert(0, path)
signal.signal(signal.SIGINT, signal.default_int_handler)
from src.__main__ import score
assert module not in sys.modules, module
sys.meta_path.insert(0, Interrupt())
sys.argv[1:] = ["-m", "pixels", "-d", "fake-clips-fmri", "--splits", "2"]
sys.exit(score("fmri"))
"""


def test_an_error_that_follows_an_interrupt_is_the_interrupt(call):
    from src.arguments import make_parser
    from src.cli import execute

    def interrupted(options, config):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError("compiled code gave up") from None

    assert call(execute, make_parser("prog", ""), interrupted, [])[::2] == (
        130,
        "prog: interrupted; run it again to continue\n",
    )


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_an_error_of_the_system_is_one_line(call, number):
    from src.arguments import make_parser
    from src.cli import execute

    def failing(options, config):
        raise OSError(number, os.strerror(number), "some/file")

    code, out, err = call(execute, make_parser("prog", ""), failing, [])
    assert (code, out) == (2, "")
    assert err == f"prog: error: some/file: {os.strerror(number)}; check the disk and the rights of the folder\n"


def test_another_error_of_the_system_is_a_fault(call):
    from src.arguments import make_parser
    from src.cli import execute

    def failing(options, config):
        raise FileNotFoundError(errno.ENOENT, "none", "some/file")

    with pytest.raises(FileNotFoundError):
        call(execute, make_parser("prog", ""), failing, [])


def test_a_full_output_is_one_line_and_a_closed_pipe_is_silent(cli):
    with open("/dev/full", "w") as full:
        command = [sys.executable, str(ROOT / "score_fmri.py"), "--list"]
        done = subprocess.run(command, env=cli.environment(), stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert "cannot write the output (No space left on device)" in one_line(done.stderr)
    for both in (False, True):
        reader, writer = os.pipe()
        os.close(reader)
        kept = subprocess.PIPE if not both else writer
        done = subprocess.run([*command, "-q"], env=cli.environment(), stdout=writer, stderr=kept)
        os.close(writer)
        assert (done.returncode, done.stderr or b"") == (0, b"")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.mkdir(), "is a folder; expected the name of a file"),
        (lambda path: os.mkfifo(path), "is a named pipe; expected the name of a file"),
        (lambda path: path.symlink_to("/dev/full"), "is a device; expected the name of a file"),
    ],
)
def test_what_is_in_the_place_of_the_output_is_told_before_anything_is_computed(run, tmp_path, make, said):
    make(tmp_path / "scores.csv")
    code, out, err = run(*FMRI, "--seed", "4321", "--output", tmp_path / "scores.csv")
    assert (code, out) == (2, "")
    assert said in one_line(err)


def test_a_full_disk_of_the_output_is_told_before_anything_is_computed(run, tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    code, out, err = run(*FMRI, "--seed", "4321", "--output", tmp_path / "scores.csv")
    assert (code, out) == (2, "")
    assert "disk full while writing" in one_line(err)
    assert list(tmp_path.glob("*.csv*")) == []


@pytest.mark.slow
def test_a_disabled_store_needs_no_folder(cli, tmp_path):
    arguments = [*FMRI, "--splits", "2", "--bootstrap", "0", "--layers", "colour", "-q"]
    nowhere = {"RESULTCACHING_DISABLE": "1", "DYNAMIC_VISION_HOME": str(tmp_path / "none")}
    assert cli(*arguments, **nowhere).stdout == cli(*arguments).stdout
    assert not (tmp_path / "none").exists()


def test_a_log_file_has_messages_progress_and_the_error(run, tmp_path):
    file = tmp_path / "run.log"
    # no other test has this split, whose fits would be stored
    assert run(*FMRI, "--splits", "2", "--seed", "4078", "--bootstrap", "0", "-q", "--log-file", file)[2] == ""
    text = file.read_text()
    assert re.search(r"^\d{4}-\d\d-\d\d [\d:,]+ INFO regression: 100%, ", text, re.M)
    assert run(*FMRI, "--layers", "nothing", "--log-file", file)[0] == 2
    more = file.read_text()
    assert more.startswith(text)
    assert "error: " in more.splitlines()[-1]
    code, _, err = run(*FMRI, "--log-file", tmp_path)
    assert (code, "Is a directory" in one_line(err)) == (2, True)


def test_warnings_of_packages_go_to_the_log_file_alone(call, tmp_path, monkeypatch):
    from src.arguments import make_parser
    from src.cli import execute

    # pytest records warnings instead of showing them
    monkeypatch.setattr(
        warnings,
        "showwarning",
        lambda *told: print(f"{told[2]}:{told[3]}: {told[1].__name__}: {told[0]}", file=sys.stderr),
    )

    def warning(options, config):
        warnings.simplefilter("always")
        for path in (np.__file__, str(tmp_path / "mine.py")):
            code = compile("import warnings; warnings.warn('look out', FutureWarning)", path, "exec")
            exec(code, {"__name__": "some"})
        logging.getLogger("another.package").warning("look here")
        return 0

    parser = make_parser("prog", "")
    parser.add_argument("--log-file")
    code, _, err = call(execute, parser, warning, ["--log-file", str(tmp_path / "log")])
    assert code == 0
    assert err.count("look out") == 1
    assert "mine.py:1: FutureWarning: look out" in err
    assert "look here" not in err
    text = (tmp_path / "log").read_text()
    assert re.search(r"WARNING .*numpy/__init__.py:1: FutureWarning: look out$", text, re.M)
    assert "WARNING look here" in text


def test_flags_behind_dashes_are_refused_where_nothing_takes_them(command):
    code, _, err = command("data", "list", "--", "--splits", "3")
    assert code == 2
    assert "--splits 3 behind --; expected nothing there" in one_line(err)


def test_help_and_list_load_nothing_heavy(cli):
    for flag in ("--help", "--list"):
        imports = cli("fmri", flag, PYTHONPROFILEIMPORTTIME="1").stderr
        for package in ("torch", "xarray", "pandas", "brainscore_vision"):
            assert not re.search(rf"\| +{package}$", imports, re.M), f"{flag} imports {package}"


def test_a_dry_run_computes_nothing(run, cli):
    arguments = [*FMRI, "--splits", "2", "--seed", "77"]
    code, out, _ = run(*arguments, "--dry-run")
    assert code == 0
    assert re.search(r"^activations to fake-clips-fmri \(shown\) +(to compute|stored) ", out, re.M)
    assert re.search(r"^score on fake-clips-fmri +to compute ", out, re.M)
    assert re.search(r"^activations .* \d+(\.\d+)? [kMG]B ", out, re.M)
    assert re.search(r"^disk: [\d.]+ [kM]?B of activations to write$", out, re.M)
    assert re.search(r"^memory: about 5 GB: 4 GB for the program, 4 copies of the largest layer", out, re.M)
    assert re.search(r"^device memory: [\d.]+ k?B of weights, and a batch, fitted to what is free$", out, re.M)
    assert re.search(r"^time: ", out, re.M)
    assert run(*arguments, "-q")[0] == 0
    again = run(*arguments, "--dry-run")[1]
    assert re.search(r"^score on fake-clips-fmri +stored ", again, re.M)
    assert "memory" not in again


def test_a_fault_of_ours_is_exit_code_1_with_a_traceback(cli):
    program = (
        "import src.pipeline.run as r; r.Run.record = lambda *a: 1/0; "
        "from src.cli import run_score; run_score('fmri', %r)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program % ["-m", "pixels", "-d", "fake-clips-fmri", "--seed", "5"]],
        cwd=ROOT,
        env=cli.environment(RESULTCACHING_DISABLE="1"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("number", "context_ms"), [(signal.SIGTERM, "2120"), (signal.SIGINT, "2440")])
def test_a_signal_keeps_what_is_done_and_leaves_with_its_code(cli, number, context_ms):
    arguments = [
        "-m",
        "fake-net",
        "-d",
        "fake-fmri",
        "--context-duration",
        context_ms,
        "--layers",
        "colour",
        "--splits",
        "2",
        "--permutations",
        "30",
    ]
    command = [sys.executable, str(ROOT / "score_fmri.py"), *arguments]
    process = subprocess.Popen(
        command, env=cli.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    stored = cli.home / "activations"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if any(context_ms in m.read_text() for m in stored.glob("fake-net-block*/manifest.json")):
            break
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines()[-1].endswith("run it again to continue")
    interrupted = cli("fmri", *arguments).stdout
    whole = cli("fmri", *arguments, "--rerun-all").stdout
    assert interrupted == whole


def test_columns_are_aligned():
    text = aligned(["name", "r"], [["a", "0.1"], ["longer", "10.25"]])
    assert text.splitlines() == ["name        r", "a         0.1", "longer  10.25"]


def test_undefined_numbers_are_printed_as_a_dash():
    row = {"layer": "l", "valid": None, "valid_sd": None, "test": 0.5, "test_sd": 0.1, "normalised": None}
    row |= {"best": True, "share": 1.0}
    facts = {
        "benchmark": "fmri",
        "model": "m",
        "datasets": ["d"],
        "metric": "pearson",
        "options": {"splits": 2, "protocol": PROTOCOL, "layer_choice": "nested"},
        "layers": [row],
        "headline": row,
        "one_layer": row,
        "best_per_unit": None,
        "interval": None,
        "regions": [],
        "targets": 3,
        "splits": 2,
        "undefined": 1,
        "masked": 2,
        "ceiling": 0.8,
        "reliability": 0.64,
        "notes": {"rows": 9},
    }
    text = Score(facts, {"test": np.zeros(1)}).summary()
    assert re.search(r"^\* l +- +0\.500 ±0\.100 +-$", text, re.M), text
    assert "2 of 3 units are left out" in text
    assert "1 targets have no score" in text


def test_progress_is_lines_in_a_log_and_a_bar_on_a_terminal(capsys):
    show = Terminal().progress("work")
    show(1, 4)
    show(4, 4, "end")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert re.fullmatch(r"work: 100%, 0:0\d done, 0:00 left, end", lines[0])


def test_quiet_says_nothing(capsys):
    terminal = Terminal(quiet=True)
    terminal.say("hello")
    terminal.progress("work")(1, 1)
    assert capsys.readouterr().err == ""


def test_a_full_disk_is_refused_before_the_first_forward_pass(run, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    code, out, err = run(*FMRI, "--rerun-activation", "--context-duration", "3000")
    assert code == 2
    assert out == ""
    assert re.search(r"\d+ kB of activations to write, 10 B free in .*; make room.*MMAP_HOME", one_line(err))


def test_why_names_the_field_in_which_a_wanted_score_differs(cli):
    cli("fmri", "-m", "fake-net", "-d", "fake-clips-fmri", "--splits", "2", "--seed", "77", "-q")

    def why(*words):
        command = [sys.executable, "-m", "src.store", "why", "fake-net", "fake-clips-fmri", "--", *words]
        done = subprocess.run(command, cwd=ROOT, env=cli.environment(), capture_output=True, text=True, check=True)
        return done.stdout

    assert re.search(r"^score: stored as ", why("--splits", "2", "--seed", "77"), re.M)
    told = why("--splits", "2", "--seed", "77", "--missing", "rows")
    assert "activations: stored as" in told
    assert re.search(r"missing +rows +units", told), told
