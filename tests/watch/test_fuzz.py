"""Single changes of a user's project: what decides to compute again must be right for each of them.

Each change is decided by a store that has seen all earlier states; an empty store must decide the same.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src.config import Config
from src.pipeline import Reporter, Request
from src.pipeline.run import Run
from tests.watch.fuzz_project import DATA, NETWORKS, make_project

CHANGED, SAME, KEPT = "computed again", "loaded at most", "not even loaded"


class Lines(Reporter):
    """The lines that a run says."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


@dataclass
class Project:
    """A project and the store that decides about it."""

    folder: Path
    home: Path
    part: str
    request: dict
    count: int = 0

    def decide(self, home: Path | None = None) -> tuple[str, bool]:
        """The digest by which results are stored, and whether the user's code was loaded for it."""
        home = home or self.home
        config = Config(self.home / "data", home / "activations", home / "results", self.home / "torch", 1)
        model, dataset = f"{self.folder / 'net.py'}:net", f"{self.folder / 'rec.py'}:data"
        run = Run(Request("electrodes", model, (dataset,), device="cpu", **self.request), config, lines := Lines())
        digest = (run.data_metadata(dataset) if self.part == "data" else run.model_metadata)["digest"]
        return digest, any("loading" in line for line in lines.lines)

    def fresh(self) -> str:
        """The digest of an empty store."""
        self.count += 1
        return self.decide(self.home / f"fresh{self.count}")[0]


@dataclass(frozen=True)
class Change:
    """A single change of a project, and what it must lead to."""

    name: str
    apply: Callable[[Project], None]
    expected: str


def written(name: str, write: Callable) -> list[Change]:
    """Changes of a file: another time, another inode, another content, and another content at the same time."""

    def touch(project):
        os.utime(project.folder / "data" / name, (5, 5))

    def swap(project):
        path = project.folder / "data" / name
        shutil.copy(path, path.with_name("swapped"))
        os.replace(path.with_name("swapped"), path)

    def edit(value, hidden=False):
        def apply(project):
            path = project.folder / "data" / name
            before = os.stat(path)
            write(path, value)
            if hidden:
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

        return apply

    return [
        Change(f"touch {name}", touch, KEPT),
        Change(f"swap {name}", swap, KEPT),
        Change(f"edit {name}", edit(2), CHANGED),
        Change(f"edit {name} at the same time", edit(3, hidden=True), CHANGED),
    ]


def source(name: str, old: str, new: str, expected: str = CHANGED) -> Change:
    """A change of a line of code, with the time of the file kept."""

    def apply(project):
        path = project.folder / name
        before, text = os.stat(path), path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return Change(f"{name}: {old} becomes {new}", apply, expected)


def put(name: str, text: str, expected: str) -> Change:
    """A file that is written."""

    def apply(project):
        (project.folder / name).parent.mkdir(exist_ok=True)
        (project.folder / name).write_text(text)

    return Change(f"write {name}", apply, expected)


def removed(name: str, expected: str) -> Change:
    return Change(f"remove {name}", lambda project: (project.folder / name).unlink(), expected)


def variable(name: str, value: str | None, expected: str) -> Change:
    def apply(project):
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})

    return Change(f"{name} = {value}", apply, expected)


def option(expected: str = KEPT, **options) -> Change:
    return Change(f"option {options}", lambda project: project.request.update(options), expected)


def move_folder(project):
    target = project.folder.with_name(f"{project.folder.name} moved")
    shutil.move(project.folder, target)
    link = target / "data" / "current"
    name = Path(os.readlink(link)).name
    link.unlink()
    link.symlink_to(target / "data" / name)
    project.folder = target


def copy_folder(project):
    """A copy elsewhere, with all times of now; the first stays."""
    target = project.folder.parent / "else" / "where"
    shutil.copytree(project.folder, target, symlinks=True, copy_function=shutil.copyfile)
    link = target / "data" / "current"
    name = Path(os.readlink(link)).name
    link.unlink()
    link.symlink_to(target / "data" / name)
    project.folder = target


def point_to_two(project):
    link = project.folder / "data" / "current"
    link.unlink()
    link.symlink_to(project.folder / "data" / "2")


def paint_stimulus(project):
    Image.fromarray(np.full((8, 8, 3), 33, np.uint8)).save(project.folder / "stimuli" / "b.png")


def compile_modules(project):
    (project.folder / "__pycache__").mkdir(exist_ok=True)
    (project.folder / "__pycache__" / "helper.cpython-311.pyc").write_bytes(b"old")


COMMON = [
    Change("nothing", lambda project: None, KEPT),
    # numpy's reader of text asks for the working folder, so that the data are loaded
    Change("another working folder", lambda project: os.chdir(project.folder), SAME),
    Change("and back", lambda project: os.chdir("/"), SAME),
    Change("threads", lambda project: torch.set_num_threads(1), KEPT),
    variable("OMP_NUM_THREADS", "3", KEPT),
    variable("UNRELATED", "3", KEPT),
    put("unrelated/notes.txt", "1", KEPT),
    put("notes.txt", "1", KEPT),
    put("data/unused.npy", "1", KEPT),
    put("unused.py", "VALUE = 2\n", KEPT),
    put("more.py", "VALUE = 2\n", KEPT),
    Change("a compiled module", compile_modules, KEPT),
    source("helper.py", "VALUE = 1", "VALUE = 2"),
    source("package/inner.py", "VALUE = 1", "VALUE = 2"),
    source("late.py", "VALUE = 1", "VALUE = 2"),
    put("data/flag", "", CHANGED),
    put("data/flag", "content of a file that only has to exist", KEPT),
    removed("data/flag", CHANGED),
    variable("OWN_NUMBER", "2", CHANGED),
    variable("OWN_NUMBER", "3", CHANGED),
    variable("OWN_NUMBER", None, CHANGED),
    put("helper/__init__.py", "VALUE = 5\n", CHANGED),
    option(batch_size=3),
    option(seed=1),
    option(context_ms=2000.0),
    option(splits=3),
]
DATA_CHANGES = [
    *COMMON,
    *[change for name, write in DATA.items() for change in written(name, write)],
    source("rec.py", "def numbers", "# a remark\ndef numbers", SAME),
    source("rec.py", '1, "V1"', '2, "V1"'),
    source("rec.py", '"V1"', '"V2"'),
    source("rec.py", '"left"', '"lefT"'),
    source("rec.py", '"atlas A"', '"atlas B"'),
    source("rec.py", '100.0, "m"', '120.0, "m"'),
    source("rec.py", '"m"', '"k"'),
    source("rec.py", "path.stem[0]", 'path.stem[-1] + "!"'),
    source("rec.py", '"side"', '"hemisphere"'),
    source("rec.py", '"atlas":', '"Atlas":'),
    source("rec.py", '"none", "stimuli"', '"a citation", "stimuli"', SAME),
    source("rec.py", '"stimuli"', '"per unit"'),
    source("other.py", "NUMBER = Path(__file__).parent, 1", "NUMBER = Path(__file__).parent, 4"),
    put("settings.py", "VALUE = 7\n", CHANGED),
    put("data/parts/two.part", "5", CHANGED),
    removed("data/parts/two.part", CHANGED),
    put("data/parts/two.other", "5", SAME),
    put("data/counted/a", "", CHANGED),
    removed("data/counted/a", CHANGED),
    Change("a link to another file", point_to_two, CHANGED),
    Change("another content of a stimulus", paint_stimulus, CHANGED),
    Change("the folder moved", move_folder, SAME),
    Change("a copy of the folder", copy_folder, SAME),
]
MODEL_CHANGES = [
    *COMMON,
    *[change for name, write in NETWORKS.items() for change in written(name, write)],
    source("net.py", "SCALE = 1.0", "SCALE = 2.0"),
    source("net.py", "nn.Tanh()", "nn.GELU()"),
    source("net.py", "torch.ones(3)", "torch.full((3,), 2.0)"),
    option(CHANGED, input_size=(64, 64)),
    option(CHANGED, fps=10.0),
    Change("the folder moved", move_folder, SAME),
    Change("a copy of the folder", copy_folder, SAME),
]


@pytest.fixture
def surroundings(monkeypatch):
    """The working folder, variables and threads, restored afterwards."""
    before, folder, threads = dict(os.environ), os.getcwd(), torch.get_num_threads()
    yield
    os.environ.clear()
    os.environ.update(before)
    os.chdir(folder)
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        pytest.param("data", DATA_CHANGES, id="data", marks=pytest.mark.slow),
        pytest.param("model", MODEL_CHANGES, id="model"),
    ],
)
def test_single_changes(tmp_path, surroundings, part, changes):
    project = Project(make_project(tmp_path / "project"), tmp_path / "home", part, {"input_size": (32, 32)})
    before, _ = project.decide()
    wrong = []
    for k, change in enumerate(changes):
        change.apply(project)
        digest, loaded = project.decide()
        right = (digest != before) if change.expected == CHANGED else digest == before
        right &= not (loaded and change.expected == KEPT)
        # an empty store loads all: it is asked for every fourth change, and where all is loaded to no effect
        compared = change.expected == SAME or k % 4 == 0
        if not right or (compared and digest != project.fresh()):
            wrong.append((change.name, change.expected, digest == before, loaded))
        before = digest
    assert not wrong, "\n".join(map(str, wrong))


def test_there_are_at_least_a_hundred_changes():
    assert len(DATA_CHANGES) > 100
    assert len(MODEL_CHANGES) > 50
