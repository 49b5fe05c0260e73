import shutil

import numpy as np
import pytest
from scipy.io import loadmat

from src.data.electrodes import crcns_pvc1, jpegs, pepana
from src.data.release import Release
from src.utils import BadInput
from src.video import probe, read_frames, read_image
from tests.data.miniatures import crcns_pvc1 as miniature
from tests.data.scored import assert_comes_back, assert_holds, scores

(DECLARED,) = crcns_pvc1.DATASETS


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("pvc1")
    miniature.write(home / "data" / miniature.STUDY)
    return home


@pytest.fixture
def folder(home, tmp_path):
    """Copy that a test may damage."""
    shutil.copytree(home / "data" / miniature.STUDY, tmp_path / miniature.STUDY)
    return tmp_path / miniature.STUDY


def read(folder, **options):
    return DECLARED.read(Release(DECLARED.name, folder, options))


@pytest.fixture(scope="module")
def record(home):
    return read(home / "data" / miniature.STUDY)


def test_the_release_is_read_and_kept(home, record, tmp_path):
    assert_holds(DECLARED, record, miniature.EXPECTED[DECLARED.name])
    assert_comes_back(record, tmp_path / "kept")
    assert all(need.found(home / "data" / miniature.STUDY) for need in DECLARED.needs)
    assert record.subjects == ("ac1",) * 4
    assert record.units["electrode"].tolist() == sorted(miniature.ELECTRODES)
    assert record.stimuli.ids[:2] == ("movie000_000", "movie000_001")


def test_missing_recordings_and_bins_after_a_film_are_nan(record):
    recorded = np.isfinite(record.values)
    unit = {e: i for i, e in enumerate(record.units["electrode"])}
    counted = recorded[:, :, 0].sum(axis=1)
    assert counted[:4, unit[3]].tolist() == [4] * 4
    assert counted[4:, unit[3]].tolist() == [3] * 4
    assert counted[:, unit[31]].tolist() == [3] * 8
    assert recorded[:, 0, :, 0].sum(axis=1).tolist() == [20, 20, 20, 15] * 2
    assert record.stimuli.duration_ms.tolist() == [4000, 4000, 4000, 3000] * 2


def test_counts_are_those_of_the_file(home, record):
    path = home / "data" / miniature.STUDY / "neurodata" / "ac1" / "ac1_u004_001.mat"
    squeezed = loadmat(path, struct_as_record=False, squeeze_me=True)["pepANA"]
    times = squeezed.listOfResults[5].repeat[1].data[2][0]
    expected = np.histogram(times[times >= 0], bins=20, range=(0, 4))[0]
    np.testing.assert_array_equal(record.values[5, 2, :20, 2], expected)


def test_other_conditions_and_early_spikes_are_counted(record):
    assert record.notes["conditions without a film left out"] == 1
    assert record.notes["spikes before a film left out"] == 7 * 8 * 3 + 6 * 4
    assert record.notes["segments left out for want of recordings"] == 0


def test_the_published_selection_of_units_and_the_other_options(home, folder):
    reliable = read(folder, units="reliable")
    assert 9 not in reliable.units["electrode"]
    assert reliable.notes["electrodes left out as unreliable, by all data"] == 7 - len(reliable.units["unit_id"])
    assert len(reliable.units["unit_id"]) >= 5
    by_site = read(folder, neurons="site")
    assert {unit[:8] for unit in by_site.units["unit_id"]} == {"ac1-u004"}
    assert by_site.notes["electrodes left out for want of recordings"] == 6
    both = read(folder, animal="all", neurons="site")
    assert {unit[:3] for unit in both.units["unit_id"]} == {"ac1", "bd2"}
    assert both.subjects[0] == "all animals"


def test_rare_segments_are_left_out_before_electrodes():
    row = np.zeros(150)
    cells = {((0, s), f"ac1-e{e:03d}"): [row, row] for s in range(4) for e in range(4)}
    cells |= {((1, 0), "ac1-e000"): [row, row]}
    cells.pop(((0, 3), "ac1-e003"))
    segments, units, left_out = crcns_pvc1.choose(cells, least=2)
    assert (segments, len(units)) == ([(0, 0), (0, 1), (0, 2)], 4)
    assert left_out["segments left out for want of recordings"] == 2
    with pytest.raises(BadInput, match=r"no electrode and segment have 2 recordings among 1 segments and 1 electrodes"):
        crcns_pvc1.choose({((0, 0), "ac1-e001"): [row]}, least=2)
    with pytest.raises(BadInput, match="among 0 segments"):
        crcns_pvc1.choose({}, least=1)


def test_films_contain_the_jpeg_files_unchanged(home, record):
    import av

    path = record.stimuli.paths[3]
    frames = sorted((home / "data" / miniature.STUDY / "movie_frames" / "movie000_003.images").glob("*.jpeg"))
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux(video=0) if p.size]
    assert packets == [frame.read_bytes() for frame in frames]
    info = probe(path)
    assert (info.n_frames, info.fps, info.duration_ms) == (90, 30, 3000)
    shown = next(iter(read_frames(path, np.array([1000.0]))))
    assert np.abs(shown.astype(int) - read_image(frames[30])).mean() < 3


def test_films_are_made_once_for_the_same_frames(folder):
    first = [path.stat().st_mtime_ns for path in read(folder).stimuli.paths]
    assert [path.stat().st_mtime_ns for path in read(folder).stimuli.paths] == first


def test_the_folder_of_the_archive_is_read_too(folder):
    inner = folder / "crcns-ringach-data"
    inner.mkdir()
    for name in ("neurodata", "movie_frames"):
        (folder / name).rename(inner / name)
    assert len(read(folder).stimuli) == 8
    assert all(need.found(folder) for need in DECLARED.needs)


def test_frames_that_are_missing_or_broken_are_named(folder):
    frame = folder / "movie_frames" / "movie001_002.images" / "movie001_002_007.jpeg"
    whole = frame.read_bytes()
    frame.write_bytes(whole[:-20])
    with pytest.raises(BadInput, match=r"movie001_002_007.jpeg: no whole JPEG file"):
        read(folder)
    frame.unlink()
    with pytest.raises(BadInput, match=r"119 frames in .*movie001_002.images; expected 120; run: .* fetch crcns-pvc1"):
        read(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda p: p.write_bytes(p.read_bytes()[:2000]),
            r"ac1_u004_000.mat: cannot be read .*expected a whole MATLAB 5",
        ),
        (lambda p: p.write_bytes(b"\x89HDF\r\n"), r"ac1_u004_000.mat: cannot be read"),
        (lambda p: p.rename(p.with_name("notes.mat")), r"notes.mat: no name like ac1_u004_000.mat"),
    ],
)
def test_a_damaged_or_foreign_file_is_named(folder, damage, message):
    damage(folder / "neurodata" / "ac1" / "ac1_u004_000.mat")
    with pytest.raises(BadInput, match=message):
        read(folder)


def test_a_file_without_the_fields_is_named(tmp_path):
    from scipy.io import savemat

    path = tmp_path / "ac1_u001_000.mat"
    savemat(path, {"pepANA": {"elec_list": [[1.0, 2.0]], "listOfResults": miniature._cell([])}})
    assert pepana.read_session(path).trials == []
    alone = miniature._condition(["movie_id"], [0], [])
    savemat(path, {"pepANA": {"elec_list": [[1.0, 2.0]], "listOfResults": miniature._cell([alone])}})
    with pytest.raises(BadInput, match=r"'segment_id' is not in list; expected the release's pepANA"):
        pepana.read_session(path)
    savemat(path, {"pepANA": {"elec_list": [[1.0, 2.0]]}})
    with pytest.raises(BadInput, match=r"ac1_u001_000.mat: .*listOfResults.*; expected the release's pepANA"):
        pepana.read_session(path)
    film = miniature._condition(["movie_id", "segment_id"], [0, 1], [miniature._no_spikes()])
    savemat(path, {"pepANA": {"elec_list": [[1.0, 2.0]], "listOfResults": miniature._cell([film])}})
    with pytest.raises(BadInput, match=r"7 recordings of 2 electrodes; expected one each"):
        pepana.read_session(path)


def test_missing_recordings_are_named_with_the_command(tmp_path):
    with pytest.raises(
        BadInput, match=r"0 files match neurodata/ac1/\*.mat .*run: dynamic-vision data fetch crcns-pvc1"
    ):
        read(tmp_path)


@pytest.mark.parametrize("subsampling", [0, 1, 2, None])
def test_a_jpeg_of_any_subsampling_is_decoded_as_its_file(tmp_path, subsampling):
    from PIL import Image

    frames = [tmp_path / f"{k}.jpeg" for k in range(3)]
    for path, frame in zip(frames, miniature.render((0, 0)), strict=False):
        image = Image.fromarray(frame) if subsampling is not None else Image.fromarray(frame[..., 0])
        image.save(path, quality=95, **({"subsampling": subsampling} if subsampling is not None else {}))
    path = jpegs.remux_jpegs(tmp_path / "film.mkv", frames, 30.0)
    shown = next(iter(read_frames(path, np.array([1000 / 30]))))
    assert np.abs(shown.astype(int) - read_image(frames[1])).mean() < 2


def test_a_folder_of_other_images_makes_no_film(tmp_path):
    (tmp_path / "a.jpeg").write_bytes(b"GIF89a")
    with pytest.raises(BadInput, match="cannot be read as an image"):
        jpegs.remux_jpegs(tmp_path / "film.mkv", [tmp_path / "a.jpeg"], 30.0)


@pytest.mark.slow
def test_the_planted_layer_wins(home):
    test, printed = scores("electrodes", DECLARED, home)
    assert max(test, key=test.get) == "orientation"
    assert test["orientation"] > 0.3
    assert printed["notes"]["rows dropped"] == 0
