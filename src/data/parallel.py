"""Work on the items of a release in parallel threads, with progress."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .release import Release

Item = TypeVar("Item")
Made = TypeVar("Made")


def in_parallel(release: Release, make: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[Made]:
    """Yield `make` of every item in order, `release.jobs` at a time; an error cancels the items that have not begun."""
    with ThreadPoolExecutor(max(1, release.jobs)) as pool:
        futures = [pool.submit(make, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def with_progress(
    release: Release, make: Callable[[Item], Made], items: Sequence[Item], text: str | Callable[[Item], str]
) -> list[Made]:
    """Return `make` of every item in order and report progress after each.

    text: of the progress report, or a function from an item to it.
    """
    found = []
    for item, made in zip(items, in_parallel(release, make, items), strict=True):
        found.append(made)
        release.progress(len(found), len(items), text if isinstance(text, str) else text(item))
    return found
