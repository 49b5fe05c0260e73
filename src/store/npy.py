"""`.npy` files that are read by their known header: nothing in a damaged file is parsed and no pickle is loaded."""

import io
import os
from pathlib import Path

import numpy as np

from ..files import DamagedFile, read_bytes, write_all


def npy_header(dtype, shape: tuple[int, ...]) -> bytes:
    """Return the header of an `.npy` file of this type and shape, C order, little-endian."""
    described = np.lib.format.dtype_to_descr(np.dtype(dtype).newbyteorder("<"))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": described, "fortran_order": False, "shape": tuple(shape)})
    return header.getvalue()


def npy_bytes(array: np.ndarray) -> bytes:
    """Return the content of an `.npy` file that holds `array`."""
    little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return npy_header(array.dtype, array.shape) + little_endian.tobytes()


def read_npy(path: Path, dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Return a writable copy of the array in `path`; raise DamagedFile unless it has this type and shape."""
    data, header = read_bytes(path), npy_header(dtype, shape)
    expected = len(header) + int(np.prod(shape)) * np.dtype(dtype).itemsize
    if data is None:
        raise DamagedFile(f"{path.name} is missing")
    if len(data) != expected or not data.startswith(header):
        raise DamagedFile(f"{path.name} is not an array of type {np.dtype(dtype)} and shape {shape}")
    raw = np.frombuffer(data, np.dtype(dtype).newbyteorder("<"), offset=len(header)).reshape(shape)
    if np.dtype(dtype) == bool and not np.isin(raw.view(np.uint8), (0, 1)).all():
        raise DamagedFile(f"{path.name} holds values that are neither true nor false")
    return raw.astype(dtype)


def make_sparse(path: Path, header: bytes, size: int) -> None:
    """Create a sparse file of `size` bytes that starts with `header`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        write_all(descriptor, header, 0)
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
