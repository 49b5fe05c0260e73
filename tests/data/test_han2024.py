import csv
import shutil
from collections import Counter
from pathlib import Path

import pytest

from src.data.behaviour import han2024
from src.data.release import Release
from src.utils import BadInput
from src.video import probe
from tests.data.miniatures import han2024 as miniature
from tests.data.scored import assert_comes_back, assert_holds, scores

DATASETS = {d.name: d for d in han2024.DATASETS}
PROTOCOLS = Path(__file__).resolve().parents[2] / "../shared/realdata/han2024/protocols"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("han2024")
    miniature.write(home / "data" / miniature.STUDY)
    return home


@pytest.fixture
def release(home, tmp_path):
    """Copy that a test may damage."""
    shutil.copytree(home / "data" / miniature.STUDY, tmp_path / miniature.STUDY)
    return Release("han2024-RGB", tmp_path / miniature.STUDY)


def edit(release, change):
    path = release.folder / han2024.TRIALS
    with open(path, newline="", encoding="utf-8-sig") as handle:
        rows = list(csv.DictReader(handle))
    with open(path, "w", newline="", encoding="utf-8-sig") as handle:
        writer = csv.DictWriter(handle, han2024.COLUMNS)
        writer.writeheader()
        writer.writerows(change(k, row) for k, row in enumerate(rows))


@pytest.mark.parametrize("name", DATASETS)
def test_every_condition_is_read_and_kept(home, name, tmp_path):
    declared = DATASETS[name]
    record = declared.read(Release(name, home / "data" / miniature.STUDY))
    assert_holds(DATASETS[name], record, miniature.EXPECTED[name])
    assert_comes_back(record, tmp_path / name)
    assert record.notes == {
        "trials without an answer left out": 2,
        "fitting films of shown recordings left out": 0,
        "fitting films that cannot be read left out": "0",
    }
    assert not set(record.stimuli.ids) & set(record.fitting.stimuli.ids)
    assert all(need.found(home / "data" / miniature.STUDY) for need in declared.needs)
    assert Counter(record.fitting.values[:, 0]) == dict.fromkeys(han2024.ACTIONS, 6)


def test_an_answer_may_be_an_action_that_its_condition_does_not_show(release):
    edit(release, lambda k, row: row | {"Human Response": "arm circles" if k == 5 else row["Human Response"]})
    edit(release, lambda k, row: row | ({"BMP Condition": "RGB-R"} if "A097" in row["Video Path"] else {}))
    record = han2024.read(release, "RGB")
    assert "A097" not in set(record.trials["truth"])
    assert "A097" in set(record.trials["choice"])


def test_names_in_the_csv_precede_the_list_of_ntu(release):
    assert han2024.codes(han2024.read_rows(release.folder / han2024.TRIALS))["falling"] == "A043"


def test_names_of_other_conditions_are_ignored(release):
    backwards = {"Sit down": "Stand up", "Stand up": "Sit down"}

    def renamed(_, row):
        name = row["Ground Truth"]
        return row | ({"Ground Truth": backwards.get(name, name)} if row["BMP Condition"] == "RGB-R" else {})

    edit(release, renamed)
    assert len(han2024.read(release, "RGB").trials["truth"]) == 238


def test_an_unknown_answer_is_named(release):
    edit(release, lambda k, row: row | ({"Human Response": "moonwalk"} if k == 3 else {}))
    with pytest.raises(BadInput, match=r"1 answers in qualified_human_data.csv name no known action, first 'moonwalk'"):
        han2024.read(release, "RGB")


def test_a_name_with_two_codes_is_refused(release):
    edit(release, lambda k, row: row | ({"Ground Truth": "Throw"} if k == 0 else {}))
    with pytest.raises(BadInput, match=r"'Throw' has code A006 and, in .*A007.*code A007; expected one code per name"):
        han2024.read(release, "RGB")


def test_films_in_folders_by_action_are_found(release):
    plain = han2024.read(release, "RGB")
    for folder in (release.folder / han2024.SHOWN / "RGB", release.folder / han2024.FITTING / "RGB"):
        for path in sorted(folder.iterdir()):
            place = folder / han2024.code_of(path.name)
            place.mkdir(exist_ok=True)
            path.rename(place / path.name)
    nested = han2024.read(release, "RGB")
    assert nested.stimuli.ids == plain.stimuli.ids
    assert all(path.parent.name in han2024.ACTIONS for path in nested.stimuli.paths)
    assert sorted(nested.fitting.stimuli.ids) == sorted(plain.fitting.stimuli.ids)
    edit(release, lambda k, row: row | {"Video Path": f"{han2024.code_of(row['Video Path'])}/{row['Video Path']}"})
    assert set(han2024.read(release, "RGB").stimuli.paths) == set(nested.stimuli.paths)
    assert all(not need.missing(release.folder) for need in DATASETS["han2024-RGB"].needs)
    twin = next((release.folder / han2024.FITTING / "RGB").rglob("*.mp4"))
    shutil.copy(twin, twin.parents[1])
    with pytest.raises(BadInput, match=rf"two films of bmp_dataset_fitting_mp4/RGB are called {twin.name}"):
        han2024.read(release, "RGB")


def test_missing_films_are_listed(release):
    for path in sorted((release.folder / han2024.SHOWN / "RGB").iterdir())[:12]:
        path.unlink()
    with pytest.raises(
        BadInput, match=r"12 of 30 files are missing .*A006_rgb.mp4.* and 2 more; run: .* fetch han2024-RGB"
    ):
        han2024.read(release, "RGB")


def test_fitting_films_of_shown_recordings_are_left_out(release):
    shown = sorted((release.folder / han2024.SHOWN / "RGB").iterdir())
    shutil.copy(shown[0], release.folder / han2024.FITTING / "RGB")
    record = han2024.read(release, "RGB")
    assert len(record.fitting.stimuli) == 60
    assert record.notes["fitting films of shown recordings left out"] == 1


def test_damaged_films_are_left_out_of_the_fitting_films_and_refused_among_the_shown(release):
    fitting = sorted((release.folder / han2024.FITTING / "RGB").iterdir())
    fitting[0].write_bytes(b"nothing")
    record = han2024.read(release, "RGB")
    assert record.notes["fitting films that cannot be read left out"] == f"1 ({fitting[0].name})"
    assert len(record.fitting.stimuli) == 59
    shown = sorted((release.folder / han2024.SHOWN / "RGB").iterdir())
    shown[4].write_bytes(b"")
    with pytest.raises(BadInput, match=rf"the subjects saw cannot be read: 1 \({shown[4].name}\)"):
        han2024.read(release, "RGB")
    shutil.rmtree(release.folder / han2024.FITTING / "RGB")
    shutil.copytree(release.folder / han2024.SHOWN / "RGB-S", release.folder / han2024.FITTING / "RGB")
    shutil.copy(shown[0], shown[4])
    with pytest.raises(
        BadInput, match=r"none of 30 films of bmp_dataset_fitting_mp4/RGB can be read and was not shown"
    ):
        han2024.read(release, "RGB")


def test_a_csv_of_another_form_and_a_film_without_action_are_refused(release):
    (release.folder / han2024.TRIALS).write_text("ID,Video Path\n")
    with pytest.raises(BadInput, match="no column BMP Condition, Ground Truth, Human Response among ID, Video Path"):
        han2024.read(release, "RGB")
    with pytest.raises(BadInput, match=r"'S001_A099.mp4' names no action; expected one of A006"):
        han2024.code_of("S001_A099.mp4")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["han2024-RGB", "han2024-J-6P-S"])
def test_the_observers_layer_agrees_with_it(home, name):
    test, printed = scores("behaviour", DATASETS[name], home)
    assert max(test, key=test.get) == "motion"
    assert test["motion"] > 0.3
    assert printed["notes"]["chance"] == 0.1


@pytest.mark.skipif(not PROTOCOLS.is_dir(), reason="no real data beside the checkout")
def test_the_sample_of_moving_points_is_a_film():
    info = probe(PROTOCOLS.parent / "samples" / "J-6P.gif")
    assert info.n_frames > 10
    assert info.duration_ms > 500


@pytest.mark.skipif(not PROTOCOLS.is_dir(), reason="no real data beside the checkout")
def test_the_protocols_name_the_ten_actions_in_the_tables_order():
    rows = {path.stem: path.read_text().split() for path in sorted(PROTOCOLS.glob("*.csv"))}
    assert {name: len(lines) for name, lines in rows.items()} == {
        "train_RGB": 6644,
        "test_RGB": 2848,
        "test_6JOINTS_viewpoint_0": 963,
        "test_6JOINTS_viewpoint_45": 929,
        "test_6JOINTS_viewpoint_90": 956,
    }
    for line in (line for lines in rows.values() for line in lines):
        file, label = line.split(",")
        assert list(han2024.ACTIONS)[int(label)] == han2024.code_of(file) == file.split("/")[0]
    train, test = ({han2024.recording_of(line) for line in rows[f"{part}_RGB"]} for part in ("train", "test"))
    assert not train & test
    views = {han2024.recording_of(line) for name, lines in rows.items() if "JOINTS" in name for line in lines}
    assert views == test
