"""Result of a network builder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


def identity(state: dict) -> dict:
    """Return the state dict unchanged."""
    return state


@dataclass(frozen=True)
class Built:
    """Network with its initial values, its layers, and the names of its published weights.

    layers: {module path: axes of one sample's output, letters T, C, H, W, K without the batch axis}; "" = detected.
    rename: published state dict -> state dict of `module`, which is loaded strictly; it drops the heads that the
    module lacks by name. process_output: (layer, output of its module) -> tensor with the batch axis first.
    """

    module: nn.Module
    layers: Mapping[str, str]
    rename: Callable[[dict], dict] = identity
    process_output: Callable[[str, Any], Tensor] | None = None
