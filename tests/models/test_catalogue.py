"""Every entry of the catalogue: complete, resolvable, and consistent with the network that is built."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from src import models
from src.models.catalogue import ALIASES, FAMILIES, MODELS
from src.models.catalogue.entry import GROUP_ORDER
from src.models.catalogue.huggingface import ARCHITECTURES
from src.models.extras import EXTRAS, missing
from src.models.groups import GROUP_NAMES, GROUPS, Membership, membership
from src.models.sources import huggingface, published, pytorchvideo

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = list(MODELS.values())
WITH_PREPROCESSING = ("network", "huggingface", "pytorchvideo")
TORCHVISION = {"vgg_16": "vgg16", "resnet_50_v1": "resnet50"}
FIRST_LIST = """
pixels motion-energy hmax MotionNet alexnet AlexNet_SIN vgg_16 resnet_50_v1 CORnet-S voneresnet-50 efficientnet_b0
deit_base_imagenet_full_seed-0 convnext_base_imagenet_full_seed-0 resnext101_32x8d_wsl resnext101_32x16d_wsl
resnext101_32x32d_wsl r3d_18 r2plus1d_18 mc3_18 s3d mvit_v1_b mvit_v2_s I3D I3D-nonlocal SlowFast X3D TimeSformer
VideoSwin-B VideoSwin-L UniFormer-V1 UniFormer-V2-B ViViT VideoMAE-V1-B VideoMAE-V1-L VideoMAE-V2-B VideoMAE-V2-G
MAE-ST-L MAE-ST-G V-JEPA-L V-JEPA-H SeLaVi-Kinetics400 SeLaVi-VGG-Sound AVID-CMA-Kinetics400 AVID-CMA-Audioset
GDT-Kinetics400 ConvLSTM PredRNN TAU SimVP MIM s3d-HowTo100M Video-LLaVA DINOv2-B DINOv3-B V-JEPA2-L SigLIP2-B Hiera-B
"""


def named(entry):
    return entry.name


def of(*sources):
    return [entry for entry in ENTRIES if entry.source in sources and not entry.unavailable]


def test_no_name_is_given_twice_and_every_group_is_listed():
    everyone = [entry for family in FAMILIES for entry in family.ENTRIES]
    assert {name: n for name, n in Counter(entry.name for entry in everyone).items() if n > 1} == {}
    assert {entry.group for entry in everyone} <= set(GROUP_ORDER)
    assert sum(len(names) for names in GROUPS.values()) == len(everyone) == len(MODELS)


def test_every_name_of_the_first_list_is_in_the_catalogue():
    assert set(FIRST_LIST.split()) - set(MODELS) == set(ALIASES)
    assert all(models.resolve(old) == replace(MODELS[new], name=old) for old, new in ALIASES.items())
    assert any(name.startswith("MViT-V2-B") for name in MODELS)
    assert any(name.startswith("VideoChat") for name in MODELS)


@pytest.mark.parametrize("entry", ENTRIES, ids=named)
def test_an_entry_is_complete_or_has_the_reason_why_it_is_unavailable(entry):
    assert models.resolve(entry.name) == entry
    assert models.resolve(f"Random-{entry.name}") == replace(entry, name=f"Random-{entry.name}", random=True)
    assert entry.source in models.SOURCES
    assert entry.extra in ("", *EXTRAS)
    if entry.unavailable:
        return
    assert entry.kind in ("image", "video")
    assert entry.fps > 0
    assert 0 < entry.frames[0] <= entry.frames[1]
    assert entry.layers > 0
    assert entry.millions >= 0
    if entry.source in WITH_PREPROCESSING:
        assert entry.preprocessing.axes in (("CHW",) if entry.kind == "image" else ("CTHW", "TCHW"))
        assert not entry.preprocessing.resize or entry.preprocessing.resize >= entry.preprocessing.size
    if entry.weights is not None:
        assert entry.weights.url.startswith("https://") or entry.weights.how


@pytest.mark.parametrize("entry", of(*WITH_PREPROCESSING), ids=named)
def test_facts_are_those_of_the_network_at_full_size(entry):
    if missing(entry.extra):
        pytest.skip(missing(entry.extra))
    with torch.device("meta"):
        module, layers = built(entry)
    assert sum(value.numel() for value in module.parameters()) / 1e6 == pytest.approx(entry.millions, abs=0.06)
    assert len(layers) == entry.layers
    assert set(layers) <= dict(module.named_modules()).keys()


@pytest.mark.parametrize("entry", of("timm"), ids=named)
def test_facts_are_those_of_timms_configuration(entry):
    timm = pytest.importorskip("timm")
    from src.models.sources.timm import described

    configuration = timm.models.get_pretrained_cfg(entry.argument)
    assert described(configuration.to_dict()) == entry.preprocessing
    licence = entry.weights.licence.lower().replace(" ", "-")
    assert licence.startswith((configuration.license or "").split("-license")[0])
    assert entry.weights.url.endswith(configuration.hf_hub_id or configuration.url)


@pytest.mark.slow
@pytest.mark.parametrize("entry", of("timm"), ids=named)
def test_facts_are_those_of_timms_network(entry):
    timm = pytest.importorskip("timm")
    from src.models.inspect.outputs import blocks

    with torch.device("meta"):
        module = timm.create_model(entry.argument, pretrained=False)
    assert sum(value.numel() for value in module.parameters()) / 1e6 == pytest.approx(entry.millions, abs=0.06)
    assert len(blocks(module)) == entry.layers


def built(entry):
    if entry.source == "huggingface":
        architecture = ARCHITECTURES[entry.argument]
        return huggingface.built(architecture, None, entry.name), huggingface.layer_paths(architecture)
    build = published.build if entry.source == "network" else pytorchvideo.build
    network = build(entry.argument)
    return network.module, network.layers


@pytest.mark.parametrize("entry", of("torchvision", "brainscore"), ids=named)
def test_parameters_are_those_of_torchvisions_network(entry):
    torchvision = pytest.importorskip("torchvision")
    name = TORCHVISION.get(entry.name, entry.name)
    assert name in torchvision.models.list_models()
    weights = next(iter(torchvision.models.get_model_weights(name)))
    assert entry.weights.url == weights.url
    with torch.device("meta"):
        module = torchvision.models.get_model(name, weights=None)
    assert sum(value.numel() for value in module.parameters()) / 1e6 == pytest.approx(entry.millions, abs=0.01)


@pytest.mark.parametrize("name", ["pixels", "motion-energy", "fake-net", "fake-image-net", "X3D"])
def test_facts_are_those_of_the_loaded_model(name):
    entry = MODELS[name]
    if missing(entry.extra):
        pytest.skip(missing(entry.extra))
    model = models.load(f"Random-{name}" if entry.source in WITH_PREPROCESSING else name, limit=1000)
    assert (model.kind, model.fps, model.num_frames) == (entry.kind, entry.fps, entry.frames)
    assert len(model.layers) == entry.layers


@pytest.mark.slow
@pytest.mark.parametrize("entry", of("torchvision", "brainscore"), ids=named)
def test_facts_are_those_of_the_plugin(entry):
    model = models.load(f"Random-{entry.name}", limit=1000)
    assert (model.kind, model.fps, model.num_frames) == (entry.kind, entry.fps, entry.frames)
    assert len(model.layers) == entry.layers


def test_the_catalogue_loads_no_network_library():
    code = (
        "import sys, src.models.catalogue; print(sorted({'torch', 'numpy', 'transformers', 'timm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout
    assert "transformers" not in done.stdout


def test_every_model_has_a_group_and_a_family_and_siblings_share_it():
    assert all(membership(name).group == entry.group for name, entry in MODELS.items())
    families = {name: membership(name).family for name in MODELS}
    assert len(set(families.values())) >= 35
    for siblings in (
        ("resnet18", "resnet50", "Random-resnet18", "NoDownsample-resnet50", "Finetune-resnet18=runs/best.pt"),
        ("VideoMAE-V1-B", "VideoMAE-V2-G"),
        ("DINOv2-B", "hf:facebook/dinov2-large", "DINOv3-L"),
        ("swin3d_t", "VideoSwin-L"),
    ):
        assert len({membership(name).family for name in siblings}) == 1
    assert families["resnet18"] != families["r3d_18"]


def test_prefixes_and_unknown_names_have_groups():
    assert membership("Random-resnet18") == Membership("untrained", "ResNet", False)
    assert membership("Finetune-r3d_18=runs/best.pt") == Membership("action recognition", "R3D", True)
    assert membership("own/net.py:make") == Membership("own", "own/net.py:make", None)
    assert membership("timm:vit_base_patch16_224").group == "other"
    assert {membership(name).group for name in ("a-plugin", "x:y", "Random-x")} <= set(GROUP_NAMES)
