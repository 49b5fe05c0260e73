"""Films and images made from a release, stored beside the prepared data as long as their recipe is the same."""

import json
import shutil
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...files import unchecked_json
from ...utils import digest
from ..parallel import with_progress
from ..release import Release

RECIPE = "recipe.json"


def rendered(
    release: Release,
    folder: str,
    recipe: Any,
    files: Sequence[str],
    make: Callable[[int, Path], object],
) -> list[Path]:
    """Return the `files` in `folder` beside the prepared data; missing ones are made by make(index, path).

    recipe: everything that all files depend on, as JSON; files of another recipe are removed first. make: writes its
    file whole or not at all.
    """
    home = release.folder / "prepared" / folder
    if digest(unchecked_json(home / RECIPE)) != digest(recipe):
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        (home / RECIPE).write_text(json.dumps(recipe, indent=1))
    paths = [home / file for file in files]
    missing = [index for index, path in enumerate(paths) if not path.is_file()]
    with_progress(release, lambda index: make(index, paths[index]), missing, f"rendering {folder}")
    return paths


@lru_cache(maxsize=8)
def _around(radius_px: float) -> np.ndarray:
    """Return the offsets (2, n) of the pixels that a dot of this radius may touch."""
    reach = int(np.ceil(radius_px + 1))
    return np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij")).reshape(2, -1)


def paint_dots(at_px: np.ndarray, size_px: int, radius_px: float) -> np.ndarray:
    """Return white discs with soft edges on black: at_px (n, 2) as (right, down) -> uint8 (size_px, size_px).

    The centre of the first pixel is at 0; the brightness of a pixel is its covered area, to first order.
    """
    image = np.zeros((size_px, size_px), np.uint8)
    right, down = at_px.T[..., None]
    offsets = _around(radius_px)
    column = np.rint(right).astype(int) + offsets[1]
    row = np.rint(down).astype(int) + offsets[0]
    away = np.hypot(column - right, row - down)
    level = np.rint(255 * np.clip(radius_px + 0.5 - away, 0, 1)).astype(np.uint8)
    seen = (level > 0) & (column >= 0) & (column < size_px) & (row >= 0) & (row < size_px)
    np.maximum.at(image, (row[seen], column[seen]), level[seen])
    return image


def paint_boxes(at_px: np.ndarray, size_px: int) -> np.ndarray:
    """Return white boxes of 3 x 3 pixels on black around at_px (n, 2), (right, down): uint8 (size_px, size_px)."""
    image = np.zeros((size_px, size_px), np.uint8)
    column, row = (np.rint(at_px).astype(int).T[..., None] + np.array([-1, 0, 1])).clip(0, size_px - 1)
    image[row[:, :, None], column[:, None, :]] = 255
    return image
