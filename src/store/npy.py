"""`.npy` files whose header is known before they are read: nothing in a damaged file is parsed, no pickle is loaded."""

import io
import os
from pathlib import Path

import numpy as np

from ..files import Damaged, read_bytes, write_all


def npy_header(dtype, shape: tuple[int, ...]) -> bytes:
    """The bytes that start an `.npy` file of this type and shape, C order, little-endian."""
    described = np.lib.format.dtype_to_descr(np.dtype(dtype).newbyteorder("<"))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": described, "fortran_order": False, "shape": tuple(shape)})
    return header.getvalue()


def npy_bytes(array: np.ndarray) -> bytes:
    """`array` as the content of an `.npy` file."""
    plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return npy_header(array.dtype, array.shape) + plain.tobytes()


def read_npy(path: Path, dtype, shape: tuple[int, ...]) -> np.ndarray:
    """A writable copy of the array in `path`, which must have this type and shape; raises Damaged."""
    data, header = read_bytes(path), npy_header(dtype, shape)
    expected = len(header) + int(np.prod(shape)) * np.dtype(dtype).itemsize
    if data is None:
        raise Damaged(f"{path.name} is missing")
    if len(data) != expected or not data.startswith(header):
        raise Damaged(f"{path.name} is not an array of type {np.dtype(dtype)} and shape {shape}")
    raw = np.frombuffer(data, np.dtype(dtype).newbyteorder("<"), offset=len(header)).reshape(shape)
    if np.dtype(dtype) == bool and not np.isin(raw.view(np.uint8), (0, 1)).all():
        raise Damaged(f"{path.name} holds values that are neither true nor false")
    return raw.astype(dtype)


def make_sparse(path: Path, header: bytes, size: int) -> None:
    """A file of `size` bytes that starts with `header` and takes no room for the rest."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        write_all(descriptor, header, 0)
        os.ftruncate(descriptor, size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
