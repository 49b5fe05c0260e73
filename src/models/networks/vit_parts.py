"""Parts of the video transformers: tubelets, attention, blocks, position tables, and readers of tokens as a grid.

Tokens are (n, l, c); blocks are pre-norm (x + attention(norm(x)), then x + mlp(norm(x))), Dosovitskiy et al. 2021.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, linear, scaled_dot_product_attention

EPSILON = 1e-6


def norm(dim: int) -> nn.LayerNorm:
    """Return a layer normalisation with the epsilon of all these networks."""
    return nn.LayerNorm(dim, eps=EPSILON)


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Return softmax attention with scale 1/sqrt(c / heads): q (n, l, c), k and v (n, m, c) -> (n, l, c)."""
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k, v))
    return scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def attend_over(weights: nn.MultiheadAttention, queries: Tensor, tokens: Tensor) -> Tensor:
    """Return attention of queries (n, l, c) to tokens (n, m, c) with the weights of a batch-first torch layer."""
    return weights(queries, tokens, tokens, need_weights=False)[0]


class JointAttention(nn.Module):
    """Self-attention with queries, keys and values from one linear layer, each with its bias."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(attend(*self.qkv(x).chunk(3, dim=-1), self.heads))


class NoKeyBiasAttention(nn.Module):
    """Self-attention with a bias for queries and values and none for keys (Bao et al. 2022, BEiT)."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(dim))
        self.v_bias = nn.Parameter(torch.zeros(dim))
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        return self.proj(attend(*linear(x, self.qkv.weight, bias).chunk(3, dim=-1), self.heads))


class SplitAttention(nn.Module):
    """Self-attention with three linear layers."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.proj = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(attend(self.q(x), self.k(x), self.v(x), self.heads))


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm transformer block; `attention` is built from (dim, heads)."""

    def __init__(self, dim: int, heads: int, hidden: int, attention: Callable[[int, int], nn.Module]):
        super().__init__()
        self.norm1, self.attn = norm(dim), attention(dim, heads)
        self.norm2, self.mlp = norm(dim), Mlp(dim, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class FrameBlock(Block):
    """Transformer block applied to every frame of a clip: (n, t, l, c) -> (n, t, l, c)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class Tubelets(nn.Module):
    """Patches of `frames` x `side` x `side` px without overlap: (n, 3, t, h, w) -> (n, c, t', h', w')."""

    def __init__(self, dim: int, side: int, frames: int):
        super().__init__()
        self.proj = nn.Conv3d(3, dim, (frames, side, side), stride=(frames, side, side))

    def forward(self, clips: Tensor) -> Tensor:
        return self.proj(clips)


class Encoder(nn.Module):
    """Video transformer without class token: tubelets + fixed positions -> blocks -> norm (n, l, c).

    positions: (1, l, c), added to the tokens, in the state dict if `published`; last: the module after the blocks.
    """

    def __init__(self, tubelets: Tubelets, positions: Tensor, blocks: list[Block], last: nn.Module, published=False):
        super().__init__()
        self.patch_embed, self.blocks, self.norm = tubelets, nn.ModuleList(blocks), last
        self.register_buffer("pos_embed", positions, persistent=published)

    def forward(self, clips: Tensor) -> Tensor:
        x = self.patch_embed(clips).flatten(2).transpose(1, 2) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def add_positions(x: Tensor, convolution: nn.Module) -> Tensor:
    """Add a convolution over time and space to tokens (n, t, 1 + h * w, c), except the first of every frame."""
    side = int((x.shape[2] - 1) ** 0.5)
    grid = x[:, :, 1:].unflatten(2, (side, side)).movedim(-1, 1)
    place = convolution(grid).movedim(1, -1).flatten(2, 3)
    return torch.cat([x[:, :, :1], x[:, :, 1:] + place], dim=2)


def sinusoid_table(positions: int, dim: int) -> Tensor:
    """Return sines and cosines of the position along the flattened tokens, interleaved: (1, positions, dim).

    Channel 2i is the sine and 2i + 1 the cosine of position / 10000^(2i / dim) (Vaswani et al. 2017).
    """
    channel = torch.arange(dim)
    rate = 10000.0 ** (2 * (channel // 2).double() / dim)
    angle = torch.arange(positions).double()[:, None] / rate
    return torch.where(channel % 2 == 0, angle.sin(), angle.cos()).float()[None]


def interpolate_time(table: Tensor, old: int, new: int) -> Tensor:
    """Interpolate a table (1, old * l, c) of `old` time steps linearly to `new` time steps: (1, new * l, c)."""
    steps = table[0].unflatten(0, (old, -1)).permute(1, 2, 0)
    return interpolate(steps, size=new, mode="linear").permute(2, 0, 1).flatten(0, 1)[None]


def grid_reader(
    side: int, first: int = 0, starts: tuple[str, ...] = ("blocks.", "norm")
) -> Callable[[str, Any], Tensor]:
    """Return a process_output that reads tokens (n, first + t * side**2, c) of some layers as (n, t, side, side, c).

    first: number of tokens before the grid, which are left out; starts: prefixes of the names of these layers.
    """

    def read(layer: str, output: Any) -> Tensor:
        return output[:, first:].unflatten(1, (-1, side, side)) if layer.startswith(starts) else output

    return read


def grid_layers(depth: int, before: str = "") -> dict[str, str]:
    """Return {layer: axes} of an encoder's patches, blocks and last normalisation, as read by `grid_reader`."""
    blocks = {f"{before}blocks.{i}": "THWC" for i in range(depth)}
    return {f"{before}patch_embed": "CTHW", **blocks, f"{before}norm": "THWC"}
