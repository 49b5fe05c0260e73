"""Berezutskaya et al.: 30 subjects watch 6.5 minutes of a film about Pippi Longstocking, speech and music in turns.

Berezutskaya J, Vansteensel MJ, Aarnoutse EJ, ... Ramsey NF (2022). Open multimodal iEEG-fMRI dataset from naturalistic
stimulation with a short audiovisual film. Sci Data 9:91. Raw data: OpenNeuro ds003688 (CC0); the film is not in it, and
fMRIPrep has to be run by the user.

Layout below DATA_HOME/berezutskaya2021: `participants.tsv` (63 participants, 30 with fMRI),
`sub-*/ses-mri3t/func/*_task-film_run-1_{events.tsv,bold.json}` as on OpenNeuro; fMRIPrep's
`*_hemi-{L,R}_space-fsaverage5_bold.func.gii` and confound tables anywhere below; the film
`pippi_on_the_run_edited4brain_recordings.avi`. TR 0.608 s (3-D PRESTO); the film starts with the first volume, its
last block ends at 389.728 s = 641 volumes. Values: (1 film, <= 30 subjects, 389 s, 20484 vertices).

As in the published loader, volumes are averaged by overlap into seconds. Unlike it, subjects with another number of
volumes are left out by name (there they make the stack fail), a last whole second is kept, and confounds are a preset
("pca95" is the published one).
"""

from functools import partial
from pathlib import Path

from ...records import Responses
from ...utils import BadInput
from ...video import probe
from ..declare import Fmri
from ..release import ByHand, Need, OpenNeuro, Release
from . import atlas, fmriprep
from .fmriprep import Run, Timing

NAME = "berezutskaya2021-fmri"
TASK = "film"
FILM = "pippi_on_the_run_edited4brain_recordings.avi"
TR_MS = 608.0
_RAW = OpenNeuro(
    "ds003688",
    (
        "participants.tsv",
        "sub-*/ses-mri3t/func/*_task-film_*_events.tsv",
        "sub-*/ses-mri3t/func/*_task-film_*_bold.json",
    ),
    gigabytes=0.001,
)
NEEDS = (
    Need("participants", "participants.tsv", _RAW, 1),
    Need("blocks of the film", "sub-*/ses-mri3t/func/*_task-film_*_events.tsv", _RAW, 30),
    Need("repetition times", "sub-*/ses-mri3t/func/*_task-film_*_bold.json", _RAW, 30),
    *fmriprep.needs(TASK, 30, _RAW.accession),
    Need(
        "the film",
        FILM,
        ByHand(
            f"{FILM} is not public: ask the authors of the paper (doi:10.1038/s41597-022-01173-0) and put it into the "
            "study's folder",
            gigabytes=0.1,
        ),
        1,
    ),
    atlas.NEED,
)


def read(release: Release) -> Responses:
    """Return every subject's run of the film in whole seconds."""
    film = release.file(FILM)
    runs = fmriprep.find_runs(release, TASK)
    subjects = scanned(fmriprep.read_table(release.file("participants.tsv")))
    left_out = fmriprep.without_output(subjects, runs)
    release.require([fmriprep.raw_file(release, run, what) for run in runs for what in ("events.tsv", "bold.json")])
    ends_ms = [end_ms(fmriprep.raw_file(release, run, "events.tsv")) for run in runs]
    # whole seconds of the events; the film file may be a little longer than the recording
    n_bins = int(min(max(ends_ms), probe(film).duration_ms) // fmriprep.BIN_MS)
    return fmriprep.read_film(release, film, runs, n_bins, partial(timing, release), left_out)


def scanned(participants: dict[str, list[str]]) -> list[str]:
    """Return the subjects of `participants.tsv` who have fMRI."""
    rows = zip(participants["participant_id"], participants["fMRI"], strict=True)
    return [subject for subject, fmri in rows if fmri == "yes"]


def timing(release: Release, run: Run) -> Timing | str:
    """Return when a run showed the film; the reason, if its repetition time is not the expected one."""
    tr_ms = fmriprep.sidecar_tr_ms(fmriprep.raw_file(release, run, "bold.json"))
    if abs(tr_ms - TR_MS) >= fmriprep.TR_TOLERANCE_MS:
        return f"TR {tr_ms / 1000:g} s, expected {TR_MS / 1000:g} s"
    events = fmriprep.raw_file(release, run, "events.tsv")
    starts = [1000 * float(onset) for onset in fmriprep.read_table(events)["onset"]]
    return Timing(tr_ms, min(starts), round((end_ms(events) - min(starts)) / tr_ms))


def end_ms(events: Path) -> float:
    """Return the end of the last block of the film, in ms since the first volume."""
    table = fmriprep.read_table(events)
    try:
        return max(1000 * (float(a) + float(b)) for a, b in zip(table["onset"], table["duration"], strict=True))
    except (KeyError, ValueError) as error:
        raise BadInput(f"{events}: no blocks ({error}); expected onset and duration; fetch it again") from error


DATASETS = [
    Fmri(
        name=NAME,
        study="berezutskaya2021",
        read=read,
        citation="Berezutskaya et al. 2022, Sci Data 9:91, doi:10.1038/s41597-022-01173-0",
        licence="CC0 (recordings); film under copyright",
        access="on request",
        source="OpenNeuro ds003688 (raw); fMRIPrep by the user; film from the authors",
        needs=NEEDS,
        options=fmriprep.OPTIONS,
        note="TR 0.608 s averaged into seconds",
        expected={"stimuli": 1, "subjects": 30, "repetitions": 30, "bins": 389, "units": atlas.N_VERTICES},
    )
]
