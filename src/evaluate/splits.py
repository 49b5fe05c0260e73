"""Splits into training, validation and test rows: index arrays, computed without the data.

Split k is sampled with a random generator of seed (seed, k) and does not depend on the other splits.
"""

from collections.abc import Sequence

import numpy as np

from ..utils import BadInput
from .align import codes
from .decoders.base import Split
from .protocol import LAYOUT, LAYOUTS, N_SPLITS, SEED, TEST_SHARE, TOLERANCE_MS, VALID_SHARE


def segments(stimulus: np.ndarray, start_ms: np.ndarray, segment_ms: float) -> np.ndarray:
    """Return the segment of each row: consecutive pieces of equal duration, never across two stimuli.

    Parameters
    ----------
    stimulus : int array of shape (n_rows,)
        Stimulus of each row.
    start_ms : array of shape (n_rows,)
        Start of each row's time bin within its stimulus.
    segment_ms : float
        Duration of a segment.

    Returns
    -------
    int array of shape (n_rows,)
        Segment numbers from 0 on.

    Examples
    --------
    >>> segments(np.array([0, 0, 0, 1]), np.array([0.0, 1000.0, 2000.0, 0.0]), 2000.0)
    array([0, 0, 1, 2])
    """
    piece = np.floor_divide(start_ms, segment_ms).astype(int)
    _, segment = np.unique(np.stack([stimulus, piece], axis=1), axis=0, return_inverse=True)
    return segment.reshape(-1)


def segment_splits(
    stimulus: np.ndarray,
    time_ms: np.ndarray,
    *,
    segment_ms: float,
    gap_ms: float,
    layout: str = LAYOUT,
    n_splits: int = N_SPLITS,
    seed: int = SEED,
    weights: np.ndarray | None = None,
) -> list[Split]:
    """Split time series by segments, with a gap between training and held-out rows.

    A tenth of the total weight is held out for validation and a tenth for test. Training rows of the same stimulus
    closer than `gap_ms` to a held-out row are left out of the split.

    Parameters
    ----------
    stimulus : int array of shape (n_rows,)
        Stimulus of each row.
    time_ms : array of shape (n_rows, 2)
        Time bin of each row, half-open.
    segment_ms : float
        Duration of a segment.
    gap_ms : float
        Least time between a training row and a held-out row of one stimulus.
    layout : {"runs", "scattered"}, default "runs"
        "runs": the stimuli are shuffled and joined to a ring; a run of segments from a random one on is for validation,
        the next run for test. "scattered": single segments are sampled at random.
    n_splits : int, default 10
        Number of splits.
    seed : int, default 0
        Seed of the random generators.
    weights : array of shape (n_rows,), optional
        Number of bins that each row counts as.

    Returns
    -------
    list of Split

    Raises
    ------
    BadInput
        If the layout does not exist, there are fewer than three segments, or no training row is left.

    Examples
    --------
    >>> time_ms = np.arange(100.0)[:, None] * 1000 + [0, 1000]
    >>> splits = segment_splits(np.zeros(100, int), time_ms, segment_ms=10_000.0, gap_ms=5_000.0, n_splits=2)
    >>> [(len(split.valid), len(split.test)) for split in splits]
    [(10, 10), (10, 10)]
    """
    if layout not in LAYOUTS:
        raise BadInput(f"layout '{layout}'; expected one of {', '.join(LAYOUTS)}")
    segment = segments(stimulus, time_ms[:, 0], segment_ms)
    size = np.bincount(segment, weights=weights)
    stimulus_of_segment = np.zeros(len(size), dtype=int)
    stimulus_of_segment[segment] = stimulus
    if len(size) < 3:
        raise BadInput(
            f"{len(size)} segments of {segment_ms / 1000:g} s; expected at least 3, one each to train, validate and "
            "test: choose a shorter --clip-duration or more films"
        )
    splits = []
    for k in range(n_splits):
        rng = np.random.default_rng([seed, k])
        order = _ring(stimulus_of_segment, rng) if layout == "runs" else rng.permutation(len(size))
        part = _assign(order, size)
        held = part[segment] > 0
        train = np.flatnonzero(~held & ~_within_gap(stimulus, time_ms, held, gap_ms))
        if not len(train):
            raise BadInput(
                f"no training rows are left {gap_ms / 1000:g} s away from the held-out ones; choose a smaller --gap"
            )
        splits.append(Split(train, np.flatnonzero(part[segment] == 1), np.flatnonzero(part[segment] == 2)))
    return splits


def _ring(stimulus_of_segment: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the segments in the order of the shuffled stimuli, circularly shifted to start at a random one."""
    shuffled = rng.permutation(stimulus_of_segment.max() + 1)
    rank = np.argsort(shuffled)
    ring = np.argsort(rank[stimulus_of_segment], kind="stable")
    return np.roll(ring, -rng.integers(len(ring)))


def _assign(order: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return 0 (train), 1 (valid) or 2 (test) for each segment: the first share is valid, the next one test."""
    middle = (np.cumsum(size[order]) - size[order] / 2) / size.sum()
    part = np.zeros(len(size), dtype=int)
    part[order[middle < VALID_SHARE + TEST_SHARE]] = 2
    part[order[middle < VALID_SHARE]] = 1
    # a share may hold no segment where these are few or unequal
    part[order[0]] = 1
    if not (part == 2).any():
        part[order[max(1, (part == 1).sum() - 1)]] = 2
    return part


def _within_gap(stimulus: np.ndarray, time_ms: np.ndarray, held: np.ndarray, gap_ms: float) -> np.ndarray:
    """Return a mask of the rows closer than `gap_ms` to a held-out row of the same stimulus: bool (n_rows,)."""
    near = np.zeros(len(stimulus), dtype=bool)
    for one in np.unique(stimulus[held]):
        rows = np.flatnonzero(stimulus == one)
        start, end = time_ms[rows].T
        held_start, held_end = time_ms[rows[held[rows]]].T
        before = np.searchsorted(held_end, start, side="right") - 1
        after = np.searchsorted(held_start, end, side="left")
        since = np.where(before >= 0, start - held_end[np.maximum(before, 0)], np.inf)
        until = np.where(after < len(held_start), held_start[np.minimum(after, len(held_start) - 1)] - end, np.inf)
        near[rows] = (since < gap_ms - TOLERANCE_MS) | (until < gap_ms - TOLERANCE_MS)
    return near


def item_splits(
    n_items: int,
    *,
    strata: Sequence | None = None,
    groups: Sequence | None = None,
    n_splits: int = N_SPLITS,
    seed: int = SEED,
) -> list[Split]:
    """Split items 80/10/10, with equal shares of every stratum and each group in one part.

    Parameters
    ----------
    n_items : int
        Number of items (stimuli or rows).
    strata : sequence of length n_items, optional
        Hashable stratum of each item. A group belongs to the stratum of its first item.
    groups : sequence of length n_items, optional
        Hashable group of each item. By default each item is a group.
    n_splits : int, default 10
        Number of splits.
    seed : int, default 0
        Seed of the random generators.

    Returns
    -------
    list of Split
        Every stratum has at least one group in validation and one in test.

    Raises
    ------
    BadInput
        If a stratum has fewer than three groups.

    Examples
    --------
    >>> split = item_splits(20, strata=["a", "b"] * 10, n_splits=1)[0]
    >>> len(split.train), sorted((split.test % 2).tolist())
    (16, [0, 1])
    """
    group_of, distinct_groups = codes(range(n_items) if groups is None else groups)
    stratum_of_item, names = codes([0] * n_items if strata is None else strata)
    first = np.array([np.flatnonzero(group_of == g)[0] for g in range(len(distinct_groups))])
    stratum = stratum_of_item[first]
    counts = np.bincount(stratum, minlength=len(names))
    if counts.min() < 3:
        small = names[int(counts.argmin())]
        what = "items" if strata is None else f"items of class '{small}'"
        raise BadInput(
            f"{counts.min()} {what}; expected at least 3, one each to train, validate and test: add items or drop it"
        )
    splits = []
    for k in range(n_splits):
        rng = np.random.default_rng([seed, k])
        part = np.zeros(len(distinct_groups), dtype=int)
        for one in range(len(names)):
            order = rng.permutation(np.flatnonzero(stratum == one))
            n_held = max(1, round(len(order) * TEST_SHARE))
            part[order[:n_held]] = 1
            part[order[n_held : 2 * n_held]] = 2
        splits.append(Split(*(np.flatnonzero(part[group_of] == p) for p in range(3))))
    return splits
