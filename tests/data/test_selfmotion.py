import h5py
import numpy as np
import pytest

from src.data.release import Release
from src.data.tasks import selfmotion
from src.utils import BadInput
from src.video import decode, probe
from tests.data.miniatures import selfmotion as miniature
from tests.data.public_tasks import assert_counts


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("selfmotion")
    miniature.write(home)
    return home


def read(folder, **options):
    return selfmotion.read(Release("selfmotion", folder, options, jobs=2))


def put(folder, table, shape, condition="sea", frames="short_videos"):
    path = folder / "batch2" / condition / "b1" / "output.h5"
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file["labels"] = table
        file[frames] = np.zeros(shape, np.uint8)
    return folder


def test_the_first_batch_by_name_is_stored_without_loss_in_colour(folder):
    record = read(folder)
    assert_counts(record, miniature.EXPECTED["selfmotion"])
    assert record.notes["batches"] == "2 (city_day/batch_0, forest/batch_0)"
    assert list(record.strata) == ["city_day"] * 60 + ["forest"] * 60
    for k in (3, 117):
        condition, number = record.stimuli.ids[k].split("/")
        frames = miniature.film(miniature.labels(condition, "batch_0"), int(number)).transpose(0, 2, 3, 1)
        info = probe(record.stimuli.paths[k])
        assert (info.fps, info.duration_ms) == (10, 1000)
        stored = np.stack([frame for _, frame in decode(record.stimuli.paths[k], range(10), info)])
        np.testing.assert_array_equal(stored, frames)
        assert frames[..., 0].mean() > frames[..., 2].mean() + 20


def test_angles_are_sine_and_cosine_or_the_published_columns(folder):
    circular, linear = read(folder), read(folder, angles="linear")
    table = miniature.labels("city_day", "batch_0")
    column = dict(zip(circular.names, circular.values.T, strict=True))
    np.testing.assert_allclose(column["sin heading_yaw"][:60], np.sin(table["heading_yaw"]), atol=1e-6)
    np.testing.assert_allclose(column["cos heading_yaw"][:60], np.cos(table["heading_yaw"]), atol=1e-6)
    assert circular.notes["constant targets, left out"] == "sin pitch, cos pitch"
    assert linear.names == tuple(name for name in (*miniature.ANGLES, "speed") if name != "pitch")
    np.testing.assert_allclose(linear.values[:60, linear.names.index("speed")], table["speed"])
    assert linear.stimuli.digest == circular.stimuli.digest


def test_targets_are_continuous_at_pi():
    values = np.zeros((2, 7))
    values[:, 3] = [np.pi - 0.01, -np.pi + 0.01]
    circular, names = selfmotion.targets(values, "sincos")
    assert len(names) == circular.shape[1] == 13
    assert np.abs(circular[0] - circular[1]).max() < 0.021


def test_clips_without_labels_and_the_folder_of_films_are_left_out(tmp_path):
    table = miniature.labels("city_day", "batch_0")[:12].copy()
    table["speed"][[2, 5]] = np.nan
    put(tmp_path, table, (12, 10, 3, 16, 16))
    put(tmp_path, table, (12, 10, 3, 16, 16), condition="videos")
    record = read(tmp_path)
    assert len(record.stimuli) == 10
    assert record.notes["clips without labels, left out"] == 2
    assert "sea/0002" not in record.stimuli.ids
    assert set(record.strata) == {"sea"}


def test_another_batch_gives_other_films(tmp_path):
    table = miniature.labels("city_day", "batch_0")[:4]
    put(tmp_path, table, (4, 10, 3, 16, 16))
    before = read(tmp_path).stimuli.digest
    path = tmp_path / "batch2" / "sea" / "b1" / "output.h5"
    with h5py.File(path, "r+") as file:
        file["short_videos"][:] = 200
    assert read(tmp_path).stimuli.digest != before


@pytest.mark.parametrize("shape", [(12, 40, 3, 16, 16), (12, 10, 16, 16, 3), (9, 10, 3, 16, 16)])
def test_films_of_another_shape_are_refused(tmp_path, shape):
    put(tmp_path, miniature.labels("city_day", "batch_0")[:12], shape)
    with pytest.raises(BadInput, match=r"short_videos of shape .* for 12 labels; expected \(clips, 10, 3"):
        read(tmp_path)


def test_damaged_and_incomplete_files_are_refused(tmp_path):
    table = miniature.labels("city_day", "batch_0")[:12]
    put(tmp_path / "a", table[["speed", "yaw"]], (12, 10, 3, 16, 16))
    with pytest.raises(BadInput, match=r"output.h5: cannot be read .*expected HDF5 with labels"):
        read(tmp_path / "a")
    put(tmp_path / "b", table, (12, 10, 3, 16, 16), frames="videos")
    with pytest.raises(BadInput, match="cannot be read"):
        read(tmp_path / "b")
    path = tmp_path / "b" / "batch2" / "sea" / "b1" / "output.h5"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(BadInput, match="cannot be read"):
        read(tmp_path / "b")
    put(tmp_path / "c", table, (12, 10, 3, 16, 16), condition="videos")
    with pytest.raises(BadInput, match="no clip of a condition has labels"):
        read(tmp_path / "c")


def test_the_released_folder_is_read_as_it_is(tmp_path):
    miniature.write(tmp_path / "plain")
    plain = read(tmp_path / "plain")
    (tmp_path / "whole" / "airsim").mkdir(parents=True)
    (tmp_path / "plain" / "batch2").rename(tmp_path / "whole" / "airsim" / "batch2")
    whole = read(tmp_path / "whole")
    assert whole.stimuli.ids == plain.stimuli.ids
    np.testing.assert_array_equal(whole.values, plain.values)
    assert not selfmotion.NEEDS[0].missing(tmp_path / "whole")
