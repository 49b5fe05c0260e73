"""Names and shapes in the published checkpoints of the networks of src/models/networks, as compact facts."""

from collections.abc import Iterable

import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]


def generated(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    """Small seeded values of these names and shapes; counters are integers."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.ones((), dtype=torch.long)
        if name.endswith("num_batches_tracked")
        else 0.5 + torch.rand(shape, generator=generator)
        if name.endswith("running_var")
        else 0.05 * torch.randn(shape, generator=generator)
        for name, shape in shapes.items()
    }


def below(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def affine(name: str, *shape: int) -> Shapes:
    """A weight of that shape and a bias of its first axis."""
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def weight(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape}


def batch_norm(name: str, dim: int) -> Shapes:
    return {
        **affine(name, dim),
        f"{name}.running_mean": (dim,),
        f"{name}.running_var": (dim,),
        f"{name}.num_batches_tracked": (),
    }


def blocks(count: int, block: Shapes, name: str = "blocks") -> Shapes:
    return {f"{name}.{i}.{part}": shape for i in range(count) for part, shape in block.items()}


def vit_block(dim: int, hidden: int, attention: Shapes) -> Shapes:
    parts = (affine("norm1", dim), below("attn.", attention), affine("attn.proj", dim, dim), affine("norm2", dim))
    return merged(*parts, affine("mlp.fc1", hidden, dim), affine("mlp.fc2", dim, hidden))


def merged(*parts: Shapes) -> Shapes:
    return {name: shape for part in parts for name, shape in part.items()}


def no_key_bias(dim: int) -> Shapes:
    return {"qkv.weight": (3 * dim, dim), "q_bias": (dim,), "v_bias": (dim,)}


def split(dim: int) -> Shapes:
    return merged(*(affine(part, dim, dim) for part in "qkv"))


def mae_st(dim: int, depth: int, decoder: int = 512) -> Shapes:
    positions = {"spatial": 196, "temporal": 8, "class": 1}
    return merged(
        {"cls_token": (1, 1, dim), "decoder_cls_token": (1, 1, decoder), "mask_token": (1, 1, decoder)},
        {f"pos_embed_{kind}": (1, n, dim) for kind, n in positions.items()},
        {f"decoder_pos_embed_{kind}": (1, n, decoder) for kind, n in positions.items()},
        affine("patch_embed.proj", dim, 3, 2, 16, 16),
        blocks(depth, vit_block(dim, 4 * dim, split(dim))),
        affine("norm", dim),
        affine("decoder_embed", decoder, dim),
        blocks(1, vit_block(decoder, 4 * decoder, split(decoder)), "decoder_blocks"),
        affine("decoder_norm", decoder),
        affine("decoder_pred", 1536, decoder),
    )


def videomae_v2(dim: int, depth: int, hidden: int, patch: int, decoder: int = 384) -> Shapes:
    encoder = merged(
        affine("patch_embed.proj", dim, 3, 2, patch, patch),
        blocks(depth, vit_block(dim, hidden, no_key_bias(dim))),
        affine("norm", dim),
    )
    decoding = merged(
        blocks(1, vit_block(decoder, 4 * decoder, no_key_bias(decoder))),
        affine("norm", decoder),
        affine("head", 6 * patch * patch, decoder),
    )
    between = {"mask_token": (1, 1, decoder), "encoder_to_decoder.weight": (decoder, dim)}
    return merged(below("encoder.", encoder), between, below("decoder.", decoding))


def videomae_v2_distilled(dim: int, depth: int, hidden: int) -> Shapes:
    return merged(
        affine("patch_embed.proj", dim, 3, 2, 16, 16),
        blocks(depth, vit_block(dim, hidden, no_key_bias(dim))),
        affine("fc_norm", dim),
        affine("head", 710, dim),
    )


def umt(dim: int, depth: int, clip: int = 768) -> Shapes:
    """The names of the pre-trained encoder, beside the projections of its last layers to CLIP's features."""
    encoder = merged(
        affine("patch_embed.proj", dim, 3, 1, 16, 16),
        blocks(depth, vit_block(dim, 4 * dim, no_key_bias(dim))),
        affine("norm", dim),
    )
    projection = merged(affine("head", clip, dim), affine("norm", clip))
    return merged(below("encoder.", encoder), blocks(2, projection, "clip_decoder"))


def umt_tuned(dim: int, depth: int) -> Shapes:
    return merged(
        affine("patch_embed.proj", dim, 3, 1, 16, 16),
        blocks(depth, vit_block(dim, 4 * dim, no_key_bias(dim))),
        affine("fc_norm", dim),
        affine("head", 400, dim),
    )


def internvideo2(dim: int, depth: int, hidden: int) -> Shapes:
    block = merged(
        *(weight(name, dim) for name in ("norm1", "norm2", "attn.q_norm", "attn.k_norm")),
        weight("attn.qkv", 3 * dim, dim),
        affine("attn.proj", dim, dim),
        {"ls1.gamma": (dim,), "ls2.gamma": (dim,)},
        affine("mlp.fc1", hidden, dim),
        affine("mlp.fc2", dim, hidden),
    )
    pool = merged(
        *(affine(f"norm1_{part}", dim) for part in "qkv"),
        *(merged(weight(f"cross_attn.{part}", dim, dim), {f"cross_attn.{part}_bias": (dim,)}) for part in "qkv"),
        affine("cross_attn.proj", 768, dim),
    )
    return merged(
        {"cls_token": (1, 1, dim), "pos_embed": (1, 2049, dim)},
        affine("patch_embed.proj", dim, 3, 1, 14, 14),
        blocks(depth, block),
        below("clip_projector.", pool),
        affine("fc_norm", 768),
        affine("head", 400, 768),
    )


def videomamba(dim: int, depth: int) -> Shapes:
    wide, rank = 2 * dim, -(-dim // 16)
    one = merged(weight("in_proj", 2 * wide, dim), weight("out_proj", dim, wide))
    for end in ("", "_b"):
        one |= merged(affine(f"conv1d{end}", wide, 1, 4), affine(f"dt_proj{end}", wide, rank))
        one |= merged(weight(f"x_proj{end}", rank + 32, wide), {f"A{end}_log": (wide, 16), f"D{end}": (wide,)})
    return merged(
        {"cls_token": (1, 1, dim), "pos_embed": (1, 197, dim), "temporal_pos_embedding": (1, 8, dim)},
        affine("patch_embed.proj", dim, 3, 1, 16, 16),
        blocks(depth, merged(below("mixer.", one), weight("norm", dim)), "layers"),
        weight("norm_f", dim),
        affine("head", 400, dim),
    )


def vjepa(dim: int, depth: int) -> Shapes:
    encoder = merged(
        {"pos_embed": (1, 1568, dim)},
        affine("patch_embed.proj", dim, 3, 2, 16, 16),
        blocks(depth, vit_block(dim, 4 * dim, affine("qkv", 3 * dim, dim))),
        affine("norm", dim),
    )
    return below("module.backbone.", encoder)


def uniformer(depths: Iterable[int], dims: tuple[int, ...]) -> Shapes:
    kernels = ((3, 4, 4), (1, 2, 2), (1, 2, 2), (1, 2, 2))
    found: Shapes = batch_norm("norm", dims[-1])
    for i, (depth, n_in, dim) in enumerate(zip(depths, (3, *dims), dims, strict=False)):
        found |= merged(
            affine(f"patch_embed{i + 1}.norm", dim), affine(f"patch_embed{i + 1}.proj", dim, n_in, *kernels[i])
        )
        position = affine("pos_embed", dim, 1, 3, 3, 3)
        one = (1, 1, 1)
        local = merged(
            batch_norm("norm1", dim),
            affine("conv1", dim, dim, *one),
            affine("conv2", dim, dim, *one),
            affine("attn", dim, 1, 5, 5, 5),
            batch_norm("norm2", dim),
            affine("mlp.fc1", 4 * dim, dim, *one),
            affine("mlp.fc2", dim, 4 * dim, *one),
        )
        found |= blocks(
            depth,
            merged(position, local if i < 2 else vit_block(dim, 4 * dim, affine("qkv", 3 * dim, dim))),
            f"blocks{i + 1}",
        )
    return merged(below("backbone.", found), affine("cls_head.fc_cls", 400, dims[-1]))


def torch_attention(dim: int) -> Shapes:
    return merged({"in_proj_weight": (3 * dim, dim), "in_proj_bias": (3 * dim,)}, affine("out_proj", dim, dim))


def uniformer_v2(dim: int, depth: int, aggregators: int, patch: int = 16) -> Shapes:
    frame = merged(
        below("attn.", torch_attention(dim)),
        affine("ln_1", dim),
        affine("mlp.c_fc", 4 * dim, dim),
        affine("mlp.c_proj", dim, 4 * dim),
        affine("ln_2", dim),
    )
    backbone = merged(
        {"class_embedding": (dim,), "positional_embedding": ((224 // patch) ** 2 + 1, dim)},
        {"conv1.weight": (dim, 3, 1, patch, patch)},
        affine("ln_pre", dim),
        {"transformer.temporal_cls_token": (1, 1, dim), "transformer.balance": (dim,)},
        blocks(depth, frame, "transformer.resblocks"),
        merged(*(affine(f"transformer.dpe.{i}", dim, 1, 3, 3, 3) for i in range(aggregators))),
        blocks(aggregators, merged(frame, affine("ln_3", dim)), "transformer.dec"),
        affine("transformer.norm", dim),
    )
    return merged(below("backbone.", backbone), affine("cls_head.fc_cls", 400, dim))


def unit(name: str, *shape: int) -> Shapes:
    """MMAction2's convolution with batch normalisation."""
    return merged(weight(f"{name}.conv", *shape), batch_norm(f"{name}.bn", shape[0]))


def i3d(width: int, around: tuple[tuple[int, ...], ...], non_local: tuple[tuple[int, ...], ...]) -> Shapes:
    found, n_in = unit("conv1", width, 3, 5, 7, 7), width
    for i, stage in enumerate(around):
        inner, n_out = width << i, 4 * (width << i)
        for j, looks in enumerate(stage):
            block = merged(
                unit("conv1", inner, n_in, 3 if looks else 1, 1, 1),
                unit("conv2", inner, inner, 1, 3, 3),
                unit("conv3", n_out, inner, 1, 1, 1),
                {} if j else unit("downsample", n_out, n_in, 1, 1, 1),
            )
            if non_local[i][j]:
                block |= merged(
                    affine("non_local_block.g.0.conv", n_out // 2, n_out, 1, 1, 1),
                    affine("non_local_block.theta.conv", n_out // 2, n_out, 1, 1, 1),
                    affine("non_local_block.phi.0.conv", n_out // 2, n_out, 1, 1, 1),
                    unit("non_local_block.conv_out", n_out, n_out // 2, 1, 1, 1),
                )
            found |= below(f"layer{i + 1}.{j}.", block)
            n_in = n_out
    return merged(below("backbone.", found), affine("cls_head.fc_cls", 400, n_in))


def i3d_ssv2(width: int, depths: tuple[int, ...]) -> Shapes:
    found, n_in = merged(weight("conv1", width, 3, 3, 7, 7), batch_norm("bn1", width)), width
    for i, depth in enumerate(depths):
        inner, n_out = width << i, 4 * (width << i)
        for j in range(depth):
            shapes = ((inner, n_in, 1, 1, 1), (inner, inner, 3, 3, 3), (n_out, inner, 1, 1, 1))
            block = merged(*(weight(f"conv{k + 1}", *shape) for k, shape in enumerate(shapes)))
            block |= merged(*(batch_norm(f"bn{k + 1}", shape[0]) for k, shape in enumerate(shapes)))
            if not j:
                block |= merged(weight("downsample.0", n_out, n_in, 1, 1, 1), batch_norm("downsample.1", n_out))
            found |= below(f"layer{i + 1}.{j}.", block)
            n_in = n_out
    return below("module.", merged(found, affine("fc", 174, n_in)))


def mvit_v2(
    width: int, depth: int, halving: tuple[int, ...], grid: tuple[int, int], classes: int, heads: int = 1
) -> Shapes:
    """PySlowFast's names; grid: (steps, side) of the tokens of the first block; heads: of that block."""
    (steps, side), dim, pooled = grid, width, 8
    found: Shapes = merged(affine("patch_embed.proj", width, 3, 3, 7, 7), {"cls_token": (1, 1, width)})
    for i in range(depth):
        stride = 2 if i in halving else 1
        out, heads, pooled = dim * stride, heads * stride, max(1, pooled // stride)
        head, distance = out // heads, 2 * max(side // stride, side // pooled) - 1
        block = merged(affine("norm1", dim), affine("attn.qkv", 3 * out, dim), affine("attn.proj", out, out))
        for part in "qkv":
            block |= merged(weight(f"attn.pool_{part}", head, 1, 3, 3, 3), affine(f"attn.norm_{part}", head))
        block |= {"attn.rel_pos_h": (distance, head), "attn.rel_pos_w": (distance, head)}
        block |= {"attn.rel_pos_t": (2 * steps - 1, head)}
        block |= merged(affine("norm2", out), affine("mlp.fc1", 4 * out, out), affine("mlp.fc2", out, 4 * out))
        found |= below(f"blocks.{i}.", block if out == dim else merged(block, affine("proj", out, dim)))
        dim, side = out, side // stride
    return merged(found, affine("norm", dim), affine("head.projection", classes, dim))


def as_mmaction(shapes: Shapes) -> Shapes:
    """The names that MMAction2 gave to PySlowFast's MViT."""
    names = {"patch_embed.proj.": "patch_embed.projection.", "norm.": "norm3."}
    found = {}
    for name, shape in shapes.items():
        old = next((old for old in names if name.startswith(old)), "")
        name = f"backbone.{names.get(old, '')}{name.removeprefix(old)}"
        found[name.replace("backbone.head.projection.", "cls_head.fc_cls.")] = shape
    return found


def eva_vit_g(dim: int, depth: int, hidden: int) -> Shapes:
    return merged(
        {"cls_token": (1, 1, dim), "pos_embed": (1, 257, dim)},
        affine("patch_embed.proj", dim, 3, 14, 14),
        blocks(depth, vit_block(dim, hidden, no_key_bias(dim))),
    )


def videochat_stage1(dim: int, hidden: int, aggregators: int) -> Shapes:
    gather = merged(
        affine("dpe", dim, 1, 3, 3, 3),
        below("attn.", torch_attention(dim)),
        *(affine(f"ln_{i}", dim) for i in (1, 2, 3)),
        affine("mlp.c_fc", hidden, dim),
        affine("mlp.c_proj", dim, hidden),
    )
    return merged(
        {"visual_encoder.gmhra_cls_token": (1, 1, dim), "extra_query_tokens": (1, 64, 768)},
        blocks(aggregators, gather, "visual_encoder.gmhra"),
        affine("ln_vision", dim),
        affine("llama_proj", 4096, 768),
    )


def videochat2(dim: int, depth: int, hidden: int) -> Shapes:
    encoder = merged(
        affine("patch_embed.proj", dim, 3, 1, 16, 16), blocks(depth, vit_block(dim, hidden, no_key_bias(dim)))
    )
    read = {"query_tokens": (1, 32, 768), "extra_query_tokens": (1, 64, 768)}
    return merged(
        below("vision_encoder.encoder.", encoder),
        read,
        affine("vision_layernorm", dim),
        affine("qformer.bert.encoder.layer.0.output.dense", 768, 3072),
        affine("llama_proj", 4096, 768),
        weight("llama_model.base_model.model.model.layers.0.self_attn.q_proj.lora_A.default", 16, 4096),
    )
