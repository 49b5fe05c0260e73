"""The video transformers against other implementations of the same papers, and against their formulas."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import resnet50
from torchvision.models.video import mvit_v2_s
from torchvision.models.video.mvit import MViT

from src.models.loading import reinitialise
from src.models.networks import i3d, i3d_ssv2, internvideo2, mvit_v2, uniformer_v2, videochat, videomamba, vjepa
from src.models.networks.mmaction import recognizer
from src.models.networks.state_dicts import inner, reprefixed, unprefixed, without
from src.models.networks.vit_parts import (
    Block,
    Encoder,
    NoKeyBiasAttention,
    Tubelets,
    interpolate_time,
    norm,
    sinusoid_table,
)

DIM, HIDDEN, HEADS, DEPTH = 32, 64, 4, 2


def seeded(module, seed=0):
    """The module in eval mode with seeded values everywhere, running statistics included."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            scale, shift = (0.5, 0.75) if name.endswith("running_var") else (0.1, 0.0)
            value.copy_(torch.rand(value.shape, generator=generator) * scale + shift)
    return module.eval()


def close(a, b, tolerance=1e-5):
    return torch.allclose(a, b, atol=tolerance * float(b.abs().max()), rtol=0)


@torch.inference_mode()
def test_videomae_is_that_of_transformers():
    transformers = pytest.importorskip("transformers")
    config = transformers.VideoMAEConfig(
        image_size=32,
        num_frames=4,
        hidden_size=DIM,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        intermediate_size=HIDDEN,
        layer_norm_eps=1e-6,
        use_mean_pooling=False,
    )
    theirs = seeded(transformers.VideoMAEModel(config))
    blocks = [Block(DIM, HEADS, HIDDEN, NoKeyBiasAttention) for _ in range(DEPTH)]
    ours = Encoder(Tubelets(DIM, 16, 2), sinusoid_table(2 * 4, DIM), blocks, norm(DIM)).eval()
    state, found = theirs.state_dict(), {}
    for name in ours.state_dict():
        if name.endswith("attn.qkv.weight"):
            layer = f"encoder.layer.{name.split('.')[1]}.attention.attention."
            found[name] = torch.cat([state[f"{layer}{part}.weight"] for part in ("query", "key", "value")])
        else:
            found[name] = state[in_transformers(name)]
    ours.load_state_dict(found)
    clip = torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    assert close(ours(clip), theirs(clip.transpose(1, 2)).last_hidden_state)


def in_transformers(name):
    """The name of one of our parameters in transformers' VideoMAE."""
    names = {
        "attn.q_bias": "attention.attention.query.bias",
        "attn.v_bias": "attention.attention.value.bias",
        "attn.proj": "attention.output.dense",
        "norm1": "layernorm_before",
        "norm2": "layernorm_after",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
        "patch_embed.proj": "embeddings.patch_embeddings.projection",
    }
    if name.startswith("norm."):
        return name.replace("norm.", "layernorm.")
    for ours, theirs in names.items():
        name = name.replace(ours, theirs)
    return name.replace("blocks.", "encoder.layer.")


@torch.inference_mode()
def test_videochats_image_blocks_are_those_of_blip2():
    transformers = pytest.importorskip("transformers")
    config = transformers.Blip2VisionConfig(
        hidden_size=DIM,
        intermediate_size=HIDDEN,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        image_size=224,
        patch_size=14,
        hidden_act="gelu",
        layer_norm_eps=1e-6,
    )
    theirs = seeded(transformers.Blip2VisionModel(config))
    state = theirs.state_dict()
    ours = seeded(videochat.FrameEncoder(DIM, DEPTH, HEADS, HIDDEN, aggregators=1, patch=14))
    found = dict(ours.state_dict())
    found["cls_token"], found["pos_embed"] = state["embeddings.class_embedding"], state["embeddings.position_embedding"]
    found["patch_embed.proj.weight"] = state["embeddings.patch_embedding.weight"].unsqueeze(2)
    found["patch_embed.proj.bias"] = state["embeddings.patch_embedding.bias"]
    for i in range(DEPTH):
        theirs_i, ours_i = f"encoder.layers.{i}.", f"blocks.{i}."
        bias = state[f"{theirs_i}self_attn.qkv.bias"].chunk(3)
        state[f"{theirs_i}self_attn.qkv.bias"][DIM : 2 * DIM] = 0  # EVA's keys have no bias
        found[f"{ours_i}attn.q_bias"], found[f"{ours_i}attn.v_bias"] = bias[0], bias[2]
        found[f"{ours_i}attn.qkv.weight"] = state[f"{theirs_i}self_attn.qkv.weight"]
        for ours_part, part in (
            ("attn.proj", "self_attn.projection"),
            ("norm1", "layer_norm1"),
            ("norm2", "layer_norm2"),
            ("mlp.fc1", "mlp.fc1"),
            ("mlp.fc2", "mlp.fc2"),
        ):
            for kind in ("weight", "bias"):
                found[f"{ours_i}{ours_part}.{kind}"] = state[f"{theirs_i}{part}.{kind}"]
    ours.load_state_dict(found)
    clip = torch.randn(1, 3, 2, 224, 224, generator=torch.Generator().manual_seed(1))
    expected = theirs(clip[0].transpose(0, 1), output_hidden_states=True).hidden_states[-1]
    assert close(ours(clip)[0, :-1].unflatten(0, (2, -1)), expected)


@torch.inference_mode()
def test_uniformer_v2s_image_blocks_are_those_of_clip():
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPVisionConfig(
        hidden_size=DIM,
        intermediate_size=4 * DIM,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        image_size=224,
        patch_size=16,
        hidden_act="quick_gelu",
    )
    theirs = seeded(transformers.CLIPVisionModel(config))
    state = {name.removeprefix("vision_model."): value for name, value in theirs.state_dict().items()}
    ours = seeded(uniformer_v2.UniFormerV2(16, DIM, DEPTH, HEADS, aggregators=1))
    found = dict(ours.state_dict())
    found["class_embedding"] = state["embeddings.class_embedding"]
    found["positional_embedding"] = state["embeddings.position_embedding.weight"]
    found["conv1.weight"] = state["embeddings.patch_embedding.weight"].unsqueeze(2)
    for kind in ("weight", "bias"):
        found[f"ln_pre.{kind}"] = state[f"pre_layrnorm.{kind}"]
        for i in range(DEPTH):
            their, our = f"encoder.layers.{i}.", f"transformer.resblocks.{i}."
            joint = torch.cat([state[f"{their}self_attn.{part}_proj.{kind}"] for part in "qkv"])
            found[f"{our}attn.in_proj_{kind}"] = joint
            found[f"{our}attn.out_proj.{kind}"] = state[f"{their}self_attn.out_proj.{kind}"]
            found[f"{our}ln_1.{kind}"] = state[f"{their}layer_norm1.{kind}"]
            found[f"{our}ln_2.{kind}"] = state[f"{their}layer_norm2.{kind}"]
            found[f"{our}mlp.c_fc.{kind}"] = state[f"{their}mlp.fc1.{kind}"]
            found[f"{our}mlp.c_proj.{kind}"] = state[f"{their}mlp.fc2.{kind}"]
    ours.load_state_dict(found)
    outputs = []
    ours.transformer.resblocks[-1].register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    clip = torch.randn(1, 3, 2, 224, 224, generator=torch.Generator().manual_seed(1))
    ours(clip)
    expected = theirs(clip[0].transpose(0, 1), output_hidden_states=True).hidden_states[-1]
    assert close(outputs[0][0], expected)


def test_mvits_settings_are_those_of_torchvisions_small_network():
    ours = MViT(
        (224, 224),
        16,
        mvit_v2.settings(16, 96, (1, 3, 14)),
        residual_pool=True,
        residual_with_cls_embed=False,
        rel_pos_embed=True,
        proj_after_attn=True,
    )
    theirs = mvit_v2_s(weights=None)
    shapes = [{name: value.shape for name, value in net.state_dict().items()} for net in (ours, theirs)]
    assert shapes[0] == shapes[1]
    strides = [[part.stride for part in net.modules() if isinstance(part, nn.Conv3d)] for net in (ours, theirs)]
    assert strides[0] == strides[1]


def test_mvits_attention_is_torchvisions_where_the_grids_divide_each_other():
    ours = mvit_v2.build(mvit_v2.BASE, 8, reduced=True).module
    reinitialise(ours, 1)
    theirs = MViT(
        (224, 224),
        32,
        mvit_v2.settings(4, 16, (1, 3)),
        residual_pool=True,
        residual_with_cls_embed=False,
        rel_pos_embed=True,
        proj_after_attn=True,
        num_classes=8,
        patch_embed_stride=(8, 8, 8),
    )
    theirs.load_state_dict(ours.state_dict())
    clip = torch.randn(1, 3, 32, 224, 224, generator=torch.Generator().manual_seed(1))
    assert close(ours.eval()(clip), theirs.eval()(clip))


def test_relative_places_are_whole_steps_between_the_grids():
    table = torch.arange(2 * 78 - 1.0)[:, None]
    rows = mvit_v2.rows(table, 78, 10)[..., 0]
    exact = torch.arange(78)[:, None] * 10 - torch.arange(10) * 78 + 9 * 78  # in tenths of a place
    assert (rows - exact // 10).abs().max() <= 1
    assert torch.equal(mvit_v2.rows(table, 78, 78)[..., 0], torch.arange(78.0)[:, None] - torch.arange(78) + 77)


@pytest.mark.parametrize("length", [1, 39, 40, 41, 97])
def test_the_scan_in_chunks_is_the_recurrence(length):
    draw = torch.Generator().manual_seed(length)
    u, delta = torch.randn(2, length, 6, generator=draw), torch.rand(2, length, 6, generator=draw)
    A = -3 * torch.rand(6, 4, generator=draw)
    B, C = torch.randn(2, length, 4, generator=draw), torch.randn(2, length, 4, generator=draw)
    state, found = torch.zeros(2, 6, 4), []
    for t in range(length):
        state = torch.exp(delta[:, t, :, None] * A) * state + (delta[:, t] * u[:, t])[..., None] * B[:, t, None]
        found.append((state * C[:, t, None]).sum(-1))
    assert close(videomamba.selective_scan(u, delta, A, B, C), torch.stack(found, dim=1))


def test_a_mixer_with_equal_directions_commutes_with_the_order_of_the_tokens():
    mixer = videomamba.Mixer(16).eval()
    state = mixer.state_dict()
    mixer.load_state_dict(
        {name: state[name.replace("_b.", ".").replace("A_b", "A").replace("D_b", "D")] for name in state}
    )
    tokens = torch.randn(2, 50, 16, generator=torch.Generator().manual_seed(0))
    assert close(mixer(tokens.flip(1)), mixer(tokens).flip(1))


def test_internvideos_first_positions_are_sines_of_time_column_and_row():
    table = internvideo2.initial_positions(64)[0]
    assert torch.equal(table[0], torch.zeros(64))
    one = table[1 + 3 * 256 + 5 * 16 + 7]  # time 3, row 5, column 7
    expected = [np.sin(3), np.sin(7), np.sin(5)]
    np.testing.assert_allclose([one[0], one[16], one[40]], expected, atol=1e-6)


def test_mvits_names_keep_queries_keys_and_values_apart():
    names = [f"attn.{kind}_{part}.weight" for kind in ("pool", "norm") for part in "qkv"]
    state = {f"blocks.7.{name}": torch.tensor([float(i)]) for i, name in enumerate([*names, "attn.proj.weight"])}
    renamed = mvit_v2.rename({**state, "blocks.7.proj.bias": torch.tensor([9.0])})
    ours = [f"attn.pool_{part}.{kind}" for kind in ("pool.weight", "norm_act.0.weight") for part in "qkv"]
    expected = dict(zip([*ours, "attn.project.0.weight"], range(7), strict=True))
    assert {name: float(value) for name, value in renamed.items()} == {
        **{f"blocks.7.{name}": i for name, i in expected.items()},
        "blocks.7.project.bias": 9.0,
    }


def centred(flat, like):
    """A 2D kernel at the middle frame of a 3D one that is 0 elsewhere."""
    kernel = torch.zeros_like(like)
    kernel[:, :, like.shape[2] // 2] = flat
    return kernel


def inflated(network, flat, name_of):
    """The 3D network with the values of a 2D one: `name_of` turns its names into those of the 2D one."""
    state = network.state_dict()
    for name, value in state.items():
        source = flat[name_of(name)]
        state[name] = centred(source, value) if value.ndim == 5 else source
    network.load_state_dict(state)
    return network.eval()


def mmaction_to_torchvision(name):
    parts = name.split(".")
    place, kind, value = ".".join(parts[:-3]), parts[-2], parts[-1]
    layer = parts[-3]
    if layer == "downsample":
        return f"{place}.downsample.{'0' if kind == 'conv' else '1'}.{value}"
    own = layer if kind == "conv" else layer.replace("conv", "bn")
    return ".".join(part for part in (place, own, value) if part)


@pytest.fixture(scope="module")
def flat():
    """torchvision's ResNet-50 with seeded values, and its features of an image."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = resnet50(weights=None)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.1, 0.1, generator=torch.Generator().manual_seed(1))
            part.running_var.uniform_(0.8, 1.2, generator=torch.Generator().manual_seed(2))
    network.eval()
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        stem = network.maxpool(network.relu(network.bn1(network.conv1(image))))
        features = network.layer4(network.layer3(network.layer2(network.layer1(stem))))
    return network.state_dict(), image, features


@torch.inference_mode()
def test_a_still_video_has_the_features_of_the_image_in_i3d(flat):
    state, image, features = flat
    network = i3d.InflatedResNet(64, i3d.TEMPORAL_KERNELS, i3d.NO_NON_LOCAL)
    ours = inflated(network, state, mmaction_to_torchvision)(image[:, :, None].expand(-1, -1, 16, -1, -1))
    assert ours.shape[2] == 2
    assert close(ours, features[:, :, None].expand_as(ours), 1e-4)


@torch.inference_mode()
def test_a_still_video_has_the_features_of_the_image_in_the_something_something_network(flat):
    state, image, features = flat
    network = i3d_ssv2.InflatedResNet((3, 4, 6, 3), 64)
    fc = {name: value for name, value in network.state_dict().items() if name.startswith("fc.")}
    network = inflated(network, {**state, **fc}, lambda name: name)
    outputs = []
    network.layer4.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    network(image[:, :, None].expand(-1, -1, 3, -1, -1))
    assert outputs[0].shape[2] == 3
    assert close(outputs[0], features[:, :, None].expand_as(outputs[0]), 1e-4)


@torch.inference_mode()
def test_a_non_local_block_by_its_formula():
    block = seeded(i3d.NonLocal(8))
    x = torch.randn(1, 8, 2, 4, 6, generator=torch.Generator().manual_seed(1))
    query = block.theta.conv(x)[0].flatten(1).numpy()
    key, value = (
        nn.functional.max_pool3d(part[0].conv(x), (1, 2, 2))[0].flatten(1).numpy() for part in (block.phi, block.g)
    )
    found = np.stack([sum(q @ k * v for k, v in zip(key.T, value.T, strict=True)) / key.shape[1] for q in query.T])
    gathered = torch.from_numpy(found.T.reshape(1, 4, 2, 4, 6).astype(np.float32))
    assert close(block(x), x + block.conv_out.bn(block.conv_out.conv(gathered)))


@torch.inference_mode()
def test_a_reinitialised_non_local_block_is_the_identity():
    block = i3d.NonLocal(8).eval()
    reinitialise(block, 1)
    x = 1e4 * torch.randn(1, 8, 2, 4, 6, generator=torch.Generator().manual_seed(1))
    assert close(block(x), x)


@torch.inference_mode()
def test_an_aggregation_block_by_its_formula():
    block = seeded(uniformer_v2.Aggregator(DIM, HEADS))
    generator = torch.Generator().manual_seed(1)
    query, tokens = (torch.randn(1, n, DIM, generator=generator) for n in (1, 5))
    weights, bias = block.attn.in_proj_weight.chunk(3), block.attn.in_proj_bias.chunk(3)
    q = block.ln_1(query)[0] @ weights[0].T + bias[0]
    k, v = (block.ln_3(tokens)[0] @ w.T + b for w, b in zip(weights[1:], bias[1:], strict=True))
    width, found = DIM // HEADS, []
    for head in range(HEADS):
        part = slice(head * width, (head + 1) * width)
        found.append(torch.softmax(q[:, part] @ k[:, part].T / width**0.5, dim=-1) @ v[:, part])
    x = query + block.attn.out_proj(torch.cat(found, dim=1))
    hidden = block.mlp.c_fc(block.ln_2(x))
    assert close(block(query, tokens), x + block.mlp.c_proj(hidden * torch.sigmoid(1.702 * hidden)))


def test_vjepas_positions_by_their_formula():
    table = vjepa.position_table(3, 4, 32)[0]
    each = 2 * int(np.ceil(32 / 6))
    for token, (t, h, w) in enumerate(np.ndindex(3, 4, 4)):
        parts = []
        for place in (t, h, w):
            angle = place / 10000 ** (np.arange(each // 2) / (each / 2))
            parts += [np.sin(angle), np.cos(angle)]
        np.testing.assert_allclose(table[token], np.concatenate(parts)[:32], atol=1e-6)


def test_positions_are_interpolated_in_time_only():
    table = sinusoid_table(4 * 3, 8)
    longer = interpolate_time(table, 4, 8).reshape(8, 3, 8)
    shorter = table.reshape(4, 3, 8)
    assert torch.allclose(longer[1], 0.75 * shorter[0] + 0.25 * shorter[1])
    assert torch.allclose(longer[0], shorter[0])
    assert torch.allclose(longer.mean(0)[:, 1:], shorter.mean(0)[:, 1:], atol=1e-5)


def test_helpers_of_published_names():
    state = {"model": {"a.b": 1, "ab": 2}, "epoch": 3}
    assert inner(state, "module", "model") == {"a.b": 1, "ab": 2}
    assert inner({"a.b": 1}, "model") == {"a.b": 1}
    assert without({"a.b": 1, "ab": 2}, "a.") == {"ab": 2}
    assert unprefixed({"a.b": 1, "ab": 2}, "a.") == {"b": 1, "ab": 2}
    assert reprefixed({"a.b": 1, "ab": 2}, {"a.": "c."}) == {"c.b": 1, "ab": 2}


def test_a_recognizer_has_mmactions_names():
    network = recognizer(nn.Identity(), nn.Identity())
    assert [name for name, _ in network.named_children()] == ["backbone", "cls_head"]
