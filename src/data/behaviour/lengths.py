"""Lengths of the films of a release, read in parallel."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...utils import BadInput
from ...video import probe
from ..notes import number_and_names
from ..parallel import with_progress
from ..release import Release


def film_lengths(release: Release, paths: Sequence[Path], what: str) -> np.ndarray:
    """Return lengths in ms (n_films,), NaN for a film that cannot be read; what: text of the progress report."""
    return np.array(with_progress(release, _length_ms, paths, what), dtype=np.float64)


def _length_ms(path: Path) -> float:
    try:
        return probe(path).duration_ms
    except BadInput:
        return np.nan


def named(paths: Sequence[Path]) -> str:
    """Return the number of files and the names of the first."""
    return number_and_names([path.name for path in paths])


def require_readable(release: Release, paths: Sequence[Path], lengths: np.ndarray) -> None:
    """Raise BadInput if films cannot be read; names them."""
    broken = [path for path, length in zip(paths, lengths, strict=True) if np.isnan(length)]
    if broken:
        raise BadInput(f"{release.name}: films that the subjects saw cannot be read: {named(broken)}; get them again")
