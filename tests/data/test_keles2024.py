"""Keles et al. 2024, from a miniature of its release to a score."""

import json

import numpy as np
import pytest

from src.data.fmri import keles2024
from src.utils import BadInput, regular_bins
from tests.data import public_fmri
from tests.data.miniatures import keles2024 as miniature
from tests.data.planted_fmri import N_GROUPS, film_signals, group_of_vertex

[DECLARED] = keles2024.DATASETS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("data") / miniature.STUDY
    miniature.write(place)
    return place


@pytest.fixture(scope="module")
def record(folder):
    return public_fmri.read(DECLARED, folder)


def agreement(record, folder):
    """Return the correlation of each repetition with the planted signal, mean over vertices: (n_repetitions,)."""
    n_bins = record.values.shape[2]
    signals = film_signals(folder / "short.avi", miniature.FILM_S, regular_bins(n_bins * 1000, 1000))
    planted = signals[:, np.tile(group_of_vertex(), 2)]
    return np.array([public_fmri.correlations(run, planted).mean() for run in record.values[0]])


def test_runs_become_seconds_of_the_film(record, folder):
    public_fmri.assert_passes(DECLARED, record, miniature.EXPECTED[DECLARED.name])
    assert record.subjects == ("sub-p41cs", "sub-p41cs", "sub-p42cs", "sub-p60cs")
    assert record.stimuli.ids == ("short.avi",)
    assert agreement(record, folder).min() > 0.5


def test_the_declared_needs_are_what_is_read(folder):
    public_fmri.assert_needs_are_found(DECLARED, folder)


def test_subjects_and_runs_left_out_are_noted(record):
    assert record.notes["left out"] == (
        "2: sub-p99cs (no fMRIPrep output); "
        "sub-p42cs_ses-001_task-movie_run-2 (60 volumes, 60.0 s; the film ends at 129.9 s)"
    )
    assert record.notes["confounds"] == "motion24+acompcor"


def test_the_record_is_read_back_unchanged(record, tmp_path):
    public_fmri.assert_equal(record, public_fmri.stored(record, tmp_path / "prepared"))


def test_confounds_mask_the_signal_unless_they_are_regressed_out(record, folder):
    raw = public_fmri.read(DECLARED, folder, confounds="none")
    assert raw.notes["confounds"] == "none"
    assert agreement(raw, folder).mean() < agreement(record, folder).mean() - 0.1


def test_the_published_regression_is_an_option(folder):
    published = public_fmri.read(DECLARED, folder, confounds="pca95")
    assert published.values.shape == (1, 4, 120, 20484)
    assert np.isfinite(published.values).all()


def test_runs_without_a_hemisphere_table_or_known_tr_are_left_out_by_name(folder, tmp_path):
    broken = public_fmri.copied(folder, tmp_path / miniature.STUDY)
    made = broken / "derivatives/fmriprep/sub-p41cs/ses-001/func"
    (made / "sub-p41cs_ses-001_task-movie_run-1_hemi-R_space-fsaverage5_bold.func.gii").unlink()
    (made / "sub-p41cs_ses-001_task-movie_run-2_desc-confounds_timeseries.tsv").unlink()
    sidecar = broken / "sub-p60cs/ses-001/func/sub-p60cs_ses-001_task-movie_run-1_bold.json"
    sidecar.unlink()
    sidecar.write_text(json.dumps({"RepetitionTime": 2.0}))
    record = public_fmri.read(DECLARED, broken)
    assert record.subjects == ("sub-p42cs",)
    left_out = record.notes["left out"]
    assert left_out.startswith("5: ")
    assert "sub-p41cs_ses-001_task-movie_run-1 (no hemi-R)" in left_out
    assert "sub-p41cs_ses-001_task-movie_run-2 (no confound table)" in left_out
    assert "sub-p60cs_ses-001_task-movie_run-1 (TR 2 s, neither 1 nor 0.7 s)" in left_out
    for path in made.parents[2].glob("sub-p42cs/**/*hemi-L*"):
        path.unlink()
    with pytest.raises(BadInput, match=r"no run can be used: sub-p99cs \(no fMRIPrep output\), .*whole runs"):
        public_fmri.read(DECLARED, broken)


def test_missing_raw_files_and_film_are_named_with_the_command(folder, tmp_path):
    broken = public_fmri.copied(folder, tmp_path / miniature.STUDY)
    for path in broken.glob("sub-*/ses-001/func/*_events.tsv"):
        path.unlink()
    with pytest.raises(
        BadInput, match=r"5 of 10 files are missing .*run-1_events\.tsv.*dynamic-vision data fetch keles2024-fmri"
    ):
        public_fmri.read(DECLARED, broken)
    (broken / "short.avi").unlink()
    with pytest.raises(BadInput, match=r"short\.avi; run: dynamic-vision data fetch keles2024-fmri"):
        public_fmri.read(DECLARED, broken)


@pytest.mark.slow
def test_a_score_finds_the_planted_layers(monkeypatch, folder, tmp_path):
    facts = public_fmri.scored(monkeypatch, DECLARED, folder.parent, tmp_path, **public_fmri.SHORT_FILMS)
    assert facts["best_per_unit"]["test"] > 0.3
    assert facts["best_per_unit"]["normalised"] > 0.25
    assert facts["ceiling"] > 0.5
    public_fmri.assert_planted_layers_win(facts, np.tile(group_of_vertex(), 2), N_GROUPS)
