"""Miniature of Ilic et al. 2022: five actions, 20 shown and 50 other films of each kind, six subjects, warm-up trials.

Subjects decide by the layer motion of the embedded network; the films of noise are copies of the others.
"""

import csv
import shutil
from pathlib import Path

import numpy as np

from src.data.behaviour.ilic2022 import CLASSES
from tests.data.miniatures import drifting

STUDY = "ilic2022"
N_SUBJECTS, N_REPEATS = 6, 2
HEADER = (
    *("", "GroundTruth", "Prediction", "Correct", "Fps", "NumberOfFrames", "Modality", "Duration", "StartTime"),
    *("EndTime", "UserID", "Trainmode", "VideoPath"),
)
SHOWN_GROUPS, OTHER_GROUPS = (1, 2, 3, 4), (3, 4, 11, 12, 13, 14, 15, 16, 17, 18)
EXPECTED = {
    name: {"stimuli": 20, "trials": N_SUBJECTS * 20 * N_REPEATS, "classes": 5, "subjects": 6, "fitting": 20}
    for name in ("ilic2022-ucf5", "ilic2022-afd5")
}


def films(folder: Path, groups: tuple[int, ...], clip: int) -> dict[Path, int]:
    """Return {file: number of its class}, one film of each group."""
    return {
        folder / "ucf101" / name / f"v_{name}_g{group:02d}_c{clip:02d}.avi": number
        for number, name in enumerate(CLASSES)
        for group in groups
    }


def write(folder: Path) -> None:
    """Write the subjects' files and the films of both kinds."""
    shown, others = films(folder, SHOWN_GROUPS, 1), films(folder, OTHER_GROUPS, 2)
    drifting.write_films(shown | others, len(CLASSES), 7)
    shutil.copytree(folder / "ucf101", folder / "afd101")
    probabilities = drifting.observer(others, list(shown))
    rng = np.random.default_rng(11)
    for subject in range(N_SUBJECTS):
        path = folder / "response" / f"2021-11-{subject % 2 + 1:02d}" / f"user{subject}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [row for modality in ("ucf5", "ucf5af") for row in _rows(rng, shown, probabilities, modality, subject)]
        with open(path, "w", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle)
            writer.writerow(HEADER)
            writer.writerows([k, *row] for k, row in enumerate(rows))


def _rows(rng, shown: dict[Path, int], probabilities: np.ndarray, modality: str, subject: int) -> list[list]:
    """Return warm-up trials (one of them wrong and unmarked), a trial without an answer, and the test trials."""
    folder = {"ucf5": "data/ucf5", "ucf5af": "data/TRIALucf5af"}[modality]
    paths = [f"{folder}/{path.parent.name}/{path.name}" for path in shown]
    truth = [CLASSES[number] for number in shown.values()]

    def row(k: int, answer: str, warm_up: int) -> list:
        correct = int(answer == truth[k])
        return [truth[k], answer, correct, 25, 25, modality, 1.0, 0.0, 1.0, f"user{subject}", warm_up, paths[k]]

    rows = [row(0, f"{truth[0]} <----", 1), row(1, "Swing", 1), row(2, "", 0)]
    for _ in range(N_REPEATS):
        rows += [row(k, CLASSES[c], 0) for k, c in enumerate(drifting.choose(rng, probabilities))]
    return rows
