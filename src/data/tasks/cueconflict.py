"""Cue conflict: 1,280 images with the shape of one object and the texture of another; the label is the shape.

Geirhos R, Rubisch P, Michaelis C, Bethge M, Wichmann FA, Brendel W (2019), ICLR, arXiv:1811.12231. Images
(first published in github.com/rgeirhos/texture-vs-shape) and human trials: github.com/bethgelab/model-vs-human, CC BY
4.0. Sixteen classes of 80 images; in 80 images shape and texture agree. Layout: <DATA_HOME>/cueconflict/<release>/
<shape class>/<content>-<style>.png, for example bird3-cat2.png, the release's folder named as it is unpacked. The
stimuli made from one content image stay in the same part of a split. The task measures how well shape can be decoded
from a layer, not its shape bias. `--images all` is published; `conflicts` leaves out the 80 images in which shape and
texture agree.
"""

import csv
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ...records import Labels, Stimuli
from ...utils import BadInput
from ..declare import Task
from ..release import Http, Need, Release

RELEASES = ("cue-conflict", "style-transfer-preprocessed-512")
CLASSES = (
    *("airplane", "bear", "bicycle", "bird", "boat", "bottle", "car", "cat"),
    *("chair", "clock", "dog", "elephant", "keyboard", "knife", "oven", "truck"),
)
SHOWN_MS = 200.0
NO_ANSWER = "na"
_NAME = re.compile(r"(?:^|_)(([a-z]+)\d+)-(([a-z]+)\d+)\.png$")


def parse_name(file: str) -> dict[str, str]:
    """Return stimulus_id, shape, texture (classes), content and style (with numbers) from a file name.

    In the human trials, session and trial precede the name. Raises BadInput for a name of another form.
    """
    found = _NAME.search(file)
    if not found or not {found[2], found[4]} <= set(CLASSES):
        raise BadInput(f"'{file}' is no cue-conflict image; expected a name like bird3-cat2.png; remove the file")
    content, shape, style, texture = found.groups()
    return {
        "stimulus_id": f"{content}-{style}",
        "shape": shape,
        "texture": texture,
        "content": content,
        "style": style,
    }


def _images(release: Release) -> list[Path]:
    """Return the images of the unpacked release, sorted by class and name, without those outside the class folders."""
    home = next((name for name in RELEASES if (release.folder / name).is_dir()), RELEASES[0])
    release.files(f"{home}/*/*.png")
    return sorted(path for c in CLASSES for path in (release.folder / home / c).glob("*.png"))


def read(release: Release) -> Labels:
    """Return the images and their shape."""
    images = [(parse_name(path.name), path) for path in _images(release)]
    misplaced = [path for row, path in images if row["shape"] != path.parent.name]
    if misplaced:
        raise BadInput(
            f"{len(misplaced)} images are in the folder of another shape, first {misplaced[0]}; expected "
            f"<shape>/<shape>3-cat2.png; unpack the release again"
        )
    every = release.options.get("images", "all") == "all"
    kept = [(row, path) for row, path in images if every or row["shape"] != row["texture"]]
    notes = {} if every else {"images without conflict, left out": len(images) - len(kept)}
    table = {column: [row[column] for row, _ in kept] for column in ("shape", "texture", "content", "style")}
    stimuli = Stimuli(
        name=release.name,
        ids=tuple(row["stimulus_id"] for row, _ in kept),
        paths=tuple(path for _, path in kept),
        duration_ms=np.full(len(kept), SHOWN_MS),
        kind=("image",) * len(kept),
        table=table,
    )
    groups = np.array(table["content"])
    return Labels(stimuli, np.array(table["shape"])[:, None], ("shape",), groups=groups, notes=notes)


def read_trials(paths: Iterable[Path]) -> dict[str, np.ndarray]:
    """Return human trials from csv files of the release: stimulus_id, subject, truth, texture, choice ("na": none)."""
    columns: dict[str, list[str]] = {name: [] for name in ("stimulus_id", "subject", "truth", "texture", "choice")}
    for path in paths:
        with open(path, newline="", encoding="utf-8") as handle:
            for row in csv.DictReader(handle):
                image = parse_name(row["imagename"])
                trial = (image["stimulus_id"], row["subj"], row["category"], image["texture"], row["object_response"])
                for column, value in zip(columns.values(), trial, strict=True):
                    column.append(value)
    return {name: np.array(values) for name, values in columns.items()}


def shape_accuracy(trials: dict[str, np.ndarray]) -> float:
    """Return the share of all trials, including those without an answer, in which the shape was named."""
    return float(np.mean(trials["choice"] == trials["truth"]))


def shape_bias(trials: dict[str, np.ndarray]) -> float:
    """Return shape answers over shape and texture answers, for images with a conflict (Geirhos et al. 2019)."""
    conflict = trials["truth"] != trials["texture"]
    shape = np.sum(conflict & (trials["choice"] == trials["truth"]))
    texture = np.sum(conflict & (trials["choice"] == trials["texture"]))
    return float(shape / (shape + texture))


_ARCHIVE = Http(
    {"cue-conflict.tar.gz": "https://github.com/bethgelab/model-vs-human/releases/download/v0.1/cue-conflict.tar.gz"},
    0.0,
    unpack=("cue-conflict.tar.gz",),
)
NEEDS = (Need("images", "*/*/*-*.png", _ARCHIVE, count=1280),)
DATASETS = [
    Task(
        name="cueconflict",
        study="cueconflict",
        read=read,
        needs=NEEDS,
        options={"images": ("all", "conflicts")},
        citation="Geirhos et al. 2019, ICLR, arXiv:1811.12231",
        licence="CC BY 4.0",
        access="download",
        source="github.com/bethgelab/model-vs-human, cue-conflict.tar.gz",
        static=True,
        note="label: the shape; images of one content stay together in every split",
        expected={"stimuli": 1280, "labels": 1, "classes": 16},
    )
]
