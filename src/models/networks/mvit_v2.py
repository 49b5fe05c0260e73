"""MViTv2-B and -L (Li et al. 2022, arXiv:2112.01526): torchvision's MViT class in sizes for which it has no builder.

B: 24 blocks of 96 to 768 channels, of which 2, 5 and 21 halve the grid and double channels and heads; 32 frames of
224 px. L: 48 blocks of 144 to 1152 channels, halved by 2, 8 and 44; 40 frames of 312 px. Reads the checkpoints of
PySlowFast and their conversions by MMAction2. The relative places of keys are rounded as in PySlowFast: torchvision's
order of operations rounds others where the grid of the keys does not divide that of the queries, as at 312 px.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.models.video.mvit import MSBlockConfig, MultiscaleAttention, MViT

from .built import Built
from .state_dicts import inner, reprefixed

STRIDE = (2, 4, 4)
PARTS = {
    "attn.pool_q.": "attn.pool_q.pool.",
    "attn.pool_k.": "attn.pool_k.pool.",
    "attn.pool_v.": "attn.pool_v.pool.",
    "attn.norm_q.": "attn.pool_q.norm_act.0.",
    "attn.norm_k.": "attn.pool_k.norm_act.0.",
    "attn.norm_v.": "attn.pool_v.norm_act.0.",
    "attn.proj.": "attn.project.0.",
    "mlp.fc1.": "mlp.0.",
    "mlp.fc2.": "mlp.3.",
    "proj.": "project.",
}
ENDS = {
    "patch_embed.proj.": "conv_proj.",
    "patch_embed.projection.": "conv_proj.",
    "norm3.": "norm.",
    "head.projection.": "head.1.",
    "cls_head.fc_cls.": "head.1.",
}


@dataclass(frozen=True)
class Size:
    """Blocks, channels and heads of the first block, blocks that halve the grid, and input: px and frames."""

    depth: int
    width: int
    heads: int
    halving: tuple[int, ...]
    side: int
    frames: int


BASE, LARGE = Size(24, 96, 1, (2, 5, 21), 224, 32), Size(48, 144, 2, (2, 8, 44), 312, 40)


def settings(depth: int, width: int, halving: tuple[int, ...], heads: int = 1) -> list[MSBlockConfig]:
    """Return the blocks; keys and values are pooled to the same grid in all blocks."""
    blocks, channels, pooled = [], width, 8
    for i in range(depth):
        stride = 2 if i in halving else 1
        grown, heads, pooled = channels * stride, heads * stride, max(1, pooled // stride)
        strides = [1, stride, stride], [1, pooled, pooled]
        blocks.append(MSBlockConfig(heads, channels, grown, [3, 3, 3], [3, 3, 3], *strides))
        channels = grown
    return blocks


class Attention(nn.Module):
    """Attention with the parts of torchvision's, tokens (n, 1 + t * h * w, c) and (t, h, w) -> the same, pooled."""

    def __init__(self, parts: MultiscaleAttention):
        super().__init__()
        self.heads, self.qkv, self.project = parts.num_heads, parts.qkv, parts.project
        self.pool_q, self.pool_k, self.pool_v = parts.pool_q, parts.pool_k, parts.pool_v
        self.rel_pos_t, self.rel_pos_h, self.rel_pos_w = parts.rel_pos_t, parts.rel_pos_h, parts.rel_pos_w

    def forward(self, x: Tensor, grid: tuple[int, int, int]) -> tuple[Tensor, tuple[int, int, int]]:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        (q, of_q), (k, of_k), (v, _) = self.pool_q(q, grid), self.pool_k(k, grid), self.pool_v(v, grid)
        attention = q.shape[-1] ** -0.5 * q @ k.mT
        places = q[:, :, 1:].unflatten(2, of_q)
        terms = (
            torch.einsum("nathwc,tkc->nathwk", places, rows(self.rel_pos_t, of_q[0], of_k[0]))[..., None, None],
            torch.einsum("nathwc,hkc->nathwk", places, rows(self.rel_pos_h, of_q[1], of_k[1]))[..., None, :, None],
            torch.einsum("nathwc,wkc->nathwk", places, rows(self.rel_pos_w, of_q[2], of_k[2]))[..., None, None, :],
        )
        attention[:, :, 1:, 1:] += sum(terms).flatten(5).flatten(2, 4)
        found = attention.softmax(-1) @ v
        found[:, :, 1:] += q[:, :, 1:]
        return self.project(found.transpose(1, 2).flatten(2)), of_q


def rows(table: Tensor, n_queries: int, n_keys: int) -> Tensor:
    """Return the rows of a table of relative places along one axis, (n_queries, n_keys, c)."""
    longer = max(n_queries, n_keys)
    if len(table) != 2 * longer - 1:
        table = interpolate(table.T[None], size=2 * longer - 1, mode="linear")[0].T
    queries, keys = (torch.arange(n)[:, None] * max(longer / n, 1.0) for n in (n_queries, n_keys))
    return table[(queries - keys.T + (n_keys - 1) * (longer / n_keys)).long()]


def rename(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state dict of PySlowFast ("model_state") or MMAction2 ("state_dict") under torchvision's names."""
    state = {name.removeprefix("backbone."): value for name, value in inner(state, "model_state", "state_dict").items()}
    renamed = {}
    for name, value in reprefixed(state, ENDS).items():
        if name == "cls_token":
            renamed["pos_encoding.class_token"] = value.flatten()
        elif name.startswith("blocks."):
            _, index, part = name.split(".", 2)
            renamed[f"blocks.{index}.{next(iter(reprefixed({part: value}, PARTS)))}"] = value
        else:
            renamed[name] = value
    return renamed


def read(layer: str, output: Any) -> Tensor:
    """Return a block's output, tokens (n, 1 + t * h * w, c) and (t, h, w), as (n, t, h, w, c) without class token."""
    if not layer.startswith("blocks."):
        return output
    tokens, grid = output
    return tokens[:, 1:].unflatten(1, grid)


def build(size: Size, classes: int, reduced: bool = False) -> Built:
    """Return a network of that size; reduced: 4 blocks from 16 channels on, halved twice, patches 8 px apart."""
    stride = STRIDE
    if reduced:
        size, stride = replace(size, depth=4, width=16, heads=1, halving=(1, 3)), (8, 8, 8)
    module = MViT(
        spatial_size=(size.side, size.side),
        temporal_size=size.frames,
        block_setting=settings(size.depth, size.width, size.halving, size.heads),
        residual_pool=True,
        residual_with_cls_embed=False,
        rel_pos_embed=True,
        proj_after_attn=True,
        num_classes=classes,
        patch_embed_stride=stride,
    )
    for block in module.blocks:
        block.attn = Attention(block.attn)
    blocks = {f"blocks.{i}": "THWC" for i in range(size.depth)}
    return Built(module, {"conv_proj": "CTHW", **blocks, "head": "C"}, rename, read)


BUILDERS = {
    "MViT-V2-B-Kinetics400": partial(build, BASE, 400),
    "MViT-V2-B-smthsmthv2": partial(build, BASE, 174),
    "MViT-V2-L-Kinetics400": partial(build, LARGE, 400),
    "MViT-V2-L-smthsmthv2": partial(build, LARGE, 174),
}
