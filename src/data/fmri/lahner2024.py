"""Lahner et al. 2024, the BOLD Moments Dataset: ten people see 1,102 clips of 3 s, 1,000 three and 102 ten times.

Lahner B, Dwivedi K, Iamshchinina P, ... Cichy R, Oliva A (2024). Modeling short visual events through the BOLD Moments
video fMRI dataset and metadata. Nat Commun 15:6241. Betas: OpenNeuro ds005165, version B, fsaverage (CC0), 10.5 GB a
person; the clips: boldmomentsdataset.csail.mit.edu, by password after agreeing to their terms.

Layout below DATA_HOME/lahner2024: `derivatives/versionB/fsaverage/GLM/sub-<NN>/prepared_betas/
sub-<NN>_organized_betas_task-{test,train}_hemi-{left,right}_normalized.pkl` as on OpenNeuro, each a pickle of (array
(clips, repeats, 163842), names like "vid0001"); the clips `<NNNN>.mp4` in `stimuli/`; fsaverage's meshes in
`fsaverage/` (fetched; not needed for `--downsampling nested`). Values: (1,026 clips, 10 people, 1 bin of 3 s, 20484
vertices), the mean over a person's repeats. The stimulus table's column `part` says train or test.

As published, 76 clips are left out by id, for a reason that is not given; `--clips all` keeps them. Unlike the
published loader: pickles are read by a reader that runs nothing and maps their arrays, so that memory stays below a few
hundred MB a person; fsaverage5 takes the mean over its vertices' own neighbourhood on the sphere, within a hemisphere
(the published median of the ten nearest pial vertices mixed sulci and the two sides of the midline).
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...records import Responses, Stimuli
from ...utils import BadInput, regular_bins
from ...video import probe
from ..declare import Fmri
from ..release import ByHand, Need, OpenNeuro, Release
from . import atlas, surface, unpickle
from .subjects import each, fill_empty, first_reasons, left_out_note, whole

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
    """Everybody's mean beta of every clip, a repetition per person."""
    files, left_out = people(release)
    lists = {person: _ids(betas) for person, betas in files.items()}
    first = next(iter(lists))
    for person, listed in lists.items():
        if listed != lists[first]:
            raise BadInput(
                f"{release.name}: sub-{person} and sub-{first} list other clips, or in another order; expected the "
                f"same in all pickles; fetch them again"
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
    subjects = tuple(f"sub-{person}" for person in files)
    return Responses(stimuli, values, regular_bins(CLIP_MS, CLIP_MS), units, subjects, notes)


def people(release: Release) -> tuple[dict[str, dict[tuple[str, str], Path]], dict[str, str]]:
    """({person: {(part, hemisphere): pickle}} of those who have all four, {person: what is missing} of the others)."""
    found: dict[str, dict[tuple[str, str], Path]] = {}
    for path in release.files(BETAS.format("*", "*", "*")):
        match = _FILE.fullmatch(path.name)
        if match:
            found.setdefault(match[1], {})[match[2], match[3]] = path
    wanted = [(part, side) for part in PARTS for side in _SIDES.values()]
    kept, left_out = whole(found, wanted)
    if not kept:
        raise BadInput(
            f"{release.name}: nobody has all four pickles: {first_reasons(left_out)}; "
            f"run: python -m src.data fetch {release.name}"
        )
    return kept, left_out


def read_betas(path: Path) -> tuple[np.ndarray, list[str]]:
    """The betas (clips, repeats, 163842), memory-mapped, and the clips' ids of four digits."""
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


def _ids(betas: dict[tuple[str, str], Path]) -> dict[str, list[str]]:
    """{part: ids} of one person, the same on both sides."""
    listed = {key: read_betas(path)[1] for key, path in betas.items()}
    for part in PARTS:
        if listed[part, "left"] != listed[part, "right"]:
            raise BadInput(f"{betas[part, 'left']}: names other clips than its right hemisphere; fetch both again")
    both = set(listed["test", "left"]) & set(listed["train", "left"])
    if both:
        raise BadInput(
            f"{betas['test', 'left']}: {len(both)} clips are in train too, first {min(both)}; fetch it again"
        )
    return {part: listed[part, "left"] for part in PARTS}


def _option(release: Release, name: str, values: tuple[str, ...]) -> str:
    return release.options.get(name, values[0])


def _kept(release: Release, listed: dict[str, list[str]]) -> tuple[list[tuple[str, int, str]], int]:
    """((part, row, id) of the clips that are kept, sorted by id, how many are left out)."""
    rows = [(part, row, identity) for part in PARTS for row, identity in enumerate(listed[part])]
    excluded = EXCLUDED if _option(release, "clips", CLIPS) == "published" else frozenset()
    kept = sorted((row for row in rows if row[2] not in excluded), key=lambda row: row[2])
    return kept, len(rows) - len(kept)


def _stimuli(release: Release, kept: list[tuple[str, int, str]]) -> Stimuli:
    have = {path.stem: path for path in sorted((release.folder / "stimuli").rglob("*.mp4"))}
    ids = tuple(identity for _, _, identity in kept)
    paths = release.require([have.get(i, release.folder / "stimuli" / f"{i}.mp4") for i in ids])
    lasts_ms = np.array([probe(path).duration_ms for path in paths])
    return Stimuli(NAME, ids, tuple(paths), lasts_ms, ("video",) * len(ids), {"part": [part for part, _, _ in kept]})


def _sampled(release: Release, files, listed: dict[str, list[str]], kept) -> list[np.ndarray]:
    """Each person's betas of the kept clips on fsaverage5: (n_clips, 20484)."""
    down = surface.Downsampling(release, _option(release, "downsampling", surface.DOWNSAMPLING))
    n_clips = sum(map(len, listed.values())) * len(_SIDES)
    done = dict.fromkeys(files, 0)

    def one(person: str) -> np.ndarray:
        def told(n: int) -> None:
            done[person] = n
            release.progress(sum(done.values()) / n_clips, len(files), f"sub-{person}")

        whole = release.part(
            f"sub-{person}", list(files[person].values()), lambda: person_betas(files[person], down, told)
        )
        told(n_clips)
        start = {"test": 0, "train": len(listed["test"])}
        return whole[[start[part] + row for part, row, _ in kept]]

    return list(each(release, one, list(files)))


def person_betas(betas: dict[tuple[str, str], Path], down: surface.Downsampling, told=lambda n: None) -> np.ndarray:
    """One person's mean betas on fsaverage5, test clips first: (n_clips, 20484), read clip by clip."""
    sides, done = [], 0
    for hemi, side in _SIDES.items():
        rows = []
        for part in PARTS:
            array, _ = read_betas(betas[part, side])
            for clip in one_by_one(array):
                rows.append(down(clip.mean(axis=0, dtype=np.float64)[None], hemi)[0])
                done += 1
                told(done)
        sides.append(np.stack(rows))
    return np.concatenate(sides, axis=1)


def one_by_one(array: np.ndarray) -> Iterator[np.ndarray]:
    """The clips of betas (clips, repeats, vertices), each mapped by itself, so that no more of a file is in memory."""
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
