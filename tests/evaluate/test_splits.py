import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.evaluate.protocol import PUBLISHED
from src.evaluate.splits import item_splits, segment_splits, segments
from src.utils import BadInput, regular_bins


def films(*lengths):
    stimulus = np.concatenate([np.full(n, i) for i, n in enumerate(lengths)])
    return stimulus, np.concatenate([regular_bins(n * 1000.0, 1000.0) for n in lengths])


@pytest.mark.parametrize("layout", ["runs", "scattered"])
@pytest.mark.parametrize("gap_s", [0, 10])
@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(120, 300), min_size=1, max_size=5), seed=st.integers(0, 1000))
def test_parts_are_disjoint_segments_stay_whole_and_the_gap_is_kept(layout, gap_s, lengths, seed):
    stimulus, time_ms = films(*lengths)
    segment = segments(stimulus, time_ms[:, 0], 15000.0)
    options = {"segment_ms": 15000.0, "gap_ms": gap_s * 1000.0, "layout": layout, "n_splits": 3, "seed": seed}
    for split in segment_splits(stimulus, time_ms, **options):
        parts = [split.train, split.valid, split.test]
        assert all(len(part) for part in parts)
        assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))
        held = [set(segment[part]) for part in parts[1:]]
        assert not held[0] & held[1]
        for part, names in zip(parts[1:], held, strict=True):
            assert len(part) == np.isin(segment, list(names)).sum()
        away = np.setdiff1d(np.arange(len(stimulus)), np.concatenate(parts))
        held_rows = np.concatenate(parts[1:])
        for row in split.train:
            mine = held_rows[stimulus[held_rows] == stimulus[row]]
            distance = np.abs(time_ms[mine, 0] - time_ms[row, 0]) - 1000.0
            assert not len(mine) or distance.min() >= gap_s * 1000.0 - 1e-6
        if gap_s == 0:
            assert not len(away)


def test_segments_never_cross_stimuli():
    stimulus, time_ms = films(37, 20, 3)
    segment = segments(stimulus, time_ms[:, 0], 15000.0)
    for one in np.unique(segment):
        assert len(set(stimulus[segment == one])) == 1
    assert len(np.unique(segment)) == 3 + 2 + 1


def test_held_out_runs_are_contiguous_and_a_tenth_each():
    stimulus, time_ms = films(1500)
    for split in segment_splits(stimulus, time_ms, segment_ms=15000.0, gap_ms=10000.0, seed=3):
        for part in (split.valid, split.test):
            assert len(part) == 150
            assert (np.diff(np.sort(part)) > 1).sum() <= 1  # a run may continue at the start of the ring
        assert len(split.train) >= 1500 * 0.8 - 40


def test_every_second_is_held_out_as_often_as_any_other():
    stimulus, time_ms = films(300, 150)
    times = np.zeros(len(stimulus))
    for split in segment_splits(stimulus, time_ms, segment_ms=15000.0, gap_ms=0.0, n_splits=2000, distinct=False):
        times[split.test] += 1
    np.testing.assert_allclose(times / 2000, 0.1, atol=0.035)


def test_weights_count_in_the_shares():
    clips = np.arange(200)
    time_ms = np.tile([[0.0, 3000.0]], (200, 1))
    weights = np.where(clips < 100, 1.0, 3.0)
    shares = [
        weights[split.test].sum() / weights.sum()
        for split in segment_splits(clips, time_ms, segment_ms=15000.0, gap_ms=1e4, n_splits=50, weights=weights)
    ]
    np.testing.assert_allclose(shares, 0.1, atol=0.01)


def test_splits_depend_on_the_seed_alone():
    stimulus, time_ms = films(200, 100)
    a, b, c = (segment_splits(stimulus, time_ms, segment_ms=15e3, gap_ms=1e4, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(x.test, y.test) for x, y in zip(a, b, strict=True))
    assert not all(np.array_equal(x.test, y.test) for x, y in zip(a, c, strict=True))


def test_too_few_segments_and_too_wide_a_gap_are_errors_with_a_remedy():
    with pytest.raises(BadInput, match=r"2 segments of 15 s; expected at least 3.*--clip-duration"):
        segment_splits(*films(30), segment_ms=15000.0, gap_ms=0.0)
    with pytest.raises(BadInput, match=r"no training rows are left 100 s away.*--gap"):
        segment_splits(*films(60), segment_ms=15000.0, gap_ms=100000.0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_items_are_split_in_equal_shares_and_groups_stay_together(seed):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(60), rng.integers(1, 4, 60))
    strata = np.array(list("abc"))[groups % 3]
    for split in item_splits(len(groups), strata=strata, groups=groups, n_splits=3, seed=seed):
        parts = [split.train, split.valid, split.test]
        assert sorted(np.concatenate(parts)) == list(range(len(groups)))
        owners = [set(groups[part]) for part in parts]
        assert len(set.union(*owners)) == sum(map(len, owners))
        for part in owners[1:]:
            assert np.bincount(np.array(list(part)) % 3).tolist() == [2, 2, 2]


def test_a_class_too_small_to_split_is_named():
    with pytest.raises(BadInput, match=r"2 items of class 'b'; expected at least 3"):
        item_splits(12, strata=["a"] * 10 + ["b"] * 2)
    with pytest.raises(BadInput, match="2 items; expected at least 3"):
        item_splits(2)


def test_an_unknown_layout_is_refused():
    stimulus, time_ms = films(200)
    with pytest.raises(BadInput, match="layout 'run'; expected one of tiled, runs, scattered"):
        segment_splits(stimulus, time_ms, segment_ms=15000.0, gap_ms=0.0, layout="run")


def parts_of(splits):
    return [tuple(part.tobytes() for part in (split.valid, split.test)) for split in splits]


@pytest.mark.parametrize("seed", range(20))
def test_sampled_splits_differ_and_begin_as_independent_draws(seed):
    stimulus, time_ms = films(478)
    options = {"segment_ms": 15000.0, "gap_ms": 10000.0, "layout": "runs", "seed": seed}
    independent = parts_of(segment_splits(stimulus, time_ms, **options, distinct=False))
    found = parts_of(segment_splits(stimulus, time_ms, **options))
    assert len(found) == len(set(found)) == 10
    firsts = list(dict.fromkeys(independent))
    assert found[: len(firsts)] == firsts
    items = parts_of(item_splits(6, seed=seed))
    assert len(items) == len(set(items)) == 10


def test_fewer_splits_than_asked_where_no_more_differ():
    stimulus, time_ms = films(75)
    options = {"segment_ms": 15000.0, "gap_ms": 0.0, "layout": "runs"}
    assert len(set(parts_of(segment_splits(stimulus, time_ms, **options)))) == 5
    assert len(segment_splits(stimulus, time_ms, **options)) == 5
    assert len(segment_splits(stimulus, time_ms, **options, distinct=False)) == 10
    assert len(item_splits(3)) == 6


def test_the_published_protocol_samples_each_split_independently():
    assert not PUBLISHED.distinct
    rng = [np.random.default_rng([3, k]) for k in range(10)]
    held = [np.flatnonzero(np.isin(np.arange(4), r.permutation(4)[1])) for r in rng]
    found = item_splits(4, seed=3, distinct=PUBLISHED.distinct)
    assert [split.test.tolist() for split in found] == [rows.tolist() for rows in held]
