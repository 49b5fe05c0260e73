"""Splits into training, validation and test rows, and rows that are left out together: index arrays, without the data.

Tiled splits cut one random order of the rows, so that each row is tested exactly once. Draw k of any other layout has a
random generator of seed (seed, k); draws that equal an earlier one are left out where splits are distinct.
"""

from collections.abc import Iterator, Sequence
from heapq import heapify, heapreplace
from itertools import count, islice

import numpy as np

from ..utils import BadInput
from .align import codes
from .decoders.base import LeftOut, Split
from .protocol import (
    ITEM_LAYOUTS,
    LAYOUTS,
    LEAST_BLOCKS,
    LEAST_TEST_ROWS,
    N_SPLITS,
    ONE_FILM,
    SEED,
    TEST_SHARE,
    TOLERANCE_MS,
    VALID_SHARE,
    Protocol,
)

DRAWS = 100  # of each split that is sampled, before fewer distinct ones are returned


def segments(stimulus: np.ndarray, start_ms: np.ndarray, segment_ms: float) -> np.ndarray:
    """Return the segment of each row: consecutive pieces of equal duration, never across two stimuli.

    Parameters
    ----------
    stimulus : int array of shape (n_rows,)
        Stimulus of each row; copies of one stimulus may have the same number, see `segment_splits`.
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
    layout: str = "runs",
    validate: bool = False,
    distinct: bool = True,
    n_splits: int = N_SPLITS,
    seed: int = SEED,
    weights: np.ndarray | None = None,
) -> list[Split]:
    """Split time series by segments, with a gap between training and held-out rows.

    Training rows of the same stimulus closer than `gap_ms` to a held-out row are left out of the split.

    Parameters
    ----------
    stimulus : int array of shape (n_rows,)
        Stimulus of each row, from 0 on. Copies of one stimulus, such as a clip that two datasets share, have the same
        number where they must not be separated: their rows of the same time then belong to one segment, and the gap
        holds between the copies.
    time_ms : array of shape (n_rows, 2)
        Time bin of each row, half-open.
    segment_ms : float
        Duration of a segment.
    gap_ms : float
        Least time between a training row and a held-out row of one stimulus.
    layout : {"tiled", "runs", "scattered", "leave-one-film-out"}, default "runs"
        "tiled": the stimuli are shuffled and joined to a ring, which is cut from a random segment on into `n_splits`
        runs of about equal weight; each is tested once. "runs": a tenth of the weight from a random segment of such a
        ring on is for validation, the next tenth for test. "scattered": single segments are sampled at random, a tenth
        of the weight each. "leave-one-film-out": each stimulus is the test part of one split, whatever `n_splits`.
    validate : bool, default False
        "tiled": the run after the one for test is for validation, "leave-one-film-out": the next stimulus; otherwise
        no row is.
    distinct : bool, default True
        "runs", "scattered": no two splits are equal; otherwise each is sampled independently.
    n_splits : int, default 10
        Number of splits; "tiled": at most the number of segments. A split alone, or two with validation, test the first
        of two (three) folds.
    seed : int, default 0
        Seed of the random generators.
    weights : array of shape (n_rows,), optional
        Number of bins that each row counts as.

    Returns
    -------
    list of Split
        Fewer than `n_splits` where there are fewer segments ("tiled"), or fewer distinct splits.

    Raises
    ------
    BadInput
        If the layout does not exist, there are too few segments or splits, or no training row is left.

    Examples
    --------
    >>> time_ms = np.arange(100.0)[:, None] * 1000 + [0, 1000]
    >>> options = {"segment_ms": 10_000.0, "gap_ms": 5_000.0}
    >>> splits = segment_splits(np.zeros(100, int), time_ms, **options, layout="tiled", n_splits=5)
    >>> [len(split.test) for split in splits], sorted({len(split.train) for split in splits})
    ([20, 20, 20, 20, 20], [70, 75])
    """
    if layout not in LAYOUTS:
        raise BadInput(f"layout '{layout}'; expected one of {', '.join(LAYOUTS)}")
    segment = segments(stimulus, time_ms[:, 0], segment_ms)
    size = np.bincount(segment, weights=weights)
    stimulus_of_segment = np.zeros(len(size), dtype=int)
    stimulus_of_segment[segment] = stimulus
    if layout == ONE_FILM:
        parts = _one_film(stimulus, validate)
        return [_gapped(part, stimulus, time_ms, gap_ms) for part in parts]
    least = 3 if validate or layout != "tiled" else 2
    if len(size) < least:
        raise BadInput(
            f"{len(size)} segments of {segment_ms / 1000:g} s; {_expected(least)}: choose a shorter --clip-duration or "
            "more films"
        )
    if layout == "tiled":
        order = _ring(stimulus_of_segment, np.random.default_rng(seed))
        fold = np.empty(len(size), dtype=int)
        fold[order] = _cut(size[order], _n_folds(n_splits, len(size), least))
        parts = islice(_rotated(fold, validate), n_splits)
    else:
        parts = _first(_sampled(stimulus_of_segment, size, layout == "runs", seed), n_splits, distinct)
    return [_gapped(part[segment], stimulus, time_ms, gap_ms) for part in parts]


def unseen_splits(
    stimulus: np.ndarray,
    time_ms: np.ndarray,
    tested: np.ndarray,
    *,
    gap_ms: float,
    validate: bool = False,
    n_splits: int = N_SPLITS,
    seed: int = SEED,
    weights: np.ndarray | None = None,
) -> list[Split]:
    """Split the rows of some stimuli for test from all others, which train each split.

    Parameters
    ----------
    stimulus, time_ms : arrays
        See `segment_splits`. A training stimulus with the number of a tested one trains nothing at the times tested.
    tested : bool array of shape (n_rows,)
        Rows of the stimuli for test.
    gap_ms : float
        See `segment_splits`.
    validate : bool, default False
        A random tenth of the training stimuli is for validation, at least one; otherwise no row is.
    n_splits : int, default 10
        Largest number of splits. Each tests one stimulus, or several where they are more, or too short alone.
    seed : int, default 0
        Seed of the order of the stimuli.
    weights : array of shape (n_rows,), optional
        Number of bins that each row counts as.

    Returns
    -------
    list of Split
        With the same training rows.

    Raises
    ------
    BadInput
        Without rows for test or for training.

    Examples
    --------
    >>> film, time_ms = np.repeat([0, 1, 2], 20), np.tile(np.arange(20.0)[:, None] * 1000 + [0, 1000], (3, 1))
    >>> splits = unseen_splits(film, time_ms, film > 0, gap_ms=10_000.0)
    >>> [(film[split.train].max(), np.unique(film[split.test]).tolist()) for split in splits]
    [(0, [1]), (0, [2])]
    """
    if not tested.any() or tested.all():
        raise BadInput(f"{tested.sum()} of {len(tested)} rows for test; expected some, and others to train on")
    rng = np.random.default_rng(seed)
    films, film = np.unique(stimulus[tested], return_inverse=True)
    size = np.bincount(film, None if weights is None else weights[tested])
    n_folds = min(n_splits, len(films), max(1, int(tested.sum()) // LEAST_TEST_ROWS))
    order = np.arange(len(films)) if n_folds == len(films) else rng.permutation(len(films))
    fold = np.full(len(stimulus), -1)
    fold_of_film = np.empty(len(films), dtype=int)
    fold_of_film[order] = _cut(size[order], n_folds)
    fold[tested] = fold_of_film[film]
    part = np.where(tested, 2, 0)
    if validate:
        training = rng.permutation(np.setdiff1d(stimulus, films))
        part[np.isin(stimulus, training[: max(1, round(VALID_SHARE * len(training)))])] = 1
    shared = _gapped(part, stimulus, time_ms, gap_ms)
    return [Split(shared.train, shared.valid, np.flatnonzero(fold == k)) for k in range(n_folds)]


def _one_film(stimulus: np.ndarray, validate: bool) -> list[np.ndarray]:
    """Return 0 (train), 1 (valid) or 2 (test) for each row, with each stimulus tested once."""
    films, film = np.unique(stimulus, return_inverse=True)
    shortest, least = int(np.bincount(film).min()), 3 if validate else 2
    if len(films) < least:
        raise BadInput(f"{len(films)} films for --split {ONE_FILM}; {_expected(least)}: name more datasets")
    if shortest < LEAST_TEST_ROWS:
        raise BadInput(
            f"a stimulus of {shortest} rows; expected films of at least {LEAST_TEST_ROWS} for --split {ONE_FILM}: "
            "choose --split tiled"
        )
    return [part[film] for part in _rotated(np.arange(len(films)), validate)]


def _gapped(part: np.ndarray, stimulus: np.ndarray, time_ms: np.ndarray, gap_ms: float) -> Split:
    """Return the split of rows that are 0 (train), 1 (valid) or 2 (test), without the training rows in the gap."""
    held = part > 0
    train = np.flatnonzero(~held & ~_within_gap(stimulus, time_ms, held, gap_ms))
    if not len(train):
        raise BadInput(
            f"no training rows are left {gap_ms / 1000:g} s away from the held-out ones; choose a smaller --gap"
        )
    return Split(train, np.flatnonzero(part == 1), np.flatnonzero(part == 2))


def _expected(least: int) -> str:
    """Return the part of a message that names the least number of segments, items or splits."""
    return f"expected at least {least}, one each to " + ("train, validate and test" if least == 3 else "train and test")


def _n_folds(n_splits: int, n_available: int, least: int) -> int:
    """Return the number of folds: `n_splits`, at least one per part of a split, at most the number available."""
    return min(max(n_splits, least), n_available)


def _rotated(fold: np.ndarray, validate: bool) -> Iterator[np.ndarray]:
    """Yield 0 (train), 1 (valid) or 2 (test) for each element of the folds, with each fold tested once."""
    n_folds = fold.max() + 1
    for k in range(n_folds):
        part = np.where(fold == k, 2, 0)
        if validate:
            part[fold == (k + 1) % n_folds] = 1
        yield part


def _cut(size: np.ndarray, n_runs: int) -> np.ndarray:
    """Return the run of each element, int (n,): `n_runs` contiguous ones of about equal size, none empty."""
    end = np.cumsum(size)
    wanted = end[-1] * np.arange(1, n_runs) / n_runs
    # each cut lies after the element whose end is nearest
    before = np.searchsorted((end[:-1] + end[1:]) / 2, wanted)
    number = np.arange(n_runs - 1)
    cuts = np.maximum.accumulate(before - number) + number
    cuts = np.minimum(cuts, len(size) - n_runs + number)
    return np.searchsorted(cuts, np.arange(len(size)), side="left")


def _first(parts: Iterator[np.ndarray], n_splits: int, distinct: bool) -> list[np.ndarray]:
    """Return the first `n_splits` of endless draws, or the first distinct ones."""
    if not distinct:
        return list(islice(parts, n_splits))
    found: dict[bytes, np.ndarray] = {}
    for part in islice(parts, DRAWS * n_splits):
        found.setdefault(part.tobytes(), part)
        if len(found) == n_splits:
            break
    return list(found.values())


def _sampled(stimulus_of_segment: np.ndarray, size: np.ndarray, runs: bool, seed: int) -> Iterator[np.ndarray]:
    """Yield 0 (train), 1 (valid) or 2 (test) for each segment, for splits that are sampled independently."""
    for k in count():
        rng = np.random.default_rng([seed, k])
        yield _assign(_ring(stimulus_of_segment, rng) if runs else rng.permutation(len(size)), size)


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
    code = np.unique(stimulus, return_inverse=True)[1]
    n_held = np.bincount(code, weights=held)
    for rows in _members(code, np.flatnonzero((n_held > 0) & (n_held < np.bincount(code)))):
        near[rows] = _near(time_ms[rows], time_ms[rows[held[rows]]], gap_ms)
    return near


def _near(time_ms: np.ndarray, held_ms: np.ndarray, gap_ms: float) -> np.ndarray:
    """Return a mask of the time bins (n, 2) that are less than `gap_ms` away from any of the bins (n_held, 2)."""
    start, end = time_ms.T
    held_start, held_end = np.sort(held_ms, axis=0).T
    n_before = np.searchsorted(held_end, start, side="right")
    n_started = np.searchsorted(held_start, end, side="left")
    since = start - np.concatenate([[-np.inf], held_end])[n_before]
    until = np.concatenate([held_start, [np.inf]])[n_started] - end
    distance = np.where(n_started > n_before, 0.0, np.minimum(since, until))
    return distance < gap_ms - TOLERANCE_MS


def _members(code: np.ndarray, wanted: np.ndarray | None = None) -> list[np.ndarray]:
    """Return the positions of each code, or of the wanted ones, for codes from 0 on without a gap."""
    order = np.argsort(code, kind="stable")
    end = np.cumsum(np.bincount(code))
    if wanted is None:
        return np.split(order, end[:-1])
    return [order[e - n : e] for e, n in zip(end[wanted], np.bincount(code)[wanted], strict=True)]


def left_out_blocks(stimulus: np.ndarray, time_ms: np.ndarray, segment_ms: float, gap_ms: float) -> list[LeftOut]:
    """Return the rows of each segment, with its neighbours in time as gap.

    Parameters
    ----------
    stimulus : int array of shape (n_rows,)
        Stimulus of each row; copies of one stimulus have the same number, see `segment_splits`.
    time_ms : array of shape (n_rows, 2)
        Time bin of each row, half-open.
    segment_ms : float
        Duration of a segment, see `segments`.
    gap_ms : float
        Further rows of the same stimulus that are less than this away from a row of the segment are its gap.

    Returns
    -------
    list of LeftOut
        One per segment, in the order of `segments`.

    Examples
    --------
    >>> blocks = left_out_blocks(np.zeros(6, int), np.arange(6.0)[:, None] * 1000 + [0, 1000], 2_000.0, 1_000.0)
    >>> [(block.rows.tolist(), block.gap.tolist()) for block in blocks]
    [([0, 1], [2]), ([2, 3], [1, 4]), ([4, 5], [3])]
    """
    blocks = _members(segments(stimulus, time_ms[:, 0], segment_ms))
    gaps = [np.zeros(0, dtype=np.int64)] * len(blocks)
    of_block = np.unique(stimulus[[rows[0] for rows in blocks]], return_inverse=True)[1]
    for several in _members(of_block, np.flatnonzero(np.bincount(of_block) > 1)):
        for k, gap in zip(several, _gaps([blocks[k] for k in several], time_ms, gap_ms), strict=True):
            gaps[k] = gap
    return [LeftOut(rows, gap) for rows, gap in zip(blocks, gaps, strict=True)]


def penalty_blocks(stimulus: np.ndarray, time_ms: np.ndarray, protocol: Protocol) -> list[LeftOut]:
    """Return the rows of films that are left out together where a penalty or a layer is chosen.

    Neighbours in time are predicted through their own noise, further than the gap of a split where features and
    responses are slow, and a small penalty does so best (`benchmarks/penalty.py`). So the blocks are longer than the
    segments, and at most a quarter of all film; the gap is at most half a block, and at least that of the splits.

    Parameters
    ----------
    stimulus : int array of shape (n_rows,)
        Stimulus of each row; copies of one stimulus have the same number, see `segment_splits`.
    time_ms : array of shape (n_rows, 2)
        Time bin of each row, half-open.
    protocol : Protocol
        With segments and gaps of splits and penalties, in ms.

    Returns
    -------
    list of LeftOut
        One per block, see `left_out_blocks`.
    """
    numbers = np.unique(stimulus, return_inverse=True)[1]
    start, end = np.full(numbers.max() + 1, np.inf), np.full(numbers.max() + 1, -np.inf)
    np.minimum.at(start, numbers, time_ms[:, 0])
    np.maximum.at(end, numbers, time_ms[:, 1])
    block_ms = max(protocol.segment_ms, min(protocol.penalty_block_ms, (end - start).sum() / LEAST_BLOCKS))
    return left_out_blocks(
        stimulus, time_ms, block_ms, max(protocol.gap_ms, min(protocol.penalty_gap_ms, block_ms / 2))
    )


def _gaps(blocks: list[np.ndarray], time_ms: np.ndarray, gap_ms: float) -> Iterator[np.ndarray]:
    """Yield the rows that are less than `gap_ms` away from each of the blocks of one stimulus, in the order of time."""
    rows = np.concatenate(blocks)
    first = np.cumsum([0] + [len(block) for block in blocks])
    start = np.array([time_ms[block, 0].min() for block in blocks])
    end = np.array([time_ms[block, 1].max() for block in blocks])
    # only blocks within the gap are compared row by row
    low = np.searchsorted(np.maximum.accumulate(end), start - gap_ms, side="left")
    high = np.searchsorted(start, end + gap_ms, side="right")
    for k, block in enumerate(blocks):
        before, after = rows[first[low[k]] : first[k]], rows[first[k + 1] : first[high[k]]]
        around = np.concatenate([before, after])
        yield np.sort(around[_near(time_ms[around], time_ms[block], gap_ms)])


def left_out_groups(groups: Sequence) -> list[LeftOut]:
    """Return the rows of each distinct group, in the order of first occurrence, without gaps.

    Parameters
    ----------
    groups : sequence of length n_rows
        Hashable group of each row: a stimulus, or a group of stimuli that must not be separated.

    Returns
    -------
    list of LeftOut

    Examples
    --------
    >>> [block.rows.tolist() for block in left_out_groups(["b", "a", "b"])]
    [[0, 2], [1]]
    """
    return [LeftOut(rows) for rows in _members(codes(groups)[0])]


def item_splits(
    n_items: int,
    *,
    strata: Sequence | None = None,
    groups: Sequence | None = None,
    layout: str = "sampled",
    validate: bool = False,
    distinct: bool = True,
    n_splits: int = N_SPLITS,
    seed: int = SEED,
) -> list[Split]:
    """Split items with equal shares of every stratum, and with each group in one part.

    Parameters
    ----------
    n_items : int
        Number of items (stimuli or rows).
    strata : sequence of length n_items, optional
        Hashable stratum of each item. A group belongs to the stratum of its first item.
    groups : sequence of length n_items, optional
        Hashable group of each item, such as its stimulus or the digest of its content. By default each item is a group.
    layout : {"tiled", "sampled"}, default "sampled"
        "tiled": `n_splits` folds of about equal numbers of items, each tested once. "sampled": a tenth of the groups of
        each stratum is sampled for validation and a tenth for test.
    validate : bool, default False
        "tiled": the fold after the one for test is for validation; otherwise no item is.
    distinct : bool, default True
        "sampled": no two splits are equal; otherwise each is sampled independently.
    n_splits : int, default 10
        Number of splits; "tiled": at most the number of groups.
    seed : int, default 0
        Seed of the random generators.

    Returns
    -------
    list of Split
        Fewer than `n_splits` where there are fewer groups ("tiled"), or fewer distinct splits. "tiled": every stratum
        has a group in training. "sampled": every stratum has at least one group in validation and one in test.

    Raises
    ------
    BadInput
        If the layout does not exist, there are too few splits, or a stratum has too few groups to be in every part.

    Examples
    --------
    >>> split = item_splits(20, strata=["a", "b"] * 10, n_splits=1)[0]
    >>> len(split.train), sorted((split.test % 2).tolist())
    (16, [0, 1])
    >>> sorted(len(split.test) for split in item_splits(20, strata=["a", "b"] * 10, layout="tiled", n_splits=6))
    [3, 3, 3, 3, 4, 4]
    """
    if layout not in ITEM_LAYOUTS:
        raise BadInput(f"layout '{layout}'; expected one of {', '.join(ITEM_LAYOUTS)}")
    group_of, distinct_groups = codes(range(n_items) if groups is None else groups)
    stratum_of_item, names = codes([0] * n_items if strata is None else strata)
    size = np.bincount(group_of)
    first = np.array([rows[0] for rows in _members(group_of)])
    stratum = stratum_of_item[first]
    counts = np.bincount(stratum, minlength=len(names))
    least = 3 if validate or layout == "sampled" else 2
    if counts.min() < least:
        small = names[int(counts.argmin())]
        what = "items" if strata is None else f"items of class '{small}'"
        raise BadInput(f"{counts.min()} {what}; {_expected(least)}: add items or drop it")
    if layout == "tiled":
        n_folds = _n_folds(n_splits, len(distinct_groups), least)
        parts = islice(_rotated(_dealt(stratum, size, n_folds, np.random.default_rng(seed)), validate), n_splits)
    else:
        parts = _first(_sampled_groups(stratum, seed), n_splits, distinct)
    return [Split(*(np.flatnonzero(part[group_of] == p) for p in range(3))) for part in parts]


def _dealt(stratum: np.ndarray, size: np.ndarray, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold of each group: int (n_groups,), equal in number of items within strata and over all.

    Groups of a stratum are dealt from the largest on, in random order among equals, each to the fold with the fewest
    items of the stratum and, among these, with the fewest items of all.
    """
    fold = np.empty(len(stratum), dtype=int)
    total = [0] * n_folds
    for one in range(stratum.max() + 1):
        order = rng.permutation(np.flatnonzero(stratum == one))
        folds = [(0, total[k], k) for k in range(n_folds)]
        heapify(folds)
        for group in order[np.argsort(-size[order], kind="stable")].tolist():
            of_stratum, of_all, k = folds[0]
            fold[group], added = k, int(size[group])
            total[k] = of_all + added
            heapreplace(folds, (of_stratum + added, total[k], k))
    return fold


def _sampled_groups(stratum: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Yield 0 (train), 1 (valid) or 2 (test) for each group, for splits that are sampled independently."""
    for k in count():
        rng = np.random.default_rng([seed, k])
        part = np.zeros(len(stratum), dtype=int)
        for one in range(stratum.max() + 1):
            order = rng.permutation(np.flatnonzero(stratum == one))
            n_held = max(1, round(len(order) * TEST_SHARE))
            part[order[:n_held]] = 1
            part[order[n_held : 2 * n_held]] = 2
        yield part
