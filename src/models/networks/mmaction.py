"""What MMAction2's checkpoints have in common: a "backbone" below a "cls_head" that ends in the layer "fc_cls"."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from .published import without


class PooledHead(nn.Module):
    """The mean over time and space, then one linear layer: (n, c, t, h, w) -> (n, classes)."""

    def __init__(self, dim: int, classes: int = 400):
        super().__init__()
        self.fc_cls = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc_cls(x.mean((2, 3, 4)))


class VectorHead(nn.Module):
    """One linear layer: (n, c) -> (n, classes)."""

    def __init__(self, dim: int, classes: int = 400):
        super().__init__()
        self.fc_cls = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc_cls(x)


def recognizer(backbone: nn.Module, head: nn.Module) -> nn.Sequential:
    """The two behind each other under MMAction2's names."""
    return nn.Sequential(OrderedDict(backbone=backbone, cls_head=head))


def rename(state: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's "state_dict" without the constants of its own preprocessing."""
    return without(state, "data_preprocessor.")
