"""Social ratings of 250 films of two people: their joint action and communication.

McMahon E, Bonner MF, Isik L (2023). Hierarchical organization of social action features along the lateral visual
pathway. Curr Biol 33:5035-5047. The films and ratings of mcmahon2023-fmri, in its folder <DATA_HOME>/mcmahon2023:
dyad_videos_3000ms/<name>.mp4, annotations.csv (video_name and twelve mean ratings), and the lists train.csv and
test.csv (video_name) from github.com/Isik-lab/SIdyads_presentation (MIT), 200 and 50 names.

All 250 films, train list first; the list that names a film is its `split`, but all films are split at random, as
published. Activations up to 3,000 ms are used: the published limit, which is not applied there because of a misspelt
name.
"""

from pathlib import Path

import numpy as np

from ...records import Labels, Stimuli
from ...utils import BadInput
from ..declare import Task
from ..fmri import mcmahon2023
from ..fmri.mcmahon2023 import CLIPS, LISTS, PARTS, RATINGS
from ..notes import number_and_names
from ..release import ByHand, Need, Release

TARGETS = ("joint action", "communication")
SHOWN_MS = 3000.0
_ASK = ByHand(
    "films and ratings are with the authors (Isik lab; OSF or Google Drive): put the films into dyad_videos_3000ms/ "
    "and annotations.csv beside it",
    0.2,
)
NEEDS = (
    Need("films", f"{CLIPS}/*.mp4", _ASK, count=250),
    Need("ratings", RATINGS, _ASK, count=1),
    *(Need(f"the {part} list of films", f"{part}.csv", LISTS, count=1) for part in PARTS),
)


def listed(release: Release) -> dict[str, str]:
    """Return {film: "train" or "test"} in the order of the lists; BadInput for a film in both."""
    return {name: part for part, names in mcmahon2023.clip_lists(release).items() for name in names}


def ratings(path: Path, films: list[str]) -> dict[str, np.ndarray]:
    """Return all ratings of the films; BadInput for a film or target without ratings."""
    found = mcmahon2023.ratings(path, films)
    lacking = [name for name in TARGETS if name not in found]
    if lacking:
        raise BadInput(f"{path}: no column of numbers {', '.join(lacking)}; it has {', '.join(found)}; get it again")
    return found


def read(release: Release) -> Labels:
    """Return the films and the two ratings."""
    part_of = listed(release)
    paths = release.require([release.folder / CLIPS / film for film in part_of])
    rated = ratings(release.file(RATINGS), list(part_of))
    extra = sorted(path.stem for path in release.files(f"{CLIPS}/*.mp4") if path.name not in part_of)
    stimuli = Stimuli(
        name=release.name,
        ids=tuple(path.name for path in paths),
        paths=tuple(paths),
        duration_ms=np.full(len(paths), SHOWN_MS),
        kind=("video",) * len(paths),
        table={"split": list(part_of.values()), **{name.replace(" ", "_"): list(c) for name, c in rated.items()}},
    )
    notes = {"films in no list, left out": number_and_names(extra)} if extra else {}
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
