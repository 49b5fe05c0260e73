"""InternVideo2 (Wang et al. 2024, arXiv:2403.15377): the video encoder of 1 billion parameters.

Patches of single frames, learned positions, a class token, root mean square norms, also of queries and keys, and scaled
branches; the tokens are pooled by attention of their mean. 8 frames of 224 px. The GELU is the approximation by tanh of
the fused layers with which the authors trained it. Names as in their checkpoints.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from .built import Built
from .state_dicts import inner
from .vit_parts import EPSILON, Mlp, Tubelets, attend, grid_reader
from .vjepa import axis_sinusoids

PATCH, SIDE, FRAMES, POOLED, POOL_HEADS = 14, 16, 8, 768, 16
SCALE = 1e-5  # initial value of the scales of the branches


class Scale(nn.Module):
    """Product with one learned value per channel."""

    def __init__(self, dim: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), SCALE))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Attention(nn.Module):
    """Self-attention with normalised queries and keys, without biases of queries, keys and values."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=False), nn.Linear(dim, dim)
        self.q_norm, self.k_norm = nn.RMSNorm(dim, EPSILON), nn.RMSNorm(dim, EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return self.proj(attend(self.q_norm(q), self.k_norm(k), v, self.heads))


class Block(nn.Module):
    """Pre-norm transformer block with scaled branches."""

    def __init__(self, dim: int, heads: int, hidden: int):
        super().__init__()
        self.norm1, self.attn, self.ls1 = nn.RMSNorm(dim, EPSILON), Attention(dim, heads), Scale(dim)
        self.norm2, self.mlp, self.ls2 = nn.RMSNorm(dim, EPSILON), Mlp(dim, hidden), Scale(dim)
        self.mlp.act = nn.GELU(approximate="tanh")

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class CrossAttention(nn.Module):
    """Attention with separate weights and biases of queries, keys and values: -> (n, l, out)."""

    def __init__(self, dim: int, heads: int, out: int):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.q_bias, self.k_bias, self.v_bias = (nn.Parameter(torch.zeros(dim)) for _ in range(3))
        self.proj = nn.Linear(dim, out)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q = linear(q, self.q.weight, self.q_bias)
        k = linear(k, self.k.weight, self.k_bias)
        return self.proj(attend(q, k, linear(v, self.v.weight, self.v_bias), self.heads))


class Pool(nn.Module):
    """Attention of the mean of the tokens to the tokens: (n, l, c) -> (n, out)."""

    def __init__(self, dim: int, heads: int, out: int):
        super().__init__()
        self.norm1_q, self.norm1_k, self.norm1_v = (nn.LayerNorm(dim) for _ in range(3))
        self.cross_attn = CrossAttention(dim, heads, out)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True)
        return self.cross_attn(self.norm1_q(mean), self.norm1_k(x), self.norm1_v(x))[:, 0]


class Classifier(nn.Module):
    """Clips (n, 3, 8, 224, 224) -> (n, classes)."""

    def __init__(self, dim: int, depth: int, heads: int, hidden: int, classes: int):
        super().__init__()
        self.patch_embed = Tubelets(dim, PATCH, 1)
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim))
        self.pos_embed = nn.Parameter(initial_positions(dim))
        self.blocks = nn.ModuleList(Block(dim, heads, hidden) for _ in range(depth))
        self.clip_projector = Pool(dim, POOL_HEADS, POOLED)
        self.fc_norm, self.head = nn.LayerNorm(POOLED), nn.Linear(POOLED, classes)
        nn.init.trunc_normal_(self.cls_token, std=0.02)

    def forward(self, clips: Tensor) -> Tensor:
        patches = self.patch_embed(clips).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.fc_norm(self.clip_projector(x)))


def initial_positions(dim: int) -> Tensor:
    """Return sines and cosines of time, column and row in 2, 3 and 3 eighths of the channels; 0 for the class token."""
    axes = torch.meshgrid(torch.arange(FRAMES), torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    time, row, column = (axis.flatten() for axis in axes)
    space, rest = dim // 8 * 3, dim // 4
    table = torch.cat([axis_sinusoids(time, rest), axis_sinusoids(column, space), axis_sinusoids(row, space)], dim=1)
    return torch.cat([torch.zeros(1, dim), table])[None]


def rename(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the network of a checkpoint {"module": ...} or {"model": ...}, or of a bare one."""
    return inner(state, "module", "model")


def build(classes: int, reduced: bool = False) -> Built:
    """Return the classifier; reduced: 3 blocks of 64 channels."""
    dim, depth, heads, hidden = (64, 3, 4, 96) if reduced else (1408, 40, 16, 6144)
    blocks = {f"blocks.{i}": "THWC" for i in range(depth)}
    layers = {"patch_embed": "CTHW", **blocks, "clip_projector": "C", "fc_norm": "C", "head": "C"}
    module = Classifier(dim, depth, heads, hidden, classes)
    return Built(module, layers, rename, grid_reader(SIDE, first=1, starts=("blocks.",)))


BUILDERS = {"InternVideo2-1B-Kinetics400": partial(build, 400)}
