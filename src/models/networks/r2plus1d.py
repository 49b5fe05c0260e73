"""Networks with torchvision's R(2+1)D: 18 layers without classifier, of SeLaVi and GDT; 34 layers, trained on IG-65M.

Ghadiyaram et al. 2019, Large-scale weakly-supervised pre-training for video action recognition (arXiv 1905.00561);
Tran et al. 2018 (arXiv 1711.11248); Asano et al. 2020, Labelling unlabelled videos from scratch (arXiv 2006.13662);
Patrick et al. 2020, Generalized data transformations (arXiv 2003.04298).
"""

from functools import partial

from torch import Tensor, nn
from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, R2Plus1dStem, VideoResNet

from .built import Built
from .state_dicts import part

# other parts of the checkpoints: the network for sound or text, and the heads of both
OTHERS = ("audio_network.", "text_network.", "mlp_v", "mlp_a", "mlp_t")
LAYERS = {f"base.{name}": "CTHW" for name in ("stem", "layer1", "layer2", "layer3", "layer4")}


class Trunk(nn.Module):
    """Clips (batch, 3, T, H, W) -> (batch, features), means over time and space."""

    def __init__(self, base: nn.Module):
        super().__init__()
        self.base = base
        self.base.fc = nn.Identity()

    def forward(self, clip: Tensor) -> Tensor:
        return self.base(clip)


def build(reduced: bool = False) -> Built:
    """Return R(2+1)D-18; reduced: one block per stage."""
    blocks = [1 if reduced else 2] * 4
    trunk = Trunk(VideoResNet(BasicBlock, [Conv2Plus1D] * 4, blocks, R2Plus1dStem))
    return Built(trunk, LAYERS, part("video_network.", *OTHERS))


def build_34(n_classes: int, reduced: bool = False) -> Built:
    """Return R(2+1)D-34 of Caffe2; reduced: one block per stage."""
    blocks = [1] * 4 if reduced else [3, 4, 6, 3]
    module = VideoResNet(BasicBlock, [Conv2Plus1D] * 4, blocks, R2Plus1dStem, num_classes=n_classes)
    for width, stage in ((128, module.layer2), (256, module.layer3), (512, module.layer4)):
        # as wide as for a convolution whose input has as many channels as its output
        stage[0].conv2[0] = Conv2Plus1D(width, width, width * 9 // 4)
    for part_ in module.modules():
        if isinstance(part_, nn.BatchNorm3d):
            part_.eps = 1e-3
    return Built(module, dict.fromkeys(("stem", "layer1", "layer2", "layer3", "layer4", "avgpool"), "CTHW"))


SELAVI = ("Kinetics400", "Kinetics-Sound", "VGG-Sound", "AVE")
GDT = ("Kinetics400", "HowTo100M", "IG65M")
BUILDERS = {
    **dict.fromkeys((*(f"SeLaVi-{data}" for data in SELAVI), *(f"GDT-{data}" for data in GDT)), build),
    "R2plus1D-34-IG65M": partial(build_34, 487),
    "R2plus1D-34-IG65M-Kinetics400": partial(build_34, 400),
}
