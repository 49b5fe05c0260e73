"""Windows of a stimulus that a model takes as input, and the linear map from a layer's time steps to time bins.

The scheme is that of Brain-Score's BlockInferencer and CausalInferencer. A layer's time steps are evenly spaced over
a window. They are averaged by overlap into frame bins (bins of one model frame), and these into the target bins. Both
steps are linear: `TimeMap` composes them into one small matrix per window. The windows of an image model are single
frames.

Where the times of a layer's steps are known (`StepTimes`), a step counts from half-way to the one before until half-way
to the next, and is averaged by overlap into the target bins at once. In causal inference these are the last steps of
consecutive windows.
"""

from collections.abc import Iterable
from typing import Literal

import numpy as np

from ..models.spec import Model, StepTimes
from ..utils import BadInput

Mode = Literal["block", "causal"]

TINY = 1e-6  # of a frame or a millisecond: less than any time that matters, more than rounding


def context_limits(model: Model, context_ms: float) -> tuple[float, float]:
    """Return (minimum, used) window length in ms: `context_ms` clipped to the model's limits on frames and duration."""
    interval = 1000 / model.fps
    minimum = max(model.num_frames[0] * interval, model.duration_ms[0])
    maximum = min(model.num_frames[1] * interval, model.duration_ms[1])
    if minimum > maximum + TINY:
        raise BadInput(
            f"model {model.name}: {model.num_frames} frames at {model.fps} fps and {model.duration_ms} ms exclude "
            f"each other; expected ranges that overlap; correct num_frames or duration_ms"
        )
    return minimum, float(min(max(context_ms, minimum), maximum))


def framewise(model: Model, mode: Mode) -> bool:
    """Return True if each window corresponds to one frame bin: image models, and causal inference."""
    return model.kind == "image" or mode == "causal"


def n_frame_bins(duration_ms: float, fps: float) -> int:
    """Return the number of frame bins that begin within a stimulus."""
    return max(1, int(np.ceil(duration_ms * fps / 1000 - TINY)))


def streams(model: Model, mode: Mode, windows_ms: np.ndarray) -> bool:
    """Return True if a network sees each frame once and carries its state: causal windows that begin with the film."""
    return mode == "causal" and model.carries_state and bool(np.all(windows_ms[:, 0] == 0))


def make_windows(model: Model, mode: Mode, context_ms: float, duration_ms: float) -> np.ndarray:
    """Return the windows of a stimulus, (n_windows, 2), half-open, in ms; they may extend outside the stimulus.

    Image model: one window per frame. Block: consecutive windows of the context. Causal: for each frame the window
    that ends with it, of the length of the context or of the stimulus so far, at least the minimum of the model.
    """
    interval = 1000 / model.fps
    frames = np.arange(n_frame_bins(duration_ms, model.fps)) * interval
    if model.kind == "image":
        return np.stack([frames, frames + interval], axis=1)
    minimum, context = context_limits(model, context_ms)
    if mode == "causal":
        ends = interval + frames
        starts = np.where(ends >= context, ends - context, np.where(ends < minimum, ends - minimum, 0.0))
        return np.stack([starts, ends], axis=1)
    if np.isinf(context):
        return np.array([[0.0, duration_ms]])
    starts = np.arange(max(1, int(np.ceil(duration_ms / context - TINY)))) * context
    return np.stack([starts, starts + context], axis=1)


class TimeMap:
    """Linear map from the time steps of one stimulus to its target bins.

    Times are converted to phases, in units of frame bins: frame bin f covers [f, f + 1). The last frame bin is
    repeated once, so that a target bin that ends less than one frame after the stimulus is covered.
    `n_valid` is the number of leading target bins that are covered. `step_times`: of the layers whose steps have known
    times; the last steps of causal windows may belong to bins before the windows' last frames.
    """

    def __init__(
        self,
        windows_ms: np.ndarray,
        one_frame_each: bool,
        duration_ms: float,
        fps: float,
        bins_ms: np.ndarray,
        partial: bool,
        step_times: Iterable[StepTimes] = (),
    ):
        self._interval = interval = 1000 / fps
        self._windows_ms = windows_ms
        self._framewise = one_frame_each
        self._n_frames = n_frame_bins(duration_ms, fps)
        edges = np.arange(self._n_frames + 2) * interval
        if not one_frame_each:
            edges[-2] = min(edges[-2], windows_ms[-1, 1])
            edges[-1] = edges[-2] + interval
        self._edges_ms = edges
        starts, ends = bins_ms[:, 0], np.where(np.isinf(bins_ms[:, 1]), duration_ms, bins_ms[:, 1])
        if partial:
            covered = starts < duration_ms - TINY
            ends = np.minimum(ends, duration_ms)
        else:
            covered = (ends < duration_ms + interval - TINY) & (ends > starts)
        self.n_valid = len(covered) if covered.all() else int(np.argmin(covered))
        self._starts = self._phase(starts[: self.n_valid])
        self._ends = self._phase(ends[: self.n_valid])
        # phases at which the last step of one window gives way to that of the next: (n_windows + 1,) for each timing
        self._turns = {times: self._turns_of_last(times) for times in set(step_times)} if one_frame_each else {}

    def needed(self) -> np.ndarray:
        """Return the indices of the windows that overlap a valid bin, in increasing order."""
        low, high = self._frames(np.arange(len(self._windows_ms)))
        for turns in self._turns.values():
            low, high = np.minimum(low, turns[:-1]), np.maximum(high, turns[1:])
        first, end = self._bin_range(low, high)
        return np.flatnonzero(end > first)

    def frame_weights(self) -> np.ndarray:
        """Return the weights (n_valid, n_frames) of single frames in the valid bins; each row sums to 1."""
        frames = np.arange(self._n_frames)
        return self._fraction(np.arange(self.n_valid), frames, self._reach(frames + 1))

    def weights(
        self, first: int, last: int, n_steps: int, times: StepTimes | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights of `n_steps` time steps, common to the windows first..last, in the target bins.

        times: of the steps, None for steps that are evenly spaced; one of those given at the start. Returns bins
        (n_bins,) and weights (n_bins, n_steps). Over all windows the weights of a bin sum to 1.
        """
        if times is not None and self._framewise:
            return self._placed(self._turns[times][[first, last + 1]][None])
        if times is not None and (steps := times.of_steps(n_steps)) is not None:
            return self._placed(np.stack([self._turns_of_steps(w, steps) for w in range(first, last + 1)]))
        low, high = self._frames(first)[0], self._frames(last)[1]
        bins = self._bins(low, high)
        if self._framewise:
            return bins, self._fraction(bins, np.array([low]), self._reach(np.array([high])))
        return bins, sum(self._block_weights(w, bins, n_steps) for w in range(first, last + 1))

    def _block_weights(self, window: int, bins: np.ndarray, n_steps: int) -> np.ndarray:
        steps_ms = np.linspace(*self._windows_ms[window], n_steps + 1)
        frames = np.arange(*self._frames(window))
        to_bins = self._fraction(bins, frames, self._reach(frames + 1))
        return to_bins @ _overlap_fraction(self._edges_ms[frames], self._edges_ms[frames + 1], steps_ms)

    def _placed(self, turns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the bins and weights of steps that meet at these phases, (n_windows, n_steps + 1)."""
        bins = np.arange(*self._bin_range(turns.min(), turns.max()))
        weights = sum(self._fraction(bins, each[:-1], each[1:]) for each in turns)
        some = weights.sum(axis=1) > TINY
        return bins[some], weights[some]

    def _turns_of_steps(self, window: int, steps: np.ndarray) -> np.ndarray:
        """Return the phases at which the steps of a window meet, with its start and its end: (n_steps + 1,)."""
        start, end = self._windows_ms[window]
        middles_ms = start + ((steps[:-1] + steps[1:]) / 2 + 0.5) * self._interval
        turns = self._phase(np.concatenate([[start], np.clip(middles_ms, start, end), [end]]))
        turns[-1] = self._reach(turns[-1])
        return turns

    def _turns_of_last(self, times: StepTimes) -> np.ndarray:
        """Return the phases at which the last steps of consecutive windows meet: (n_windows + 1,)."""
        starts, ends = self._windows_ms.T
        n_frames = np.round((ends - starts) / self._interval)
        of_last = starts / self._interval + [times.of_last(n) for n in n_frames] + np.full(len(starts), 0.5)
        of_last = np.maximum.accumulate(of_last)
        turns = np.concatenate([[0.0], (of_last[:-1] + of_last[1:]) / 2, [self._n_frames + 1.0]])
        return np.clip(turns, 0, self._n_frames + 1)

    def _frames(self, window):
        """Return the half-open range of frame bins that a window overlaps, or those of an array of windows."""
        if self._framewise:
            return window, window + 1
        low, high = self._phase(self._windows_ms[window]).T
        low, high = np.floor(low + TINY).astype(int), np.ceil(high - TINY).astype(int)
        return low, np.minimum(high, self._n_frames)

    def _reach(self, high: np.ndarray) -> np.ndarray:
        """Return the ends of frame bins as phases; the end of the last one includes its repetition."""
        return np.where(high >= self._n_frames - TINY, self._n_frames + 1, high)

    def _fraction(self, bins: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Return the fraction of each bin within the phases [low, high), shape (n_bins, n_phases)."""
        start, end = self._starts[bins][:, None], self._ends[bins][:, None]
        return np.maximum(np.minimum(end, high) - np.maximum(start, low), 0) / (end - start)

    def _bins(self, low: int, high: int) -> np.ndarray:
        """Return the valid bins that overlap the frame bins from `low` to `high`."""
        return np.arange(*self._bin_range(low, high))

    def _bin_range(self, low, high):
        """Return the half-open range of valid bins that overlap the frame bins from `low` to `high`, or of arrays."""
        first = np.searchsorted(self._ends, low + TINY, side="right")
        return first, np.maximum(first, np.searchsorted(self._starts, self._reach(high) - TINY, side="left"))

    def _phase(self, times_ms: np.ndarray) -> np.ndarray:
        """Return times in ms as phases."""
        return np.interp(times_ms, self._edges_ms, np.arange(len(self._edges_ms)))


def _overlap_fraction(starts_ms: np.ndarray, ends_ms: np.ndarray, steps_ms: np.ndarray) -> np.ndarray:
    """Return the fraction of each frame bin that each step (edges `steps_ms`) covers: (n_frame_bins, n_steps)."""
    overlap = np.minimum(ends_ms[:, None], steps_ms[None, 1:]) - np.maximum(starts_ms[:, None], steps_ms[None, :-1])
    return np.maximum(overlap, 0) / (ends_ms - starts_ms)[:, None]
