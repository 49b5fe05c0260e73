"""V-JEPA (Bardes et al. 2024, arXiv:2404.08471): the target encoder of the joint-embedding predictive architecture.

Tubelets of 2 x 16 x 16 px, fixed positions (sines of time, row and column, a third of the channels each), no class
token; 16 frames of 224 px. Names as in the authors' checkpoints below "module.backbone.".
"""

from collections.abc import Mapping
from functools import partial
from math import ceil
from typing import Any

import torch
from torch import Tensor

from .built import Built
from .state_dicts import unprefixed
from .vit_parts import Block, Encoder, JointAttention, Tubelets, grid_layers, grid_reader, norm

SIDE, STEPS = 14, 8


def axis_sinusoids(positions: Tensor, dim: int) -> Tensor:
    """Return sines, then cosines, of positions (l,) / 10000^(2i / dim) for i < dim / 2: (l, dim)."""
    rate = 10000.0 ** -(torch.arange(dim // 2).double() / (dim / 2))
    angle = positions.double()[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=1).float()


def position_table(steps: int, side: int, dim: int) -> Tensor:
    """Return positions of steps x side x side tokens, (1, steps * side * side, dim): time, row, column channels."""
    each = 2 * ceil(dim / 6)
    axes = torch.meshgrid(torch.arange(steps), torch.arange(side), torch.arange(side), indexing="ij")
    return torch.cat([axis_sinusoids(axis.flatten(), each) for axis in axes], dim=1)[None, :, :dim].contiguous()


def rename(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's "target_encoder" without the prefixes of its wrappers."""
    return unprefixed(unprefixed(state, "module."), "backbone.")


def build(dim: int, depth: int, heads: int, reduced: bool = False) -> Built:
    """Return an encoder of that size; reduced: 3 blocks of 32 channels."""
    dim, depth, heads = (32, 3, 2) if reduced else (dim, depth, heads)
    blocks = [Block(dim, heads, 4 * dim, JointAttention) for _ in range(depth)]
    table = position_table(STEPS, SIDE, dim)
    module = Encoder(Tubelets(dim, 16, 2), table, blocks, norm(dim), published=True)
    return Built(module, grid_layers(depth), rename, grid_reader(SIDE))


LARGE, HUGE = partial(build, 1024, 24, 16), partial(build, 1280, 32, 16)
BUILDERS = {"V-JEPA-L": LARGE, "V-JEPA-H": HUGE, "VJEPA-Temporal": LARGE}
