"""Conversion of named arrays to the bytes of one netCDF file and back; equal arrays give equal bytes.

The classic 64-bit-data format is used because the HDF5-based one carries time stamps. xarray and ncdump read it.
"""

from collections.abc import Iterable, Mapping

import numpy as np

# Types of less than four bytes are stored in four: netCDF lacks some of them and pads the others with random bytes.
STORED_AS = {"b": "i4", "i": "i4", "u": "u4", "f": "f4"}
# A file without dimensions, attributes and variables; the library would append random bytes to it.
EMPTY = b"CDF\x05" + bytes(44)


def encode(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the bytes of a netCDF file with `arrays` of bool, numbers or text; raise TypeError for other types."""
    from netCDF4 import Dataset

    if not arrays:
        return EMPTY
    # the library starts from a buffer of random bytes of this size, so the smallest is used
    dataset = Dataset("arrays", "w", format="NETCDF3_64BIT_DATA", memory=1)
    for name in sorted(arrays):
        _write(dataset, name, np.asarray(arrays[name]))
    return bytes(dataset.close())


def decode(data: bytes, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Return the arrays in `encode`'s bytes, or those of `names`, with their types and shapes."""
    from netCDF4 import Dataset

    with Dataset("arrays", memory=data) as dataset:
        dataset.set_auto_maskandscale(False)
        dataset.set_auto_chartostring(False)
        wanted = None if names is None else set(names)
        return {n: _read(variable) for n, variable in dataset.variables.items() if wanted is None or n in wanted}


def _write(dataset, name: str, array: np.ndarray) -> None:
    raw, dtype, text = _storable(name, array)
    if raw.size == 0:
        raw = np.zeros([max(1, n) for n in raw.shape], raw.dtype)
    dims = [f"{name}_{axis}" for axis in range(raw.ndim)]
    for dim, size in zip(dims, raw.shape, strict=True):
        dataset.createDimension(dim, size)
    variable = dataset.createVariable(name, raw.dtype, dims, fill_value=False)
    variable.set_auto_maskandscale(False)
    variable.set_auto_chartostring(False)
    variable[...] = raw
    attributes = {"dtype": dtype, "shape": ",".join(map(str, array.shape)) or "scalar"}
    for attribute, value in attributes.items():
        variable.setncattr(attribute, value + " " * (-len(value) % 4))
    if text:
        variable.setncattr("_Encoding", "utf8")


def _storable(name: str, array: np.ndarray) -> tuple[np.ndarray, str, bool]:
    """Return (array of a type that netCDF has, original type, True for text)."""
    if array.dtype.kind == "O" and all(isinstance(item, str) for item in array.ravel()):
        array = array.astype(str)
    if array.dtype.kind == "U":
        coded = np.char.encode(array, "utf-8")
        width = -(-max(1, coded.dtype.itemsize) // 4) * 4
        letters = np.frombuffer(coded.astype(f"S{width}").tobytes(), "S1").reshape(*array.shape, width)
        return letters, array.dtype.str, True
    if array.dtype.kind not in STORED_AS or array.dtype.itemsize > 8:
        raise TypeError(f"array '{name}' has type {array.dtype}; expected numbers or text")
    wide = STORED_AS[array.dtype.kind] if array.dtype.itemsize < 4 else array.dtype.newbyteorder("=")
    return array.astype(wide, copy=False), array.dtype.newbyteorder("<").str, False


def _read(variable) -> np.ndarray:
    dtype = np.dtype(variable.getncattr("dtype").strip())
    shape_text = variable.getncattr("shape").strip()
    shape = () if shape_text == "scalar" else tuple(map(int, shape_text.split(",")))
    if 0 in shape:
        return np.zeros(shape, dtype)
    raw = np.ascontiguousarray(variable[...])
    if dtype.kind == "U":
        return np.char.decode(raw.view(f"S{raw.shape[-1]}")[..., 0], "utf-8").astype(dtype).reshape(shape)
    return raw.astype(dtype).reshape(shape)
