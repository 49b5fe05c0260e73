"""Masked autoencoders over space and time (Feichtenhofer, Fan, Li & He 2022, arXiv:2205.09113): the encoder, unmasked.

Tubelets of 2 x 16 x 16 px, a class token, learnt positions in space and in time that are added; 16 frames of 224 px.
Names as in the authors' checkpoints, whose decoder is left out.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .built import Built
from .state_dicts import inner, without
from .vit_parts import Block, SplitAttention, Tubelets, grid_layers, grid_reader, norm

SIDE, STEPS = 14, 8
UNUSED = ("decoder_", "mask_token", "pred_head.", "head.")


class MaskedAutoencoderST(nn.Module):
    """Clips (n, 3, 16, 224, 224) -> normalised tokens (n, 1 + 8 * 14 * 14, dim), the class token first."""

    def __init__(self, dim: int, depth: int, heads: int):
        super().__init__()
        self.patch_embed = Tubelets(dim, 16, 2)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed_spatial = nn.Parameter(torch.zeros(1, SIDE * SIDE, dim))
        self.pos_embed_temporal = nn.Parameter(torch.zeros(1, STEPS, dim))
        self.pos_embed_class = nn.Parameter(torch.zeros(1, 1, dim))
        self.blocks = nn.ModuleList([Block(dim, heads, 4 * dim, SplitAttention) for _ in range(depth)])
        self.norm = norm(dim)
        for parameter in (self.cls_token, self.pos_embed_spatial, self.pos_embed_temporal, self.pos_embed_class):
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, clips: Tensor) -> Tensor:
        tokens = self.patch_embed(clips).flatten(2).transpose(1, 2)
        place = (self.pos_embed_temporal[:, :, None] + self.pos_embed_spatial[:, None]).flatten(1, 2)
        first = (self.cls_token + self.pos_embed_class).expand(len(tokens), -1, -1)
        x = torch.cat([first, tokens + place], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def rename(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the encoder of a checkpoint {"model_state": ...} or {"model": ...}."""
    return without(inner(state, "model_state", "model"), *UNUSED)


def build(dim: int, depth: int, heads: int, reduced: bool = False) -> Built:
    """Return an encoder of that size; reduced: 3 blocks of 32 channels."""
    dim, depth, heads = (32, 3, 2) if reduced else (dim, depth, heads)
    module = MaskedAutoencoderST(dim, depth, heads)
    return Built(module, grid_layers(depth), rename, grid_reader(SIDE, first=1))


BUILDERS = {"MAE-ST-L": partial(build, 1024, 24, 16), "MAE-ST-G": partial(build, 1280, 32, 16)}
