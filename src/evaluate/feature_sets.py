"""Several layers in one fit: their features side by side, in bands."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .cross_validate import Problem

JOINT = "joint"  # name of the features of all bands, in the place of a layer


def joined(problem: Problem, bands: Sequence[Sequence[str]] | None) -> Problem:
    """Return the problem with the features of all bands as its only layer, or as it is without bands.

    bands: the names of the layers of each band, whose features are adjacent.
    """
    if bands is None:
        return problem
    names = [layer for band in bands for layer in band]
    return replace(problem, layers={JOINT: lambda: np.hstack([problem.layers[name]() for name in names])})
