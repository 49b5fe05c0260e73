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


def whole(identity, path):
    """Fits unless the file says `short`; cannot be read where it says `broken`."""
    text = path.read_text()
    if text == "broken":
        raise BadInput("broken")
    return None if text == "short" else (float(len(identity)), 4000.0)


def draw(release, **options):
    return sampling.draw(release, find(release), whole, **{"n_items": 4, "n_classes": 3, **options})


def ids(drawn):
    return [one.stimulus_id for one in drawn]


def test_the_draw_depends_neither_on_the_folder_nor_on_the_order_of_files(tmp_path):
    drawn, notes = draw(put(tmp_path / "a"))
    again, _ = draw(put(tmp_path / "b", order=-1))
    assert drawn == again
    assert len(drawn) == 12
    assert len({one.label for one in drawn}) == 3
    assert ids(drawn) == sorted(ids(drawn))
    assert set(notes) <= {"classes left out"}


def test_a_dataset_is_drawn_as_it_was_drawn_before(tmp_path):
    drawn, _ = draw(put(tmp_path))
    numbers = {"ant": (1, 2, 5, 7), "bee": (1, 2, 5, 6), "dog": (0, 5, 6, 8)}
    assert ids(drawn) == [f"{label}/{k}.txt" for label, of in numbers.items() for k in of]


def test_it_is_a_draw_and_not_the_first_ones(tmp_path):
    release = put(tmp_path, {f"class-{k:02d}": 30 for k in range(30)})
    drawn, _ = sampling.draw(release, find(release), whole, n_items=3, n_classes=4)
    assert sorted({one.label for one in drawn}) != [f"class-{k:02d}" for k in range(4)]
    numbers = [int(Path(one.file).stem) for one in drawn]
    assert max(numbers) > 10


def test_a_class_that_is_too_small_is_left_out_and_counted(tmp_path):
    drawn, notes = draw(put(tmp_path), n_classes=None)
    assert {one.label for one in drawn} == {"ant", "bee", "cat", "dog"}
    assert notes == {"classes left out": "1 (eel)"}
    fewer, notes = draw(put(tmp_path / "more"), n_classes=10)
    assert len(fewer) == 16
    assert notes["classes"] == "4 where 10 were wanted"


def test_what_cannot_be_used_makes_way_for_the_next_and_changes_no_other_class(tmp_path):
    before, _ = draw(put(tmp_path / "a"), n_classes=None)
    release = put(tmp_path / "b")
    taken = [one for one in before if one.label == "bee"]
    (release.folder / taken[0].file).write_text("broken")
    (release.folder / taken[1].file).write_text("short")
    after, notes = draw(release, n_classes=None)
    assert [one for one in after if one.label != "bee"] == [one for one in before if one.label != "bee"]
    assert {taken[2].file, taken[3].file} < {one.file for one in after if one.label == "bee"}
    assert len(after) == len(before)
    assert notes["unreadable files"] == f"1 ({Path(taken[0].file).name})"
    assert notes["files of unfit length"] == 1


def test_a_manifest_is_kept_when_the_release_grows(tmp_path):
    release = put(tmp_path)
    drawn, notes = draw(release)
    put(tmp_path, dict.fromkeys((*SIZES, "fox"), 40))
    assert draw(release) == (drawn, notes)
    text = release.manifest("toy").read_text().splitlines()
    assert text[0] == "stimulus_id,file,class,start_ms,duration_ms"
    assert text[1].endswith(f"{drawn[0].label},{len(drawn[0].stimulus_id)}.0,4000.0")


def test_a_drawn_file_that_is_gone_is_named(tmp_path):
    release = put(tmp_path)
    drawn, _ = draw(release)
    (tmp_path / drawn[5].file).unlink()
    with pytest.raises(BadInput, match=rf"1 of 12 files are missing .*{drawn[5].file}; run: python -m src.data fetch"):
        draw(release)


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "stimulus_id,file,class,start_ms,duration_ms\nx,y,z,soon,1\n"])
def test_a_damaged_manifest_is_refused(tmp_path, text):
    release = put(tmp_path)
    release.manifest("toy").parent.mkdir()
    release.manifest("toy").write_text(text)
    with pytest.raises(BadInput, match=r"no manifest of a draw .*remove it to draw again"):
        draw(release)


def test_an_empty_manifest_is_refused(tmp_path):
    release = put(tmp_path)
    sampling.write_manifest(release.manifest("toy"), [])
    with pytest.raises(BadInput, match="an empty manifest"):
        draw(release)


def test_too_few_classes_are_refused_with_the_reasons(tmp_path):
    release = put(tmp_path, {"ant": 5, "bee": 1, "cat": 2})
    with pytest.raises(BadInput, match=r"1 of 3 classes .* have 4 items .*classes left out: 2 \(bee, cat\)"):
        draw(release)
    assert not release.manifest("toy").exists()


def test_files_of_other_kinds_are_noted(tmp_path):
    release = put(tmp_path)
    (tmp_path / "ant" / "list.csv").write_text("x")
    assert draw(release, n_classes=None)[1]["files of another kind"] == "1 (list.csv)"
    with pytest.raises(BadInput, match=r"no file in .* ends on .jpg; run: python -m src.data fetch toy"):
        sampling.class_folders(release, "*/*.*", (".jpg",), {})


def test_times_come_back_from_the_manifest_to_the_last_bit(tmp_path):
    release = put(tmp_path)
    rows = [sampling.Drawn("a", "ant/1.txt", "ant", 1 / 3, 4000.0), sampling.Drawn("b", "bee/1.txt", "bee")]
    sampling.write_manifest(release.manifest("toy"), rows)
    back = sampling.read_manifest(release, release.manifest("toy"))
    assert back[0] == rows[0]
    assert np.isnan(back[1].start_ms)
    assert np.isnan(back[1].duration_ms)
