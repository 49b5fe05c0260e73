"""Sava-Segal et al. 2023, from a miniature of its release to a score."""

import nibabel
import numpy as np
import pytest

from src.data.fmri import savasegal2023
from src.data.release import Release
from src.utils import BadInput, regular_bins
from tests.data import public_fmri
from tests.data.miniatures import savasegal2023 as miniature
from tests.data.planted_fmri import AFFINE, film_signals

DECLARED = {declared.name.rpartition("-")[2]: declared for declared in savasegal2023.DATASETS}
GROWTH = DECLARED["growth"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("data") / miniature.STUDY
    miniature.write(place)
    return place


@pytest.fixture(scope="module")
def record(folder):
    return public_fmri.read(GROWTH, folder)


@pytest.fixture
def broken(folder, tmp_path):
    return public_fmri.copied(folder, tmp_path / miniature.STUDY)


def test_four_datasets_of_one_study():
    assert list(DECLARED) == ["defeat", "growth", "iteration", "lemonade"]
    assert {declared.study for declared in DECLARED.values()} == {"savasegal2023"}


@pytest.mark.parametrize("film", list(DECLARED))
def test_a_film_is_identified_by_the_field_of_its_name(broken, film, monkeypatch):
    n_volumes = 62 + 2 + (12 if film == "defeat" else 11)
    paths = savasegal2023.runs(Release(DECLARED[film].name, broken), film)
    assert all(f"_task-{film}_" in path.name for path in paths.values())
    monkeypatch.setattr(savasegal2023.surface, "sample_volumes", lambda path, _: _numbered(path))
    record = public_fmri.read(DECLARED[film], broken)
    # volumes are cut before and after the film, by the film's name and not by its folder's
    assert record.values[0, 0, [0, -1], 0].tolist() == [2, 63]
    assert nibabel.load(paths["NSD101"]).shape[3] == n_volumes
    public_fmri.assert_passes(DECLARED[film], record, miniature.EXPECTED[DECLARED[film].name])


def _numbered(path):
    """Return volumes with their number at every vertex, and the subject's at one, so that all subjects differ."""
    numbers = np.arange(nibabel.load(path).shape[3], dtype=np.float32)[:, None].repeat(20484, axis=1)
    numbers[:, 1] += int(path.name[7:10])
    return numbers


def test_vertices_respond_to_their_film_from_its_onset(record, folder):
    public_fmri.assert_passes(GROWTH, record, miniature.EXPECTED[GROWTH.name])
    signals = film_signals(folder / "Growth.mp4", 62.0, regular_bins(62000, 1000))
    for run in record.values[0]:
        some = run[:, ::397]
        reached = [max(np.corrcoef(column, s)[0, 1] for s in signals.T) for column in some.T if np.ptp(column)]
        assert np.median(reached) > 0.9


@pytest.mark.parametrize("film", list(DECLARED))
def test_the_declared_needs_are_what_is_read(folder, film):
    public_fmri.assert_needs_are_found(DECLARED[film], folder)


def test_subjects_left_out_are_noted(record):
    assert record.subjects == ("sub-NSD101", "sub-NSD102")
    assert record.notes["left out"] == "2: sub-NSD104 (TR 2 s, expected 1 s); sub-NSD103 (50 volumes, most have 75)"
    assert record.notes["sampling"] == "white-to-pial"
    assert "length" not in record.notes


def test_the_record_is_read_back_unchanged(record, tmp_path):
    public_fmri.assert_equal(record, public_fmri.stored(record, tmp_path / "prepared"))


def test_finished_subjects_are_not_sampled_again(folder, monkeypatch, record):
    def fail(*_):
        raise AssertionError("sampled again")

    monkeypatch.setattr(savasegal2023.surface, "sample_volumes", fail)
    again = public_fmri.read(GROWTH, folder)
    assert again.digest == record.digest


def test_faults_are_named(broken):
    [path] = broken.glob("**/sub-NSD101_task-growth_nocensor.nii.gz")
    other = broken / "again" / path.name
    other.parent.mkdir()
    other.hardlink_to(path)
    with pytest.raises(BadInput, match="are the same run; remove one of them"):
        public_fmri.read(GROWTH, broken)
    other.unlink()
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=r"sub-NSD101_task-growth_nocensor\.nii\.gz ends at volume \d+ or later"):
        public_fmri.read(GROWTH, broken)
    (broken / "Growth.mp4").unlink()
    with pytest.raises(BadInput, match=r"Growth\.mp4; run: dynamic-vision data fetch savasegal2023-fmri-growth"):
        public_fmri.read(GROWTH, broken)


def test_no_usable_run_is_refused(tmp_path, folder):
    (tmp_path / "Growth.mp4").hardlink_to(folder / "Growth.mp4")
    with pytest.raises(BadInput, match=r"0 files match \*\*/sub-NSD\*_task-growth_nocensor\.nii\.gz"):
        public_fmri.read(GROWTH, tmp_path)
    image = nibabel.Nifti1Image(np.zeros((4, 4, 4, 9), np.float32), AFFINE)
    nibabel.save(image, tmp_path / "sub-NSD1_task-growth_nocensor.nii.gz")
    with pytest.raises(BadInput, match="runs of 9 volumes; expected more than precede and follow the film"):
        public_fmri.read(GROWTH, tmp_path)
    image.header.set_zooms((8, 8, 8, 1.5))
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, tmp_path / "sub-NSD1_task-growth_nocensor.nii.gz")
    with pytest.raises(BadInput, match=r"no run can be used: sub-NSD1 \(TR 1\.5 s, expected 1 s\)"):
        public_fmri.read(GROWTH, tmp_path)


@pytest.mark.slow
def test_a_score_reaches_the_planted_signal(monkeypatch, folder, tmp_path):
    # halves of so short a film differ too much to be predicted from each other
    facts = public_fmri.scored(monkeypatch, GROWTH, folder.parent, tmp_path, splits=4, **public_fmri.SHORT_FILMS)
    assert facts["best_per_unit"]["test"] > 0.6
    assert facts["ceiling"] > 0.8
