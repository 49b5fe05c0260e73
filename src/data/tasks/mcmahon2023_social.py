"""Social ratings of 250 films of two people: how much they act jointly and communicate.

McMahon E, Bonner MF, Isik L (2023). Hierarchical organization of social action features along the lateral visual
pathway. Curr Biol 33:5035-5047. The films and ratings of mcmahon2023-fmri, in its folder <DATA_HOME>/mcmahon2023:
dyad_videos_3000ms/<name>.mp4, annotations.csv (video_name and twelve mean ratings), and the lists train.csv and
test.csv (video_name) from github.com/Isik-lab/SIdyads_presentation (MIT), 200 and 50 names.

All 250 films, train list first; the list that names a film is its `split`, and all films are split anew at random, as
published. Activations count up to 3,000 ms: the published limit, which a misspelt name keeps from being applied.
"""

import csv
from pathlib import Path

import numpy as np

from ...records import Labels, Stimuli
from ...utils import BadInput
from ..declare import Task
from ..release import ByHand, Http, Need, Release
from .sampling import named

TARGETS = ("joint action", "communication")
LISTS = ("train", "test")
SHOWN_MS = 3000.0
FILMS, RATINGS, NAME = "dyad_videos_3000ms", "annotations.csv", "video_name"
_CODE = "https://raw.githubusercontent.com/Isik-lab/SIdyads_presentation/231abaace62e3bbeeaeb8e1c0d36d32771d2f424"
_LISTS = Http({f"{which}.csv": f"{_CODE}/{which}.csv" for which in LISTS}, 0.00001)
_ASK = ByHand(
    "films and ratings are with the authors (Isik lab; OSF or Google Drive): put the films into dyad_videos_3000ms/ "
    "and annotations.csv beside it",
    0.2,
)
NEEDS = (
    Need("films", f"{FILMS}/*.mp4", _ASK, count=250),
    Need("ratings", RATINGS, _ASK, count=1),
    *(Need(f"the {which} list of films", f"{which}.csv", _LISTS, count=1) for which in LISTS),
)


def read_table(path: Path) -> dict[str, list[str]]:
    """A csv with a header, with or without a byte order mark, as columns; their names in plain words, lower case."""
    with open(path, newline="", encoding="utf-8-sig") as handle:
        header, *rows = [row for row in csv.reader(handle) if row]
    uneven = next((k for k, row in enumerate(rows, start=2) if len(row) != len(header)), None)
    if uneven:
        raise BadInput(f"{path}: row {uneven} has not the {len(header)} columns of the header; get the file again")
    plain = [name.strip().lower().replace("_", " ") for name in header]
    return {name: [row[k].strip() for row in rows] for k, name in enumerate(plain)}


def listed(release: Release) -> dict[str, str]:
    """{film without suffix: "train" or "test"} in the order of the lists; BadInput for one in both."""
    found: dict[str, str] = {}
    for which in LISTS:
        for name in read_table(release.file(f"{which}.csv"))[NAME.replace("_", " ")]:
            stem = name.removesuffix(".mp4")
            if stem in found:
                raise BadInput(
                    f"{release.folder}: film '{stem}' is listed twice; expected 250 names; get the lists again"
                )
            found[stem] = which
    return found


def ratings(path: Path, stems: list[str]) -> dict[str, np.ndarray]:
    """The rating columns of annotations.csv in the order of the films; BadInput for a film or target that it lacks."""
    table = read_table(path)
    lacking = [name for name in (NAME.replace("_", " "), *TARGETS) if name not in table]
    if lacking:
        raise BadInput(f"{path}: no column {', '.join(lacking)}; it has {', '.join(table)}; get the file again")
    row = {name.removesuffix(".mp4"): k for k, name in enumerate(table.pop(NAME.replace("_", " ")))}
    unrated = [stem for stem in stems if stem not in row]
    if unrated:
        raise BadInput(
            f"{path}: {len(unrated)} of {len(stems)} films have no ratings ({', '.join(unrated[:5])}); expected all of "
            f"them; get the file that belongs to the lists"
        )
    order = [row[stem] for stem in stems]
    found = {name: _numbers(column) for name, column in table.items()}
    words = [name for name in TARGETS if found[name] is None]
    if words:
        raise BadInput(f"{path}: column {', '.join(words)} holds words; expected mean ratings; get the file again")
    return {name: column[order] for name, column in found.items() if column is not None}


def _numbers(column: list[str]) -> np.ndarray | None:
    """A column of numbers, None where it is one of words."""
    try:
        return np.array([float(value or "nan") for value in column])
    except ValueError:
        return None


def read(release: Release) -> Labels:
    """The films and the two ratings."""
    which = listed(release)
    paths = release.require([release.folder / FILMS / f"{stem}.mp4" for stem in which])
    rated = ratings(release.file(RATINGS), list(which))
    extra = sorted({path.stem for path in release.files(f"{FILMS}/*.mp4")} - set(which))
    stimuli = Stimuli(
        name=release.name,
        ids=tuple(path.name for path in paths),
        paths=tuple(paths),
        duration_ms=np.full(len(paths), SHOWN_MS),
        kind=("video",) * len(paths),
        table={"split": list(which.values()), **{name.replace(" ", "_"): list(c) for name, c in rated.items()}},
    )
    notes = {"films in no list, left out": named(extra)} if extra else {}
    return Labels(stimuli, np.stack([rated[name] for name in TARGETS], axis=1), TARGETS, notes=notes)


DATASETS = [
    Task(
        name="mcmahon2023-social",
        study="mcmahon2023",
        read=read,
        needs=NEEDS,
        citation="McMahon et al. 2023, Curr Biol 33:5035, doi:10.1016/j.cub.2023.10.015",
        licence="MIT (lists); films and ratings: not stated",
        access="on request",
        source="the authors; github.com/Isik-lab/SIdyads_presentation",
        decoder="ridge",
        metric="pearson",
        limit_ms=SHOWN_MS,
        expected={"stimuli": 250, "labels": 2},
    )
]
