"""UniFormerV2 (Li et al. 2022, arXiv:2211.09552): CLIP's image transformer with blocks that aggregate over time.

The frames of a clip go through the image blocks one by one; after each of the last four, one query per clip attends to
all tokens of all frames. These sizes have no temporal convolutions inside the image blocks. Names as in MMAction2's
checkpoints (CLIP, Kinetics-710, then Kinetics-400): B/16 for 8 frames, L/14 for 32 frames of 224 px.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .built import Built
from .mmaction import VectorHead, recognizer, rename
from .vit_parts import add_positions, attend_over

SIZE, AGGREGATORS = 224, 4


class QuickGELU(nn.Module):
    """CLIP's approximation of the GELU: x * sigmoid(1.702 x)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


def mlp(dim: int) -> nn.Sequential:
    """Return CLIP's multilayer perceptron under its published names."""
    return nn.Sequential(OrderedDict(c_fc=nn.Linear(dim, 4 * dim), gelu=QuickGELU(), c_proj=nn.Linear(4 * dim, dim)))


class FrameBlock(nn.Module):
    """Self-attention within every frame: (n, t, l, c) -> (n, t, l, c)."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.ln_1, self.mlp, self.ln_2 = nn.LayerNorm(dim), mlp(dim), nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.ln_1(x).flatten(0, 1)
        x = x + attend_over(self.attn, tokens, tokens).unflatten(0, x.shape[:2])
        return x + self.mlp(self.ln_2(x))


class Aggregator(nn.Module):
    """Cross-attention of a query (n, 1, c) to tokens (n, l, c), with residuals."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.ln_1, self.mlp, self.ln_2, self.ln_3 = nn.LayerNorm(dim), mlp(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        query = query + attend_over(self.attn, self.ln_1(query), self.ln_3(tokens))
        return query + self.mlp(self.ln_2(query))


class Transformer(nn.Module):
    """Tokens (n, t, 1 + h * w, c) of frames, class token first -> one vector per clip (n, c)."""

    def __init__(self, dim: int, depth: int, heads: int, aggregators: int):
        super().__init__()
        self.resblocks = nn.ModuleList(FrameBlock(dim, heads) for _ in range(depth))
        self.temporal_cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.dpe = nn.ModuleList(nn.Conv3d(dim, dim, 3, padding=1, groups=dim) for _ in range(aggregators))
        self.dec = nn.ModuleList(Aggregator(dim, heads) for _ in range(aggregators))
        self.norm, self.balance = nn.LayerNorm(dim), nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        query = self.temporal_cls_token.expand(len(x), -1, -1)
        start = len(self.resblocks) - len(self.dec)
        for i, block in enumerate(self.resblocks):
            x = block(x)
            if i >= start:
                query = self.dec[i - start](query, add_positions(x, self.dpe[i - start]).flatten(1, 2))
        share = self.balance.sigmoid()
        return self.norm((1 - share) * query[:, 0] + share * x[:, :, 0].mean(1))


class UniFormerV2(nn.Module):
    """Clips (n, 3, t, 224, 224) -> one vector per clip (n, dim)."""

    def __init__(self, patch: int, dim: int, depth: int, heads: int, aggregators: int):
        super().__init__()
        self.conv1 = nn.Conv3d(3, dim, (1, patch, patch), (1, patch, patch), bias=False)
        self.class_embedding = nn.Parameter(dim**-0.5 * torch.randn(dim))
        self.positional_embedding = nn.Parameter(dim**-0.5 * torch.randn((SIZE // patch) ** 2 + 1, dim))
        self.ln_pre = nn.LayerNorm(dim)
        self.transformer = Transformer(dim, depth, heads, aggregators)

    def forward(self, clips: Tensor) -> Tensor:
        patches = self.conv1(clips).movedim(1, -1).flatten(2, 3)
        first = self.class_embedding.expand(*patches.shape[:2], 1, -1)
        return self.transformer(self.ln_pre(torch.cat([first, patches], dim=2) + self.positional_embedding))


def reader(side: int) -> Callable[[str, Any], Tensor]:
    """Return the process_output that reads tokens of frame blocks, without class token, as (n, t, side, side, c)."""

    def read(layer: str, output: Any) -> Tensor:
        return output[:, :, 1:].unflatten(2, (side, side)) if ".resblocks." in layer else output

    return read


def build(patch: int, dim: int, depth: int, heads: int, reduced: bool = False) -> Built:
    """Return UniFormerV2 of that size; reduced: 4 blocks of 32 channels, aggregation after the last two."""
    dim, depth, heads, aggregators = (32, 4, 2, 2) if reduced else (dim, depth, heads, AGGREGATORS)
    module = recognizer(UniFormerV2(patch, dim, depth, heads, aggregators), VectorHead(dim))
    blocks = {f"backbone.transformer.resblocks.{i}": "THWC" for i in range(depth)}
    layers = {"backbone.conv1": "CTHW", **blocks, "backbone": "C", "cls_head": "C"}
    return Built(module, layers, rename, reader(SIZE // patch))


BUILDERS = {"UniFormer-V2-B": partial(build, 16, 768, 12, 12), "UniFormer-V2-L": partial(build, 14, 1024, 24, 16)}
