"""Inflated ResNets for Something-Something v2 (Chen et al. 2021, arXiv:2010.11757), as IBM published them.

Every 3 x 3 convolution of the bottlenecks spans 3 frames, and no stage has a stride in time, as in the training of the
checkpoints. Names as in torchvision's 2D ResNets.
"""

from functools import partial

from torch import Tensor, nn

from .built import Built

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
CLASSES = 174


class Bottleneck(nn.Module):
    """1, 3 x 3 x 3 and 1 convolutions with a shortcut; `stride` is that of the middle one in space."""

    def __init__(self, n_in: int, width: int, stride: int):
        super().__init__()
        n_out, steps = 4 * width, (1, stride, stride)
        self.conv1, self.bn1 = nn.Conv3d(n_in, width, 1, bias=False), nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, steps, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3, self.bn3 = nn.Conv3d(width, n_out, 1, bias=False), nn.BatchNorm3d(n_out)
        shortcut = nn.Sequential(nn.Conv3d(n_in, n_out, 1, steps, bias=False), nn.BatchNorm3d(n_out))
        self.downsample = shortcut if n_in != n_out or stride != 1 else None

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()
        return (self.bn3(self.conv3(x)) + shortcut).relu()


class InflatedResNet(nn.Module):
    """Clips (n, 3, t, h, w) -> logits (n, classes), the mean of those of all time steps."""

    def __init__(self, blocks: tuple[int, ...], width: int):
        super().__init__()
        self.conv1 = nn.Conv3d(3, width, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.maxpool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        n_in = width
        for i, depth in enumerate(blocks):
            stage = [Bottleneck(n_in, width << i, 2 if i else 1)]
            n_in = 4 * (width << i)
            stage += [Bottleneck(n_in, width << i, 1) for _ in range(depth - 1)]
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.fc = nn.Linear(n_in, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((3, 4)).transpose(1, 2)).mean(1)


def build(depth: int, reduced: bool = False) -> Built:
    """Return the ResNet of that depth; reduced: 8 channels, one block per stage."""
    blocks, width = ((1, 1, 1, 1), 8) if reduced else (BLOCKS[depth], 64)
    module = InflatedResNet(blocks, width)
    layers = dict.fromkeys(("conv1", "layer1", "layer2", "layer3", "layer4"), "CTHW")
    return Built(module, {**layers, "fc": "TC"})


BUILDERS = {"I3D-R50-smthsmthv2": partial(build, 50), "I3D-R101-smthsmthv2": partial(build, 101)}
