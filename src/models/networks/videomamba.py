"""VideoMamba (Li et al. 2024, arXiv:2403.06977): bidirectional selective state spaces over the tokens of a clip.

Patches of single frames, one class token before the tokens of all frames, learned positions of place and of time; 8
frames of 224 px. The recurrence of Mamba (Gu & Dao 2023, arXiv:2312.00752) runs here on any device, in chunks. Names as
in the authors' checkpoints.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from .built import Built
from .state_dicts import inner
from .vit_parts import Tubelets, grid_reader

PATCH, SIDE, FRAMES, CLASSES = 16, 14, 8, 400
STATES, KERNEL, EPSILON = 16, 4, 1e-5
SLOWEST, FASTEST = 0.001, 0.1  # initial step sizes
CHUNK = 40  # tokens, near the root of their number: as many steps in a chunk as chunks


def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Return C_t h_t of the recurrence h_t = exp(delta_t A) h_(t-1) + delta_t B_t u_t.

    u, delta: (n, l, d); A: (d, s); B, C: (n, l, s); result: (n, l, d). The steps of a chunk run in all chunks at once,
    from a state of zero; then the state at the end of each chunk is carried into the next.
    """
    length = u.shape[1]
    decay = torch.exp(delta[..., None] * A)
    state = (delta * u)[..., None] * B[:, :, None]
    over = -length % CHUNK
    decay, state = (nn.functional.pad(x, (0, 0, 0, 0, 0, over)).unflatten(1, (-1, CHUNK)) for x in (decay, state))
    for t in range(1, CHUNK):
        state[:, :, t] += decay[:, :, t] * state[:, :, t - 1]
        decay[:, :, t] *= decay[:, :, t - 1]
    for chunk in range(1, state.shape[1]):
        state[:, chunk] += decay[:, chunk] * state[:, chunk - 1, -1:]
    return torch.einsum("nlds,nls->nld", state.flatten(1, 2)[:, :length], C)


class Mixer(nn.Module):
    """Mamba's mixer in both directions of the tokens (n, l, c), with shared projections in and out."""

    def __init__(self, dim: int):
        super().__init__()
        wide, self.rank = 2 * dim, math.ceil(dim / 16)
        self.in_proj, self.out_proj = nn.Linear(dim, 2 * wide, bias=False), nn.Linear(wide, dim, bias=False)
        for end in ("", "_b"):
            setattr(self, f"conv1d{end}", nn.Conv1d(wide, wide, KERNEL, groups=wide, padding=KERNEL - 1))
            setattr(self, f"x_proj{end}", nn.Linear(wide, self.rank + 2 * STATES, bias=False))
            setattr(self, f"dt_proj{end}", self._step_sizes(wide))
            log = torch.arange(1, STATES + 1).float().log().repeat(wide, 1)
            setattr(self, f"A{end}_log", nn.Parameter(log))
            setattr(self, f"D{end}", nn.Parameter(torch.ones(wide)))

    def _step_sizes(self, wide: int) -> nn.Linear:
        """Return the layer of the step sizes, whose biases spread them evenly on a logarithmic scale."""
        layer = nn.Linear(self.rank, wide)
        nn.init.uniform_(layer.weight, -(self.rank**-0.5), self.rank**-0.5)
        size = torch.exp(torch.rand(wide) * math.log(FASTEST / SLOWEST) + math.log(SLOWEST))
        layer.bias.data = size + torch.log(-torch.expm1(-size))
        return layer

    def forward(self, x: Tensor) -> Tensor:
        u, gate = self.in_proj(x).chunk(2, dim=-1)
        backward = self._scan(u.flip(1), gate.flip(1), "_b").flip(1)
        return self.out_proj(self._scan(u, gate, "") + backward)

    def _scan(self, u: Tensor, gate: Tensor, end: str) -> Tensor:
        """Return the gated recurrence over u (n, l, d) in one direction, with the parameters of that direction."""
        part = {name: getattr(self, name + end) for name in ("conv1d", "x_proj", "dt_proj", "D")}
        u = silu(part["conv1d"](u.transpose(1, 2))[..., : u.shape[1]].transpose(1, 2))
        step, B, C = part["x_proj"](u).split([self.rank, STATES, STATES], dim=-1)
        A = -torch.exp(getattr(self, f"A{end}_log").float())
        y = selective_scan(u.float(), softplus(part["dt_proj"](step).float()), A, B.float(), C.float())
        return ((y + u * part["D"]) * silu(gate)).to(u.dtype)


class Block(nn.Module):
    """Pre-norm residual block: x + mixer(norm(x))."""

    def __init__(self, dim: int):
        super().__init__()
        self.mixer, self.norm = Mixer(dim), nn.RMSNorm(dim, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mixer(self.norm(x))


class VideoMamba(nn.Module):
    """Clips (n, 3, 8, 224, 224) -> (n, classes), read from the class token."""

    def __init__(self, dim: int, depth: int):
        super().__init__()
        self.patch_embed = Tubelets(dim, PATCH, 1)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.empty(1, SIDE * SIDE + 1, dim))
        self.temporal_pos_embedding = nn.Parameter(torch.zeros(1, FRAMES, dim))
        self.layers = nn.ModuleList(Block(dim) for _ in range(depth))
        self.norm_f, self.head = nn.RMSNorm(dim, EPSILON), nn.Linear(dim, CLASSES)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, clips: Tensor) -> Tensor:
        patches = self.patch_embed(clips).flatten(3).permute(0, 2, 3, 1)
        patches = patches + self.pos_embed[:, None, 1:] + self.temporal_pos_embedding[:, :, None]
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(patches), -1, -1)
        x = torch.cat([first, patches.flatten(1, 2)], dim=1)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm_f(x)[:, 0])


def rename(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the network of a checkpoint {"model": ...} or {"module": ...}, or of a bare one."""
    return inner(state, "model", "module")


def build(dim: int, depth: int, reduced: bool = False) -> Built:
    """Return a classifier of that size; reduced: 3 blocks of 16 channels."""
    dim, depth = (16, 3) if reduced else (dim, depth)
    layers = {"patch_embed": "CTHW", **{f"layers.{i}": "THWC" for i in range(depth)}, "norm_f": "THWC", "head": "C"}
    reader = grid_reader(SIDE, first=1, starts=("layers.", "norm_f"))
    return Built(VideoMamba(dim, depth), layers, rename, reader)


MIDDLE = partial(build, 576, 32)
BUILDERS = {
    "VideoMamba-Ti": partial(build, 192, 24),
    "VideoMamba-S": partial(build, 384, 24),
    "VideoMamba-M": MIDDLE,
    "VideoMamba-M-masked": MIDDLE,
}
