"""Every command that the README tells a reader to type is typed here."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PRINTED = re.findall(r"```\n(fake-net on .*?)```", README, re.DOTALL)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines() if line]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder like the checkout, where the commands may write."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in ROOT.iterdir():
        if path.name in ("src", "examples") or path.suffix == ".py":
            (folder / path.name).symlink_to(path)
    return folder


def test_there_are_commands():
    assert len(PRINTED) == 2
    assert len(COMMANDS) > 15
    assert all(line.startswith((".venv/bin/python ", ".venv/bin/dynamic-vision ")) for line in COMMANDS)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # every command of the README
def test_the_commands_do_what_they_say_one_after_the_other(place):
    homes = {"DYNAMIC_VISION_HOME": str(place / "home"), "TORCH_HOME": str(place / "torch")}
    environment = {k: v for k, v in os.environ.items() if k not in ("DATA_HOME", "MMAP_HOME", "RESULTCACHING_HOME")}
    for line in COMMANDS:
        command = line.replace(".venv/bin/", f"{Path(sys.executable).parent}/", 1)
        done = subprocess.run(command, shell=True, cwd=place, env=environment | homes, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        assert (done.stdout + done.stderr).strip(), f"{line} says nothing"
    for file in ("report/index.html", "scores.parquet"):
        assert (place / file).stat().st_size > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "option", "dataset"), [("fmri", "-d", "fake-fmri"), ("behaviour", "--tasks", "fake-behaviour")]
)
def test_the_tables_are_what_the_scripts_print(script, option, dataset, cli):
    [table] = [text for text in PRINTED if text.startswith(f"fake-net on {dataset}:")]
    printed = cli(script, "-m", "fake-net", option, dataset).stdout
    assert NUMBER.sub("#", printed).split() == NUMBER.sub("#", table).split()
    # sums differ in their last digits from one machine to the next
    assert [float(x) for x in NUMBER.findall(printed)] == pytest.approx(
        [float(x) for x in NUMBER.findall(table)], abs=0.005
    )


@pytest.mark.slow
def test_the_notebook_example_runs(cli):
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    code += "print(score.summary())\nscore.plot().figure.savefig('/dev/null', format='png')\n"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=cli.environment(MPLBACKEND="Agg"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "best layer per unit" in done.stdout


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_two_commands_are_run_on_every_landing(target):
    assert f"make {target}" in (ROOT / ".ci" / "run").read_text().splitlines()
    assert f"make {target} " in README


def test_what_it_names_is_there():
    for file in re.findall(r"\]\(([\w./-]+)\)", README):
        assert (ROOT / file).exists(), file


@pytest.mark.parametrize(("file", "room"), [("datasets.md", "data"), ("models.md", "models")])
def test_the_tables_in_docs_are_what_the_command_prints(file, room):
    command = [sys.executable, "-m", "src", room, "list", "--markdown"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert (ROOT / "docs" / file).read_text().endswith(printed), f"docs/{file} is older than its source"


def test_every_dataset_and_model_is_in_its_table():
    from src import data, models

    named = set(re.findall(r"[\w.+-]+", README))
    assert {name for registry in data.BY_BENCHMARK.values() for name in registry} <= named
    assert set(models.MODELS) <= named
