"""Han, Wang & Zhang 2024: recognition of ten actions in films, in a few frames, and in six moving points of light.

Han S, Wang Z, Zhang M (2024). NeurIPS, arXiv:2405.16493. Code and protocols: github.com/ZhangLab-DeepNeuroCogLab/
MotionPerceiver (MIT), whose page links to the subjects' answers; RGB films are from NTU RGB+D 120 (ROSE Lab, on
request, academic use), the others were made from them. Six of the 24 conditions: RGB and J-6P (six points of light),
each whole, in four frames (-4F) and with its frames shuffled (-S).

Layout: <DATA_HOME>/han2024/qualified_human_data.csv with the columns BMP Condition, Video Path, ID, Ground Truth and
Human Response; bmp_dataset_mp4/<condition>/<Video Path>, in folders by action as the authors' code has them
(<condition>/<A0xx>/<file>.mp4) or without; the read-out is fitted on every film of bmp_dataset_fitting_mp4/<RGB or
J-6P>, in such folders too. The four frames of a -4F film last a quarter of it each, and all are shown. The action of a
film is the NTU code in its name. The name in an answer is mapped to the code that films of that name have in these six
conditions, else to the code in NTU's list; a name in neither is an error. A fitting film of a recording that is also
shown is left out and counted, since the protocol separates them.
"""

import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from ...records import Choices, Labels, Stimuli
from ...utils import BadInput
from ..declare import Behaviour
from ..release import ByHand, Need, Release
from .lengths import film_lengths, named, require_readable
from .rows import read_csv

CONDITIONS = ("RGB", "RGB-4F", "RGB-S", "J-6P", "J-6P-4F", "J-6P-S")
ACTIONS = {
    "A006": "pick up",
    "A007": "throw",
    "A008": "sit down",
    "A009": "stand up",
    "A024": "kick something",
    "A027": "jump up",
    "A031": "point to something",
    "A035": "nod head/bow",
    "A043": "falling down",
    "A097": "arm circles",
}
TRIALS, SHOWN, FITTING = "qualified_human_data.csv", "bmp_dataset_mp4", "bmp_dataset_fitting_mp4"
COLUMNS = ("BMP Condition", "Video Path", "ID", "Ground Truth", "Human Response")
FILMS = (".mp4", ".avi", ".mkv", ".mov", ".gif")
_CODE, _RECORDING = re.compile(r"A\d{3}"), re.compile(r"S\d{3}C\d{3}P\d{3}R\d{3}A\d{3}")


def code_of(file: str) -> str:
    """Return the action's code in the name of a film, such as A027; BadInput for a name without one of the ten."""
    found = _CODE.search(Path(file).name)
    if not found or found[0] not in ACTIONS:
        raise BadInput(f"'{file}' names no action; expected one of {', '.join(ACTIONS)} in it; remove the file")
    return found[0]


def recording_of(file: str) -> str:
    """Return the recording of a film, such as S003C001P018R001A027, in any rendering; else the film's name."""
    found = _RECORDING.search(Path(file).name)
    return found[0] if found else Path(file).name


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the trials of the csv file, all conditions; BadInput if a column is missing."""
    rows = read_csv(path, COLUMNS, "the file of the release; get it again")
    return [{column: row[column].strip() for column in COLUMNS} for row in rows]


def codes(rows: Iterable[dict[str, str]]) -> dict[str, str]:
    """Return {name of an action, in lower case: code}; BadInput if films of one name have different codes.

    Only the six conditions are used: in others, such as films shown backwards, names may differ.
    """
    found = {name: code for code, name in ACTIONS.items()}
    shown: dict[str, str] = {}
    for row in (row for row in rows if row["BMP Condition"] in CONDITIONS):
        name, code = row["Ground Truth"].lower(), code_of(row["Video Path"])
        if shown.setdefault(name, code) != code:
            raise BadInput(
                f"'{row['Ground Truth']}' has code {shown[name]} and, in {row['Video Path']}, code {code}; "
                f"expected one code per name; correct {TRIALS}"
            )
    return found | shown


def read(release: Release, condition: str) -> Choices:
    """Return the trials of one condition; BadInput for missing files, unknown answers and inconsistent codes."""
    rows = read_rows(release.file(TRIALS))
    code = codes(rows)
    rows = [row for row in rows if row["BMP Condition"] == condition]
    if not rows:
        raise BadInput(f"{release.name}: {TRIALS} has no trial of condition {condition}; expected the whole release")
    answered = [row for row in rows if row["Human Response"]]
    unknown = sorted({row["Human Response"] for row in answered if row["Human Response"].lower() not in code})
    if unknown:
        raise BadInput(
            f"{release.name}: {len(unknown)} answers in {TRIALS} name no known action, first '{unknown[0]}'; "
            f"expected one of {', '.join(sorted(code))}; correct the file"
        )
    trials = {
        "stimulus_id": np.array([row["Video Path"] for row in answered]),
        "truth": np.array([code_of(row["Video Path"]) for row in answered]),
        "choice": np.array([code[row["Human Response"].lower()] for row in answered]),
        "subject": np.array([row["ID"] for row in answered]),
    }
    files = sorted(set(trials["stimulus_id"].tolist()))
    paths = release.require([_place(release.folder / SHOWN / condition, file) for file in files])
    lengths = film_lengths(release, paths, "shown films")
    require_readable(release, paths, lengths)
    fitting, notes = _fitting(release, condition, files)
    notes = {"trials without an answer left out": len(rows) - len(answered), **notes}
    return Choices(_stimuli(release.name, files, paths, lengths), trials, tuple(ACTIONS), fitting, notes)


def _place(folder: Path, file: str) -> Path:
    """Return the film's path, in the folder of its action or not; the path as listed if it is in neither."""
    listed, name = folder / file, Path(file).name
    known = (listed, folder / code_of(file) / name, folder / name)
    return next((path for path in known if path.is_file()), listed)


def _fitting(release: Release, condition: str, shown: list[str]) -> tuple[Labels, dict[str, object]]:
    """Return the labelled films for fitting the read-out, and notes on those left out."""
    folder = f"{FITTING}/{family(condition)}"
    inside = [*release.files(f"{folder}/*", 0), *release.files(f"{folder}/A[0-9][0-9][0-9]/*", 0)]
    found = sorted(path for path in inside if path.suffix.lower() in FILMS)
    names = [path.name for path in found]
    if len(set(names)) < len(names):
        doubled = next(name for name in names if names.count(name) > 1)
        raise BadInput(f"{release.name}: two films of {folder} are called {doubled}; expected one; remove the other")
    seen = {recording_of(file) for file in shown}
    unseen = [path for path in found if recording_of(path.name) not in seen]
    lengths = film_lengths(release, unseen, "fitting films")
    paths = [path for path, length in zip(unseen, lengths, strict=True) if not np.isnan(length)]
    if not paths:
        raise BadInput(
            f"{release.name}: none of {len(found)} films of {folder} can be read and was not shown; expected the "
            f"training films"
        )
    files = [path.name for path in paths]
    stimuli = _stimuli(f"{release.name}-fitting", files, paths, lengths[~np.isnan(lengths)])
    notes = {"fitting films of shown recordings left out": len(found) - len(unseen)}
    notes |= {"fitting films that cannot be read left out": named([path for path in unseen if path not in set(paths)])}
    return Labels(stimuli, np.array([[code_of(file)] for file in files]), ("action",)), notes


def family(condition: str) -> str:
    """Return the kind of whole films that a condition was made from."""
    return "J-6P" if condition.startswith("J-6P") else "RGB"


def _stimuli(name: str, files: list[str], paths: list[Path], lengths: np.ndarray) -> Stimuli:
    table = {"action": [code_of(file) for file in files]}
    return Stimuli(name, tuple(files), tuple(paths), lengths, ("video",) * len(files), table)


_BY_HAND = "github.com/ZhangLab-DeepNeuroCogLab/MotionPerceiver links to it; put it at"
DATASETS = [
    Behaviour(
        name=f"han2024-{condition}",
        study="han2024",
        read=partial(read, condition=condition),
        needs=(
            Need("people's answers", TRIALS, ByHand(f"{_BY_HAND} han2024/{TRIALS}"), count=1),
            Need(
                f"{condition} films",
                f"{SHOWN}/{condition}/**/*.*",
                ByHand(f"NTU RGB+D 120 from the ROSE Lab (request, academic use); {_BY_HAND} han2024/{SHOWN}"),
            ),
            Need(
                "fitting films",
                f"{FITTING}/{family(condition)}/**/*.*",
                ByHand(f"the films of the training protocol; {_BY_HAND} han2024/{FITTING}"),
            ),
        ),
        citation="Han, Wang & Zhang 2024, NeurIPS, arXiv:2405.16493",
        licence="NTU RGB+D 120: academic use",
        access="on request",
        source="github.com/ZhangLab-DeepNeuroCogLab/MotionPerceiver; rose1.ntu.edu.sg (NTU RGB+D 120)",
        metric="O2",
        note="ten actions; the read-out is fitted on other films",
        expected={"classes": 10},
    )
    for condition in CONDITIONS
]
