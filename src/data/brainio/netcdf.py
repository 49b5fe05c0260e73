"""Arrays of any netCDF file, as numpy."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Variable:
    """Array of a netCDF file with the names of its dimensions, and the coordinates along single dimensions.

    coords: {name: (dimension, values)}.
    """

    values: np.ndarray
    dims: tuple[str, ...]
    coords: dict[str, tuple[str, np.ndarray]]


def read_variables(path: Path) -> dict[str, Variable]:
    """Return the data variables of a netCDF file; raises OSError, ValueError or RuntimeError for another file."""
    import xarray as xr

    with xr.open_dataset(path) as opened:
        content = opened.load()
    coords = {
        str(name): (str(array.dims[0]), np.asarray(array.values))
        for name, array in content.coords.items()
        if len(array.dims) == 1
    }
    return {
        str(name): Variable(np.asarray(array.values), tuple(map(str, array.dims)), coords)
        for name, array in content.data_vars.items()
    }
