"""Image encoders of timm: text-image, self-supervised and promptable networks, fed as timm's configurations state."""

from .entry import IMAGE, ModelEntry, Preprocessing, Weights

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
TEXT, SELF, IMAGES = "text-image", "self-supervised", "image"
APACHE, MIT, NONCOMMERCIAL, APPLE = "Apache-2.0", "MIT", "CC-BY-NC-4.0", "Apple ASCL"
DINOV3 = "DINOv3 License, to be accepted in the repository before the download"
IJEPA = "https://dl.fbaipublicfiles.com/ijepa"

# name, group, name in timm, millions of parameters, layers, licence, training data
ROWS = (
    ("CLIP-B32", TEXT, "vit_base_patch32_clip_224.openai", 87.85, 16, APACHE, "WebImageText"),
    ("CLIP-B16", TEXT, "vit_base_patch16_clip_224.openai", 86.19, 16, APACHE, "WebImageText"),
    ("CLIP-L14", TEXT, "vit_large_patch14_clip_224.openai", 303.97, 28, APACHE, "WebImageText"),
    ("OpenCLIP-B16", TEXT, "vit_base_patch16_clip_224.laion2b", 86.19, 16, APACHE, "LAION-2B"),
    ("OpenCLIP-L14", TEXT, "vit_large_patch14_clip_224.laion2b", 303.97, 28, APACHE, "LAION-2B"),
    ("OpenCLIP-H14", TEXT, "vit_huge_patch14_clip_224.laion2b", 632.08, 36, APACHE, "LAION-2B"),
    ("PE-Core-B", TEXT, "vit_pe_core_base_patch16_224.fb", 93.67, 18, APACHE, "MetaCLIP data and videos"),
    ("PE-Core-L", TEXT, "vit_pe_core_large_patch14_336.fb", 317.15, 30, APACHE, "MetaCLIP data and videos"),
    ("PE-Core-G", TEXT, "vit_pe_core_gigantic_patch14_448.fb", 1882.03, 56, APACHE, "MetaCLIP data and videos"),
    ("PE-Lang-L", TEXT, "vit_pe_lang_large_patch14_448.fb", 291.42, 26, APACHE, "MetaCLIP data and videos"),
    ("PE-Lang-G", TEXT, "vit_pe_lang_gigantic_patch14_448.fb", 1740.92, 50, APACHE, "MetaCLIP data and videos"),
    ("EVA-02-CLIP-B", TEXT, "eva02_base_patch16_clip_224.merged2b", 86.26, 16, MIT, "Merged-2B"),
    ("EVA-02-CLIP-L", TEXT, "eva02_large_patch14_clip_224.merged2b", 304.11, 28, MIT, "Merged-2B"),
    ("SigLIP-B", TEXT, "vit_base_patch16_siglip_224.webli", 92.88, 15, APACHE, "WebLI"),
    ("SigLIP-L", TEXT, "vit_large_patch16_siglip_256.webli", 315.96, 27, APACHE, "WebLI"),
    ("SigLIP2-L", TEXT, "vit_large_patch16_siglip_256.v2_webli", 315.96, 27, APACHE, "WebLI"),
    ("AIMv2-L", TEXT, "aimv2_large_patch14_224.apple_pt", 309.20, 26, APPLE, "DFN-2B, COYO and others"),
    ("AIMv2-H", TEXT, "aimv2_huge_patch14_224.apple_pt", 680.85, 26, APPLE, "DFN-2B, COYO and others"),
    ("I-JEPA-H", SELF, "vit_huge_patch14_gap_224.in1k_ijepa", 630.76, 34, NONCOMMERCIAL, "ImageNet-1k"),
    ("I-JEPA-G", SELF, "vit_giant_patch16_gap_224.in22k_ijepa", 1011.37, 42, NONCOMMERCIAL, "ImageNet-22k"),
    ("DINO-B", SELF, "vit_base_patch16_224.dino", 85.80, 14, APACHE, "ImageNet-1k"),
    ("DINOv2-S", SELF, "vit_small_patch14_dinov2.lvd142m", 22.06, 14, APACHE, "LVD-142M"),
    ("DINOv2-g", SELF, "vit_giant_patch14_dinov2.lvd142m", 1136.48, 42, APACHE, "LVD-142M"),
    ("DINOv2-S-registers", SELF, "vit_small_patch14_reg4_dinov2.lvd142m", 22.06, 14, APACHE, "LVD-142M"),
    ("DINOv2-B-registers", SELF, "vit_base_patch14_reg4_dinov2.lvd142m", 86.58, 14, APACHE, "LVD-142M"),
    ("DINOv2-L-registers", SELF, "vit_large_patch14_reg4_dinov2.lvd142m", 304.37, 26, APACHE, "LVD-142M"),
    ("DINOv2-g-registers", SELF, "vit_giant_patch14_reg4_dinov2.lvd142m", 1136.48, 42, APACHE, "LVD-142M"),
    ("DINOv3-S", SELF, "vit_small_patch16_dinov3.lvd1689m", 21.59, 15, DINOV3, "LVD-1689M"),
    ("DINOv3-S+", SELF, "vit_small_plus_patch16_dinov3.lvd1689m", 28.68, 15, DINOV3, "LVD-1689M"),
    ("DINOv3-H+", SELF, "vit_huge_plus_patch16_dinov3.lvd1689m", 840.51, 35, DINOV3, "LVD-1689M"),
    ("DINOv3-ConvNeXt-T", SELF, "convnext_tiny.dinov3_lvd1689m", 27.82, 27, DINOV3, "LVD-1689M"),
    ("DINOv3-ConvNeXt-B", SELF, "convnext_base.dinov3_lvd1689m", 87.57, 45, DINOV3, "LVD-1689M"),
    ("DINOv3-ConvNeXt-L", SELF, "convnext_large.dinov3_lvd1689m", 196.23, 45, DINOV3, "LVD-1689M"),
    ("MAE-B", SELF, "vit_base_patch16_224.mae", 85.80, 14, NONCOMMERCIAL, "ImageNet-1k"),
    ("MAE-L", SELF, "vit_large_patch16_224.mae", 303.30, 26, NONCOMMERCIAL, "ImageNet-1k"),
    ("BEiTv2-B", IMAGES, "beitv2_base_patch16_224.in1k_ft_in22k", 102.56, 15, APACHE, "ImageNet-22k"),
    ("SAM2-T", IMAGES, "sam2_hiera_tiny.fb_r896", 26.85, 14, APACHE, "SA-1B, SA-V"),
    ("SAM2-B+", IMAGES, "sam2_hiera_base_plus.fb_r896", 68.68, 26, APACHE, "SA-1B, SA-V"),
    ("SAM2-L", IMAGES, "sam2_hiera_large.fb_r1024", 212.15, 50, APACHE, "SA-1B, SA-V"),
)
# px of the crop where it is not 224, and of the short side before it where it is not the same
SIZES = {"336": 336, "448": 448, "siglip_256": 256, "dinov2": 518, "patch16_dinov3": 256, "r896": 896, "r1024": 1024}
CROPPED = ("patch32_clip_224.openai", "base_patch16_clip_224.openai", "merged2b", "siglip", "ijepa", ".dino", ".mae")
CROPPED += ("beitv2",)
SCALINGS = {"large_patch14_clip_224.laion2b": HALVES, "clip": CLIP, "aimv2": CLIP, "_pe_": HALVES, "siglip": HALVES}


def _preprocessing(timm_name: str) -> Preprocessing:
    """Return the preprocessing of timm's configuration of that name."""
    size = next((px for part, px in SIZES.items() if part in timm_name), 224)
    cropped = any(part in timm_name for part in CROPPED) and "dinov3" not in timm_name
    scaling = next((values for part, values in SCALINGS.items() if part in timm_name), IMAGENET)
    mean, std = scaling
    resize = int(size / 0.9) if cropped else size
    return Preprocessing(size=size, resize=resize, mean=mean, std=std, axes="CHW", interpolation="bicubic")


def _weights(timm_name: str, licence: str) -> Weights:
    """Return the checkpoint, which timm has on the hub or, for I-JEPA, at its authors' address."""
    if "ijepa" in timm_name:
        file = "IN1K-vit.h.14-300e.pth.tar" if "huge" in timm_name else "IN22K-vit.g.16-600e.pth.tar"
        return Weights(file=file, url=f"{IJEPA}/{file}", licence=licence)
    return Weights(file=f"timm/{timm_name}", url=f"https://huggingface.co/timm/{timm_name}", licence=licence)


ENTRIES = tuple(
    ModelEntry(
        name=name,
        group=group,
        kind=IMAGE,
        source="timm",
        argument=timm_name,
        millions=millions,
        fps=25.0,
        frames=(1, float("inf")),
        layers=layers,
        weights=_weights(timm_name, licence),
        preprocessing=_preprocessing(timm_name),
        extra="timm",
    )
    for name, group, timm_name, millions, layers, licence, _ in ROWS
)
DATA = {name: data for name, *_, data in ROWS}
