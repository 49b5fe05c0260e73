"""Rendering of the page in a browser; needs chromium."""

import numpy as np
import pytest

from src.cli import run_command
from tests.report import browser
from tests.report.test_report_figures import curve

pytestmark = [pytest.mark.slow, pytest.mark.skipif(browser.CHROMIUM is None, reason="there is no chromium")]


VERTICES = (("target_vertex", np.arange(10200)[::340]), ("target_hemi", np.repeat(["L", "R"], 15)))


@pytest.fixture
def page(score_store, tmp_path):
    """Report with every kind of table and figure."""
    for model, level in (("a-model-with-a-very-long-name-that-does-not-fit", 0.6), ("poor", 0.2)):
        (
            score_store.add(model=model, level=level),
            score_store.add(model=model, level=level, dataset="cortex", extra=VERTICES),
        )
        array = {"model": model, "benchmark": "electrodes", "dataset": "v4", "regions": ("V4", "IT"), "n_layers": 15}
        score_store.add(**array, extra=curve("time_course", n_regions=2))
        score_store.add(model=model, benchmark="task", dataset="labels", n_targets=5, regions=(), ceiling=False)
        score_store.add(model=model, benchmark="behaviour", dataset="choices", n_targets=1, regions=(), confusions=True)
    score_store.add(model="old", old=True)
    assert run_command("report", ["-q", "-o", str(tmp_path / "report")]) == 0
    return tmp_path / "report" / "index.html"


# preferred colour schemes as numbered by Blink
SCHEMES = {"dark": 0, "light": 1}


@pytest.mark.parametrize(("width", "theme"), [(390, "light"), (390, "dark"), (900, "dark"), (1400, "light")])
def test_the_page_works_and_its_figures_fill_their_cards(page, tmp_path, width, theme):
    found, console = browser.inspect(page, tmp_path, width, f"--blink-settings=preferredColorScheme={SCHEMES[theme]}")
    assert not [line for line in console if "ReadPixels" not in line]
    for problem in ("overlaps", "empty", "cut", "unfilled", "marks"):
        assert not found[problem], problem
    assert found["figures"] > 25
    assert found["needs"] <= found["width"] == width
    assert (found["theme"], found["other"]) == ((theme, "dark") if theme == "light" else (theme, "light"))
    # the centre pixel of the interactive surface is opaque; two models and the ceiling, in three kinds of maps
    assert found["surface"][3] == 255
    assert found["maps"] == 7
    values = [float(value) for value in found["sorted"] if value]
    assert values == sorted(values, reverse=True)
    assert found["sorted"][len(values) :] == [""] * (len(found["sorted"]) - len(values))
    assert found["tables"][0] == found["tables"][1] > 10
    _check_values(found)


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1400, "light"), (1400, "dark")])
def test_axe_core_finds_nothing(page, tmp_path, width, theme):
    axe = browser.axe_core()
    if axe is None:
        pytest.skip("there is no axe-core")
    flag = f"--blink-settings=preferredColorScheme={SCHEMES[theme]}"
    found, _ = browser.inspect(page, tmp_path, width, flag, script=f"<script>{axe}</script>{browser.AXE}")
    assert found["violations"] == []
    assert found["passes"] > 20


def _check_values(found):
    """Check the values for the keyboard, the downloads and the filters."""
    assert found["spoken"] == found["tip"]
    # the best on the benchmark that all have; those that it lacks are estimated
    assert found["spoken"].startswith("old: ")
    lines = found["csv"].splitlines()
    assert lines[0] == "panel,model,series,value,low,high"
    assert [line.split(",")[1] for line in lines if "noise ceiling" in line] == ["noise ceiling"]
    assert found["svg"] == [0, False]
    assert found["png"] > 200
    assert set(found["filtered"]) == {"poor"}
    assert set(found["shown"]) <= {"poor", "noise ceiling"}
    # a mean over the benchmarks of all models shows all sections, a benchmark its own
    assert found["sections"][1] == 1
    assert found["sections"][0] > 3
