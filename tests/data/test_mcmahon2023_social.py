import shutil
from pathlib import Path

import numpy as np
import pytest

from src.data.release import Release
from src.data.tasks import mcmahon2023_social as social
from src.utils import BadInput
from tests.data.public_tasks import fetch_from_loopback

REAL = Path(__file__).resolve().parents[2] / "../shared/realdata/mcmahon2023"
(DECLARED,) = social.DATASETS
RATINGS = "video_name,joint_action, Communication,setting\nb.mp4,2,0.5,in\na,1,0.25,out\nc.mp4,3,1,in\n"


def put(folder, ratings=RATINGS, train="a.mp4\nb.mp4", test="c.mp4"):
    (folder / "dyad_videos_3000ms").mkdir(parents=True)
    for name in "abcd":
        (folder / "dyad_videos_3000ms" / f"{name}.mp4").write_bytes(b"film")
    (folder / "annotations.csv").write_text(ratings)
    (folder / "train.csv").write_text(f"video_name\n{train}\n")
    (folder / "test.csv").write_bytes(b"\xef\xbb\xbf" + f"video_name\r\n{test}".encode())
    return Release("mcmahon2023-social", folder)


def test_films_are_in_the_order_of_the_lists_with_their_ratings(tmp_path):
    record = social.read(put(tmp_path))
    assert record.stimuli.ids == ("a.mp4", "b.mp4", "c.mp4")
    np.testing.assert_array_equal(record.values, [[1, 0.25], [2, 0.5], [3, 1]])
    assert record.names == ("joint action", "communication")
    assert record.stimuli.table["split"] == ["train", "train", "test"]
    assert record.notes == {"films in no list, left out": "1 (d)"}
    assert "setting" not in record.stimuli.table


def test_activations_are_used_up_to_three_seconds():
    assert DECLARED.limit_ms == 3000
    assert (DECLARED.decoder, DECLARED.metric, DECLARED.study) == ("ridge", "pearson", "mcmahon2023")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratings": RATINGS.replace("joint_action", "joint")}, r"no column of numbers joint action; it has"),
        ({"ratings": RATINGS.replace("c.mp4,3,1,in\n", "")}, r"1 of 3 clips have no ratings \(c.mp4\)"),
        ({"ratings": RATINGS.replace("2,0.5", "much,0.5")}, r"no column of numbers joint action; it has"),
        ({"ratings": RATINGS.replace("2,0.5,in", "2,0.5")}, r"row 2 differs from the header's 4 columns"),
        ({"ratings": RATINGS.replace("2,0.5", ",0.5")}, r"1 stimuli have no label \(b.mp4\)"),
        ({"test": "a.mp4"}, r"1 clips are in train.csv and test.csv, first a.mp4"),
        ({"test": "e.mp4"}, r"1 of 3 files are missing .*dyad_videos_3000ms/e.mp4"),
    ],
)
def test_inconsistent_files_are_named(tmp_path, change, message):
    with pytest.raises(BadInput, match=message):
        social.read(put(tmp_path, **change))


def test_the_lists_are_fetched_and_the_other_files_listed(tmp_path):
    release = put(tmp_path / "served")
    files = {name: (release.folder / name).read_bytes() for name in ("train.csv", "test.csv")}
    missing = fetch_from_loopback(DECLARED, files, tmp_path / "here")
    assert len(missing) == 2
    assert all("Isik lab" in line for line in missing)
    assert list(social.listed(Release("mcmahon2023-social", tmp_path / "here"))) == ["a.mp4", "b.mp4", "c.mp4"]


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared lists are not available")
def test_the_real_lists_name_250_films_despite_the_byte_order_mark(tmp_path):
    assert (REAL / "test.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    for name in ("train.csv", "test.csv"):
        shutil.copy(REAL / name, tmp_path / name)
    found = social.listed(Release("mcmahon2023-social", tmp_path))
    assert len(found) == DECLARED.expected["stimuli"] == 250
    assert list(found.values()) == ["train"] * 200 + ["test"] * 50
