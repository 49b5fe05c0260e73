import base64

import numpy as np
import pytest

from src.report import surface_plot, viewer
from src.report.scores import collect
from src.report.surface_maps import surface_maps
from src.report.theme import PRINT, drawing

N = surface_plot.N_VERTICES


def of(n, **columns):
    return {"test": np.zeros((1, n, 1))} | {f"target_{name}": np.asarray(values) for name, values in columns.items()}


def test_a_whole_cortex_lies_on_the_mesh_in_its_order():
    np.testing.assert_array_equal(surface_plot.vertices(of(N)), np.arange(N))
    np.testing.assert_array_equal(surface_plot.vertices(of(N, hemi=np.repeat(["L", "R"], N // 2))), np.arange(N))


def test_targets_elsewhere_have_no_map():
    assert surface_plot.vertices(of(75, hemi=["L"] * 75)) is None
    assert surface_plot.vertices(of(N, hemi=np.repeat(["R", "L"], N // 2))) is None
    assert surface_plot.vertices(of(2, vertex=[0, 10242], hemi=["L", "R"])) is None


def test_targets_that_name_their_vertex_are_put_there():
    place = surface_plot.vertices(of(3, vertex=[5, 0, 10241], hemi=["L", "right", "R"]))
    np.testing.assert_array_equal(place, [5, 10242, 20483])
    full = surface_plot.spread(np.array([1.0, 2.0, 3.0]), place)
    assert full[20483] == 3
    assert np.isfinite(full).sum() == 3


@pytest.mark.parametrize(
    ("side", "view", "front", "outer"),
    [
        ("left", "lateral", "left", None),
        ("right", "lateral", "right", None),
        ("left", "medial", "right", None),
        ("right", "medial", "left", None),
        ("left", "ventral", "top", "right"),
        ("right", "ventral", "top", "left"),
    ],
)
def test_the_brain_is_seen_from_where_the_view_says(side, view, front, outer):
    """Seen from below with the front on top, the left hemisphere is on the right: its outer face looks there."""
    mesh, (vertex, light) = surface_plot.meshes()[side], surface_plot._seen(side, view)
    rows, columns = np.nonzero(vertex >= 0)
    points = mesh.points[vertex[rows, columns]]
    along = {"left": -columns, "right": columns, "top": rows}
    assert np.corrcoef(points[:, 1], along[front])[0, 1] > 0.95
    if outer:
        away = points[:, 0] * (-1 if side == "left" else 1)
        assert np.corrcoef(away, along[outer])[0, 1] > 0.5
    else:
        # up is up, and only the near face is seen
        assert np.corrcoef(points[:, 2], rows)[0, 1] > 0.95
        near = (view == "lateral") == (side == "right")
        middle = mesh.points[:, 0].mean()
        assert np.mean((points[:, 0] > middle) == near) > 0.8
    assert 0.6 < light[vertex >= 0].min() < light.max() <= 1


def test_every_pixel_of_a_triangle_has_its_nearest_corner():
    face, which, pixels = surface_plot._rasterised(np.array([[[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]]))
    found = {tuple(p): c for p, c in zip(pixels.tolist(), which.tolist(), strict=True)}
    assert set(face) == {0}
    assert len(found) == 15
    assert (found[0, 0], found[4, 0], found[0, 4]) == (0, 1, 2)


def test_a_map_is_coloured_where_there_is_a_value_and_grey_elsewhere():
    values = np.full(N, np.nan)
    values[: N // 2] = 1.0
    with drawing(PRINT):
        figure = surface_plot.maps(values, "r (n = 10,242 vertices)", (0, 1), "viridis", PRINT)
        images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(images) == 6
    for image, coloured in zip(images, (True, True, True, False, False, False), strict=True):
        seen = image[image[..., 3] > 0][:, :3]
        assert (np.ptp(seen, axis=1).min() > 0.1) == coloured


def test_the_surface_gets_the_values_it_shows():
    values = np.linspace(0, 1, N)
    values[7] = np.nan
    region = np.where(np.arange(N) < 100, "V1", "")
    one = {"group": "films", "name": "m", "label": "r", "values": values, "limits": (0.0, 1.0), "colours": "viridis"}
    made = viewer.surface([one | {"region": region, "ticks": {0: "a"}}, one | {"region": None}])

    def back(text, dtype):
        return np.frombuffer(base64.b64decode(text), dtype)

    levels = back(made["maps"][0]["values"], np.uint8)
    assert levels[7] == 0
    shown = (levels[levels > 0] - 1.0) / 254
    np.testing.assert_allclose(shown, values[np.isfinite(values)], atol=0.5 / 254 + 1e-9)
    names, of_vertex = made["regions"]["films"]["names"], back(made["regions"]["films"]["of"], "<u2")
    assert (names[of_vertex[99]], names[of_vertex[100]]) == ("V1", "")
    points = back(made["points"], "<i2").reshape(-1, 3) / 100
    left, right = np.split(points[:, 0], 2)
    assert left.max() < 0 < right.min()
    assert back(made["faces"], "<u2").max() == surface_plot.PER_HEMISPHERE - 1
    assert len(back(made["colours"]["viridis"], np.uint8)) == 3 * 256


def test_maps_leave_unreliable_vertices_out_and_name_the_layers(shelf):
    shelf.add(n_targets=N, regions=("V1", "V2"), extra=(("target_hemi", np.repeat(["L", "R"], N // 2)),))
    shelf.add(dataset="patch")
    found = {b.title: b for b in collect(shelf.config)[0]}
    whole = found["films (4 splits)"]
    maps = list(surface_maps(whole, whole.scores))
    assert [one["name"] for one in maps] == ["Ceiling", "good: score", "good: best layer"]
    assert all(np.isnan(one["values"][:2]).all() and np.isfinite(one["values"][2:]).all() for one in maps)
    assert maps[2]["ticks"] == {0: "first", 2: "last"}
    assert "from block.0 to block.2" in maps[2]["caption"]
    assert f"n = {N - 2:,} vertices" in maps[1]["label"]
    patch = found["patch (4 splits)"]
    assert list(surface_maps(patch, patch.scores)) == []
