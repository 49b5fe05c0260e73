"""Hiera for videos (Ryali et al. 2023): a vision transformer whose queries are pooled between four stages.

Tokens stay a grid (n, t, h, w, c). In the first two stages attention is within windows, squares of 8 x 8 tokens of the
first stage in one time step, which shrink with the pooling; in the later stages it is over all tokens. The first block
of a stage attends in the windows of the stage before it, to keys that are not pooled yet.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from .built import Built
from .vit_parts import Mlp, norm

WINDOW = 8
LOCAL_STAGES = 2


@dataclass(frozen=True)
class Shape:
    """Sizes of a network; grid: tokens along time, height and width; kernel, stride, padding: of the patches."""

    width: int
    heads: int
    depths: tuple[int, ...]
    grid: tuple[int, int, int] = (8, 56, 56)
    kernel: tuple[int, int, int] = (3, 7, 7)
    stride: tuple[int, int, int] = (2, 4, 4)
    padding: tuple[int, int, int] = (1, 3, 3)
    classes: int = 400


def windows(x: Tensor, side: int) -> Tensor:
    """Return tokens (n, t, h, w, c) as (n, windows, tokens per window, c): squares of each time step; side 0: all."""
    n, t, h, w, c = x.shape
    if side == 0:
        return x.reshape(n, 1, t * h * w, c)
    x = x.reshape(n, t, h // side, side, w // side, side, c)
    return x.permute(0, 1, 2, 4, 3, 5, 6).reshape(n, -1, side * side, c)


def unwindowed(x: Tensor, side: int, size: tuple[int, int, int]) -> Tensor:
    """Return the grid of that size from its windows, the inverse of `windows`."""
    (t, h, w), (n, c) = size, (len(x), x.shape[-1])
    if side == 0:
        return x.reshape(n, t, h, w, c)
    x = x.reshape(n, t, h // side, w // side, side, side, c)
    return x.permute(0, 1, 2, 4, 3, 5, 6).reshape(n, t, h, w, c)


def pooled(x: Tensor) -> Tensor:
    """Return the maximum of each 2 x 2 tokens of a time step: (n, t, h, w, c) -> (n, t, h / 2, w / 2, c)."""
    n, t, h, w, c = x.shape
    return x.reshape(n, t, h // 2, 2, w // 2, 2, c).amax(dim=(3, 5))


class Attention(nn.Module):
    """Attention within squares of `side` tokens (before pooling), 0 = over all."""

    def __init__(self, dim: int, out: int, heads: int, side: int, pools: bool):
        super().__init__()
        self.heads, self.side, self.pools = heads, side, pools
        self.qkv, self.proj = nn.Linear(dim, 3 * out), nn.Linear(out, out)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, side = (pooled(q), self.side // 2) if self.pools else (q, self.side)
        size = tuple(q.shape[1:4])
        parts = (self._split(windows(part, s)) for part, s in ((q, side), (k, self.side), (v, self.side)))
        mixed = scaled_dot_product_attention(*parts).transpose(2, 3).flatten(3)
        return self.proj(unwindowed(mixed, side, size))

    def _split(self, x: Tensor) -> Tensor:
        """Return (n, windows, tokens, c) as (n, windows, heads, tokens, c / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(2, 3)


class Block(nn.Module):
    """Attention and MLP with residuals; the first block of a stage widens and pools."""

    def __init__(self, dim: int, out: int, heads: int, side: int):
        super().__init__()
        self.norm1, self.norm2 = norm(dim), norm(out)
        self.attn = Attention(dim, out, heads, side, pools=dim != out)
        self.mlp = Mlp(out, 4 * out)
        if dim != out:
            self.proj = nn.Linear(dim, out)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        kept = pooled(self.proj(normed)) if self.attn.pools else x
        x = kept + self.attn(normed)
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """Overlapping patches: (n, 3, t, h, w) -> tokens (n, t, h, w, c)."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.proj = nn.Conv3d(3, shape.width, shape.kernel, shape.stride, shape.padding)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).movedim(1, -1)


class Head(nn.Module):
    """Read-out before its softmax."""

    def __init__(self, dim: int, classes: int):
        super().__init__()
        self.projection = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(x)


class Hiera(nn.Module):
    """Whole network; positions in space and in time are learnt separately."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.grid = shape.grid
        self.patch_embed = PatchEmbed(shape)
        self.pos_embed_spatial = nn.Parameter(torch.zeros(1, shape.grid[1] * shape.grid[2], shape.width))
        self.pos_embed_temporal = nn.Parameter(torch.zeros(1, shape.grid[0], shape.width))
        self.blocks = nn.ModuleList(_blocks(shape))
        dim = shape.width * 2 ** (len(shape.depths) - 1)
        self.norm, self.head = norm(dim), Head(dim, shape.classes)

    def forward(self, clips: Tensor) -> Tensor:
        space = self.pos_embed_spatial.unflatten(1, self.grid[1:])[:, None]
        x = self.patch_embed(clips) + space + self.pos_embed_temporal[:, :, None, None]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x.mean(dim=(1, 2, 3))))


def _blocks(shape: Shape) -> list[Block]:
    """Return the blocks of all stages."""
    blocks, dim, side = [], shape.width, WINDOW
    for stage, depth in enumerate(shape.depths):
        out, heads = shape.width * 2**stage, shape.heads * 2**stage
        for i in range(depth):
            attends_as = stage - 1 if i == 0 and stage else stage
            blocks.append(Block(dim, out, heads, side if attends_as < LOCAL_STAGES else 0))
            side, dim = (side // 2 if dim != out else side), out
    return blocks


def _built(shape: Shape, small: Shape, reduced: bool = False) -> Built:
    """Return the network of that shape; reduced: of the shape `small`."""
    module = Hiera(small if reduced else shape)
    layers = ("patch_embed", *(f"blocks.{i}" for i in range(len(module.blocks))))
    return Built(module, {**dict.fromkeys(layers, "THWC"), "head": "C"})


SMALL = Shape(8, 1, (1, 1, 2, 1))
BUILDERS: dict[str, Callable[..., Built]] = {
    "Hiera-Video-B": partial(_built, Shape(96, 1, (2, 3, 16, 3)), SMALL),
    "Hiera-Video-L": partial(_built, Shape(144, 2, (2, 6, 36, 4)), SMALL),
}
