"""Networks of torchvision and timm with weights of other publishers: names, loading, and the checks."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from src import models
from src.extraction.check import failed_extraction_checks
from src.models.checkpoints import checkpoint_path
from src.models.inspect.check import failed_checks
from src.models.networks import image_nets, videoswin
from src.models.sources import published
from src.utils import BadInput

NAMES = (
    "VideoSwin-B",
    "resnext101_32x8d_wsl",
    "resnet50_imagenet_full",
    "convnext_base_imagenet_full_seed-0",
    "deit_base_imagenet_full_seed-0",
)


@pytest.fixture
def reduced(request, monkeypatch, tmp_path):
    """The name of an entry whose builder makes a smaller network, with an empty TORCH_HOME and no digest expected."""
    entry = models.MODELS[request.param]
    if entry.extra:
        pytest.importorskip(entry.extra)
    file, _, name = entry.argument.partition(":")
    builders = {"videoswin": videoswin, "image_nets": image_nets}[file].BUILDERS
    monkeypatch.setitem(builders, name, smaller(builders[name]))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    without_digest = replace(entry, weights=replace(entry.weights, sha256=""))
    for table, key in ((models.MODELS, entry.name), (models.catalogue.BY_ARGUMENT, (entry.source, entry.argument))):
        monkeypatch.setitem(table, key, without_digest)
    checkpoint_path(entry.weights).parent.mkdir(parents=True)
    return request.param


def smaller(builder):
    return lambda reduced=False: partial(builder, reduced=True)()


def published_file(name: str, state: dict) -> dict:
    """The whole content of the published file for a network's state dict."""
    if name.startswith("VideoSwin"):
        return {"meta": {"epoch": 30}, "state_dict": {mmaction(key): value for key, value in state.items()}}
    if name.startswith("resnext"):
        return {key: value for key, value in state.items() if "num_batches_tracked" not in key}
    if name.startswith("resnet50"):
        return {"state": {"model": {f"module.{key}": value for key, value in state.items()}}}
    return {"state": {"model": {}, "model_ema_state_dict": {f"module.{key}": value for key, value in state.items()}}}


def mmaction(key: str) -> str:
    """torchvision's name of a part of Swin as MMAction2 has it."""
    stage, *rest = key.removeprefix("features.").split(".")
    if key.startswith("head."):
        return key.replace("head.", "cls_head.fc_cls.")
    if key.startswith("norm."):
        return key.replace("norm.", "backbone.norm3.")
    if not key.startswith("features."):
        return f"backbone.{key}"
    rest = ".".join(rest).replace("mlp.0.", "mlp.fc1.").replace("mlp.3.", "mlp.fc2.")
    return f"backbone.layers.{int(stage) // 2}." + (f"downsample.{rest}" if int(stage) % 2 else f"blocks.{rest}")


@pytest.mark.parametrize("reduced", NAMES, indirect=True)
def test_passes_every_check(reduced):
    model = models.load(f"Random-{reduced}")
    assert failed_checks(model) == []
    assert failed_extraction_checks(model) == []


@pytest.mark.parametrize("reduced", NAMES, indirect=True)
def test_loads_the_published_names(reduced):
    variant = models.load(f"Random-{reduced}").module.state_dict()
    state = {key: value if "index" in key else value + 1 for key, value in variant.items()}
    path = checkpoint_path(models.MODELS[reduced].weights)
    torch.save(published_file(reduced, state), path)
    model, files = models.load_watched(reduced)
    assert files == (path,)
    for key, value in model.module.state_dict().items():
        assert "num_batches" in key or torch.equal(value, state[key]), key
    torch.save({"state_dict": {}, "state": {"model": {}, "model_ema_state_dict": {}}}, path)
    with pytest.raises(BadInput, match=rf"{reduced}: the weight file .* does not fit the network: \d+ missing"):
        models.load(reduced)


def test_mmaction_names_of_the_swin_transformer():
    names = {
        "backbone.patch_embed.proj.weight": "patch_embed.proj.weight",
        "backbone.layers.2.blocks.17.attn.qkv.bias": "features.4.17.attn.qkv.bias",
        "backbone.layers.0.blocks.1.mlp.fc2.bias": "features.0.1.mlp.3.bias",
        "backbone.layers.1.downsample.reduction.weight": "features.3.reduction.weight",
        "backbone.norm3.bias": "norm.bias",
        "cls_head.fc_cls.weight": "head.weight",
    }
    assert list(videoswin.rename(dict.fromkeys(names))) == list(names.values())
    assert videoswin.rename({"data_preprocessor.mean": 0}) == {}


def test_a_digest_of_another_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = checkpoint_path(models.MODELS["resnext101_32x8d_wsl"].weights)
    path.parent.mkdir(parents=True)
    torch.save({}, path)
    monkeypatch.setitem(
        image_nets.BUILDERS, "resnext101_32x8d_wsl", smaller(image_nets.BUILDERS["resnext101_32x8d_wsl"])
    )
    with pytest.raises(BadInput, match=r"has SHA-256 .*, expected c38310e5; delete it to fetch it again"):
        models.load("resnext101_32x8d_wsl")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("predrn:PredRNN", "unknown file of networks 'predrn'"),
        ("videoswin:VideoSwin-X", "unknown network in videoswin.py"),
    ],
)
def test_unknown_arguments_are_refused(argument, message):
    with pytest.raises(BadInput, match=message):
        published.build(argument)


def test_the_files_that_a_network_imports_are_watched():
    names = {path.name for path in published.source_files("videomae_v2:InternVideo1-VideoMAE-B")}
    assert {"videomae_v2.py", "vit_parts.py", "preprocessing.py"} <= names
