from pathlib import Path

import numpy as np
import pytest

from src.data.release import Release
from src.data.tasks import sampling
from src.utils import BadInput

SIZES = {"ant": 9, "bee": 9, "cat": 9, "dog": 9, "eel": 2}


def put(folder, sizes=SIZES, order=1):
    files = [folder / label / f"{k}.txt" for label, n in sizes.items() for k in range(n)]
    for path in files[::order]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("whole")
    return Release("toy", folder, {}, jobs=2)


def find(release):
    return lambda notes: sampling.class_folders(release, "*/*.*", (".txt",), notes)


def fit_by_text(identity, path):
    """Fit a file unless its text is `short`; raise BadInput if it is `broken`."""
    text = path.read_text()
    if text == "broken":
        raise BadInput("broken")
    return None if text == "short" else (float(len(identity)), 4000.0)


def sample(release, **options):
    return sampling.sample(release, find(release), fit_by_text, **{"n_items": 4, "n_classes": 3, **options})


def ids(sampled):
    return [item.stimulus_id for item in sampled]


def test_the_sample_depends_neither_on_the_folder_nor_on_the_order_of_files(tmp_path):
    sampled, notes = sample(put(tmp_path / "a"))
    again, _ = sample(put(tmp_path / "b", order=-1))
    assert sampled == again
    assert len(sampled) == 12
    assert len({item.label for item in sampled}) == 3
    assert ids(sampled) == sorted(ids(sampled))
    assert set(notes) <= {"classes left out"}


def test_the_sample_is_the_same_in_every_version(tmp_path):
    sampled, _ = sample(put(tmp_path))
    numbers = {"ant": (1, 2, 5, 7), "bee": (1, 2, 5, 6), "dog": (0, 5, 6, 8)}
    assert ids(sampled) == [f"{label}/{k}.txt" for label, of in numbers.items() for k in of]


def test_the_sample_is_random_and_not_the_first_items(tmp_path):
    release = put(tmp_path, {f"class-{k:02d}": 30 for k in range(30)})
    sampled, _ = sampling.sample(release, find(release), fit_by_text, n_items=3, n_classes=4)
    assert sorted({item.label for item in sampled}) != [f"class-{k:02d}" for k in range(4)]
    numbers = [int(Path(item.file).stem) for item in sampled]
    assert max(numbers) > 10


def test_a_class_that_is_too_small_is_left_out_and_counted(tmp_path):
    sampled, notes = sample(put(tmp_path), n_classes=None)
    assert {item.label for item in sampled} == {"ant", "bee", "cat", "dog"}
    assert notes == {"classes left out": "1 (eel)"}
    fewer, notes = sample(put(tmp_path / "more"), n_classes=10)
    assert len(fewer) == 16
    assert notes["classes"] == "4 where 10 were wanted"


def test_unusable_files_are_replaced_by_the_next_and_change_no_other_class(tmp_path):
    before, _ = sample(put(tmp_path / "a"), n_classes=None)
    release = put(tmp_path / "b")
    taken = [item for item in before if item.label == "bee"]
    (release.folder / taken[0].file).write_text("broken")
    (release.folder / taken[1].file).write_text("short")
    after, notes = sample(release, n_classes=None)
    assert [item for item in after if item.label != "bee"] == [item for item in before if item.label != "bee"]
    assert {taken[2].file, taken[3].file} < {item.file for item in after if item.label == "bee"}
    assert len(after) == len(before)
    assert notes["unreadable files"] == f"1 ({Path(taken[0].file).name})"
    assert notes["files of unfit length"] == 1


def test_a_manifest_is_kept_when_the_release_grows(tmp_path):
    release = put(tmp_path)
    sampled, notes = sample(release)
    put(tmp_path, dict.fromkeys((*SIZES, "fox"), 40))
    assert sample(release) == (sampled, notes)
    text = release.manifest("toy").read_text().splitlines()
    assert text[0] == "stimulus_id,file,class,start_ms,duration_ms"
    assert text[1].endswith(f"{sampled[0].label},{len(sampled[0].stimulus_id)}.0,4000.0")


def test_a_sampled_file_that_is_missing_is_named(tmp_path):
    release = put(tmp_path)
    sampled, _ = sample(release)
    (tmp_path / sampled[5].file).unlink()
    message = rf"1 of 12 files are missing .*{sampled[5].file}; run: dynamic-vision data fetch"
    with pytest.raises(BadInput, match=message):
        sample(release)


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "stimulus_id,file,class,start_ms,duration_ms\nx,y,z,soon,1\n"])
def test_a_damaged_manifest_is_refused(tmp_path, text):
    release = put(tmp_path)
    release.manifest("toy").parent.mkdir()
    release.manifest("toy").write_text(text)
    with pytest.raises(BadInput, match=r"no manifest of sampled stimuli .*remove it to sample again"):
        sample(release)


def test_an_empty_manifest_is_refused(tmp_path):
    release = put(tmp_path)
    sampling.write_manifest(release.manifest("toy"), [])
    with pytest.raises(BadInput, match="an empty manifest"):
        sample(release)


def test_too_few_classes_are_refused_with_the_reasons(tmp_path):
    release = put(tmp_path, {"ant": 5, "bee": 1, "cat": 2})
    with pytest.raises(BadInput, match=r"1 of 3 classes .* have 4 items .*classes left out: 2 \(bee, cat\)"):
        sample(release)
    assert not release.manifest("toy").exists()


def test_files_of_other_kinds_are_noted(tmp_path):
    release = put(tmp_path)
    (tmp_path / "ant" / "list.csv").write_text("x")
    assert sample(release, n_classes=None)[1]["files of another kind"] == "1 (list.csv)"
    with pytest.raises(BadInput, match=r"no file in .* ends on .jpg; run: dynamic-vision data fetch toy"):
        sampling.class_folders(release, "*/*.*", (".jpg",), {})


def test_times_come_back_from_the_manifest_to_the_last_bit(tmp_path):
    release = put(tmp_path)
    rows = [sampling.Sampled("a", "ant/1.txt", "ant", 1 / 3, 4000.0), sampling.Sampled("b", "bee/1.txt", "bee")]
    sampling.write_manifest(release.manifest("toy"), rows)
    back = sampling.read_manifest(release, release.manifest("toy"))
    assert back[0] == rows[0]
    assert np.isnan(back[1].start_ms)
    assert np.isnan(back[1].duration_ms)
