import pytest

from src.data.release import Release
from src.data.tasks import imagenet2012
from src.utils import BadInput
from tests.data.miniatures import imagenet2012 as miniature
from tests.data.public_tasks import assert_counts


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("imagenet2012")
    miniature.write(home)
    return home


def names(k):
    return f"ILSVRC2012_val_{k:08d}.JPEG"


def labelled(folder):
    return {stem: label for label, of in imagenet2012.items(Release("imagenet2012", folder)).items() for stem in of}


def empty_images(folder, place=lambda k: "val"):
    for k in range(1, len(miniature.truth()) + 1):
        path = folder / place(k) / names(k)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def synset(k):
    return miniature.SYNSETS[miniature.truth()[k - 1]]


def test_classes_come_from_the_development_kit(folder):
    record = imagenet2012.read(Release("imagenet2012", folder, jobs=2))
    assert_counts(record, miniature.EXPECTED["imagenet2012"])
    assert record.values[:, 0].tolist() == [synset(int(identity[-8:])) for identity in record.stimuli.ids]
    assert record.notes == {"classes": "3 where 100 were wanted"}
    assert set(record.stimuli.kind) == {"image"}


def test_a_csv_or_folders_give_the_same_classes(folder, tmp_path):
    expected = labelled(folder)
    sorted_copy = empty_images(tmp_path / "folders", lambda k: f"val/{synset(k)}")
    assert labelled(sorted_copy) == expected
    with_csv = empty_images(tmp_path / "csv")
    rows = "".join(f"{k},{names(k)},x,{synset(k)}\n" for k in range(1, len(miniature.truth()) + 1))
    (with_csv / "imagenet2012.csv").write_text(f"number,filename,filepath,label\n{rows}")
    (with_csv / "another.csv").write_text("a,b\n1,2\n")
    assert labelled(with_csv) == expected
    from_kaggle = empty_images(tmp_path / "kaggle", lambda k: "ILSVRC/Data/CLS-LOC/val")
    boxes = "".join(f"{names(k)[:-5]},{synset(k)} 1 2 3 4 {synset(k)} 5 6 7 8 \n" for k in range(1, 151))
    (from_kaggle / "LOC_val_solution.csv").write_text(f"ImageId,PredictionString\n{boxes}")
    assert labelled(from_kaggle) == expected


def test_images_without_a_class_are_refused(folder, tmp_path):
    with pytest.raises(BadInput, match=r"150 of 150 images .* have no class \(ILSVRC2012_val_00000001, "):
        labelled(empty_images(tmp_path))


def test_half_a_kit_or_another_file_is_refused(tmp_path):
    empty_images(tmp_path)
    miniature.write_devkit(tmp_path / "kit")
    meta = tmp_path / "kit" / "meta.mat"
    content = meta.read_bytes()
    meta.unlink()
    with pytest.raises(BadInput, match=r"but no meta.mat that names its numbers"):
        labelled(tmp_path)
    for damaged in (content[:100], b"no matlab file at all"):
        meta.write_bytes(damaged)
        with pytest.raises(BadInput, match=r"meta.mat: no list of synsets"):
            labelled(tmp_path)
    meta.write_bytes(content)
    (tmp_path / "kit" / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n490\n")
    with pytest.raises(BadInput, match=r"lists 1, which is not in .*meta.mat"):
        labelled(tmp_path)
