"""Inflated ResNets: I3D (Carreira & Zisserman 2017, arXiv:1705.07750), with and without non-local blocks (Wang et al.
2018, arXiv:1711.07971).

ResNet-50 whose first convolution looks at 5 frames and whose bottlenecks open with a kernel of 3 frames or 1 by turns;
time is halved by the first convolution, by the pooling behind it and behind the first stage. Names as in MMAction2's
checkpoints (ImageNet, then Kinetics-400; 32 frames in steps of 2).
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from .built import Built
from .mmaction import PooledHead, recognizer, rename

BLOCKS, WIDTH = (3, 4, 6, 3), 64
LOOKS_AROUND = ((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0))
NON_LOCAL = ((0, 0, 0), (0, 1, 0, 1), (0, 1, 0, 1, 0, 1), (0, 0, 0))


class Unit(nn.Module):
    """A convolution, its batch normalisation and a rectifier, where it has them."""

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


class ClosedNorm(nn.Module):
    """Batch normalisation with running statistics whose scale is built almost 0, as the paper builds it.

    So a block without trained weights passes its input on. It is no torch layer and its scale not 0, which a network
    drawn anew would open: the third power of what goes in would overflow within a few blocks.
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
    """x plus what every place gathers from all places of all frames, weighted by the dot product of two embeddings.

    Keys and values are pooled 2 x 2 in space; the weights are divided by the number of places, without softmax. So
    values x keys can be multiplied first: that is (channels, channels), however long the clip.
    """

    def __init__(self, dim: int):
        super().__init__()
        inner = dim // 2
        g, self.theta, phi = (Unit(dim, inner, 1, bias=True, normed=False, rectified=False) for _ in range(3))
        self.g, self.phi = (nn.Sequential(part, nn.MaxPool3d((1, 2, 2))) for part in (g, phi))
        self.conv_out = Unit(inner, dim, 1, rectified=False)
        self.conv_out.bn = ClosedNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (part(x).flatten(2) for part in (self.theta, self.phi, self.g))
        gathered = value @ key.transpose(1, 2) / key.shape[-1]
        found = (gathered @ query).unflatten(2, x.shape[2:])
        return x + self.conv_out(found)


class Bottleneck(nn.Module):
    """Three convolutions beside a shortcut, and a non-local block behind them where there is one."""

    def __init__(self, n_in: int, width: int, stride: int, looks_around: bool, non_local: bool):
        super().__init__()
        n_out, first = 4 * width, ((3, 1, 1), 1, (1, 0, 0)) if looks_around else (1, 1, 0)
        self.conv1 = Unit(n_in, width, *first)
        self.conv2 = Unit(width, width, (1, 3, 3), (1, stride, stride), (0, 1, 1))
        self.conv3 = Unit(width, n_out, 1, rectified=False)
        changes = n_in != n_out or stride != 1
        self.downsample = Unit(n_in, n_out, 1, (1, stride, stride), rectified=False) if changes else None
        self.non_local_block = NonLocal(n_out) if non_local else None

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = (self.conv3(self.conv2(self.conv1(x))) + shortcut).relu()
        return x if self.non_local_block is None else self.non_local_block(x)


class InflatedResNet(nn.Module):
    """Clips (n, 3, t, h, w) -> (n, 32 * width, t / 8, h / 32, w / 32)."""

    def __init__(self, width: int, looks_around, non_local):
        super().__init__()
        self.conv1 = Unit(3, width, (5, 7, 7), (2, 2, 2), (2, 3, 3))
        self.maxpool = nn.MaxPool3d((1, 3, 3), (2, 2, 2), (0, 1, 1))
        self.pool2 = nn.MaxPool3d((2, 1, 1))
        n_in = width
        for i, (around, non) in enumerate(zip(looks_around, non_local, strict=True)):
            blocks = []
            for j in range(len(around)):
                stride = 2 if i and not j else 1
                blocks.append(Bottleneck(n_in, width << i, stride, bool(around[j]), bool(non[j])))
                n_in = 4 * (width << i)
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool2(self.layer1(self.maxpool(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(x)))


def build(non_local, reduced: bool = False) -> Built:
    """The network with non-local blocks where `non_local` has a 1; reduced: 8 channels, two blocks per stage."""
    width, around = (WIDTH, LOOKS_AROUND) if not reduced else (8, tuple(stage[:2] for stage in LOOKS_AROUND))
    non_local = tuple(stage[: len(kept)] for stage, kept in zip(non_local, around, strict=True))
    module = recognizer(InflatedResNet(width, around, non_local), PooledHead(32 * width))
    stages = {f"backbone.{part}": "CTHW" for part in ("conv1", "layer1", "layer2", "layer3", "layer4")}
    return Built(module, {**stages, "cls_head": "C"}, rename)


NOWHERE = tuple((0,) * n for n in BLOCKS)
BUILDERS = {"I3D": partial(build, NOWHERE), "I3D-nonlocal": partial(build, NON_LOCAL)}
