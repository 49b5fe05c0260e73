"""Small seeded video network with layers of different kinds: the planted truth of the embedded datasets.

No layer is a linear map of another one, by design. `colour` is the local mean colour; `orientation` the contrast energy
of quadrature pairs of Gabor filters as a vector of double angles; `motion` their opponent motion energy (Adelson &
Bergen 1985, J Opt Soc Am A 2:284) over contrast energy as a vector of velocity; `conjunction` the product of a mixture
of the first and a mixture of the second. All are 0 on average over balanced films. Their features are few, so that a
regression recovers the planted signal at any penalty that the other units select.
"""

import hashlib
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ..utils import canonical_json, seed_from

if TYPE_CHECKING:
    import torch

NAME = "fake-net"
VERSION = 1
FPS = 25.0
SIZE = 64
LAYERS: dict[str, str] = {"colour": "CTHW", "orientation": "CTHW", "motion": "CTHW", "conjunction": "CTHW"}

_ORIENTATIONS = 4
_WAVELENGTH_PX = 9.0
_KERNEL_PX = 9


def _angles() -> np.ndarray:
    """Return the directions of the Gabor filters, in radians: evenly spaced with a small jitter."""
    jitter = np.random.default_rng(seed_from(NAME, "angles")).uniform(-0.1, 0.1, _ORIENTATIONS)
    return np.pi * (np.arange(_ORIENTATIONS) + jitter) / _ORIENTATIONS


def _gabors() -> np.ndarray:
    """Return even, then odd Gabor filters, (2 * orientations, 1, 1, kernel, kernel), each of mean 0."""
    angles = _angles()
    y, x = np.mgrid[:_KERNEL_PX, :_KERNEL_PX] - (_KERNEL_PX - 1) / 2
    window = np.exp(-(x**2 + y**2) / (2 * (_WAVELENGTH_PX / 4) ** 2))
    phase = 2 * np.pi / _WAVELENGTH_PX * (x * np.cos(angles)[:, None, None] + y * np.sin(angles)[:, None, None])
    filters = np.concatenate([window * np.cos(phase), window * np.sin(phase)])
    filters -= window * (filters.sum((1, 2)) / window.sum())[:, None, None]
    filters /= np.sqrt((filters**2).sum((1, 2), keepdims=True))
    return filters[:, None, None]


@cache
def weights() -> dict[str, np.ndarray]:
    """Return the network's parameters by name, float32, identical in every process and on every machine."""
    rng = np.random.default_rng(seed_from(NAME, "mixtures"))
    angles = _angles()
    double = np.stack([np.cos(2 * angles), np.sin(2 * angles)])
    unshaped = {
        "gabor.weight": _gabors(),
        "colour.mix.weight": np.linalg.qr(rng.standard_normal((3, 3)))[0],
        "orientation.vote.weight": double - double.mean(axis=1, keepdims=True),
        "motion.vote.weight": np.stack([np.cos(angles), np.sin(angles)]),
        "conjunction.left.weight": rng.standard_normal((6, 3)) / np.sqrt(3),
        "conjunction.right.weight": rng.standard_normal((6, 2)) / np.sqrt(2),
    }
    shaped = {name: w if w.ndim == 5 else w[:, :, None, None, None] for name, w in unshaped.items()}
    return {name: np.ascontiguousarray(w, dtype=np.float32) for name, w in shaped.items()}


@cache
def digest() -> str:
    """Return the SHA-256 over weights, architecture and preprocessing, without torch.

    Weights are rounded to 4 decimals, so that the digest does not depend on the last bit of a processor's cosine.
    """
    head = canonical_json([NAME, VERSION, FPS, SIZE, LAYERS])
    body = {name: (np.round(w * 1e4) + 0.0).astype(np.int64).tolist() for name, w in weights().items()}
    return hashlib.sha256((head + canonical_json(body)).encode()).hexdigest()


def preprocess(frames: np.ndarray) -> "torch.Tensor":
    """Return frames, uint8 of shape (T, H, W, 3), as a float32 tensor (3, T, 64, 64) in [-1, 1]."""
    import torch

    clip = torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2).float() / 127.5 - 1
    if clip.shape[2:] != (SIZE, SIZE):
        clip = clip.transpose(0, 1)
        clip = torch.nn.functional.interpolate(clip, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
        clip = clip.transpose(0, 1)
    return clip.contiguous()


def build() -> "torch.nn.Module":
    """Return the network in eval mode: clips (batch, 3, T, 64, 64) -> (batch, 6, T / 4, 2, 2), any T >= 1."""
    import torch

    from .network import FakeNet

    network = FakeNet(_ORIENTATIONS, _KERNEL_PX)
    network.load_state_dict({name: torch.from_numpy(w.copy()) for name, w in weights().items()})
    return network.eval().requires_grad_(False)
