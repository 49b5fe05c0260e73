import base64

import numpy as np
import pytest

from src.report import surface_plot, viewer
from src.report.picture import Picture
from src.report.scores import collect
from src.report.surface_maps import pictures
from src.report.theme import figure_style

N = surface_plot.N_VERTICES


def arrays_of(n, **columns):
    """Return the arrays of a score with `n` targets and these columns of the target table."""
    return {"test": np.zeros((1, n, 1))} | {f"target_{name}": np.asarray(values) for name, values in columns.items()}


def test_a_whole_cortex_is_placed_in_the_order_of_the_mesh():
    np.testing.assert_array_equal(surface_plot.target_vertices(arrays_of(N)), np.arange(N))
    np.testing.assert_array_equal(
        surface_plot.target_vertices(arrays_of(N, hemi=np.repeat(["L", "R"], N // 2))), np.arange(N)
    )


def test_targets_without_vertices_have_no_map():
    assert surface_plot.target_vertices(arrays_of(75, hemi=["L"] * 75)) is None
    assert surface_plot.target_vertices(arrays_of(N, hemi=np.repeat(["R", "L"], N // 2))) is None
    assert surface_plot.target_vertices(arrays_of(2, vertex=[0, 10242], hemi=["L", "R"])) is None


def test_targets_with_vertices_are_placed_there():
    vertices = surface_plot.target_vertices(arrays_of(3, vertex=[5, 0, 10241], hemi=["L", "right", "R"]))
    np.testing.assert_array_equal(vertices, [5, 10242, 20483])
    full = surface_plot.to_surface(np.array([1.0, 2.0, 3.0]), vertices)
    assert full[20483] == 3
    assert np.isfinite(full).sum() == 3


@pytest.mark.parametrize("hemisphere", ["left", "right"])
@pytest.mark.parametrize("view", surface_plot.VIEWS)
def test_views_have_the_orientation_of_their_name(hemisphere, view):
    mesh, (vertex, light) = surface_plot.meshes()[hemisphere], surface_plot.render(hemisphere, view)
    rows, columns = np.nonzero(vertex >= 0)
    is_left = hemisphere == "left"
    points = mesh.points[vertex[rows, columns] - (0 if is_left else surface_plot.PER_HEMISPHERE)]
    away = points[:, 0] * (-1 if is_left else 1)  # from the midline

    def agree(a, b):
        return np.corrcoef(a, b)[0, 1] > 0.9

    if view == "posterior":
        assert agree(points[:, 2], rows)
        assert agree(away, -columns if is_left else columns)
        return
    # the front of the brain is on the left of lateral and ventral views of the left hemisphere
    front_left = (view == "medial") != is_left
    assert agree(points[:, 1], -columns if front_left else columns)
    if view == "ventral":
        assert np.corrcoef(away, rows)[0, 1] > 0.5
    else:
        # superior is at the top, and only the near face is visible
        assert agree(points[:, 2], rows)
        middle = (mesh.points[:, 0] * (-1 if is_left else 1)).mean()
        assert np.mean((away > middle) == (view == "lateral")) > 0.8
    assert 0.6 < light[vertex >= 0].min() < light.max() <= 1


def test_the_flat_map_has_the_vertices_of_its_hemisphere_at_their_places():
    vertex, light = surface_plot.render("right", surface_plot.FLAT)
    shown = vertex[vertex >= 0]
    assert shown.min() >= surface_plot.PER_HEMISPHERE
    assert len(np.unique(shown)) > 7000
    assert set(np.unique(light)) == {0.0, 1.0}
    rows, columns = np.nonzero(vertex >= 0)
    flat = surface_plot.meshes()["right"].flat_points[vertex[rows, columns] - surface_plot.PER_HEMISPHERE]
    assert np.corrcoef(flat[:, 0], columns)[0, 1] > 0.999
    assert np.corrcoef(flat[:, 1], rows)[0, 1] > 0.999


def test_the_pixels_of_a_triangle_have_their_nearest_corner():
    face, corner, pixels = surface_plot._rasterise(np.array([[[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]]))
    found = {tuple(p): c for p, c in zip(pixels.tolist(), corner.tolist(), strict=True)}
    assert set(face) == {0}
    assert len(found) == 15
    assert (found[0, 0], found[4, 0], found[0, 4]) == (0, 1, 2)


def test_outlines_lie_between_regions_and_names_inside_them():
    vertex = np.tile(np.repeat([0, 1], 20), (40, 1))
    vertex[:, :2] = -1
    region = np.array(["V1", "V2"])
    edge = surface_plot.outline(vertex, region)
    assert edge[:, 19].all()
    assert edge.sum() == 40
    labels = surface_plot.region_labels(vertex, region)
    assert [(name, n) for name, *_, n in labels] == [("V1", 18 * 40), ("V2", 20 * 40)]
    assert all(region[vertex[y, x]] == name for name, x, y, _ in labels)
    assert surface_plot.region_labels(vertex, np.array(["", "none"])) == []


def spec_of(values, **changes):
    panel = {"title": "m", "model": "m", "values": values, "limits": (0.0, 1.0), "colours": "score", "ticks": None}
    return {"kind": "surface", "label": "r", "region": None, "panels": [panel | changes]}


def test_a_map_is_coloured_where_there_is_a_value_and_grey_elsewhere():
    values = np.full(N, np.nan)
    values[: N // 2] = 1.0
    with figure_style():
        figure = surface_plot.surface_figure(spec_of(values))
    images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(images) == 10
    for image, coloured in zip(images, [True] * 5 + [False] * 5, strict=True):
        seen = image[image[..., 3] > 0][:, :3]
        assert (np.ptp(seen, axis=1).min() > 0.1) == coloured


def test_the_maps_of_the_page_have_the_values_of_the_figures():
    values = np.linspace(0, 1, N)
    values[7] = np.nan
    region = np.where(np.arange(N) < 100, "V1", "")
    figures = viewer.PageFigures()
    figures.add("a", Picture("a", "surface", "", "", spec_of(values, ticks={0: "a"}) | {"region": region}), "films")
    figures.add("b", Picture("b", "surface", "", "", spec_of(values)), "films")
    data = figures.surface()

    def decoded(text, dtype):
        return np.frombuffer(base64.b64decode(text), dtype)

    assert [figures.figures[name]["panels"][0]["map"] for name in "ab"] == [0, 1]
    levels = decoded(data["maps"][0]["values"], np.uint8)
    assert levels[7] == 0
    shown = (levels[levels > 0] - 1.0) / 254
    np.testing.assert_allclose(shown, values[np.isfinite(values)], atol=0.5 / 254 + 1e-9)
    assert [one["region"] for one in data["maps"]] == [0, None]
    names, of_vertex = data["regions"][0]["names"], decoded(data["regions"][0]["of"], "<u2")
    assert (names[of_vertex[99]], names[of_vertex[100]]) == ("V1", "")
    points = decoded(data["points"], "<i2").reshape(-1, 3) / 100
    left, right = np.split(points[:, 0], 2)
    assert left.max() < 0 < right.min()
    assert decoded(data["faces"], "<u2").max() == surface_plot.PER_HEMISPHERE - 1
    assert len(decoded(figures.colours[data["maps"][0]["colours"]], np.uint8)) == 3 * 256
    for view in data["views"]:
        vertex = decoded(view["vertex"], "<u2")
        assert len(vertex) == view["width"] * view["height"]
        inside = vertex[vertex != viewer.OUTSIDE]
        assert (inside // surface_plot.PER_HEMISPHERE == (view["hemisphere"] == "right")).all()


def test_maps_omit_unreliable_vertices_share_a_scale_and_name_the_layers(score_store):
    whole = {"n_targets": N, "regions": ("V1", "V2"), "extra": (("target_hemi", np.repeat(["L", "R"], N // 2)),)}
    score_store.add(**whole), score_store.add(model="poor", level=-0.1, **whole)
    score_store.add(dataset="patch")
    found = {b.title: b for b in collect(score_store.config)[0]}
    benchmark = found["films (4 splits)"]
    maps = {picture.name: picture.spec for picture in pictures(benchmark, benchmark.scores)}
    titles = {name: [panel["model"] for panel in spec["panels"]] for name, spec in maps.items()}
    assert titles["maps-ratio"] == titles["maps-layer"] == ["good", "poor"]
    assert titles["maps-raw"] == ["noise ceiling", "good", "poor"]
    for name in ("maps-ratio", "maps-raw"):
        assert len({panel["limits"] for panel in maps[name]["panels"]}) == 1
        # negative values are inside the scale
        assert maps[name]["panels"][0]["limits"][0] < -0.1
        assert all(np.isnan(panel["values"][:2]).all() for panel in maps[name]["panels"])
        assert all(np.isfinite(panel["values"][2:]).all() for panel in maps[name]["panels"])
    good = maps["maps-raw"]["panels"][1]
    np.testing.assert_allclose(maps["maps-ratio"]["panels"][0]["values"], good["values"] / 0.9)
    assert f"n = {N - 2:,} vertices" in good["title"]
    assert maps["maps-layer"]["panels"][0]["ticks"] == {0: "block.0", 1: "block.1", 2: "block.2"}
    patch = found["patch (4 splits)"]
    assert list(pictures(patch, patch.scores)) == []
