"""Conversion of arrays to tensors, products of them, and the standardisation that decoders without a kernel share."""

from functools import cache

import numpy as np
import torch

LEAST_PRODUCT = 2**24  # multiplications from which the choice of a library matters


def to_tensor(array: np.ndarray, device: str) -> torch.Tensor:
    """Return an array as a contiguous tensor on a device."""
    array = np.ascontiguousarray(array)
    # torch has no read-only tensors
    return torch.from_numpy(array if array.flags.writeable else array.copy()).to(device)


def row_weights(weights: np.ndarray | None, n_rows: int, device: str | torch.device) -> torch.Tensor:
    """Return row weights (n_rows,) as a float64 tensor, ones where there are none."""
    return torch.as_tensor(np.ones(n_rows) if weights is None else weights, dtype=torch.float64).to(device)


def matmul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return a (n, m) @ b (m, k) in their dtype.

    For float32 on a CPU with AVX-512 by oneDNN: MKL, which torch asks, uses half the width on processors that are not
    Intel's, and takes twice the time there.
    """
    large = a.dtype == b.dtype == torch.float32 and a.device.type == "cpu" and len(a) * b.numel() >= LEAST_PRODUCT
    return _by_onednn(a, b) if large and _has_onednn() else a @ b


def _by_onednn(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(a, b.T, None, "none", [], "")


@cache
def _has_onednn() -> bool:
    """Return True if torch can multiply by oneDNN, and the processor has AVX-512."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not torch.backends.mkldnn.is_available():
        return False
    one = torch.ones(1, 1)
    try:
        return bool(_by_onednn(one, one) == one)
    except (AttributeError, RuntimeError):
        # an operator of torch's compiler, which may change without notice
        return False


class Standardiser:
    """Standardisation of columns to weighted mean 0 and variance 1 in X (StandardScaler), of constant columns to 0."""

    def __init__(self, X: np.ndarray, weights: np.ndarray | None = None):
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(np.asarray(X, dtype=np.float64), sample_weight=weights)
        self.mean, self.inverse = scaler.mean_, np.where(np.ptp(X, axis=0) == 0, 0, 1 / scaler.scale_)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Return the standardised columns of any rows."""
        return (X - self.mean) * self.inverse
