"""The examples, run as their reader runs them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

EXAMPLE = str(ROOT / "examples" / "own_model.py")


@pytest.mark.slow
def test_the_tutorial_runs_and_finds_the_right_network(cli, tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "tutorial.py"],
        cwd=tmp_path,
        env=cli.environment(MPLBACKEND="Agg", PYTHONPATH=str(ROOT), TMPDIR=str(tmp_path)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    low = re.search(r"^difference \S+, 95 % (\S+) to ", done.stdout, re.M)[1]
    assert float(low) > 0.1
    regions = dict(
        re.findall(r"^(A|B|none) +pool .*? (-?\d\.\d{3}) ±", done.stdout.partition("whole frame on")[0], re.M)
    )
    assert set(regions) == {"A", "B", "none"}
    [figure] = tmp_path.rglob("profiles.png")
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("program", [[str(ROOT / "score_electrodes.py")], ["-m", "src", "score", "electrodes"]])
def test_a_users_file_may_import_the_installed_name(cli, program):
    arguments = ["--model", f"{EXAMPLE}:network", "--datasets", f"{EXAMPLE}:recording", "--splits", "2", "-q"]
    done = subprocess.run(
        [sys.executable, *program, *arguments], cwd=ROOT, env=cli.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\* \S+ ", done.stdout, re.M)


def test_the_cells_of_the_tutorial_are_marked():
    text = Path(ROOT / "examples" / "tutorial.py").read_text()
    assert text.count("# %% [markdown]") >= 8
    assert len(re.findall(r"^# %%$", text, re.M)) >= 8


@pytest.mark.slow
def test_two_projects_with_the_same_relative_name_have_scores_of_their_own(cli, tmp_path):
    text = Path(EXAMPLE).read_text()
    noise = text.replace("values = brightness.reshape(40, 1, 10, 4) +", "values =")
    assert noise != text
    found = []
    for name, content in (("signal", text), ("noise", noise)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "rec.py").write_text(content)
        command = [sys.executable, ROOT / "score_electrodes.py", "-m", "pixels", "-d", "rec.py:recording", "-q"]
        done = subprocess.run(command, cwd=folder, env=cli.environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.append(float(re.search(r"^\* pixels .*? ±\S+ +(-?\d\.\d+) ±", done.stdout, re.M)[1]))
    assert found[0] > 0.9
    assert abs(found[1]) < 0.2
    (folder / "rec.py").unlink()
    gone = subprocess.run(command, cwd=folder, env=cli.environment(), capture_output=True, text=True)
    assert gone.returncode == 2
    assert "no file" in gone.stderr
