"""Hiera for videos: windows and pooling, transformers' image network as the oracle, published names, the checks."""

import pytest
import torch

from src.extraction.check import failed_extraction_checks
from src.models.inspect.check import failed_checks
from src.models.inspect.outputs import run
from src.models.networks.hiera import Hiera, Shape, pooled, unwindowed, windows
from src.models.sources import published
from tests.models.networks import reduced

IMAGE = Shape(8, 1, (1, 1, 2, 1), grid=(1, 56, 56), kernel=(1, 7, 7), stride=(1, 4, 4), padding=(0, 3, 3))


def test_windows_are_squares_of_one_time_step_and_can_be_undone():
    grid = torch.arange(2 * 2 * 4 * 4).view(2, 2, 4, 4, 1)
    parts = windows(grid, 2)
    assert parts.shape == (2, 8, 4, 1)
    assert parts[0, 0, :, 0].tolist() == [0, 1, 4, 5]
    assert torch.equal(unwindowed(parts, 2, (2, 4, 4)), grid)
    assert torch.equal(unwindowed(windows(grid, 0), 0, (2, 4, 4)), grid)
    assert pooled(grid)[0, 0, :, :, 0].tolist() == [[5, 7], [13, 15]]


def test_on_one_frame_it_equals_transformers_network_of_images():
    transformers = pytest.importorskip("transformers")
    config = transformers.HieraConfig(embed_dim=8, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8])
    torch.manual_seed(0)
    theirs = transformers.HieraModel(config).eval()
    for value in theirs.parameters():
        torch.nn.init.normal_(value, std=0.1)
    ours = Hiera(IMAGE).eval()
    ours.load_state_dict(renamed(theirs.state_dict()), strict=False)
    image = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(image).pooler_output
        got = run(ours, ["norm"], image[:, :, None], lambda _layer, output: output)["norm"][-1]
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def renamed(state: dict) -> dict:
    """transformers' state dict of images as ours of videos of one frame."""
    block, ours = -1, {"pos_embed_temporal": torch.zeros(1, 1, 8)}
    ours["pos_embed_spatial"] = state["embeddings.position_embeddings"]
    ours["patch_embed.proj.weight"] = state["embeddings.patch_embeddings.projection.weight"][:, :, None]
    ours["patch_embed.proj.bias"] = state["embeddings.patch_embeddings.projection.bias"]
    for kind in ("weight", "bias"):
        ours[f"norm.{kind}"] = state[f"pooler.layernorm.{kind}"]
    for name, value in state.items():
        if name.startswith("encoder.stages"):
            rest = ".".join(name.split(".")[5:])
            block += rest == "layernorm_before.weight"
            rest = rest.replace("layernorm_before", "norm1").replace("layernorm_after", "norm2")
            ours[f"blocks.{block}.{rest}"] = value
    return ours


@pytest.mark.parametrize(("name", "width", "depth"), [("Hiera-Video-B", 96, 24), ("Hiera-Video-L", 144, 48)])
def test_names_and_shapes_are_the_published_ones(name, width, depth):
    shapes = reduced.shapes(reduced.meta(name).module)
    assert shapes["pos_embed_spatial"] == (1, 56 * 56, width)
    assert shapes["pos_embed_temporal"] == (1, 8, width)
    assert shapes["patch_embed.proj.weight"] == (width, 3, 3, 7, 7)
    assert shapes["blocks.2.proj.weight"] == (2 * width, width)
    assert shapes["blocks.2.attn.qkv.weight"] == (6 * width, width)
    assert shapes[f"blocks.{depth - 1}.mlp.fc1.weight"] == (32 * width, 8 * width)
    assert shapes["head.projection.weight"] == (400, 8 * width)
    parts = {f"norm{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias")}
    parts |= {
        f"{part}.{kind}" for part in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2") for kind in ("weight", "bias")
    }
    assert {key.removeprefix("blocks.1.") for key in shapes if key.startswith("blocks.1.")} == parts


def test_passes_every_check():
    model = reduced.model("Hiera-Video-B")
    assert failed_checks(model) == []
    assert failed_extraction_checks(model) == []


def test_the_published_file_is_loaded(monkeypatch, tmp_path):
    network = published.build("hiera:Hiera-Video-B", reduced=True)
    state = {name: value + 1 for name, value in network.module.state_dict().items()}
    reduced.put_checkpoint(monkeypatch, tmp_path, "Hiera-Video-B", {"epoch": 1, "model_state": state})
    model, _ = published.load("hiera:Hiera-Video-B", "cpu")
    assert all(torch.equal(value, state[name]) for name, value in model.module.state_dict().items())
