"""NWB files of planted spikes and rates: scores, records, and each fault in one line."""

import re
import shutil

import h5py
import numpy as np
import pytest

from src.cli import main
from src.video import read_image
from tests.data.forms.nwb_files import (
    REGIONS,
    recording,
    write_h5py,
    write_pictures,
    write_pictures_pynwb,
    write_pynwb,
)
from tests.data.forms.printed import best, fault, load, score
from tests.data.own_folders import images, quadrants

NWB = "nwb:mine/session.nwb"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with films and one session."""
    folder = tmp_path_factory.mktemp("nwb")
    content = recording(folder, n=6)
    write_h5py(folder / "session.nwb", content)
    return folder, content


@pytest.fixture
def folder(written, tmp_path, monkeypatch):
    monkeypatch.setenv("DYNAMIC_VISION_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(written[0], tmp_path / "mine")


def agree(record, content):
    """Correlation of each unit with its quadrant."""
    order = [int(re.search(r"\d+", one)[0]) for one in record.stimuli.ids]
    planted = content["brightness"][order]
    found = np.nanmean(record.values, axis=1)
    return [np.corrcoef(found[..., k].ravel(), planted[..., k].ravel())[0, 1] for k in range(4)]


def test_planted_spikes_are_scored_by_the_declared_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DYNAMIC_VISION_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    content = recording(tmp_path / "private", n=24, repetitions=4)
    write_h5py(tmp_path / "private" / "session.nwb", content)
    printed = score("electrodes", "nwb:private/session.nwb?name=mouse films", capsys)
    layer, value = best(printed)
    assert layer == "colour"
    assert value > 0.6
    assert printed.startswith("fake-net on mouse films: ")
    assert "private" not in printed
    assert set(re.findall(r"^(V\d) ", printed, re.M)) == {"V1", "V4"}


def test_counts_regions_and_repetitions(folder, written, capsys):
    content = written[1]
    record = load(NWB)
    assert record.values.shape == (6, 2, 10, 4)
    assert record.subjects == ("mouse-1",) * 2
    assert list(record.units["region"]) == list(REGIONS)
    assert list(record.units["depth"]) == [0, 0.5, 1, 1.5]
    assert record.time_ms.tolist() == [[100 * k, 100 * k + 100] for k in range(10)]
    first = content["names"].index(record.stimuli.ids[0])
    start = content["start"][first] + 0.3
    spikes = content["spikes"][1]
    expected = 10 * np.sum((spikes >= start) & (spikes < start + 0.1))
    assert record.values[0, 0, 3, 1] == pytest.approx(expected)
    assert min(agree(record, content)) > 0.5
    assert main(["data", "check", NWB]) == 0
    said = capsys.readouterr().out
    assert "presentations are those of intervals/film_presentations/stimulus_name" in said
    assert "session: no faults" in said


def test_rates_are_averaged_over_bins(folder, written):
    record = load(f"{NWB}?rates=processing/behavior/rates")
    assert min(agree(record, written[1])) > 0.9999
    halved = load(f"{NWB}?rates=processing/behavior/rates&bin=75ms&window=50-950ms")
    assert halved.values.shape == (6, 2, 12, 4)
    assert halved.time_ms[0].tolist() == [50, 125]
    order = [int(re.search(r"\d+", one)[0]) for one in halved.stimuli.ids]
    planted = written[1]["brightness"][order]
    # 50 ms of the first step and 25 ms of the second, in units of the conversion
    expected = 2 * (planted[:, 0] * 50 + planted[:, 1] * 25) / 75
    np.testing.assert_allclose(halved.values[:, 0, 0], expected, rtol=1e-5)


def test_a_file_of_pynwb_is_the_same_record(folder, written):
    pytest.importorskip("pynwb")
    write_pynwb(folder / "of-pynwb.nwb", written[1])
    ours, theirs = load(NWB), load("nwb:mine/of-pynwb.nwb?name=session")
    assert theirs.digest == ours.digest
    assert list(theirs.units["region"]) == list(REGIONS)
    assert list(theirs.units["depth"]) == [0, 0.5, 1, 1.5]
    rates = "?rates=processing/behavior/rates"
    np.testing.assert_array_equal(load(f"nwb:mine/of-pynwb.nwb{rates}").values, load(f"{NWB}{rates}").values)


def test_sessions_of_a_folder_are_joined(folder, written):
    second = dict(written[1], names=written[1]["names"][:9], start=written[1]["start"][:9], stop=written[1]["stop"][:9])
    second["shown"] = written[1]["shown"][:9]
    write_h5py(folder / "second.nwb", second, subject="mouse-2", quality=["good", "noise", "good", "good"])
    record = load("nwb:mine")
    assert record.values.shape == (6, 2, 10, 8)
    assert list(record.units["session"]) == ["second"] * 4 + ["session"] * 4
    assert list(record.units["unit_id"])[:2] == ["second-0", "second-1"]
    assert list(record.units["subject"]) == ["mouse-2"] * 4 + ["mouse-1"] * 4
    assert record.subjects == ("mouse-1+mouse-2",) * 2
    assert np.isnan(record.values[..., :4]).any()
    assert not np.isnan(record.values[..., 4:]).any()
    assert load("nwb:mine/second.nwb?quality=good").values.shape[3] == 3


def test_films_in_the_file_of_presentations_and_images(folder, written):
    content = written[1]
    with h5py.File(folder / "session.nwb", "a") as file:
        del file["intervals"]
        for k in range(6):
            place = file.create_group(f"stimulus/presentation/film-{k}")
            own = [s for name, s in zip(content["names"], content["start"], strict=True) if name == f"film-{k}.mkv"]
            place.create_dataset("external_file", data=[f"./films/film-{k}.mkv"], dtype=h5py.string_dtype())
            place["external_file"].attrs["starting_frame"] = [0]
            place["timestamps"] = own[0] + np.arange(30) / 30
    record = load(NWB)
    assert record.values.shape == (6, 1, 10, 4)
    assert min(agree(record, content)) > 0.4
    # images are named by numbers and shown as long as the table says
    images(folder / "films", np.random.default_rng(0).uniform(size=(6, 4)))
    write_h5py(folder / "session.nwb", content | {"names": [f"image-{k}" for k in content["shown"]]})
    with h5py.File(folder / "session.nwb", "a") as file:
        file["intervals/film_presentations/frame"] = content["shown"].astype(float)
    for k in range(6):
        (folder / "films" / f"image-{k}.png").rename(folder / "films" / f"{k}.png")
    record = load(f"{NWB}?column=frame&bin=500ms")
    assert record.stimuli.ids == tuple(map(str, range(6)))
    assert set(record.stimuli.duration_ms) == {1000.0}


def test_images_in_the_file_are_stimuli(folder, written, capsys):
    pictures = quadrants(np.random.default_rng(0).uniform(size=(6, 4)))
    write_pictures(folder / "session.nwb", written[1], pictures)
    record = load(f"{NWB}?bin=100ms&window=0-1s")
    assert record.stimuli.ids == tuple(f"{k:04d}" for k in range(6))
    assert set(record.stimuli.duration_ms) == {1050.0}
    np.testing.assert_array_equal(read_image(record.stimuli.paths[3]), pictures[3])
    assert min(agree(record, written[1])) > 0.4
    # in the files of another session the same image has another content
    write_pictures(folder / "second.nwb", written[1], pictures[::-1])
    assert main(["data", "check", "nwb:mine"]) == 2
    assert "its image 0000 is another one than in the other files" in capsys.readouterr().out
    write_pictures(folder / "session.nwb", written[1], pictures[:5])
    assert main(["data", "check", NWB]) == 2
    assert "refers to the images 0 to 5, but there are 5" in capsys.readouterr().out


def test_images_of_pynwb_are_the_same(folder, written):
    pytest.importorskip("pynwb")
    pictures = quadrants(np.random.default_rng(0).uniform(size=(6, 4)))
    write_pictures(folder / "session.nwb", written[1], pictures)
    expected = load(NWB)
    write_pictures_pynwb(folder / "session.nwb", written[1], pictures)
    found = load(NWB)
    assert found.stimuli.digest == expected.stimuli.digest
    np.testing.assert_array_equal(found.values, expected.values)


def edit(place, value):
    """Return an edit of the file: another value of a dataset, None removes it."""

    def change(folder):
        with h5py.File(folder / "session.nwb", "a") as file:
            old = file[place][()] if isinstance(file[place], h5py.Dataset) else None
            del file[place]
            if value is not None:
                made = value(old)
                text = made.dtype.kind in "OSU"
                file.create_dataset(place, data=made, dtype=h5py.string_dtype() if text else made.dtype)

    return change


def written_as(content):
    return lambda folder: (folder / "session.nwb").write_bytes(content)


def truncated(folder):
    whole = (folder / "session.nwb").read_bytes()
    (folder / "session.nwb").write_bytes(whole[: len(whole) // 2])


def plain_hdf5(folder):
    with h5py.File(folder / "session.nwb", "w") as file:
        file["a"] = [1]


def another_table(folder):
    with h5py.File(folder / "session.nwb", "a") as file:
        file.copy("intervals/film_presentations", "intervals/epochs")


def twice(folder):
    (folder / "films" / "again").mkdir()
    shutil.copy(folder / "films" / "film-0.mkv", folder / "films" / "again")


TABLE = "intervals/film_presentations"
FAULTS = {
    "no file": (lambda folder: (folder / "session.nwb").unlink(), "", "there is no such file or folder"),
    "text": (written_as(b"no hdf5"), "", "cannot be read as HDF5"),
    "truncated": (truncated, "", "cannot be read as HDF5"),
    "plain": (plain_hdf5, "", "is an HDF5 file, but no NWB file"),
    "no units": (edit("units", None), "", "has no table of units; state the values of units as rates=PATH"),
    "no spikes": (edit("units/spike_times", None), "", "has no spike times in its table of units"),
    "spikes": (edit("units/spike_times", lambda old: old * np.nan), "", "has spike times that are no numbers"),
    "index": (edit("units/spike_times_index", lambda old: old[:3]), "", "spike times of 3 units, but 4 units"),
    "no table": (edit("intervals", None), "", "has no presentations of stimuli"),
    "no column": (edit(f"{TABLE}/stimulus_name", None), "", "has no presentations .* are film_presentations"),
    "two tables": (another_table, "", "several tables of presentations: epochs, film_presentations; state one"),
    "backwards": (edit(f"{TABLE}/stop_time", lambda old: old - 2), "", "row 0 of .* starts at 5 s and ends at 4 s"),
    "nameless": (edit(f"{TABLE}/stimulus_name", lambda old: np.array(["n/a"] * len(old), object)), "", "no stimulus"),
    "late": (edit(f"{TABLE}/start_time", lambda old: old * np.nan), "", "row 0 .* starts at nan s"),
    "no film": (lambda folder: (folder / "films" / "film-3.mkv").unlink(), "", "no film or image of .* film-3.mkv"),
    "two films": (twice, "", "stimulus film-0.mkv is in several files: "),
    "damaged film": (lambda f: (f / "films" / "film-1.mkv").write_bytes(b"x"), "", "film-1.mkv: .*; put a whole film"),
    "table=": (None, "?table=trials", "has no table intervals/trials, only film_presentations"),
    "column=": (None, "?column=movie", "no presentations of stimuli with a column movie; .* the columns stimulus_name"),
    "rates=": (None, "?rates=processing/rates", "no series processing/rates; its series are processing/behavior/rates"),
    "stimuli=": (None, "?stimuli=gone", "stimuli=gone: there is no such file or folder"),
    "quality=": (None, "?quality=good", "no unit of the quality good; it is not stated"),
    "bin=": (None, "?bin=100", "bin=100; expected a time above 0 with its unit"),
    "long bin": (None, "?bin=2s", "no bin of 2000 ms fits"),
    "window=": (None, "?window=100-0ms", "window=100-0ms; expected start and end"),
    "option": (None, "?regions=V1", "unknown option regions; did you mean rates"),
    "twice": (None, "?bin=1s&bin=2s", "option bin is stated twice"),
    "name=": (None, "?name=a/b", "name=a/b; expected a name without"),
}


@pytest.mark.parametrize(("change", "options", "text"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_line(folder, capsys, change, options, text):
    if change is not None:
        change(folder)
    assert re.search(text, fault("electrodes", NWB + options, capsys, folder.parent / "home"))


def test_a_changed_file_is_noticed_and_an_unchanged_one_is_not_read_again(folder, written, capsys, monkeypatch):
    name = f"{NWB}?rates=processing/behavior/rates"
    before = best(score("electrodes", name, capsys, model="pixels"))
    opened = []
    with monkeypatch.context() as patched:
        patched.setattr(h5py.File, "__init__", lambda *a, **k: opened.append(a))
        assert best(score("electrodes", name, capsys, model="pixels")) == before
    assert not opened
    edit("processing/behavior/rates/data", lambda old: np.random.default_rng(0).normal(size=old.shape))(folder)
    assert best(score("electrodes", name, capsys, model="pixels"))[1] < before[1] - 0.1
