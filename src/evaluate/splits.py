"""Who is trained on and who is held out: index arrays only, no data touched.

Every split draws from its own generator, seeded with (seed, k), so that split k of one run is split k of the next.
"""

from collections.abc import Sequence

import numpy as np

from ..utils import BadInput
from .cross_validate import Split

VALID_SHARE = TEST_SHARE = 0.1


def segments(stimulus: np.ndarray, start_ms: np.ndarray, clip_ms: float) -> np.ndarray:
    """The segment of each row: consecutive pieces of `clip_ms`, never across two stimuli; int array (n_rows,)."""
    piece = np.floor_divide(start_ms, clip_ms).astype(int)
    _, segment = np.unique(np.stack([stimulus, piece], axis=1), axis=0, return_inverse=True)
    return segment.reshape(-1)


def segment_splits(
    stimulus: np.ndarray,
    time_ms: np.ndarray,
    *,
    clip_ms: float,
    gap_ms: float,
    layout: str = "runs",
    n_splits: int = 10,
    seed: int = 0,
    weights: np.ndarray | None = None,
) -> list[Split]:
    """Splits of a time series into segments, with a gap between what is trained on and what is held out.

    Parameters: `stimulus` (n_rows,) int; `time_ms` (n_rows, 2) the rows' bins; `weights` (n_rows,), how many bins each
    row stands for. Layout "runs": the stimuli are shuffled and laid end to end in a ring; a tenth of the ring from a
    random segment on is for validation, the next tenth for test. Layout "scattered": segments are drawn one by one.
    Training rows of the same stimulus closer than `gap_ms` to a held-out row are left out of the split. Raises BadInput
    when there are fewer than three segments, or nothing is left to train on.
    """
    segment = segments(stimulus, time_ms[:, 0], clip_ms)
    size = np.bincount(segment, weights=weights)
    owner = np.zeros(len(size), dtype=int)
    owner[segment] = stimulus
    if len(size) < 3:
        raise BadInput(
            f"{len(size)} segments of {clip_ms / 1000:g} s; expected at least 3, one each to train, validate and test: "
            "choose a shorter --clip-duration or more films"
        )
    splits = []
    for k in range(n_splits):
        rng = np.random.default_rng([seed, k])
        ring = _runs(owner, rng) if layout == "runs" else rng.permutation(len(size))
        part = _deal(ring, size)
        held = part[segment] > 0
        train = np.flatnonzero(~held & ~_near(stimulus, time_ms, held, gap_ms))
        if not len(train):
            raise BadInput(
                f"no training rows are left {gap_ms / 1000:g} s away from the held-out ones; choose a smaller --gap"
            )
        splits.append(Split(train, np.flatnonzero(part[segment] == 1), np.flatnonzero(part[segment] == 2)))
    return splits


def _runs(owner: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The segments in the order of the shuffled stimuli, turned to start at a random one."""
    shuffled = rng.permutation(owner.max() + 1)
    rank = np.argsort(shuffled)
    ring = np.argsort(rank[owner], kind="stable")
    return np.roll(ring, -rng.integers(len(ring)))


def _deal(order: np.ndarray, size: np.ndarray) -> np.ndarray:
    """0 train, 1 valid, 2 test for each segment: the first tenth of the total size, the next tenth, the rest."""
    middle = (np.cumsum(size[order]) - size[order] / 2) / size.sum()
    part = np.zeros(len(size), dtype=int)
    part[order[middle < VALID_SHARE + TEST_SHARE]] = 2
    part[order[middle < VALID_SHARE]] = 1
    # segments may be so few or so unequal that a tenth holds none
    part[order[0]] = 1
    if not (part == 2).any():
        part[order[max(1, (part == 1).sum() - 1)]] = 2
    return part


def _near(stimulus: np.ndarray, time_ms: np.ndarray, held: np.ndarray, gap_ms: float) -> np.ndarray:
    """Which rows lie closer than `gap_ms` to a held-out row of the same stimulus: bool array (n_rows,)."""
    near = np.zeros(len(stimulus), dtype=bool)
    for one in np.unique(stimulus[held]):
        mine = np.flatnonzero(stimulus == one)
        start, end = time_ms[mine].T
        held_start, held_end = time_ms[mine[held[mine]]].T
        before = np.searchsorted(held_end, start, side="right") - 1
        after = np.searchsorted(held_start, end, side="left")
        since = np.where(before >= 0, start - held_end[np.maximum(before, 0)], np.inf)
        until = np.where(after < len(held_start), held_start[np.minimum(after, len(held_start) - 1)] - end, np.inf)
        near[mine] = (since < gap_ms - 1e-6) | (until < gap_ms - 1e-6)
    return near


def item_splits(
    n_items: int,
    *,
    strata: Sequence | None = None,
    groups: Sequence | None = None,
    n_splits: int = 10,
    seed: int = 0,
) -> list[Split]:
    """Splits of items 80/10/10, equal shares of every stratum, no group in two parts.

    Parameters: `strata`, `groups` (n_items,) hashable or None. A group belongs to the stratum of its first item. Every
    stratum gives at least one group to validation and one to test; one with fewer than three groups raises BadInput.
    """
    group_of, members = _index(range(n_items) if groups is None else groups)
    stratum_of_item, names = _index([0] * n_items if strata is None else strata)
    first = np.array([np.flatnonzero(group_of == g)[0] for g in range(len(members))])
    stratum = stratum_of_item[first]
    counts = np.bincount(stratum, minlength=len(names))
    if counts.min() < 3:
        small = names[int(counts.argmin())]
        who = "items" if strata is None else f"items of class '{small}'"
        raise BadInput(
            f"{counts.min()} {who}; expected at least 3, one each to train, validate and test: add items or drop it"
        )
    splits = []
    for k in range(n_splits):
        rng = np.random.default_rng([seed, k])
        part = np.zeros(len(members), dtype=int)
        for one in range(len(names)):
            order = rng.permutation(np.flatnonzero(stratum == one))
            n_held = max(1, round(len(order) * TEST_SHARE))
            part[order[:n_held]] = 1
            part[order[n_held : 2 * n_held]] = 2
        splits.append(Split(*(np.flatnonzero(part[group_of] == p) for p in range(3))))
    return splits


def _index(values: Sequence) -> tuple[np.ndarray, list]:
    """Each value's place in the list of distinct ones, in the order in which they first come."""
    place: dict = {}
    index = np.array([place.setdefault(value, len(place)) for value in map(_hashable, values)])
    return index, list(place)


def _hashable(value):
    return value.item() if isinstance(value, np.generic) else tuple(value) if isinstance(value, list) else value
