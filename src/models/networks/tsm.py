"""TSM: a ResNet-50 of single frames whose residual branches shift channels to the frame before and behind.

Lin, Gan and Han 2019, TSM: Temporal shift module for efficient video understanding (ICCV, arXiv 1811.08383).
"""

from functools import partial

import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet

from .built import Built
from .state_dicts import WRAPPER, reprefixed

FRAMES = 8
SHARE = 8  # one of so many channels is shifted in each direction


class Shifted(nn.Module):
    """Convolution behind a shift of channels: the first eighth comes from the next frame, the second from the last."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, frames: Tensor) -> Tensor:
        clips, width = frames.unflatten(0, (-1, FRAMES)), frames.shape[1] // SHARE
        next_, last, same = clips.split([width, width, frames.shape[1] - 2 * width], dim=2)
        empty = torch.zeros_like(next_[:, :1])
        shifted = [torch.cat([next_[:, 1:], empty], dim=1), torch.cat([empty, last[:, :-1]], dim=1), same]
        return self.net(torch.cat(shifted, dim=2).flatten(0, 1))


class Segments(nn.Module):
    """Clips (batch, 8, 3, H, W) -> (batch, classes), the mean over frames."""

    def __init__(self, base: ResNet):
        super().__init__()
        self.base = base
        for block in base.modules():
            if isinstance(block, Bottleneck):
                block.conv1 = Shifted(block.conv1)

    def forward(self, clips: Tensor) -> Tensor:
        return self.base(clips.flatten(0, 1)).unflatten(0, (-1, FRAMES)).mean(dim=1)


def build(n_classes: int, reduced: bool = False) -> Built:
    """Return TSM ResNet-50 of 8 frames; reduced: a block per stage."""
    depths = (1, 1, 1, 1) if reduced else (3, 4, 6, 3)
    module = Segments(ResNet(Bottleneck, list(depths), num_classes=n_classes, width_per_group=8 if reduced else 64))
    blocks = [f"base.layer{stage}.{i}" for stage, depth in enumerate(depths, 1) for i in range(depth)]
    layers = dict.fromkeys(("base.maxpool", *blocks, "base.avgpool"), "TCHW")
    names = {f"{WRAPPER}base_model.": "base.", f"{WRAPPER}new_fc.": "base.fc."}
    return Built(module, layers, partial(reprefixed, changes=names), lambda _, out: out.unflatten(0, (-1, FRAMES)))


BUILDERS = {"TSM": partial(build, 400), "TSM-smthsmthv2": partial(build, 174)}
