"""AlexNet trained on stylised images: torchvision's architecture under the names of its checkpoint.

Krizhevsky 2014, One weird trick (arXiv 1404.5997); Geirhos et al. 2019, ImageNet-trained CNNs are biased towards
texture (arXiv 1811.12231).
"""

from torch import nn
from torchvision.models import AlexNet

from .built import Built

CONVOLUTIONAL, DENSE = (2, 5, 7, 9, 12), (2, 5)
LAYERS = {
    **dict.fromkeys((f"features.{i}" for i in CONVOLUTIONAL), "CHW"),
    **dict.fromkeys((f"classifier.{i}" for i in DENSE), "C"),
}
WIDTHS, REDUCED = (4096, 4096, 1000), (16, 16, 10)


def rename(state: dict) -> dict:
    """Return the state dict without the prefix of the DataParallel in which the features were trained."""
    return {name.replace("features.module.", "features.", 1): value for name, value in state.items()}


def build(reduced: bool = False) -> Built:
    """Return AlexNet; reduced: narrow dense layers."""
    network = AlexNet(num_classes=WIDTHS[-1] if not reduced else REDUCED[-1])
    if reduced:
        widths = (256 * 6 * 6, *REDUCED)
        for place, n_in, n_out in zip((1, 4, 6), widths[:-1], widths[1:], strict=True):
            network.classifier[place] = nn.Linear(n_in, n_out)
    return Built(network, LAYERS, rename)


BUILDERS = {"AlexNet_SIN": build}
