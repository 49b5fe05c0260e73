"""VideoPrism (Zhao et al. 2024, arXiv:2402.13217): transformers' network with the arrays of the authors' Flax network.

A factorised encoder: blocks that attend within each frame, with the frames in the batch, then blocks that attend along
time, with the patches in the batch; patches of one frame and 18 x 18 px, no class token. That of the video-text network
(LvT) has further blocks over all tokens and a pooling by attention. Names and layouts of the arrays as in
github.com/google-deepmind/videoprism, layers.py and encoders.py: the blocks of a stack share one array with the block
as its first axis, and projections of attention are (channels, heads, channels of a head). A normalisation multiplies by
1 + its scale in both networks.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from ...utils import BadInput
from .built import Built

SIZE, PATCH, SIDE = 288, 18, 16
TIMES = 4  # blocks along time
STACK = "/transformers_stack/x_layers/"
# {stack of blocks in the file: in the network}
STACKS = {
    "spatial_encoder": "spatial_layers",
    "temporal_encoder": "temporal_layers",
    "auxiliary_encoder": "auxiliary_layers",
}
# {part in the file: in the network}, of a block and of the others
ATTENTION = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "post": "o_proj"}
PARTS = {
    "layer_norm": "layernorm_before",
    "ff_layer/layer_norm": "layernorm_after",
    "ff_layer/ffn_layer1/linear": "mlp.fc1",
    "ff_layer/ffn_layer2/linear": "mlp.fc2",
    **{f"self_attention/{old}": f"attention.{new}" for old, new in ATTENTION.items()},
    "patch_projection/linear": "spatial_embeddings.patch_embeddings.projection",
    "spatial_pos_emb": "spatial_embeddings",
    "temporal_pos_emb": "temporal_embeddings",
    "spatial_ln": "layernorm1",
    "temporal_ln": "layernorm2",
    "contrastive_vision_pooler": "head",
    "contrastive_vision_pooler/pooling_attention_layer_norm": "head_layernorm",
    "contrastive_vision_pooler/pooling_attention/per_dim_scale": "head",
    **{f"contrastive_vision_pooler/pooling_attention/{old}": f"head.{new}" for old, new in ATTENTION.items()},
}
# {kind of an array in the file: (in the network, its axes in the file, its layout in the network)}
KINDS: dict[str, tuple[str, int, Callable[[Tensor], Tensor]]] = {
    "scale": ("weight", 1, lambda array: array),
    "bias": ("bias", 1, lambda array: array),
    "kernel": ("weight", 2, lambda array: array.T),
    "w": ("weight", 3, lambda array: array.flatten(1).T),
    "post/w": ("weight", 3, lambda array: array.flatten(1)),
    "b": ("bias", 2, lambda array: array.flatten()),
    "post/b": ("bias", 1, lambda array: array),
    "emb_var": ("position_embeddings", 2, lambda array: array[None]),
    "pooling_attention_query": ("pooling_attention_query", 2, lambda array: array[None]),
    "per_dim_scale": ("per_dim_scale", 1, lambda array: array),
}
HEADED = ("w", "post/w", "b")  # kinds with an axis of heads before the last


def rename(heads: int, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the arrays of a file under the names and in the layout of the network, without the text encoder.

    Arrays of another name, number of axes or number of heads keep their name, so that strict loading reports them.
    """
    renamed: dict[str, Tensor] = {}
    for name, array in state.items():
        if not name.startswith("params/text_encoder/"):
            renamed |= _renamed(heads, name, array)
    return renamed


def _renamed(heads: int, name: str, array: Tensor) -> dict[str, Tensor]:
    """Return the tensors of the network that an array of the file holds: one, or one for each block of a stack."""
    path, before = name.removeprefix("params/"), ""
    if path.startswith("vision_encoder/"):
        path, before = path.removeprefix("vision_encoder/"), "vision_model."
    stack, stacked, path = path.rpartition(STACK)
    part, _, kind = path.rpartition("/")
    kind = f"post/{kind}" if part.endswith("/post") else kind
    known = part in PARTS and kind in KINDS and (not stacked or stack in STACKS)
    if not known or array.ndim != KINDS[kind][1] + bool(stacked):
        return {name: array}
    if kind in HEADED and array.shape[-2] != heads:
        return {name: array}
    own, _, layout = KINDS[kind]
    if stacked:
        names = [f"{before}{STACKS[stack]}.{i}.{PARTS[part]}.{own}" for i in range(len(array))]
        return dict(zip(names, map(layout, array), strict=True))
    value = layout(array)
    if part.startswith("patch") and value.ndim == 2 and value.shape[1] == 3 * PATCH * PATCH:
        value = value.unflatten(1, (1, PATCH, PATCH, 3)).movedim(-1, 1)
    return {f"{before}{PARTS[part]}.{own}": value}


def reader(frames: int) -> Callable[[str, Any], Tensor]:
    """Return (layer, output of its module) -> the output with time, rows and columns in axes of their own."""

    def read(layer: str, output: Any) -> Tensor:
        kind = layer.removeprefix("vision_model.").split(".")[0]
        if kind == "head_layernorm":
            return output[:, 0]
        if kind == "auxiliary_layers":
            return output.unflatten(1, (frames, SIDE, SIDE))
        if kind.startswith("temporal") or kind == "layernorm2":
            return output.unflatten(0, (-1, SIDE, SIDE))
        return output.unflatten(1, (SIDE, SIDE)).unflatten(0, (-1, frames))

    return read


def build(dim: int, depth: int, heads: int, frames: int, text: bool = False, reduced: bool = False) -> Built:
    """Return an encoder of that size; text: that of the video-text network; reduced: few blocks of 32 channels."""
    try:
        from transformers import VideoPrismVideoModel, VideoPrismVisionConfig, VideoPrismVisionModel
    except ImportError as error:
        raise BadInput("VideoPrism needs a newer transformers; pip install --upgrade transformers") from error

    dim, depth, heads, times = (32, 3, 2, 2) if reduced else (dim, depth, heads, TIMES)
    config = VideoPrismVisionConfig(
        image_size=SIZE,
        tubelet_size=(1, PATCH, PATCH),
        num_frames=frames,
        hidden_size=dim,
        intermediate_size=4 * dim,
        num_attention_heads=heads,
        num_spatial_layers=depth,
        num_temporal_layers=times,
    )
    module = (VideoPrismVideoModel if text else VideoPrismVisionModel)(config)
    space = ("spatial_embeddings", *(f"spatial_layers.{i}" for i in range(depth)), "layernorm1")
    time = ("temporal_embeddings", *(f"temporal_layers.{i}" for i in range(times)), "layernorm2")
    layers = dict.fromkeys(space, "THWC") | dict.fromkeys(time, "HWTC")
    if text:
        layers = {f"vision_model.{layer}": axes for layer, axes in layers.items()}
        layers |= dict.fromkeys((f"auxiliary_layers.{i}" for i in range(config.num_auxiliary_layers)), "THWC")
        layers["head_layernorm"] = "C"
    return Built(module, layers, partial(rename, heads), reader(frames))


BASE, LARGE = partial(build, 768, 12, 12, 16), partial(build, 1024, 24, 16, 8)
BUILDERS = {
    "VideoPrism-B": BASE,
    "VideoPrism-L": LARGE,
    "VideoPrism-LvT-B": partial(BASE, text=True),
    "VideoPrism-LvT-L": partial(LARGE, text=True),
}
