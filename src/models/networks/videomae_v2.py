"""VideoMAE V2 (Wang et al. 2023, arXiv:2303.16727): the encoder of the pre-trained autoencoder, unmasked, and the
classifier that was distilled from the fine-tuned giant one.

Tubelets of 2 frames, fixed positions (sines over the flattened tokens), no class token; 16 frames of 224 px. Names as
in the authors' checkpoints, the autoencoder's below "encoder." and without its decoder.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from .built import Built
from .state_dicts import inner, unprefixed, without
from .vit_parts import Block, Encoder, NoKeyBiasAttention, Tubelets, grid_layers, grid_reader, norm, sinusoid_table

SIZE, STEPS, CLASSES = 224, 8, 710
DECODER = ("decoder.", "encoder_to_decoder.", "mask_token")


def rename(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the encoder of a checkpoint {"model": ...} or {"module": ...}."""
    return unprefixed(without(inner(state, "model", "module"), *DECODER), "encoder.")


class Classifier(Encoder):
    """Clips -> (n, classes): the mean of the tokens, normalised, and one linear layer."""

    def __init__(self, tubelets: Tubelets, positions: Tensor, blocks: list[Block], dim: int, classes: int):
        super().__init__(tubelets, positions, blocks, nn.Identity())
        self.fc_norm, self.head = norm(dim), nn.Linear(dim, classes)

    def forward(self, clips: Tensor) -> Tensor:
        return self.head(self.fc_norm(super().forward(clips).mean(1)))


def build(dim: int, depth: int, heads: int, hidden: int, patch: int, distilled=False, reduced: bool = False) -> Built:
    """Return an encoder of that size, or a distilled classifier; reduced: 3 blocks of 32 channels."""
    dim, depth, heads, hidden = (32, 3, 2, 96) if reduced else (dim, depth, heads, hidden)
    side = SIZE // patch
    blocks = [Block(dim, heads, hidden, NoKeyBiasAttention) for _ in range(depth)]
    tubelets, positions, layers = Tubelets(dim, patch, 2), sinusoid_table(STEPS * side * side, dim), grid_layers(depth)
    if not distilled:
        return Built(Encoder(tubelets, positions, blocks, norm(dim)), layers, rename, grid_reader(side))
    del layers["norm"]
    layers |= {"fc_norm": "C", "head": "C"}
    module = Classifier(tubelets, positions, blocks, dim, CLASSES)
    return Built(module, layers, rename, grid_reader(side, starts=("blocks.",)))


BASE = partial(build, 768, 12, 12, 3072, 16)
BUILDERS = {
    "InternVideo1-VideoMAE-B": BASE,
    "VideoMAE-V2-B-distilled": partial(BASE, distilled=True),
    "VideoMAE-V2-G": partial(build, 1408, 40, 16, 6144, 14),
}
