"""HMAX: Gabor filters (S1), maxima over position and scale (C1), similarity to stored patches (S2), maxima (C2).

Riesenhuber and Poggio 1999 (Nat. Neurosci. 2:1019); Serre, Oliva and Poggio 2007, with their universal patch set
(PNAS 104:6424).
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d

from .built import Built

S1_SIZES = tuple(range(7, 38, 2))
WAVELENGTHS = tuple(4 - 0.05 * i for i in range(len(S1_SIZES)))
ORIENTATIONS_DEG = (90, -45, 0, 45)
ASPECT, BANDWIDTH = 0.3, 0.8
C1_SIZES = tuple(range(8, 23, 2))
PATCH_SIZES, PATCHES = tuple(range(2, 17, 2)), 400
LAYERS = {f"c2.{i}": "C" for i in range(len(PATCH_SIZES))}


def gabors(size: int, wavelength: float) -> np.ndarray:
    """Return filters (4, size, size) of mean 0 and norm 1 within a disc; wavelength: relative to half the size."""
    length = 2 * size / wavelength
    theta = np.deg2rad(np.array(ORIENTATIONS_DEG) + 90)[:, None, None]
    x, y = np.mgrid[:size, :size] - size // 2
    u, v = x * np.cos(theta) + y * np.sin(theta), y * np.cos(theta) - x * np.sin(theta)
    filters = np.exp(-(u**2 + (ASPECT * v) ** 2) / (2 * (BANDWIDTH * length) ** 2)) * np.cos(2 * np.pi * u / length)
    filters[:, np.hypot(x, y) > size / 2] = 0
    filters -= filters.mean(axis=(1, 2), keepdims=True)
    return filters / np.sqrt((filters**2).sum(axis=(1, 2), keepdims=True))


def filtered(image: Tensor, filters: Tensor) -> Tensor:
    """Return one channel (batch, 1, H, W) convolved with square filters (n, 1, size, size), zero-padded.

    With the filters in channels-last format a CPU computes the same values forty times faster.
    """
    return conv2d(image, filters.to(memory_format=torch.channels_last), padding=filters.shape[-1] // 2)


def energy(x: Tensor, size: int) -> Tensor:
    """Return the sum of squares over channels and a square of that size at each position: (batch, 1, H, W)."""
    return filtered((x**2).sum(dim=1, keepdim=True), x.new_ones(1, 1, size, size))


class S1(nn.Module):
    """Grey images (batch, 1, H, W) -> responses (batch, 4, H, W) in [0, 1]; fixed filters, no parameters."""

    def __init__(self, size: int, wavelength: float):
        super().__init__()
        self.size = size
        self.register_buffer("weight", torch.from_numpy(gabors(size, wavelength)).float()[:, None])

    def forward(self, image: Tensor) -> Tensor:
        norm = energy(image, self.size).clamp_min(0).sqrt()
        return filtered(image, self.weight).abs() / torch.where(norm == 0, 1, norm)


class S2(nn.Conv2d):
    """C1 responses (batch, 4, H, W) -> similarity to each patch at each position, exp(-squared distance / 2)."""

    def __init__(self, n_patches: int, size: int):
        super().__init__(len(ORIENTATIONS_DEG), n_patches, size, padding=size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        stored = (self.weight**2).sum(dim=(1, 2, 3))[:, None, None]
        distance = energy(x, self.kernel_size[0]) - 2 * super().forward(x) + stored
        return torch.exp(-distance / 2)


class C2(nn.Module):
    """S2 responses of all scales -> maximum of each patch, (batch, n_patches)."""

    def forward(self, scales: list[Tensor]) -> Tensor:
        return torch.stack([scale.amax(dim=(2, 3)) for scale in scales]).amax(dim=0)


class HMAX(nn.Module):
    """Images (batch, 3, H, W) -> C2 responses of all patch sizes, (batch, sizes * patches)."""

    def __init__(self, n_patches: int):
        super().__init__()
        self.s1 = nn.ModuleList(S1(size, wave) for size, wave in zip(S1_SIZES, WAVELENGTHS, strict=True))
        self.s2 = nn.ModuleList(S2(n_patches, size) for size in PATCH_SIZES)
        self.c2 = nn.ModuleList(C2() for _ in PATCH_SIZES)

    def c1(self, image: Tensor) -> list[Tensor]:
        """Return for each scale the maxima over two neighbouring filter sizes and over position, (batch, 4, H, W)."""
        edges = [s1(image) for s1 in self.s1]
        pairs = zip(C1_SIZES, edges[::2], edges[1::2], strict=True)
        return [max_pool2d(torch.maximum(a, b), size, size // 2, size // 2) for size, a, b in pairs]

    def forward(self, x: Tensor) -> Tensor:
        scales = self.c1(x.mean(dim=1, keepdim=True))
        pairs = zip(self.s2, self.c2, strict=True)
        return torch.cat([c2([s2(scale) for scale in scales]) for s2, c2 in pairs], dim=1)


def rename(state: dict) -> dict:
    """Return the published patches with the filters, which are defined by their equation."""
    return {**{f"s1.{i}.weight": s1.weight for i, s1 in enumerate(HMAX(1).s1)}, **state}


def convert(source: str, target: str) -> None:
    """Write the universal patch set, a MATLAB file, as safetensors: s2.i.weight (patches, 4, size, size)."""
    from safetensors.torch import save_file
    from scipy.io import loadmat

    content = loadmat(source)
    state = {}
    for i, (flat, shape) in enumerate(zip(content["patches"][0], content["patchSizes"].T, strict=True)):
        height, width, orientations, count = (int(n) for n in shape)
        patches = flat.reshape(orientations, width, height, count).transpose(3, 0, 2, 1)
        state[f"s2.{i}.weight"] = torch.from_numpy(np.ascontiguousarray(patches, dtype=np.float32))
    save_file(state, target)


def build(reduced: bool = False) -> Built:
    """Return HMAX; reduced: 5 patches of each size."""
    return Built(HMAX(5 if reduced else PATCHES), LAYERS, rename)


BUILDERS = {"hmax": build}
