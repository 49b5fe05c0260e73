"""VGGFace2 and the mechanical tools: folders of images, one per class."""

import pytest

from src.data.release import Release
from src.data.tasks import mechanical_tools, vggface2
from src.utils import BadInput
from tests.data.miniatures import mechanical_tools as tools
from tests.data.miniatures import vggface2 as faces
from tests.data.public_tasks import assert_counts
from tests.data.small_items import write_classes


def test_broken_images_are_replaced_and_small_identities_left_out(tmp_path):
    faces.write(tmp_path)
    record = vggface2.read(Release("vggface2", tmp_path, jobs=2))
    assert_counts(record, faces.EXPECTED["vggface2"])
    assert record.notes["classes left out"] == "1 (n000078)"
    assert "n000029/0003_01.jpg" not in record.stimuli.ids
    assert all(i.startswith(label) for i, label in zip(record.stimuli.ids, record.values[:, 0], strict=True))


def test_images_of_every_suffix_are_read(tmp_path):
    tools.write(tmp_path)
    record = mechanical_tools.read(Release("mechanical_tools", tmp_path, jobs=2))
    assert_counts(record, tools.EXPECTED["mechanical_tools"])
    assert {path.suffix for path in record.stimuli.paths} == set(tools.SUFFIXES)
    assert record.notes == {"files of another kind": "1 (notes.txt)"}


def test_the_second_version_is_read_without_the_first(tmp_path):
    write_classes(tmp_path / "train_data_V2" / "train_data_V2", {"Rope": 50, "Gasoline Can": 50})
    release = Release("mechanical_tools", tmp_path)
    record = mechanical_tools.read(release)
    assert set(record.values[:, 0]) == {"Rope", "Gasoline Can"}
    release.manifest("mechanical_tools").unlink()
    write_classes(tmp_path / "train_data" / "train_data", {"Hammer": 2})
    with pytest.raises(BadInput, match=r"0 of 1 classes .*classes left out: 1 \(Hammer\)"):
        mechanical_tools.read(release)
