"""Ilic, Pock & Wildes 2022: recognition of five actions in films of UCF101, and in noise that moves like them.

Ilic F, Pock T, Wildes RP (2022). ECCV, arXiv:2207.06261. The trial program is github.com/f-ilic/
AppearanceFreeActionRecognition (MIT); the answers are available from its authors. Films: UCF101 (Soomro, Zamir & Shah
2012, arXiv:1212.0402) and AFD101, of the same names.

Layout: <DATA_HOME>/ilic2022/response/<date>/<user>.csv with the columns GroundTruth, Prediction, Modality (ucf5 or
ucf5af), UserID, Trainmode, VideoPath and others; ucf101/<Class>/v_<Class>_gNN_cNN.avi and afd101 alike, the latter also
in the folder of the task afd2022. Warm-up trials (Trainmode 1, answers marked with an arrow) and trials without an
answer are left out and counted, and nothing else is. Four fitting films per class, as published, but sampled from a
seed and first from groups (films of one scene) of which none was shown; option `fitting` sets another number.
"""

import csv
import re
from pathlib import Path, PureWindowsPath  # the latter splits at both kinds of slash

import numpy as np

from ...files import write_atomic
from ...records import Choices, Labels, Stimuli
from ...utils import BadInput, first_names, seed_from
from ..declare import Behaviour
from ..release import ByHand, Need, Release, fetch_hint
from .lengths import film_lengths, named, require_readable
from .rows import read_csv

CLASSES = ("JumpingJack", "Lunges", "PullUps", "PushUps", "Swing")
MODALITY = {"ilic2022-ucf5": "ucf5", "ilic2022-afd5": "ucf5af"}
FILMS = {"ilic2022-ucf5": "ucf101", "ilic2022-afd5": "afd101"}
COLUMNS = ("GroundTruth", "Prediction", "Modality", "UserID", "Trainmode", "VideoPath")
FITTING = ("4", "10", "25")
ARROW = "<-"
_GROUP = re.compile(r"_g(\d+)_c\d+")


def scene_of(file: str) -> str:
    """Return the scene of <Class>/<film>: the class and the g number in its name, else the whole name."""
    found = _GROUP.search(file)
    return f"{file.split('/')[0]}/{found[1]}" if found else file


def read_rows(path: Path, modality: str) -> tuple[list[dict[str, str]], dict[str, int]]:
    """Return a subject's trials with films of `modality`, and counts of those left out; BadInput for another format."""
    every = read_csv(path, COLUMNS, "the trial program's file; remove it")
    rows = [row for row in every if row["Modality"] == modality]
    left_out = {"warm-up trials left out": 0, "trials without an answer left out": 0}
    kept = []
    for row in rows:
        if _is_warm_up(path, row["Trainmode"]) or ARROW in row["Prediction"]:
            left_out["warm-up trials left out"] += 1
        elif row["Prediction"] in ("", "nan", "None"):
            left_out["trials without an answer left out"] += 1
        else:
            kept.append(row)
            _check(path, row)
    return kept, left_out


def _is_warm_up(path: Path, mode: str) -> bool:
    known = {"0": False, "0.0": False, "false": False, "": False, "1": True, "1.0": True, "true": True}
    if mode.strip().lower() not in known:
        raise BadInput(f"{path}: Trainmode '{mode}'; expected 0 or 1; correct the file")
    return known[mode.strip().lower()]


def _check(path: Path, row: dict[str, str]) -> None:
    """Raise BadInput if a class is unknown, or if it differs from the folder of the film."""
    wrong = [row[column] for column in ("GroundTruth", "Prediction") if row[column] not in CLASSES]
    if wrong:
        raise BadInput(f"{path}: '{wrong[0]}' is no class; expected one of {', '.join(CLASSES)}; correct the file")
    if PureWindowsPath(row["VideoPath"]).parent.name != row["GroundTruth"]:
        raise BadInput(
            f"{path}: {row['VideoPath']} has GroundTruth {row['GroundTruth']}; expected the name of its folder; "
            f"correct the file"
        )


def read(release: Release) -> Choices:
    """Return the trials of one kind of film; BadInput for missing films and for inconsistent files."""
    rows, notes = [], {}
    for path in release.files("response/**/*.csv"):
        kept, left_out = read_rows(path, MODALITY[release.name])
        rows += kept
        notes = {what: notes.get(what, 0) + n for what, n in left_out.items()}
    if not rows:
        raise BadInput(f"{release.name}: no trial of modality {MODALITY[release.name]}; expected the subjects' files")
    files = [f"{row['GroundTruth']}/{PureWindowsPath(row['VideoPath']).name}" for row in rows]
    shown = sorted(set(files))
    films = films_home(release)
    missing = [file for file in shown if not (films / file).is_file()]
    if missing:
        raise BadInput(
            f"{release.name}: {len(missing)} of {len(shown)} films are missing in {films}: "
            f"{first_names(missing, 10)}; {fetch_hint(release.name)}"
        )
    trials = {
        "stimulus_id": np.array(files),
        "truth": np.array([row["GroundTruth"] for row in rows]),
        "choice": np.array([row["Prediction"] for row in rows]),
        "subject": np.array([row["UserID"] for row in rows]),
    }
    paths = [films / file for file in shown]
    lengths = film_lengths(release, paths, "shown films")
    require_readable(release, paths, lengths)
    fitting, more = _fitting(release, films, shown)
    return Choices(_stimuli(release.name, shown, paths, lengths), trials, CLASSES, fitting, notes | more)


def films_home(release: Release) -> Path:
    """Return the folder of the films: in the study's folder or, for AFD101, in that of the task afd2022."""
    of_study = release.folder / FILMS[release.name]
    of_task = release.folder.parent / "afd2022" / FILMS[release.name]
    return of_task if not of_study.is_dir() and of_task.is_dir() else of_study


def _fitting(release: Release, films: Path, shown: list[str]) -> tuple[Labels, dict[str, object]]:
    """Return films that were not shown, as many of each class, as listed in the manifest, and notes on them."""
    manifest = release.manifest(f"{release.name}-fitting")
    wanted = int(release.options.get("fitting", FITTING[0]))
    chosen, broken = _listed(manifest) if manifest.is_file() else [], []
    if len(chosen) != wanted * len(CLASSES) or set(chosen) & set(shown):
        chosen, broken = sample_fitting(release, films, shown, wanted)
        lines = [f"{file},{file},{file.split('/')[0]}" for file in chosen]
        write_atomic(manifest, ("\n".join(["stimulus_id,file,class", *lines]) + "\n").encode())
    paths = [films / file for file in chosen]
    lengths = film_lengths(release, paths, "fitting films")
    gone = [file for file, length in zip(chosen, lengths, strict=True) if np.isnan(length)]
    if gone:
        raise BadInput(f"{manifest} lists {gone[0]}, which is not in {films}; put it back or remove the manifest")
    seen = {scene_of(file) for file in shown}
    notes = {"fitting films of shown groups": sum(scene_of(file) in seen for file in chosen)}
    notes |= {"fitting films that cannot be read left out": named(broken)}
    stimuli = _stimuli(f"{release.name}-fitting", chosen, paths, lengths)
    return Labels(stimuli, np.array([[file.split("/")[0]] for file in chosen]), ("action",)), notes


def _listed(manifest: Path) -> list[str]:
    with open(manifest, newline="", encoding="utf-8") as handle:
        return [row["file"] for row in csv.DictReader(handle)]


def sample_fitting(release: Release, films: Path, shown: list[str], wanted: int) -> tuple[list[str], list[Path]]:
    """Return `wanted` random films of each class that were not shown, unseen scenes first; and the damaged films."""
    rng = np.random.default_rng(seed_from(release.name, "draw"))
    seen, chosen, broken = {scene_of(file) for file in shown}, [], []
    for name in CLASSES:
        files = [f"{name}/{path.name}" for path in sorted((films / name).glob("*")) if path.suffix in (".avi", ".mp4")]
        free = [files[k] for k in rng.permutation(len(files)) if files[k] not in set(shown)]
        free.sort(key=lambda file: scene_of(file) in seen)
        lengths = film_lengths(release, [films / file for file in free], f"films of {name}")
        broken += [films / file for file, length in zip(free, lengths, strict=True) if np.isnan(length)]
        whole = [file for file, length in zip(free, lengths, strict=True) if not np.isnan(length)]
        if len(whole) < wanted:
            raise BadInput(
                f"{release.name}: {len(whole)} films of {name} in {films} were not shown; expected at least {wanted} "
                f"to fit the read-out on; {fetch_hint(release.name)}"
            )
        chosen += sorted(whole[:wanted])
    return chosen, broken


def _stimuli(name: str, files: list[str], paths: list[Path], lengths: np.ndarray) -> Stimuli:
    table = {"class": [file.split("/")[0] for file in files]}
    return Stimuli(name, tuple(files), tuple(paths), lengths, ("video",) * len(files), table)


_ANSWERS = Need(
    "people's answers",
    "response/**/*.csv",
    ByHand("not public: ask the authors of arXiv:2207.06261; put their files at ilic2022/response/<date>/<user>.csv"),
)
_UCF = ByHand("UCF-101 from www.crcv.ucf.edu/data/UCF101.php, unpacked as ilic2022/ucf101/<Class>/<film>.avi", 6.9)
_AFD = ByHand("AFD101: run `dynamic-vision data fetch afd2022`, whose films are used here too", 13.0)
DATASETS = [
    Behaviour(
        name=name,
        study="ilic2022",
        read=read,
        needs=(_ANSWERS, Need("films", f"{FILMS[name]}/*/*", origin, optional=name == "ilic2022-afd5")),
        options={"fitting": FITTING},
        citation="Ilic, Pock & Wildes 2022, ECCV, arXiv:2207.06261",
        licence="not stated",
        access="on request",
        source=source,
        metric="O2",
        note="five actions; the read-out is fitted on other films",
        expected={"classes": 5, "fitting": 20},
    )
    for name, origin, source in (
        ("ilic2022-ucf5", _UCF, "the authors (answers); UCF101"),
        ("ilic2022-afd5", _AFD, "the authors (answers); AFD101"),
    )
]
