import csv
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from src.data.release import Release
from src.data.tasks import kinetics400, sampling
from src.utils import BadInput
from src.video import piece, probe, read_frames, read_image
from tests.data.miniatures import kinetics400 as miniature
from tests.data.public_tasks import assert_counts, fetch_from_loopback

REAL = Path(__file__).resolve().parents[2] / "../shared/realdata/kinetics400"
DYNAMIC, STATIC = kinetics400.DATASETS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder of the miniature."""
    home = tmp_path_factory.mktemp("kinetics400")
    miniature.write(home)
    return home


def test_both_tasks_have_the_same_sample(folder):
    dynamic = kinetics400.read(Release("kinetics400", folder))
    manifest = (folder / "prepared" / "kinetics400.csv").read_bytes()
    static = kinetics400.read_static(Release("kinetics400-static", folder, jobs=2))
    assert (folder / "prepared" / "kinetics400.csv").read_bytes() == manifest
    for record in (dynamic, static):
        assert_counts(record, miniature.EXPECTED["kinetics400"])
    assert static.stimuli.ids == dynamic.stimuli.ids
    np.testing.assert_array_equal(static.values, dynamic.values)
    assert set(static.stimuli.kind) == {"image"}
    assert dynamic.notes["unreadable files"].startswith("2 (")
    assert dynamic.notes["classes left out"] == "1 (zumba)"


def test_a_window_is_within_its_clip_and_its_middle_frame_is_the_still(folder):
    dynamic = kinetics400.read(Release("kinetics400", folder)).stimuli
    static = kinetics400.read_static(Release("kinetics400-static", folder)).stimuli
    starts = []
    for k in (0, 17, 60, 99):
        info, (start_ms, length_ms) = probe(dynamic.paths[k]), dynamic.piece_ms(k)
        starts.append(start_ms)
        assert length_ms == 4000
        assert 0 <= start_ms <= info.duration_ms - length_ms
        assert piece(info, start_ms, length_ms).duration_ms == 4000
        (middle,) = read_frames(dynamic.paths[k], np.array([start_ms + 2000]))
        np.testing.assert_array_equal(read_image(static.paths[k]), middle)
    assert len(set(starts)) > 1


def test_class_folders_are_read_without_annotations(folder, tmp_path):
    for file, label, _ in miniature.clips()[::9]:
        target = tmp_path / "test" / label / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(folder / "test" / file)
    found = kinetics400.items(Release("kinetics400", tmp_path), {})
    assert set(found) == {"playing cello", "abseiling"}
    assert next(iter(found["abseiling"])).startswith("abseiling/id-1")


def test_flat_clips_need_annotations_and_those_without_are_noted(tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "stranger_000001_000011.mp4").write_bytes(b"x")
    with pytest.raises(BadInput, match=r"annotations/test.csv; run: dynamic-vision data fetch kinetics400"):
        kinetics400.read(Release("kinetics400", tmp_path))
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "test.csv").write_text("label,youtube_id,time_start,time_end,split\n")
    notes = {}
    assert kinetics400.items(Release("kinetics400", tmp_path), notes) == {}
    assert notes == {"clips that are not annotated": "1 (stranger_000001_000011.mp4)"}


def test_the_mirror_is_fetched_part_by_part(folder, tmp_path):
    paths = [folder / "test" / file for file, _, _ in miniature.clips()][:8]
    files = {"annotations/test.csv": (folder / "annotations" / "test.csv").read_bytes()}
    for k, part in enumerate(DYNAMIC.needs[0].origin.files):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path in paths[k::39]:
                archive.add(path, path.name)
        files[part] = packed.getvalue()
    missing = fetch_from_loopback(DYNAMIC, files, tmp_path)
    assert missing == []
    assert len(DYNAMIC.needs[0].found(tmp_path)) == 8
    assert len(kinetics400.items(Release("kinetics400", tmp_path), {})["playing cello"]) == 8


def test_the_declarations_share_their_files():
    assert STATIC.static
    assert not DYNAMIC.static
    assert STATIC.needs is DYNAMIC.needs
    assert replace(STATIC, name="kinetics400").expected == DYNAMIC.expected


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared films are not available")
def test_real_films_give_windows_of_four_seconds_or_do_not_fit():
    fit = sampling.film_of(4000, np.inf, 4000, seed="kinetics400")
    for path in sorted((REAL / "videos").iterdir()):
        film_ms, found = probe(path).duration_ms, fit(path.stem, path)
        assert (found is None) == (film_ms < 4000)
        assert found is None or 0 <= found[0] <= film_ms - 4000
    with open(REAL / "label_map_k400.txt", newline="") as handle:
        assert len({row[0] for row in csv.reader(handle)}) == 400
