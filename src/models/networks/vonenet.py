"""VOneResNet-50: a fixed bank of Gabor filters, as simple and complex cells, before a ResNet-50 without its stem.

Dapello et al. 2020, Simulating a primary visual cortex at the front of CNNs (bioRxiv 2020.06.16.154542). The filters'
parameters follow distributions measured in macaques: orientation, De Valois et al. 1982a; spatial frequency, De Valois
et al. 1982b; envelopes, Ringach 2002; correlation of frequency and envelope, Schiller et al. 1976.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torchvision.models.resnet import Bottleneck, ResNet

from .built import Built
from .state_dicts import unwrapped

SIMPLE, COMPLEX = 256, 256
KERNEL, STRIDE = 25, 4
PIXELS_PER_DEGREE = 224 / 8
GAIN = 25.0
BOTTLENECK = 64
BLOCKS = (3, 4, 6, 3)
ORIENTATION_DEG = ((-22.5, 22.5, 67.5, 112.5, 157.5), (66, 49, 77, 54))
FREQUENCY_PER_DEG = ((0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0), (4, 4, 8, 25, 32, 26, 28, 12))
# counts of the envelope's widths in cycles, rows along the wave, columns across it
LOG_ENVELOPE = np.linspace(-1, 0.2, 6)
ENVELOPES = np.array([[2, 0, 1, 0, 0], [8, 9, 4, 1, 0], [1, 2, 19, 17, 3], [0, 0, 1, 7, 4], [0, 0, 0, 0, 0]])
CORRELATION = 0.75


def quantile(shares: np.ndarray, counts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the quantiles at `shares` (0 to 1) of a histogram, uniform within its bins."""
    return np.interp(shares, np.concatenate(([0], np.cumsum(counts) / np.sum(counts))), edges)


def parameters(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Sample orientation and phase (rad), frequency (1 / px) and widths along and across the wave (px) of n filters."""
    random = np.random.RandomState(seed)
    phase = 360 * random.rand(n)
    orientation = quantile(random.rand(n), ORIENTATION_DEG[1], ORIENTATION_DEG[0]) % 180
    pair = random.multivariate_normal([0, 0], [[1, CORRELATION], [CORRELATION, 1]], n)
    shares = np.vectorize(math.erf)(pair / math.sqrt(2)) / 2 + 0.5
    along = quantile(shares[:, 0], ENVELOPES.sum(axis=1), LOG_ENVELOPE)
    rows = np.clip(np.searchsorted(LOG_ENVELOPE, along) - 1, 0, 3)
    across = [quantile(u, ENVELOPES[row], LOG_ENVELOPE) for u, row in zip(random.rand(n), rows, strict=True)]
    frequency = 2 ** quantile(shares[:, 1], FREQUENCY_PER_DEG[1], np.log2(FREQUENCY_PER_DEG[0])) / PIXELS_PER_DEGREE
    return {
        "orientation": np.deg2rad(orientation),
        "phase": np.deg2rad(phase),
        "frequency": frequency,
        "along": 10**along / frequency,
        "across": 10 ** np.array(across) / frequency,
    }


def gabors(sampled: dict[str, np.ndarray], shift: float = 0.0) -> np.ndarray:
    """Return Gabor filters (n, 25, 25) with these parameters, the first axis x; shift: added to the phases, rad."""
    theta, phase, frequency, along, across = (
        sampled[name][:, None, None] for name in ("orientation", "phase", "frequency", "along", "across")
    )
    x, y = np.mgrid[:KERNEL, :KERNEL] - KERNEL // 2
    u, v = x * np.cos(theta) + y * np.sin(theta), y * np.cos(theta) - x * np.sin(theta)
    envelope = np.exp(-((u / along) ** 2 + (v / across) ** 2) / 2) / (2 * np.pi * along * across)
    return envelope * np.cos(2 * np.pi * frequency * u + phase + shift)


class Bank(nn.Module):
    """Fixed Gabor filters, each on one colour channel."""

    def __init__(self, filters: np.ndarray, colours: np.ndarray):
        super().__init__()
        weight = np.zeros((len(filters), 3, *filters.shape[1:]), dtype=np.float32)
        weight[np.arange(len(filters)), colours] = filters
        self.register_buffer("weight", torch.from_numpy(weight))

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight, stride=STRIDE, padding=KERNEL // 2)


class VOneBlock(nn.Module):
    """Images (batch, 3, H, W) -> responses of simple and of complex cells, (batch, 512, H / 4, W / 4).

    Responses are the means of the stochastic ones of the training, so that the network is deterministic.
    """

    def __init__(self, simple: int, complex_: int):
        super().__init__()
        sampled = parameters(simple + complex_)
        colours = np.random.RandomState(1).randint(0, 3, simple + complex_)
        self.simple_conv_q0 = Bank(gabors(sampled), colours)
        self.simple_conv_q1 = Bank(gabors(sampled, np.pi / 2), colours)
        self.simple = simple

    def forward(self, x: Tensor) -> Tensor:
        even, odd = self.simple_conv_q0(x), self.simple_conv_q1(x)
        energy = (even[:, self.simple :] ** 2 + odd[:, self.simple :] ** 2).sqrt() / math.sqrt(2)
        return GAIN * torch.cat((even[:, : self.simple].relu(), energy), dim=1)


class BackEnd(ResNet):
    """torchvision's ResNet of bottlenecks without its stem: (batch, 64, H, W) -> (batch, 1000)."""

    def __init__(self, blocks: tuple[int, ...]):
        super().__init__(Bottleneck, list(blocks))
        del self.conv1, self.bn1, self.relu, self.maxpool

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class VOneNet(nn.Module):
    """Images (batch, 3, H, W), scaled to [-1, 1] -> (batch, 1000)."""

    def __init__(self, cells: tuple[int, int], blocks: tuple[int, ...]):
        super().__init__()
        self.vone_block = VOneBlock(*cells)
        self.bottleneck = nn.Conv2d(sum(cells), BOTTLENECK, 1, bias=False)
        self.model = BackEnd(blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(self.bottleneck(self.vone_block(x)))


def build(reduced: bool = False) -> Built:
    """Return VOneResNet-50; reduced: an eighth of the cells, one bottleneck per stage."""
    cells, blocks = ((SIMPLE // 8, COMPLEX // 8), (1, 1, 1, 1)) if reduced else ((SIMPLE, COMPLEX), BLOCKS)
    stages = [f"model.layer{stage}.{i}" for stage, n in enumerate(blocks, start=1) for i in range(n)]
    layers = dict.fromkeys(("vone_block", *stages, "model.avgpool"), "CHW")
    return Built(VOneNet(cells, blocks), layers, unwrapped)


BUILDERS = {"voneresnet-50": build, "voneresnet-50-non_stochastic": build}
