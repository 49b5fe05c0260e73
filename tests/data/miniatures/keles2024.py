"""Miniature of Keles et al. 2024: three subjects, one at TR 0.7 s, both orders of entities, a truncated run."""

import json
from pathlib import Path

import numpy as np

from src.utils import regular_bins
from tests.data.fmriprep_files import write_run
from tests.data.planted_fmri import film_signals

STUDY = "keles2024"
FILM_S = 120.0
ONSETS_S = {"p41cs": 10.055, "p42cs": 9.9, "p60cs": 10.163}
TRS_S = {"p41cs": 1.0, "p42cs": 1.0, "p60cs": 0.7}
EXPECTED = {"keles2024-fmri": {"stimuli": 1, "subjects": 3, "repetitions": 4, "bins": 120, "units": 20484}}


def write(folder: Path) -> None:
    """Write the release; run 2 of p42cs ends before the film does, and p99cs was never preprocessed."""
    rows = "".join(f"sub-{subject}\t30\tF\tcontrol\n" for subject in [*TRS_S, "p99cs"])
    (folder / "sub-p41cs").mkdir(parents=True, exist_ok=True)
    (folder / "participants.tsv").write_text(f"participant_id\tage\tsex\tgroup\n{rows}")
    for subject, tr_s in TRS_S.items():
        for number in (1,) if subject == "p60cs" else (1, 2):
            run_s = 60 if (subject, number) == ("p42cs", 2) else FILM_S + 14
            _write_run(folder, subject, number, tr_s, round(run_s / tr_s))


def _write_run(folder: Path, subject: str, number: int, tr_s: float, n_volumes: int) -> None:
    onset_s = ONSETS_S[subject] + 0.02 * number
    name = f"sub-{subject}_ses-001_task-movie_run-{number}"
    bins_ms = regular_bins(n_volumes * tr_s * 1000, tr_s * 1000) - onset_s * 1000
    signals = film_signals(folder / "short.avi", FILM_S, bins_ms)
    raw = folder / f"sub-{subject}" / "ses-001" / "func"
    raw.mkdir(parents=True, exist_ok=True)
    (raw / f"{name}_bold.json").write_text(json.dumps({"RepetitionTime": tr_s, "TaskName": "movie"}))
    frames = onset_s + 0.04 * np.arange(int(FILM_S * 25))
    rows = "".join(f"{at:.9f}\tn/a\t{k}\n" for k, at in enumerate(frames, 1))
    (raw / f"{name}_events.tsv").write_text(f"onset\tduration\tframe_number\n{rows}")
    made = folder / "derivatives" / "fmriprep" / f"sub-{subject}" / "ses-001" / "func"
    write_run(made, name, signals, new_order=subject != "p42cs")
