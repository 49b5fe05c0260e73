"""How long the films of a release last, many at a time."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ...utils import BadInput
from ...video import probe
from ..release import Release

NAMED = 5


def film_lengths(release: Release, paths: Sequence[Path], what: str) -> np.ndarray:
    """Milliseconds (n_films,), NaN for a film that cannot be read; `what` these are, for the progress."""
    lengths = np.full(len(paths), np.nan)
    with ThreadPoolExecutor(max(1, release.jobs)) as pool:
        for k, length in enumerate(pool.map(_length_ms, paths)):
            lengths[k] = length
            release.progress(k + 1, len(paths), what)
    return lengths


def _length_ms(path: Path) -> float:
    try:
        return probe(path).duration_ms
    except BadInput:
        return np.nan


def named(paths: Sequence[Path]) -> str:
    """How many files, and the first few of them by name."""
    return f"{len(paths)} ({', '.join(path.name for path in paths[:NAMED])})" if paths else "0"


def require_readable(release: Release, paths: Sequence[Path], lengths: np.ndarray) -> None:
    """BadInput that names the films that cannot be read."""
    broken = [path for path, length in zip(paths, lengths, strict=True) if np.isnan(length)]
    if broken:
        raise BadInput(f"{release.name}: films that people saw cannot be read: {named(broken)}; get them again")
