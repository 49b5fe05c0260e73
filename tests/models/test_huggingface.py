"""Transformers' networks: configurations at reduced depth, published names, token order, missing files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from safetensors.torch import save_file

from src import models
from src.extraction.check import failed_extraction_checks
from src.models.catalogue.huggingface import ARCHITECTURES
from src.models.hub import FILES, hub_file
from src.models.inspect.check import failed_checks
from src.models.inspect.outputs import run
from src.models.sources import huggingface
from src.utils import BadInput

SMALL = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
NAMES = {
    "TimeSformer": ("facebook/timesformer-base-finetuned-k400", {**SMALL, "intermediate_size": 64}),
    "ViViT": ("google/vivit-b-16x2-kinetics400", {**SMALL, "intermediate_size": 64}),
    "VideoMAE-V1-B": ("MCG-NJU/videomae-base", {**SMALL, "intermediate_size": 64}),
    "V-JEPA2-L": ("facebook/vjepa2-vitl-fpc64-256", {**SMALL, "pred_hidden_size": 48, "pred_num_hidden_layers": 1}),
    "VideoMAE-V1-B-Kinetics400": ("MCG-NJU/videomae-base-finetuned-kinetics", {**SMALL, "intermediate_size": 64}),
    "V-JEPA2-L-smthsmthv2": (
        "facebook/vjepa2-vitl-fpc16-256-ssv2",
        {**SMALL, "pred_hidden_size": 48, "pred_num_hidden_layers": 1},
    ),
    "DINOv2-B": ("facebook/dinov2-base", SMALL),
    "DINOv3-B": ("facebook/dinov3-vitb16-pretrain-lvd1689m", {**SMALL, "intermediate_size": 64}),
    "SigLIP2-B": ("google/siglip2-base-patch16-224", {**SMALL, "intermediate_size": 64}),
    "Hiera-B": ("facebook/hiera-base-224-hf", {"embed_dim": 16, "depths": [1, 1, 2, 1]}),
    "Video-LLaVA": ("LanguageBind/Video-LLaVA-7B-hf", {**SMALL, "intermediate_size": 64}),
}
# names in the published files that differ from those of transformers 5: {in the network: in the file}
SPLIT = {
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
}
QV = {"attention.query.bias": "attention.q_bias", "attention.value.bias": "attention.v_bias"}
OLDER = {
    "ViViT": {**SPLIT, "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense", "layers.": "encoder.layer."},
    "VideoMAE-V1-B": QV,
    "VideoMAE-V1-B-Kinetics400": QV,
    "DINOv2-B": SPLIT,
    "DINOv3-B": {"model.layer.": "layer."},
}
BEFORE = {
    "TimeSformer": "timesformer.",
    "ViViT": "vivit.",
    "VideoMAE-V1-B": "videomae.",
    "V-JEPA2-L": "encoder.",
    "VideoMAE-V1-B-Kinetics400": "videomae.",
    "V-JEPA2-L-smthsmthv2": "vjepa2.encoder.",
    "SigLIP2-B": "vision_model.",
    "Video-LLaVA": "video_tower.vision_model.",
}
HEADS = {
    "TimeSformer": ("classifier.weight",),
    "ViViT": ("classifier.weight",),
    "VideoMAE-V1-B": ("mask_token", "encoder_to_decoder.weight", "decoder.norm.weight"),
    "VideoMAE-V1-B-Kinetics400": ("fc_norm.weight", "classifier.weight"),
    "V-JEPA2-L-smthsmthv2": ("pooler.query_tokens", "classifier.weight"),
    "SigLIP2-B": ("logit_scale", "text_model.embeddings.token_embedding.weight"),
    "Video-LLaVA": ("language_model.model.norm.weight", "image_tower.vision_model.pre_layrnorm.weight"),
}


@pytest.fixture
def reduced(monkeypatch, request):
    """The name of a network of the catalogue whose configuration is smaller for the test."""
    name = request.param
    repository, changes = NAMES[name]
    architecture = ARCHITECTURES[repository]
    depth = tuple(changes["depths"]) if "depths" in changes else (changes["num_hidden_layers"],)
    smaller = replace(architecture, facts={**architecture.facts, **changes}, depth=depth)
    monkeypatch.setitem(ARCHITECTURES, repository, smaller)
    return name


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty HF_HOME without network access."""
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path


def publish(hub, repository: str, state: dict, shards: int = 1) -> None:
    """Write a state dict in the format of the hub's cache."""
    folder = hub / "hub" / ("models--" + repository.replace("/", "--"))
    snapshot = folder / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0123abc")
    if shards == 1:
        save_file(state, str(snapshot / "model.safetensors"))
        return
    where = {name: f"model-{i % shards + 1}.safetensors" for i, name in enumerate(sorted(state))}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    for file in set(where.values()):
        save_file({name: state[name] for name, place in where.items() if place == file}, str(snapshot / file))


def published(name: str, state: dict) -> dict:
    """A network's state dict under its published names, with some of the other heads of the published file."""
    renamed = {}
    for key, value in state.items():
        for new, old in OLDER.get(name, {}).items():
            key = old + key.removeprefix(new) if new.endswith(".") and key.startswith(new) else key.replace(new, old)
        renamed[BEFORE.get(name, "") + key] = value.clone().contiguous()
    return {**renamed, **{head: torch.zeros(2, 2) for head in HEADS.get(name, ())}}


@pytest.mark.parametrize("reduced", NAMES, indirect=True)
def test_passes_every_check_without_weights_or_network(reduced, hub):
    model = models.load(f"Random-{reduced}")
    entry = models.MODELS[reduced]
    assert (model.kind, model.fps, model.num_frames) == (entry.kind, entry.fps, entry.frames)
    assert failed_checks(model) == []
    assert failed_extraction_checks(model) == []


@pytest.mark.parametrize("reduced", NAMES, indirect=True)
def test_loads_the_published_names(reduced, hub):
    variant = models.load(f"Random-{reduced}").module.state_dict()
    sharded = reduced == "Video-LLaVA"  # in half precision, too
    state = {key: (value + 0.125).half().float() if sharded else value + 0.125 for key, value in variant.items()}
    content = published(reduced, {key: value.half() for key, value in state.items()} if sharded else state)
    publish(hub, NAMES[reduced][0], content, shards=2 if sharded else 1)
    model, files = models.load_watched(reduced)
    loaded = model.module.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())
    assert {file.suffix for file in files} == {".safetensors"}
    assert models.resolve(reduced).module.ready(NAMES[reduced][0]) == "yes"
    assert models.load(f"hf:{NAMES[reduced][0]}").digest == model.digest


@pytest.mark.parametrize("reduced", ["TimeSformer", "ViViT", "VideoMAE-V1-B", "V-JEPA2-L"], indirect=True)
def test_tokens_have_the_declared_order(reduced, hub):
    model = models.load(f"Random-{reduced}")
    least, most = model.num_frames
    side, n_frames = model.preprocess(np.zeros((1, 8, 8, 3), np.uint8)).shape[-1], least if least == most else 16
    clip = torch.zeros(1, n_frames, 3, side, side)
    changed = clip.clone()
    changed[:, 5, :, 32:48, 64:80] = 1
    before, after = (
        run(model.module, ["embeddings"], x, model.process_output)["embeddings"][-1] for x in (clip, changed)
    )
    places = (before != after).any(dim=-1)[0].nonzero()
    axes = model.layers["embeddings"]
    steps_per_frame = before.shape[axes.index("T") + 1] / n_frames
    expected = {"T": int(5 * steps_per_frame), "H": 2, "W": 4}
    assert places.tolist() == [[expected[axis] for axis in axes if axis != "C"]]


@pytest.mark.parametrize("reduced", ["VideoMAE-V1-B"], indirect=True)
def test_weights_that_do_not_fit_are_refused(reduced, hub):
    state = published(reduced, models.load(f"Random-{reduced}").module.state_dict())
    del state["videomae.encoder.layer.1.output.dense.weight"]
    publish(hub, NAMES[reduced][0], state)
    with pytest.raises(BadInput, match=r"VideoMAE-V1-B: its weights do not fit .*1 missing \(encoder.layer.1.output"):
        models.load(reduced)


def test_missing_weights_are_reported_with_the_command_that_fetches_them(hub):
    with pytest.raises(BadInput) as error:
        models.load("TimeSformer")
    assert "\n" not in str(error.value)
    for part in (NAMES["TimeSformer"][0], f"HF_HOME ({hub})", "hf download", "HF_HUB_OFFLINE is set"):
        assert part in str(error.value)
    assert models.resolve("TimeSformer").module.ready(NAMES["TimeSformer"][0]) == f"fetches {NAMES['TimeSformer'][0]}"


def outside(hub, network, settings: dict | None = None, config=None) -> None:
    """Publish a network and its configuration files as a repository outside the catalogue."""
    publish(hub, "someone/net", {key: value.contiguous() for key, value in network.state_dict().items()})
    snapshot = hub / "hub" / "models--someone--net" / "snapshots" / "0123abc"
    (snapshot / "config.json").write_text(json.dumps((config or network.config).to_dict()))
    (snapshot / "preprocessor_config.json").write_text(json.dumps(settings or {}))


def test_a_repository_outside_the_catalogue_is_read_from_its_files(hub):
    from transformers import ViTConfig, ViTModel

    network = ViTModel(ViTConfig(**SMALL, intermediate_size=64, image_size=64), add_pooling_layer=True)
    settings = {"do_center_crop": True, "size": {"shortest_edge": 72}, "crop_size": {"height": 64, "width": 64}}
    outside(hub, network, {**settings, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]})
    model = models.load("hf:someone/net")
    assert (model.name, model.kind, model.fps) == ("hf:someone/net", "image", 25.0)
    assert model.preprocess(np.full((1, 90, 120, 3), 255, np.uint8)).eq(1).all()
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in model.module.state_dict().items())
    assert failed_checks(model) == []
    assert models.load("Random-hf:someone/net").digest != model.digest


def test_clips_are_recognised_by_the_configuration(hub):
    from transformers import VideoMAEConfig, VideoMAEModel

    config = VideoMAEConfig(**SMALL, intermediate_size=64, image_size=32, num_frames=4)
    outside(hub, VideoMAEModel(config), {"size": {"shortest_edge": 32}})
    model = models.load("hf:someone/net")
    assert (model.kind, model.fps, model.num_frames) == ("video", 6.25, (4, 4))
    assert model.preprocess(np.zeros((4, 40, 60, 3), np.uint8)).shape == (4, 3, 32, 32)
    assert failed_checks(model) == []


def test_a_users_folder_is_a_repository_too(hub):
    from transformers import ViTConfig, ViTModel

    network = ViTModel(ViTConfig(**SMALL, intermediate_size=64, image_size=32))
    network.save_pretrained(str(hub / "mine"))
    model, files = models.load_watched(f"hf:{hub / 'mine'}")
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in model.module.state_dict().items())
    assert files == (hub / "mine" / "model.safetensors",)
    (hub / "empty").mkdir()
    with pytest.raises(
        BadInput, match=r"empty has no config.json; expected a folder written by transformers' save_pretrained"
    ):
        models.load(f"hf:{hub / 'empty'}")


def test_the_vision_part_of_a_network_of_images_and_text_is_loaded(hub):
    from transformers import SiglipConfig, SiglipModel

    part = {**SMALL, "intermediate_size": 64}
    words = {**part, "vocab_size": 50, "projection_size": 48}
    network = SiglipModel(SiglipConfig(vision_config={**part, "image_size": 64}, text_config=words))
    outside(hub, network)
    model = models.load("hf:someone/net")
    assert model.preprocess(np.zeros((1, 90, 90, 3), np.uint8)).shape == (1, 3, 64, 64)
    theirs = network.vision_model.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in model.module.state_dict().items())
    assert not any("text" in layer for layer in model.layers)


def test_layer_paths_follow_the_depth():
    paths = huggingface.layer_paths(ARCHITECTURES["facebook/hiera-base-224-hf"])
    assert len(paths) == 24
    assert paths[-1] == "encoder.stages.3.layers.2"


@pytest.mark.parametrize(
    ("offered", "found"),
    [
        (("model.safetensors",), "model.safetensors"),
        (("pytorch_model.bin",), "pytorch_model.bin"),
        ((), "no such file"),
    ],
)
def test_safetensors_are_preferred_to_torchs_format(hub, monkeypatch, offered, found):
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    def download(_repository, name, **_):
        if name not in offered:
            raise EntryNotFoundError(name)
        return f"cache/{name}"

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: [])
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    if offered:
        assert hub_file("someone/net", FILES).name == found
    else:
        with pytest.raises(BadInput, match=rf"cannot be fetched \({found}"):
            hub_file("someone/net", FILES)
