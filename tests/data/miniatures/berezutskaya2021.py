"""Miniature of Berezutskaya et al.: two whole runs, one without a confound table, one a volume short."""

import json
from pathlib import Path

from src.utils import regular_bins
from tests.data.fmriprep_files import write_run
from tests.data.planted_fmri import film_signals

STUDY = "berezutskaya2021"
FILM = "pippi_on_the_run_edited4brain_recordings.avi"
TR_S = 0.608
N_VOLUMES = 200  # 121.6 s, of a film of 122 s
EXPECTED = {"berezutskaya2021-fmri": {"stimuli": 1, "subjects": 2, "repetitions": 2, "bins": 121, "units": 20484}}


def write(folder: Path) -> None:
    """Write the release; sub-01 has iEEG only, and sub-09 was never preprocessed."""
    folder.mkdir(parents=True, exist_ok=True)
    fmri = {"01": "no", "04": "yes", "07": "yes", "08": "yes", "09": "yes", "10": "yes"}
    rows = "".join(f"sub-{subject}\tM\t30\tyes\t{has}\n" for subject, has in fmri.items())
    (folder / "participants.tsv").write_text(f"participant_id\tsex\tage\tiEEG\tfMRI\n{rows}")
    for subject, n_volumes in {"04": N_VOLUMES, "07": N_VOLUMES, "08": N_VOLUMES, "10": N_VOLUMES - 1}.items():
        _write_run(folder, subject, n_volumes)


def _write_run(folder: Path, subject: str, n_volumes: int) -> None:
    signals = film_signals(folder / FILM, 122.0, regular_bins(n_volumes * TR_S * 1000, TR_S * 1000))
    name = f"sub-{subject}_ses-mri3t_task-film_run-1"
    raw = folder / f"sub-{subject}" / "ses-mri3t" / "func"
    raw.mkdir(parents=True)
    (raw / f"{name}_bold.json").write_text(json.dumps({"RepetitionTime": TR_S, "TaskName": "film"}))
    blocks = [(0.0, 30.0, "music"), (30.0, 60.0, "speech"), (90.0, N_VOLUMES * TR_S - 90, "music")]
    rows = "".join(f"{onset:.3f}\t{length:.3f}\t{kind}\n" for onset, length, kind in blocks)
    (raw / f"{name}_events.tsv").write_text(f"onset\tduration\ttrial_type\n{rows}")
    made = folder / "derivatives" / "fmriprep" / f"sub-{subject}" / "ses-mri3t" / "func"
    write_run(made, name, signals)
    if subject == "08":
        (made / f"{name}_desc-confounds_timeseries.tsv").unlink()
