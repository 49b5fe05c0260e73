"""Miniature of McMahon et al. 2023 with twelve ratings, two of them planted in the layer colour."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from src.data.synthetic import plant
from src.data.synthetic.files import read_frames
from src.utils import regular_bins
from tests.data.miniatures import mcmahon2023
from tests.data.planted_fmri import clip_signals

STUDY = mcmahon2023.STUDY
PLANTED = ("joint action", "communication")
OTHERS = ("indoor", "expanse", "transitivity", "agent distance", "facingness", "cooperation")
MORE = ("dominance", "intimacy", "valence", "arousal")
EXPECTED = {"mcmahon2023-social": {"stimuli": sum(mcmahon2023.N_CLIPS.values()), "labels": 2}}


def names() -> list[str]:
    """Return all films, the train list first."""
    return [name for part in mcmahon2023.N_CLIPS for name in mcmahon2023.names(part)]


def rate(folder: Path) -> None:
    """Write annotations.csv, with its rows in alphabetical order."""
    films = (read_frames(folder / "dyad_videos_3000ms" / name) for name in names())
    bins = [regular_bins(3000, 3000)] * len(names())
    colour = np.concatenate([film["colour"] for film in plant.binned(films, bins)])
    rng = np.random.default_rng(2023)
    signal = plant.unit_variance(colour @ plant.directions(rng, colour, len(PLANTED), 3))
    columns = {**dict(zip(PLANTED, signal.T, strict=True)), **{name: rng.random(len(signal)) for name in OTHERS + MORE}}
    with open(folder / "annotations.csv", "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["video_name", *columns])
        for k in np.argsort(names()):
            writer.writerow([names()[k], *(f"{column[k]:.4f}" for column in columns.values())])


def write_lists(folder: Path) -> None:
    """Write train.csv, and test.csv with its byte order mark."""
    listed = {part: "video_name\n" + "\n".join(mcmahon2023.names(part)) for part in mcmahon2023.N_CLIPS}
    (folder / "train.csv").write_text(listed["train"] + "\n")
    (folder / "test.csv").write_bytes(b"\xef\xbb\xbf" + listed["test"].encode())


def write_task(folder: Path) -> None:
    """Write lists, films and ratings, the files that the task needs."""
    clip_signals([folder / "dyad_videos_3000ms" / name for name in names()])
    write_lists(folder)
    rate(folder)


def write(folder: Path) -> None:
    """Write the whole study."""
    mcmahon2023.write(folder)
    rate(folder)


@contextmanager
def around(folder: Path) -> Iterator[None]:
    """Write the planted ratings to the study's folder, which may have been written for another of its datasets."""
    rate(folder)
    yield
