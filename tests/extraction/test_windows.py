import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.extraction.windows import TimeMap, context_limits, framewise, make_windows, n_frame_bins
from src.models.spec import Model, StepTimes
from src.utils import BadInput, overlap_weights, regular_bins


def model(kind="video", fps=25.0, **limits) -> Model:
    return Model("net", None, None, {}, kind, fps, "0", **limits)


def whole_map(net, mode, context_ms, duration_ms, bins_ms, n_steps, partial=False):
    """The windows, the number of valid bins, and all weights as one matrix (n_bins, n_windows x n_steps)."""
    windows = make_windows(net, mode, context_ms, duration_ms)
    time_map = TimeMap(windows, framewise(net, mode), duration_ms, net.fps, bins_ms, partial)
    matrix = np.zeros((len(bins_ms), len(windows) * n_steps))
    for window in time_map.needed():
        bins, weights = time_map.weights(window, window, n_steps)
        matrix[bins, window * n_steps : (window + 1) * n_steps] += weights
    return windows, time_map.n_valid, matrix


def brainscore_map(net, mode, windows, duration_ms, bins_ms, n_steps):
    """The same matrix in Brain-Score's two steps over the whole film: steps -> frame bins -> target bins."""
    interval, n_frames = 1000 / net.fps, n_frame_bins(duration_ms, net.fps)
    frames = np.stack([np.arange(n_frames) * interval, np.arange(1, n_frames + 1) * interval], axis=1)
    to_frames = np.eye(n_frames)
    if not framewise(net, mode):
        frames[-1, 1] = min(frames[-1, 1], windows[-1, 1])
        edges = np.concatenate([np.linspace(*w, n_steps + 1)[:-1] for w in windows] + [windows[-1:, 1]])
        to_frames = overlap_weights(np.stack([edges[:-1], edges[1:]], axis=1), frames)
    repeated = np.concatenate([frames, [[frames[-1, 1], frames[-1, 1] + interval]]])
    to_bins = overlap_weights(repeated, bins_ms)
    to_bins[:, -2] += to_bins[:, -1]
    return to_bins[:, :-1] @ to_frames


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["image", "video"]),
    mode=st.sampled_from(["block", "causal"]),
    fps=st.sampled_from([25.0, 12.0, 7.5, 30000 / 1001]),
    duration_ms=st.one_of(st.floats(50, 9000), st.integers(1, 200).map(lambda n: n * 40.0)),
    context_ms=st.sampled_from([400.0, 1000.0, 1234.5, 4000.0, np.inf]),
    width_ms=st.sampled_from([20.0, 40.0, 333.3, 1000.0]),
    overlapping=st.booleans(),
    n_steps=st.sampled_from([1, 2, 7, 16]),
)
def test_composed_windows_equal_brainscores_two_steps(
    kind, mode, fps, duration_ms, context_ms, width_ms, overlapping, n_steps
):
    net = model(kind, fps)
    n_steps = 1 if framewise(net, mode) else n_steps
    bins_ms = regular_bins(duration_ms + 3 * width_ms, width_ms) + np.array([0, width_ms / 2 * overlapping])
    windows, n_valid, matrix = whole_map(net, mode, context_ms, duration_ms, bins_ms, n_steps)
    expected = brainscore_map(net, mode, windows, duration_ms, bins_ms, n_steps)
    np.testing.assert_allclose(matrix[:n_valid], expected[:n_valid], atol=2e-5)
    np.testing.assert_allclose(matrix[:n_valid].sum(axis=1), 1, atol=2e-5)
    assert not matrix[n_valid:].any()


@given(duration_ms=st.floats(100, 5000), width_ms=st.sampled_from([20.0, 250.0]))
def test_bins_that_end_less_than_a_frame_after_the_stimulus_are_valid(duration_ms, width_ms):
    bins_ms = regular_bins(duration_ms + 1000, width_ms)
    _, n_valid, _ = whole_map(model(), "block", 4000.0, duration_ms, bins_ms, 1)
    assert np.all(bins_ms[:n_valid, 1] < duration_ms + 40)
    assert np.all(bins_ms[n_valid:, 1] > duration_ms + 40 - 1e-5)


def test_partial_bins_are_the_mean_over_the_covered_part():
    bins_ms = np.array([[0, 1000.0], [500, 1500], [2000, 3000]])
    _, n_valid, matrix = whole_map(model("image"), "block", 4000.0, 800.0, bins_ms, 1, partial=True)
    assert n_valid == 2
    np.testing.assert_allclose(matrix[0], np.full(20, 1 / 20))
    np.testing.assert_allclose(matrix[1, 12:], np.r_[0.5, np.ones(7)] / 7.5)


@pytest.mark.parametrize("partial", [True, False])
def test_an_open_bin_ends_with_the_stimulus(partial):
    _, n_valid, matrix = whole_map(model("image"), "block", 1e3, 800.0, np.array([[0, np.inf]]), 1, partial=partial)
    assert n_valid == 1
    np.testing.assert_allclose(matrix, np.full((1, 20), 1 / 20))


def test_windows_that_no_bin_needs_are_left_out():
    windows = make_windows(model(), "block", 1000.0, 5000.0)
    time_map = TimeMap(windows, False, 5000.0, 25.0, np.array([[0, 500.0], [3200, 3300]]), False)
    assert list(time_map.needed()) == [0, 3]


def test_merged_windows_add_up():
    bins_ms = regular_bins(4000, 300)
    for net, n_steps in ((model(), 5), (model("image"), 1)):
        windows = make_windows(net, "block", 700.0, 4000.0)
        time_map = TimeMap(windows, net.kind == "image", 4000.0, 25.0, bins_ms, False)
        together = np.zeros((len(bins_ms), n_steps))
        for window in range(1, 5):
            bins, weights = time_map.weights(window, window, n_steps)
            together[bins] += weights
        bins, weights = time_map.weights(1, 4, n_steps)
        np.testing.assert_allclose(weights, together[bins])
        assert not np.delete(together, bins, axis=0).any()


def test_block_windows_are_consecutive_and_cover_the_video():
    windows = make_windows(model(), "block", 1500.0, 4000.0)
    np.testing.assert_array_equal(windows, [[0, 1500], [1500, 3000], [3000, 4500]])


def test_causal_windows_end_with_each_frame_and_have_the_minimum_length():
    windows = make_windows(model(num_frames=(4, 8)), "causal", 4000.0, 400.0)
    np.testing.assert_allclose(windows[:, 1], 40.0 * np.arange(1, 11))
    np.testing.assert_allclose(windows[:, 1] - windows[:, 0], 40.0 * np.array([4, 4, 4, 4, 5, 6, 7, 8, 8, 8]))


@pytest.mark.parametrize(
    ("limits", "context_ms", "expected"),
    [
        ({}, 4000.0, (40.0, 4000.0)),
        ({"num_frames": (16, 16)}, 4000.0, (640.0, 640.0)),
        ({"num_frames": (8, 32)}, 100.0, (320.0, 320.0)),
        ({"duration_ms": (500.0, 2000.0)}, 4000.0, (500.0, 2000.0)),
    ],
)
def test_the_limits_of_the_model_apply(limits, context_ms, expected):
    assert context_limits(model(**limits), context_ms) == pytest.approx(expected)


def test_limits_that_exclude_each_other():
    with pytest.raises(BadInput, match="exclude each other"):
        context_limits(model(num_frames=(16, 16), duration_ms=(1000.0, 2000.0)), 4000.0)


@settings(max_examples=150, deadline=None)
@given(
    mode=st.sampled_from(["block", "causal"]),
    fps=st.sampled_from([25.0, 12.0, 7.5, 30000 / 1001]),
    duration_ms=st.one_of(st.floats(50, 9000), st.integers(1, 200).map(lambda n: n * 40.0)),
    context_ms=st.sampled_from([400.0, 1000.0, 1234.5, 4000.0, np.inf]),
    width_ms=st.sampled_from([20.0, 40.0, 333.3, 1000.0]),
    first=st.sampled_from([-2.25, -1.0, 0.0, 0.5, 1.5]),
    stride=st.sampled_from([1.0, 2.0, 8.0]),
    partial=st.booleans(),
)
def test_weights_of_steps_at_known_times_sum_to_one(
    mode, fps, duration_ms, context_ms, width_ms, first, stride, partial
):
    net, times = model(fps=fps), StepTimes(first, stride, 1)
    bins_ms = regular_bins(duration_ms + 3 * width_ms, width_ms)
    windows = make_windows(net, mode, context_ms, duration_ms)
    time_map = TimeMap(windows, framewise(net, mode), duration_ms, fps, bins_ms, partial, [times])
    total = np.zeros(len(bins_ms))
    for window in time_map.needed():
        n_frames = round((windows[window, 1] - windows[window, 0]) * fps / 1000)
        n_steps = 1 if mode == "causal" else max(1, int((n_frames - 1) // stride) + 1)
        bins, weights = time_map.weights(window, window, n_steps, times)
        assert weights.min(initial=0) >= 0
        total[bins] += weights.sum(axis=1)
    np.testing.assert_allclose(total[: time_map.n_valid], 1, atol=1e-6)
    assert not total[time_map.n_valid :].any()


def test_steps_count_from_half_way_to_the_one_before_until_half_way_to_the_next():
    """Three convolutions of stride 2 and padding 1: a step at every 8th frame, from the first one on."""
    windows, bins_ms = np.array([[0, 960.0]]), regular_bins(960, 20)
    time_map = TimeMap(windows, False, 960.0, 25.0, bins_ms, False)
    bins, weights = time_map.weights(0, 0, 3, StepTimes(0.0, 8.0, 1))
    # step 1 is in the middle of frame 8, 340 ms; step 0 at 20 ms and step 2 at 660 ms
    expected = [[1, 0, 0]] * 9 + [[0, 1, 0]] * 16 + [[0, 0, 1]] * 23
    np.testing.assert_allclose(weights, expected, atol=1e-9)
    assert bins.tolist() == list(range(48))


def test_listed_times_place_irregular_steps_and_only_those():
    windows, bins_ms = np.array([[0, 320.0]]), regular_bins(320, 20)
    time_map = TimeMap(windows, False, 320.0, 25.0, bins_ms, False)
    _, weights = time_map.weights(0, 0, 3, StepTimes(listed=(0.0, 4.0, 7.0)))
    np.testing.assert_allclose(weights.sum(axis=0), [5, 7, 4])
    _, even = time_map.weights(0, 0, 2, StepTimes(listed=(0.0, 4.0, 7.0)))
    np.testing.assert_allclose(even, time_map.weights(0, 0, 2)[1])


@pytest.mark.parametrize(("stride", "first"), [(1.0, 0.0), (2.0, 0.5), (4.0, 1.5)])
def test_steps_in_the_middle_of_their_frames_are_spread_evenly(stride, first):
    bins_ms = regular_bins(6000, 250)
    windows = make_windows(model(), "block", 4000.0, 6000.0)
    time_map = TimeMap(windows, False, 6000.0, 25.0, bins_ms, False)
    for window in time_map.needed():
        found = time_map.weights(window, window, int(100 / stride), StepTimes(first, stride, 1))
        even = time_map.weights(window, window, int(100 / stride))
        np.testing.assert_array_equal(found[0], even[0])
        np.testing.assert_allclose(found[1], even[1], atol=1e-9)


def test_the_last_step_of_a_causal_window_counts_at_its_own_time():
    """Windows of 8 frames whose last step is three frames before their end: bins lag by three windows."""
    net, bins_ms = model(num_frames=(8, 8)), regular_bins(1600, 40)
    windows = make_windows(net, "causal", 320.0, 4000.0)
    times = StepTimes(listed=(0.0, 4.0))
    time_map = TimeMap(windows, True, 4000.0, 25.0, bins_ms, False, [times])
    # the bins end with frame 39, the time of the last step of window 42
    assert time_map.needed().tolist() == list(range(43))
    assert not len(time_map.weights(42, 42, 1)[0])
    for window, expected in ((20, 17), (42, 39)):
        bins, weights = time_map.weights(window, window, 1, times)
        assert bins.tolist() == [expected]
        np.testing.assert_allclose(weights, [[1.0]])
