"""Cue conflict: 1,280 images with the shape of one object and the texture of another, to be told by their shape.

Geirhos R, Rubisch P, Michaelis C, Bethge M, Wichmann FA, Brendel W (2019), ICLR, arXiv:1811.12231. Images from
github.com/rgeirhos/texture-vs-shape, human trials from github.com/bethgelab/model-vs-human (CC BY 4.0). Sixteen classes
of 80 images; in 80 images shape and texture agree. Layout: <DATA_HOME>/cueconflict/<release>/<shape class>/
<content>-<style>.png, for example bird3-cat2.png, the release's folder named as it is unpacked. One content image gives
several stimuli, which no split parts. The task measures how well shape can be read off a layer, not its shape bias.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from src.data.declare import Task
from src.records import Labels, Stimuli
from src.utils import BadInput

RELEASES = ("cue-conflict", "style-transfer-preprocessed-512")
CLASSES = (
    *("airplane", "bear", "bicycle", "bird", "boat", "bottle", "car", "cat"),
    *("chair", "clock", "dog", "elephant", "keyboard", "knife", "oven", "truck"),
)
SHOWN_MS = 200.0
NO_ANSWER = "na"
_NAME = re.compile(r"(?:^|_)(([a-z]+)\d+)-(([a-z]+)\d+)\.png$")


def parse_name(file: str) -> dict[str, str]:
    """What a file name says: stimulus_id, shape, texture (classes), content, style (with numbers).

    The human trials put session and trial in front of it. Raises BadInput for a name of another form.
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


def load(folder: Path) -> Labels:
    """The images and their shape; raises BadInput where neither release is unpacked in `folder`."""
    release = next((folder / name for name in RELEASES if (folder / name).is_dir()), None)
    if release is None:
        raise BadInput(
            f"cueconflict is not in {folder}; expected a folder {' or '.join(RELEASES)} with one folder per class; "
            f"take it from github.com/rgeirhos/texture-vs-shape (stimuli)"
        )
    paths = sorted(path for c in CLASSES for path in (release / c).glob("*.png"))
    if not paths:
        raise BadInput(f"{release} has no images; expected <class>/<content>-<style>.png; unpack the release again")
    rows = [parse_name(path.name) for path in paths]
    table = {column: [row[column] for row in rows] for column in ("shape", "texture", "content", "style")}
    stimuli = Stimuli(
        name="cueconflict",
        ids=tuple(row["stimulus_id"] for row in rows),
        paths=tuple(paths),
        duration_ms=np.full(len(paths), SHOWN_MS),
        kind=("image",) * len(paths),
        table=table,
    )
    return Labels(stimuli, np.array(table["shape"])[:, None], ("shape",), groups=np.array(table["content"]))


def read_trials(paths: Sequence[Path]) -> dict[str, np.ndarray]:
    """Human trials from the release's csv files: stimulus_id, subject, truth, texture, choice ("na": no answer)."""
    columns: dict[str, list[str]] = {name: [] for name in ("stimulus_id", "subject", "truth", "texture", "choice")}
    for path in paths:
        with open(path, newline="", encoding="utf-8") as handle:
            for row in csv.DictReader(handle):
                image = parse_name(row["imagename"])
                told = (image["stimulus_id"], row["subj"], row["category"], image["texture"], row["object_response"])
                for column, value in zip(columns.values(), told, strict=True):
                    column.append(value)
    return {name: np.array(values) for name, values in columns.items()}


def shape_accuracy(trials: dict[str, np.ndarray]) -> float:
    """Share of all trials, no answers included, in which the shape was named."""
    return float(np.mean(trials["choice"] == trials["truth"]))


def shape_bias(trials: dict[str, np.ndarray]) -> float:
    """Where shape and texture differ: shape answers over shape and texture answers (Geirhos et al. 2019)."""
    conflict = trials["truth"] != trials["texture"]
    shape = np.sum(conflict & (trials["choice"] == trials["truth"]))
    texture = np.sum(conflict & (trials["choice"] == trials["texture"]))
    return float(shape / (shape + texture))


DATASETS = [
    Task(
        name="cueconflict",
        study="cueconflict",
        load=load,
        citation="Geirhos et al. 2019, ICLR, arXiv:1811.12231",
        licence="CC BY 4.0",
        access="download",
        source="github.com/rgeirhos/texture-vs-shape, stimuli/style-transfer-preprocessed-512",
        static=True,
        note="label: the shape; images of one content stay together in every split",
        expected={"stimuli": 1280, "labels": 1, "classes": 16},
    )
]
