"""Lahner et al. 2024, the BOLD Moments Dataset: ten subjects see 1,102 clips of 3 s, 1,000 three and 102 ten times.

Lahner B, Dwivedi K, Iamshchinina P, ... Cichy R, Oliva A (2024). Modeling short visual events through the BOLD Moments
video fMRI dataset and metadata. Nat Commun 15:6241. Betas: OpenNeuro ds005165, version B, fsaverage (CC0), 10.5 GB
per subject; the clips: boldmomentsdataset.csail.mit.edu, by password after agreeing to their terms.

Layout below DATA_HOME/lahner2024: `derivatives/versionB/fsaverage/GLM/sub-<NN>/prepared_betas/
sub-<NN>_organized_betas_task-{test,train}_hemi-{left,right}_normalized.pkl` as on OpenNeuro, each a pickle of (array
(clips, repeats, 163842), names like "vid0001"); the clips `<NNNN>.mp4` in `stimuli/`; fsaverage's meshes in
`fsaverage/` (fetched; not needed for `--downsampling nested`). Values: (1,026 clips, 10 subjects, 1 bin of 3 s, 20484
vertices), the mean over a subject's repeats. The stimulus table's column `part` is "train" or "test".

As published, 76 clips are left out by id, for a reason that is not given; `--clips all` keeps them. Unlike the
published loader, pickles are read by a reader that executes nothing and maps their arrays, so that memory stays below a
few hundred MB per subject. A vertex of fsaverage5 has the mean over its neighbourhood on the sphere, within its
hemisphere (the published median of the ten nearest pial vertices mixes sulci and the two sides of the midline).
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...records import Responses, Stimuli
from ...utils import BadInput, regular_bins
from ...video import probe
from ..declare import Fmri
from ..notes import first_reasons, left_out_note
from ..parallel import in_parallel
from ..release import ByHand, Need, OpenNeuro, Release, fetch_hint
from . import atlas, surface, unpickle
from .subjects import Files, Part, complete_subjects, fill_empty

NAME = "lahner2024-fmri"
CLIP_MS = 3000.0
PARTS = ("test", "train")
BETAS = (
    "derivatives/versionB/fsaverage/GLM/sub-{0}/prepared_betas/sub-{0}_organized_betas_task-{1}_hemi-{2}_normalized.pkl"
)
_SIDES = {"L": "left", "R": "right"}
_FILE = re.compile(r"sub-(\d+)_organized_betas_task-(test|train)_hemi-(left|right)_normalized\.pkl")
_ID = re.compile(r"\D*(\d{4})(?:\.mp4)?")
CLIPS = ("published", "all")
# fmt: off
EXCLUDED = frozenset(f"{number:04d}" for number in (
    106, 378, 26, 184, 1021, 363, 734, 540, 459, 550, 293, 998, 786, 506, 701, 436, 224, 216, 40,
    172, 32, 737, 914, 201, 473, 333, 976, 597, 237, 1020, 494, 839, 1031, 28, 64, 990, 1015, 347,
    365, 894, 542, 666, 1060, 104, 1044, 809, 156, 343, 890, 1019, 978, 460, 27, 63, 1004, 919, 496,
    989, 276, 710, 982, 779, 992, 198, 235, 41, 210, 951, 202, 139, 122, 651, 448, 1018, 959, 995,
))
# fmt: on
_BETAS = OpenNeuro("ds005165", (BETAS.format("*", "*", "*"),), gigabytes=105.4)
NEEDS = (
    Need("betas (pickles)", BETAS.format("*", "*", "*"), _BETAS, 40),
    Need(
        "clips",
        "stimuli/**/*.mp4",
        ByHand(
            "agree to the terms at boldmomentsdataset.csail.mit.edu, download the clips with the password sent to you, "
            "and put <NNNN>.mp4 into stimuli/ in the study's folder",
            gigabytes=0.5,
        ),
        1102,
    ),
    surface.NEED,
    atlas.NEED,
)


def read(release: Release) -> Responses:
    """Return every subject's mean beta of every clip, one repetition per subject."""
    files, left_out = subject_files(release)
    lists = {subject: _ids(betas) for subject, betas in files.items()}
    first = next(iter(lists))
    for subject, listed in lists.items():
        if listed != lists[first]:
            raise BadInput(
                f"{release.name}: sub-{subject} and sub-{first} list different clips or orders; expected the same in "
                f"all pickles; fetch them again"
            )
    kept, dropped = _kept(release, lists[first])
    stimuli = _stimuli(release, kept)
    parts = _sampled(release, files, lists[first], kept)
    units, notes = atlas.units(release)
    values = np.stack(parts, axis=1)[:, :, None]
    notes |= {"downsampling": _option(release, "downsampling", surface.DOWNSAMPLING)} | fill_empty(values)
    if dropped:
        notes["clips left out"] = f"{dropped} by the published list"
    notes |= left_out_note(left_out)
    subjects = tuple(f"sub-{subject}" for subject in files)
    return Responses(stimuli, values, regular_bins(CLIP_MS, CLIP_MS), units, subjects, notes)


def subject_files(release: Release) -> tuple[Files, dict[str, str]]:
    """Return ({subject: {(part, hemisphere): pickle}} of the subjects with all four, {subject: missing parts})."""
    found: Files = {}
    for path in release.files(BETAS.format("*", "*", "*")):
        match = _FILE.fullmatch(path.name)
        if match:
            found.setdefault(match[1], {})[match[2], match[3]] = path
    wanted = [(part, side) for part in PARTS for side in _SIDES.values()]
    kept, left_out = complete_subjects(found, wanted)
    if not kept:
        raise BadInput(
            f"{release.name}: no subject has all four pickles: {first_reasons(left_out)}; {fetch_hint(release.name)}"
        )
    return kept, left_out


def read_betas(path: Path) -> tuple[np.ndarray, list[str]]:
    """Return the betas (clips, repeats, 163842), memory-mapped, and the clips' ids of four digits."""
    content = unpickle.read(path)
    if not isinstance(content, (tuple, list)) or len(content) != 2 or not isinstance(content[0], np.ndarray):
        raise BadInput(f"{path}: holds {type(content).__name__}; expected (array, names); fetch it again")
    array, names = content
    ids = [match[1] if (match := _ID.fullmatch(str(name))) else "" for name in names]
    if array.ndim != 3 or len(array) != len(ids) or not all(ids):
        first = str(names[0]) if ids else "-"
        raise BadInput(
            f"{path}: an array of shape {array.shape} and {len(ids)} names, first {first}; "
            f"expected (clips, repeats, vertices) and names like vid0001"
        )
    surface.check_width(path, array.shape[2])
    return array, ids


def _ids(betas: dict[Part, Path]) -> dict[str, list[str]]:
    """Return {part: ids} of one subject, checked to be the same in both hemispheres."""
    listed = {key: read_betas(path)[1] for key, path in betas.items()}
    for part in PARTS:
        if listed[part, "left"] != listed[part, "right"]:
            raise BadInput(f"{betas[part, 'left']}: lists other clips than the right hemisphere; fetch both again")
    both = set(listed["test", "left"]) & set(listed["train", "left"])
    if both:
        raise BadInput(
            f"{betas['test', 'left']}: {len(both)} clips are in train too, first {min(both)}; fetch it again"
        )
    return {part: listed[part, "left"] for part in PARTS}


def _option(release: Release, name: str, values: tuple[str, ...]) -> str:
    return release.options.get(name, values[0])


def _kept(release: Release, listed: dict[str, list[str]]) -> tuple[list[tuple[str, int, str]], int]:
    """Return ((part, row, id) of the kept clips, sorted by id, and the number of clips left out)."""
    rows = [(part, row, identity) for part in PARTS for row, identity in enumerate(listed[part])]
    excluded = EXCLUDED if _option(release, "clips", CLIPS) == "published" else frozenset()
    kept = sorted((row for row in rows if row[2] not in excluded), key=lambda row: row[2])
    return kept, len(rows) - len(kept)


def _stimuli(release: Release, kept: list[tuple[str, int, str]]) -> Stimuli:
    have = {path.stem: path for path in sorted((release.folder / "stimuli").rglob("*.mp4"))}
    ids = tuple(identity for _, _, identity in kept)
    paths = release.require([have.get(i, release.folder / "stimuli" / f"{i}.mp4") for i in ids])
    films_ms = np.array([probe(path).duration_ms for path in paths])
    return Stimuli(NAME, ids, tuple(paths), films_ms, ("video",) * len(ids), {"part": [part for part, _, _ in kept]})


def _sampled(release: Release, files, listed: dict[str, list[str]], kept) -> list[np.ndarray]:
    """Return each subject's betas of the kept clips on fsaverage5: (n_clips, 20484)."""
    down = surface.Downsampling(release, _option(release, "downsampling", surface.DOWNSAMPLING))
    n_clips = sum(map(len, listed.values())) * len(_SIDES)
    done = dict.fromkeys(files, 0)

    def one(subject: str) -> np.ndarray:
        def report(n: int) -> None:
            done[subject] = n
            release.progress(sum(done.values()) / n_clips, len(files), f"sub-{subject}")

        all_clips = release.part(
            f"sub-{subject}", list(files[subject].values()), lambda: subject_betas(files[subject], down, report)
        )
        report(n_clips)
        start = {"test": 0, "train": len(listed["test"])}
        return all_clips[[start[part] + row for part, row, _ in kept]]

    return list(in_parallel(release, one, list(files)))


def subject_betas(betas: dict[Part, Path], down: surface.Downsampling, report=lambda n: None) -> np.ndarray:
    """Return one subject's mean betas on fsaverage5, test clips first: (n_clips, 20484), read clip by clip."""
    sides, done = [], 0
    for hemi, side in _SIDES.items():
        rows = []
        for part in PARTS:
            array, _ = read_betas(betas[part, side])
            for clip in one_by_one(array):
                rows.append(down(clip.mean(axis=0, dtype=np.float64)[None], hemi)[0])
                done += 1
                report(done)
        sides.append(np.stack(rows))
    return np.concatenate(sides, axis=1)


def one_by_one(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the clips of betas (clips, repeats, vertices), each mapped separately, which limits memory to one clip."""
    if not isinstance(array, np.memmap) or not array.flags.c_contiguous:
        yield from array
        return
    for start in array.offset + array[0].nbytes * np.arange(len(array)):
        yield np.memmap(array.filename, array.dtype, "r", int(start), array.shape[1:])


DATASETS = [
    Fmri(
        name=NAME,
        study="lahner2024",
        read=read,
        citation="Lahner et al. 2024, Nat Commun 15:6241, doi:10.1038/s41467-024-50310-3",
        licence="CC0 (betas); clips by agreement",
        access="registration",
        source="OpenNeuro ds005165 (betas); boldmomentsdataset.csail.mit.edu (clips)",
        needs=NEEDS,
        options={"clips": CLIPS, "downsampling": surface.DOWNSAMPLING},
        lag=False,
        row_weight=3.0,
        note="one value per clip; 76 clips are left out by the published list",
        expected={"stimuli": 1026, "subjects": 10, "repetitions": 10, "bins": 1, "units": atlas.N_VERTICES},
    )
]
