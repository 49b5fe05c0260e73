"""ConvLSTM, trained to predict the next frame: a stack of LSTM cells with convolutions in place of products.

Shi et al. 2015, Convolutional LSTM Network (arXiv 1506.04214), without peepholes; sizes, names and order of the gates
as in OpenSTL's KITTI checkpoint (Tan et al. 2023, arXiv 2306.11249).
"""

import torch
from torch import Tensor, nn

from .built import Built
from .recurrent import HIDDEN, CellStack, State, conv, gate, hidden_sizes, patches, trace_axes


class ConvLSTMCell(nn.Module):
    """Input (batch, n_in, H, W) and state (h, c), each (batch, hidden, H, W) -> the new state."""

    def __init__(self, n_in: int, hidden: int):
        super().__init__()
        self.conv_x = gate(n_in, 4 * hidden)
        self.conv_h = gate(hidden, 4 * hidden)
        # in the published weights, not used by any equation
        self.conv_o = gate(2 * hidden, hidden)
        self.conv_last = conv(2 * hidden, hidden, kernel=1)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> State:
        i, f, g, o = (self.conv_x(x) + self.conv_h(h)).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class ConvLSTM(CellStack):
    """Frames (batch, T, 3, H, W) in [0, 1] -> predicted patches of each next frame, (batch, T, 12, H / 2, W / 2).

    All frames are observed, no prediction is an input. Traces `memory.i`: the cell state c of layer i.
    """

    def __init__(self, hidden: tuple[int, ...] = HIDDEN):
        super().__init__(ConvLSTMCell, hidden)

    def forward(self, frames: Tensor) -> Tensor:
        return self.carried(frames, None)[0]

    def carried(self, frames: Tensor, states: list[State] | None) -> tuple[Tensor, list[State]]:
        """Return the predicted patches and the states (h, c) of all layers after the last frame; None: zeros before."""
        frames = patches(frames)
        states = [(zero,) * 2 for zero in self.zeros(frames)] if states is None else [*states]
        memories, predicted = [], []
        for x in frames.unbind(1):
            for i, cell in enumerate(self.cell_list):
                states[i] = cell(x, *states[i])
                x = states[i][0]
            memories.append([c for _, c in states])
            predicted.append(self.conv_last(x))
        self.memory.record(memories)
        return self.prediction(torch.stack(predicted, dim=1)), states


def build(reduced: bool = False) -> Built:
    """Return ConvLSTM of four layers; reduced: 4 channels each."""
    hidden = hidden_sizes(reduced)
    return Built(ConvLSTM(hidden), trace_axes(memory=len(hidden)))


BUILDERS = {"ConvLSTM": build}
