"""McMahon et al. 2023: four subjects see 250 clips of 3 s of two people, 200 to train and 50 to test.

McMahon E, Bonner MF, Isik L (2023). Hierarchical organization of social action features along the lateral visual
pathway. Curr Biol 33:5035-5047. Raw data: OpenNeuro ds004542 (CC0); the lists: Isik-lab/SIdyads_presentation (MIT);
betas, clips and ratings: from the authors (OSF, Google Drive).

Layout below DATA_HOME/mcmahon2023: `train.csv` and `test.csv` (column video_name; the latter with a byte order mark);
`annotations.csv` (video_name and 12 ratings); `dyad_videos_3000ms/<name>.mp4`; anywhere,
`sub-<NN>_space-T1w_desc-{train,test}-fracridge-{odd,even}_data_MNI152NLin2009cAsym.nii.gz`, one volume per clip in the
lists' order. Values: (250 clips, 8 = 4 subjects x odd and even runs, 1 bin of 3 s, 20484 vertices).

The published loader joins train and test volumes in the order in which the file system lists them. Here each file is
identified by the subject, part and half in its name. Odd and even runs are repetitions with the name of their subject,
so that the halves of the ceiling never share a subject. The volumes follow the clips' names in their sorted order, in
the authors' code as in train.csv and test.csv, which are sorted; their number is checked. The betas of all runs
together are not read. (The lists' checksums are pinned: an older version of train.csv has "#NAME?" in place of its
first clip.)
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...records import Responses, Stimuli
from ...utils import BadInput, first_names, regular_bins
from ...video import probe
from ..declare import Fmri
from ..notes import first_reasons, left_out_note
from ..parallel import with_progress
from ..release import ByHand, Http, Need, OpenNeuro, Release
from . import atlas, surface
from .fmriprep import read_table
from .subjects import Files, complete_subjects, fill_empty

NAME = "mcmahon2023-fmri"
CLIP_MS = 3000.0
PARTS = ("train", "test")
HALVES = ("odd", "even")
CATCH = "crowd"
CLIPS, RATINGS = "dyad_videos_3000ms", "annotations.csv"
_FILE = re.compile(r"sub-(\d+)_space-T1w_desc-(train|test)-fracridge-(odd|even)_data_MNI152NLin2009cAsym\.nii\.gz")
_NATIVE = "**/sub-*_desc-t*-fracridge-*_data.nii.gz"
_WARP = (
    "warp the files in T1w space with fMRIPrep's sub-<NN>_from-T1w_to-MNI152NLin2009cAsym_mode-image_xfm.h5 "
    "(antsApplyTransforms -e 3 -n Linear) and add _MNI152NLin2009cAsym to their names"
)
_URL = "https://raw.githubusercontent.com/Isik-lab/SIdyads_presentation/HEAD"
LISTS = Http(
    {f"{part}.csv": f"{_URL}/{part}.csv" for part in PARTS},
    gigabytes=0.00001,
    sha256={
        "train.csv": "c027e8ae031a86599be5300a78841d26262d9a5af967865a26e5b96993b5e7d7",
        "test.csv": "c1acd202ef00da543cfa7553e5a9edb82d234cd39abd93300736758dc9bc8765",
    },
)
_ASK = "from the authors (github.com/Isik-lab/SIfMRI_analysis names their OSF and Google Drive folders)"
NEEDS = (
    Need("lists of clips", "t*.csv", LISTS, 2),
    Need(
        "betas of odd and even runs",
        "**/sub-*_desc-t*-fracridge-*_data_MNI152NLin2009cAsym.nii.gz",
        ByHand(f"get the fracridge betas {_ASK}; {_WARP}; put them anywhere below the study's folder", gigabytes=5),
        16,
    ),
    Need("clips", f"{CLIPS}/*.mp4", ByHand(f"get {CLIPS} {_ASK}; put the folder into the study's", gigabytes=0.2), 250),
    Need("ratings", RATINGS, ByHand(f"get {RATINGS} {_ASK}", gigabytes=0.0001), 1, optional=True),
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
    """Return every subject's betas of every clip, with odd and even runs as repetitions."""
    names = clip_lists(release)
    files, left_out = betas(release)
    _check_volumes(names, files)
    stimuli, shown = _stimuli(release, names), _shown(release, names)
    parts = _sampled(release, files)
    units, notes = atlas.units(release)
    values = np.stack(parts, axis=1)[:, :, None]
    notes |= {"sampling": release.options.get("sampling", surface.SAMPLING[0])}
    notes |= {"order of betas": "by clip's name, as in train.csv and test.csv (verified in the authors' code)"} | shown
    notes |= fill_empty(values) | left_out_note(left_out)
    subjects = tuple(f"sub-{subject}" for subject in files for _ in HALVES)
    return Responses(stimuli, values, regular_bins(CLIP_MS, CLIP_MS), units, subjects, notes)


def clip_lists(release: Release) -> dict[str, list[str]]:
    """Return {part: names of its clips}, in the order of the lists; BadInput for a clip in both."""
    names = {part: read_list(release.file(f"{part}.csv")) for part in PARTS}
    shared = set(names["train"]) & set(names["test"])
    if shared:
        raise BadInput(
            f"{release.name}: {len(shared)} clips are in train.csv and test.csv, first {min(shared)}; fetch both again"
        )
    return names


def read_list(path: Path) -> list[str]:
    """Return the names of the clips of a list, in its order; a byte order mark at its beginning is skipped."""
    rows = path.read_text(encoding="utf-8-sig").split()
    if not rows or rows[0] != "video_name" or len(set(rows)) < len(rows):
        raise BadInput(
            f"{path}: begins with '{rows[0] if rows else ''}'; expected video_name and distinct names below it"
        )
    damaged = [name for name in rows[1:] if not name.endswith(".mp4")]
    if damaged:
        raise BadInput(f"{path}: '{damaged[0]}' is no clip (an older version of the list has it); fetch it again")
    return rows[1:]


def trials(path: Path) -> list[str]:
    """Return the clips that a run showed, in order, without the catch trials.

    The events of the release also have a row without onset for every clip that was not shown; these are skipped.
    """
    table = read_table(path)
    shown = zip(table["onset"], table["trial_type"], strict=True)
    return [name for onset, name in shown if _finite(onset) and name != CATCH]


def _finite(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def betas(release: Release) -> tuple[Files, dict[str, str]]:
    """Return ({subject: {(part, half): volumes}} of the subjects with all four, {subject: missing parts})."""
    found: Files = {}
    native = release.files(_NATIVE, 0)
    pattern = "**/sub-*_desc-t*-fracridge-*_data_MNI152NLin2009cAsym.nii.gz"
    if native and not release.files(pattern, 0):
        raise BadInput(
            f"{release.name}: {len(native)} files of betas are in the subjects' native T1w space, first "
            f"{native[0].name}; expected MNI152NLin2009cAsym: {_WARP}"
        )
    for path in release.files(pattern):
        match = _FILE.fullmatch(path.name)
        if match is None:
            continue
        of_subject = found.setdefault(match[1], {})
        key = (match[2], match[3])
        if key in of_subject:
            raise BadInput(f"{release.name}: {path} and {of_subject[key]} are the same betas; remove one of them")
        of_subject[key] = path
    wanted = [(part, half) for part in PARTS for half in HALVES]
    kept, left_out = complete_subjects(found, wanted)
    if not kept:
        raise BadInput(
            f"{release.name}: no subject has odd and even betas of train and test: "
            f"{first_reasons(left_out) or 'no file has such a name'}; get them"
        )
    return kept, left_out


def _check_volumes(names: dict[str, list[str]], files: Files) -> None:
    """Raise BadInput if a file has another number of volumes than its list has clips."""
    for of_subject in files.values():
        for (part, _), path in of_subject.items():
            n_volumes = surface.open_volumes(path).shape[3]
            if n_volumes != len(names[part]):
                raise BadInput(
                    f"{path}: {n_volumes} volumes; expected {len(names[part])}, one per clip of {part}.csv; "
                    "get the file again"
                )


def _stimuli(release: Release, names: dict[str, list[str]]) -> Stimuli:
    ids = [name for part in PARTS for name in names[part]]
    paths = release.require([release.folder / CLIPS / name for name in ids])
    table: dict[str, list] = {"part": [part for part in PARTS for _ in names[part]]}
    if (release.folder / RATINGS).is_file():
        rated = ratings(release.folder / RATINGS, ids)
        table |= {name.replace(" ", "_"): values.tolist() for name, values in rated.items()}
    films_ms = np.array([probe(path).duration_ms for path in paths])
    return Stimuli(NAME, tuple(ids), tuple(paths), films_ms, ("video",) * len(ids), table)


def ratings(path: Path, clips: Sequence[str]) -> dict[str, np.ndarray]:
    """Return {rating: (n_clips,)} of the columns of numbers, named in lower case with spaces; NaN for an empty field.

    Clips may be listed with or without .mp4. Raises BadInput for rows of another length than the header, and for clips
    without a row.
    """
    with open(path, newline="", encoding="utf-8-sig") as handle:
        header, *rows = [row for row in csv.reader(handle) if row]
    uneven = next((k for k, row in enumerate(rows, start=2) if len(row) != len(header)), None)
    if uneven:
        raise BadInput(f"{path}: row {uneven} differs from the header's {len(header)} columns; get the file again")
    names = [name.strip().lower().replace("_", " ") for name in header]
    if "video name" not in names:
        raise BadInput(f"{path}: no column video name; it has {', '.join(names)}; get the file again")
    table = {name: [row[k].strip() for row in rows] for k, name in enumerate(names)}
    row_of = {clip.removesuffix(".mp4"): k for k, clip in enumerate(table.pop("video name"))}
    unrated = [clip for clip in clips if clip.removesuffix(".mp4") not in row_of]
    if unrated:
        raise BadInput(
            f"{path}: {len(unrated)} of {len(clips)} clips have no ratings ({first_names(unrated)}); expected all of "
            f"them; get the file that belongs to the lists"
        )
    order = [row_of[clip.removesuffix(".mp4")] for clip in clips]
    columns = {name: _numbers(column) for name, column in table.items()}
    return {name: column[order] for name, column in columns.items() if column is not None}


def _numbers(column: list[str]) -> np.ndarray | None:
    """Return a column of numbers, None if it holds words."""
    try:
        return np.array([float(value or "nan") for value in column])
    except ValueError:
        return None


def _shown(release: Release, names: dict[str, list[str]]) -> dict[str, str]:
    """Return the note on presentations per clip and subject in the raw events, if any; BadInput for unlisted clips."""
    counts: dict[str, dict[str, int]] = {}
    known = {name: part for part in PARTS for name in names[part]}
    for path in sorted(release.folder.glob("sub-*/ses-*/func/*_task-SIdyads_*_events.tsv")):
        of_subject = counts.setdefault(path.name.split("_")[0], dict.fromkeys(PARTS, 0))
        for name in trials(path):
            if name not in known:
                raise BadInput(f"{path}: shows {name}, which neither train.csv nor test.csv lists; fetch them again")
            of_subject[known[name]] += 1
    texts = [
        f"{subject} {' / '.join(f'{of_subject[part] / len(names[part]):g}' for part in PARTS)}"
        for subject, of_subject in counts.items()
    ]
    return {"times shown (train / test)": "; ".join(texts)} if texts else {}


def _sampled(release: Release, files: Files) -> list[np.ndarray]:
    """Return the betas of each subject and half on fsaverage5, train clips first: (n_clips, 20484)."""
    sampling = release.options.get("sampling", surface.SAMPLING[0])
    pieces = [(subject, half) for subject in files for half in HALVES]

    def one(piece: tuple[str, str]) -> np.ndarray:
        subject, half = piece
        paths = [files[subject][part, half] for part in PARTS]
        return release.part(
            f"sub-{subject}-{half}",
            paths,
            lambda: np.concatenate([surface.sample_volumes(path, sampling) for path in paths]),
        )

    return with_progress(release, one, pieces, lambda piece: f"sub-{piece[0]} {piece[1]}")


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
        note="one value per clip; odd and even runs are two repetitions of each of four subjects",
        expected={"stimuli": 250, "subjects": 4, "repetitions": 8, "bins": 1, "units": atlas.N_VERTICES},
    )
]
