import json
import multiprocessing
import os
import time

import pytest

from src.data.synthetic.study import MANIFEST, ensure_study
from src.utils import BadInput

RECIPE = {"version": 1}


def write_one(folder):
    (folder / "film.txt").write_text("frames")


def slow_render(folder):
    with open(folder.parents[1] / "rendered", "a") as log:
        log.write("x")
    time.sleep(0.3)
    write_one(folder)


def ensure(folder):
    ensure_study(folder, RECIPE, slow_render)


def never(folder):
    raise AssertionError("rendered again")


def test_renders_once(tmp_path):
    folder = ensure_study(tmp_path / "home" / "study", RECIPE, write_one)
    assert (folder / "film.txt").read_text() == "frames"
    assert json.loads((folder / MANIFEST).read_text())["files"] == ["film.txt"]
    ensure_study(folder, RECIPE, never)


def test_renders_again_for_another_recipe_a_lost_file_or_a_broken_manifest(tmp_path):
    folder = ensure_study(tmp_path / "study", RECIPE, write_one)
    ensure_study(folder, {"version": 2}, lambda f: (f / "other.txt").write_text("new"))
    assert sorted(os.listdir(folder)) == [MANIFEST, "other.txt"]
    (folder / "other.txt").unlink()
    ensure_study(folder, {"version": 2}, write_one)
    assert (folder / "film.txt").exists()
    (folder / MANIFEST).write_text("{")
    ensure_study(folder, {"version": 2}, write_one)
    assert json.loads((folder / MANIFEST).read_text())["recipe"] == {"version": 2}


def test_a_failed_rendering_leaves_nothing(tmp_path):
    def fails(folder):
        write_one(folder)
        raise RuntimeError("killed half way")

    with pytest.raises(RuntimeError, match="half way"):
        ensure_study(tmp_path / "study", RECIPE, fails)
    assert [name for name in os.listdir(tmp_path) if not name.endswith(".lock")] == []
    ensure_study(tmp_path / "study", RECIPE, write_one)


def test_processes_that_come_at_once_render_once(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=ensure, args=(tmp_path / "home" / "study",), daemon=True) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert (tmp_path / "home" / "rendered").read_text() == "x"


def test_an_unwritable_home_is_named(tmp_path):
    (tmp_path / "home").write_text("a file, not a folder")
    with pytest.raises(BadInput, match=r"cannot write .*study.*; change its rights or set DATA_HOME to another folder"):
        ensure_study(tmp_path / "home" / "study", RECIPE, write_one)
