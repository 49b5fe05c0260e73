"""Miniature of the mechanical tools: three classes whose images have every suffix that is read."""

from pathlib import Path

from tests.data.small_items import write_classes

STUDY = "mechanical_tools"
SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG")
EXPECTED = {"mechanical_tools": {"stimuli": 150, "labels": 1, "classes": 3}}


def write(folder: Path) -> None:
    """Write the training folder, with a file that is no image."""
    home = folder / "train_data" / "train_data"
    write_classes(home, {"Hammer": 51, "Wrench": 50, "pliers": 55}, SUFFIXES)
    (home / "Hammer" / "notes.txt").write_text("not an image")
