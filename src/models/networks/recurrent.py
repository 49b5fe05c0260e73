"""Parts of the recurrent networks of forward prediction: patches, gates, cell stacks, and states over time."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

PATCH = 2
HIDDEN = (128, 128, 128, 128)
CHANNELS = 3 * PATCH**2
KERNEL = 5
FORGET_BIAS = 1.0

State = tuple[Tensor, ...]


def patches(frames: Tensor, size: int = PATCH) -> Tensor:
    """Return frames (batch, T, C, H, W) as (batch, T, size * size * C, H / size, W / size), rows first, C last."""
    cells = frames.unflatten(-1, (-1, size)).unflatten(-3, (-1, size))
    return cells.permute(0, 1, 4, 6, 2, 3, 5).flatten(2, 4)


def conv(n_in: int, n_out: int, kernel: int = KERNEL) -> nn.Conv2d:
    """Return a convolution without bias that keeps the size."""
    return nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, bias=False)


def gate(n_in: int, n_out: int) -> nn.Sequential:
    """Return a convolution in a Sequential, as in the published names (other versions add a layer norm)."""
    return nn.Sequential(conv(n_in, n_out))


class Traces(nn.ModuleList):
    """Identity modules, one per layer, whose output is that layer's states of all time steps, (batch, T, C, H, W).

    A cell runs once per frame, so that its output has no time axis.
    """

    def __init__(self, n_layers: int):
        super().__init__(nn.Identity() for _ in range(n_layers))

    def record(self, steps: Sequence[Sequence[Tensor]]) -> None:
        """Run the modules on the states; steps[t][layer]: state (batch, C, H, W) of that layer after frame t."""
        for trace, states in zip(self, zip(*steps, strict=True), strict=True):
            trace(torch.stack(states, dim=1))


class CellStack(nn.Module):
    """Stack of recurrent cells, one per layer, and a convolution from the last one to the predicted patches.

    cell: class of the cells, built from (input channels, hidden channels); hidden: channels of each layer.
    """

    def __init__(self, cell: Callable[[int, int], nn.Module], hidden: tuple[int, ...]):
        super().__init__()
        below = (CHANNELS, *hidden[:-1])
        self.cell_list = nn.ModuleList(cell(n_in, n) for n_in, n in zip(below, hidden, strict=True))
        self.conv_last = conv(hidden[-1], CHANNELS, kernel=1)
        self.memory = Traces(len(hidden))
        self.prediction = nn.Identity()
        self.hidden = hidden

    def zeros(self, patches: Tensor) -> list[Tensor]:
        """Return the initial state of every layer for patches (batch, T, C, H, W)."""
        return zero_states(patches, self.hidden)


def zero_states(patches: Tensor, hidden: tuple[int, ...]) -> list[Tensor]:
    """Return zeros of shape (batch, n, H, W) for each n of `hidden`, for patches (batch, T, C, H, W)."""
    return [patches.new_zeros(len(patches), n, *patches.shape[-2:]) for n in hidden]


def hidden_sizes(reduced: bool) -> tuple[int, ...]:
    """Return the channels of the layers; reduced: 4 each."""
    return (4,) * len(HIDDEN) if reduced else HIDDEN


def trace_axes(**counts: int) -> dict[str, str]:
    """Return {layer: axes} of traces with these names and numbers, and of the predicted frames."""
    named = {f"{name}.{i}": "TCHW" for name, count in counts.items() for i in range(count)}
    return {**named, "prediction": "TCHW"}
