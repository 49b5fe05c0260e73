"""pytorchvideo's networks: the frames of the slow pathway, published names, and declared axes."""

import pytest
import torch

pytest.importorskip("pytorchvideo")

from src import models
from src.models.checkpoints import checkpoint_path
from src.models.inspect.outputs import sizes
from src.models.sources import pytorchvideo
from src.utils import BadInput


@pytest.fixture(scope="module")
def x3d():
    return models.load("Random-X3D")


def shapes(name, *size):
    """{layer: shape of its output} for a batch of that size, without values."""
    with torch.device("meta"):
        network = pytorchvideo.build(name)
        return sizes(network.module.eval(), list(network.layers), torch.zeros(size))


def test_x3d_has_the_declared_axes():
    seen = shapes("x3d_m", 2, 3, 16, 256, 256)
    assert list(seen) == [*(f"blocks.{i}" for i in range(5)), "blocks.5.proj"]
    assert seen["blocks.0"] == (2, 24, 16, 128, 128)
    assert seen["blocks.5.proj"] == (2, 1, 2, 2, 400)


def test_the_published_file_is_loaded_by_its_names(x3d, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    entry = models.MODELS["X3D"]
    path = checkpoint_path(entry.weights)
    path.parent.mkdir(parents=True)
    assert entry.module.ready(entry.argument) == "fetches X3D_M.pyth"
    state = {name: value + 1 for name, value in x3d.module.state_dict().items()}
    torch.save({"epoch": 1, "cfg": "yaml", "model_state": state}, path)
    model, files = models.load_watched("X3D")
    assert files == (path,)
    assert entry.module.ready(entry.argument) == "yes"
    assert all(torch.equal(value, state[name]) for name, value in model.module.state_dict().items())
    del state["blocks.0.conv.conv_t.weight"]
    torch.save({"model_state": state}, path)
    with pytest.raises(
        BadInput, match=r"X3D: the weight file .*X3D_M.pyth does not fit .*1 missing \(blocks.0.conv.conv_t"
    ):
        models.load("X3D")


def test_the_slow_pathway_spans_the_clip_with_every_fourth_frame():
    frames = torch.arange(32.0).view(1, 1, 32, 1, 1)
    one = [0, 4, 8, 13, 17, 22, 26, 31]
    assert pytorchvideo._slow(frames).flatten().tolist() == one
    two = torch.cat([frames, frames + 32], dim=2)
    assert pytorchvideo._slow(two).flatten().tolist() == [*one, *(32 + frame for frame in one)]


@pytest.mark.parametrize(
    "entry", [e for e in models.MODELS.values() if e.source == "pytorchvideo"], ids=lambda e: e.name
)
def test_every_network_takes_its_clip_and_has_the_declared_layers(entry):
    side, frames = entry.preprocessing.size, int(entry.frames[0])
    seen = shapes(entry.argument, 2, 3, frames, side, side)
    layers = pytorchvideo.build(entry.argument).layers
    assert {layer: len(shape) for layer, shape in seen.items()} == {k: 1 + len(axes) for k, axes in layers.items()}
    assert all(shape[0] == 2 for shape in seen.values())
    assert all(shape[1 + layers[layer].index("T")] <= frames for layer, shape in seen.items() if "T" in layers[layer])


def test_slowfast_reads_both_pathways():
    seen = shapes("slowfast_r50", 2, 3, 32, 256, 256)
    assert seen["blocks.0.multipathway_blocks.0"] == (2, 64, 8, 64, 64)
    assert seen["blocks.0.multipathway_blocks.1"] == (2, 8, 32, 64, 64)
    assert seen["blocks.6"] == (2, 400)
