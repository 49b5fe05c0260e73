from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.data.release import Release
from src.data.tasks import ding2012
from src.utils import BadInput
from src.video import decode, probe
from tests.data.miniatures import ding2012 as miniature
from tests.data.public_tasks import assert_counts


def moves(identity):
    """Return, per frame, the numbers of coherent dots and of all dots of the set: two arrays (117,)."""
    frames = list(ding2012.dot_frames(identity))
    step = 0.3 if identity.split("_")[1] == "0" else -0.3
    together, n_dots = [], []
    for before, after in zip(frames[:-3], frames[3:], strict=True):
        step_taken = (after - before + 5) % 10 - 5
        together.append((np.abs(step_taken - [step, 0]) < 1e-9).all(axis=1).sum())
        n_dots.append(len(after))
    return np.array(together), np.array(n_dots)


@pytest.mark.parametrize("coherence", ding2012.COHERENCES)
@pytest.mark.parametrize("direction", ding2012.DIRECTIONS)
def test_the_share_of_coherent_dots_is_exact(coherence, direction):
    together, n_dots = moves(f"{100 * coherence:g}_{direction}_3")
    assert np.abs(together - coherence * n_dots).max() < 1
    assert abs(together.sum() - coherence * n_dots.sum()) < 1
    assert np.abs(np.cumsum(together) - np.cumsum(coherence * n_dots)).max() < 1


@given(st.floats(0, 1), st.lists(st.integers(0, 40), min_size=1, max_size=60), st.floats(0, 1, exclude_max=True))
def test_counts_follow_the_running_sum(coherence, sizes, phase):
    sizes = np.array(sizes)
    counts = ding2012.coherent_counts(coherence, sizes, phase)
    assert (counts >= 0).all()
    assert (counts <= sizes).all()
    assert np.abs(np.cumsum(counts) - np.cumsum(coherence * sizes)).max() <= 1 + 1e-9


def test_62_dots_in_three_sets_stay_in_the_square():
    frames = list(ding2012.dot_frames("51.2_180_7"))
    assert [len(dots) for dots in frames[:6]] == [21, 21, 20, 21, 21, 20]
    assert np.abs(np.concatenate(frames)).max() <= 5
    assert len(frames) == 120


def test_all_films_differ_and_each_is_reproducible():
    films = ding2012.all_films()
    assert len(films) == 1000
    assert films["3.2_180_99"] == (180, 0.032)
    first = [next(ding2012.dot_frames(identity)) for identity in list(films)[::37]]
    again = [next(ding2012.dot_frames(identity)) for identity in list(films)[::37]]
    np.testing.assert_array_equal(np.stack(first), np.stack(again))
    assert len({dots.tobytes() for dots in first}) == len(first)


def test_a_film_is_the_same_in_every_version():
    expected = [[-3.894473, -4.227065], [0.649615, -2.671837]]
    np.testing.assert_allclose(next(ding2012.dot_frames("51.2_0_0"))[:2], expected, atol=1e-6)


def test_nothing_is_shown_outside_the_aperture():
    geometry = replace(ding2012.GEOMETRY, size_px=112)
    shown = np.max(list(ding2012.render_film("12.8_0_0", geometry)), axis=0)
    rows, columns = np.mgrid[:112, :112] - 55.5
    from_centre = np.hypot(rows, columns) / 7
    assert not shown[from_centre > 5.3].any()
    assert (shown[from_centre < 4.7] > 0).mean() > 0.3


def test_the_manifest_selects_films_which_are_rendered_once(tmp_path):
    miniature.write(tmp_path)
    manifest = tmp_path / "prepared" / "ding2012.csv"
    manifest.write_text("stimulus_id\n" + "".join(f"{identity}\n" for identity in miniature.FILMS[::12]))
    record = ding2012.read(Release("ding2012", tmp_path, jobs=2))
    assert_counts(record, {"stimuli": 4, "classes": 2})
    assert record.values[:, 0].tolist() == ["0", "180", "0", "180"]
    assert record.strata.tolist() == [0.256, 0.256, 0.512, 0.512]
    info = probe(record.stimuli.paths[0])
    assert (info.fps, info.n_frames, info.duration_ms) == (60, 120, 2000)
    rendered = np.stack(list(ding2012.render_film(record.stimuli.ids[0])))
    stored = np.stack([frame for _, frame in decode(record.stimuli.paths[0], range(120), info)])
    np.testing.assert_array_equal(stored, rendered[..., None].repeat(3, axis=3))
    written = record.stimuli.paths[0].stat().st_mtime_ns
    assert ding2012.read(Release("ding2012", tmp_path)).stimuli.paths[0].stat().st_mtime_ns == written


def test_a_manifest_of_other_films_is_refused(tmp_path):
    miniature.write(tmp_path)
    (tmp_path / "prepared" / "ding2012.csv").write_text("stimulus_id\n51.2_0_1\n51.2_90_1\n")
    with pytest.raises(BadInput, match=r"1 of 2 names are no films \(51.2_90_1\); expected names like"):
        ding2012.read(Release("ding2012", tmp_path))


def test_without_a_manifest_all_films_are_used(tmp_path):
    assert len(ding2012.chosen(Release("ding2012", tmp_path))) == ding2012.DATASETS[0].expected["stimuli"]
