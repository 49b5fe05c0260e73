import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from src.data.release import Release
from src.data.synthetic.files import write_image
from src.data.tasks import cueconflict
from src.utils import BadInput
from tests.data.miniatures import cueconflict as miniature
from tests.data.public_tasks import assert_counts, fetch_from_loopback

REAL = Path(__file__).resolve().parents[2] / "../shared/realdata/cueconflict/human_responses"
(DECLARED,) = cueconflict.DATASETS


def read(folder, **options):
    return cueconflict.read(Release("cueconflict", folder, options))


def unpack(folder, names):
    for name in names:
        path = folder / cueconflict.parse_name(name)["shape"] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, np.zeros((4, 4, 3), np.uint8))


def test_names_of_images_and_of_trials_are_read():
    expected = {"stimulus_id": "bird3-cat12", "shape": "bird", "texture": "cat", "content": "bird3", "style": "cat12"}
    assert cueconflict.parse_name("bird3-cat12.png") == expected
    assert cueconflict.parse_name("0001_s5n_s01_0_bird_00_bird3-cat12.png") == expected


@pytest.mark.parametrize("name", ["bird3.png", "bird3-cat2.jpg", "fish3-cat2.png", "bird-cat.png"])
def test_other_names_are_refused(name):
    with pytest.raises(BadInput, match="is no cue-conflict image"):
        cueconflict.parse_name(name)


@pytest.mark.parametrize("release", cueconflict.RELEASES)
def test_images_are_found_in_either_release(tmp_path, release):
    names = ["bird3-cat2.png", "bird3-dog1.png", "cat1-bird2.png", "cat1-cat2.png", "dog10-oven1.png"]
    unpack(tmp_path / release, names)
    labels = read(tmp_path)
    assert labels.stimuli.ids == tuple(name[:-4] for name in sorted(names))
    assert list(labels.values[:, 0]) == ["bird", "bird", "cat", "cat", "dog"]
    assert list(labels.groups) == ["bird3", "bird3", "cat1", "cat1", "dog10"]
    assert list(labels.stimuli.table["texture"]) == ["cat", "dog", "bird", "cat", "oven"]


def test_a_missing_or_empty_release_is_named(tmp_path):
    missing = r"0 files match cue-conflict/\*/\*.png .*run: dynamic-vision data fetch cueconflict"
    with pytest.raises(BadInput, match=missing):
        read(tmp_path)
    (tmp_path / "cue-conflict").mkdir()
    with pytest.raises(BadInput, match=missing):
        read(tmp_path)


def test_images_without_conflict_can_be_left_out(tmp_path):
    unpack(tmp_path / "cue-conflict", ["bird3-cat2.png", "bird3-bird1.png", "cat1-bird2.png"])
    assert len(read(tmp_path).stimuli) == 3
    record = read(tmp_path, images="conflicts")
    assert record.stimuli.ids == ("bird3-cat2", "cat1-bird2")
    assert record.notes == {"images without conflict, left out": 1}


def test_an_image_in_the_folder_of_another_shape_is_named(tmp_path):
    unpack(tmp_path / "cue-conflict", ["bird3-cat2.png", "cat1-bird2.png"])
    moved = tmp_path / "cue-conflict" / "cat" / "bird3-cat2.png"
    (tmp_path / "cue-conflict" / "bird" / "bird3-cat2.png").rename(moved)
    with pytest.raises(BadInput, match=r"1 images are in the folder of another shape, first .*cat/bird3-cat2.png"):
        read(tmp_path)


def test_the_archive_is_fetched_and_unpacked(tmp_path):
    miniature.write(tmp_path / "published")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(tmp_path / "published" / "cue-conflict", "cue-conflict")
    declared = replace(DECLARED, needs=(replace(DECLARED.needs[0], count=180),))
    assert fetch_from_loopback(declared, {"cue-conflict.tar.gz": packed.getvalue()}, tmp_path / "here") == []
    record = read(tmp_path / "here")
    assert_counts(record, miniature.EXPECTED["cueconflict"])
    assert len(set(record.groups)) == 30


def test_an_unknown_image_is_named(tmp_path):
    unpack(tmp_path / "cue-conflict", ["bird3-cat2.png", "cat1-bird2.png"])
    write_image(tmp_path / "cue-conflict" / "cat" / "copy.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(BadInput, match=r"'copy.png' is no cue-conflict image"):
        read(tmp_path)


def test_bias_counts_conflicts_only():
    trials = {
        "truth": np.array(["cat", "cat", "cat", "cat", "dog"]),
        "texture": np.array(["cat", "dog", "dog", "dog", "cat"]),
        "choice": np.array(["cat", "cat", "dog", "na", "dog"]),
    }
    assert cueconflict.shape_bias(trials) == 2 / 3
    assert cueconflict.shape_accuracy(trials) == 3 / 5


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared human trials are not available")
def test_the_real_trials_give_the_known_figures():
    trials = cueconflict.read_trials(sorted(REAL.glob("*.csv")))
    assert len(trials["choice"]) == 12_800
    assert len(set(trials["subject"])) == 10
    assert len(set(trials["stimulus_id"])) == DECLARED.expected["stimuli"] == DECLARED.needs[0].count
    assert set(trials["truth"]) == set(trials["texture"]) == set(cueconflict.CLASSES)
    assert set(trials["choice"]) == {*cueconflict.CLASSES, cueconflict.NO_ANSWER}
    assert all(i.startswith(t) for i, t in zip(trials["stimulus_id"], trials["truth"], strict=True))
    conflict = trials["truth"] != trials["texture"]
    assert conflict.sum() == 12_000
    assert np.sum(conflict & (trials["choice"] == trials["truth"])) == 9236
    assert np.sum(conflict & (trials["choice"] == trials["texture"])) == 398
    assert cueconflict.shape_bias(trials) == pytest.approx(0.9587, abs=5e-5)
    assert cueconflict.shape_accuracy(trials) == pytest.approx(0.7755, abs=5e-5)
