"""Miniature of cue conflict: three shapes in three textures, with the shape coded by the colour."""

from pathlib import Path

from tests.data.small_items import image_of, write_image

STUDY = "cueconflict"
SHAPES, N_CONTENTS, N_STYLES = ("bear", "bird", "truck"), 10, 2
EXPECTED = {"cueconflict": {"stimuli": 180, "labels": 1, "classes": 3}}


def names() -> list[str]:
    """Return the file names, <content>-<style>.png."""
    contents = [f"{shape}{k + 1}" for shape in SHAPES for k in range(N_CONTENTS)]
    return [f"{content}-{style}{m + 1}.png" for content in contents for style in SHAPES for m in range(N_STYLES)]


def write(folder: Path) -> None:
    """Write cue-conflict/<shape>/<content>-<style>.png."""
    for seed, name in enumerate(names()):
        shape = name.rstrip("0123456789").split("-")[0].rstrip("0123456789")
        write_image(folder / "cue-conflict" / shape / name, image_of(SHAPES.index(shape), seed))
