"""Miniature of VGGFace2: two identities of 52 images, of which one is truncated, and one with too few."""

from pathlib import Path

from tests.data.small_items import write_classes

STUDY = "vggface2"
EXPECTED = {"vggface2": {"stimuli": 100, "labels": 1, "classes": 2}}
BROKEN = "test/n000029/0003_01.jpg"


def write(folder: Path) -> None:
    """Write the test set."""
    write_classes(folder / "test", {"n000001": 52, "n000029": 52, "n000078": 4})
    (folder / BROKEN).write_bytes((folder / BROKEN).read_bytes()[:400])
