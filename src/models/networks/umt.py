"""UMT (Li et al. 2023, arXiv:2303.16058): video transformers taught by CLIP on the tokens that a mask leaves.

Patches of single frames, fixed positions (sines over the flattened tokens), no class token; 8 frames of 224 px. Names
as in the authors' checkpoints, the pre-trained encoder's below "encoder." beside the projections to CLIP's features,
which are left out.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from .built import Built
from .state_dicts import inner, unprefixed, without
from .videomae_v2 import Classifier
from .vit_parts import Block, Encoder, NoKeyBiasAttention, Tubelets, grid_layers, grid_reader, norm, sinusoid_table

PATCH, SIDE, FRAMES, CLASSES = 16, 14, 8, 400


def rename(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the encoder of a checkpoint {"model": ...} or {"module": ...}."""
    return unprefixed(without(inner(state, "model", "module"), "clip_decoder."), "encoder.")


def build(dim: int, depth: int, heads: int, tuned: bool = False, reduced: bool = False) -> Built:
    """Return a pre-trained encoder of that size, or a fine-tuned classifier; reduced: 3 blocks of 32 channels."""
    dim, depth, heads = (32, 3, 2) if reduced else (dim, depth, heads)
    blocks = [Block(dim, heads, 4 * dim, NoKeyBiasAttention) for _ in range(depth)]
    parts, layers = (Tubelets(dim, PATCH, 1), sinusoid_table(FRAMES * SIDE * SIDE, dim), blocks), grid_layers(depth)
    if not tuned:
        return Built(Encoder(*parts, norm(dim)), layers, rename, grid_reader(SIDE))
    del layers["norm"]
    layers |= {"fc_norm": "C", "head": "C"}
    return Built(Classifier(*parts, dim, CLASSES), layers, rename, grid_reader(SIDE, starts=("blocks.",)))


BASE, LARGE = partial(build, 768, 12, 12), partial(build, 1024, 24, 16)
BUILDERS = {
    "UMT-B": BASE,
    "UMT-L": LARGE,
    "UMT-B-Kinetics400": partial(BASE, tuned=True),
    "UMT-L-Kinetics400": partial(LARGE, tuned=True),
}
