"""What the readers of fMRI releases share: people in parallel, those who are left out, vertices nobody has data of."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..release import Release

Item = TypeVar("Item")
Made = TypeVar("Made")
Parts = tuple[str, ...]


def each(release: Release, make: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[Made]:
    """`make` of every item in its order, as many at a time as the release allows; an error ends what has not begun."""
    with ThreadPoolExecutor(release.jobs) as pool:
        futures = [pool.submit(make, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def counted(release: Release, make: Callable[[Item], Made], items: Mapping[str, Item]) -> list[Made]:
    """`each` of the named items, told as progress when it is done."""
    found = []
    for name, made in zip(items, each(release, make, list(items.values())), strict=True):
        found.append(made)
        release.progress(len(found), len(items), name)
    return found


def whole(
    found: Mapping[str, Mapping[Parts, Path]], wanted: Sequence[Parts]
) -> tuple[dict[str, dict[Parts, Path]], dict[str, str]]:
    """({person: files} of those who have every wanted part, {person: what is missing} of the others), sorted."""
    lacking = {person: [" ".join(part) for part in wanted if part not in found[person]] for person in sorted(found)}
    left_out = {f"sub-{person}": "no " + " and no ".join(parts) for person, parts in lacking.items() if parts}
    return {person: dict(found[person]) for person, parts in lacking.items() if not parts}, left_out


def left_out_note(left_out: Mapping[str, str]) -> dict[str, str]:
    """Who is left out and why, as a record's notes say it; nothing where nobody is."""
    listed = "; ".join(f"{name} ({why})" for name, why in left_out.items())
    return {"left out": f"{len(left_out)}: {listed}"} if left_out else {}


def first_reasons(left_out: Mapping[str, str], limit: int = 10) -> str:
    """The first of those who are left out, for an error message."""
    listed = "; ".join(f"{name} ({why})" for name, why in list(left_out.items())[:limit])
    return listed + (f" and {len(left_out) - limit} more" if len(left_out) > limit else "")


def fill_empty(values: np.ndarray) -> dict[str, int]:
    """Set vertices (last axis) that are NaN throughout to 0, in place; their number for a record's notes."""
    empty = np.ones(values.shape[-1], dtype=bool)
    for part in values:
        empty &= np.isnan(part).reshape(-1, values.shape[-1]).all(axis=0)
    values[..., empty] = 0
    return {"vertices without data": int(empty.sum())} if empty.any() else {}
