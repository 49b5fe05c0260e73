"""Lahner et al. 2024, from a miniature of its release to a score."""

import os
import pickle
import shutil

import numpy as np
import pytest

from src.data.fmri import lahner2024
from src.utils import BadInput
from tests.data import public_fmri
from tests.data.miniatures import lahner2024 as miniature
from tests.data.planted_fmri import N_GROUPS, clip_signals

[DECLARED] = lahner2024.DATASETS
GROUP = np.tile(np.arange(10242) % N_GROUPS, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("data") / miniature.STUDY
    miniature.write(place)
    return place


@pytest.fixture(scope="module")
def record(folder):
    return public_fmri.read(DECLARED, folder)


@pytest.fixture
def broken(folder, tmp_path):
    return public_fmri.copied(folder, tmp_path / miniature.STUDY)


def betas(folder, subject, part, side):
    return folder / lahner2024.BETAS.format(subject, part, side)


def test_the_published_list_leaves_76_clips_out():
    assert len(lahner2024.EXCLUDED) == 76
    numbers = np.array(sorted(map(int, lahner2024.EXCLUDED)))
    assert ((numbers <= 1000).sum(), (numbers > 1000).sum()) == (67, 9)
    assert DECLARED.expected["stimuli"] == 1102 - 76


def test_every_subjects_betas_of_every_clip(record, folder):
    public_fmri.assert_passes(DECLARED, record, miniature.EXPECTED[DECLARED.name])
    assert record.subjects == ("sub-01", "sub-02")
    assert set(record.stimuli.table["part"]) == {"train", "test"}
    assert list(record.stimuli.ids) == sorted(record.stimuli.ids)
    assert not set(record.stimuli.ids) & lahner2024.EXCLUDED
    signals = dict(
        zip(
            sorted(miniature.TRAIN + miniature.TEST),
            clip_signals([folder / "stimuli" / f"{i}.mp4" for i in sorted(miniature.TRAIN + miniature.TEST)]),
            strict=True,
        )
    )
    planted = np.stack([signals[i] for i in record.stimuli.ids])[:, GROUP]
    for subject in range(2):
        assert public_fmri.correlations(record.values[:, subject, 0], planted).min() > 0.7


def test_the_declared_needs_are_what_is_read(folder):
    public_fmri.assert_needs_are_found(DECLARED, folder)


def test_subjects_and_clips_left_out_are_noted(record):
    assert record.notes["left out"] == "1: sub-03 (no test right and no train right)"
    assert record.notes["clips left out"] == "3 by the published list"
    assert record.notes["downsampling"] == "sphere"


def test_the_record_is_read_back_unchanged(record, tmp_path):
    public_fmri.assert_equal(record, public_fmri.stored(record, tmp_path / "prepared"))


def test_options_keep_all_clips_and_need_no_mesh(broken, record):
    shutil.rmtree(broken / "fsaverage")
    with pytest.raises(BadInput, match=r"sphere_left\.gii\.gz of fsaverage is not in .*--downsampling nested"):
        public_fmri.read(DECLARED, broken)
    nested = public_fmri.read(DECLARED, broken, downsampling="nested", clips="all")
    assert len(nested.stimuli) == 45
    assert "clips left out" not in nested.notes
    rows = [nested.stimuli.ids.index(identity) for identity in record.stimuli.ids]
    # all vertices of a group are equal in the miniature, so both methods must agree
    np.testing.assert_allclose(nested.values[rows], record.values, atol=1e-4)


def test_missing_clips_are_counted(broken):
    for identity in ("0001", "0002"):
        (broken / "stimuli" / f"{identity}.mp4").unlink()
    with pytest.raises(BadInput, match=r"2 of 42 files are missing .*0001\.mp4, .*0002\.mp4; run"):
        public_fmri.read(DECLARED, broken)


def replaced(path, value):
    path.unlink()
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol=4))


def test_damaged_and_unsuitable_pickles_are_named(broken):
    path = betas(broken, "01", "test", "left")
    whole = path.read_bytes()
    replaced(path, whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=r"task-test_hemi-left_normalized\.pkl: ends after"):
        public_fmri.read(DECLARED, broken)
    names = [f"vid{i}" for i in miniature.TEST]
    replaced(path, (np.zeros((8, 1, 40962)), names))
    with pytest.raises(BadInput, match="40962 vertices; expected 163842"):
        public_fmri.read(DECLARED, broken)
    replaced(path, (np.zeros((7, 1, 9)), names))
    with pytest.raises(BadInput, match=r"an array of shape \(7, 1, 9\) and 8 names, first vid1001"):
        public_fmri.read(DECLARED, broken)
    replaced(path, names)
    with pytest.raises(BadInput, match=r"holds list; expected \(array, names\)"):
        public_fmri.read(DECLARED, broken)


@pytest.mark.parametrize("order", ["C", "F"])
def test_clips_are_mapped_one_by_one(tmp_path, order):
    values = np.asarray(np.arange(3 * 2 * 163842.0).reshape(3, 2, 163842), order=order)
    path = tmp_path / "betas.pkl"
    path.write_bytes(pickle.dumps((values, ["vid0001", "vid0002", "vid0003"]), protocol=4))
    array, ids = lahner2024.read_betas(path)
    assert ids == ["0001", "0002", "0003"]
    clips = list(lahner2024.one_by_one(array))
    assert len(clips) == 3
    assert all(np.array_equal(clip, expected) for clip, expected in zip(clips, values, strict=True))


class RunsCode:
    def __reduce__(self):
        return os.system, ("echo ran",)


def test_a_pickle_that_would_run_code_is_refused(broken):
    replaced(betas(broken, "02", "train", "right"), (np.zeros((2, 1, 163842)), [RunsCode()]))
    with pytest.raises(BadInput, match=r"contains \w+\.system; expected lists, texts and numeric arrays only"):
        public_fmri.read(DECLARED, broken)


def test_subjects_whose_clips_differ_are_refused(broken):
    for side in ("left", "right"):
        names = [f"vid{i}" for i in reversed(miniature.TEST)]
        replaced(betas(broken, "02", "test", side), (np.zeros((8, 1, 163842), np.float32), names))
    with pytest.raises(BadInput, match="sub-02 and sub-01 list different clips or orders"):
        public_fmri.read(DECLARED, broken)
    replaced(betas(broken, "02", "test", "left"), (np.zeros((8, 1, 163842), np.float32), sorted(names)))
    with pytest.raises(BadInput, match="lists other clips than the right hemisphere"):
        public_fmri.read(DECLARED, broken)


@pytest.mark.slow
def test_a_score_finds_the_planted_layers(monkeypatch, folder, tmp_path):
    facts = public_fmri.scored(monkeypatch, DECLARED, folder.parent, tmp_path)
    assert facts["best_per_unit"]["test"] > 0.8
    public_fmri.assert_planted_layers_win(facts, GROUP, N_GROUPS)
