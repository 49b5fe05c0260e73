from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from src.report import charts, grids
from src.report.figures import pictures
from src.report.rows import pair_rows
from src.report.scores import collect, sound
from src.report.theme import PAGE, PRINT, ROLES, drawing, inline

LONG = "a-model-with-a-very-long-name-that-does-not-fit-beside-a-chart"
BY_BENCHMARK = {
    "fmri": {"benchmark": "fmri"},
    "electrodes without ceiling": {"benchmark": "electrodes", "ceiling": False, "regions": ()},
    "one layer, two units": {"n_layers": 1, "n_targets": 2, "regions": ()},
    "many layers and regions": {"n_layers": 15, "n_targets": 90, "regions": tuple(f"area-{i}" for i in range(45))},
    "many units": {"benchmark": "fmri", "n_targets": 2500},
    "task": {"benchmark": "task", "ceiling": False, "n_targets": 1, "regions": ()},
    "labels": {"benchmark": "task", "ceiling": False, "n_targets": 7, "regions": ()},
    "behaviour": {"benchmark": "behaviour", "n_targets": 1, "regions": (), "confusions": True},
    "old": {"old": True},
}
EXPECTED = {
    "fmri": {"models": 1, "layers": 2, "regions": 2, "units": 2, "pairs": 1},
    "electrodes without ceiling": {"models": 1, "layers": 2, "units": 2, "pairs": 1},
    "one layer, two units": {"models": 1},
    "many layers and regions": {"models": 1, "layers": 2, "regions": 2, "units": 2, "pairs": 1},
    "many units": {"models": 1, "layers": 2, "regions": 2, "units": 2, "pairs": 1},
    "task": {"models": 1, "layers": 2},
    "labels": {"models": 2, "layers": 2, "pairs": 1},
    "behaviour": {"models": 2, "layers": 2, "confusions": 3},
    "old": {"models": 1, "layers": 2, "regions": 2, "units": 2, "pairs": 1},
}


def drawn(shelf, **kind):
    """[(picture, figure)] of the two models of one benchmark."""
    shelf.add(**kind)
    shelf.add(model=LONG, skill=0.4, **kind)
    (benchmark,), _ = collect(shelf.config)
    shown, _ = sound(benchmark, 5)
    with drawing(PRINT):
        return [(p, p.draw(PRINT)) for p in pictures(benchmark, shown, pair_rows(benchmark, shown))]


def words(figure):
    """[(text, its box in pixels)] of all that is written in a figure."""
    FigureCanvasAgg(figure).draw()
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    ticks = [(axis, t) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for t in axis.get_ticklabels()]
    # a tick beyond the ends of its axis is not drawn
    beyond = {t for axis, t in ticks if not _within(axis, t)}
    return [(t.get_text(), t.get_window_extent()) for t in texts if t not in beyond]


def _within(axis, text):
    at = text.get_position()[0 if axis.axis_name == "x" else 1]
    low, high = sorted(axis.get_view_interval())
    return low - 1e-9 <= at <= high + 1e-9


@pytest.mark.parametrize("kind", BY_BENCHMARK)
def test_no_words_overlap_or_are_cut_off_and_every_axis_is_named(shelf, kind):
    found = drawn(shelf, **BY_BENCHMARK[kind])
    groups = [picture.group for picture, _ in found]
    assert {group: groups.count(group) for group in groups} == EXPECTED[kind]
    assert len({picture.name for picture, _ in found}) == len(found)
    for picture, figure in found:
        written = words(figure)
        for (a, one), (b, two) in combinations(written, 2):
            across, down = min(one.x1, two.x1) - max(one.x0, two.x0), min(one.y1, two.y1) - max(one.y0, two.y0)
            assert across <= 1 or down <= 2, f"{picture.name}: '{a}' lies on '{b}'"
        for text, box in written:
            ends = (-box.x0, -box.y0, box.x1 - figure.bbox.x1, box.y1 - figure.bbox.y1)
            assert max(ends) <= 1, f"{picture.name}: '{text}' is cut off"
        for axes in figure.axes:
            assert axes.get_xlabel() or axes.get_ylabel(), f"{picture.name}: an axis without a label"
            assert axes.has_data(), f"{picture.name}: an empty panel"


def test_the_number_behind_a_figure_is_on_it(shelf):
    said = {picture.group: picture.caption + " ".join(t for t, _ in words(figure)) for picture, figure in drawn(shelf)}
    assert "median of 30 units" in said["models"]
    assert "n = 30 units" in said["units"]
    assert "n = 30 units" in said["pairs"]
    assert "V1 (10)" in said["regions"]
    assert "paired p" in said["pairs"]


def test_the_ranking_shows_the_stored_interval(shelf):
    row = {"model": "m", "test": 0.5, "low": 0.4, "high": 0.7}
    with drawing(PRINT):
        figure = charts.ranking([row, row | {"low": None, "high": None}], "r", "n", {"ceiling": 0.9}, PRINT)
    lines = [tuple(line.get_xdata()) for line in figure.axes[0].lines]
    assert (0.4, 0.7) in lines
    assert lines.count((0.5,)) == 2
    assert (0.9, 0.9) in lines


def test_a_heat_map_leaves_what_is_missing_grey(shelf):
    values = np.array([[0.1, np.nan], [0.3, 0.4]])
    with drawing(PRINT):
        figure = grids.heat_map(values, ["a", "b"], ["c", "d"], ("row", "column", "r"), PRINT)
    cells = figure.axes[0].collections[0].get_array()
    assert np.ma.getmaskarray(cells).sum() == 1
    assert sorted(t.get_text() for t in figure.axes[0].texts) == ["0.10", "0.30", "0.40"]


@pytest.mark.parametrize(("name", "kept"), [("short", "short"), ("a" * 30, "a" * 12 + "…" + "a" * 11)])
def test_names_are_cut_in_the_middle(name, kept):
    assert charts.short(name) == kept
    assert len(charts.short(name)) <= charts.NAME


def test_inline_drawings_take_their_colours_and_their_font_from_the_page(shelf):
    row = {"model": "m & <b>", "test": 0.5, "low": 0.4, "high": 0.7}
    with drawing(PAGE):
        svg = inline(charts.ranking([row], "r", "n", {}, PAGE), 'a "title" & <more>', "f1-")
    assert not any(colour in svg for colour in ROLES)
    assert all(f"var(--{role})" in svg for role in ("ink", "series-0", "sans"))
    assert 'aria-label="a &quot;title&quot; &amp; &lt;more&gt;"' in svg
    assert "m &amp; &lt;b&gt;" in svg
    assert all(part.startswith('"f1-') for part in svg.split(" id=")[1:])
    assert "DejaVu" not in svg
