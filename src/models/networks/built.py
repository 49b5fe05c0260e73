"""What a builder of src/models/networks gives back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


def identity(state: dict) -> dict:
    """The state dict as it is."""
    return state


@dataclass(frozen=True)
class Built:
    """A network with its architecture's initial values, and how to read it.

    layers: {module path: axes of one sample's output, letters T, C, H, W, K without the batch axis}; "" = found by
    probing. rename: a published state dict -> one of `module`, which loads strictly; heads that the module lacks are
    named there one by one. process_output: (layer, output of its module) -> tensor with the batch axis first.
    """

    module: nn.Module
    layers: Mapping[str, str]
    rename: Callable[[dict], dict] = identity
    process_output: Callable[[str, Any], Tensor] | None = None
