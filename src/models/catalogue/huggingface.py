"""Networks of Hugging Face's transformers: their repositories and their published configurations.

The configurations are part of the catalogue, so that Random- variants and tests need no access to the hub.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .entry import IMAGE, VIDEO, ModelEntry, Preprocessing, Weights

HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Classes and arguments by which transformers builds a network, and the order of its tokens.

    model, config: names of classes; facts: arguments of the config; build: arguments of the model; part: submodule
    that is run, "" = all; keys: prefix of the model's names in the checkpoint, which is removed; layers: paths, with
    "{i}" for each of `depth` blocks; tokens: order of the patch tokens, "THW" or "HWT" (read as these axes, C last) or
    "" (one axis K, class tokens included); skip: tokens before the patches; grid: patches along H and W.
    """

    model: str
    config: str
    facts: Mapping[str, Any]
    build: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""
    keys: str = ""
    layers: tuple[str, ...]
    depth: tuple[int, ...]
    tokens: str = ""
    skip: int = 0
    grid: tuple[int, int] = (14, 14)


def _size(hidden: int, depth: int, heads: int, inner: int) -> dict[str, int]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "intermediate_size": inner,
    }


def _videomae(hidden: int, depth: int, heads: int, inner: int) -> Architecture:
    facts = {**_size(hidden, depth, heads, inner), "use_mean_pooling": False}
    layers = ("embeddings", "encoder.layer.{i}", "layernorm")
    return Architecture(
        model="VideoMAEModel", config="VideoMAEConfig", facts=facts, layers=layers, depth=(depth,), tokens="THW"
    )


def _vjepa2(hidden: int, depth: int, heads: int, ratio: float) -> Architecture:
    facts = _size(hidden, depth, heads, 0)
    del facts["intermediate_size"]
    return Architecture(
        model="VJEPA2Model",
        config="VJEPA2Config",
        facts={**facts, "mlp_ratio": ratio},
        part="encoder",
        layers=("embeddings", "layer.{i}", "layernorm"),
        depth=(depth,),
        tokens="THW",
        grid=(16, 16),
    )


def _dinov2(hidden: int, depth: int, heads: int) -> Architecture:
    facts = {**_size(hidden, depth, heads, 0), "image_size": 518, "patch_size": 14}
    del facts["intermediate_size"]
    layers = ("embeddings", "encoder.layer.{i}", "layernorm")
    return Architecture(model="Dinov2Model", config="Dinov2Config", facts=facts, layers=layers, depth=(depth,))


def _dinov3(hidden: int, depth: int, heads: int, inner: int) -> Architecture:
    facts = {**_size(hidden, depth, heads, inner), "num_register_tokens": 4}
    layers = ("embeddings", "model.layer.{i}", "norm")
    return Architecture(model="DINOv3ViTModel", config="DINOv3ViTConfig", facts=facts, layers=layers, depth=(depth,))


def _siglip(hidden: int, depth: int, heads: int, inner: int, size: int, patch: int) -> Architecture:
    facts = {**_size(hidden, depth, heads, inner), "image_size": size, "patch_size": patch}
    layers = ("embeddings", "encoder.layers.{i}", "post_layernorm")
    return Architecture(
        model="SiglipVisionModel", config="SiglipVisionConfig", facts=facts, layers=layers, depth=(depth,)
    )


def _hiera(width: int, depths: tuple[int, ...], heads: tuple[int, ...]) -> Architecture:
    facts = {"embed_dim": width, "depths": list(depths), "num_heads": list(heads)}
    stages = tuple(f"encoder.stages.{stage}.layers.{{i}}" for stage in range(len(depths)))
    return Architecture(model="HieraModel", config="HieraConfig", facts=facts, layers=stages, depth=depths)


ARCHITECTURES = {
    "facebook/timesformer-base-finetuned-k400": Architecture(
        model="TimesformerModel",
        config="TimesformerConfig",
        facts=_size(768, 12, 12, 3072),
        layers=("embeddings", "encoder.layer.{i}", "layernorm"),
        depth=(12,),
        tokens="HWT",
        skip=1,
    ),
    "google/vivit-b-16x2-kinetics400": Architecture(
        model="VivitModel",
        config="VivitConfig",
        facts=_size(768, 12, 12, 3072),
        build={"add_pooling_layer": False},
        layers=("embeddings", "layers.{i}", "layernorm"),
        depth=(12,),
        tokens="THW",
        skip=1,
    ),
    "MCG-NJU/videomae-base": _videomae(768, 12, 12, 3072),
    "MCG-NJU/videomae-large": _videomae(1024, 24, 16, 4096),
    "facebook/vjepa2-vitl-fpc64-256": _vjepa2(1024, 24, 16, 4.0),
    "facebook/vjepa2-vith-fpc64-256": _vjepa2(1280, 32, 16, 4.0),
    "facebook/vjepa2-vitg-fpc64-256": _vjepa2(1408, 40, 22, 48 / 11),
    "facebook/dinov2-base": _dinov2(768, 12, 12),
    "facebook/dinov2-large": _dinov2(1024, 24, 16),
    "facebook/dinov3-vitb16-pretrain-lvd1689m": _dinov3(768, 12, 12, 3072),
    "facebook/dinov3-vitl16-pretrain-lvd1689m": _dinov3(1024, 24, 16, 4096),
    "google/siglip2-base-patch16-224": _siglip(768, 12, 12, 3072, 224, 16),
    "google/siglip2-so400m-patch14-384": _siglip(1152, 27, 16, 4304, 384, 14),
    "facebook/hiera-base-224-hf": _hiera(96, (2, 3, 16, 3), (1, 2, 4, 8)),
    "facebook/hiera-large-224-hf": _hiera(144, (2, 6, 36, 4), (2, 4, 8, 16)),
    "LanguageBind/Video-LLaVA-7B-hf": Architecture(
        model="CLIPVisionModel",
        config="CLIPVisionConfig",
        facts={**_size(1024, 24, 16, 4096), "patch_size": 14, "projection_dim": 768},
        keys="video_tower.",
        layers=("embeddings", "encoder.layers.{i}"),
        depth=(24,),
    ),
}


def _entry(
    name: str, group: str, repository: str, preprocessing: Preprocessing, licence: str, **facts: Any
) -> ModelEntry:
    static = preprocessing.axes == "CHW"
    return ModelEntry(
        name=name,
        group=group,
        kind=IMAGE if static else VIDEO,
        source="huggingface",
        argument=repository,
        weights=Weights(file=repository, url=f"https://huggingface.co/{repository}", licence=licence),
        preprocessing=preprocessing,
        extra="transformers",
        **{"fps": 25.0, "frames": (1, float("inf")), **facts} if static else facts,
    )


TUBES = Preprocessing(size=224, axes="TCHW")
VJEPA2 = Preprocessing(size=256, resize=292, axes="TCHW")
CROPPED = Preprocessing(size=224, resize=256, axes="CHW")
SQUARE = Preprocessing(size=224, axes="CHW")
V1_NOTE = "the checkpoint in transformers was trained for 1600 epochs on Kinetics-400, that of the first list for 1200"
PLAIN, MIT, NONCOMMERCIAL = "Apache-2.0", "MIT", "CC-BY-NC-4.0"
DINOV3 = "DINOv3 License, to be accepted in the repository before the download"

ENTRIES = (
    _entry(
        "TimeSformer",
        "action recognition",
        "facebook/timesformer-base-finetuned-k400",
        Preprocessing(size=224, resize=224, mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225), axes="TCHW"),
        NONCOMMERCIAL,
        fps=8.0,
        frames=(8, 8),
        layers=14,
        millions=121.26,
        note="the authors' own checkpoint (divided space-time, 8 frames, Kinetics-400), not MMAction2's retrained one",
    ),
    _entry(
        "ViViT",
        "action recognition",
        "google/vivit-b-16x2-kinetics400",
        Preprocessing(size=224, resize=256, mean=HALF, std=HALF, axes="TCHW"),
        MIT,
        fps=12.5,
        frames=(32, 32),
        layers=14,
        millions=88.65,
        note="pixels in [-1, 1], as the network was trained",
    ),
    _entry(
        "VideoMAE-V1-B",
        "masked autoencoder",
        "MCG-NJU/videomae-base",
        TUBES,
        NONCOMMERCIAL,
        fps=6.25,
        frames=(16, 16),
        layers=14,
        millions=86.23,
        note=V1_NOTE,
    ),
    _entry(
        "VideoMAE-V1-L",
        "masked autoencoder",
        "MCG-NJU/videomae-large",
        TUBES,
        NONCOMMERCIAL,
        fps=6.25,
        frames=(16, 16),
        layers=26,
        millions=303.86,
        note=V1_NOTE,
    ),
    *(
        _entry(
            f"V-JEPA2-{letter}",
            "masked autoencoder",
            f"facebook/vjepa2-vit{letter.lower()}-fpc64-256",
            VJEPA2,
            MIT,
            fps=4.0,
            frames=(2, 64),
            layers=layers,
            millions=millions,
            note="the encoder alone, without its predictor",
        )
        for letter, layers, millions in (("L", 26, 303.89), ("H", 34, 631.65), ("G", 42, 1012.17))
    ),
    _entry(
        "Hiera-B", "masked autoencoder", "facebook/hiera-base-224-hf", SQUARE, NONCOMMERCIAL, layers=24, millions=50.76
    ),
    _entry(
        "Hiera-L",
        "masked autoencoder",
        "facebook/hiera-large-224-hf",
        SQUARE,
        NONCOMMERCIAL,
        layers=48,
        millions=212.59,
    ),
    _entry("DINOv2-B", "self-supervised", "facebook/dinov2-base", CROPPED, PLAIN, layers=14, millions=86.58),
    _entry("DINOv2-L", "self-supervised", "facebook/dinov2-large", CROPPED, PLAIN, layers=26, millions=304.37),
    _entry(
        "DINOv3-B",
        "self-supervised",
        "facebook/dinov3-vitb16-pretrain-lvd1689m",
        SQUARE,
        DINOV3,
        layers=14,
        millions=85.66,
    ),
    _entry(
        "DINOv3-L",
        "self-supervised",
        "facebook/dinov3-vitl16-pretrain-lvd1689m",
        SQUARE,
        DINOV3,
        layers=26,
        millions=303.13,
    ),
    _entry(
        "SigLIP2-B",
        "text-image",
        "google/siglip2-base-patch16-224",
        Preprocessing(size=224, mean=HALF, std=HALF, axes="CHW"),
        PLAIN,
        layers=14,
        millions=92.88,
    ),
    _entry(
        "SigLIP2-SO400M",
        "text-image",
        "google/siglip2-so400m-patch14-384",
        Preprocessing(size=384, mean=HALF, std=HALF, axes="CHW"),
        PLAIN,
        layers=29,
        millions=428.23,
    ),
    _entry(
        "Video-LLaVA",
        "text-video",
        "LanguageBind/Video-LLaVA-7B-hf",
        Preprocessing(
            size=224,
            resize=224,
            mean=(0.48145466, 0.4578275, 0.40821073),
            std=(0.26862954, 0.26130258, 0.27577711),
            axes="CHW",
        ),
        PLAIN,
        layers=25,
        millions=303.18,
        note="the video tower alone, which in transformers processes single frames; the language model is not run",
    ),
)
