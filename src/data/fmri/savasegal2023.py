"""Sava-Segal et al. 2023: about forty subjects watch four short films with divergent interpretations, TR 1 s.

Sava-Segal C, Richards C, Leung M, Finn ES (2023). Individual differences in neural event segmentation of continuous
experiences. Cereb Cortex 33:8164-8178. Not public: the preprocessed volumes come from the authors on request.

Layout below DATA_HOME/savasegal2023: `sub-NSD<digits>_task-<film>_nocensor.nii.gz` (anywhere; 4-D, denoised, MNI space;
film in lower case) and the films `Defeat.mp4, Growth.mp4, Iteration.mp4, Lemonade.mp4`. The first 2 volumes of a run
precede the film, its last 12 (Defeat) or 11 (the others) follow it; the films last 476, 503, 746 and 449 volumes, and
42, 43, 43 and 42 of the 43 subjects recalled them (verified in the authors' public repository). Values: (1 film, n
subjects, n seconds, 20484 vertices), one dataset per film, with the subjects who saw it.

Unlike the published loader, a film is identified by the task field of the file's name (there, a folder called "defeat"
changes the cropping of all films). Subjects whose run has another length than most are left out by name. Volumes are
sampled between the white and the pial surface (the published ball around the pial one is `--sampling pial-ball`).
"""

import re
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

from ...records import Responses, Stimuli
from ...utils import BadInput, regular_bins
from ...video import probe
from ..declare import Fmri
from ..notes import first_reasons, left_out_note
from ..parallel import with_progress
from ..release import ByHand, Need, Release
from . import atlas, surface
from .subjects import fill_empty

TR_MS = 1000.0
BEFORE = 2
FILM_TRS = {"defeat": 476, "growth": 503, "iteration": 746, "lemonade": 449}
AFTER = {"defeat": 12, "growth": 11, "iteration": 11, "lemonade": 11}
_NAME = re.compile(r"sub-(NSD\d+)_task-([A-Za-z0-9]+)_nocensor\.nii\.gz")
_ASK = "not public: ask the authors of the paper (doi:10.1093/cercor/bhad106) for"


def read(release: Release, film: str) -> Responses:
    """Return every subject's whole run of one film, one repetition per subject."""
    video = release.file(f"{film.capitalize()}.mp4")
    paths = runs(release, film)
    lengths, left_out = _lengths(release, paths)
    kept = {subject: path for subject, path in paths.items() if subject in lengths}
    parts = _sampled(release, kept)
    units, notes = atlas.units(release)
    values = np.stack([part[BEFORE : len(part) - AFTER[film]] for part in parts])
    notes |= fill_empty(values) | left_out_note(left_out)
    notes["sampling"] = release.options.get("sampling", surface.SAMPLING[0])
    film_ms = probe(video).duration_ms
    if abs(film_ms - values.shape[1] * TR_MS) > 2 * TR_MS:
        notes["length"] = f"{values.shape[1]} s recorded, the film lasts {film_ms / 1000:.1f} s"
    stimuli = Stimuli(release.name, (video.name,), (video,), np.array([film_ms]), ("video",))
    bins_ms = regular_bins(values.shape[1] * TR_MS, TR_MS)
    return Responses(stimuli, values[None], bins_ms, units, tuple(f"sub-{subject}" for subject in kept), notes)


def runs(release: Release, film: str) -> dict[str, Path]:
    """Return {subject: volumes of `film`}, sorted; the film is a field of the file's name, never of its folder's."""
    found: dict[str, Path] = {}
    for path in release.files(f"**/sub-NSD*_task-{film}_nocensor.nii.gz"):
        match = _NAME.fullmatch(path.name)
        if match is None or match[2] != film:
            continue
        if match[1] in found:
            raise BadInput(f"{release.name}: {path} and {found[match[1]]} are the same run; remove one of them")
        found[match[1]] = path
    if not found:
        raise BadInput(
            f"{release.name}: no file is called sub-NSD<digits>_task-{film}_nocensor.nii.gz; rename your files"
        )
    return dict(sorted(found.items()))


def _lengths(release: Release, paths: dict[str, Path]) -> tuple[dict[str, int], dict[str, str]]:
    """Return ({subject: number of volumes} of runs of the usual length, {subject: reason} of the others)."""
    lengths, left_out = {}, {}
    for subject, path in paths.items():
        image = surface.open_volumes(path)
        tr_ms = surface.tr_ms(image)
        if tr_ms is not None and abs(tr_ms - TR_MS) > 1:
            left_out[f"sub-{subject}"] = f"TR {tr_ms / 1000:g} s, expected 1 s"
        else:
            lengths[subject] = int(image.shape[3])
    if not lengths:
        raise BadInput(f"{release.name}: no run can be used: {first_reasons(left_out)}; expected volumes at TR 1 s")
    usual = max(Counter(lengths.values()).items(), key=lambda item: (item[1], item[0]))[0]
    if usual <= BEFORE + max(AFTER.values()):
        raise BadInput(f"{release.name}: runs of {usual} volumes; expected more than precede and follow the film")
    left_out |= {f"sub-{s}": f"{n} volumes, most have {usual}" for s, n in lengths.items() if n != usual}
    return {subject: n for subject, n in lengths.items() if n == usual}, left_out


def _sampled(release: Release, paths: dict[str, Path]) -> list[np.ndarray]:
    """Return the volumes of each subject on fsaverage5: (n_volumes, 20484)."""
    sampling = release.options.get("sampling", surface.SAMPLING[0])

    def one(subject: str) -> np.ndarray:
        path = paths[subject]
        return release.part(f"sub-{subject}", [path], lambda: surface.sample_volumes(path, sampling))

    return with_progress(release, one, list(paths), lambda subject: f"sub-{subject}")


def _declare(film: str) -> Fmri:
    volumes = ByHand(f"{_ASK} the denoised volumes, and put them anywhere below the study's folder", gigabytes=15)
    video = ByHand(f"{_ASK} the film {film.capitalize()}.mp4, and put it into the study's folder", gigabytes=0.2)
    return Fmri(
        name=f"savasegal2023-fmri-{film}",
        study="savasegal2023",
        read=partial(read, film=film),
        citation="Sava-Segal et al. 2023, Cereb Cortex 33:8164, doi:10.1093/cercor/bhad106",
        licence="not stated; on request",
        access="on request",
        source="the authors",
        needs=(
            Need("volumes", f"**/sub-NSD*_task-{film}_nocensor.nii.gz", volumes),
            Need("the film", f"{film.capitalize()}.mp4", video, 1),
            atlas.NEED,
        ),
        options={"sampling": surface.SAMPLING},
        note="the number of subjects differs between the films and is not published; their names are in the record",
        expected={"stimuli": 1, "bins": FILM_TRS[film], "units": atlas.N_VERTICES},
    )


DATASETS = [_declare(film) for film in AFTER]
