import numpy as np
import pytest

from src.data.films import write_png
from src.data.release import Release
from src.data.tasks.rendering import paint_boxes, paint_dots, rendered
from src.video import read_image


def test_a_dot_has_the_right_area_and_place():
    for place in ([20.0, 31.0], [20.4, 30.7]):
        image = paint_dots(np.array([place]), 64, 4.0) / 255
        assert image.sum() == pytest.approx(np.pi * 16, rel=0.02)
        rows, columns = np.mgrid[:64, :64]
        assert [(image * columns).sum() / image.sum(), (image * rows).sum() / image.sum()] == pytest.approx(
            place, abs=0.05
        )


def test_dots_over_the_edge_are_cut_off_and_dots_that_overlap_do_not_add_up():
    assert not paint_dots(np.array([[-9.0, 5.0], [70.0, 5.0]]), 64, 3.0).any()
    one, two = (paint_dots(np.full((n, 2), 30.0), 64, 3.0) for n in (1, 2))
    np.testing.assert_array_equal(one, two)
    assert not paint_dots(np.zeros((0, 2)), 64, 3.0).any()


def test_boxes_are_three_pixels_wide_and_stay_in_the_picture():
    image = paint_boxes(np.array([[10.2, 20.6], [0.0, 63.0]]), 64)
    assert set(np.unique(image)) == {0, 255}
    assert (image[20:23, 9:12] == 255).all()
    assert (image > 0).sum() == 9 + 4


def test_existing_files_are_kept_until_the_recipe_changes(tmp_path):
    made, release = [], Release("toy", tmp_path, {}, jobs=2)

    def make(index, path):
        made.append(index)
        path.write_text(str(index))

    def render(recipe):
        made.clear()
        paths = rendered(release, "films", recipe, ["a", "b", "c"], make)
        assert [path.read_text() for path in paths] == ["0", "1", "2"]
        return sorted(made)

    assert render({"size": 1}) == [0, 1, 2]
    assert render({"size": 1}) == []
    (tmp_path / "prepared" / "films" / "b").unlink()
    assert render({"size": 1}) == [1]
    assert render({"size": 2}) == [0, 1, 2]


def test_a_png_is_read_back_unchanged(tmp_path):
    image = np.random.default_rng(1).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    write_png(tmp_path / "deep" / "a@0.png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "deep" / "a@0.png"), image)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a@0.png"]
