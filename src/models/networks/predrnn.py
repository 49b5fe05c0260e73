"""PredRNN, trained to predict the next frame: LSTM cells with a second memory that passes through all layers.

Wang et al. 2017, PredRNN: Recurrent Neural Networks for Predictive Learning using Spatiotemporal LSTMs (NeurIPS);
sizes, names and order of the gates as in OpenSTL's KITTI checkpoint (Tan et al. 2023, arXiv 2306.11249).
"""

import torch
from torch import Tensor, nn

from .built import Built
from .recurrent import FORGET_BIAS, HIDDEN, CellStack, State, conv, gate, hidden_sizes, patches, trace_axes

Memories = tuple[list[Tensor], list[Tensor], Tensor]


class SpatioTemporalLSTMCell(nn.Module):
    """Input (batch, n_in, H, W) and state (h, c, m), each (batch, hidden, H, W) -> the new state."""

    def __init__(self, n_in: int, hidden: int):
        super().__init__()
        self.conv_x = gate(n_in, 7 * hidden)
        self.conv_h = gate(hidden, 4 * hidden)
        self.conv_m = gate(hidden, 3 * hidden)
        self.conv_o = gate(2 * hidden, hidden)
        self.conv_last = conv(2 * hidden, hidden, kernel=1)

    def forward(self, x: Tensor, h: Tensor, c: Tensor, m: Tensor) -> State:
        i_x, f_x, g_x, i_x2, f_x2, g_x2, o_x = self.conv_x(x).chunk(7, dim=1)
        i_h, f_h, g_h, o_h = self.conv_h(h).chunk(4, dim=1)
        i_m, f_m, g_m = self.conv_m(m).chunk(3, dim=1)
        c = updated_memory(c, i_x + i_h, f_x + f_h, g_x + g_h)
        m = updated_memory(m, i_x2 + i_m, f_x2 + f_m, g_x2 + g_m)
        both = torch.cat((c, m), dim=1)
        o = torch.sigmoid(o_x + o_h + self.conv_o(both))
        return o * torch.tanh(self.conv_last(both)), c, m


def updated_memory(memory: Tensor, i: Tensor, f: Tensor, g: Tensor) -> Tensor:
    """Return the new memory from the input and forget gates (before their sigmoids) and the candidate (before tanh)."""
    return torch.sigmoid(f + FORGET_BIAS) * memory + torch.sigmoid(i) * torch.tanh(g)


class PredRNN(CellStack):
    """Frames (batch, T, 3, H, W) in [0, 1] -> predicted patches of each next frame, (batch, T, 12, H / 2, W / 2).

    All frames are observed, no prediction is an input. Traces `memory.i`: the spatiotemporal memory m after layer i.
    """

    def __init__(self, hidden: tuple[int, ...] = HIDDEN):
        super().__init__(SpatioTemporalLSTMCell, hidden)

    def forward(self, frames: Tensor) -> Tensor:
        return self.carried(frames, None)[0]

    def carried(self, frames: Tensor, state: Memories | None) -> tuple[Tensor, Memories]:
        """Return the predicted patches, and h and c of all layers and m after the last frame; None: zeros before."""
        frames = patches(frames)
        zeros = self.zeros(frames)
        h, c, m = (zeros, zeros, zeros[0]) if state is None else state
        h, c = [*h], [*c]
        memories, predicted = [], []
        for x in frames.unbind(1):
            memories.append([])
            for i, cell in enumerate(self.cell_list):
                h[i], c[i], m = cell(x, h[i], c[i], m)
                x = h[i]
                memories[-1].append(m)
            predicted.append(self.conv_last(x))
        self.memory.record(memories)
        return self.prediction(torch.stack(predicted, dim=1)), (h, c, m)


def build(reduced: bool = False) -> Built:
    """Return PredRNN of four layers; reduced: 4 channels each."""
    hidden = hidden_sizes(reduced)
    return Built(PredRNN(hidden), trace_axes(memory=len(hidden)))


BUILDERS = {"PredRNN": build}
