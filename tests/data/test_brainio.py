import json
from pathlib import Path

import numpy as np
import pytest
from brainscore_core.supported_data_standards.brainio.assemblies import (
    BehavioralAssembly,
    DataAssembly,
    NeuroidAssembly,
)
from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
from brainscore_vision.benchmark_helpers.neural_common import average_repetition
from brainscore_vision.metrics.i1i2.metric import I2n

from src.data import brainio
from src.data.synthetic.files import write_film, write_image
from src.records import Choices, Labels, Responses, Stimuli
from src.utils import BadInput, regular_bins


def make_stimuli(folder, n=4, name="things"):
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:03d}.png" for i in range(n)]
    for i, path in enumerate(paths):
        write_image(path, np.full((8, 8, 3), 10 * i, np.uint8))
    table = {"object": [f"object-{i % 2}" for i in range(n)], "size": [0.5 * i for i in range(n)]}
    return Stimuli(name, tuple(f"{i:03d}" for i in range(n)), tuple(paths), np.full(n, 300.0), ("image",) * n, table)


def make_responses(folder, subjects=("a", "a", "b")):
    stimuli = make_stimuli(folder)
    rng = np.random.default_rng(0)
    values = rng.standard_normal((4, len(subjects), 6, 5)).astype(np.float32)
    values[1, 2] = np.nan
    units = {"unit_id": np.array(list("vwxyz")), "region": np.array(["V1"] * 3 + ["V2"] * 2), "noise": np.arange(5.0)}
    return Responses(stimuli, values, regular_bins(300, 50), units, subjects)


def make_labels(folder, values=None):
    stimuli = make_stimuli(folder, 6, "fitting")
    classes = np.array(["cat", "dog", "owl"] * 2)[:, None] if values is None else values
    return Labels(stimuli, classes, ("animal",), strata=np.array(list("uuuvvv")), groups=np.arange(6) // 2)


def make_choices(folder, fitting=None, n_trials=900):
    stimuli = make_stimuli(folder, 6, "shown")
    rng, classes = np.random.default_rng(1), np.array(["cat", "dog", "owl"])
    image = rng.integers(0, 6, n_trials)
    truth = image % 3
    distractor = (truth + rng.integers(1, 3, n_trials)) % 3
    right = rng.random(n_trials) < 0.5 + 0.08 * image
    trials = {
        "stimulus_id": np.array(stimuli.ids)[image],
        "truth": classes[truth],
        "distractor": classes[distractor],
        "choice": classes[np.where(right, truth, distractor)],
        "subject": np.array(["p1", "p2"])[np.arange(n_trials) % 2],
    }
    return Choices(stimuli, trials, tuple(classes.tolist()), fitting)


def assert_same(a, b):
    assert type(a) is type(b)
    assert a.digest == b.digest
    assert a.stimuli.digest == b.stimuli.digest
    assert (a.stimuli.name, a.stimuli.ids, a.stimuli.paths) == (b.stimuli.name, b.stimuli.ids, b.stimuli.paths)
    np.testing.assert_array_equal(a.stimuli.duration_ms, b.stimuli.duration_ms)
    assert {k: list(v) for k, v in a.stimuli.table.items()} == {k: list(v) for k, v in b.stimuli.table.items()}


@pytest.fixture(params=["responses", "labels", "regression", "choices", "choices with fitting"])
def record(request, tmp_path):
    films = tmp_path / "films"
    return {
        "responses": lambda: make_responses(films),
        "labels": lambda: make_labels(films),
        "regression": lambda: make_labels(films, np.random.default_rng(2).standard_normal((6, 1))),
        "choices": lambda: make_choices(films),
        "choices with fitting": lambda: make_choices(films, make_labels(tmp_path / "fitting")),
    }[request.param]()


def test_a_record_is_converted_and_back_in_memory(record):
    assembly = brainio.to_assembly(record)
    fitting = getattr(record, "fitting", None)
    assert_same(brainio.from_assembly(assembly, assembly.attrs["stimulus_set"], fitting=fitting), record)


def test_a_record_is_written_and_read_back(record, tmp_path):
    folder = brainio.write(record, tmp_path / "prepared" / "study", {"made_from": "ds000001"})
    found = brainio.read(folder)
    assert_same(found, record)
    if getattr(record, "fitting", None) is not None:
        assert_same(found.fitting, record.fitting)
    stated = json.loads((folder / "provenance.json").read_text())
    assert stated["made_from"] == "ds000001"
    assert stated["record_digest"] == record.digest
    brainio.write(record, folder)
    assert_same(brainio.read(folder), record)
    assert [path.name for path in folder.parent.iterdir()] == ["study"]


def test_units_and_subjects_are_read_back(tmp_path):
    record = make_responses(tmp_path / "films")
    found = brainio.read(brainio.write(record, tmp_path / "study"))
    np.testing.assert_array_equal(found.values, record.values)
    assert found.subjects == record.subjects
    assert {k: list(v) for k, v in found.units.items()} == {k: list(v) for k, v in record.units.items()}


def test_a_prepared_folder_can_move_with_its_films(tmp_path):
    record = make_responses(tmp_path / "home" / "films")
    content = record.stimuli.digest
    brainio.write(record, tmp_path / "home" / "study")
    (tmp_path / "home").rename(tmp_path / "moved")
    found = brainio.read(tmp_path / "moved" / "study")
    assert found.stimuli.digest == content
    assert found.stimuli.paths[0] == tmp_path / "moved" / "films" / "000.png"


def test_a_damaged_or_missing_folder_is_named(tmp_path):
    folder = brainio.write(make_responses(tmp_path / "films"), tmp_path / "study")
    table = folder / "stimuli.csv"
    table.write_text(table.read_text() + " ")
    with pytest.raises(BadInput, match=r"stimuli.csv is not the file that was written .*prepare it again"):
        brainio.read(folder)
    (folder / "assembly.nc").unlink()
    with pytest.raises(BadInput, match="holds no prepared dataset"):
        brainio.read(folder)
    with pytest.raises(BadInput, match="holds no prepared dataset"):
        brainio.read(tmp_path / "nowhere")


def test_a_failed_write_keeps_the_previous_folder(tmp_path, monkeypatch):
    record = make_responses(tmp_path / "films")
    folder = brainio.write(record, tmp_path / "study")
    monkeypatch.setattr("src.data.brainio.files.file_digest", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        brainio.write(record, folder)
    monkeypatch.undo()
    assert_same(brainio.read(folder), record)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["films", "study"]


def test_brain_score_averages_repetitions(tmp_path):
    record = make_responses(tmp_path / "films", subjects=("animal",) * 3)
    assembly = brainio.to_assembly(record)
    assert isinstance(assembly, NeuroidAssembly)
    assembly.validate()
    averaged = average_repetition(assembly).transpose("presentation", "time_bin", "neuroid")
    order = [list(averaged["stimulus_id"].values).index(i) for i in record.stimuli.ids]
    np.testing.assert_allclose(averaged.values[order], np.nanmean(record.values, axis=1), rtol=1e-5)
    assert averaged.attrs["stimulus_set_identifier"] == "things"


def test_brain_score_groups_by_stimulus_over_subjects(tmp_path):
    record = make_responses(tmp_path / "films")
    means = brainio.to_assembly(record).groupby("stimulus_id").mean("presentation")
    expected = np.nanmean(record.values, axis=1).swapaxes(1, 2)
    np.testing.assert_allclose(means.transpose("stimulus_id", "neuroid", "time_bin").values, expected, rtol=1e-5)


def test_brain_score_reads_the_files(tmp_path):
    record = make_responses(tmp_path / "films")
    folder = brainio.write(record, tmp_path / "study")
    stimulus_set = brainio.to_stimulus_set(record.stimuli)
    assembly = NeuroidAssembly.from_files(
        folder / "assembly.nc", stimulus_set_identifier="things", stimulus_set=stimulus_set
    )
    assert assembly.dims == ("presentation", "neuroid", "time_bin")
    assert set(assembly["object"].values) == {"object-0", "object-1"}
    assert_same(brainio.from_assembly(assembly, stimulus_set, name="things"), record)


@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")
def test_brain_scores_i2n_takes_the_trials(tmp_path):
    record = make_choices(tmp_path / "films")
    assembly = brainio.to_assembly(record)
    assert isinstance(assembly, BehavioralAssembly)
    values = np.random.default_rng(3).dirichlet(np.ones(3), 6)
    probabilities = BehavioralAssembly(
        values,
        coords={
            "stimulus_id": ("presentation", np.array(record.stimuli.ids)),
            "number": ("presentation", np.arange(6)),
            "choice": ("choice", np.array(record.classes)),
        },
        dims=["presentation", "choice"],
    )
    score = float(I2n()(probabilities, assembly))
    assert -1 <= score <= 1
    assert float(I2n().ceiling(assembly)) > 0.2


def brain_score_neural(folder):
    """Return an assembly as in Brain-Score: image_id, (neuroid, presentation, time_bin), shuffled presentations."""
    stimuli = make_stimuli(folder)
    stimulus_set = StimulusSet({"image_id": stimuli.ids, "stimulus_id": stimuli.ids, "object_name": list("abab")})
    stimulus_set.stimulus_paths = dict(zip(stimuli.ids, stimuli.paths, strict=True))
    stimulus_set.identifier = "dicarlo.things"
    rng = np.random.default_rng(4)
    values, order = rng.standard_normal((3, 8, 2)), rng.permutation(8)
    assembly = NeuroidAssembly(
        values[:, order],
        coords={
            "stimulus_id": ("presentation", np.repeat(stimuli.ids, 2)[order]),
            "repetition": ("presentation", np.tile([7, 9], 4)[order]),
            "neuroid_id": ("neuroid", ["n1", "n2", "n3"]),
            "animal": ("neuroid", ["Tito", "Tito", "Chabo"]),
            "time_bin_start": ("time_bin", [100, 70]),
            "time_bin_end": ("time_bin", [130, 100]),
        },
        dims=["neuroid", "presentation", "time_bin"],
    )
    return assembly, stimulus_set, values


def test_brain_score_recordings_are_read(tmp_path):
    assembly, stimulus_set, values = brain_score_neural(tmp_path / "films")
    record = brainio.from_assembly(assembly, stimulus_set)
    np.testing.assert_allclose(record.values, values.reshape(3, 4, 2, 2)[..., ::-1].transpose(1, 2, 3, 0), rtol=1e-6)
    np.testing.assert_array_equal(record.time_ms, [[70, 100], [100, 130]])
    assert record.stimuli.name == "dicarlo.things"
    assert list(record.units["animal"]) == ["Tito", "Tito", "Chabo"]
    assert record.subjects == ("subject-1", "subject-1")
    np.testing.assert_array_equal(record.stimuli.duration_ms, 130)
    assert set(record.stimuli.kind) == {"image"}


def test_repetitions_without_numbers_are_counted(tmp_path):
    record = make_responses(tmp_path / "films", subjects=("animal",) * 3)
    assembly = brainio.to_assembly(record)
    plain = DataAssembly(
        assembly.values,
        coords={
            "stimulus_id": ("presentation", assembly["stimulus_id"].values),
            "trial": ("presentation", np.arange(12)),
            "neuroid_id": ("neuroid", assembly["neuroid_id"].values),
            "region": ("neuroid", assembly["region"].values),
            "time_bin_start": ("time_bin", assembly["time_bin_start"].values),
            "time_bin_end": ("time_bin", assembly["time_bin_end"].values),
        },
        dims=assembly.dims,
    )
    found = brainio.from_assembly(plain, brainio.to_stimulus_set(record.stimuli))
    np.testing.assert_array_equal(found.values, record.values)


def test_the_length_of_a_film_comes_from_its_file(tmp_path):
    path = tmp_path / "film.mp4"
    write_film(path, np.zeros((30, 64, 64, 3), np.uint8))
    stimulus_set = StimulusSet({"stimulus_id": ["film"]})
    stimulus_set.stimulus_paths = {"film": path}
    stimuli = brainio.from_stimulus_set(stimulus_set, shown_ms=1.0, name="films")
    assert stimuli.kind == ("video",)
    np.testing.assert_allclose(stimuli.duration_ms, 1200)


def test_a_presentation_without_stimulus_is_named(tmp_path):
    record = make_responses(tmp_path / "films")
    fewer = brainio.to_stimulus_set(record.stimuli).iloc[1:]
    with pytest.raises(BadInput, match=r"1 presented stimuli are not in the stimulus set \(000\)"):
        brainio.from_assembly(brainio.to_assembly(record), fewer, name="things")


def test_a_unit_column_may_not_hide_a_coordinate(tmp_path):
    record = make_responses(tmp_path / "films")
    units = {**record.units, "subject": list("aabbb")}
    clash = Responses(record.stimuli, record.values, record.time_ms, units, record.subjects)
    with pytest.raises(BadInput, match="unit column 'subject'"):
        brainio.to_assembly(clash)


def test_only_this_package_imports_xarray():
    src = Path(__file__).resolve().parents[2] / "src" / "data"
    elsewhere = [p for p in src.rglob("*.py") if "brainio" not in p.parts and "import xarray" in p.read_text()]
    assert not elsewhere
