"""McMahon et al. 2023, from a miniature of its release to a score; its real lists and events."""

from pathlib import Path

import numpy as np
import pytest

from src.data.fmri import mcmahon2023
from src.data.fmri.fmriprep import read_table
from src.utils import BadInput, file_digest
from tests.data import public_fmri
from tests.data.miniatures import mcmahon2023 as miniature
from tests.data.planted_fmri import clip_signals

[DECLARED] = mcmahon2023.DATASETS
REAL = Path(__file__).resolve().parents[2] / "../shared/realdata/mcmahon2023"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the shared real files are not beside the checkout")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("data") / miniature.STUDY
    miniature.write(place)
    return place


@pytest.fixture(scope="module")
def record(folder):
    return public_fmri.read(DECLARED, folder)


@needs_real
def test_the_real_lists():
    train, test = (mcmahon2023.read_list(REAL / f"{part}.csv") for part in ("train", "test"))
    assert (len(train), len(test)) == (200, 50)
    assert not set(train) & set(test)
    assert (REAL / "test.csv").read_bytes().startswith(b"\xef\xbb\xbfvideo_name")
    pinned = next(need.origin for need in DECLARED.needs if need.what == "lists of clips").sha256
    assert {name: file_digest(REAL / name) for name in pinned} == pinned


@needs_real
def test_the_real_events_name_55_trials_among_255_rows():
    train, test = (set(mcmahon2023.read_list(REAL / f"{part}.csv")) for part in ("train", "test"))
    runs = sorted(REAL.glob("ds004542/sub-01/ses-02/func/*_task-SIdyads_*_events.tsv"))
    assert len(runs) == 6
    shown = {path: mcmahon2023.trials(path) for path in runs}
    for path, names in shown.items():
        table = read_table(path)
        assert len(table["onset"]) == 255
        assert sum(onset != "n/a" for onset in table["onset"]) == 55
        assert len(names) == 50
        assert set(names) in (test, set(names) & train)
    assert sum(set(names) == test for names in shown.values()) == 2
    assert {name for names in shown.values() for name in names} == train | test


def test_betas_belong_to_their_subject_and_clip(record, folder):
    public_fmri.assert_passes(DECLARED, record, miniature.EXPECTED[DECLARED.name])
    assert record.subjects == ("sub-01", "sub-01", "sub-02", "sub-02")
    assert list(record.stimuli.ids) == miniature.names("train") + miniature.names("test")
    assert record.stimuli.table["part"] == ["train"] * 40 + ["test"] * 10
    # occipital vertices of both hemispheres are in the first slab of each
    signals = clip_signals([folder / "dyad_videos_3000ms" / name for name in record.stimuli.ids])
    values = record.values[:, :, 0]
    reached = np.array([[_best(values[:, k, v], signals) for v in range(0, 20484, 977)] for k in range(4)])
    assert np.median(reached) > 0.9


def _best(values, signals):
    return max(np.corrcoef(values, column)[0, 1] for column in signals.T) if np.ptp(values) else 0.0


def test_the_declared_needs_are_what_is_read(folder):
    public_fmri.assert_needs_are_found(DECLARED, folder)


def test_ratings_and_presentations_are_kept(record):
    assert {"indoor", "agent_distance", "valence"} <= set(record.stimuli.table)
    assert record.notes["times shown (train / test)"] == "sub-01 0 / 1"
    assert record.notes["left out"] == "1: sub-03 (no test odd and no test even)"
    assert record.notes["order of betas"].startswith("by clip's name, as in train.csv and test.csv")


def test_the_record_is_read_back_unchanged(record, tmp_path):
    public_fmri.assert_equal(record, public_fmri.stored(record, tmp_path / "prepared"))


@pytest.fixture
def broken(folder, tmp_path):
    return public_fmri.copied(folder, tmp_path / miniature.STUDY)


def test_another_number_of_volumes_is_refused(broken):
    path = broken / "train.csv"
    lines = path.read_text().splitlines()
    path.unlink()
    path.write_text("\n".join(lines[:-1]))
    with pytest.raises(
        BadInput, match=r"desc-train-fracridge-\w+_data.*: 40 volumes; expected 39, one per clip of train"
    ):
        public_fmri.read(DECLARED, broken)


def test_an_older_list_and_duplicates_are_refused(broken):
    path = broken / "train.csv"
    text = path.read_text()
    path.unlink()
    path.write_text(text.replace(miniature.names("train")[0], "#NAME?"))
    with pytest.raises(BadInput, match=r"train\.csv: '#NAME\?' is no clip"):
        public_fmri.read(DECLARED, broken)
    path.write_text(text.replace(miniature.names("train")[0], miniature.names("test")[0]))
    with pytest.raises(BadInput, match=r"1 clips are in train\.csv and test\.csv"):
        public_fmri.read(DECLARED, broken)
    path.write_text("name\n")
    with pytest.raises(BadInput, match="begins with 'name'; expected video_name"):
        public_fmri.read(DECLARED, broken)


def test_betas_in_native_space_are_answered_with_the_way_to_warp_them(broken):
    for path in broken.rglob("*_data_MNI152NLin2009cAsym.nii.gz"):
        path.rename(path.with_name(path.name.replace("_MNI152NLin2009cAsym", "")))
    with pytest.raises(BadInput, match=r"native T1w space, first sub-\d+_.*: warp the files .*_from-T1w_to-MNI152"):
        public_fmri.read(DECLARED, broken)


def test_both_datasets_of_the_study_pin_one_list_of_clips():
    from src.data.tasks import mcmahon2023_social

    lists = {id(need.origin) for need in mcmahon2023_social.NEEDS if need.what.startswith("the ")}
    assert lists == {id(need.origin) for need in DECLARED.needs if need.what == "lists of clips"}
    [origin] = [need.origin for need in DECLARED.needs if need.what == "lists of clips"]
    assert origin.sha256["train.csv"].startswith("c027e8ae")


def test_missing_clips_are_counted_and_the_first_ten_named(broken):
    for name in miniature.names("train")[:12]:
        (broken / "dyad_videos_3000ms" / name).unlink()
    with pytest.raises(
        BadInput, match=r"12 of 50 files are missing .* and 2 more; run: dynamic-vision data fetch mcmahon"
    ):
        public_fmri.read(DECLARED, broken)


def test_events_that_show_other_clips_are_refused(broken):
    [path] = broken.glob("sub-01/ses-02/func/*_events.tsv")
    text = path.read_text()
    path.unlink()
    path.write_text(text.replace(miniature.names("test")[0], "another.mp4"))
    with pytest.raises(BadInput, match=r"shows another\.mp4, which neither train\.csv nor test\.csv lists"):
        public_fmri.read(DECLARED, broken)


def test_ratings_of_too_few_clips_and_duplicate_betas_are_refused(broken):
    path = broken / "annotations.csv"
    lines = path.read_text().splitlines()
    path.unlink()
    path.write_text("\n".join(lines[:-2]))
    with pytest.raises(BadInput, match=r"annotations\.csv: 2 of 50 clips have no ratings"):
        public_fmri.read(DECLARED, broken)
    [betas] = broken.glob("betas/z/sub-01*train-fracridge-odd*")
    (broken / "betas" / "y").mkdir()
    (broken / "betas" / "y" / betas.name).hardlink_to(betas)
    with pytest.raises(BadInput, match="are the same betas; remove one of them"):
        public_fmri.read(DECLARED, broken)


@pytest.mark.slow
def test_a_score_reaches_the_planted_signal(monkeypatch, folder, tmp_path):
    facts = public_fmri.scored(monkeypatch, DECLARED, folder.parent, tmp_path)
    assert facts["best_per_unit"]["test"] > 0.8
    assert facts["ceiling"] > 0.9
