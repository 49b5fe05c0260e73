"""The documentation site: it builds without a warning, and every block of its pages does what it says."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from src.report.maps import write_gifti
from src.report.surface_plot import N_VERTICES
from tests.conftest import ROOT
from tests.data.forms import bids_files, nwb_files
from tests.data.forms.test_packaged import package

DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "```" in page.read_text(encoding="utf-8"))
FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)^```$", re.M)


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


def load_hook():
    spec = spec_from_file_location("include", DOCS / "include.py")
    hook = module_from_spec(spec)
    spec.loader.exec_module(hook)
    return hook


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder like a user's, with small recordings where the pages have theirs; the pages share its store."""
    folder = tmp_path_factory.mktemp("user")
    shutil.copytree(ROOT / "examples", folder / "examples")
    for path in (ROOT / "src", *ROOT.glob("score_*.py")):
        (folder / path.name).symlink_to(path)
    bids_files.study(folder, "24", "cifti")
    (folder / "sessions").mkdir()
    nwb_files.write_h5py(folder / "sessions" / "one.nwb", nwb_files.recording(folder))
    package(folder)
    write_gifti(np.zeros(N_VERTICES), folder / "ceiling", "ceiling")
    return folder


def environment(place: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("DATA_HOME", "MMAP_HOME", "RESULTCACHING_HOME")}
    homes = {"DYNAMIC_VISION_HOME": str(place / "home"), "TORCH_HOME": str(place / "torch"), "MPLBACKEND": "Agg"}
    return kept | homes | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}


def shape(line: str) -> str:
    """Return a printed line without its numbers, which may move with the science."""
    return re.sub(r"[\s-]+", " ", re.sub(r"-?\d[\d.]*", "#", line)).strip()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_blocks_of_a_page_run_in_their_order(page, place):
    printed = ""
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "sh":
            for line in block.splitlines():
                assert line.startswith("dynamic-vision "), line
                command = line.replace("dynamic-vision", f"{sys.executable} -m src", 1)
                done = subprocess.run(
                    command, shell=True, cwd=place, env=environment(place), capture_output=True, text=True
                )
                assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
                assert (done.stdout + done.stderr).strip(), f"{line} says nothing"
                printed += done.stdout
        elif language == "python":
            # blocks of a page are cells of one notebook
            code = "\n".join(
                block for kind, block in FENCE.findall(page.read_text(encoding="utf-8")) if kind == "python"
            )
            done = subprocess.run(
                [sys.executable, "-c", code], cwd=place, env=environment(place), capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
        elif not language:
            known = {shape(line) for line in printed.splitlines()}
            for line in block.splitlines():
                assert shape(line) in known, f"{name_of(page)}: no command above prints a line like\n{line}"


def test_every_block_states_its_language_or_is_printed_text():
    for page in PAGES:
        for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
            assert language in ("sh", "python", "toml", ""), (name_of(page), language)
            commands = re.findall(r"^(?:\.venv/|dynamic-vision |make |pip |python )", block, re.M)
            assert language == "sh" or not commands, (
                f"{name_of(page)}: a command outside of a block that is run: {block}"
            )


def test_every_included_part_exists():
    hook = load_hook()
    found = 0
    for page in DOCS.rglob("*.md"):
        for kind, reference in hook.LINE.findall(page.read_text(encoding="utf-8")):
            assert len(hook.PARTS[kind](reference)) > 50, (name_of(page), reference)
            found += 1
    assert found > 8


@pytest.mark.parametrize(
    ("text", "depth", "linked"),
    [
        ("see [files](docs/own-data.md#a-folder)", 0, "see [files](own-data.md#a-folder)"),
        ("see [files](docs/own-data.md)", 1, "see [files](../own-data.md)"),
        ("see [the example](examples/own_model.py)", 1, "see `examples/own_model.py`"),
        ("see [metrics](#metrics)", 1, "see [metrics](../metrics.md)"),
        ("see [elsewhere](https://example.org/a.md)", 0, "see [elsewhere](https://example.org/a.md)"),
    ],
)
def test_links_of_included_parts_fit_the_site(text, depth, linked):
    assert load_hook().relinked(text, depth) == linked


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mkdocs") is None, reason="needs mkdocs: pip install '.[docs]'")
def test_the_site_builds_without_a_warning_and_documents_every_public_name(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = {page.relative_to(tmp_path / "site").as_posix() for page in (tmp_path / "site").rglob("*.html")}
    assert {page.relative_to(DOCS).with_suffix(".html").as_posix() for page in DOCS.rglob("*.md")} <= pages
    text = (tmp_path / "site" / "api.html").read_text()
    import dynamic_vision

    for name in set(dynamic_vision.__all__) - {"models"}:
        assert re.search(rf'id="src[\w.]*\.{name}"', text), f"{name} is not in docs/api.md"
    # nothing on a page is fetched from elsewhere
    for page in (tmp_path / "site").rglob("*.html"):
        assert not re.findall(r'<(?:script|img|iframe)[^>]* src="https?:[^"]*"', page.read_text()), page.name
