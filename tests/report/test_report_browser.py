"""The page as a browser shows it; needs chromium."""

import numpy as np
import pytest

from src.report.__main__ import main
from tests.report import browser

pytestmark = [pytest.mark.slow, pytest.mark.skipif(browser.CHROMIUM is None, reason="there is no chromium")]


PLACES = (("target_vertex", np.arange(10200)[::340]), ("target_hemi", np.repeat(["L", "R"], 15)))


@pytest.fixture
def page(shelf, tmp_path):
    """A report of everything that a report can show."""
    for model, skill in (("a-model-with-a-very-long-name-that-does-not-fit", 0.6), ("poor", 0.2)):
        shelf.add(model=model, skill=skill), shelf.add(model=model, skill=skill, dataset="cortex", extra=PLACES)
        shelf.add(model=model, script="electrodes", dataset="v4", regions=("V4", "IT"), n_layers=15)
        shelf.add(model=model, script="task", dataset="labels", n_targets=5, regions=(), ceiling=False)
        shelf.add(model=model, script="behaviour", dataset="choices", n_targets=1, regions=(), confusions=True)
    shelf.add(model="old", old=True)
    assert main(["-q", "-o", str(tmp_path / "report")]) == 0
    return tmp_path / "report" / "index.html"


# what a user's system asks for, as Blink numbers it
SCHEMES = {"dark": 0, "light": 1}


def test_a_browser_shows_it_without_complaint(page, tmp_path):
    for width, theme in ((390, "light"), (390, "dark"), (1280, "light")):
        folder = tmp_path / f"{width}-{theme}"
        folder.mkdir()
        found, console = browser.look(page, folder, width, f"--blink-settings=preferredColorScheme={SCHEMES[theme]}")
        _check(found, console, width, theme)


def _check(found, console, width, theme):
    assert not [line for line in console if "ReadPixels" not in line]
    assert not found["overlaps"]
    assert not found["empty"]
    assert not found["unlabelled"]
    assert found["figures"] > 25
    assert found["needs"] <= found["width"] == width
    assert (found["theme"], found["other"]) == ((theme, "dark") if theme == "light" else (theme, "light"))
    # the middle of the interactive surface is drawn, from one of five maps
    assert found["surface"][3] == 255
    assert found["maps"] == 5
    values = [float(value) for value in found["sorted"] if value]
    assert values == sorted(values, reverse=True)
    assert found["sorted"][len(values) :] == [""] * (len(found["sorted"]) - len(values))
