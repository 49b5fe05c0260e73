import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.data.release import Release
from src.data.tasks import hdm05, sampling
from src.evaluate.splits import item_splits
from src.utils import BadInput
from tests.data.miniatures import hdm05 as miniature
from tests.data.public_tasks import fetch_from_loopback

NAME = "HDM_bd_walk_001_120.C3D"


def put(folder, positions, name=NAME, **options):
    path = folder / "walk" / name
    miniature.write_c3d(path, positions, **options)
    return path


def figure(n_samples, seed=1):
    return np.random.default_rng(seed).uniform(-800, 800, (3, 12, n_samples)) + 2000


def test_positions_are_read_and_lost_markers_are_nan(tmp_path):
    positions, lost = figure(50), np.zeros((12, 50), dtype=bool)
    lost[4, 10:20] = lost[7] = True
    read = hdm05.read_c3d(put(tmp_path, positions, lost=lost)).positions
    assert read.shape == (50, 11, 3)
    assert np.isnan(read[10:20, 4]).all()
    assert np.isnan(read).sum() == 30
    np.testing.assert_allclose(read[:, 0], positions[:, 0].T, rtol=1e-6)


def test_a_lost_marker_does_not_change_scale_or_place_of_the_others(tmp_path):
    positions, lost = figure(50), np.zeros((12, 50), dtype=bool)
    inner = int(np.abs(positions - 2000).max(axis=(0, 2)).argmin())
    positions[:, inner] = 2000
    lost[inner, 5:] = True
    whole = hdm05.projected(hdm05.read_c3d(put(tmp_path / "a", positions)).positions, 30)
    holed = hdm05.projected(hdm05.read_c3d(put(tmp_path / "b", positions, lost=lost)).positions, 30)
    others = [k for k in range(12) if k != inner]
    np.testing.assert_allclose(holed[:, others], whole[:, others], atol=1e-4)
    assert np.isnan(holed[5:, inner]).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 360), st.tuples(*[st.floats(1, 5000)] * 3))
def test_every_view_fits_the_picture_at_one_scale(seed, view, spread):
    positions = np.random.default_rng(seed).uniform(-1, 1, (20, 9, 3)) * spread + 500
    seen = hdm05.projected(positions, view)
    assert seen.min() > 0
    assert seen.max() < hdm05.SIZE_PX - 1
    up = np.ptp(positions[..., 2]) / max(np.ptp(positions[..., 2]), np.hypot(*np.ptp(positions, axis=(0, 1))[:2]))
    assert np.ptp(seen[..., 1]) == pytest.approx(up * hdm05.SIZE_PX * (1 - 2 * hdm05.MARGIN))


def test_views_turn_about_the_vertical_and_keep_right_and_up():
    depth_right_up = np.array([[[-1.0, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]]])
    front, side = (hdm05.projected(depth_right_up, view)[0] for view in (0, 90))
    assert front[3, 0] > front[2, 0]
    assert front[5, 1] < front[4, 1]
    assert front[0, 0] == pytest.approx(front[1, 0])
    assert side[2, 0] == pytest.approx(side[3, 0])
    np.testing.assert_allclose(side[:, 1], front[:, 1])
    assert abs(side[1, 0] - side[0, 0]) == pytest.approx(front[3, 0] - front[2, 0])


def test_real_time_is_every_4_8th_sample_and_short_clips_repeat():
    ramp = hdm05.Recording(np.arange(600.0)[:, None, None].repeat(3, axis=2))
    np.testing.assert_allclose(hdm05.frames_of(ramp, hdm05.STEP["real"])[:, 0, 0], np.arange(100) * 4.8)
    np.testing.assert_allclose(hdm05.frames_of(ramp, hdm05.STEP["published"])[:, 0, 0], np.arange(100) * 4.0)
    short = hdm05.Recording(ramp.positions[:120])
    looped = hdm05.frames_of(short, hdm05.STEP["real"])[:, 0, 0]
    np.testing.assert_allclose(looped[:25], np.arange(25) * 4.8, atol=1e-9)
    np.testing.assert_allclose(looped[25:50], looped[:25].clip(max=119), atol=1e-6)


def test_a_marker_that_was_lost_is_lost_between_samples_too():
    positions = np.ones((10, 1, 3))
    positions[5] = np.nan
    frames = hdm05.frames_of(hdm05.Recording(positions), 0.5)
    assert np.isnan(frames[[9, 10, 11], 0, 0]).all()
    assert np.isfinite(frames[[8, 12], 0, 0]).all()


def test_the_background_is_static_seeded_and_optional(tmp_path):
    path = put(tmp_path, miniature.motion("rise1Reps", 1, 240))
    with_dots = np.stack(list(hdm05.render_film(path, "a", 0, "real", "dots")))
    again = np.stack(list(hdm05.render_film(path, "a", 0, "real", "dots")))
    other = np.stack(list(hdm05.render_film(path, "b", 0, "real", "dots")))
    without = np.stack(list(hdm05.render_film(path, "a", 0, "real", "none")))
    assert with_dots.shape == (100, 224, 224)
    np.testing.assert_array_equal(with_dots, again)
    assert (with_dots != other).any()
    assert (with_dots.min(axis=0) > 0).mean() == pytest.approx(0.165, abs=0.02)
    assert without.min(axis=0).max() == 0
    assert (with_dots >= without).all()


def test_classes_are_names_up_to_the_first_digit_in_four_views(tmp_path):
    for label in ("jumpUp1Reps", "jumpUp3Reps", "sit", "2fast"):
        path = tmp_path / "HDM05_cut_c3d" / label / f"HDM_bd_{label}_001_120.C3D"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    (path.parent.parent / "sit" / "template.c3d").write_bytes(b"")
    notes = {}
    found = hdm05.items(Release("hdm05", tmp_path), notes)
    assert {label: len(of) for label, of in found.items()} == {"jumpUp": 8, "sit": 4}
    assert "jumpUp3Reps-90-HDM_bd_jumpUp3Reps_001_120" in found["jumpUp"]
    assert notes == {"clips of another name": "2 (HDM_bd_2fast_001_120.C3D, template.c3d)"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Miniature with a manifest of a few of its films."""
    home = tmp_path_factory.mktemp("hdm05")
    miniature.write(home)
    release = Release("hdm05", home)
    paths = sorted(home.glob("HDM05_cut_c3d/*/*.C3D"))
    picked = [path for path in paths if "sit" not in path.name][::4]
    rows = [
        sampling.Sampled(
            f"{p.parent.name}-{view}-{p.stem}", str(p.relative_to(home)), p.parent.name[:4], duration_ms=4000
        )
        for p in picked
        for view in (0, 60)
    ]
    sampling.write_manifest(release.manifest("hdm05"), rows)
    return home


def read(folder, **options):
    return hdm05.read(Release("hdm05", folder, {"background": "none", **options}, jobs=2))


def test_views_of_a_clip_or_clips_of_an_actor_stay_in_one_part_of_a_split(folder):
    by_clip, by_actor = read(folder), read(folder, groups="actor")
    assert len(set(by_clip.groups)) == len(by_clip.stimuli) // 2
    assert set(by_actor.groups) <= {f"{label}/{actor}" for label in ("rise", "sink") for actor in miniature.ACTORS}
    strata = by_clip.values[:, 0].tolist()
    for split in item_splits(len(strata), strata=strata, groups=by_clip.groups.tolist(), n_splits=3):
        held = set(by_clip.groups[split.test]) | set(by_clip.groups[split.valid])
        assert not held & set(by_clip.groups[split.train])
    assert by_clip.stimuli.table["view"][:2] == [0, 60]
    assert by_clip.notes["kept together by splits"] == "films of one clip"


def test_each_pace_and_background_has_separate_films(folder):
    real, slow = read(folder), read(folder, pace="published")
    assert real.stimuli.paths[0].parent.name == "hdm05-films-real-none"
    assert slow.stimuli.paths[0].parent.name == "hdm05-films-published-none"
    assert real.stimuli.digest != slow.stimuli.digest
    assert all(path.is_file() for path in real.stimuli.paths)


def test_the_archive_is_fetched_and_unpacked(folder, tmp_path):
    packed, clips = io.BytesIO(), sorted(folder.glob("HDM05_cut_c3d/*/*.C3D"))[:3]
    with zipfile.ZipFile(packed, "w") as archive:
        for path in clips:
            archive.write(path, path.relative_to(folder))
    assert fetch_from_loopback(hdm05.DATASETS[0], {"HDM05_cut_c3d.zip": packed.getvalue()}, tmp_path) == []
    assert [path.name for path in hdm05.NEEDS[0].found(tmp_path)] == [path.name for path in clips]


def test_damaged_files_are_refused_by_name(tmp_path):
    good = put(tmp_path, figure(50))
    cut = Path(tmp_path / "cut.C3D")
    cut.write_bytes(good.read_bytes()[:-3000])
    with pytest.raises(BadInput, match=r"cut.C3D: 35 of 50 samples; it is truncated"):
        hdm05.read_c3d(cut)
    (tmp_path / "no.C3D").write_bytes(b"junk" * 99)
    with pytest.raises(BadInput, match=r"no.C3D: cannot be read as C3D"):
        hdm05.read_c3d(tmp_path / "no.C3D")
    slow = put(tmp_path / "slow", figure(50), rate=60)
    with pytest.raises(BadInput, match="60 samples per second; expected 120"):
        hdm05.read_c3d(slow)
    lost = np.ones((12, 50), dtype=bool)
    lost[:3] = False
    with pytest.raises(BadInput, match="3 markers with a position; expected at least 8"):
        hdm05.read_c3d(put(tmp_path / "few", figure(50), lost=lost))
