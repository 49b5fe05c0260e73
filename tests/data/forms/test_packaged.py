"""Stimulus sets and assemblies as Brain-Score packages them: scores, records, and each fault in one line."""

import re
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from src.cli import main
from tests.data.forms.printed import best, fault, load, score
from tests.data.own_folders import QUADRANTS, classes, films, images, write_table

NAME = "brainio:mine/stimulus_films.csv+mine/assy_films.nc"


def package(folder, n=6, repetitions=2, archive=False, **coords):
    """Write what `package_stimulus_set` and `write_netcdf` of Brain-Score write; return the brightness of the films.

    4 neuroids follow a quadrant each, 2 bins before the onset and 10 after it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / "stimulus_films"
    place.mkdir()
    brightness, rng = films(place, n, 10), np.random.default_rng(1)
    names = [f"film-{k}.mkv" for k in range(n)]
    table = {"stimulus_id": [f"film_{k}" for k in range(n)], "speed": rng.uniform(size=n), "filename": names}
    pd.DataFrame(table).to_csv(folder / "stimulus_films.csv", index=False)
    if archive:
        with zipfile.ZipFile(folder / "stimulus_films.zip", "w") as made:
            for name in names:
                made.write(place / name, arcname=name)
        shutil.rmtree(place)
    shown = np.repeat(np.arange(n), repetitions)
    signal = np.pad(brightness, [(0, 0), (2, 0), (0, 0)], constant_values=0.5)[shown]
    values = signal + rng.normal(0, 0.05, signal.shape)
    starts = 100 * np.arange(-2, 10)
    array = xr.DataArray(
        values.transpose(0, 2, 1),
        coords={
            "stimulus_id": ("presentation", np.array(table["stimulus_id"])[shown]),
            "repetition": ("presentation", np.tile(np.arange(repetitions), n)),
            "neuroid_id": ("neuroid", [f"n{k}" for k in range(4)]),
            "region": ("neuroid", ["V1", "V1", "IT", "IT"]),
            "animal": ("neuroid", ["a", "b", "a", "b"]),
            "time_bin_start": ("time_bin", starts),
            "time_bin_end": ("time_bin", starts + 100),
            **coords,
        },
        dims=("presentation", "neuroid", "time_bin"),
        attrs={"stimulus_set_identifier": "films", "identifier": "Author.films"},
    )
    write(array, folder)
    return brightness


def write(array, folder):
    """Write an array as Brain-Score does."""
    from brainscore_core.supported_data_standards.brainio.assemblies import DataAssembly
    from brainscore_core.supported_data_standards.brainio.packaging import write_netcdf

    write_netcdf(DataAssembly(array), folder / "assy_films.nc")


def read_again(folder):
    """Return the written array, without the encoding that ties coordinates to the file."""
    with xr.open_dataarray(folder / "assy_films.nc") as stored:
        array = stored.load()
    array.encoding.clear()
    for coordinate in array.coords.values():
        coordinate.encoding.clear()
    return array


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("brainio") / "mine"
    return folder, package(folder)


@pytest.fixture
def folder(written, tmp_path, monkeypatch):
    monkeypatch.setenv("DYNAMIC_VISION_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(written[0], tmp_path / "mine")


def test_a_packaged_recording_is_scored(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DYNAMIC_VISION_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    package(tmp_path / "private", n=24, archive=True)
    name = "brainio:private/stimulus_films.csv+private/assy_films.nc"
    printed = score("electrodes", name, capsys)
    layer, value = best(printed)
    assert layer == "colour"
    assert value > 0.9
    assert printed.startswith("fake-net on Author.films: ")
    assert "private" not in printed
    assert main(["data", "check", name]) == 0
    said = capsys.readouterr().out
    assert "2 bins before the onset are left out" in said
    assert "kind is electrodes" in said


def test_the_record_is_that_of_the_files(folder, written):
    record = load(NAME)
    assert record.values.shape == (6, 2, 10, 4)
    assert record.time_ms[0].tolist() == [0, 100]
    assert list(record.units["unit_id"]) == ["n0", "n1", "n2", "n3"]
    assert record.subjects == ("a+b",) * 2
    assert list(record.stimuli.table) == ["speed"]
    np.testing.assert_allclose(record.values.mean(axis=1), written[1], atol=0.2)
    of_it = load(f"{NAME}?region=IT&window=200-500ms")
    np.testing.assert_allclose(of_it.values[:, :, 0], record.values[:, :, 2:5, 2:].mean(axis=2), rtol=1e-5)
    assert of_it.time_ms.tolist() == [[200, 500]]


def test_an_older_package_with_an_archive_is_the_same(folder, tmp_path):
    expected = load(NAME)
    shown = expected.stimuli.digest
    with zipfile.ZipFile(folder / "stimulus_films.zip", "w") as made:
        for path in (folder / "stimulus_films").iterdir():
            made.write(path, arcname=path.name)
        made.writestr("../outside.mkv", "x")
    shutil.rmtree(folder / "stimulus_films")
    for name in ("stimulus_films.csv", "assy_films.nc"):
        content = folder / name
        if name.endswith(".csv"):
            content.write_text(content.read_text().replace("stimulus_id", "image_id"))
        else:
            read_again(folder).rename(stimulus_id="image_id").to_netcdf(content)
    found = load(NAME)
    assert found.digest == expected.digest
    assert found.stimuli.digest == shown
    assert not list(tmp_path.rglob("outside.mkv"))


def test_values_without_time_bins_and_voxels(folder):
    array = read_again(folder)
    mean = array.isel(time_bin=slice(2, None)).mean("time_bin").assign_coords(voxel_id=("neuroid", range(4)))
    mean.to_netcdf(folder / "assy_films.nc")
    record = load(f"{NAME}?window=0-1s")
    assert record.time_ms.tolist() == [[0, 1000]]
    assert main(["data", "check", f"{NAME}?window=0-1s"]) == 0
    assert main(["data", "check", f"{NAME}?window=0-1s&kind=electrodes"]) == 0


def test_choices_are_scored(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DYNAMIC_VISION_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    brightness, labels = classes(40)
    images(tmp_path / "mine", brightness)
    table = {"stimulus_id": range(40), "image_label": labels, "filename": [f"image-{k}.png" for k in range(40)]}
    write_table(tmp_path / "mine" / "stimulus_films.csv", table)
    rng = np.random.default_rng(2)
    shown = rng.integers(0, 40, 1200)
    odds = np.exp(4 * brightness[shown])
    choice = [QUADRANTS[rng.choice(4, p=row / row.sum())] for row in odds]
    coords = {"stimulus_id": ("presentation", shown), "subject": ("presentation", rng.integers(0, 3, 1200).astype(str))}
    write(xr.DataArray(choice, coords=coords, dims=("presentation",)), tmp_path / "mine")
    layer, value = best(score("behaviour", f"{NAME}?metric=I2n&name=choices", capsys))
    assert layer == "colour"
    assert value > 0.3


def edit(old, new, file="stimulus_films.csv"):
    def change(folder):
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1))

    return change


def edit_array(made):
    def change(folder):
        made(read_again(folder)).to_netcdf(folder / "assy_films.nc")

    return change


def half(folder):
    whole = (folder / "assy_films.nc").read_bytes()
    (folder / "assy_films.nc").write_bytes(whole[: len(whole) // 2])


def archive_of_text(folder):
    shutil.rmtree(folder / "stimulus_films")
    (folder / "stimuli.zip").write_bytes(b"x")


FAULTS = {
    "no table": (lambda f: (f / "stimulus_films.csv").unlink(), "", "stimulus_films.csv: there is no such file"),
    "no assembly": (lambda f: (f / "assy_films.nc").unlink(), "", "assy_films.nc: there is no such file"),
    "truncated": (half, "", "assy_films.nc: cannot be read"),
    "column": (edit("stimulus_id", "id"), "", "has no column stimulus_id, only id, speed, filename"),
    "files": (edit("filename", "name"), "", "has no column filename"),
    "repeated": (edit("film_1", "film_0"), "", "line 3: stimulus_id film_0 is in line 2 too"),
    "stranger": (edit("film_1", "film_9"), "", "1 presented stimuli are not in stimulus_films.csv: film_1"),
    "film": (lambda f: (f / "stimulus_films" / "film-2.mkv").unlink(), "", "line 4: there is no file film-2.mkv; put"),
    "damaged": (lambda f: (f / "stimulus_films" / "film-2.mkv").write_bytes(b"x"), "", "film-2.mkv: "),
    "presentations": (edit_array(lambda a: a.rename(presentation="trial")), "", "has the dimensions trial"),
    "ids": (edit_array(lambda a: a.drop_vars("stimulus_id")), "", "expected presentations with the coordinate"),
    "times": (edit_array(lambda a: a.drop_vars("time_bin_end")), "", "no time_bin_start and time_bin_end"),
    "no bins": (edit_array(lambda a: a.mean("time_bin")), "", "has no time bins; state the time .* window=70-170ms"),
    "before": (edit_array(lambda a: a.isel(time_bin=[0, 1])), "", "all time bins are before the onset"),
    "dimension": (edit_array(lambda a: a.rename(neuroid="voxel")), "", "has the dimensions presentation, .*voxel"),
    "region=": (None, "?region=V4", "has no region V4; its regions are IT, V1"),
    "window=": (None, "?window=0-2s", "bins from -200 to 1000 ms"),
    "kind=": (None, "?kind=task", "not those of task"),
    "kind": (None, "?kind=eeg", "kind=eeg; expected one of electrodes, fmri"),
    "archive": (archive_of_text, "?stimuli=stimuli.zip", "stimuli.zip: cannot be unpacked"),
    "stimuli=": (None, "?stimuli=gone", "stimuli=gone: there is no such file or folder"),
}


@pytest.mark.parametrize(("change", "options", "text"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_line(folder, capsys, change, options, text):
    if change is not None:
        change(folder)
    assert re.search(text, fault("electrodes", NAME + options, capsys, folder.parent / "home"))


@pytest.mark.parametrize("name", ["brainio:mine/stimulus_films.csv", "brainio:", "brainio:a.csv+b.nc+c.nc"])
def test_a_reference_has_two_files(folder, capsys, name):
    found = fault("electrodes", name, capsys, folder.parent / "home")
    assert "expected brainio:STIMULI.csv+ASSEMBLY.nc" in found


def test_a_changed_assembly_and_a_changed_table_are_noticed(folder, capsys):
    def scored():
        return score("electrodes", NAME, capsys, model="pixels")

    before = scored()
    assert scored() == before
    edit_array(lambda a: a.isel(neuroid=[0, 1]))(folder)
    changed = scored()
    assert changed != before
    edit("film-1.mkv", "film-0.mkv")(folder)
    assert best(scored()) != best(changed)
