"""S3D with gates, trained to match video and narration: the video part of MIL-NCE's network.

Xie et al. 2018, Rethinking spatiotemporal feature learning (arXiv 1712.04851); Miech et al. 2020, End-to-end learning
of visual representations from uncurated instructional videos (arXiv 1912.06430), which starts with a space-to-depth
step instead of a strided convolution.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool3d, pad

from .built import Built
from .state_dicts import part

EMBEDDING = 512
# widths of a mixed block: pointwise branch; two 3 x 3 x 3 branches (reduction, output); pooled branch
MIXED = {
    "mixed_3b": (64, 96, 128, 16, 32, 32),
    "mixed_3c": (128, 128, 192, 32, 96, 64),
    "mixed_4b": (192, 96, 208, 16, 48, 64),
    "mixed_4c": (160, 112, 224, 24, 64, 64),
    "mixed_4d": (128, 128, 256, 24, 64, 64),
    "mixed_4e": (112, 144, 288, 32, 64, 64),
    "mixed_4f": (256, 160, 320, 32, 128, 128),
    "mixed_5b": (256, 160, 320, 32, 128, 128),
    "mixed_5c": (384, 192, 384, 48, 128, 128),
}
POOLS = {"mixed_3b": ((1, 3, 3), (1, 2, 2)), "mixed_4b": ((3, 3, 3), (2, 2, 2)), "mixed_5b": ((2, 2, 2), (2, 2, 2))}
LAYERS = {
    **dict.fromkeys(("conv1", "conv_2c", "mixed_3c", "mixed_4b", "mixed_4d", "mixed_4f", "mixed_5c"), "CTHW"),
    "fc": "C",
}


class Conv(nn.Module):
    """Convolution, batch normalisation and ReLU; `separable`: over space and then over time."""

    def __init__(self, n_in: int, n_out: int, kernel: tuple[int, int, int], padding=0, separable: bool = False):
        super().__init__()
        if separable:
            time, height, width = kernel
            self.conv1 = nn.Conv3d(n_in, n_out, (1, height, width), padding=(0, 1, 1), bias=False)
            self.bn1 = nn.BatchNorm3d(n_out)
            self.conv2 = nn.Conv3d(n_out, n_out, (time, 1, 1), padding=(1, 0, 0), bias=False)
            self.bn2 = nn.BatchNorm3d(n_out)
        else:
            self.conv1 = nn.Conv3d(n_in, n_out, kernel, padding=padding, bias=False)
            self.bn1 = nn.BatchNorm3d(n_out)
        self.separable = separable

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x)).relu()
        return self.bn2(self.conv2(x)).relu() if self.separable else x


class Gate(nn.Module):
    """Channels multiplied by numbers in (0, 1) that depend on the means of all channels."""

    def __init__(self, width: int):
        super().__init__()
        self.fc = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.fc(x.mean(dim=(2, 3, 4))))[:, :, None, None, None] * x


class Mixed(nn.Module):
    """Four parallel branches, each with a gate."""

    def __init__(self, n_in: int, widths: tuple[int, ...]):
        super().__init__()
        n0, n1a, n1b, n2a, n2b, n3 = widths
        one, three = (1, 1, 1), (3, 3, 3)
        self.conv_b0 = Conv(n_in, n0, one)
        self.conv_b1_a, self.conv_b1_b = Conv(n_in, n1a, one), Conv(n1a, n1b, three, separable=True)
        self.conv_b2_a, self.conv_b2_b = Conv(n_in, n2a, one), Conv(n2a, n2b, three, separable=True)
        self.conv_b3_b = Conv(n_in, n3, one)
        self.gating_b0, self.gating_b1 = Gate(n0), Gate(n1b)
        self.gating_b2, self.gating_b3 = Gate(n2b), Gate(n3)
        self.n_out = n0 + n1b + n2b + n3

    def forward(self, x: Tensor) -> Tensor:
        branches = (
            self.gating_b0(self.conv_b0(x)),
            self.gating_b1(self.conv_b1_b(self.conv_b1_a(x))),
            self.gating_b2(self.conv_b2_b(self.conv_b2_a(x))),
            self.gating_b3(self.conv_b3_b(max_pool3d(x, 3, 1, 1))),
        )
        return torch.cat(branches, dim=1)


def pooled(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    """Return the max pooling of TensorFlow: zeros as padding, an odd one at the end, and incomplete last windows."""
    spare = [max(k - s, 0) for k, s in zip(kernel, stride, strict=True)]
    sides = [side for total in reversed(spare) for side in (total // 2, total - total // 2)]
    return max_pool3d(pad(x, sides), kernel, stride, ceil_mode=True)


def folded(clip: Tensor) -> Tensor:
    """Return clips (batch, C, T, H, W) as (batch, 8 * C, T / 2, H / 2, W / 2), time first in the channels, C last.

    An odd last frame, row or column is repeated.
    """
    odd = [side % 2 for side in reversed(clip.shape[2:])]
    if any(odd):
        clip = pad(clip, [side for extra in odd for side in (0, extra)], mode="replicate")
    cells = clip.unflatten(4, (-1, 2)).unflatten(3, (-1, 2)).unflatten(2, (-1, 2))
    return cells.permute(0, 3, 5, 7, 1, 2, 4, 6).flatten(1, 4)


class S3D(nn.Module):
    """Clips (batch, 3, T, H, W) in [0, 1] -> (batch, 512), the embedding in the common space of video and text."""

    def __init__(self, mixed: dict[str, tuple[int, ...]], embedding: int):
        super().__init__()
        self.conv1 = Conv(24, 64, (2, 4, 4), padding=(1, 2, 2))
        self.conv_2b = Conv(64, 64, (1, 1, 1))
        self.conv_2c = Conv(64, 192, (3, 3, 3), separable=True)
        self.gating = Gate(192)
        width = 192
        for name, widths in mixed.items():
            self.add_module(name, Mixed(width, widths))
            width = self.get_submodule(name).n_out
        self.fc = nn.Linear(width, embedding)

    def forward(self, clip: Tensor) -> Tensor:
        x = self.conv1(folded(clip))[:, :, 1:, 1:, 1:]
        x = self.conv_2b(pooled(x, (1, 3, 3), (1, 2, 2)))
        x = self.gating(self.conv_2c(x))
        for name in MIXED:
            if name in POOLS:
                x = pooled(x, *POOLS[name])
            x = self.get_submodule(name)(x)
        return self.fc(x.mean(dim=(2, 3, 4)))


def _trimmed(layer: str, output: Tensor) -> Tensor:
    """Return the output of the first convolution without the first step, row and column, which the network ignores."""
    return output[:, :, 1:, 1:, 1:] if layer == "conv1" else output


def build(reduced: bool = False) -> Built:
    """Return S3D; reduced: mixed blocks an eighth as wide."""
    mixed = {name: tuple(n // 8 for n in widths) for name, widths in MIXED.items()} if reduced else MIXED
    return Built(S3D(mixed, EMBEDDING), LAYERS, part("", "text_module."), process_output=_trimmed)


BUILDERS = {"s3d-HowTo100M": build}
