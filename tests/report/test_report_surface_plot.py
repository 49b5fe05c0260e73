import base64

import numpy as np
import pytest

from src.report import surface_plot, viewer
from src.report.scores import collect
from src.report.surface_maps import surface_maps
from src.report.theme import PRINT, figure_style

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


@pytest.mark.parametrize(
    ("hemisphere", "view", "front", "outer"),
    [
        ("left", "lateral", "left", None),
        ("right", "lateral", "right", None),
        ("left", "medial", "right", None),
        ("right", "medial", "left", None),
        ("left", "ventral", "top", "right"),
        ("right", "ventral", "top", "left"),
    ],
)
def test_views_have_the_orientation_of_their_name(hemisphere, view, front, outer):
    """The ventral view has anterior at the top, so that the lateral face of the left hemisphere is on the right."""
    mesh, (vertex, light) = surface_plot.meshes()[hemisphere], surface_plot._render(hemisphere, view)
    rows, columns = np.nonzero(vertex >= 0)
    points = mesh.points[vertex[rows, columns]]
    along = {"left": -columns, "right": columns, "top": rows}
    assert np.corrcoef(points[:, 1], along[front])[0, 1] > 0.95
    if outer:
        away = points[:, 0] * (-1 if hemisphere == "left" else 1)
        assert np.corrcoef(away, along[outer])[0, 1] > 0.5
    else:
        # superior is at the top, and only the near face is visible
        assert np.corrcoef(points[:, 2], rows)[0, 1] > 0.95
        near = (view == "lateral") == (hemisphere == "right")
        middle = mesh.points[:, 0].mean()
        assert np.mean((points[:, 0] > middle) == near) > 0.8
    assert 0.6 < light[vertex >= 0].min() < light.max() <= 1


def test_the_pixels_of_a_triangle_have_their_nearest_corner():
    face, corner, pixels = surface_plot._rasterise(np.array([[[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]]))
    found = {tuple(p): c for p, c in zip(pixels.tolist(), corner.tolist(), strict=True)}
    assert set(face) == {0}
    assert len(found) == 15
    assert (found[0, 0], found[4, 0], found[0, 4]) == (0, 1, 2)


def test_a_map_is_coloured_where_there_is_a_value_and_grey_elsewhere():
    values = np.full(N, np.nan)
    values[: N // 2] = 1.0
    with figure_style(PRINT):
        figure = surface_plot.surface_figure(values, "r (n = 10,242 vertices)", (0, 1), "viridis")
        images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(images) == 6
    for image, coloured in zip(images, (True, True, True, False, False, False), strict=True):
        seen = image[image[..., 3] > 0][:, :3]
        assert (np.ptp(seen, axis=1).min() > 0.1) == coloured


def test_the_interactive_surface_has_the_values_of_the_maps():
    values = np.linspace(0, 1, N)
    values[7] = np.nan
    region = np.where(np.arange(N) < 100, "V1", "")
    one = {"group": "films", "name": "m", "label": "r", "values": values, "limits": (0.0, 1.0), "colours": "viridis"}
    data = viewer.surface_data([one | {"region": region, "ticks": {0: "a"}}, one | {"region": None}])

    def decoded(text, dtype):
        return np.frombuffer(base64.b64decode(text), dtype)

    levels = decoded(data["maps"][0]["values"], np.uint8)
    assert levels[7] == 0
    shown = (levels[levels > 0] - 1.0) / 254
    np.testing.assert_allclose(shown, values[np.isfinite(values)], atol=0.5 / 254 + 1e-9)
    names, of_vertex = data["regions"]["films"]["names"], decoded(data["regions"]["films"]["of"], "<u2")
    assert (names[of_vertex[99]], names[of_vertex[100]]) == ("V1", "")
    points = decoded(data["points"], "<i2").reshape(-1, 3) / 100
    left, right = np.split(points[:, 0], 2)
    assert left.max() < 0 < right.min()
    assert decoded(data["faces"], "<u2").max() == surface_plot.PER_HEMISPHERE - 1
    assert len(decoded(data["colours"]["viridis"], np.uint8)) == 3 * 256


def test_maps_omit_unreliable_vertices_and_name_the_layers(score_store):
    score_store.add(n_targets=N, regions=("V1", "V2"), extra=(("target_hemi", np.repeat(["L", "R"], N // 2)),))
    score_store.add(dataset="patch")
    found = {b.title: b for b in collect(score_store.config)[0]}
    whole = found["films (4 splits)"]
    maps = list(surface_maps(whole, whole.scores))
    assert [one["name"] for one in maps] == ["Noise ceiling", "good: score", "good: best layer"]
    assert all(np.isnan(one["values"][:2]).all() and np.isfinite(one["values"][2:]).all() for one in maps)
    assert maps[2]["ticks"] == {0: "first", 2: "last"}
    assert "from block.0 to block.2" in maps[2]["caption"]
    assert f"n = {N - 2:,} vertices" in maps[1]["label"]
    patch = found["patch (4 splits)"]
    assert list(surface_maps(patch, patch.scores)) == []
