"""Keles et al. 2024: 15 subjects watch an excerpt of 8 minutes of "Bang! You're Dead" (Hitchcock, 1961) twice.

Keles U, Dubois J, Le KJM, ... Rutishauser U (2024). Multimodal single-neuron, intracranial EEG, and fMRI brain
responses during movie watching in human patients. Sci Data 11:214. Raw data: OpenNeuro ds004798 (CC0); the film is not
in it, and fMRIPrep has to be run by the user.

Layout below DATA_HOME/keles2024: `participants.tsv`, `sub-*/ses-001/func/*_task-movie_run-{1,2}_{events.tsv,bold.json}`
as on OpenNeuro; fMRIPrep's `*_hemi-{L,R}_space-fsaverage5_bold.func.gii` and confound tables anywhere below; the film
`short.avi`. 12 subjects were scanned at TR 1 s, 3 (p59cs, p60cs, p62cs) at 0.7 s; the film starts about 10 s after the
first volume and lasts 478.8 s. Values: (1 film, <= 30 runs, 478 s, 20484 vertices).

The published loader keeps runs of exactly 500 volumes and begins at volume 10 of each. Here all runs are averaged into
seconds of the film from the onset in their events, so that those of TR 0.7 s are kept; both runs of a subject have the
subject's name, so that the halves of the ceiling never share a subject; confounds are a preset ("pca95" is the
published one).
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

NAME = "keles2024-fmri"
TASK = "movie"
FILM = "short.avi"
TRS_MS = (1000.0, 700.0)
_RAW = OpenNeuro(
    "ds004798",
    ("participants.tsv", "sub-*/ses-001/func/*_task-movie_*_events.tsv", "sub-*/ses-001/func/*_task-movie_*_bold.json"),
    gigabytes=0.015,
)
NEEDS = (
    Need("participants", "participants.tsv", _RAW, 1),
    Need("film onsets", "sub-*/ses-001/func/*_task-movie_*_events.tsv", _RAW, 30),
    Need("repetition times", "sub-*/ses-001/func/*_task-movie_*_bold.json", _RAW, 30),
    *fmriprep.needs(TASK, 30, _RAW.accession),
    Need(
        "the film",
        FILM,
        ByHand(
            "short.avi is not public: ask the authors (rutishauserlab/bmovie-release-NWB-BIDS names the excerpt) and "
            "put it into the study's folder",
            gigabytes=0.1,
        ),
        1,
    ),
    atlas.NEED,
)


def read(release: Release) -> Responses:
    """Return every usable run as a repetition of the one film, in seconds from the film's onset."""
    film = release.file(FILM)
    n_bins = int(probe(film).duration_ms // fmriprep.BIN_MS)
    runs = fmriprep.find_runs(release, TASK)
    subjects = fmriprep.read_table(release.file("participants.tsv"))["participant_id"]
    left_out = fmriprep.without_output(subjects, runs)
    release.require([fmriprep.raw_file(release, run, what) for run in runs for what in ("events.tsv", "bold.json")])
    return fmriprep.read_film(release, film, runs, n_bins, partial(timing, release), left_out)


def timing(release: Release, run: Run) -> Timing | str:
    """Return when a run showed the film, from its files; the reason, if its repetition time is not an expected one."""
    tr_ms = fmriprep.sidecar_tr_ms(fmriprep.raw_file(release, run, "bold.json"))
    if not any(abs(tr_ms - expected) < fmriprep.TR_TOLERANCE_MS for expected in TRS_MS):
        return f"TR {tr_ms / 1000:g} s, neither 1 nor 0.7 s"
    return Timing(tr_ms, onset_ms(fmriprep.raw_file(release, run, "events.tsv")))


def onset_ms(events: Path) -> float:
    """Return the onset of the first frame, in ms since the first volume; the events list every frame of the film."""
    table = fmriprep.read_table(events)
    try:
        frames = dict(zip(map(int, table["frame_number"]), map(float, table["onset"]), strict=True))
        return 1000 * frames[1]
    except (KeyError, ValueError) as error:
        raise BadInput(f"{events}: no onset of frame 1 ({error}); expected a row per frame; fetch it again") from error


DATASETS = [
    Fmri(
        name=NAME,
        study="keles2024",
        read=read,
        citation="Keles et al. 2024, Sci Data 11:214, doi:10.1038/s41597-024-03029-1",
        licence="CC0 (recordings); film under copyright",
        access="on request",
        source="OpenNeuro ds004798 (raw); fMRIPrep by the user; film from the authors",
        needs=NEEDS,
        options=fmriprep.OPTIONS,
        note="three subjects at TR 0.7 s are resampled, not dropped; two runs per subject",
        expected={"stimuli": 1, "subjects": 15, "repetitions": 30, "bins": 478, "units": atlas.N_VERTICES},
    )
]
