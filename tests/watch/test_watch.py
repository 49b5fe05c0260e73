"""Every kind of access is seen: a change of what was read is a difference, anything else is none."""

import json
import linecache
import mmap
import os
import pickle
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from importlib import metadata
from pathlib import Path

import h5py
import netCDF4
import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file, save_file

from src.watch import checked, executed, importable, unchanged, watching
from src.watch import states as watch_states


def seen_by(access, *arguments):
    """The inputs of a call of a user's function, which tests stand for."""
    with watching() as seen:
        access(*arguments)
    return json.loads(json.dumps(seen.inputs()))


def rewrite(path: Path, write) -> None:
    """Write another content with the same size of name and the same time."""
    times = os.stat(path)
    write(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def table(path, value):
    pd.DataFrame({"a": [value]}).to_csv(path)


def hdf5(path, value):
    with h5py.File(path, "w") as file:
        file["a"] = [value]


def netcdf(path, value):
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("x", 1)
        file.createVariable("a", "i4", ("x",))[:] = value


def open_netcdf(path):
    netCDF4.Dataset(path).close()


def database(path, value):
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("create table t (a)")
    connection.execute("insert into t values (?)", (value,))
    connection.commit()
    connection.close()


def read_database(path):
    connection = sqlite3.connect(path)
    connection.execute("select * from t").fetchall()
    connection.close()


def read_mapped(path):
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        mapped.read()


def read_descriptor(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.read(descriptor, 10)
    os.close(descriptor)


def read_in_thread(path):
    thread = threading.Thread(target=path.read_bytes)
    thread.start()
    thread.join()


def save_array(path, value):
    with open(path, "wb") as file:
        np.save(file, np.array([value]))


def save_text(path, value):
    path.write_text(f"{value}\n")


def save_tensors(path, value):
    save_file({"a": np.array([value])}, path)


def save_parquet(path, value):
    pd.DataFrame({"a": [value]}).to_parquet(path)


def torch_jit(path, value):
    torch.jit.save(torch.jit.script(torch.nn.Threshold(float(value), 0.0)), path)


READERS = {
    "open": (save_text, lambda path: open(path).close()),
    "descriptor": (save_text, read_descriptor),
    "pathlib": (save_text, Path.read_bytes),
    "thread": (save_text, read_in_thread),
    "json": (lambda path, value: path.write_text(json.dumps(value)), lambda path: json.loads(path.read_text())),
    "npy": (save_array, np.load),
    "memmap": (save_array, lambda path: np.load(path, mmap_mode="r")),
    "fromfile": (lambda path, value: np.array([value]).tofile(path), np.fromfile),
    "loadtxt": (save_text, np.loadtxt),
    "mmap": (save_text, read_mapped),
    "pickle": (lambda path, value: path.write_bytes(pickle.dumps(value)), pd.read_pickle),
    "csv": (table, pd.read_csv),
    "parquet": (save_parquet, pd.read_parquet),
    "h5py": (hdf5, lambda path: h5py.File(path).close()),
    "netCDF4": (netcdf, open_netcdf),
    "sqlite": (database, read_database),
    "safetensors": (save_tensors, load_file),
    "torch": (lambda path, value: torch.save(torch.tensor(value), path), torch.load),
    "torch mapped": (
        lambda path, value: torch.save(torch.tensor(value), path),
        lambda path: torch.load(path, mmap=True, weights_only=True),
    ),
    "torch.jit": (torch_jit, lambda path: torch.jit.load(path)),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_file_is_seen_whatever_reads_it(tmp_path, reader):
    write, read = READERS[reader]
    path, other = tmp_path / "file.bin", tmp_path / "other.bin"
    write(path, 1)
    write(other, 1)
    inputs = seen_by(read, path)
    assert str(path) in inputs["files"]
    assert str(other) not in inputs["files"]
    assert inputs["unwatched"] == []
    os.utime(path, (5, 5))
    write(other, 2)
    assert checked(inputs)[0] == ""
    shutil.copy(path, other)
    os.replace(other, path)
    assert checked(inputs)[0] == ""
    rewrite(path, lambda path: write(path, 2))
    assert checked(inputs)[0] == f"{path} changed"
    path.unlink()
    assert checked(inputs)[0] == f"{path} is gone"


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_volumes_are_seen_where_indexed_gzip_reads_them_too(tmp_path, suffix):
    path = tmp_path / f"bold{suffix}"
    nibabel.save(nibabel.Nifti1Image(np.ones((2, 2, 2, 2), dtype=np.int16), np.eye(4)), path)
    for _ in range(2):
        assert str(path) in seen_by(lambda: nibabel.load(path, keep_file_open=True).get_fdata())["files"]


def test_files_that_an_hdf5_file_refers_to(tmp_path):
    hdf5(tmp_path / "far.h5", 1)
    hdf5(tmp_path / "source.h5", 1)
    with h5py.File(tmp_path / "main.h5", "w") as file:
        file["link"] = h5py.ExternalLink("far.h5", "a")
        layout = h5py.VirtualLayout(shape=(1,), dtype="i8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "source.h5"), "a", shape=(1,))
        file.create_group("g").create_virtual_dataset("virtual", layout)
        file.create_dataset("raw", (1,), "i8", external=[(str(tmp_path / "raw.bin"), 0, 8)])[:] = 1

    def read():
        with h5py.File(tmp_path / "main.h5") as file:
            return file["link"][:], file["g/virtual"][:], file["raw"][:]

    inputs = seen_by(read)
    assert {Path(path).name for path in inputs["files"]} == {"main.h5", "far.h5", "source.h5", "raw.bin"}
    hdf5(tmp_path / "far.h5", 2)
    assert "far.h5" in checked(inputs)[0]


LISTINGS = {
    "listdir": os.listdir,
    "scandir": lambda folder: list(os.scandir(folder)),
    "iterdir": lambda folder: list(folder.iterdir()),
    "glob": lambda folder: list(folder.glob("*.npy")),
    "rglob": lambda folder: list(folder.rglob("*.npy")),
    "walk": lambda folder: list(os.walk(folder)),
}


@pytest.mark.parametrize("listing", LISTINGS)
def test_a_folder_that_is_listed(tmp_path, listing):
    save_array(tmp_path / "a.npy", 1)
    inputs = seen_by(LISTINGS[listing], tmp_path)
    save_array(tmp_path / "a.npy", 2)
    assert unchanged(inputs)
    save_array(tmp_path / "b.npy", 2)
    assert checked(inputs)[0] == f"the files in {tmp_path} are others"
    (tmp_path / "b.npy").unlink()
    (tmp_path / "__pycache__").mkdir()
    assert unchanged(inputs)
    (tmp_path / "a.npy").rename(tmp_path / "c.npy")
    assert not unchanged(inputs)


def fail_to_open(path):
    with pytest.raises(FileNotFoundError):
        path.read_text()


QUESTIONS = {
    "exists": Path.exists,
    "is_file": Path.is_file,
    "isfile": os.path.isfile,
    "access": lambda path: os.access(path, os.R_OK),
    "failed open": fail_to_open,
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_file_that_was_looked_for_and_absent(tmp_path, question):
    inputs = seen_by(QUESTIONS[question], tmp_path / "flag")
    (tmp_path / "unrelated").touch()
    assert unchanged(inputs)
    (tmp_path / "flag").touch()
    assert checked(inputs)[0] == f"{tmp_path / 'flag'} is file; it was absent"


def test_a_file_that_exists_may_have_another_content(tmp_path):
    path = tmp_path / "flag"
    path.write_text("1")
    inputs = seen_by(path.exists)
    path.write_text("22")
    assert unchanged(inputs)
    path.unlink()
    assert not unchanged(inputs)


@pytest.mark.parametrize("question", [os.path.getmtime, os.path.getsize, lambda path: os.stat(path), Path.stat])
def test_size_and_time_count_where_they_are_asked_for(tmp_path, question):
    path = tmp_path / "newest"
    path.write_text("1")
    inputs = seen_by(question, path)
    assert unchanged(inputs)
    os.utime(path, (5, 5))
    assert checked(inputs)[0] == f"the size or the time of {path} changed"


def test_a_line_that_a_warning_quotes_is_no_input(tmp_path, recwarn):
    path = tmp_path / "users.py"
    path.write_text("import warnings\ndef load():\n    warnings.warn('old')\n")
    with importable(tmp_path):
        load = executed(path).load
    linecache.clearcache()

    def quoted():
        load()
        linecache.getline(str(path), 3)

    assert seen_by(quoted)["files"] == {}


def test_the_search_for_packages_reads_nothing(tmp_path, monkeypatch):
    (tmp_path / "mine.egg-info").mkdir()
    (tmp_path / "mine.egg-info" / "entry_points.txt").write_text("[mine]\none = mine:one\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend("")

    def search():
        metadata.version("numpy")
        assert metadata.entry_points(group="mine")

    inputs = seen_by(search)
    assert (inputs["files"], inputs["folders"], inputs["kinds"], inputs["cwd"]) == ({}, {}, {}, None)


def test_a_link_that_is_resolved(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text("same")
    link = tmp_path / "current"
    link.symlink_to(tmp_path / "a")
    inputs = seen_by(lambda: link.resolve().read_text())
    assert unchanged(inputs)
    link.unlink()
    link.symlink_to(tmp_path / "b")
    assert not unchanged(inputs)


READ_VARIABLE = {
    "item": lambda name: os.environ[name],
    "get": os.environ.get,
    "getenv": os.getenv,
    "in": lambda name: name in os.environ,
    "copy": lambda name: dict(os.environ),
    "bytes": lambda name: os.environb[name.encode()],
}


@pytest.mark.parametrize("access", READ_VARIABLE)
def test_a_variable_that_is_read(monkeypatch, access):
    monkeypatch.setenv("SUBJECT", "one")
    inputs = seen_by(READ_VARIABLE[access], "SUBJECT")
    assert "one" not in json.dumps(inputs)
    assert unchanged(inputs)
    monkeypatch.setenv("SUBJECT", "two")
    assert checked(inputs)[0] == "the variable SUBJECT changed"
    monkeypatch.delenv("SUBJECT")
    assert not unchanged(inputs)


def test_variables_that_are_absent_set_or_read_by_packages(monkeypatch):
    def access():
        os.environ.get("ABSENT")
        os.environ["MINE"] = "1"
        os.environ["MINE"]

    monkeypatch.delenv("ABSENT", raising=False)
    monkeypatch.setenv("MINE", "0")
    inputs = seen_by(access)
    assert list(inputs["environment"]) == ["ABSENT"]
    monkeypatch.setenv("ABSENT", "")
    assert not unchanged(inputs)


def test_the_working_folder_counts_only_for_relative_paths(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("1")
    monkeypatch.chdir(tmp_path)
    absolute, relative = seen_by((tmp_path / "a").read_text), seen_by(Path("a").read_text)
    asked = seen_by(Path.cwd)
    monkeypatch.chdir("/")
    assert unchanged(absolute)
    assert not unchanged(relative)
    assert not unchanged(asked)

    def move_then_read():
        os.chdir(tmp_path)
        Path("a").read_text()

    inputs = seen_by(move_then_read)
    monkeypatch.chdir("/")
    assert unchanged(inputs)


@pytest.fixture
def project(tmp_path):
    """A file that imports a module, a package, a module inside a function, and looks for one that is absent."""
    (tmp_path / "package" / "inner").mkdir(parents=True)
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "inner" / "__init__.py").write_text("from . import deep\n")
    (tmp_path / "package" / "inner" / "deep.py").write_text("VALUE = 1\n")
    (tmp_path / "helper.py").write_text("VALUE = 1\n")
    (tmp_path / "late.py").write_text("VALUE = 1\n")
    (tmp_path / "unused.py").write_text("VALUE = 1\n")
    (tmp_path / "main.py").write_text(
        "import helper\nfrom package import inner\nimport colorsys\n"
        "try:\n    import absent\nexcept ImportError:\n    absent = None\n"
        "def value():\n    import late\n    return helper.VALUE, inner.deep.VALUE, late.VALUE\n"
    )
    return tmp_path


def run(project):
    with importable(project):
        return executed(project / "main.py").value()


def test_modules_that_are_imported(project):
    inputs = seen_by(run, project)
    names = {str(Path(path).relative_to(project)) for path in inputs["files"]}
    inner = {"package/__init__.py", "package/inner/__init__.py", "package/inner/deep.py"}
    assert names == {"main.py", "helper.py", "late.py", *inner}
    (project / "unused.py").write_text("VALUE = 2\n")
    (project / "notes.txt").write_text("")
    assert unchanged(inputs)
    for name in ("helper.py", "late.py", "package/inner/deep.py"):
        before = (project / name).read_bytes()
        rewrite(project / name, lambda path: path.write_text("VALUE = 2\n"))
        assert not unchanged(inputs), name
        (project / name).write_bytes(before)
        assert unchanged(inputs), name


@pytest.mark.parametrize("name", ["absent.py", "absent/__init__.py", "helper/__init__.py", "colorsys.py"])
def test_a_module_that_would_be_found_first(project, name):
    sys.modules.pop("colorsys", None)
    inputs = seen_by(run, project)
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).touch()
    assert checked(inputs)[0] == f"the modules in {project} are others"


def test_a_changed_module_is_read_from_its_source_in_the_same_process(project):
    assert run(project) == (1, 1, 1)
    for k, name in enumerate(("helper.py", "package/inner/deep.py", "late.py")):
        rewrite(project / name, lambda path: path.write_text("VALUE = 2\n"))
        assert run(project) == tuple(1 + (k >= i) for i in range(3))


def test_modules_of_one_name_in_two_projects(project, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "copy"
    shutil.copytree(project, other)
    (other / "helper.py").write_text("VALUE = 3\n")
    assert [run(project)[0], run(other)[0], run(project)[0]] == [1, 3, 1]
    with importable(project):
        outer = executed(project / "main.py")
        assert run(other)[0] == 3
        assert outer.value() == (1, 1, 1)
        import helper

        assert helper.VALUE == 1


def test_a_module_that_the_user_imported_is_left_to_them(project, monkeypatch):
    sys.modules.pop("helper", None)
    monkeypatch.syspath_prepend(str(project))
    import helper

    inputs = seen_by(run, project)
    assert sys.modules["helper"] is helper
    assert str(project / "helper.py") in inputs["files"]
    sys.modules.pop("helper")


def test_a_module_of_another_folder_that_changed_after_it_was_imported(tmp_path, monkeypatch):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "shared_helper.py").write_text("VALUE = 1\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "main.py").write_text("import shared_helper\ndef value():\n    return shared_helper.VALUE\n")
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    import shared_helper

    assert shared_helper.VALUE == 1
    os.utime(tmp_path / "lib" / "shared_helper.py", (5, 5))
    assert seen_by(run, tmp_path / "mine")["unwatched"] == []
    (tmp_path / "lib" / "shared_helper.py").write_text("VALUE = 2\n")
    assert "which changed after Python had loaded it" in seen_by(run, tmp_path / "mine")["unwatched"][0]
    sys.modules.pop("shared_helper")


def test_versions_of_the_packages_that_a_file_imports(tmp_path, monkeypatch):
    (tmp_path / "main.py").write_text("import os\nimport numpy as np\ndef value():\n    from PIL import Image\n")
    inputs = seen_by(run, tmp_path)
    assert inputs["versions"].keys() == {"numpy", "pillow", "python"}
    monkeypatch.setattr(watch_states, "package_version", lambda name: "0")
    assert checked(inputs)[0].startswith("numpy is 0; it was ")


def run_program():
    subprocess.run(["true"], check=True)


def start_process():
    import multiprocessing

    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    process.join()


def connect():
    import socket

    with socket.socket() as connection, pytest.raises(ConnectionRefusedError):
        connection.connect(("127.0.0.1", 9))


@pytest.mark.parametrize(
    ("access", "text"),
    [
        (run_program, "runs the program true"),
        (lambda: os.system("true"), "runs the program true"),
        (start_process, "starts processes"),
        (connect, "reads from the network"),
    ],
)
def test_what_cannot_be_watched_is_named(access, text):
    inputs = seen_by(access)
    assert inputs["unwatched"] == [text]
    assert not unchanged(inputs)


def test_compiled_packages_that_open_files_themselves(tmp_path):
    (tmp_path / "main.py").write_text("import ctypes\ndef value():\n    pass\n")
    assert seen_by(run, tmp_path)["unwatched"] == ["reads files with ctypes"]


def test_what_the_code_writes_itself_is_no_input_before_it(tmp_path):
    def render():
        path = tmp_path / "rendered.npy"
        if not path.exists():
            save_array(path, 1)
        np.load(path)
        temporary = tmp_path / "temporary"
        temporary.write_text("1")
        temporary.read_text()
        temporary.unlink()

    inputs = seen_by(render)
    assert unchanged(inputs)
    save_array(tmp_path / "rendered.npy", 2)
    assert not unchanged(inputs)
    (tmp_path / "rendered.npy").unlink()
    assert not unchanged(inputs)


def test_a_file_that_changes_while_it_is_read(tmp_path):
    path = tmp_path / "count"
    path.write_text("1")

    def count():
        path.write_text(str(int(path.read_text()) + 10))

    assert seen_by(count)["unwatched"] == [f"reads {path}, which changed meanwhile"]


def test_a_change_just_after_the_reading_is_found(tmp_path):
    """Size, time and inode may be the same in such a change: the content is compared."""
    path = tmp_path / "a"
    path.write_text("1")
    inputs = seen_by(path.read_text)
    size, *_, inode, content = inputs["files"][str(path)]
    assert (size, inode, len(content)) == (1, os.stat(path).st_ino, 64)
    with open(path, "r+b", buffering=0) as file:
        file.write(b"2")
    assert not unchanged(inputs)


def test_a_touched_file_is_read_once(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("1")
    inputs = seen_by(path.read_text)
    monkeypatch.setattr(watch_states, "RECENT_NS", 0)
    time.sleep(0.01)
    reason, fresh = checked(inputs)
    assert reason == ""
    monkeypatch.setattr(watch_states, "file_digest", lambda path: pytest.fail("read again"))
    assert checked(fresh) == ("", None)


def test_a_large_file_counts_as_changed_when_it_is_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(watch_states, "CONTENT_BYTES", 2)
    monkeypatch.setattr(watch_states, "RECENT_NS", 0)
    path = tmp_path / "a"
    path.write_text("123")
    time.sleep(0.01)
    inputs = seen_by(path.read_text)
    assert unchanged(inputs)
    os.utime(path, (5, 5))
    assert not unchanged(inputs)


def test_nested_watching(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text("1")
    with watching() as outer:
        (tmp_path / "a").read_text()
        with watching() as inner:
            (tmp_path / "b").read_text()
    assert [len(seen.inputs()["files"]) for seen in (outer, inner)] == [2, 1]


def replaced_functions():
    return [os.stat, os.getcwd, type(os.environ).__getitem__, h5py.File.__init__, netCDF4.Dataset, list(sys.meta_path)]


def test_everything_is_restored():
    before = replaced_functions()
    seen_by(os.getcwd)
    assert replaced_functions() == before


def test_an_error_ends_the_watching():
    with pytest.raises(KeyError), watching():
        raise KeyError
    with watching() as seen:
        os.path.exists("/none")
    assert list(seen.kinds) == ["/none"]


def test_content_is_independent_of_the_place_and_the_time(project, tmp_path_factory):
    def content(folder):
        with watching() as seen:
            run(folder)
        return seen.content(folder)

    first = content(project)
    copy = tmp_path_factory.mktemp("elsewhere") / "another name"
    shutil.copytree(project, copy)
    os.utime(copy / "helper.py", (5, 5))
    assert content(copy) == first
    (copy / "late.py").write_text("VALUE = 2\n")
    assert content(copy) != first
