"""Splits that test each row once, copies of one stimulus, and rows that are left out together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.evaluate.splits import item_splits, left_out_blocks, left_out_groups, segment_splits, segments
from src.utils import BadInput, regular_bins

OPTIONS = {"segment_ms": 15_000.0, "gap_ms": 10_000.0}


def films(*lengths, width_ms=1000.0):
    stimulus = np.concatenate([np.full(n, i) for i, n in enumerate(lengths)])
    return stimulus, np.concatenate([regular_bins(n * width_ms, width_ms) for n in lengths])


def distance(row_ms, others_ms):
    """Return the time between a bin and each of the others, 0 where they overlap."""
    return np.maximum(np.maximum(others_ms[:, 0] - row_ms[1], row_ms[0] - others_ms[:, 1]), 0)


@pytest.mark.parametrize("validate", [False, True])
@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 300), min_size=3, max_size=6),
    n_splits=st.integers(3, 12),
    seed=st.integers(0, 1000),
)
def test_each_row_is_tested_once_and_training_keeps_the_gap(validate, lengths, n_splits, seed):
    stimulus, time_ms = films(*lengths, 400)
    segment = segments(stimulus, time_ms[:, 0], 15_000.0)
    splits = segment_splits(
        stimulus, time_ms, **OPTIONS, layout="tiled", validate=validate, n_splits=n_splits, seed=seed
    )
    assert len(splits) == n_splits
    np.testing.assert_array_equal(np.sort(np.concatenate([s.test for s in splits])), np.arange(len(stimulus)))
    for k, split in enumerate(splits):
        assert len(split.test) > 0
        np.testing.assert_array_equal(split.valid, splits[(k + 1) % n_splits].test if validate else [])
        assert not np.isin(segment[split.train], segment[split.held]).any()
        near = [
            distance(time_ms[row], time_ms[split.held[stimulus[split.held] == stimulus[row]]]).min(initial=np.inf)
            < 10_000.0
            for row in range(len(stimulus))
        ]
        np.testing.assert_array_equal(split.train, np.flatnonzero(~np.array(near)))


def test_a_tiled_test_run_is_contiguous_in_the_ring():
    stimulus, time_ms = films(478, 389, 600)
    for split in segment_splits(stimulus, time_ms, **OPTIONS, layout="tiled", seed=5):
        pieces = np.split(split.test, np.flatnonzero(np.diff(split.test) > 1) + 1)
        inner = [p for p in pieces if p[0] not in (0, 478, 867) and p[-1] not in (477, 866, 1466)]
        assert len(inner) + (len(pieces) > len(inner)) == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.1, 50), min_size=2, max_size=60), st.integers(2, 12), st.integers(0, 100))
def test_tiled_runs_are_equal_in_weight_up_to_a_segment(weights, n_splits, seed):
    clips, weights = np.arange(len(weights)), np.array(weights)
    time_ms = np.tile([[0.0, 3000.0]], (len(clips), 1))
    splits = segment_splits(clips, time_ms, **OPTIONS, layout="tiled", n_splits=n_splits, seed=seed, weights=weights)
    assert len(splits) == min(n_splits, len(clips))
    of_run = np.array([weights[split.test].sum() for split in splits])
    assert of_run.all()
    if weights.max() < weights.sum() / len(splits) / 2:
        assert np.abs(of_run - weights.sum() / len(splits)).max() <= weights.max() + 1e-9


def test_tiled_splits_depend_on_the_seed_alone_and_start_anywhere():
    stimulus, time_ms = films(480)
    starts = set()
    for seed in range(100):
        one, same = (
            segment_splits(stimulus, time_ms, **OPTIONS, layout="tiled", seed=s, n_splits=8) for s in (seed, seed)
        )
        assert all(np.array_equal(a.test, b.test) for a, b in zip(one, same, strict=True))
        starts.update(split.test[0] for split in one if np.ptp(split.test) == 59)
    assert len(starts) > 20  # 29 segments are followed by three others


def test_too_few_segments_or_splits_are_refused_and_fewer_splits_are_made():
    assert len(segment_splits(*films(60), segment_ms=15_000.0, gap_ms=0.0, layout="tiled")) == 4
    with pytest.raises(BadInput, match=r"1 segments of 15 s; expected at least 2, .*--clip-duration"):
        segment_splits(*films(15), **OPTIONS, layout="tiled")
    with pytest.raises(BadInput, match="2 segments of 15 s; expected at least 3, one each to train, validate and test"):
        segment_splits(*films(30), **OPTIONS, layout="tiled", validate=True)
    (alone,) = segment_splits(*films(300), **OPTIONS, layout="tiled", n_splits=1)
    assert len(alone.test) == 150
    with pytest.raises(BadInput, match=r"no training rows are left 100 s away.*--gap"):
        segment_splits(*films(60), segment_ms=15_000.0, gap_ms=100_000.0, layout="tiled")


@pytest.mark.parametrize("layout", ["tiled", "runs", "scattered"])
def test_a_clip_that_two_datasets_share_never_trains_in_one_and_tests_in_the_other(layout):
    # 60 clips of one row; the last 30 of the first dataset are the first 30 of the second
    content = np.concatenate([np.arange(60), 30 + np.arange(60)])
    time_ms = np.tile([[0.0, 3000.0]], (120, 1))
    for split in segment_splits(content, time_ms, **OPTIONS, layout=layout, seed=1):
        for part in (split.train, split.valid, split.test):
            shared = content[part][(content[part] >= 30) & (content[part] < 60)]
            assert (np.unique(shared, return_counts=True)[1] == 2).all()
    separate = segment_splits(np.arange(120), time_ms, **OPTIONS, layout=layout, seed=1)
    assert any(np.isin(content[split.train], content[split.test]).any() for split in separate)


@pytest.mark.parametrize("widths_s", [(1.0, 1.0), (1.0, 1.49), (0.72, 3.0)])
@pytest.mark.parametrize("layout", ["tiled", "runs", "scattered"])
def test_the_gap_holds_between_copies_of_a_film(widths_s, layout):
    times = [regular_bins(480_000.0, 1000 * width) for width in widths_s]
    time_ms, content = np.concatenate(times), np.zeros(sum(map(len, times)), dtype=int)
    for split in segment_splits(content, time_ms, **OPTIONS, layout=layout):
        away = [distance(time_ms[row], time_ms[split.held]).min() for row in split.train]
        assert min(away) >= 10_000.0 - 1e-6
    for block in left_out_blocks(content, time_ms, **OPTIONS):
        near = [distance(row_ms, time_ms[block.rows]).min() < 10_000.0 - 1e-6 for row_ms in time_ms]
        np.testing.assert_array_equal(block.gap, np.setdiff1d(np.flatnonzero(near), block.rows))


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 80), min_size=1, max_size=4),
    gap_s=st.sampled_from([0, 1, 4.5, 10, 40]),
    seed=st.integers(0, 1000),
)
def test_blocks_are_the_segments_and_their_gap_the_rows_near_them(lengths, gap_s, seed):
    stimulus, time_ms = films(*lengths)
    kept = np.random.default_rng(seed).permutation(np.flatnonzero(np.arange(len(stimulus)) % 7 != seed % 7))
    if not len(kept):
        return
    stimulus, time_ms = stimulus[kept], time_ms[kept]
    segment = segments(stimulus, time_ms[:, 0], 15_000.0)
    blocks = left_out_blocks(stimulus, time_ms, 15_000.0, 1000.0 * gap_s)
    assert len(blocks) == segment.max() + 1
    for k, block in enumerate(blocks):
        np.testing.assert_array_equal(block.rows, np.flatnonzero(segment == k))
        near = [
            stimulus[row] == stimulus[block.rows[0]]
            and segment[row] != k
            and distance(time_ms[row], time_ms[block.rows]).min() < 1000.0 * gap_s
            for row in range(len(stimulus))
        ]
        np.testing.assert_array_equal(block.gap, np.flatnonzero(near))


def test_a_split_that_tests_one_segment_trains_on_the_rows_outside_its_block_and_gap():
    stimulus, time_ms = films(120, 75)
    blocks = left_out_blocks(stimulus, time_ms, **OPTIONS)
    splits = segment_splits(stimulus, time_ms, **OPTIONS, layout="tiled", n_splits=len(blocks))
    by_first = {block.rows[0]: block for block in blocks}
    assert len(splits) == len(blocks) == 13
    for split in splits:
        block = by_first[split.test[0]]
        np.testing.assert_array_equal(split.test, block.rows)
        np.testing.assert_array_equal(split.train, np.setdiff1d(np.arange(195), np.r_[block.rows, block.gap]))


def test_groups_are_left_out_whole():
    found = left_out_groups(np.array(["b", "a", "b", "c", "a"]))
    assert [(one.rows.tolist(), one.gap.tolist()) for one in found] == [([0, 2], []), ([1, 4], []), ([3], [])]


@pytest.mark.parametrize("validate", [False, True])
@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(3, 40), min_size=1, max_size=8),
    n_splits=st.integers(3, 12),
    seed=st.integers(0, 1000),
)
def test_each_item_is_tested_once_in_folds_of_equal_size(validate, sizes, n_splits, seed):
    strata = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    splits = item_splits(len(strata), strata=strata, layout="tiled", validate=validate, n_splits=n_splits, seed=seed)
    assert len(splits) == min(n_splits, len(strata))
    np.testing.assert_array_equal(np.sort(np.concatenate([s.test for s in splits])), np.arange(len(strata)))
    for k, split in enumerate(splits):
        np.testing.assert_array_equal(split.valid, splits[(k + 1) % len(splits)].test if validate else [])
        np.testing.assert_array_equal(np.sort(np.concatenate([split.train, split.held])), np.arange(len(strata)))
        assert set(strata[split.train]) == set(strata)
    assert np.ptp([len(split.test) for split in splits]) <= 1
    for one in range(len(sizes)):
        assert np.ptp([(strata[split.test] == one).sum() for split in splits]) <= 1


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_groups_of_unequal_size_stay_whole_in_folds_that_differ_by_at_most_a_group(seed):
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 8, 60)
    groups = rng.permutation(np.repeat(np.arange(60), size))
    strata = groups % 3
    splits = item_splits(len(groups), strata=strata, groups=groups, layout="tiled", n_splits=7, seed=seed)
    owners = np.concatenate([np.unique(groups[split.test]) for split in splits])
    assert sorted(owners) == list(range(60))
    for one in range(3):
        assert np.ptp([(strata[split.test] == one).sum() for split in splits]) <= size.max()
    assert np.ptp([len(split.test) for split in splits]) <= size.max()


def test_item_folds_depend_on_the_seed_alone():
    a, b, c = (item_splits(100, layout="tiled", seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(x.test, y.test) for x, y in zip(a, b, strict=True))
    assert not any(np.array_equal(x.test, y.test) for x, y in zip(a, c, strict=True))


def test_too_few_items_are_refused_and_fewer_folds_are_made():
    assert len(item_splits(4, layout="tiled")) == 4
    assert len(item_splits(12, groups=np.arange(12) // 3, layout="tiled")) == 4
    with pytest.raises(BadInput, match="1 items of class 'b'; expected at least 2, one each to train and test"):
        item_splits(11, strata=["a"] * 10 + ["b"], layout="tiled")
    with pytest.raises(BadInput, match="2 items of class 'b'; expected at least 3, one each to train, validate"):
        item_splits(12, strata=["a"] * 10 + ["b"] * 2, layout="tiled", validate=True)
    two = item_splits(12, layout="tiled", validate=True, n_splits=2)
    assert [(len(split.train), len(split.valid), len(split.test)) for split in two] == [(4, 4, 4)] * 2
    with pytest.raises(BadInput, match="layout 'folds'; expected one of tiled, sampled"):
        item_splits(12, layout="folds")


def test_each_film_is_left_out_once_whole():
    stimulus = np.repeat([0, 1, 2], [30, 20, 25])
    time_ms = 1000.0 * np.concatenate([np.arange(n) for n in (30, 20, 25)])[:, None] + [0, 1000.0]
    options = {"segment_ms": 15_000.0, "gap_ms": 10_000.0, "layout": "leave-one-film-out"}
    for validate in (False, True):
        splits = segment_splits(stimulus, time_ms, **options, validate=validate, n_splits=10)
        assert len(splits) == 3
        for k, split in enumerate(splits):
            assert set(stimulus[split.test]) == {k}
            assert len(split.test) == (stimulus == k).sum()
            assert set(stimulus[split.valid]) == ({(k + 1) % 3} if validate else set())
            assert len(split.train) + len(split.held) == len(stimulus)
    with pytest.raises(BadInput, match="1 films for --split leave-one-film-out; expected at least 2"):
        segment_splits(stimulus[:30], time_ms[:30], **options)
    with pytest.raises(BadInput, match="a stimulus of 5 rows; expected films of at least 10"):
        segment_splits(stimulus[:35], time_ms[:35], **options)
