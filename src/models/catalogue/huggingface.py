"""Networks of Hugging Face's transformers: their repositories and their published configurations.

The configurations are part of the catalogue, so that Random- variants and tests need no access to the hub.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .entry import IMAGE, VIDEO, Fed, ModelEntry, Preprocessing, Weights

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


@dataclass(frozen=True, kw_only=True)
class Clips:
    """Input of a class of video networks, for the checkpoints of that class which are not in the catalogue.

    preprocessing: that of its published checkpoints, at their size; frames: name of the number of frames in a
    configuration; least: fewest frames, 0 where the number is fixed; fps: rate, or `span`: frames of a video with 30
    per second over which the frames of a clip are spread; both 0 where the publisher states none; order: of the patch
    tokens, as in Architecture, "" for frames that are folded into the batch or into patches; skip: tokens before the
    patches; part: submodule that is run; single: the network takes frames as its batch.
    """

    preprocessing: Preprocessing
    frames: str = "num_frames"
    least: int = 0
    fps: float = 0.0
    span: int = 0
    order: str = ""
    skip: int = 0
    part: str = ""
    single: bool = False

    def rate(self, n_frames: int) -> float:
        """Return the frames per second of a clip of that many frames, 0 where it is not known."""
        return 30 * n_frames / self.span if self.span else self.fps


def _size(hidden: int, depth: int, heads: int, inner: int) -> dict[str, int]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "intermediate_size": inner,
    }


GREY = {"mean": (0.45, 0.45, 0.45), "std": (0.225, 0.225, 0.225)}
TUBES = Preprocessing(size=224, resize=224, axes="TCHW")
UNSCALED = Preprocessing(size=288, resize=288, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), axes="TCHW")
# {model_type of a configuration: input of the network}
CLIPS = {
    "videomae": Clips(preprocessing=TUBES, fps=6.25, order="THW"),
    "vivit": Clips(
        preprocessing=Preprocessing(size=224, resize=256, mean=HALF, std=HALF, axes="TCHW"),
        fps=12.5,
        order="THW",
        skip=1,
    ),
    "timesformer": Clips(
        preprocessing=Preprocessing(size=224, resize=224, **GREY, axes="TCHW"), span=256, order="HWT", skip=1
    ),
    "vjepa2": Clips(
        preprocessing=Preprocessing(size=256, resize=292, axes="TCHW"),
        frames="frames_per_clip",
        least=2,
        fps=4.0,
        order="THW",
        part="encoder",
    ),
    "videoprism_vision_model": Clips(preprocessing=UNSCALED),
    "xclip_vision_model": Clips(preprocessing=TUBES, span=300, single=True),
}


def _videomae(hidden: int, depth: int, heads: int, inner: int, tuned: bool = False) -> Architecture:
    """Return a VideoMAE; tuned: fine-tuned, whose last normalisation belongs to the head, which is not run."""
    facts = {**_size(hidden, depth, heads, inner), "use_mean_pooling": tuned}
    layers = ("embeddings", "encoder.layer.{i}", *(() if tuned else ("layernorm",)))
    return Architecture(
        model="VideoMAEModel", config="VideoMAEConfig", facts=facts, layers=layers, depth=(depth,), tokens="THW"
    )


def _vjepa2(hidden: int, depth: int, heads: int, ratio: float, frames: int = 64, size: int = 256) -> Architecture:
    facts = _size(hidden, depth, heads, 0)
    del facts["intermediate_size"]
    return Architecture(
        model="VJEPA2Model",
        config="VJEPA2Config",
        facts={**facts, "mlp_ratio": ratio, "frames_per_clip": frames, "crop_size": size},
        part="encoder",
        layers=("embeddings", "layer.{i}", "layernorm"),
        depth=(depth,),
        tokens="THW",
        grid=(size // 16, size // 16),
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
    "MCG-NJU/videomae-base-finetuned-kinetics": _videomae(768, 12, 12, 3072, tuned=True),
    "MCG-NJU/videomae-base-finetuned-ssv2": _videomae(768, 12, 12, 3072, tuned=True),
    "MCG-NJU/videomae-large-finetuned-kinetics": _videomae(1024, 24, 16, 4096, tuned=True),
    "MCG-NJU/videomae-huge-finetuned-kinetics": _videomae(1280, 32, 16, 5120, tuned=True),
    "facebook/vjepa2-vitl-fpc64-256": _vjepa2(1024, 24, 16, 4.0),
    "facebook/vjepa2-vith-fpc64-256": _vjepa2(1280, 32, 16, 4.0),
    "facebook/vjepa2-vitg-fpc64-256": _vjepa2(1408, 40, 22, 48 / 11),
    "facebook/vjepa2-vitg-fpc64-384": _vjepa2(1408, 40, 22, 48 / 11, size=384),
    "facebook/vjepa2-vitl-fpc16-256-ssv2": _vjepa2(1024, 24, 16, 4.0, frames=16),
    "facebook/vjepa2-vitl-fpc32-256-diving48": _vjepa2(1024, 24, 16, 4.0, frames=32),
    "facebook/vjepa2-vitg-fpc64-384-ssv2": _vjepa2(1408, 40, 22, 48 / 11, size=384),
    "facebook/vjepa2-vitg-fpc32-384-diving48": _vjepa2(1408, 40, 22, 48 / 11, frames=32, size=384),
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


def _videoprism(name: str, group: str, part: str, frames: int, layers: int, millions: float, note: str) -> ModelEntry:
    """Return an encoder whose repository holds the arrays of its authors' network, which models/networks reads."""
    file = f"flax_{part.replace('-', '_')}_f{frames}r288_repeated.npz"
    url = f"https://huggingface.co/google/videoprism-{part}-f{frames}r288/resolve/main/{file}"
    return ModelEntry(
        name=name,
        group=group,
        kind=VIDEO,
        source="network",
        argument=f"videoprism:{name}",
        weights=Weights(file=file, url=url, licence=PLAIN),
        preprocessing=CLIPS["videoprism_vision_model"].preprocessing,
        extra="transformers",
        fps=frames / 10,
        frames=(frames, frames),
        layers=layers,
        millions=millions,
        note=f"{note}; {UNSTATED.format(frames)}",
    )


VJEPA2 = CLIPS["vjepa2"].preprocessing
CROPPED = Preprocessing(size=224, resize=256, axes="CHW", interpolation="bicubic")
WHOLE = Fed(fps=6.25, preprocessing=Preprocessing(size=224, axes="TCHW"))
SQUARE = Preprocessing(size=224, axes="CHW")
V1_NOTE = (
    "the checkpoint in transformers was trained for 1600 epochs on Kinetics-400, that of the first list for 1200; "
    "Brain-Score's plugin resizes to a square"
)
ENCODER = "the encoder alone, without its predictor"
PROBED = "the encoder alone, with the file of the attentive classifier that was trained on it"
DISTILLED = "the video encoder, with the arrays of its authors' Flax network"
PAIRED = "the video part of the video-text network, with the arrays of its authors' Flax network"
UNSTATED = "{} frames over 10 s, Kinetics' clips, as the publisher's notebook spreads them; it states no rate"
PLAIN, MIT, NONCOMMERCIAL = "Apache-2.0", "MIT", "CC-BY-NC-4.0"
DINOV3 = "DINOv3 License, to be accepted in the repository before the download"

ENTRIES = (
    _entry(
        "TimeSformer",
        "action recognition",
        "facebook/timesformer-base-finetuned-k400",
        CLIPS["timesformer"].preprocessing,
        NONCOMMERCIAL,
        fps=CLIPS["timesformer"].rate(8),
        frames=(8, 8),
        layers=14,
        millions=121.26,
        note="the authors' own checkpoint (divided space-time, 8 frames, Kinetics-400), not MMAction2's retrained one; "
        "every 32nd of 30 frames per second, as in its training; Brain-Score's plugin has 8 per second",
        plugin=Fed(fps=8.0, preprocessing=CLIPS["timesformer"].preprocessing),
    ),
    _entry(
        "ViViT",
        "action recognition",
        "google/vivit-b-16x2-kinetics400",
        CLIPS["vivit"].preprocessing,
        MIT,
        fps=CLIPS["vivit"].fps,
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
        fps=CLIPS["videomae"].fps,
        frames=(16, 16),
        layers=14,
        millions=86.23,
        note=V1_NOTE,
        plugin=WHOLE,
    ),
    _entry(
        "VideoMAE-V1-L",
        "masked autoencoder",
        "MCG-NJU/videomae-large",
        TUBES,
        NONCOMMERCIAL,
        fps=CLIPS["videomae"].fps,
        frames=(16, 16),
        layers=26,
        millions=303.86,
        note=V1_NOTE,
        plugin=WHOLE,
    ),
    *(
        _entry(
            f"V-JEPA2-{letter}",
            "masked autoencoder",
            f"facebook/vjepa2-vit{letter.lower()}-fpc64-256",
            VJEPA2,
            MIT,
            fps=CLIPS["vjepa2"].fps,
            frames=(2, 64),
            layers=layers,
            millions=millions,
            note=ENCODER,
        )
        for letter, layers, millions in (("L", 26, 303.89), ("H", 34, 631.65), ("G", 42, 1012.17))
    ),
    *(
        _entry(
            f"VideoMAE-V1-{letter}-{data}",
            "action recognition",
            f"MCG-NJU/videomae-{size}-finetuned-{tuned}",
            TUBES,
            NONCOMMERCIAL,
            fps=CLIPS["videomae"].fps,
            frames=(16, 16),
            layers=layers,
            millions=millions,
            note=f"fine-tuned on {text}; its head is not run",
        )
        for letter, size, data, tuned, text, layers, millions in (
            ("B", "base", "Kinetics400", "kinetics", "Kinetics-400", 13, 86.23),
            ("B", "base", "smthsmthv2", "ssv2", "Something-Something v2", 13, 86.23),
            ("L", "large", "Kinetics400", "kinetics", "Kinetics-400", 25, 303.86),
            ("H", "huge", "Kinetics400", "kinetics", "Kinetics-400", 33, 631.6),
        )
    ),
    *(
        _entry(
            name,
            group,
            f"facebook/vjepa2-{part}",
            VJEPA2 if "256" in part else replace(VJEPA2, size=384, resize=438),
            MIT,
            fps=CLIPS["vjepa2"].fps,
            frames=(2, most),
            layers=layers,
            millions=millions,
            note=note,
        )
        for name, group, part, most, layers, millions, note in (
            ("V-JEPA2-G-384", "masked autoencoder", "vitg-fpc64-384", 64, 42, 1012.17, ENCODER),
            ("V-JEPA2-L-smthsmthv2", "action recognition", "vitl-fpc16-256-ssv2", 16, 26, 303.89, PROBED),
            ("V-JEPA2-L-diving48", "action recognition", "vitl-fpc32-256-diving48", 32, 26, 303.89, PROBED),
            ("V-JEPA2-G-384-smthsmthv2", "action recognition", "vitg-fpc64-384-ssv2", 64, 42, 1012.17, PROBED),
            ("V-JEPA2-G-384-diving48", "action recognition", "vitg-fpc32-384-diving48", 32, 42, 1012.17, PROBED),
        )
    ),
    *(
        _videoprism(name, group, part, frames, layers, millions, note)
        for name, group, part, frames, layers, millions, note in (
            ("VideoPrism-B", "masked autoencoder", "base", 16, 20, 114.37, DISTILLED),
            ("VideoPrism-L", "masked autoencoder", "large", 8, 32, 353.97, DISTILLED),
            ("VideoPrism-LvT-B", "text-video", "lvt-base", 16, 23, 137.99, PAIRED),
            ("VideoPrism-LvT-L", "text-video", "lvt-large", 8, 35, 395.95, PAIRED),
        )
    ),
    _entry(
        "Hiera-B", "masked autoencoder", "facebook/hiera-base-224-hf", CROPPED, NONCOMMERCIAL, layers=24, millions=50.76
    ),
    _entry(
        "Hiera-L",
        "masked autoencoder",
        "facebook/hiera-large-224-hf",
        CROPPED,
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
            interpolation="bicubic",
        ),
        PLAIN,
        layers=25,
        millions=303.18,
        note="the video tower alone, which in transformers processes single frames; the language model is not run",
    ),
)
