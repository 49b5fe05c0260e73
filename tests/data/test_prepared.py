import json
from dataclasses import replace

import numpy as np
import pytest

import src.data as data
from src.cli import run_command
from src.config import Config
from src.data import prepared
from src.data.checking import check
from src.data.declare import Fmri
from src.data.films import write_lossless
from src.data.release import ByHand, Need
from src.records import Responses, Stimuli
from src.utils import BadInput, regular_bins

TERMS = dict.fromkeys(("citation", "licence", "access", "source"), "x")
NEEDS = (
    Need("the film", "film.mkv", ByHand("ask the authors", 0.5), 1),
    Need("recordings", "sub-*.npy", ByHand("ask the authors", 1.5), 2),
    Need("an extra", "extra.txt", ByHand("-"), optional=True),
)


def read(release):
    film = release.file("film.mkv")
    parts = []
    for path in release.files("sub-*.npy", at_least=2):
        values = np.load(path)
        parts.append(release.part(path.stem, [path], lambda values=values: values * 2))
        release.progress(len(parts), 2, path.stem)
    stimuli = Stimuli("toy", ("film",), (film,), np.array([800.0]), ("video",), start_ms=np.array([200.0]))
    values = np.stack(parts)[None]
    units = {"unit_id": [str(i) for i in range(3)], "region": ["a", "a", "b"], "vertex": [0, 1, 2]}
    notes = {"subjects left out": "none", "cleaning": release.options["cleaning"], "count": 2}
    return Responses(stimuli, values, regular_bins(800, 200), units, ("sub-1", "sub-2"), notes)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Registered public dataset of two subjects and a film."""
    declared = Fmri(
        name="toy",
        study="toy-study",
        read=read,
        needs=NEEDS,
        options={"cleaning": ("none", "hard")},
        expected={"stimuli": 1, "subjects": 2, "bins": 4, "units": 3},
        **TERMS,
    )
    monkeypatch.setitem(data.FMRI, "toy", declared)
    monkeypatch.setenv("DATA_HOME", str(tmp_path))
    return declared


def put_release(home, scale=1.0):
    folder = home / "toy-study"
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    write_lossless(folder / "film.mkv", rng.integers(0, 255, (30, 16, 16, 3), dtype=np.uint8), 25)
    for i in (1, 2):
        np.save(folder / f"sub-{i}.npy", (scale * rng.standard_normal((4, 3))).astype(np.float32))
    return folder


def config(home):
    return Config(home, home, home, home, 1)


def test_the_prepared_record_is_the_one_that_was_read(toy, tmp_path):
    folder = put_release(tmp_path)
    assert prepared.prepare(toy, folder, {"cleaning": "hard"})
    back = data.load("toy", config(tmp_path))
    np.testing.assert_array_equal(back.values[0, 0], np.load(folder / "sub-1.npy") * 2)
    assert back.stimuli.piece_ms(0) == (200.0, 800.0)
    assert back.stimuli.paths == (folder / "film.mkv",)
    assert (back.subjects, list(back.units["region"])) == (("sub-1", "sub-2"), ["a", "a", "b"])
    assert back.notes == {"subjects left out": "none", "cleaning": "hard", "count": 2}
    assert not list((folder / "prepared").glob(".*-parts"))
    (stated,) = data.files("toy", config(tmp_path))
    assert json.loads(stated.read_text())["options"] == {"cleaning": "hard"}


def test_a_release_is_prepared_on_first_use_and_once(toy, tmp_path, caplog):
    put_release(tmp_path)
    data.load("toy", config(tmp_path))
    assert "preparing toy" in caplog.text
    caplog.clear()
    data.load("toy", config(tmp_path))
    assert not caplog.text
    assert not prepared.prepare(toy, tmp_path / "toy-study", {})
    assert prepared.prepare(toy, tmp_path / "toy-study", {"cleaning": "hard"})


def test_a_release_that_gained_files_is_reported(toy, tmp_path, caplog):
    folder = put_release(tmp_path)
    data.load("toy", config(tmp_path))
    np.save(folder / "sub-3.npy", np.ones((4, 3), np.float32))
    data.load("toy", config(tmp_path))
    assert "has changed since it was prepared; run: dynamic-vision data prepare toy" in caplog.text


def test_an_interrupted_preparation_resumes_with_its_finished_parts(toy, tmp_path):
    folder = put_release(tmp_path)
    made = []

    def dying(release):
        for path in release.files("sub-*.npy"):
            release.part(path.stem, [path], lambda path=path: made.append(path.stem) or np.load(path))
            if len(made) == 1:
                raise KeyboardInterrupt
        return read(replace(release))

    with pytest.raises(KeyboardInterrupt):
        prepared.prepare(replace(toy, read=dying), folder, {})
    with pytest.raises(KeyboardInterrupt):
        prepared.prepare(replace(toy, read=dying), folder, {})
    assert made == ["sub-1"]
    assert not prepared.stated(toy, folder)


def test_missing_files_are_counted_and_the_command_named(toy, tmp_path):
    folder = put_release(tmp_path)
    (folder / "film.mkv").unlink()
    with pytest.raises(
        BadInput, match=r"toy: 1 of 1 files are missing in .*: film.mkv; run: dynamic-vision data fetch toy"
    ):
        data.load("toy", config(tmp_path))
    with pytest.raises(BadInput, match=r"toy is not in .*; run: dynamic-vision data fetch toy"):
        data.load("toy", config(tmp_path / "elsewhere"))
    assert not (tmp_path / "elsewhere").exists()


def test_unknown_options_are_refused(toy, tmp_path):
    folder = put_release(tmp_path)
    with pytest.raises(BadInput, match="toy: cleaning 'soft'; expected one of none, hard"):
        prepared.prepare(toy, folder, {"cleaning": "soft"})
    with pytest.raises(BadInput, match="toy has no option 'colour'; it has: cleaning"):
        prepared.prepare(toy, folder, {"colour": "x"})


def test_check_finds_the_faults(toy, tmp_path):
    folder = put_release(tmp_path)
    record = data.load("toy", config(tmp_path))
    assert all(finding.fine for finding in check(toy, record))
    doubled = replace(record, values=np.repeat(record.values[:, :1], 2, axis=1))
    wrong = {f.what: f.found for f in check(toy, doubled, {"subjects": 3}) if not f.fine}
    assert wrong == {"subjects": "2", "repetitions with equal values": "2"}
    (folder / "film.mkv").write_bytes(b"no film")
    broken = next(f for f in check(toy, record) if "cannot be read" in f.what)
    assert not broken.fine
    assert "film" in broken.found


def test_the_command_names_the_next_step_until_the_data_are_ready(toy, tmp_path, capsys):
    def row():
        assert run_command("data", ["list"]) == 0
        return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("toy "))

    assert "not here" in row()
    assert "2 GB" in row() or "500 MB" in row()
    assert run_command("data", ["fetch", "toy", "--quiet"]) == 2
    assert "toy: still missing: the film: 0 of 1 files here" in capsys.readouterr().out
    put_release(tmp_path)
    assert "dynamic-vision data prepare toy" in row()
    assert run_command("data", ["prepare", "toy", "--cleaning", "hard", "--quiet"]) == 0
    assert "prepared in" in capsys.readouterr().out
    assert "ready" in row()
    assert run_command("data", ["check", "toy", "--quiet"]) == 0
    assert "toy: all checks pass" in capsys.readouterr().out
    assert run_command("data", ["list", "toy"]) == 0
    assert "by hand: ask the authors, 500 MB" in capsys.readouterr().out
    assert run_command("data", ["check", "toi"]) == 2
    assert "did you mean toy" in capsys.readouterr().err
