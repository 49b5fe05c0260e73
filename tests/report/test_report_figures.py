import json
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from src.report import charts, contexts, figures
from src.report.figures import pictures, ranked_dots
from src.report.rows import pair_rows
from src.report.scores import collect, readable_scores
from src.report.theme import colours, figure_style

LONG = "a-model-with-a-very-long-name-that-does-not-fit-beside-a-chart"


def curve(name, n_points=9, n_regions=3):
    """Arrays of a curve of 30 units in regions that rises and falls, undefined in the last point."""
    level = np.sin(np.linspace(0, np.pi, n_points)) * np.linspace(0.2, 0.6, 30)[:, None]
    level[:, -1] = np.nan
    arrays = {name: level, f"{name}_low": level - 0.1, f"{name}_high": level + 0.1}
    arrays[f"{name}_ms"] = 20.0 * np.arange(n_points)[:, None] + [0, 20]
    arrays[f"{name}_ends"] = np.stack([level[: n_regions + 1] + end for end in (-0.05, 0.05)], axis=2)
    return tuple((arrays | {"time_course_ceiling": level + 0.2} if name == "time_course" else arrays).items())


CASES = {
    "fmri": {"benchmark": "fmri"},
    "electrodes without ceiling": {"benchmark": "electrodes", "ceiling": False, "regions": ()},
    "one layer, two units": {"n_layers": 1, "n_targets": 2, "regions": ()},
    "many layers and regions": {"n_layers": 15, "n_targets": 90, "regions": tuple(f"area-{i}" for i in range(45))},
    "many units": {"benchmark": "fmri", "n_targets": 2500},
    "task": {"benchmark": "task", "ceiling": False, "n_targets": 1, "regions": ()},
    "labels": {"benchmark": "task", "ceiling": False, "n_targets": 7, "regions": ()},
    "behaviour": {"benchmark": "behaviour", "n_targets": 1, "regions": (), "confusions": True},
    "negative": {"level": -0.2},
    "old": {"old": True},
    "time course": {"benchmark": "electrodes", "extra": curve("time_course")},
    "delays": {"extra": curve("delay_profile")},
}
FMRI = {"ranking", "regions-ratio", "regions-raw", "profiles", "region-layers", "units", "pairs"}
EXPECTED = {
    "fmri": FMRI,
    "electrodes without ceiling": {"ranking", "profiles", "unit-scores", "pairs"},
    "one layer, two units": {"ranking"},
    "many layers and regions": FMRI,
    "many units": FMRI,
    "task": {"ranking", "profiles"},
    "labels": {"ranking", "labels", "profiles", "pairs"},
    "behaviour": {"ranking", "accuracy", "profiles", "confusions"},
    "negative": FMRI,
    "old": FMRI,
    "time course": FMRI | {"time-course"},
    "delays": FMRI | {"delay-profile"},
}


def made(score_store, **case):
    """Return the figures of two models on one benchmark, by name."""
    score_store.add(**case)
    score_store.add(model=LONG, **case | {"level": case.get("level", 0.6) - 0.2})
    (benchmark,), _ = collect(score_store.config)
    shown, _ = readable_scores(benchmark, 5)
    found = list(pictures(benchmark, shown, pair_rows(benchmark, shown)))
    assert len({picture.name for picture in found}) == len(found)
    return {picture.name: picture for picture in found}


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


def check_texts(name, spec):
    """Fail where a figure has texts that overlap or are cut off, an axis without a label or an empty panel."""
    with figure_style():
        figure = charts.plot(spec)
        texts = visible_texts(figure)
    for (a, one), (b, two) in combinations(texts, 2):
        across, down = min(one.x1, two.x1) - max(one.x0, two.x0), min(one.y1, two.y1) - max(one.y0, two.y0)
        assert across <= 1 or down <= 2, f"{name}: '{a}' overlaps '{b}'"
    for text, box in texts:
        ends = (-box.x0, -box.y0, box.x1 - figure.bbox.x1, box.y1 - figure.bbox.y1)
        assert max(ends) <= 1, f"{name}: '{text}' is cut off"
    for axes in figure.axes:
        assert axes.get_xlabel() or axes.get_ylabel(), f"{name}: an axis without a label"
        assert axes.has_data(), f"{name}: an empty panel"


@pytest.mark.parametrize("case", CASES)
def test_no_texts_overlap_or_are_cut_off_and_every_axis_has_a_label(score_store, case):
    found = made(score_store, **CASES[case])
    assert set(found) == EXPECTED[case]
    for name, picture in found.items():
        check_texts(name, picture.spec)


@pytest.mark.parametrize("case", CASES)
def test_all_panels_of_a_figure_have_the_same_axes_and_every_value_is_inside(score_store, case):
    for name, picture in made(score_store, **CASES[case]).items():
        spec = picture.spec
        json.dumps(spec, allow_nan=False)
        low, high = spec.get("limits", (spec.get("edges", [0])[0], spec.get("edges", [0])[-1]))
        values = [v for p in spec["panels"] for part in ("low", "high") for one in p.get(part, ()) for v in one]
        values += [v for p in spec["panels"] for one in p.get("values", ()) for v in one]
        if spec["kind"] == "dots":
            values += [v for panel in spec["panels"] for one in panel["x"] for v in one]
        if spec["kind"] == "lines":
            assert all(low <= x <= high for panel in spec["panels"] for x in panel["x"]), name
            low, high = spec["ylimits"]
            values += [v for panel in spec["panels"] for one in panel["y"] for v in one]
        if spec["kind"] == "scatter":
            values += [v for panel in spec["panels"] for v in panel.get("x", ())]
        assert all(low <= v <= high for v in values if v is not None), name
        with figure_style():
            figure = charts.plot(spec)
        axes = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
        assert len(axes) == len(spec["panels"])
        if spec["kind"] in ("dots", "scatter", "bars", "lines"):
            assert len({one.get_xlim() for one in axes}) == 1
        if spec["kind"] in ("scatter", "bars", "lines"):
            assert len({one.get_ylim() for one in axes}) == 1


def test_figures_and_captions_state_the_number_of_units(score_store):
    found = made(score_store)
    assert "median of 30 units" in found["ranking"].caption
    assert all("n = 30 units" in panel["title"] for panel in found["units"].spec["panels"])
    assert all("n = 30 units" in panel["title"] for panel in found["pairs"].spec["panels"])
    assert found["regions-ratio"].spec["panels"][0]["columns"] == ["V1 (10)", "V2 (10)", "MT (10)"]
    assert "paired p" in found["pairs"].caption


def test_models_have_the_same_order_in_all_figures(score_store):
    """Test / ceiling orders the models, also where the raw test score has another order."""
    low_ceiling = (("ceiling", np.full(30, 0.4)), ("bootstrap_normalised", np.linspace(0.9, 1, 50)))
    score_store.add(model="raw first", level=0.6), score_store.add(model="ratio first", level=0.35, extra=low_ceiling)
    (benchmark,), _ = collect(score_store.config)
    found = {p.name: p.spec for p in pictures(benchmark, benchmark.scores, pair_rows(benchmark, benchmark.scores))}
    order = ["ratio first", "raw first"]
    assert [score.label for score in benchmark.scores] == order
    assert found["ranking"]["panels"][0]["rows"] == found["regions-ratio"]["panels"][0]["rows"] == order
    assert found["regions-raw"]["panels"][0]["rows"] == ["noise ceiling", *order]
    assert [panel["model"] for panel in found["profiles"]["panels"]] == order


def test_the_ranking_shows_intervals_lines_and_the_set_that_is_not_told_apart():
    row = {"model": "m", "mean": 0.5, "low": 0.4, "high": 0.7, "tied": True}
    spec = ranked_dots([row, row | {"low": None, "high": None}, row | {"mean": 0.1, "tied": False}], "r", {"top": 0.9})
    with figure_style():
        axes = charts.plot(spec).axes[0]
    lines = [tuple(line.get_xdata()) for line in axes.lines]
    assert lines.count((0.4, 0.7)) == 2
    assert (0.9, 0.9) in lines
    assert spec["panels"][0]["x"] == [[0.5, 0.5, None], [None, None, 0.1]]
    assert spec["series"][0]["name"].endswith("not told apart from it")


def test_many_models_are_small_multiples():
    rows = [{"model": f"m{i}", "mean": -i / 90, "low": None, "high": None, "tied": None} for i in range(90)]
    spec = ranked_dots(rows, "r", {})
    assert [len(panel["rows"]) for panel in spec["panels"]] == [30, 30, 30]
    assert spec["panels"][1]["title"] == "ranks 31 to 60"


def test_missing_cells_of_a_heat_map_are_grey():
    panel = {"title": "", "rows": ["a", "b"], "columns": ["c", "d"], "values": [[0.1, None], [0.3, 0.4]], "framed": []}
    with figure_style():
        axes = charts.plot(figures.heat([panel], "r", ("row", "column"))).axes[0]
    assert np.ma.getmaskarray(axes.collections[0].get_array()).sum() == 1
    assert sorted(t.get_text() for t in axes.texts) == ["0.10", "0.30", "0.40"]


def test_values_below_zero_have_colours_of_their_own():
    table = colours("score", -0.5, 1.0)
    values = np.linspace(-0.5, 1, len(table))
    red, blue = table[:, 0], table[:, 2]
    assert (blue[values < -0.1] > red[values < -0.1]).all()
    assert (red[values > 0.1] > blue[values > 0.1]).all()
    assert np.ptp(table[np.abs(values).argmin()]) < 0.05
    assert (colours("score", 0, 1)[-1] == table[-1]).all()


@pytest.mark.parametrize(("name", "kept"), [("short", "short"), ("a" * 30, "a" * 12 + "…" + "a" * 11)])
def test_names_are_shortened_in_the_middle(name, kept):
    assert charts.shorten(name) == kept
    assert len(charts.shorten(name)) <= charts.MAX_NAME


def test_shortened_layer_names_stay_different():
    names = [f"backbone.blocks.{i}.attention.output.dense" for i in range(12)]
    assert len(set(charts.short_names(names))) == 12
    assert charts.short_names(["a", "b"]) == ["a", "b"]
    assert charts.short_names(["x" * 40]) == [charts.shorten("x" * 40)]


PARTITION = {
    "partition_sets": np.array(["good", "Frozen-good"]),
    "partition_areas": np.linspace(-0.02, 0.5, 48).reshape(4, 4, 3),
    **{name: np.full((2, 30), 0.1) for name in ("unique", "unique_low", "unique_high", "unique_q", "alone")},
    **{name: np.full(30, 0.1) for name in ("joint", "shared", "shared_low", "shared_high")},
}


def test_a_partition_shows_how_much_of_each_region_is_dynamic(score_store):
    score_store.add()
    score_store.add(extra=tuple(PARTITION.items()), options=(("partition", ("good", "Frozen-good")),))
    (benchmark,), _ = collect(score_store.config)
    assert [score.label for score in benchmark.scores] == ["good"]
    assert len(benchmark.superseded) == 1
    shown, _ = readable_scores(benchmark, 5)
    found = {picture.name: picture for picture in pictures(benchmark, shown, [])}["partition"]
    assert found.title == "How much of each region is dynamic"
    (panel,) = found.spec["panels"]
    assert panel["rows"][0] == "all (30)"
    assert len(panel["rows"]) == 4
    assert [one["name"] for one in found.spec["series"]] == ["unique to set 1", "unique to set 2", "shared"]
    np.testing.assert_allclose(panel["x"][0][0], PARTITION["partition_areas"][0, 1, 0], atol=1e-4)
    np.testing.assert_allclose(panel["high"][2][0], PARTITION["partition_areas"][0, 3, 2], atol=1e-4)
    with figure_style():
        texts = visible_texts(charts.plot(found.spec))
    assert {"explained variance (R²)", "shared", "unique to set 1"} <= {text for text, _ in texts}


def test_curves_have_a_panel_per_model_with_regions_and_the_ceiling(score_store):
    spec = made(score_store, **CASES["time course"])["time-course"].spec
    assert [one["name"] for one in spec["series"]] == ["all units", "V1", "V2", "MT", "noise ceiling"]
    assert [panel["model"] for panel in spec["panels"]] == ["good", LONG]
    assert spec["panels"][0]["x"] == [20.0 * k + 10 for k in range(9)]
    assert spec["panels"][0]["y"][-1][4] == pytest.approx(0.6, abs=1e-3)


def test_delays_are_at_their_start(score_store):
    delays = made(score_store, **CASES["delays"])["delay-profile"].spec
    assert delays["panels"][0]["x"] == [20.0 * k for k in range(9)]


def test_several_contexts_are_a_line_per_region_with_the_window_in_the_title(score_store):
    for context_ms, level in ((500.0, 0.2), (1000.0, 0.58), (4000.0, 0.6), (16000.0, 0.55)):
        score_store.add(context_ms=context_ms, level=level)
    score_store.add(model="one context", context_ms=4000.0)
    score_store.add(model="single frames")
    (benchmark,), _ = collect(score_store.config)
    [found] = contexts.pictures(benchmark)
    (panel,) = found.spec["panels"]
    assert (panel["model"], panel["x"]) == ("good", [0.5, 1.0, 4.0, 16.0])
    assert panel["title"].startswith("good: window 1 s")
    assert [one["name"] for one in found.spec["series"]] == ["all units", "V1", "V2", "MT"]
    assert panel["y"][0] == pytest.approx([0.2, 0.58, 0.6, 0.55], abs=0.06)
    assert "V1 1" in found.caption
    with figure_style():
        axes = charts.plot(found.spec).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.5", "1", "4", "16"]
