import shutil
from pathlib import Path

import pytest

from src.data.behaviour import ilic2022
from src.data.release import Release
from src.utils import BadInput
from tests.data.miniatures import ilic2022 as miniature
from tests.data.scored import assert_comes_back, assert_holds, scores

DATASETS = {d.name: d for d in ilic2022.DATASETS}
SPLITS = Path(__file__).resolve().parents[2] / "../shared/realdata/ilic2022/splits/ucf101"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("ilic2022")
    miniature.write(home / "data" / miniature.STUDY)
    return home


@pytest.fixture
def folder(home, tmp_path):
    """Copy that a test may damage."""
    shutil.copytree(home / "data" / miniature.STUDY, tmp_path / miniature.STUDY)
    shutil.rmtree(tmp_path / miniature.STUDY / "prepared", ignore_errors=True)
    return tmp_path / miniature.STUDY


def read(folder, name="ilic2022-ucf5", **options):
    return DATASETS[name].read(Release(name, folder, options))


@pytest.mark.parametrize("name", DATASETS)
def test_every_name_is_read_and_kept(home, name, tmp_path):
    record = read(home / "data" / miniature.STUDY, name)
    assert_holds(DATASETS[name], record, miniature.EXPECTED[name])
    assert_comes_back(record, tmp_path / name)
    assert record.notes == {
        "warm-up trials left out": 12,
        "trials without an answer left out": 6,
        "fitting films of shown groups": 0,
        "fitting films that cannot be read left out": "0",
    }
    assert {path.parts[-3] for path in record.stimuli.paths} == {ilic2022.FILMS[name]}
    assert all(need.found(home / "data" / miniature.STUDY) for need in DATASETS[name].needs)


def test_fitting_films_are_of_other_scenes_and_the_same_again(folder):
    record = read(folder)
    seen = {ilic2022.scene_of(identity) for identity in record.stimuli.ids}
    assert not seen & {ilic2022.scene_of(identity) for identity in record.fitting.stimuli.ids}
    for name in ilic2022.CLASSES:
        shutil.copy(folder / "ucf101" / name / f"v_{name}_g11_c02.avi", folder / "ucf101" / name / "v_more_g25_c01.avi")
    assert read(folder).fitting.stimuli.ids == record.fitting.stimuli.ids


def test_the_number_of_fitting_films_is_an_option(folder):
    record = read(folder, fitting="10")
    assert len(record.fitting.stimuli) == 50
    assert record.notes["fitting films of shown groups"] == 10
    with pytest.raises(BadInput, match=r"10 films of JumpingJack .* were not shown; expected at least 25"):
        read(folder, fitting="25")


def test_a_listed_film_that_is_missing_is_named(folder):
    gone = read(folder).fitting.stimuli.paths[0]
    gone.unlink()
    with pytest.raises(BadInput, match=rf"ilic2022-ucf5-fitting.csv lists JumpingJack/{gone.name}, which is not in "):
        read(folder)


def test_damaged_films_are_left_out_of_the_fitting_films_and_refused_among_the_shown(folder):
    broken = sorted((folder / "ucf101" / "Swing").glob("*_c02.avi"))[:3]
    for path in broken:
        path.write_bytes(path.read_bytes()[:300])
    record = read(folder)
    assert not set(broken) & set(record.fitting.stimuli.paths)
    assert record.notes["fitting films that cannot be read left out"].startswith("3 (v_Swing_g")
    shown = folder / "ucf101" / "Swing" / "v_Swing_g01_c01.avi"
    shown.write_bytes(b"")
    with pytest.raises(BadInput, match=r"the subjects saw cannot be read: 1 \(v_Swing_g01_c01.avi\)"):
        read(folder)


def test_films_of_noise_are_also_found_in_the_folder_of_the_task(folder):
    (folder.parent / "afd2022").mkdir()
    (folder / "afd101").rename(folder.parent / "afd2022" / "afd101")
    record = read(folder, "ilic2022-afd5")
    assert {path.parts[-4] for path in record.stimuli.paths} == {"afd2022"}


def test_missing_films_are_listed(folder):
    for path in sorted((folder / "ucf101").glob("*/*_c01.avi"))[:11]:
        path.unlink()
    with pytest.raises(BadInput, match=r"11 of 20 films are missing in .*JumpingJack/.*; run: .* fetch ilic2022-ucf5"):
        read(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",Swing,", ",Handstand,", r"user0.csv: 'Handstand' is no class; expected one of JumpingJack"),
        ("data/ucf5/Swing", "data/ucf5/Lunges", r"user0.csv: data/ucf5/Lunges/.* has GroundTruth Swing"),
        ("ucf5,1.0,0.0,1.0,user0,1", "ucf5,1.0,0.0,1.0,user0,2", r"user0.csv: Trainmode '2'; expected 0 or 1"),
        ("Trainmode", "Mode", r"user0.csv: no column Trainmode among .*; expected the trial program's file"),
    ],
)
def test_an_inconsistent_file_is_named(folder, old, new, message):
    path = folder / "response" / "2021-11-01" / "user0.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(BadInput, match=message):
        read(folder)


@pytest.mark.slow
def test_the_observers_layer_agrees_with_it(home):
    test, printed = scores("behaviour", DATASETS["ilic2022-afd5"], home)
    assert max(test, key=test.get) == "motion"
    assert test["motion"] > 0.3
    assert printed["notes"]["chance"] == 0.2


@pytest.mark.skipif(not SPLITS.is_dir(), reason="no real data beside the checkout")
def test_ucf101_has_the_five_classes_in_25_groups():
    files = [
        line.split()[0]
        for part in ("train", "test")
        for line in (SPLITS / f"{part}list01.txt").read_text().splitlines()
    ]
    assert len(files) == 13320
    for name in ilic2022.CLASSES:
        assert len({ilic2022.scene_of(file) for file in files if file.startswith(f"{name}/")}) == 25
