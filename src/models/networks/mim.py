"""MIM (memory in memory), trained to predict the next frame: PredRNN with recurrent cells as forget gates.

Wang et al. 2019, Memory In Memory (arXiv 1811.07490): the input of one cell is the difference of the hidden state below
(MIM-N, non-stationary); a second one inside the layer computes the retained part of the temporal memory (MIM-S). Sizes,
names and order of the gates as in OpenSTL's KITTI checkpoint (Tan et al. 2023, arXiv 2306.11249).
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from .built import Built
from .predrnn import SpatioTemporalLSTMCell, updated_memory
from .recurrent import CHANNELS, HIDDEN, State, Traces, conv, gate, hidden_sizes, patches, trace_axes, zero_states

SIZE = (64, 80)  # of the maps; the peepholes have one weight per position, for frames of 128 x 160 px


class PeepholeCell(nn.Module):
    """Convolutional LSTM cell with peephole weights per position: input, h, c (batch, hidden, H, W) -> h, c."""

    def __init__(self, n_in: int, hidden: int, size: tuple[int, int]):
        super().__init__()
        self.ct_weight = nn.Parameter(torch.zeros(2 * hidden, *size))
        self.oc_weight = nn.Parameter(torch.zeros(hidden, *size))
        self.conv_h_concat = gate(n_in, 4 * hidden)
        self.conv_x_concat = gate(n_in, 4 * hidden)

    def peep(self, x: Tensor, h: Tensor, c: Tensor) -> State:
        i_h, g_h, f_h, o_h = self.conv_h_concat(h).chunk(4, dim=1)
        i_x, g_x, f_x, o_x = self.conv_x_concat(x).chunk(4, dim=1)
        i_c, f_c = (c.repeat(1, 2, 1, 1) * self.ct_weight).chunk(2, dim=1)
        c = updated_memory(c, i_h + i_x + i_c, f_h + f_x + f_c, g_h + g_x)
        return torch.sigmoid(o_h + o_x + c * self.oc_weight) * torch.tanh(c), c


class MIMN(PeepholeCell):
    """MIM-N: difference of the hidden state below, h, c -> h, c."""

    def __init__(self, n_in: int, hidden: int, size: tuple[int, int]):
        super().__init__(n_in, hidden, size)
        # in the published weights, not used by any equation
        self.conv_last = conv(2 * hidden, hidden, kernel=1)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> State:
        return self.peep(x, h, c)


class MIMBlock(PeepholeCell):
    """A layer above the first: input, difference, state (h, c, s), m -> the new h, c, s, m; s is MIM-S's memory."""

    def __init__(self, n_in: int, hidden: int, size: tuple[int, int]):
        super().__init__(hidden, hidden, size)
        self.conv_t_cc = gate(n_in, 3 * hidden)
        self.conv_s_cc = gate(hidden, 4 * hidden)
        self.conv_x_cc = gate(hidden, 4 * hidden)
        self.conv_last = conv(2 * hidden, hidden, kernel=1)

    def forward(self, x: Tensor, difference: Tensor, h: Tensor, c: Tensor, s: Tensor, m: Tensor) -> State:
        i_t, g_t, o_t = self.conv_t_cc(h).chunk(3, dim=1)
        i_m, g_m, f_m, o_m = self.conv_s_cc(m).chunk(4, dim=1)
        i_x, g_x, f_x, o_x = self.conv_x_cc(x).chunk(4, dim=1)
        m = updated_memory(m, i_x + i_m, f_x + f_m, g_x + g_m)
        kept, s = self.peep(difference, c, s)
        c = kept + torch.sigmoid(i_x + i_t) * torch.tanh(g_x + g_t)
        o = torch.sigmoid(o_x + o_t + o_m)
        return o * torch.tanh(self.conv_last(torch.cat((c, m), dim=1))), c, s, m


@dataclass(frozen=True)
class Memory:
    """first: (h, c) of the first layer; blocks: (h, c, s) of those above; moved: (h, c) of the MIM-N cells; m."""

    first: State
    blocks: list[State]
    moved: list[State]
    m: Tensor


class MIM(nn.Module):
    """Frames (batch, T, 3, H, W) in [0, 1] -> predicted patches of each next frame, (batch, T, 12, H / 2, W / 2).

    All frames are observed, no prediction is an input. Traces: `memory.i`, the spatiotemporal memory m after layer i;
    `difference.i`, the cell state of MIM-N between layers i and i + 1, 0 at the first frame.
    """

    def __init__(self, hidden: tuple[int, ...] = HIDDEN, size: tuple[int, int] = SIZE):
        super().__init__()
        pairs = list(pairwise(hidden))
        blocks = [MIMBlock(n_in, n, size) for n_in, n in pairs]
        self.stlstm_layer = nn.ModuleList([SpatioTemporalLSTMCell(CHANNELS, hidden[0]), *blocks])
        self.stlstm_layer_diff = nn.ModuleList(MIMN(n_in, n, size) for n_in, n in pairs)
        self.conv_last = conv(hidden[-1], CHANNELS, kernel=1)
        self.memory, self.difference = Traces(len(hidden)), Traces(len(pairs))
        self.prediction = nn.Identity()
        self.hidden = hidden

    def forward(self, frames: Tensor) -> Tensor:
        frames = patches(frames)
        zeros = zero_states(frames, self.hidden)
        state = Memory(
            (zeros[0],) * 2, [(zero,) * 3 for zero in zeros[1:]], [(zero,) * 2 for zero in zeros[1:]], zeros[0]
        )
        memories, differences, predicted = [], [], []
        for t, x in enumerate(frames.unbind(1)):
            state, memory = self._step(x, state, first=t == 0)
            memories.append(memory)
            differences.append([c for _, c in state.moved])
            predicted.append(self.conv_last(state.blocks[-1][0]))
        self.memory.record(memories)
        self.difference.record(differences)
        return self.prediction(torch.stack(predicted, dim=1))

    def _step(self, x: Tensor, old: Memory, first: bool) -> tuple[Memory, list[Tensor]]:
        """Return the memory after one frame, and m after each layer."""
        h, c, m = self.stlstm_layer[0](x, *old.first, old.m)
        lowest, blocks, memory = (h, c), [], [m]
        moved = old.moved if first else self._moved(h - old.first[0], old.moved)
        for block, state, (difference, _) in zip(self.stlstm_layer[1:], old.blocks, moved, strict=True):
            h, c, s, m = block(h, difference, *state, m)
            blocks.append((h, c, s))
            memory.append(m)
        return Memory(lowest, blocks, moved, m), memory

    def _moved(self, difference: Tensor, states: list[State]) -> list[State]:
        """Return the new states of the MIM-N cells; the input of each is the hidden state of the one below."""
        found = []
        for cell, state in zip(self.stlstm_layer_diff, states, strict=True):
            found.append(cell(difference, *state))
            difference = found[-1][0]
        return found


def build(reduced: bool = False) -> Built:
    """Return MIM of four layers; reduced: 4 channels each."""
    hidden = hidden_sizes(reduced)
    return Built(MIM(hidden), trace_axes(memory=len(hidden), difference=len(hidden) - 1))


BUILDERS = {"MIM": build}
