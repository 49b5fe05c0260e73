from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from src.report import charts, grids
from src.report.figures import pictures
from src.report.rows import pair_rows
from src.report.scores import collect, readable_scores
from src.report.theme import PAGE, PRINT, ROLES, figure_style, inline_svg

LONG = "a-model-with-a-very-long-name-that-does-not-fit-beside-a-chart"
CASES = {
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


def plotted(score_store, **case):
    """Return [(picture, figure)] of two models on one benchmark."""
    score_store.add(**case)
    score_store.add(model=LONG, level=0.4, **case)
    (benchmark,), _ = collect(score_store.config)
    shown, _ = readable_scores(benchmark, 5)
    with figure_style(PRINT):
        return [(p, p.plot(PRINT)) for p in pictures(benchmark, shown, pair_rows(benchmark, shown))]


def visible_texts(figure):
    """Return [(text, bounding box in pixels)] of the visible texts of a figure."""
    FigureCanvasAgg(figure).draw()
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    ticks = [(axis, t) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for t in axis.get_ticklabels()]
    # tick labels outside the range of their axis are not visible
    beyond = {t for axis, t in ticks if not _within(axis, t)}
    return [(t.get_text(), t.get_window_extent()) for t in texts if t not in beyond]


def _within(axis, text):
    at = text.get_position()[0 if axis.axis_name == "x" else 1]
    low, high = sorted(axis.get_view_interval())
    return low - 1e-9 <= at <= high + 1e-9


@pytest.mark.parametrize("case", CASES)
def test_no_texts_overlap_or_are_cut_off_and_every_axis_has_a_label(score_store, case):
    found = plotted(score_store, **CASES[case])
    groups = [picture.group for picture, _ in found]
    assert {group: groups.count(group) for group in groups} == EXPECTED[case]
    assert len({picture.name for picture, _ in found}) == len(found)
    for picture, figure in found:
        texts = visible_texts(figure)
        for (a, one), (b, two) in combinations(texts, 2):
            across, down = min(one.x1, two.x1) - max(one.x0, two.x0), min(one.y1, two.y1) - max(one.y0, two.y0)
            assert across <= 1 or down <= 2, f"{picture.name}: '{a}' overlaps '{b}'"
        for text, box in texts:
            ends = (-box.x0, -box.y0, box.x1 - figure.bbox.x1, box.y1 - figure.bbox.y1)
            assert max(ends) <= 1, f"{picture.name}: '{text}' is cut off"
        for axes in figure.axes:
            assert axes.get_xlabel() or axes.get_ylabel(), f"{picture.name}: an axis without a label"
            assert axes.has_data(), f"{picture.name}: an empty panel"


def test_figures_and_captions_state_the_number_of_units(score_store):
    figures = plotted(score_store)
    texts = {p.group: p.caption + " ".join(t for t, _ in visible_texts(figure)) for p, figure in figures}
    assert "median of 30 units" in texts["models"]
    assert "n = 30 units" in texts["units"]
    assert "n = 30 units" in texts["pairs"]
    assert "V1 (10)" in texts["regions"]
    assert "paired p" in texts["pairs"]


def test_the_ranking_shows_the_stored_interval(score_store):
    row = {"model": "m", "test": 0.5, "low": 0.4, "high": 0.7}
    with figure_style(PRINT):
        figure = charts.ranking([row, row | {"low": None, "high": None}], "r", "n", {"ceiling": 0.9}, PRINT)
    lines = [tuple(line.get_xdata()) for line in figure.axes[0].lines]
    assert (0.4, 0.7) in lines
    assert lines.count((0.5,)) == 2
    assert (0.9, 0.9) in lines


def test_missing_cells_of_a_heat_map_are_grey(score_store):
    values = np.array([[0.1, np.nan], [0.3, 0.4]])
    with figure_style(PRINT):
        figure = grids.heat_map(values, ["a", "b"], ["c", "d"], ("row", "column", "r"), PRINT)
    cells = figure.axes[0].collections[0].get_array()
    assert np.ma.getmaskarray(cells).sum() == 1
    assert sorted(t.get_text() for t in figure.axes[0].texts) == ["0.10", "0.30", "0.40"]


@pytest.mark.parametrize(("name", "kept"), [("short", "short"), ("a" * 30, "a" * 12 + "…" + "a" * 11)])
def test_names_are_shortened_in_the_middle(name, kept):
    assert charts.shorten(name) == kept
    assert len(charts.shorten(name)) <= charts.MAX_NAME


def test_inline_figures_have_the_colours_and_the_font_of_the_page(score_store):
    row = {"model": "m & <b>", "test": 0.5, "low": 0.4, "high": 0.7}
    with figure_style(PAGE):
        svg = inline_svg(charts.ranking([row], "r", "n", {}, PAGE), 'a "title" & <more>', "f1-")
    assert not any(colour in svg for colour in ROLES)
    assert all(f"var(--{role})" in svg for role in ("text", "series-0", "sans"))
    assert 'aria-label="a &quot;title&quot; &amp; &lt;more&gt;"' in svg
    assert "m &amp; &lt;b&gt;" in svg
    assert all(part.startswith('"f1-') for part in svg.split(" id=")[1:])
    assert "DejaVu" not in svg
