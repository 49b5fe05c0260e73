import shutil

import h5py
import numpy as np
import pytest

from src.data.electrodes import crcns_mt2
from src.data.release import Release
from src.utils import BadInput
from src.video import probe, read_frames
from tests.data.miniatures import crcns_mt2 as miniature
from tests.data.scored import assert_comes_back, assert_holds, scores

(DECLARED,) = crcns_mt2.DATASETS
FIRST = "ct0001_arg0466d_128"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("mt2")
    miniature.write(home / "data" / miniature.STUDY)
    return home


@pytest.fixture(scope="module")
def record(home):
    return DECLARED.read(Release(DECLARED.name, home / "data" / miniature.STUDY, jobs=2))


@pytest.fixture
def one(home, tmp_path):
    """Copy of one small file that a test may damage."""
    shutil.copy(home / "data" / miniature.STUDY / f"{miniature.SILENT}.mat", tmp_path / "ct0099_arg0001d_64.mat")
    return tmp_path / "ct0099_arg0001d_64.mat"


def test_the_release_is_read_and_kept(home, record, tmp_path):
    assert_holds(DECLARED, record, miniature.EXPECTED[DECLARED.name])
    assert_comes_back(record, tmp_path / "kept")
    assert all(need.found(home / "data" / miniature.STUDY) for need in DECLARED.needs)
    assert record.notes["cells without a spike left out"] == f"1 ({miniature.SILENT})"
    assert record.units["unit_id"].tolist() == list(record.stimuli.ids) == list(miniature.CELLS)


def test_a_cell_has_responses_to_its_film_only_and_until_its_end(record):
    recorded = np.isfinite(record.values[:, 0])
    assert not recorded[~np.eye(3, dtype=bool)[:, None].repeat(1500, 1)].any()
    ends = [int(np.flatnonzero(recorded[k, :, k])[-1]) + 1 for k in range(3)]
    assert ends == [300, 350, 312]
    assert record.stimuli.duration_ms.tolist() == [60000, 70000, 62500]


def test_invalid_frames_are_left_out_and_bins_of_them_are_nan(home, record):
    invalid = np.flatnonzero(np.isnan(record.values[0, 0, :300, 0]))
    # frames 720 to 864 are 10 to 12 s; frames 2000 to 2015 are one bin's worth over two bins, more than half of one
    assert invalid.tolist() == [*range(50, 60), 139]
    assert record.notes["bins without a response left out"] == 11
    with h5py.File(home / "data" / miniature.STUDY / f"{FIRST}.mat") as file:
        spikes = file["psths"][0]
    inside = np.clip(np.minimum(np.arange(2015, 2031) + 1, 2030.4) - np.maximum(np.arange(2015, 2031), 2016), 0, 1)
    expected = 72 * (inside @ spikes[2015:2031]) / inside.sum()
    np.testing.assert_allclose(record.values[0, 0, 140, 0], expected, rtol=1e-5)


def test_rates_are_spikes_per_second_weighted_by_overlap():
    spikes = np.zeros(144)
    spikes[14] = 5.0
    rate = crcns_mt2.rate(spikes)
    np.testing.assert_allclose(rate[:3], [5 * 0.4 / 0.2, 5 * 0.6 / 0.2, 0])
    assert np.isfinite(rate).sum() == 10
    assert rate.shape == (1500,)
    half = np.where(np.arange(144) % 2, -1.0, 1.0)
    assert np.nanmax(np.abs(crcns_mt2.rate(half)[np.isfinite(crcns_mt2.rate(half))] - 72)) < 1e-9


def test_films_are_transposed_and_lossless(record):
    info = probe(record.stimuli.paths[1])
    assert (info.width, info.height, info.fps, info.n_frames) == (64, 48, 72, 5040)
    frames = miniature.render(*miniature.CELLS["ct0007_arg0490d_96"])
    shown = next(iter(read_frames(record.stimuli.paths[1], np.array([30000.0]))))
    np.testing.assert_array_equal(shown, np.repeat(frames[2160][..., None], 3, axis=2))


def test_films_are_made_once(home, record):
    before = [path.stat().st_mtime_ns for path in record.stimuli.paths]
    again = DECLARED.read(Release(DECLARED.name, home / "data" / miniature.STUDY))
    assert [path.stat().st_mtime_ns for path in again.stimuli.paths] == before


def test_the_ranges_of_the_files_are_in_the_unit_table(record):
    assert record.units["estimation_first"].tolist() == [1, 1, 1]
    assert record.units["estimation_last"].tolist() == [3888, 4536, 4050]
    assert record.units["validation_first"].tolist() == [3889, 4537, 4051]
    assert record.units["validation_last"].tolist() == [4320, 5040, 4500]


def test_surplus_counts_are_cut_and_noted(one):
    change(one, psths=np.ones((1, 145)))
    record = DECLARED.read(Release(DECLARED.name, one.parent))
    assert record.notes["cells with more frames or counts, cut"] == "1 (ct0099_arg0001d_64)"
    assert record.stimuli.duration_ms.tolist() == [2000]
    np.testing.assert_allclose(record.values[0, 0, :10, 0], 72, rtol=1e-6)


def test_too_many_cells_are_refused_before_any_is_read():
    crcns_mt2.check_size(577)
    with pytest.raises(BadInput, match="600 cells; expected at most 577"):
        crcns_mt2.check_size(600)


def change(path, **datasets):
    with h5py.File(path, "r+") as file:
        for name, values in datasets.items():
            del file[name]
            if values is not None:
                file[name] = values


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"psths": np.zeros((1, 5))}, r"frames \(144, 64, 48\) and 5 spike counts; expected as many"),
        ({"psths": None}, r"cannot be read .*psths.*expected a whole MATLAB 7.3 file"),
        ({"rawStims": np.full((144, 64, 48), 300.0)}, r"frames from 0 on are not grey levels of 0 to 255"),
        ({"rawStims": np.full((144, 64, 48), np.nan)}, r"frames from 0 on are not grey levels of 0 to 255"),
    ],
)
def test_an_inconsistent_file_is_named(one, datasets, message):
    change(one, **datasets)
    with pytest.raises(BadInput, match=r"ct0099_arg0001d_64.mat: " + message):
        DECLARED.read(Release(DECLARED.name, one.parent))


def test_a_damaged_file_and_silence_are_named(one):
    with pytest.raises(BadInput, match="none of 1 cells has a spike in a valid frame"):
        DECLARED.read(Release(DECLARED.name, one.parent))
    one.write_bytes(one.read_bytes()[:3000])
    with pytest.raises(BadInput, match=r"ct0099_arg0001d_64.mat: cannot be read .*fetch it again"):
        DECLARED.read(Release(DECLARED.name, one.parent))


@pytest.mark.slow
def test_the_planted_layer_wins(home):
    test, printed = scores("electrodes", DECLARED, home)
    assert max(test, key=test.get) == "motion"
    assert test["motion"] > 0.3
    assert printed["ceiling"] is None
