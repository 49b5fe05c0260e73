"""Inflated ResNets: I3D (Carreira & Zisserman 2017, arXiv:1705.07750), with and without non-local blocks (Wang et al.
2018, arXiv:1711.07971).

ResNet-50 whose first convolution spans 5 frames and whose bottlenecks start with kernels of 3 frames and 1 alternately;
time is halved by the first convolution, by the pooling after it and after the first stage. Names as in MMAction2's
checkpoints (ImageNet, then Kinetics-400; 32 frames in steps of 2).
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from .built import Built
from .mmaction import PooledHead, recognizer, rename

BLOCKS, WIDTH = (3, 4, 6, 3), 64
TEMPORAL_KERNELS = ((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0))
NON_LOCAL = ((0, 0, 0), (0, 1, 0, 1), (0, 1, 0, 1, 0, 1), (0, 0, 0))


class ConvBlock(nn.Module):
    """Convolution with optional batch normalisation and rectifier."""

    def __init__(self, n_in: int, n_out: int, kernel, stride=1, padding=0, bias=False, normed=True, rectified=True):
        super().__init__()
        self.conv = nn.Conv3d(n_in, n_out, kernel, stride, padding, bias=bias)
        if normed:
            self.bn = nn.BatchNorm3d(n_out)
        self.normed, self.rectified = normed, rectified

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.bn(x) if self.normed else x
        return x.relu() if self.rectified else x


class NearZeroNorm(nn.Module):
    """Batch normalisation with running statistics and an initial scale of almost 0, as in the paper.

    A block without trained weights is then the identity. It is not a torch layer and its scale is not 0, so that
    `reinitialise` keeps the scale: otherwise the third power of the input would overflow within a few blocks.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.full((dim,), 1e-30)), nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        return batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)


class NonLocal(nn.Module):
    """x plus a sum over all positions of all frames, weighted by the dot product of two embeddings.

    Keys and values are pooled 2 x 2 in space; the weights are divided by the number of positions, without softmax.
    Values x keys, (channels, channels), is therefore multiplied first, independent of the length of the clip.
    """

    def __init__(self, dim: int):
        super().__init__()
        inner = dim // 2
        g, self.theta, phi = (ConvBlock(dim, inner, 1, bias=True, normed=False, rectified=False) for _ in range(3))
        self.g, self.phi = (nn.Sequential(part, nn.MaxPool3d((1, 2, 2))) for part in (g, phi))
        self.conv_out = ConvBlock(inner, dim, 1, rectified=False)
        self.conv_out.bn = NearZeroNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (part(x).flatten(2) for part in (self.theta, self.phi, self.g))
        mixing = value @ key.transpose(1, 2) / key.shape[-1]
        total = (mixing @ query).unflatten(2, x.shape[2:])
        return x + self.conv_out(total)


class Bottleneck(nn.Module):
    """Three convolutions with a shortcut, and an optional non-local block after them."""

    def __init__(self, n_in: int, width: int, stride: int, temporal_kernel: bool, non_local: bool):
        super().__init__()
        n_out, first = 4 * width, ((3, 1, 1), 1, (1, 0, 0)) if temporal_kernel else (1, 1, 0)
        self.conv1 = ConvBlock(n_in, width, *first)
        self.conv2 = ConvBlock(width, width, (1, 3, 3), (1, stride, stride), (0, 1, 1))
        self.conv3 = ConvBlock(width, n_out, 1, rectified=False)
        changes = n_in != n_out or stride != 1
        self.downsample = ConvBlock(n_in, n_out, 1, (1, stride, stride), rectified=False) if changes else None
        self.non_local_block = NonLocal(n_out) if non_local else None

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = (self.conv3(self.conv2(self.conv1(x))) + shortcut).relu()
        return x if self.non_local_block is None else self.non_local_block(x)


class InflatedResNet(nn.Module):
    """Clips (n, 3, t, h, w) -> (n, 32 * width, t / 8, h / 32, w / 32)."""

    def __init__(self, width: int, temporal_kernels, non_local):
        super().__init__()
        self.conv1 = ConvBlock(3, width, (5, 7, 7), (2, 2, 2), (2, 3, 3))
        self.maxpool = nn.MaxPool3d((1, 3, 3), (2, 2, 2), (0, 1, 1))
        self.pool2 = nn.MaxPool3d((2, 1, 1))
        n_in = width
        for i, (temporal, non) in enumerate(zip(temporal_kernels, non_local, strict=True)):
            blocks = []
            for j in range(len(temporal)):
                stride = 2 if i and not j else 1
                blocks.append(Bottleneck(n_in, width << i, stride, bool(temporal[j]), bool(non[j])))
                n_in = 4 * (width << i)
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool2(self.layer1(self.maxpool(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(x)))


def build(non_local, reduced: bool = False) -> Built:
    """Return the network with non-local blocks where `non_local` is 1; reduced: 8 channels, two blocks per stage."""
    width, temporal = (8, tuple(stage[:2] for stage in TEMPORAL_KERNELS)) if reduced else (WIDTH, TEMPORAL_KERNELS)
    non_local = tuple(stage[: len(kept)] for stage, kept in zip(non_local, temporal, strict=True))
    module = recognizer(InflatedResNet(width, temporal, non_local), PooledHead(32 * width))
    stages = {f"backbone.{part}": "CTHW" for part in ("conv1", "layer1", "layer2", "layer3", "layer4")}
    return Built(module, {**stages, "cls_head": "C"}, rename)


NO_NON_LOCAL = tuple((0,) * n for n in BLOCKS)
BUILDERS = {"I3D": partial(build, NO_NON_LOCAL), "I3D-nonlocal": partial(build, NON_LOCAL)}
