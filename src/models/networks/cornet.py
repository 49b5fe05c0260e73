"""CORnet-S: four areas, three of them recurrent, with separate normalisations for each time step.

Kubilius et al. 2019, Brain-like object recognition with high-performing shallow recurrent ANNs (arXiv 1909.06161).
"""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn.functional import conv2d

from .built import Built
from .state_dicts import unwrapped

WIDTHS, STEPS = (64, 128, 256, 512), (2, 4, 2)
BOTTLENECK = 4
CLASSES = 1000
LAYERS = dict.fromkeys(("V1", "V2", "V4", "IT", "decoder.avgpool"), "CHW")


class Area(nn.Module):
    """Bottleneck that is applied `steps` times to its output, the first time with a stride of 2."""

    def __init__(self, n_in: int, n_out: int, steps: int):
        super().__init__()
        inside = BOTTLENECK * n_out
        self.steps = steps
        self.conv_input = nn.Conv2d(n_in, n_out, 1, bias=False)
        self.skip = nn.Conv2d(n_out, n_out, 1, stride=2, bias=False)
        self.norm_skip = nn.BatchNorm2d(n_out)
        self.conv1 = nn.Conv2d(n_out, inside, 1, bias=False)
        self.conv2 = nn.Conv2d(inside, inside, 3, stride=2, padding=1, bias=False)
        self.conv3 = nn.Conv2d(inside, n_out, 1, bias=False)
        for step in range(steps):
            self.add_module(f"norm1_{step}", nn.BatchNorm2d(inside))
            self.add_module(f"norm2_{step}", nn.BatchNorm2d(inside))
            self.add_module(f"norm3_{step}", nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_input(x)
        for step in range(self.steps):
            before = x if step else self.norm_skip(self.skip(x))
            norm1, norm2, norm3 = (self.get_submodule(f"norm{i}_{step}") for i in (1, 2, 3))
            x = norm1(self.conv1(x)).relu()
            x = norm2(conv2d(x, self.conv2.weight, stride=1 if step else 2, padding=1)).relu()
            x = (norm3(self.conv3(x)) + before).relu()
        return x


def network(widths: tuple[int, ...], classes: int) -> nn.Sequential:
    """Return the network: images (batch, 3, H, W) -> (batch, classes)."""
    first = widths[0]
    v1 = OrderedDict(
        conv1=nn.Conv2d(3, first, 7, stride=2, padding=3, bias=False),
        norm1=nn.BatchNorm2d(first),
        nonlin1=nn.ReLU(),
        pool=nn.MaxPool2d(3, stride=2, padding=1),
        conv2=nn.Conv2d(first, first, 3, padding=1, bias=False),
        norm2=nn.BatchNorm2d(first),
        nonlin2=nn.ReLU(),
    )
    decoder = OrderedDict(avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), linear=nn.Linear(widths[-1], classes))
    areas = zip(("V2", "V4", "IT"), widths[:-1], widths[1:], STEPS, strict=True)
    return nn.Sequential(
        OrderedDict(
            V1=nn.Sequential(v1),
            **{name: Area(n_in, n_out, steps) for name, n_in, n_out, steps in areas},
            decoder=nn.Sequential(decoder),
        )
    )


def build(reduced: bool = False) -> Built:
    """Return CORnet-S; reduced: an eighth of the widths."""
    widths = tuple(width // 8 for width in WIDTHS) if reduced else WIDTHS
    return Built(network(widths, 10 if reduced else CLASSES), LAYERS, unwrapped)


BUILDERS = {"CORnet-S": build}
