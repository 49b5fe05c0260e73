import shutil

import numpy as np
import pytest
import xarray

from src.data.electrodes import oleo
from src.data.release import Release
from src.utils import BadInput
from src.video import read_frames, read_image
from tests.data.miniatures import oleo as miniature
from tests.data.scored import assert_comes_back, assert_holds, scores

(DECLARED,) = oleo.DATASETS


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("oleo")
    miniature.write(home / "data" / miniature.STUDY)
    return home


@pytest.fixture
def folder(home, tmp_path):
    """Copy that a test may damage."""
    shutil.copytree(home / "data" / miniature.STUDY, tmp_path / miniature.STUDY)
    return tmp_path / miniature.STUDY


def read(folder, **options):
    return DECLARED.read(Release(DECLARED.name, folder, options))


def test_the_recording_is_read_and_kept(home, tmp_path):
    record = read(home / "data" / miniature.STUDY)
    assert_holds(DECLARED, record, miniature.EXPECTED[DECLARED.name])
    assert_comes_back(record, tmp_path / "kept")
    assert all(need.found(home / "data" / miniature.STUDY) for need in DECLARED.needs)
    assert set(record.units["region"]) == {"IT"}


def test_time_starts_at_the_clip_and_the_last_bin_is_kept(home):
    folder = home / "data" / miniature.STUDY
    record, published = read(folder), read(folder, onset="0")
    assert (record.time_ms[0, 0], record.time_ms[-1, 1]) == (0, 500)
    assert (published.time_ms[0, 0], published.time_ms[-1, 1]) == (200, 700)
    np.testing.assert_array_equal(record.values, published.values)
    with xarray.open_dataarray(next(folder.glob("neural/*.nc"))) as stored:
        row = np.flatnonzero((stored["video_identifier"] == 1007) & (stored["repetition"] == 2))[0]
        expected = stored.values[row, :, 10:35].T
    np.testing.assert_array_equal(record.values[record.stimuli.ids.index("1007"), 2], expected)


def test_stills_are_first_frames_and_the_mean_from_40_to_140_ms(home):
    folder = home / "data" / miniature.STUDY
    record, clips = read(folder, shown="stills"), read(folder)
    assert set(record.stimuli.kind) == {"image"}
    assert record.time_ms.tolist() == [[40, 140]]
    assert set(record.stimuli.duration_ms) == {140}
    np.testing.assert_allclose(record.values[:, :, 0], clips.values[:, :, 2:7].mean(axis=2), atol=1e-5)
    assert len(set(record.stimuli.paths)) == 60
    first = next(iter(read_frames(clips.stimuli.paths[7], np.zeros(1))))
    np.testing.assert_array_equal(read_image(record.stimuli.paths[7]), first)
    assert read(folder, shown="stills").stimuli.digest == record.stimuli.digest


def test_clips_of_one_name_are_distinguished_by_their_folders(home):
    record = read(home / "data" / miniature.STUDY)
    by_id = dict(zip(record.stimuli.ids, record.stimuli.paths, strict=True))
    assert by_id["1005"].parts[-2:] == ("class0", "clip005.mp4")
    assert by_id["1035"].parts[-2:] == ("class1", "clip005.mp4")
    assert record.stimuli.table["class"] == ["class0"] * 30 + ["class1"] * 30


def test_missing_and_ambiguous_clips_are_named(folder):
    shutil.copytree(folder / "stimuli", folder / "copy" / "stimuli")
    with pytest.raises(BadInput, match=r"clip000.mp4 may be .* or .*; expected one; remove the other"):
        read(folder)
    shutil.rmtree(folder / "copy")
    for path in sorted(folder.glob("stimuli/**/clip0[01]?.mp4")):
        path.unlink()
    with pytest.raises(BadInput, match=r"40 of 60 clips are missing in .*: clip000.mp4, .*; ask the owners"):
        read(folder)


def stored(folder):
    path = next(folder.glob("neural/*.nc"))
    with xarray.open_dataarray(path) as array:
        array.load()
    array.encoding.clear()
    return path, array


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.drop_vars("image_current_local_file_path"), r"without image_current_local_file_path; expected"),
        (lambda a: a.drop_vars(["video_identifier", "stimulus_id"]), r"without video_identifier; expected"),
        (lambda a: a.mean("time_bin"), r"dimensions presentation, neuroid, without time_bin_start, time_bin_end"),
        (lambda a: a.isel(time_bin=range(10)), r"bins from 0 to 200 ms; expected some from 200 to 700 ms"),
    ],
)
def test_a_netcdf_of_another_form_is_refused(folder, change, message):
    path, array = stored(folder)
    path.unlink()
    change(array).to_netcdf(path, engine="netcdf4")
    with pytest.raises(BadInput, match=message):
        read(folder)


def test_a_recording_without_repetitions_or_ids_is_numbered(folder):
    path, array = stored(folder)
    path.unlink()
    array.drop_vars(["repetition", "neuroid_id"]).rename(time_bin_stop="time_bin_end").to_netcdf(path, engine="netcdf4")
    record = read(folder)
    assert record.values.shape == (60, 3, 25, 6)
    assert np.isfinite(record.values).all()
    assert record.units["unit_id"].tolist() == [str(k) for k in range(6)]


def test_repetitions_with_equal_numbers_are_renumbered(folder):
    path, array = stored(folder)
    path.unlink()
    array.assign_coords(repetition=0 * array["repetition"]).to_netcdf(path, engine="netcdf4")
    assert np.isfinite(read(folder).values).all()


def test_a_damaged_missing_or_duplicate_recording_is_named(folder):
    path = next(folder.glob("neural/*.nc"))
    shutil.copy(path, folder)
    with pytest.raises(BadInput, match="exists 2 times"):
        read(folder)
    (folder / path.name).unlink()
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadInput, match=r"experiment_psth.nc: cannot be read .*expected a whole netCDF"):
        read(folder)
    path.unlink()
    with pytest.raises(BadInput, match=r"0 files match \*\*/oleo.rsvp.*run: dynamic-vision data fetch oleo-hacs250"):
        read(folder)


@pytest.mark.slow
def test_the_planted_layer_wins(home):
    test, printed = scores("electrodes", DECLARED, home)
    assert max(test, key=test.get) == "colour"
    assert test["colour"] > 0.5
    assert printed["ceiling"] > 0.7
