"""A user's folder from nothing to a score, with no Python: planted signals of all four kinds, and its formats."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from src import data
from src.cli import main
from src.config import Config
from src.data import own
from src.utils import BadInput
from tests.data.own_folders import KINDS, electrodes, write_table

MADE_BY_CAMERA = (".mkv", ".png")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder, with homes of its own."""
    monkeypatch.setenv("DYNAMIC_VISION_HOME", str(tmp_path / "home"))
    for variable in ("DATA_HOME", "MMAP_HOME", "RESULTCACHING_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recording")
    electrodes(folder, n=6)
    return folder


def best(printed, column="test"):
    """The score of the chosen layer."""
    title, row = (re.search(pattern, printed, re.M)[0] for pattern in (r"^  layer .*", r"^\* .*"))
    numbers = re.findall(r"(-?\d\.\d+) ±", row)
    assert column in title
    return row.split()[1], float(numbers[1])


@pytest.mark.parametrize(("kind", "at_least"), [("electrodes", 0.9), ("fmri", 0.8), ("task", 0.9), ("behaviour", 0.3)])
def test_a_folder_is_scored_without_python(place, capsys, kind, at_least):
    KINDS[kind](place / "private" / "mine")
    written = [p for p in (place / "private" / "mine").iterdir() if p.suffix not in MADE_BY_CAMERA]
    assert len(written) <= 5
    assert not [p for p in written if p.suffix == ".py"]
    command = ["score", kind, "-m", "fake-net", "-d", "private/mine", "-q", "--splits", "3", "--bootstrap", "0"]
    assert main([*command, "--output", "scores.csv"]) == 0
    printed = capsys.readouterr().out
    layer, score = best(printed)
    assert layer == "colour"
    assert score > at_least
    # the declared name is printed and stored, and no path
    name = own.declare(place / "private" / "mine").name
    assert printed.startswith(f"fake-net on {name}: ")
    assert set(pd.read_csv("scores.csv")["datasets"]) == {name}
    assert "private" not in printed + (place / "scores.csv").read_text()
    assert not [p for p in (place / "home" / "results").rglob("*score*/*") if "private" in p.name]


def test_a_unit_of_noise_scores_nothing(place, capsys):
    electrodes(place / "mine")
    command = ["score", "electrodes", "-m", "fake-net", "-d", "./mine", "-q", "--splits", "5", "--bootstrap", "0"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    regions = dict(re.findall(r"^(\w+) +\w+ .*?±\S+ +(-?\d\.\d+) ±", printed, re.M))
    assert float(regions["V1"]) > 0.9
    assert abs(float(regions["none"])) < 0.25


def test_a_template_is_written_once_and_lists_the_films(place, capsys):
    electrodes(place / "mine", n=3)
    for name in ("dataset.toml", "stimuli.csv", "responses.npy", "units.csv"):
        (place / "mine" / name).unlink()
    assert main(["data", "new", "mine", "--kind", "electrodes"]) == 0
    rows = pd.read_csv("mine/stimuli.csv")
    assert rows["path"].tolist() == rows["stimulus_id"].add(".mkv").tolist() == [f"film-{k}.mkv" for k in range(3)]
    before = {p: p.read_bytes() for p in place.rglob("*") if p.is_file()}
    capsys.readouterr()
    assert main(["data", "new", "mine", "--kind", "task"]) == 2
    assert re.search(r"mine has dataset.toml, stimuli.csv already; .* nothing was written\n$", capsys.readouterr().err)
    assert {p: p.read_bytes() for p in place.rglob("*") if p.is_file()} == before
    np.save("mine/responses.npy", np.random.default_rng(0).normal(size=(3, 2, 10, 2)))
    assert main(["data", "check", "mine"]) == 0


@pytest.mark.parametrize("kind", data.TYPES)
def test_a_template_says_what_is_missing(place, capsys, kind):
    assert main(["data", "new", "mine", "--kind", kind]) == 0
    capsys.readouterr()
    assert main(["data", "check", "mine"]) == 2
    *faults, count = capsys.readouterr().out.splitlines()
    assert faults[0] == "stimuli.csv: has a header but no row; write a line per row"
    assert re.match(r"(responses.npy|labels.csv|trials.csv): .*; write ", faults[1])
    assert count == "mine: 2 faults"


@pytest.mark.parametrize("kind", data.TYPES)
def test_every_line_of_a_template_may_be_stated(place, kind):
    assert main(["data", "new", "mine", "--kind", kind]) == 0
    text = (place / "mine" / "dataset.toml").read_text()
    stated = re.sub(r"^#(?=\w+ = )", "", text, flags=re.M)
    assert stated.count("\n") == text.count("\n")
    assert len(re.findall(r"^\w+ = ", stated, re.M)) > 8
    (place / "mine" / "dataset.toml").write_text(stated)
    problems = own.folder.Problems()
    assert own.folder.read_settings(place / "mine", problems) is not None
    assert problems.lines() == []
    # every key is explained in the template of its kind
    assert set(own.settings.KEYS[kind]) == set(re.findall(r"^(\w+) = ", stated, re.M))


def table_of(values, form):
    stimulus, repetition, time, unit = (index.ravel() for index in np.indices(values.shape))
    units = np.array(["ul", "ur", "ll", "lr", "noise"])
    if form == "long":
        table = {"unit_id": units[unit], "value": values.ravel()}
    else:
        stimulus, repetition, time = (index[unit == 0] for index in (stimulus, repetition, time))
        table = dict(zip(units, values.reshape(-1, 5).T, strict=True))
    ids = {"stimulus_id": [f"{k:03d}" for k in stimulus], "repetition": repetition, "time": time / 10}
    return pd.DataFrame(ids | table)


@pytest.mark.parametrize("form", ["long", "wide", "netcdf", "netcdf without ids", "other axes"])
def test_all_formats_of_responses_give_one_record(recording, tmp_path, form):
    folder = shutil.copytree(recording, tmp_path / "mine")
    values = np.load(folder / "responses.npy")
    expected = own.load(folder)
    (folder / "responses.npy").unlink()
    toml = (folder / "dataset.toml").read_text() + 'time_unit = "s"\n'
    if form in ("long", "wide"):
        table = table_of(values, form).sample(frac=1, random_state=0)
        table.to_csv(folder / "responses.csv", index=False)
    elif form == "other axes":
        np.save(folder / "responses.npy", values.transpose(3, 2, 0, 1))
        toml += 'axes = ["unit", "time", "stimulus", "repetition"]\n'
    else:
        array = xr.DataArray(values, dims=("image", "repetition", "time_bin", "neuroid"), name="responses")
        if form == "netcdf":
            ids = {"image": [f"{k:03d}" for k in range(6)], "neuroid": ["ul", "ur", "ll", "lr", "noise"]}
            array = array.assign_coords(ids | {"time_bin": np.arange(10) / 10})[::-1, :, :, ::-1]
        array.transpose("time_bin", ...).to_netcdf(folder / "responses.nc")
    (folder / "dataset.toml").write_text(toml)
    found = own.load(folder)
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.digest == expected.digest
    assert found.units == expected.units


def test_spreadsheet_habits_are_read(recording, tmp_path):
    """A byte order mark, carriage returns, quotes, spaces around cells and empty columns and rows at the end."""
    folder = shutil.copytree(recording, tmp_path / "mine")
    expected = own.load(folder)
    for name in ("stimuli.csv", "units.csv"):
        rows = (folder / name).read_text().splitlines()
        text = "\r\n".join(
            [*(", ".join(f'"{c}"' if c.isdigit() else c for c in r.split(",")) + ",," for r in rows), ",,"]
        )
        (folder / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert own.load(folder).digest == expected.digest


def test_a_piece_of_a_film_is_its_own_stimulus(recording, tmp_path):
    folder = shutil.copytree(recording, tmp_path / "mine")
    ids = ["a", "b", "c"]
    pieces = {"stimulus_id": ids, "path": ["film-0.mkv"] * 3, "onset": ["", 0.2, 0.5], "duration": [0.2, 0.3, ""]}
    write_table(folder / "stimuli.csv", pieces)
    (folder / "dataset.toml").write_text((folder / "dataset.toml").read_text() + 'time_unit = "s"\n')
    np.save(folder / "responses.npy", np.random.default_rng(0).normal(size=(3, 2, 2, 5)))
    stimuli = own.load(folder).stimuli
    assert [stimuli.piece_ms(k) for k in range(3)] == [(0.0, 200.0), (200.0, 300.0), (500.0, 500.0)]


def test_defaults_follow_the_files(recording, tmp_path):
    folder = shutil.copytree(recording, tmp_path / "mine")
    (folder / "dataset.toml").write_text('kind = "fmri"\nname = "betas"\ntr = "1 s"\n')
    values = np.load(folder / "responses.npy")
    np.save(folder / "responses.npy", values.mean(axis=2))
    write_table(folder / "runs.csv", {"repetition": ["a", "b"], "subject": ["s1", "s2"]})
    declared, record = own.declare(folder), own.load(folder)
    assert (declared.lag, declared.tr_ms) == (False, 1000)
    assert record.subjects == ("s1", "s2")
    assert record.time_ms.tolist() == [[0, 1000]]
    np.save(folder / "responses.npy", values[:, :, :1])
    assert own.declare(folder).lag


def test_labels_with_a_fraction_are_numbers(tmp_path):
    KINDS["task"](tmp_path)
    rng, ids = np.random.default_rng(0), [f"i{k}" for k in range(60)]
    table = {"stimulus_id": ids, "speed": rng.normal(size=60), "size": rng.normal(size=60), "group": np.arange(60) // 2}
    write_table(tmp_path / "labels.csv", table)
    declared, record = own.declare(tmp_path), own.load(tmp_path)
    assert (declared.metric, declared.decoder) == ("pearson", "ridge")
    assert record.names == ("speed", "size")
    np.testing.assert_allclose(record.values[:, 0], table["speed"])
    assert record.groups.tolist() == [str(k // 2) for k in range(60)]


def test_fitting_stimuli_are_read(tmp_path):
    KINDS["behaviour"](tmp_path)
    labels = ["ul", "ur", "ll", "lr"]
    paths = [f"image-{k}.png" for k in range(4)]
    write_table(tmp_path / "fitting.csv", {"stimulus_id": ["f0", "f1", "f2", "f3"], "path": paths, "label": labels})
    record = own.load(tmp_path)
    assert record.fitting.values[:, 0].tolist() == labels
    assert record.classes == ("ll", "lr", "ul", "ur")


def test_many_faults_are_listed_at_once_and_the_first_stops_a_score(place, capsys):
    electrodes(place / "mine", n=6)
    write_table(place / "mine" / "units.csv", {"unit_id": ["a", "a", "b", "c", "d"], "hemi": list("LRxLR")})
    rows = {"stimulus_id": [f"{k:03d}" for k in range(6)], "path": [f"gone-{k}.mkv" for k in range(6)]}
    write_table(place / "mine" / "stimuli.csv", rows)
    (place / "mine" / "dataset.toml").write_text('kind = "electrodes"\nname = "a"\nbin_width = "1 s"\ncolour = 1\n')
    assert main(["data", "check", "mine"]) == 2
    faults = capsys.readouterr().out.splitlines()
    assert len([line for line in faults if "there is no file gone-" in line]) == 5
    for text in ("1 more lines like these", "unknown key colour", "line 3: unit_id a is in line 2"):
        assert [line for line in faults if text in line], text
    assert main(["score", "electrodes", "-m", "pixels", "-d", "./mine", "-q"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(r"error: mine/dataset.toml: unknown key colour; .*\(\d+ more faults: `data check .*mine`", error)
    kept = [p for p in (place / "home").rglob("*") if p.is_file() and p.suffix != ".lock"]
    assert not kept


def test_names_and_folders_that_do_not_exist_are_named(place):
    (place / "films").mkdir()
    config = Config(place, place, place, place, 1)
    with pytest.raises(BadInput, match=r"the folder films has no dataset\.toml; make it with `data new films"):
        data.declaration(None, "films")
    with pytest.raises(BadInput, match=r"no folder \./gone; expected a folder with dataset.toml"):
        data.load("./gone", config)
    electrodes(place / "films", n=3)
    with pytest.raises(BadInput, match="films is of type Electrodes; expected Fmri for the benchmark fmri"):
        data.declaration("fmri", "films")
    (place / "films" / "dataset.toml").write_text('kind = "electrodes"\nname = "fake-mt"\nbin_width = "100 ms"\n')
    with pytest.raises(BadInput, match="films is called fake-mt, as a known dataset; expected a name of its own"):
        data.declaration(None, "films")


def test_a_corrected_table_is_noticed(place, capsys):
    electrodes(place / "mine", n=12)
    values = np.load("mine/responses.npy")
    np.save("mine/responses.npy", values[::-1])
    command = ["score", "electrodes", "-m", "pixels", "-d", "./mine", "-q", "--splits", "3", "--bootstrap", "0"]
    assert main(command) == 0
    wrong = best(capsys.readouterr().out)[1]
    np.save("mine/responses.npy", values)
    assert main(command) == 0
    assert best(capsys.readouterr().out)[1] > wrong + 0.3


def test_a_folder_is_described_and_its_score_explained(place, capsys):
    electrodes(place / "mine", n=6)
    assert main(["data", "list", "mine"]) == 0
    described = capsys.readouterr().out
    assert re.search(rf"^my-recording\n  state +own; next: score it\n  folder +{place / 'mine'}\n", described)
    assert main(["store", "why", "pixels", "./mine", "--", "--splits", "3"]) == 0
    assert "score: nothing of this kind is stored" in capsys.readouterr().out
    assert main(["data", "check", "./gone", "./mine"]) == 2
    said = capsys.readouterr().out
    assert "gone: 1 fault" in said
    assert "my-recording: no faults" in said
