"""Cards: the input with which each network of the catalogue was trained or evaluated by its publisher, and the source.

The facts are stated apart from the entries, which say what a model is fed with here: a test compares the two, and a
difference needs its reason in `differs`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from . import timm_image

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
GREY = ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
KINETICS = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
NONE = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
SPREAD = "frames are spread over a whole clip in the training"


@dataclass(frozen=True)
class Card:
    """Input of a network as its publisher feeds it.

    size: central crop, px; resize: short side (or height and width) before it, 0 where the whole frame is resized to
    `size`; scaling: mean and standard deviation of pixels in [0, 1]; fps and frames: of a clip, None for images;
    source: where this is stated; data: of the training; differs: {field: reason} where the model is fed otherwise here.
    A network without training has only a source.
    """

    source: str
    data: str = ""
    size: int | tuple[int, int] | None = None
    resize: int | tuple[int, int] = 0
    interpolation: str = "bilinear"
    scaling: tuple[tuple[float, float, float], tuple[float, float, float]] = IMAGENET
    fps: float | None = None
    frames: int | None = None
    differs: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def _of(card: Card, *names: str, **changes) -> dict[str, Card]:
    """Return the card for several names."""
    return dict.fromkeys(names, replace(card, **changes))


ENCODER = {"frames": "the encoder takes fewer, too"}
FULLY = {"frames": "its layers take any number of frames"}
PLUGIN = {"preprocessing": "Brain-Score's plugin resizes to a square of 224 px"}
TORCHVISION = Card("torchvision: weights.transforms()", "ImageNet-1k", 224, 256)
MMACTION = Card("github.com/open-mmlab/mmaction2, configs/recognition", "Kinetics-400", 224, 224, fps=12.5, frames=32)
HUB = "huggingface.co/{}, preprocessor_config.json"
ACTION = Card("torchvision: weights.transforms(), weights.meta", "Kinetics-400", 112, (128, 171), scaling=KINETICS)
GDT = Card("github.com/facebookresearch/GDT, scripts, datasets", "", 112, 128, scaling=GREY, fps=30.0, frames=30)
SELAVI = replace(GDT, source="github.com/facebookresearch/selavi, scripts/master.sh, datasets")
AVID = Card(
    "github.com/facebookresearch/AVID-CMA, configs, datasets/preprocessing.py", "", 224, 256, fps=16.0, frames=8
)
TUBE = Card("github.com/MCG-NJU/VideoMAE, run_class_finetuning.py", "Kinetics-400", 224, 224, fps=6.25, frames=16)
TUBE_V2 = replace(TUBE, source="github.com/OpenGVLab/VideoMAEv2, dataset/pretrain_datasets.py, scripts")
MAE_ST = Card(
    "github.com/facebookresearch/mae_st, util/kinetics.py", "Kinetics-400", 224, 256, scaling=GREY, fps=7.5, frames=16
)
JEPA = Card(
    "github.com/facebookresearch/jepa, evals/video_classification_frozen/utils.py, configs",
    "VideoMix2M",
    224,
    256,
    fps=6.25,
    frames=16,
)
JEPA_2 = Card(
    "github.com/facebookresearch/vjepa2; huggingface.co/facebook/vjepa2-vitl-fpc64-256",
    "VideoMix22M",
    256,
    292,
    fps=4.0,
    frames=64,
)
PRISM = Card(
    "github.com/google-deepmind/videoprism, README.md, colabs/videoprism_video_classification_demo.ipynb: CalMS21 (its "
    "other notebooks resize by a Lanczos filter)",
    "WebLI, 36M video-text pairs, 582M video clips",
    288,
    288,
    scaling=NONE,
    frames=16,
    differs={"fps": "the publisher states none; its frames are spread over 10 s, Kinetics' clips"},
)
ZOO = Card(
    "github.com/facebookresearch/pytorchvideo, docs/source/model_zoo.md; PySlowFast's configs",
    "Kinetics-400",
    256,
    256,
    scaling=GREY,
)
KITTI = Card("github.com/chengtan9907/OpenSTL, kitticaltech", "KITTI", (128, 160), scaling=NONE, fps=10.0, frames=10)
IG65M = Card(
    "github.com/moabitcoin/ig65m-pytorch, ig65m/cli/extract.py; 30 frames per second as in VMZ",
    "IG-65M",
    112,
    128,
    scaling=KINETICS,
    fps=30.0,
    frames=32,
)
TSM = Card(
    "github.com/mit-han-lab/temporal-shift-module, ops/dataset.py, test_models.py, tools/vid2img_kinetics.py",
    "Kinetics-400",
    224,
    256,
    fps=3.75,
    frames=8,
)
CHAT = Card(
    "github.com/OpenGVLab/Ask-Anything, video_chat: load_video",
    "",
    224,
    224,
    "bicubic",
    CLIP,
    frames=8,
    differs={"fps": SPREAD, "frames": "the network takes any number of frames"},
)
SPARSE = Card(
    "",
    "Kinetics-710, Kinetics-400",
    224,
    224,
    frames=8,
    differs={"fps": f"{SPREAD}; .8 per second, as in Kinetics' clips of 10 s"},
)
UMT = replace(SPARSE, source="github.com/OpenGVLab/unmasked_teacher, single_modality: exp, datasets")
MAMBA = replace(
    SPARSE,
    source="github.com/OpenGVLab/VideoMamba, videomamba/video_sm: exp, datasets",
    data="ImageNet-1k, Kinetics-400",
)
STILL = Card("", "", 224, 256, "bicubic")

CARDS: dict[str, Card] = {
    **_of(
        Card("an operation on the frames, without training"), "pixels", "motion-energy", "low-level", "autocorrelation"
    ),
    **_of(Card("a seeded network for tests, without training"), "fake-net", "fake-image-net"),
    **_of(Card("doi.org/10.1016/j.visres.2007.01.018; fixed filters and patches"), "hmax"),
    **_of(Card("doi.org/10.1523/JNEUROSCI.2760-19.2020; input as Brain-Score's plugin has it"), "MotionNet"),
    **_of(TORCHVISION, "resnet18", "resnet50", "vit_b_16"),
    **_of(TORCHVISION, "convnext_tiny", resize=236),
    **_of(TORCHVISION, "alexnet", "vgg_16", "resnet_50_v1", differs=PLUGIN),
    **_of(TORCHVISION, "efficientnet_b0", interpolation="bicubic", differs=PLUGIN),
    **_of(
        replace(TORCHVISION, source="github.com/epflneuroailab/scaling-primate-vvs"),
        "resnet50_imagenet_full",
        "deit_base_imagenet_full_seed-0",
        "convnext_base_imagenet_full_seed-0",
    ),
    **_of(
        replace(
            TORCHVISION, source="pytorch.org/hub/facebookresearch_WSL-Images_resnext", data="Instagram, ImageNet-1k"
        ),
        "resnext101_32x8d_wsl",
        "resnext101_32x16d_wsl",
        "resnext101_32x32d_wsl",
    ),
    **_of(replace(TORCHVISION, source="github.com/rgeirhos/texture-vs-shape", data="stylised ImageNet"), "AlexNet_SIN"),
    **_of(replace(TORCHVISION, source="github.com/dicarlolab/CORnet, run.py"), "CORnet-S"),
    **_of(
        replace(TORCHVISION, source="github.com/dicarlolab/vonenet, train.py", scaling=HALVES),
        "voneresnet-50",
        "voneresnet-50-non_stochastic",
    ),
    **_of(
        replace(ACTION, fps=15.0, frames=16),
        "r3d_18",
        "r2plus1d_18",
        "mc3_18",
        differs={"fps": "Brain-Score's plugin has 25", **FULLY},
    ),
    **_of(replace(ACTION, size=224, resize=(256, 256), fps=15.0, frames=128), "s3d", differs=FULLY),
    **_of(replace(ACTION, size=224, resize=256, scaling=GREY, fps=7.5, frames=16), "mvit_v1_b", "mvit_v2_s"),
    **_of(
        replace(ACTION, size=224, resize=256, scaling=IMAGENET, fps=15.0, frames=32),
        "swin3d_t",
        "swin3d_s",
        "swin3d_b",
        differs=FULLY,
    ),
    **_of(MMACTION, "VideoSwin-B", "VideoSwin-L", differs=FULLY),
    **_of(MMACTION, "I3D", "I3D-nonlocal", size=256, resize=256, differs=FULLY),
    **_of(MMACTION, "UniFormer-V1", scaling=GREY, fps=6.25, differs=FULLY),
    **_of(MMACTION, "UniFormer-V2-B", scaling=GREY, fps=None, frames=8, differs={"fps": SPREAD}),
    **_of(MMACTION, "UniFormer-V2-L", scaling=GREY, fps=None, differs={"fps": SPREAD}),
    **_of(
        MMACTION, "MViT-V2-B-smthsmthv2", scaling=GREY, fps=None, data="Something-Something v2", differs={"fps": SPREAD}
    ),
    **_of(
        Card("github.com/facebookresearch/SlowFast, MViTv2_B_32x3", "Kinetics-400", 224, 256, scaling=GREY),
        "MViT-V2-B-Kinetics400",
        fps=10.0,
        frames=32,
    ),
    **_of(
        Card("github.com/facebookresearch/SlowFast, MVITv2_L_40x3", "ImageNet-21k, Kinetics-400", 312, 312, frames=40),
        "MViT-V2-L-Kinetics400",
        fps=10.0,
    ),
    **_of(
        Card("github.com/facebookresearch/SlowFast, MVITv2_L_40x3", "", 312, 312, frames=40),
        "MViT-V2-L-smthsmthv2",
        data="ImageNet-21k, Kinetics-400, Something-Something v2",
        differs={"fps": f"{SPREAD}; 10 per second as for Kinetics-400"},
    ),
    **_of(UMT, "UMT-B", "UMT-L", data="Kinetics-710"),
    **_of(UMT, "UMT-B-Kinetics400", "UMT-L-Kinetics400"),
    **_of(
        SPARSE,
        "InternVideo2-1B-Kinetics400",
        source="github.com/OpenGVLab/InternVideo, InternVideo2/single_modality: scripts, datasets",
        data="K-Mash-1.1M, Kinetics-710, Kinetics-400",
    ),
    **_of(MAMBA, "VideoMamba-Ti", "VideoMamba-S", "VideoMamba-M"),
    **_of(MAMBA, "VideoMamba-M-masked", data="Kinetics-400"),
    **_of(
        Card(
            "github.com/IBM/action-recognition-pytorch, SSV2-I3D-ResNet f32",
            "Something-Something v2",
            256,
            256,
            frames=32,
            differs={"fps": SPREAD, **FULLY},
        ),
        "I3D-R50-smthsmthv2",
        "I3D-R101-smthsmthv2",
    ),
    **_of(
        Card("github.com/facebookresearch/hiera, examples/inference.ipynb", "Kinetics-400", 224, 224, scaling=GREY),
        "Hiera-Video-B",
        "Hiera-Video-L",
        fps=7.5,
        frames=16,
    ),
    **_of(
        Card("pytorchvideo.org, torch hub: slowfast_r50", "Kinetics-400", 256, 256, scaling=GREY),
        "SlowFast",
        fps=15.0,
        frames=32,
    ),
    **_of(ZOO, "SlowFast-R101", fps=15.0, frames=32),
    **_of(ZOO, "X3D-XS", size=182, resize=182, fps=2.5, frames=4),
    **_of(ZOO, "X3D-S", size=182, resize=182, fps=5.0, frames=13),
    **_of(ZOO, "X3D-L", size=312, resize=356, fps=6.0, frames=16),
    **_of(ZOO, "Slow-R50", "I3D-R50", "C2D-R50", fps=3.75, frames=8),
    **_of(ZOO, "CSN-R101", fps=15.0, frames=32),
    **_of(ZOO, "R2plus1D-R50", fps=7.5, frames=16),
    **_of(
        Card("pytorchvideo.org, torch hub: x3d_m", "Kinetics-400", 256, 256, scaling=GREY),
        "X3D",
        fps=6.0,
        frames=16,
        differs=FULLY,
    ),
    **_of(
        Card("github.com/facebookresearch/TimeSformer, TimeSformer_divST_8x32_224.yaml", "Kinetics-400", 224, 224),
        "TimeSformer",
        scaling=GREY,
        fps=30 / 32,
        frames=8,
    ),
    **_of(
        Card(HUB.format("google/vivit-b-16x2-kinetics400"), "Kinetics-400", 224, 256, scaling=HALVES),
        "ViViT",
        fps=12.5,
        frames=32,
    ),
    **_of(TUBE, "VideoMAE-V1-B", "VideoMAE-V1-L"),
    **_of(TUBE, "VideoMAE-V1-B-Kinetics400", "VideoMAE-V1-L-Kinetics400", "VideoMAE-V1-H-Kinetics400"),
    **_of(
        TUBE,
        "VideoMAE-V1-B-smthsmthv2",
        data="Something-Something v2",
        fps=None,
        differs={"fps": f"{SPREAD}; 6.25 per second as for the other checkpoints"},
    ),
    **_of(TUBE, "InternVideo1-VideoMAE-B", source="github.com/OpenGVLab/InternVideo, InternVideo1/Pretrain/VideoMAE"),
    **_of(TUBE_V2, "VideoMAE-V2-G", data="UnlabeledHybrid"),
    **_of(TUBE_V2, "VideoMAE-V2-B-distilled", data="Kinetics-710"),
    **_of(MAE_ST, "MAE-ST-L", "MAE-ST-G"),
    **_of(JEPA, "V-JEPA-L", "V-JEPA-H"),
    **_of(JEPA, "VJEPA-Temporal", differs={"fps": "a frame every 150 ms, as in the benchmark's first list"}),
    **_of(JEPA_2, "V-JEPA2-L", "V-JEPA2-H", "V-JEPA2-G", differs=ENCODER),
    **_of(JEPA_2, "V-JEPA2-G-384", size=384, resize=438, differs=ENCODER),
    **_of(JEPA_2, "V-JEPA2-L-smthsmthv2", frames=16, differs=ENCODER),
    **_of(JEPA_2, "V-JEPA2-L-diving48", frames=32, differs=ENCODER),
    **_of(JEPA_2, "V-JEPA2-G-384-smthsmthv2", size=384, resize=438, differs=ENCODER),
    **_of(JEPA_2, "V-JEPA2-G-384-diving48", size=384, resize=438, frames=32, differs=ENCODER),
    **_of(PRISM, "VideoPrism-B", "VideoPrism-LvT-B"),
    **_of(PRISM, "VideoPrism-L", "VideoPrism-LvT-L", frames=8),
    **_of(
        replace(STILL, source="github.com/facebookresearch/hiera, README.md", data="ImageNet-1k"), "Hiera-B", "Hiera-L"
    ),
    **_of(replace(STILL, source=HUB.format("facebook/dinov2-base"), data="LVD-142M"), "DINOv2-B", "DINOv2-L"),
    **_of(Card(HUB.format("facebook/dinov3-vitb16-pretrain-lvd1689m"), "LVD-1689M", 224), "DINOv3-B", "DINOv3-L"),
    **_of(Card(HUB.format("google/siglip2-base-patch16-224"), "WebLI", 224, scaling=HALVES), "SigLIP2-B"),
    **_of(Card(HUB.format("google/siglip2-so400m-patch14-384"), "WebLI", 384, scaling=HALVES), "SigLIP2-SO400M"),
    **_of(SELAVI, "SeLaVi-Kinetics400", data="Kinetics-400", differs=FULLY),
    **_of(SELAVI, "SeLaVi-Kinetics-Sound", data="Kinetics-Sound", differs=FULLY),
    **_of(SELAVI, "SeLaVi-VGG-Sound", data="VGG-Sound", differs=FULLY),
    **_of(SELAVI, "SeLaVi-AVE", data="AVE", differs=FULLY),
    **_of(AVID, "AVID-Kinetics400", "AVID-CMA-Kinetics400", data="Kinetics-400", differs=FULLY),
    **_of(AVID, "AVID-Audioset", "AVID-CMA-Audioset", data="AudioSet", differs=FULLY),
    **_of(GDT, "GDT-Kinetics400", data="Kinetics-400", differs=FULLY),
    **_of(GDT, "GDT-IG65M", data="IG65M", differs=FULLY),
    **_of(
        GDT,
        "GDT-HowTo100M",
        data="HowTo100M",
        resize=112,
        interpolation="bicubic",
        scaling=NONE,
        fps=16.0,
        differs=FULLY,
    ),
    **_of(IG65M, "R2plus1D-34-IG65M"),
    **_of(IG65M, "R2plus1D-34-IG65M-Kinetics400", data="IG-65M, Kinetics-400"),
    **_of(TSM, "TSM"),
    **_of(TSM, "TSM-smthsmthv2", data="Something-Something v2", fps=None, differs={"fps": SPREAD}),
    **_of(KITTI, "ConvLSTM", "PredRNN", differs=FULLY),
    **_of(KITTI, "TAU", "SimVP", "MIM"),
    **_of(Card(HUB.format("LanguageBind/Video-LLaVA-7B-hf"), "", 224, 224, "bicubic", CLIP), "Video-LLaVA"),
    **_of(CHAT, "VideoChat-7B", "VideoChat-13B"),
    **_of(CHAT, "VideoChat2-7B", differs={"fps": SPREAD}),
    **_of(
        Card(
            "github.com/antoine77340/S3D_HowTo100M, README.md",
            "HowTo100M",
            256,
            256,
            scaling=NONE,
            frames=32,
            differs={"fps": "the publisher states none; 24 as in Brain-Score's plugin", **FULLY},
        ),
        "s3d-HowTo100M",
    ),
}


CARDS |= {
    entry.name: Card(
        f"timm, pretrained_cfg of {entry.argument}",
        timm_image.DATA[entry.name],
        entry.preprocessing.size,
        entry.preprocessing.resize,
        entry.preprocessing.interpolation,
        (entry.preprocessing.mean, entry.preprocessing.std),
    )
    for entry in timm_image.ENTRIES
}


def pieces(card: Card) -> list[tuple[str, str]]:
    """Return a card as pairs of a label and a text."""
    found = [("fed as in", card.source), ("training data", card.data or "none"), *input_pieces(card)]
    if card.frames is not None:
        rate = f"{card.fps:.4g}" if card.fps else "not one rate"
        found += [("frames", f"{card.frames}"), ("frames per second", rate)]
    return found + [(f"here another: {name}", reason) for name, reason in card.differs.items()]


def input_pieces(card: Card) -> list[tuple[str, str]]:
    """Return the preprocessing of a card as pairs of a label and a text, none for a network without training."""
    if card.size is None:
        return []
    place = ", the whole frame"
    if card.resize:
        side = " with a short side of " if isinstance(card.resize, int) else " of "
        place = f", the centre of a frame{side}{_px(card.resize)} px"
    mean, std = card.scaling
    return [
        ("size", f"{_px(card.size)} px{place}"),
        ("interpolation", card.interpolation),
        ("mean", _triple(mean)),
        ("s.d.", _triple(std)),
    ]


def _px(size: int | tuple[int, int]) -> str:
    return f"{size}" if isinstance(size, int) else f"{size[0]} x {size[1]}"


def _triple(values: tuple[float, float, float]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else ", ".join(f"{value:g}" for value in values)
