"""Common parts of MMAction2's checkpoints: a "backbone" and a "cls_head" that ends in the layer "fc_cls"."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from .state_dicts import without


class PooledHead(nn.Module):
    """Mean over time and space, then one linear layer: (n, c, t, h, w) -> (n, classes)."""

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
    """Return backbone and head in sequence under MMAction2's names."""
    return nn.Sequential(OrderedDict(backbone=backbone, cls_head=head))


def rename(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's "state_dict" without the constants of its preprocessing."""
    return without(state, "data_preprocessor.")
