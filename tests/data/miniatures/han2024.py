"""Miniature of Han et al. 2024: ten actions, 30 films in each of six conditions, eight subjects, 60 fitting films.

Subjects decide by the layer motion of the embedded network; the other conditions are copies of the films of RGB.
"""

import csv
import shutil
from pathlib import Path

import numpy as np

from src.data.behaviour.han2024 import ACTIONS, COLUMNS, CONDITIONS, FITTING, SHOWN, TRIALS
from tests.data.miniatures import drifting

STUDY = "han2024"
CODES = tuple(ACTIONS)
NAMES = {**{code: name.capitalize() for code, name in ACTIONS.items()}, "A043": "Falling"}
N_SUBJECTS, PER_ACTION = 8, {SHOWN: 3, FITTING: 6}
UNANSWERED = 2
EXPECTED = {
    f"han2024-{condition}": {"stimuli": 30, "trials": 240 - UNANSWERED, "classes": 10, "subjects": 8, "fitting": 60}
    for condition in CONDITIONS
}


def file_name(place: str, code: str, k: int, family: str) -> str:
    """Return a film's name as in the protocols; recordings of the two places differ."""
    recording = f"S{1 if place == SHOWN else 2:03d}C001P{k + 1:03d}R001{code}"
    return f"{'AlphaPose_' if family == 'J-6P' else ''}{recording}_rgb.mp4"


def films(folder: Path, place: str, condition: str) -> dict[Path, int]:
    """Return {file: number of its action}."""
    family = "J-6P" if condition.startswith("J-6P") else "RGB"
    return {
        folder / place / condition / file_name(place, code, k, family): number
        for number, code in enumerate(CODES)
        for k in range(PER_ACTION[place])
    }


def write(folder: Path) -> None:
    """Write the csv of answers and the films of all six conditions."""
    for seed, place in enumerate((SHOWN, FITTING)):
        first = films(folder, place, "RGB")
        drifting.write_films(first, len(CODES), seed)
        for condition in CONDITIONS[1:] if place == SHOWN else ("J-6P",):
            for source, target in zip(first, films(folder, place, condition), strict=True):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
    shown = films(folder, SHOWN, "RGB")
    probabilities = drifting.observer(films(folder, FITTING, "RGB"), list(shown))
    with open(folder / TRIALS, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(COLUMNS)
        for condition in (*CONDITIONS, "RGB-R"):
            writer.writerows(_rows(folder, condition, probabilities))


def _rows(folder: Path, condition: str, probabilities: np.ndarray) -> list[list[str]]:
    rng = np.random.default_rng(len(condition))
    rows = []
    for subject in range(N_SUBJECTS):
        choices = drifting.choose(rng, probabilities)
        for (path, number), choice in zip(films(folder, SHOWN, condition).items(), choices, strict=True):
            rows.append([condition, path.name, f"p{subject}", NAMES[CODES[number]], NAMES[CODES[choice]]])
    for row in rows[:UNANSWERED]:
        row[-1] = ""
    return rows
