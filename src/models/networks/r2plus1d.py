"""Video networks of SeLaVi and GDT: torchvision's R(2+1)D-18 without classifier, trained against sound or text.

Tran et al. 2018 (arXiv 1711.11248); Asano et al. 2020, Labelling unlabelled videos from scratch (arXiv 2006.13662);
Patrick et al. 2020, Generalized data transformations (arXiv 2003.04298).
"""

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


SELAVI = ("Kinetics400", "Kinetics-Sound", "VGG-Sound", "AVE")
GDT = ("Kinetics400", "HowTo100M", "IG65M")
BUILDERS = dict.fromkeys((*(f"SeLaVi-{data}" for data in SELAVI), *(f"GDT-{data}" for data in GDT)), build)
