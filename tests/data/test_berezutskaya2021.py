"""Berezutskaya et al. 2022, from a miniature of its release to a score."""

import json

import numpy as np
import pytest

from src.data.fmri import berezutskaya2021
from src.utils import BadInput, regular_bins
from tests.data import public_fmri
from tests.data.miniatures import berezutskaya2021 as miniature
from tests.data.planted_fmri import N_GROUPS, film_signals, group_of_vertex

[DECLARED] = berezutskaya2021.DATASETS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("data") / miniature.STUDY
    miniature.write(place)
    return place


@pytest.fixture(scope="module")
def record(folder):
    return public_fmri.read(DECLARED, folder)


def test_volumes_become_seconds(record, folder):
    public_fmri.assert_passes(DECLARED, record, miniature.EXPECTED[DECLARED.name])
    assert record.subjects == ("sub-04", "sub-07")
    signals = film_signals(folder / miniature.FILM, 122.0, regular_bins(121000, 1000))
    for run in record.values[0]:
        # the first second overlaps a volume before the steady state
        assert np.isnan(run[0]).all()
        assert np.isfinite(run[1:]).all()
        assert public_fmri.correlations(run, signals[:, np.tile(group_of_vertex(), 2)]).mean() > 0.5


def test_the_declared_needs_are_what_is_read(folder):
    public_fmri.assert_needs_are_found(DECLARED, folder)


def test_subjects_and_runs_left_out_are_noted(record):
    assert record.notes["left out"] == (
        "3: sub-09 (no fMRIPrep output); sub-08_ses-mri3t_task-film_run-1 (no confound table); "
        "sub-10_ses-mri3t_task-film_run-1 (199 volumes, expected 200)"
    )


def test_the_record_is_read_back_unchanged(record, tmp_path):
    public_fmri.assert_equal(record, public_fmri.stored(record, tmp_path / "prepared"))


def test_without_confounds_no_table_is_needed(folder):
    record = public_fmri.read(DECLARED, folder, confounds="none")
    assert record.subjects == ("sub-04", "sub-07", "sub-08")
    assert np.isfinite(record.values).all()


def test_another_repetition_time_is_left_out_by_name(folder, tmp_path):
    broken = public_fmri.copied(folder, tmp_path / miniature.STUDY)
    for subject in ("04", "07"):
        sidecar = broken / f"sub-{subject}/ses-mri3t/func/sub-{subject}_ses-mri3t_task-film_run-1_bold.json"
        sidecar.unlink()
        sidecar.write_text(json.dumps({"RepetitionTime": 0.7 if subject == "04" else miniature.TR_S}))
    record = public_fmri.read(DECLARED, broken)
    assert record.subjects == ("sub-07",)
    assert "sub-04_ses-mri3t_task-film_run-1 (TR 0.7 s, expected 0.608 s)" in record.notes["left out"]


def test_a_confound_table_of_another_length_is_left_out_by_name(folder, tmp_path):
    broken = public_fmri.copied(folder, tmp_path / miniature.STUDY)
    [table] = broken.glob("**/sub-04*_desc-confounds_timeseries.tsv")
    lines = table.read_text().splitlines()
    table.unlink()
    table.write_text("\n".join(lines[:-3]) + "\n")
    record = public_fmri.read(DECLARED, broken)
    assert "sub-04_ses-mri3t_task-film_run-1 (197 rows of confounds for 200 volumes)" in record.notes["left out"]


def test_missing_participants_are_named_with_the_command(folder, tmp_path):
    broken = public_fmri.copied(folder, tmp_path / miniature.STUDY)
    (broken / "participants.tsv").unlink()
    with pytest.raises(BadInput, match=r"participants\.tsv; run: dynamic-vision data fetch berezutskaya2021-fmri"):
        public_fmri.read(DECLARED, broken)


@pytest.mark.slow
def test_a_score_finds_the_planted_layers(monkeypatch, folder, tmp_path):
    facts = public_fmri.scored(monkeypatch, DECLARED, folder.parent, tmp_path, **public_fmri.SHORT_FILMS)
    assert facts["best_per_unit"]["test"] > 0.3
    public_fmri.assert_planted_layers_win(facts, np.tile(group_of_vertex(), 2), N_GROUPS)
