"""McMahon et al. 2023: four people see 250 clips of 3 s of two people, 200 to train and 50 to test.

McMahon E, Bonner MF, Isik L (2023). Hierarchical organization of social action features along the lateral visual
pathway. Curr Biol 33:5035-5047. Raw data: OpenNeuro ds004542 (CC0); the lists: Isik-lab/SIdyads_presentation (MIT);
betas, clips and ratings: from the authors (OSF, Google Drive).

Layout below DATA_HOME/mcmahon2023: `train.csv` and `test.csv` (column video_name; the latter with a byte order mark);
`annotations.csv` (video_name and 12 ratings); `dyad_videos_3000ms/<name>.mp4`; anywhere,
`sub-<NN>_space-T1w_desc-{train,test}-fracridge-{odd,even}_data_MNI152NLin2009cAsym.nii.gz`, one volume per clip in the
lists' order. Values: (250 clips, 8 = 4 people x odd and even runs, 1 bin of 3 s, 20484 vertices).

Unlike the published loader, whose train and test volumes were joined in the order in which the disk gave them, each
file is known by the person, part and half in its name; odd and even runs are repetitions of one person, who is named,
so that halves of the ceiling never share a person. That the volumes follow the lists is what the published loader
assumes too; nothing in the files can confirm it, only their number is checked. The betas of all runs together are not
read. (The lists' checksums are pinned: an older version of train.csv has "#NAME?" in place of its first clip.)
"""

import csv
import re
from pathlib import Path

import numpy as np

from ...records import Responses, Stimuli
from ...utils import BadInput, regular_bins
from ...video import probe
from ..declare import Fmri
from ..release import ByHand, Http, Need, OpenNeuro, Release
from . import atlas, surface
from .fmriprep import read_table
from .subjects import counted, fill_empty, first_reasons, left_out_note, whole

NAME = "mcmahon2023-fmri"
CLIP_MS = 3000.0
PARTS = ("train", "test")
HALVES = ("odd", "even")
CATCH = "crowd"
CLIPS = "dyad_videos_3000ms"
_FILE = re.compile(r"sub-(\d+)_space-T1w_desc-(train|test)-fracridge-(odd|even)_data_MNI152NLin2009cAsym\.nii\.gz")
_LISTS = "https://raw.githubusercontent.com/Isik-lab/SIdyads_presentation/HEAD"
_ASK = "from the authors (github.com/Isik-lab/SIfMRI_analysis names their OSF and Google Drive folders)"
NEEDS = (
    Need(
        "lists of clips",
        "t*.csv",
        Http(
            {f"{part}.csv": f"{_LISTS}/{part}.csv" for part in PARTS},
            gigabytes=0.00001,
            sha256={
                "train.csv": "c027e8ae031a86599be5300a78841d26262d9a5af967865a26e5b96993b5e7d7",
                "test.csv": "c1acd202ef00da543cfa7553e5a9edb82d234cd39abd93300736758dc9bc8765",
            },
        ),
        2,
    ),
    Need(
        "betas of odd and even runs",
        "**/sub-*_desc-t*-fracridge-*_data_MNI152NLin2009cAsym.nii.gz",
        ByHand(f"get the fracridge betas {_ASK}, and put them anywhere below the study's folder", gigabytes=5),
        16,
    ),
    Need("clips", f"{CLIPS}/*.mp4", ByHand(f"get {CLIPS} {_ASK}; put the folder into the study's", gigabytes=0.2), 250),
    Need("ratings", "annotations.csv", ByHand(f"get annotations.csv {_ASK}", gigabytes=0.0001), 1, optional=True),
    Need(
        "events of the raw runs",
        "sub-*/ses-*/func/*_task-SIdyads_*_events.tsv",
        OpenNeuro("ds004542", ("sub-*/ses-*/func/*_task-SIdyads_*_events.tsv",), gigabytes=0.006),
        234,
        optional=True,
    ),
    atlas.NEED,
)


def read(release: Release) -> Responses:
    """Everybody's betas of every clip, odd and even runs as repetitions of a person."""
    names = {part: read_list(release.file(f"{part}.csv")) for part in PARTS}
    files, left_out = betas(release)
    _check_volumes(names, files)
    stimuli, shown = _stimuli(release, names), _shown(release, names)
    parts = _sampled(release, files)
    units, notes = atlas.units(release)
    values = np.stack(parts, axis=1)[:, :, None]
    notes |= {"sampling": release.options.get("sampling", surface.SAMPLING[0])}
    notes |= {"order of betas": "as in train.csv and test.csv; the files cannot confirm it"} | shown
    notes |= fill_empty(values) | left_out_note(left_out)
    subjects = tuple(f"sub-{person}" for person in files for _ in HALVES)
    return Responses(stimuli, values, regular_bins(CLIP_MS, CLIP_MS), units, subjects, notes)


def read_list(path: Path) -> list[str]:
    """The names of the clips of a list, in its order; a byte order mark at its beginning does not count."""
    rows = path.read_text(encoding="utf-8-sig").split()
    if not rows or rows[0] != "video_name" or len(set(rows)) < len(rows):
        raise BadInput(
            f"{path}: begins with '{rows[0] if rows else ''}'; expected video_name and unlike names below it"
        )
    damaged = [name for name in rows[1:] if not name.endswith(".mp4")]
    if damaged:
        raise BadInput(f"{path}: '{damaged[0]}' is no clip (an older version of the list has it); fetch it again")
    return rows[1:]


def trials(path: Path) -> list[str]:
    """The clips that a run showed, in order, without the catch trials.

    The events of the release also have a row without onset for every clip that was not shown; these do not count.
    """
    table = read_table(path)
    shown = zip(table["onset"], table["trial_type"], strict=True)
    return [name for onset, name in shown if _finite(onset) and name != CATCH]


def _finite(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def betas(release: Release) -> tuple[dict[str, dict[tuple[str, str], Path]], dict[str, str]]:
    """({person: {(part, half): volumes}} of those who have all four, {person: what is missing} of the others)."""
    found: dict[str, dict[tuple[str, str], Path]] = {}
    for path in release.files("**/sub-*_desc-t*-fracridge-*_data_MNI152NLin2009cAsym.nii.gz"):
        match = _FILE.fullmatch(path.name)
        if match is None:
            continue
        mine = found.setdefault(match[1], {})
        key = (match[2], match[3])
        if key in mine:
            raise BadInput(f"{release.name}: {path} and {mine[key]} are the same betas; remove one of them")
        mine[key] = path
    wanted = [(part, half) for part in PARTS for half in HALVES]
    kept, left_out = whole(found, wanted)
    if not kept:
        raise BadInput(
            f"{release.name}: nobody has odd and even betas of train and test: "
            f"{first_reasons(left_out) or 'no file is named so'}; get them"
        )
    return kept, left_out


def _check_volumes(names: dict[str, list[str]], files: dict[str, dict[tuple[str, str], Path]]) -> None:
    shared = set(names["train"]) & set(names["test"])
    if shared:
        raise BadInput(
            f"{NAME}: {len(shared)} clips are in train.csv and test.csv, first {min(shared)}; fetch both again"
        )
    for mine in files.values():
        for (part, _), path in mine.items():
            n_volumes = surface.open_volumes(path).shape[3]
            if n_volumes != len(names[part]):
                raise BadInput(
                    f"{path}: {n_volumes} volumes; expected {len(names[part])}, one per clip of {part}.csv; get it anew"
                )


def _stimuli(release: Release, names: dict[str, list[str]]) -> Stimuli:
    ids = [name for part in PARTS for name in names[part]]
    paths = release.require([release.folder / CLIPS / name for name in ids])
    table: dict[str, list] = {"part": [part for part in PARTS for _ in names[part]]}
    table |= ratings(release.folder / "annotations.csv", ids)
    lasts_ms = np.array([probe(path).duration_ms for path in paths])
    return Stimuli(NAME, tuple(ids), tuple(paths), lasts_ms, ("video",) * len(ids), table)


def ratings(path: Path, ids: list[str]) -> dict[str, list[float]]:
    """{rating: one value per clip}, nothing where the file is not there; BadInput for clips that it does not rate."""
    if not path.is_file():
        return {}
    with open(path, encoding="utf-8-sig", newline="") as handle:
        rows = {row["video_name"]: row for row in csv.DictReader(handle)}
    absent = [name for name in ids if name not in rows]
    if absent:
        raise BadInput(f"{path}: no row for {len(absent)} clips, first {absent[0]}; expected every one; get it again")
    columns = [column for column in rows[ids[0]] if column and column != "video_name"]
    try:
        return {column.strip().replace(" ", "_"): [float(rows[name][column]) for name in ids] for column in columns}
    except (TypeError, ValueError) as error:
        raise BadInput(f"{path}: a rating is no number ({error}); expected numbers in all columns") from error


def _shown(release: Release, names: dict[str, list[str]]) -> dict[str, str]:
    """How often the raw events, where they are there, say that each person saw a clip; BadInput for strange clips."""
    counts: dict[str, dict[str, int]] = {}
    known = {name: part for part in PARTS for name in names[part]}
    for path in sorted(release.folder.glob("sub-*/ses-*/func/*_task-SIdyads_*_events.tsv")):
        mine = counts.setdefault(path.name.split("_")[0], dict.fromkeys(PARTS, 0))
        for name in trials(path):
            if name not in known:
                raise BadInput(f"{path}: shows {name}, which neither train.csv nor test.csv lists; fetch them again")
            mine[known[name]] += 1
    said = [
        f"{person} {' / '.join(f'{mine[part] / len(names[part]):g}' for part in PARTS)}"
        for person, mine in counts.items()
    ]
    return {"times shown (train / test)": "; ".join(said)} if said else {}


def _sampled(release: Release, files: dict[str, dict[tuple[str, str], Path]]) -> list[np.ndarray]:
    """The betas of each person and half on fsaverage5, train clips first: (n_clips, 20484)."""
    sampling = release.options.get("sampling", surface.SAMPLING[0])
    pieces = [(person, half) for person in files for half in HALVES]

    def one(piece: tuple[str, str]) -> np.ndarray:
        person, half = piece
        paths = [files[person][part, half] for part in PARTS]
        return release.part(
            f"sub-{person}-{half}",
            paths,
            lambda: np.concatenate([surface.sample_volumes(path, sampling) for path in paths]),
        )

    return counted(release, one, {f"sub-{person} {half}": (person, half) for person, half in pieces})


DATASETS = [
    Fmri(
        name=NAME,
        study="mcmahon2023",
        read=read,
        citation="McMahon et al. 2023, Curr Biol 33:5035, doi:10.1016/j.cub.2023.10.015",
        licence="CC0 (raw data); betas and clips not stated",
        access="on request",
        source="OpenNeuro ds004542 (raw); betas, clips and ratings from the authors (OSF, Google Drive)",
        needs=NEEDS,
        options={"sampling": surface.SAMPLING},
        lag=False,
        row_weight=3.0,
        note="one value per clip; odd and even runs are two repetitions of each of four people",
        expected={"stimuli": 250, "subjects": 4, "repetitions": 8, "bins": 1, "units": atlas.N_VERTICES},
    )
]
