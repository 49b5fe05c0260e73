"""timm's networks by name: preprocessing of their configuration, weights of the hub's cache, Random- variants."""

import pytest
import torch

pytest.importorskip("timm")

from safetensors.torch import save_file

from src import models
from src.models.catalogue.entry import Preprocessing
from src.models.inspect.check import failed_checks
from src.models.sources.timm import described
from src.utils import BadInput

NAME = "test_resnet.r160_in1k"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def test_weights_are_read_from_the_hubs_cache_and_random_variants_need_none(hub):
    variant = models.load(f"Random-timm:{NAME}")
    assert failed_checks(variant) == []
    with pytest.raises(
        BadInput, match=rf"timm/{NAME}: model.safetensors is not under HF_HOME .*hf download timm/{NAME}"
    ):
        models.load(f"timm:{NAME}")
    snapshot = hub / f"models--timm--{NAME}" / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0123abc")
    state = {key: value + 1 for key, value in variant.module.state_dict().items()}
    save_file(state, str(snapshot / "model.safetensors"))
    model, files = models.load_watched(f"timm:{NAME}")
    assert [file.name for file in files] == ["model.safetensors"]
    assert all(torch.equal(value, state[key]) for key, value in model.module.state_dict().items())
    assert model.digest != variant.digest
    assert model.layers == variant.layers
    assert models.load(f"timm:{NAME}").digest == model.digest


@pytest.mark.parametrize(
    ("changes", "preprocessing"),
    [
        ({}, {"resize": 109}),
        ({"crop_mode": "squash"}, {}),
        ({"crop_pct": 1.0}, {"resize": 96}),
        ({"interpolation": "bilinear"}, {"resize": 109, "interpolation": "bilinear"}),
    ],
)
def test_the_preprocessing_is_that_of_timm(changes, preprocessing):
    configuration = {"input_size": (3, 96, 96), "mean": [0.5] * 3, "std": [0.1] * 3, "crop_pct": 0.875}
    usual = {"size": 96, "mean": (0.5,) * 3, "std": (0.1,) * 3, "axes": "CHW", "interpolation": "bicubic"}
    assert described({**configuration, **changes}) == Preprocessing(**{**usual, **preprocessing})


def test_an_unknown_name_is_reported_with_the_nearest():
    with pytest.raises(BadInput, match=r"unknown model of timm 'resnet81'; did you mean"):
        models.load("Random-timm:resnet81")
