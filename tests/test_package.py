"""The installed package: its name, its wheel, its commands, and the notebook example."""

import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NOTEBOOK = """
import dynamic_vision as dv
score = dv.score("fake-net", "fake-clips-fmri", splits=2, bootstrap=0)
print(score.summary())
print(score.to_dataframe().groupby("layer")["test"].mean())
print(score.to_xarray()["test"].sel(layer="motion").shape)
"""


def python(code, *, cwd=ROOT, executable=sys.executable, **environment):
    return subprocess.run(
        [executable, "-c", code], cwd=cwd, env=os.environ | environment, capture_output=True, text=True
    )


def test_all_packages_are_listed():
    folders = {path.parent.relative_to(ROOT / "src") for path in (ROOT / "src").rglob("*.py")}
    names = {".".join(["dynamic_vision", *folder.parts]) for folder in folders if "__pycache__" not in folder.parts}
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == names
    assert all((ROOT / "src" / folder / "__init__.py").is_file() for folder in folders)


def test_importing_the_package_imports_nothing_of_it_and_is_fast():
    code = (
        "import time, sys; t = time.perf_counter(); import dynamic_vision; print(time.perf_counter() - t, *sys.modules)"
    )
    seconds, *modules = python(code).stdout.split()
    assert float(seconds) < 0.3
    assert not {"numpy", "torch", "pandas", "xarray"} & set(modules)


def test_importing_every_public_name_loads_no_torch():
    done = python(
        "import sys; from dynamic_vision import *; import dynamic_vision as dv; dv.models; print(*sys.modules)"
    )
    assert done.returncode == 0, done.stderr
    assert not {"torch", "pandas", "xarray"} & set(done.stdout.split())


def test_the_installed_name_gives_the_checkouts_modules():
    done = python(
        "import src.records, dynamic_vision, dynamic_vision.records\n"
        "from dynamic_vision.data.declare import Fmri\n"
        "import src.data.declare\n"
        "assert dynamic_vision is src and dynamic_vision.records is src.records and Fmri is src.data.declare.Fmri\n"
        "assert src.records.__spec__.name == 'src.records'"
    )
    assert done.returncode == 0, done.stderr


def test_two_copies_in_a_process_are_refused_in_one_line():
    done = python("import dynamic_vision, src")
    assert done.returncode == 1
    assert "ImportError: dynamic-vision is imported already as 'dynamic_vision'" in done.stderr.splitlines()[-1]
    assert "use one name in a process" in done.stderr.splitlines()[-1]


def test_a_package_called_src_of_the_users_is_left_alone(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "__init__.py").write_text("mine = 1")
    done = python("import src, dynamic_vision as dv; print(src.mine, dv.Fmri.__name__)", cwd=tmp_path)
    assert done.stdout.split() == ["1", "Fmri"], done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that is built from the tracked files."""
    folder = tmp_path_factory.mktemp("wheel")
    clone = folder / "clone"
    clone.mkdir()
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, tracked.decode().split("\0")):
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, clone]
    subprocess.run(command, check=True, cwd=folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The Python of a new environment, outside the checkout, with the wheel; its dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    interpreter = folder / "bin" / "python"
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    command = [sys.executable, "-m", "pip", "--python", interpreter, "install", "--quiet", "--no-deps", wheel]
    subprocess.run(command, check=True, cwd=folder)
    return interpreter


@pytest.mark.slow
def test_the_wheel_holds_one_top_level_package(wheel):
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"dynamic_vision"}
    assert any(name.endswith("report/templates/report.html") for name in zipfile.ZipFile(wheel).namelist())


@pytest.mark.slow
def test_the_installed_commands_and_the_notebook_example(installed, embedded_home, tmp_path):
    # in a folder with a `src` of its own, as many projects have one
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "__init__.py").touch()
    homes = {"DYNAMIC_VISION_HOME": str(tmp_path / "home"), "DATA_HOME": str(embedded_home), "PYTHONPATH": ""}

    def command(*arguments):
        program = Path(installed).with_name("dynamic-vision")
        done = subprocess.run(
            [program, *arguments], cwd=tmp_path, env=os.environ | homes, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = python("import dynamic_vision; print(dynamic_vision.__file__)", executable=installed, cwd=tmp_path, **homes)
    assert str(Path(installed).parents[1]) in where.stdout
    scored = ("score", "fmri", "--model", "fake-net", "--datasets", "fake-clips-fmri", "--splits", "2")
    table = command(*scored)
    assert "best layer per unit" in table
    assert command(*scored) == table
    assert command("--version").startswith("dynamic-vision ")
    assert "fake-clips-fmri" in command("store", "ls")
    submit = ("grid", "submit", "--benchmark", "fmri", "-m", "fake-net", "-d", "fake-clips-fmri", "--local", "1")
    command(*submit, "--", "--splits", "2", "--seed", "3")
    assert "1 done" in command("grid", "status")
    done = python(NOTEBOOK, executable=installed, cwd=tmp_path, **homes)
    assert done.returncode == 0, done.stderr
    assert "motion" in done.stdout
