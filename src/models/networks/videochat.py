"""Vision encoders of VideoChat (Li et al. 2023, arXiv:2305.06355) and VideoChat2 (Li et al. 2024, arXiv:2311.17005).

VideoChat: BLIP-2's frozen EVA-CLIP g/14, frame by frame, and eight trained blocks in which one query per clip attends
to all tokens of all frames, after each of the last eight image blocks. VideoChat2: the first 23 blocks of UMT-L/16
(Li et al. 2023, arXiv:2303.16058), tuned with the language model; patches of single frames, 8 frames, fixed positions
interpolated from the 4 frames of its training. The language models are left out.
"""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...utils import BadInput
from .built import Built
from .state_dicts import inner, without
from .vit_parts import (
    Block,
    Encoder,
    FrameBlock,
    NoKeyBiasAttention,
    Tubelets,
    add_positions,
    attend_over,
    grid_layers,
    grid_reader,
    interpolate_time,
    sinusoid_table,
)

SIZE = 224
EVA = {"dim": 1408, "depth": 39, "heads": 16, "hidden": 6144, "aggregators": 8, "patch": 14}
UMT = {"dim": 1024, "depth": 23, "heads": 16, "hidden": 4096, "patch": 16}
FRAMES, TRAINED_FRAMES = 8, 4
ENCODER_1, ENCODER_2 = "visual_encoder.", "vision_encoder."
UNUSED_EVA = ("blocks.39.", "norm.", "fc_norm.", "head.")
UNUSED_2 = (
    "qformer.",
    "query_tokens",
    "extra_query_tokens",
    "llama_model.",
    "llama_proj.",
    "vision_layernorm.",
    "vision_encoder.encoder.blocks.23.",
    "vision_encoder.encoder.norm.",
)


class Aggregator(nn.Module):
    """Cross-attention of a query (n, 1, c) to the tokens (n, t, 1 + h * w, c) of a clip with convolved positions."""

    def __init__(self, dim: int, heads: int, hidden: int):
        super().__init__()
        self.dpe = nn.Conv3d(dim, dim, 3, padding=1, groups=dim)
        self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        parts = (nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.mlp = nn.Sequential(OrderedDict(zip(("c_fc", "gelu", "c_proj"), parts, strict=True)))
        self.ln_1, self.ln_2, self.ln_3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        tokens = add_positions(self.ln_3(tokens), self.dpe).flatten(1, 2)
        query = query + attend_over(self.attn, self.ln_1(query), tokens)
        return query + self.mlp(self.ln_2(query))


class FrameEncoder(nn.Module):
    """Clips (n, 3, t, 224, 224) -> all tokens of all frames and the clip's query (n, t * (1 + h * w) + 1, c)."""

    def __init__(self, dim: int, depth: int, heads: int, hidden: int, aggregators: int, patch: int):
        super().__init__()
        self.patch_embed = Tubelets(dim, patch, 1)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, (SIZE // patch) ** 2 + 1, dim))
        self.blocks = nn.ModuleList(FrameBlock(dim, heads, hidden, NoKeyBiasAttention) for _ in range(depth))
        self.gmhra_cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.gmhra = nn.ModuleList(Aggregator(dim, heads, hidden) for _ in range(aggregators))
        for parameter in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, clips: Tensor) -> Tensor:
        patches = self.patch_embed(clips).movedim(1, -1).flatten(2, 3)
        first = self.cls_token.expand(*patches.shape[:2], -1, -1)
        x = torch.cat([first, patches], dim=2) + self.pos_embed
        query, start = self.gmhra_cls_token.expand(len(x), -1, -1), len(self.blocks) - len(self.gmhra)
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i >= start:
                query = self.gmhra[i - start](query, x)
        return torch.cat([x.flatten(1, 2), query], dim=1)


def join(eva: str | Path, videochat: str | Path, out: str | Path) -> Path:
    """Write VideoChat's vision encoder from its two published files and return the path `out`.

    eva: BLIP-2's eva_vit_g.pth, with the image blocks; videochat: videochat_7b_stage1.pth or videochat_13b_stage1.pth,
    with the trained blocks. Raises BadInput for a file that is damaged or lacks these parts.
    """
    from ..checkpoints import read_state

    image = without(read_state(Path(eva)), *UNUSED_EVA)
    if "patch_embed.proj.weight" not in image:
        raise BadInput(f"{eva} holds no patch_embed.proj.weight, expected BLIP-2's eva_vit_g.pth")
    image["patch_embed.proj.weight"] = image["patch_embed.proj.weight"].unsqueeze(2)
    trained = inner(read_state(Path(videochat)), "model")
    trained = {name: value for name, value in trained.items() if name.startswith(f"{ENCODER_1}gmhra")}
    if not trained:
        raise BadInput(f"{videochat} holds no {ENCODER_1}gmhra, expected VideoChat's stage 1")
    torch.save({**{ENCODER_1 + name: value for name, value in image.items()}, **trained}, out)
    return Path(out)


def rename_2(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the image encoder of VideoChat2's checkpoint without its last block and the parts after it."""
    return without(inner(state, "model"), *UNUSED_2)


def read_1(layer: str, output: Any) -> Tensor:
    """Return the tokens (n, t, 1 + 16 * 16, c) of a block as (n, t, 16, 16, c), and a query as (n, c)."""
    if ".blocks." in layer:
        side = SIZE // EVA["patch"]
        return output[:, :, 1:].unflatten(2, (side, side))
    return output[:, 0] if ".gmhra." in layer else output


def build_1(reduced: bool = False) -> Built:
    """Return VideoChat's vision encoder; reduced: 4 blocks of 32 channels, aggregation after two of them."""
    size = {**EVA, "dim": 32, "depth": 4, "heads": 2, "hidden": 64, "aggregators": 2} if reduced else EVA
    blocks = {f"{ENCODER_1}blocks.{i}": "THWC" for i in range(size["depth"])}
    aggregators = {f"{ENCODER_1}gmhra.{i}": "C" for i in range(size["aggregators"])}
    module = nn.Sequential(OrderedDict(visual_encoder=FrameEncoder(**size)))
    return Built(module, {f"{ENCODER_1}patch_embed": "CTHW", **blocks, **aggregators}, process_output=read_1)


def build_2(reduced: bool = False) -> Built:
    """Return VideoChat2's vision encoder; reduced: 3 blocks of 32 channels."""
    size = {**UMT, "dim": 32, "depth": 3, "heads": 2, "hidden": 64} if reduced else UMT
    dim, side = size["dim"], SIZE // UMT["patch"]
    positions = interpolate_time(sinusoid_table(TRAINED_FRAMES * side * side, dim), TRAINED_FRAMES, FRAMES)
    blocks = [Block(dim, size["heads"], size["hidden"], NoKeyBiasAttention) for _ in range(size["depth"])]
    encoder = Encoder(Tubelets(dim, UMT["patch"], 1), positions, blocks, nn.Identity())
    module = nn.Sequential(OrderedDict(vision_encoder=nn.Sequential(OrderedDict(encoder=encoder))))
    layers = grid_layers(size["depth"], f"{ENCODER_2}encoder.")
    layers.pop(f"{ENCODER_2}encoder.norm")
    return Built(module, layers, rename_2, grid_reader(side, starts=(f"{ENCODER_2}encoder.blocks.",)))


BUILDERS = {"VideoChat-7B": build_1, "VideoChat-13B": build_1, "VideoChat2-7B": build_2}
