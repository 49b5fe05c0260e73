"""Conversion of arrays to tensors and the standardisation that decoders without a kernel share."""

import numpy as np
import torch


def to_tensor(array: np.ndarray, device: str) -> torch.Tensor:
    """Return an array as a contiguous tensor on a device."""
    array = np.ascontiguousarray(array)
    # torch has no read-only tensors
    return torch.from_numpy(array if array.flags.writeable else array.copy()).to(device)


def row_weights(weights: np.ndarray | None, n_rows: int, device: str | torch.device) -> torch.Tensor:
    """Return row weights (n_rows,) as a float64 tensor, ones where there are none."""
    return torch.as_tensor(np.ones(n_rows) if weights is None else weights, dtype=torch.float64).to(device)


class Standardiser:
    """Standardisation of columns to weighted mean 0 and variance 1 in X (StandardScaler), of constant columns to 0."""

    def __init__(self, X: np.ndarray, weights: np.ndarray | None = None):
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(np.asarray(X, dtype=np.float64), sample_weight=weights)
        self.mean, self.inverse = scaler.mean_, np.where(np.ptp(X, axis=0) == 0, 0, 1 / scaler.scale_)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Return the standardised columns of any rows."""
        return (X - self.mean) * self.inverse
