"""Runs of films: averaging into seconds, GIFTI files in both naming orders, real sidecars and events."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from src.data import notes
from src.data.fmri import berezutskaya2021, fmriprep, keles2024, subjects
from src.data.parallel import with_progress
from src.data.release import Release
from src.utils import BadInput, overlap_weights, regular_bins
from tests.data.planted_fmri import N_HEMI, write_gifti

SHARED = Path(__file__).resolve().parents[2] / "../shared/realdata"
KELES, PIPPI = SHARED / "keles2024/ds004798", SHARED / "berezutskaya2021/ds003688"
needs_real = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real files are not beside the checkout")


@needs_real
def test_repetition_times_of_keles2024():
    of_subject = {}
    for path in sorted(KELES.glob("sub-*/ses-001/func/*_bold.json")):
        of_subject.setdefault(path.name.split("_")[0], []).append(fmriprep.sidecar_tr_ms(path))
    assert len(of_subject) == 15
    assert {len(trs) for trs in of_subject.values()} == {2}
    fast = sorted(subject for subject, trs in of_subject.items() if set(trs) == {700.0})
    assert fast == ["sub-p59cs", "sub-p60cs", "sub-p62cs"]
    assert sum(set(trs) == {1000.0} for trs in of_subject.values()) == 12
    assert len(fmriprep.read_table(KELES / "participants.tsv")["participant_id"]) == 15


@needs_real
@pytest.mark.parametrize(("subject", "onset_s"), [("p41cs", 10.055), ("p60cs", 10.163)])
def test_onsets_of_keles2024(subject, onset_s):
    [events] = KELES.glob(f"sub-{subject}/ses-001/func/*_events.tsv")
    assert keles2024.onset_ms(events) == pytest.approx(1000 * onset_s, abs=1)
    onsets = np.array(fmriprep.read_table(events)["onset"], dtype=float)
    assert len(onsets) == 11971
    assert int(onsets[-1] - onsets[0] + 0.04) == 478


@needs_real
def test_blocks_of_berezutskaya2021():
    for events in PIPPI.glob("sub-*/ses-mri3t/func/*_events.tsv"):
        assert berezutskaya2021.end_ms(events) == pytest.approx(389728)
        tr_ms = fmriprep.sidecar_tr_ms(events.with_name(events.name.replace("_events.tsv", "_bold.json")))
        assert tr_ms == pytest.approx(berezutskaya2021.TR_MS)
        assert round(389728 / tr_ms) == 641
    scanned = berezutskaya2021.scanned(fmriprep.read_table(PIPPI / "participants.tsv"))
    assert len(scanned) == 30


def test_641_volumes_of_608_ms_are_389_seconds():
    series = np.random.default_rng(1).standard_normal((641, 3)).astype(np.float32)
    seconds = fmriprep.to_seconds(series, 608.0, 0.0, 389)
    assert np.isfinite(seconds).all()
    weights = overlap_weights(regular_bins(641 * 608, 608), regular_bins(389000, 1000))
    np.testing.assert_allclose(seconds, weights @ series, rtol=1e-4, atol=1e-6)
    assert np.isnan(fmriprep.to_seconds(series, 608.0, 0.0, 390)[389]).all()


@pytest.mark.parametrize(("tr_ms", "onset_ms"), [(1000.0, 10055.0), (700.0, 10163.0), (1000.0, 0.0)])
def test_seconds_of_a_ramp_are_the_times_of_their_middles(tr_ms, onset_ms):
    n_volumes = int(70000 / tr_ms)
    ramp = ((np.arange(n_volumes) + 0.5) * tr_ms)[:, None].astype(np.float32)
    seconds = fmriprep.to_seconds(ramp, tr_ms, onset_ms, 50)[:, 0]
    middles = onset_ms + 1000 * np.arange(50) + 500
    assert np.abs(seconds - middles).max() <= tr_ms / 2


def test_volumes_before_the_steady_state_leave_their_seconds_out():
    series = np.ones((20, 2), np.float32)
    series[:1] = np.nan
    seconds = fmriprep.to_seconds(series, 700.0, 0.0, 10)
    assert np.isnan(seconds[0]).all()
    np.testing.assert_allclose(seconds[1:], 1)


def made(folder, name):
    write_gifti(folder / name, np.zeros((2, N_HEMI)))


def test_both_naming_orders_are_found_and_duplicates_refused(tmp_path):
    release = Release("keles2024-fmri", tmp_path)
    with pytest.raises(BadInput, match=r"0 files match .* run: dynamic-vision data fetch keles2024-fmri"):
        fmriprep.find_runs(release, "movie")
    for hemi in "LR":
        made(tmp_path / "new", f"sub-a_ses-1_task-movie_run-1_hemi-{hemi}_space-fsaverage5_bold.func.gii")
        made(tmp_path / "old", f"sub-b_ses-1_task-movie_run-1_space-fsaverage5_hemi-{hemi}_bold.func.gii")
        made(tmp_path / "old", f"sub-b_ses-1_task-movie_run-1_space-fsaverage6_hemi-{hemi}_bold.func.gii")
    runs = fmriprep.find_runs(release, "movie")
    assert [(run.subject, run.name, sorted(run.files)) for run in runs] == [
        ("a", "sub-a_ses-1_task-movie_run-1", ["L", "R"]),
        ("b", "sub-b_ses-1_task-movie_run-1", ["L", "R"]),
    ]
    made(tmp_path / "again", "sub-b_ses-1_task-movie_run-1_hemi-L_space-fsaverage5_bold.func.gii")
    with pytest.raises(BadInput, match="are the same run; remove one of them"):
        fmriprep.find_runs(release, "movie")


def test_runs_on_other_meshes_only_are_refused(tmp_path):
    made(tmp_path, "sub-b_ses-1_task-movie_run-1_hemi-L_space-fsaverage6_bold.func.gii")
    with pytest.raises(BadInput, match=r"no func\.gii in .* is on fsaverage5; run fMRIPrep with"):
        fmriprep.find_runs(Release("keles2024-fmri", tmp_path), "movie")


def test_damaged_and_unsuitable_giftis_are_named(tmp_path):
    names = {hemi: tmp_path / f"sub-a_task-movie_hemi-{hemi}_space-fsaverage5_bold.func.gii" for hemi in "LR"}
    for hemi, n_volumes in (("L", 3), ("R", 2)):
        write_gifti(names[hemi], np.zeros((n_volumes, N_HEMI)))
    run = fmriprep.Run("a", "sub-a_task-movie", names)
    with pytest.raises(BadInput, match="sub-a_task-movie: 3 volumes left, 2 right"):
        fmriprep.read_series(run)
    whole = names["L"].read_bytes()
    names["L"].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=r"hemi-L.*cannot be read as GIFTI .*damaged: make it again"):
        fmriprep.read_series(run)
    write_gifti(names["L"], np.zeros((2, 40962)))
    with pytest.raises(BadInput, match=r"shape \[\(40962,\)\]; expected \(10242,\), a hemisphere of fsaverage5"):
        fmriprep.read_series(run)


def test_broken_tables_and_sidecars_are_named(tmp_path):
    path = tmp_path / "events.tsv"
    path.write_text("onset\tduration\n1\n")
    with pytest.raises(BadInput, match=r"events\.tsv: no table of equally long rows"):
        fmriprep.read_table(path)
    path.write_text("onset\tframe_number\n1.0\t2\n")
    with pytest.raises(BadInput, match=r"no onset of frame 1"):
        keles2024.onset_ms(path)
    with pytest.raises(BadInput, match=r"no blocks \('duration'\)"):
        berezutskaya2021.end_ms(path)
    path.write_text(json.dumps({"TaskName": "movie"}))
    with pytest.raises(BadInput, match=r"no RepetitionTime"):
        fmriprep.sidecar_tr_ms(path)


def test_vertices_without_data_are_flat_and_counted():
    parts = [np.ones((4, 6), np.float32) for _ in range(3)]
    for part in parts:
        part[:, 2] = np.nan
    parts[0][:, 4] = np.nan
    values = np.stack(parts)
    assert subjects.fill_empty(values) == {"vertices without data": 1}
    assert (values[:, :, 2] == 0).all()
    assert np.isnan(values[0, :, 4]).all()


def test_an_error_in_one_part_cancels_the_parts_that_have_not_begun(tmp_path):
    begun = []

    def one(k):
        begun.append(k)
        time.sleep(0.01)
        if k == 1:
            raise BadInput("part 1 is damaged")
        return k

    release = Release("keles2024-fmri", tmp_path, jobs=1)
    with pytest.raises(BadInput, match="part 1 is damaged"):
        with_progress(release, one, range(100), str)
    assert len(begun) < 100


def test_progress_names_the_finished_item(tmp_path):
    reports = []
    release = Release("keles2024-fmri", tmp_path, jobs=2, progress=lambda *report: reports.append(report))
    assert with_progress(release, lambda k: k * k, [1, 2, 3], lambda k: "abc"[k - 1]) == [1, 4, 9]
    assert reports == [(1, 3, "a"), (2, 3, "b"), (3, 3, "c")]


def test_reasons_are_shortened():
    reasons = {f"sub-{k:02d}": "no hemi-R" for k in range(12)}
    assert notes.first_reasons(reasons).endswith("sub-09 (no hemi-R) and 2 more")
    assert notes.left_out_note(reasons)["left out"].startswith("12: sub-00 (no hemi-R); ")
    assert notes.left_out_note({}) == {}
