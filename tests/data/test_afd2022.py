import io
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from src.data.release import Release
from src.data.tasks import afd2022
from src.evaluate.protocol import Protocol
from src.evaluate.task import task_splits
from src.utils import BadInput
from src.video import probe
from tests.data.miniatures import afd2022 as miniature
from tests.data.public_tasks import assert_counts, fetch_from_loopback

REAL = Path(__file__).resolve().parents[2] / "../shared/realdata/ilic2022/splits/ucf101"
(DECLARED,) = afd2022.DATASETS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("afd2022")
    miniature.write(home)
    return home


def read(folder, **options):
    return afd2022.read(Release("afd2022", folder, options, jobs=2))


def test_clips_of_three_to_eight_seconds_give_windows_at_their_frame_rate(folder):
    record = read(folder)
    assert_counts(record, miniature.EXPECTED["afd2022"])
    assert record.notes["files of unfit length"] == 4
    assert record.notes["classes left out"] == "1 (Swing)"
    longer = 0
    for k, path in enumerate(record.stimuli.paths):
        info, (start_ms, length_ms) = probe(path), record.stimuli.piece_ms(k)
        assert (info.fps, length_ms) == (miniature.FPS, 4000)
        assert 3000 <= info.duration_ms <= 8000
        assert 0 <= start_ms <= max(0, info.duration_ms - 4000)
        longer += start_ms > 0
    assert longer > 20


def test_clips_of_one_video_stay_in_one_part_of_a_split(folder):
    record = read(folder)
    assert len(set(record.groups)) < len(record.stimuli)
    for split in task_splits(record, "accuracy", Protocol(n_splits=3, seed=1), validate=True):
        parts = [set(record.groups[rows]) for rows in (split.train, split.valid, split.test)]
        assert sum(map(len, parts)) == len(set.union(*parts))
    assert read(folder, groups="none").groups is None


def test_the_archive_is_fetched_and_unpacked(folder, tmp_path):
    packed, clips = io.BytesIO(), sorted(folder.glob("afd101/*/*.avi"))[:3]
    with zipfile.ZipFile(packed, "w") as archive:
        for path in clips:
            archive.write(path, path.relative_to(folder))
    few = replace(DECLARED, needs=(replace(DECLARED.needs[0], count=3),))
    assert fetch_from_loopback(few, {"afd101.zip": packed.getvalue()}, tmp_path) == []
    assert [path.name for path in DECLARED.needs[0].found(tmp_path)] == [path.name for path in clips]
    with pytest.raises(BadInput, match="cannot be unpacked"):
        fetch_from_loopback(few, {"afd101.zip": packed.getvalue()[:200]}, tmp_path / "cut")


@pytest.mark.parametrize("stem", ["PullUps_g01_c01", "v_PullUps_01", "v_PullUps_g01"])
def test_names_without_a_video_are_refused(stem):
    with pytest.raises(BadInput, match="is no clip of UCF101"):
        afd2022.source_video(stem)


@pytest.mark.skipif(not REAL.is_dir(), reason="the shared lists are not available")
def test_the_real_names_are_of_25_videos_per_class():
    lists = [(REAL / f"{part}list01.txt").read_text().split("\n") for part in ("train", "test")]
    clips = [Path(line.split()[0]) for rows in lists for line in rows if line.strip()]
    assert len(clips) == DECLARED.needs[0].count == 13320
    videos = {(path.parent.name, afd2022.source_video(path.stem)) for path in clips}
    assert set(Counter(label for label, _ in videos).values()) == {25}
    assert len({label for label, _ in videos}) == 101
