"""Kinetics-400: classification of 100 human actions in clips of four seconds, and in their middle frames.

Kay W, Carreira J, Simonyan K, Zhang B, ... Zisserman A (2017). The Kinetics Human Action Video Dataset,
arXiv:1705.06950. The annotations are CC BY 4.0; the videos belong to their uploaders. The CVD Foundation's mirror
keeps the test set: <DATA_HOME>/kinetics400/test/<id>_<start>_<end>.mp4 with annotations/test.csv (label, youtube_id,
time_start, time_end, split); clips sorted into test/<class>/*.mp4 are read as well.

100 classes with 50 clips of at least four seconds, one window of four seconds of each at a random start; a window is a
piece of the file at the file's frame rate, where the published loader writes it again at 25 frames per second. The
static task uses the middle frames of the same windows, from the dynamic task's manifest.
"""

import csv
from pathlib import Path

import numpy as np

from ...records import Labels
from ...video import read_frames
from ..declare import Task
from ..films import write_png
from ..notes import number_and_names
from ..release import Http, Need, Release
from . import sampling
from .rendering import rendered

N_CLASSES, N_ITEMS = 100, 50
WINDOW_MS = 4000.0
N_PARTS = 39
MIRROR = "https://s3.amazonaws.com/kinetics/400"
ANNOTATIONS = "annotations/test.csv"

_PARTS = tuple(f"test/part_{k}.tar.gz" for k in range(N_PARTS))
_CLIPS = Http({part: f"{MIRROR}/{part}" for part in _PARTS}, 60.0, unpack=_PARTS)
_LISTS = Http({ANNOTATIONS: f"{MIRROR}/{ANNOTATIONS}"}, 0.002)
NEEDS = (
    Need("test clips", "test/**/*.mp4", _CLIPS),
    Need("classes of clips that lie in no class folder", ANNOTATIONS, _LISTS, optional=True),
)


def items(release: Release, notes: sampling.Notes) -> sampling.Items:
    """Return {class: {id: path}} of the test clips, by their folders or else by the annotations."""
    if any(release.folder.glob("test/*/*.mp4")):
        return sampling.class_folders(release, "test/*/*.mp4", (".mp4",), notes)
    clips = {path.name: path for path in release.files("test/*.mp4")}
    found: dict[str, dict[str, Path]] = {}
    with open(release.file(ANNOTATIONS), newline="", encoding="utf-8-sig") as handle:
        for row in csv.DictReader(handle):
            file = f"{row['youtube_id']}_{int(row['time_start']):06d}_{int(row['time_end']):06d}.mp4"
            if file in clips:
                found.setdefault(row["label"], {})[f"{row['label']}/{file}"] = clips.pop(file)
    notes |= {"clips that are not annotated": number_and_names(sorted(clips))} if clips else {}
    return found


def sample(release: Release) -> tuple[list[sampling.Sampled], sampling.Notes]:
    """Return the windows of both tasks, from the manifest of the dynamic one."""
    fit = sampling.film_of(WINDOW_MS, np.inf, WINDOW_MS, seed="kinetics400")
    return sampling.sample(
        release, lambda notes: items(release, notes), fit, n_items=N_ITEMS, n_classes=N_CLASSES, name="kinetics400"
    )


def read(release: Release) -> Labels:
    """Return windows of four seconds and their actions."""
    sampled, notes = sample(release)
    return sampling.labelled(sampling.stimuli(release, sampled, image=False), "action", notes)


def read_static(release: Release) -> Labels:
    """Return the middle frames of the windows and their actions."""
    sampled, notes = sample(release)

    def make(index: int, path: Path) -> None:
        item = sampled[index]
        middle_ms = item.start_ms + item.duration_ms / 2
        write_png(path, next(read_frames(release.folder / item.file, np.array([middle_ms]))))

    recipe = {"version": 1, "frame": "middle of the window"}
    files = [f"{item.stimulus_id}@{item.start_ms:.0f}.png" for item in sampled]
    frames = rendered(release, "kinetics400-frames", recipe, files, make)
    return sampling.labelled(sampling.stimuli(release, sampled, image=True, paths=frames), "action", notes)


_COMMON = {
    "study": "kinetics400",
    "needs": NEEDS,
    "citation": "Kay et al. 2017, arXiv:1705.06950",
    "licence": "CC BY 4.0 (annotations); videos: their owners'",
    "access": "download",
    "source": "github.com/cvdfoundation/kinetics-dataset, the test set",
    "expected": {"stimuli": N_CLASSES * N_ITEMS, "labels": 1, "classes": N_CLASSES},
}
DATASETS = [
    Task(name="kinetics400", read=read, note="windows of 4 s", **_COMMON),
    Task(name="kinetics400-static", read=read_static, static=True, note="middle frames of kinetics400", **_COMMON),
]
