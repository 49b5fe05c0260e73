"""What the recurrent networks of forward prediction share: patches, gates, and states gathered over time."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

PATCH = 2
HIDDEN = (128, 128, 128, 128)
CHANNELS = 3 * PATCH**2
KERNEL = 5
FORGET_BIAS = 1.0

State = tuple[Tensor, ...]


def patches(frames: Tensor, size: int = PATCH) -> Tensor:
    """Frames (batch, T, C, H, W) -> (batch, T, size * size * C, H / size, W / size), rows of a patch first, C last."""
    cells = frames.unflatten(-1, (-1, size)).unflatten(-3, (-1, size))
    return cells.permute(0, 1, 4, 6, 2, 3, 5).flatten(2, 4)


def conv(n_in: int, n_out: int, kernel: int = KERNEL) -> nn.Conv2d:
    """A convolution that keeps the size; these networks have no biases."""
    return nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, bias=False)


def gate(n_in: int, n_out: int) -> nn.Sequential:
    """A convolution in a Sequential of one, as the published names have it (a layer norm may follow there)."""
    return nn.Sequential(conv(n_in, n_out))


class Traces(nn.ModuleList):
    """Silent modules, one per layer, that are given each layer's states of all time steps at the end of a pass.

    A cell runs once per frame, so its own output has no time axis; these have: (batch, T, C, H, W).
    """

    def __init__(self, n_layers: int):
        super().__init__(nn.Identity() for _ in range(n_layers))

    def tell(self, steps: Sequence[Sequence[Tensor]]) -> None:
        """steps[t][layer]: the state (batch, C, H, W) of that layer after frame t."""
        for trace, states in zip(self, zip(*steps, strict=True), strict=True):
            trace(torch.stack(states, dim=1))


def trace_axes(**counts: int) -> dict[str, str]:
    """{layer: axes} of traces with these names and lengths, and of the predicted frames behind them."""
    named = {f"{name}.{i}": "TCHW" for name, count in counts.items() for i in range(count)}
    return {**named, "prediction": "TCHW"}
