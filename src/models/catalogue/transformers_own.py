"""Video transformers and inflated networks implemented in models/networks."""

from math import inf

from .entry import VIDEO, Fed, ModelEntry, Preprocessing, Weights, conversion

ACTIONS, MASKED, TEXT = "action recognition", "masked autoencoder", "text-video"
ANY = (1, inf)

TUBES = Preprocessing(size=224, resize=224)
CROPPED = Preprocessing(size=224, resize=256)
UNSCALED = Preprocessing(size=224, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
CROP_256 = Preprocessing(size=256, resize=256)
GREY_WHOLE = Preprocessing(size=224, mean=(0.45,) * 3, std=(0.225,) * 3)
AS_PLUGIN = Fed(fps=6.25, preprocessing=GREY_WHOLE)
PLAIN_PLUGIN = Fed(fps=6.25, preprocessing=UNSCALED)
SQUASHED = "Brain-Score's plugin resizes to a square"
NOT_SCALED = f"{SQUASHED} and does not normalise"
GREY = Preprocessing(size=224, resize=224, mean=(0.45,) * 3, std=(0.225,) * 3)
GREY_CROPPED = Preprocessing(size=224, resize=256, mean=(0.45,) * 3, std=(0.225,) * 3)
CLIP = Preprocessing(
    size=224,
    resize=224,
    interpolation="bicubic",
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)

LARGE = Preprocessing(size=312, resize=312)
SPARSE = 0.8  # frames per second: 8 of Kinetics' clips of 10 s
OVER_10_S = "8 frames over 10 s, as they are spread over the clips of its training"
PYSLOWFAST = "https://dl.fbaipublicfiles.com/pyslowfast/model_zoo/mvitv2/pysf_video_models"
UMT = "https://pjlab-gvm-data.oss-cn-shanghai.aliyuncs.com/umt/single_modality"
MAMBA = "https://huggingface.co/OpenGVLab/VideoMamba/resolve/main"
INTERNVIDEO2 = "https://huggingface.co/OpenGVLab/InternVideo2-Stage1-1B-224p-f8-K400"
MMACTION = "https://download.openmmlab.com/mmaction/v1.0/recognition"
IBM = "https://github.com/IBM/action-recognition-pytorch/releases/download/weights-v0.1"
CHAT = "https://pjlab-gvm-data.oss-cn-shanghai.aliyuncs.com/internvideo/video_chat"
EVA = "https://storage.googleapis.com/sfr-vision-language-research/LAVIS/models/BLIP2/eva_vit_g.pth"


def _mmaction(folder: str, stem: str, date: str, sha256: str) -> Weights:
    """Return a checkpoint of MMAction2, whose file name ends in the first digits of its digest."""
    file = f"{stem}_{date}-{sha256}.pth"
    url = "/".join(part for part in (MMACTION, folder, file) if part)
    return Weights(file=file, url=url, licence="Apache-2.0", sha256=sha256, key="state_dict")


def _public(url: str, licence: str, key: str = "") -> Weights:
    return Weights(file=url.rsplit("/", 1)[-1], url=url, licence=licence, key=key)


def _mae_st(size: str) -> Weights:
    url = f"https://dl.fbaipublicfiles.com/video-mae/pretrain/mae_pretrain_vit_{size}_k400.pth"
    return _public(url, "CC-BY-NC-4.0")


def _jepa(size: str) -> Weights:
    return _public(f"https://dl.fbaipublicfiles.com/jepa/{size}/{size}.pth.tar", "CC-BY-NC-4.0", "target_encoder")


def _chat(size: str) -> Weights:
    """Return VideoChat's vision encoder, which is published in two files and joined once."""
    how = conversion(f"VideoChat-{size.upper()}", EVA, f"{CHAT}/videochat_{size}_stage1.pth")
    return Weights(file=f"videochat_{size}_eyes.pth", licence="MIT, eva_vit_g.pth BSD-3-Clause", how=how)


Facts = tuple[float, float, tuple[float, float], int]


def _own(
    file: str,
    name: str,
    group: str,
    *,
    facts: Facts,
    preprocessing: Preprocessing,
    weights: Weights,
    note="",
    plugin: Fed | None = None,
) -> ModelEntry:
    """Return the entry of a network; facts: millions of parameters, fps, (min, max) frames of a pass, layers."""
    millions, fps, frames, layers = facts
    return ModelEntry(
        name=name,
        group=group,
        kind=VIDEO,
        source="network",
        argument=f"{file}:{name}",
        millions=millions,
        fps=fps,
        frames=frames,
        layers=layers,
        preprocessing=preprocessing,
        weights=weights,
        note=note,
        plugin=plugin,
    )


def _i3d(name: str, config: str, millions: float, sha256: str, note: str = "") -> ModelEntry:
    """Return an entry with a checkpoint of MMAction2's I3D."""
    stem = f"i3d_imagenet-pretrained-{config}"
    weights = _mmaction(f"i3d/{stem}", stem, "20220812", sha256)
    facts = (millions, 12.5, (5, inf), 6)
    return _own("i3d", name, ACTIONS, facts=facts, preprocessing=CROP_256, weights=weights, note=note)


def _i3d_ssv2(depth: int, millions: float) -> ModelEntry:
    """Return an entry with IBM's checkpoint of I3D of that depth for Something-Something v2."""
    return _own(
        "i3d_ssv2",
        f"I3D-R{depth}-smthsmthv2",
        ACTIONS,
        facts=(millions, 25.0, ANY, 6),
        preprocessing=CROP_256,
        plugin=Fed(fps=25.0, preprocessing=Preprocessing(size=256)),
        weights=_public(f"{IBM}/SSV2-I3D-ResNet-{depth}-f32.pth.tar", "Apache-2.0", "state_dict"),
        note="no stride in time, as in its training; the first list ran the same weights with one in three stages",
    )


ENTRIES: tuple[ModelEntry, ...] = (
    _i3d("I3D", "r50_8xb8-32x2x1-100e_kinetics400-rgb", 28.0, "e213c223"),
    _i3d(
        "I3D-nonlocal",
        "r50-nl-dot-product_8xb8-32x2x1-100e_kinetics400-rgb",
        35.4,
        "8e1f2148",
        note="the non-local blocks of the Random- variant are the identity, as the paper initialises them",
    ),
    _own(
        "uniformer",
        "UniFormer-V1",
        ACTIONS,
        facts=(49.8, 6.25, ANY, 43),
        preprocessing=GREY,
        weights=_mmaction(
            "uniformerv1", "uniformer-base_imagenet1k-pre_32x4x1_kinetics400-rgb", "20221219", "b776322c"
        ),
        note="trained on 32 frames",
    ),
    _own(
        "uniformer_v2",
        "UniFormer-V2-B",
        ACTIONS,
        facts=(114.6, 25.0, (8, 8), 15),
        preprocessing=GREY,
        weights=_mmaction(
            "uniformerv2/uniformerv2-base-p16-res224_clip-kinetics710-pre_8xb32-u8_kinetics400-rgb",
            "uniformerv2-base-p16-res224_clip-kinetics710-pre_8xb32-u8_kinetics400-rgb",
            "20230313",
            "75be0806",
        ),
        note="trained on 8 frames spread over a whole clip, run on 8 frames at 25 per second as in the first list",
    ),
    _own(
        "uniformer_v2",
        "UniFormer-V2-L",
        ACTIONS,
        facts=(354.1, 25.0, (32, 32), 27),
        preprocessing=GREY,
        weights=_mmaction(
            "uniformerv2/kinetics400",
            "uniformerv2-large-p14-res224_clip-kinetics710-pre_u32_kinetics400-rgb",
            "20221219",
            "56a46f64",
        ),
        note="trained on 32 frames spread over a whole clip, run on 32 frames at 25 per second as in the first list",
    ),
    _own(
        "mvit_v2",
        "MViT-V2-B-Kinetics400",
        ACTIONS,
        facts=(51.2, 10.0, (32, 32), 26),
        preprocessing=GREY_CROPPED,
        weights=_public(
            f"{PYSLOWFAST}/MViTv2_B_32x3_k400_f304025456.pyth",
            "Apache-2.0",
            "model_state",
        ),
        note="32 frames, every third of 30 per second, as in its training; the loader of the first list is not public",
    ),
    _own(
        "mvit_v2",
        "MViT-V2-B-smthsmthv2",
        ACTIONS,
        facts=(51.1, 10.0, (32, 32), 26),
        preprocessing=GREY,
        weights=_mmaction("mvit/converted", "mvit-base-p244_u32_sthv2-rgb", "20221021", "d5de5da6"),
        note="PySlowFast's weights as MMAction2 converted them; trained on 32 frames spread over a whole clip; the "
        "loader of the first list is not public",
    ),
    _own(
        "mvit_v2",
        "MViT-V2-L-Kinetics400",
        ACTIONS,
        facts=(213.4, 10.0, (40, 40), 50),
        preprocessing=LARGE,
        weights=_public(f"{PYSLOWFAST}/MViTv2_L_40x3_k400_f306903192.pyth", "Apache-2.0", "model_state"),
        note="40 frames, every third of 30 per second, as in its training",
    ),
    _own(
        "mvit_v2",
        "MViT-V2-L-smthsmthv2",
        ACTIONS,
        facts=(213.1, 10.0, (40, 40), 50),
        preprocessing=LARGE,
        weights=_public(f"{PYSLOWFAST}/MViTv2_L_40x3_ssv2_f309603968.pyth", "Apache-2.0", "model_state"),
        note="trained on 40 frames spread over a whole clip; 10 per second as for Kinetics-400",
    ),
    *(
        _own(
            "umt",
            f"UMT-{size}",
            MASKED,
            facts=(millions, SPARSE, (8, 8), layers),
            preprocessing=TUBES,
            weights=_public(f"{UMT}/{size.lower()}16_ptk710_f8_res224.pth", "MIT"),
            note=f"pre-trained on Kinetics-710 with CLIP as its teacher; {OVER_10_S}",
        )
        for size, millions, layers in (("B", 85.6, 14), ("L", 303.1, 26))
    ),
    *(
        _own(
            "umt",
            f"UMT-{size}-Kinetics400",
            ACTIONS,
            facts=(millions, SPARSE, (8, 8), layers),
            preprocessing=TUBES,
            weights=_public(f"{UMT}/{size.lower()}16_ptk710_ftk710_ftk400_f8_res224.pth", "MIT"),
            note=f"fine-tuned on Kinetics-710 and Kinetics-400; {OVER_10_S}",
        )
        for size, millions, layers in (("B", 85.9, 15), ("L", 303.5, 27))
    ),
    _own(
        "internvideo2",
        "InternVideo2-1B-Kinetics400",
        ACTIONS,
        facts=(1021.0, SPARSE, (8, 8), 44),
        preprocessing=TUBES,
        weights=_public(f"{INTERNVIDEO2}/resolve/main/1B_ft_k710_ft_k400_f8.pth", "Apache-2.0"),
        note=f"first stage, fine-tuned on Kinetics-710 and Kinetics-400; {OVER_10_S}",
    ),
    *(
        _own(
            "videomamba",
            name,
            ACTIONS,
            facts=(millions, SPARSE, (8, 8), layers),
            preprocessing=TUBES,
            weights=_public(f"{MAMBA}/videomamba_{file}_f8_res224.pth", "Apache-2.0"),
            note=f"{text}, fine-tuned on Kinetics-400; {OVER_10_S}",
        )
        for name, file, text, millions, layers in (
            ("VideoMamba-Ti", "t16_k400", "ImageNet-1k", 7.0, 27),
            ("VideoMamba-S", "s16_k400", "ImageNet-1k", 25.6, 27),
            ("VideoMamba-M", "m16_k400", "ImageNet-1k", 73.9, 35),
            (
                "VideoMamba-M-masked",
                "m16_k400_mask_ft",
                "masked training on Kinetics-400 with CLIP's targets",
                73.9,
                35,
            ),
        )
    ),
    _i3d_ssv2(50, 46.5),
    _i3d_ssv2(101, 85.6),
    _own(
        "videomae_v2",
        "InternVideo1-VideoMAE-B",
        MASKED,
        facts=(86.2, 6.25, (16, 16), 14),
        preprocessing=TUBES,
        weights=_public(
            "https://pjlab-gvm-data.oss-cn-shanghai.aliyuncs.com/internvideo/pretrain/videomae/vit_b_hybrid_pt_800e.pth",
            "Apache-2.0",
        ),
        note=f"InternVideo's VideoMAE, which the benchmark's first list calls VideoMAE-V2-B; {NOT_SCALED}",
        plugin=PLAIN_PLUGIN,
    ),
    _own(
        "videomae_v2",
        "VideoMAE-V2-B-distilled",
        MASKED,
        facts=(86.8, 6.25, (16, 16), 15),
        preprocessing=TUBES,
        weights=_public(
            "https://huggingface.co/OpenGVLab/VideoMAE2/resolve/main/distill/vit_b_k710_dl_from_giant.pth",
            "CC-BY-NC-4.0",
        ),
        note="not in the first list: the base size that was distilled from the giant one fine-tuned on Kinetics-710",
    ),
    _own(
        "videomae_v2",
        "VideoMAE-V2-G",
        MASKED,
        facts=(1011.6, 6.25, (16, 16), 42),
        preprocessing=TUBES,
        weights=Weights(
            file="vit_g_hybrid_pt_1200e.pth",
            licence="CC-BY-NC-4.0",
            how="get mae-g/vit_g_hybrid_pt_1200e.pth from the Hugging Face repository OpenGVLab/VideoMAE2, or by the "
            "request form of github.com/OpenGVLab/VideoMAEv2, and put it there",
        ),
        note=NOT_SCALED,
        plugin=PLAIN_PLUGIN,
    ),
    _own(
        "mae_st",
        "MAE-ST-L",
        MASKED,
        facts=(304.1, 7.5, (16, 16), 26),
        preprocessing=GREY_CROPPED,
        weights=_mae_st("large"),
        note=f"{SQUASHED}, at 6.25 frames per second",
        plugin=AS_PLUGIN,
    ),
    _own(
        "mae_st",
        "MAE-ST-G",
        MASKED,
        facts=(631.9, 7.5, (16, 16), 34),
        preprocessing=GREY_CROPPED,
        weights=_mae_st("huge"),
        note=f"ViT-Huge; the name is the first list's; {SQUASHED}, at 6.25 frames per second",
        plugin=AS_PLUGIN,
    ),
    _own(
        "vjepa",
        "V-JEPA-L",
        MASKED,
        facts=(303.9, 6.25, (16, 16), 26),
        preprocessing=CROPPED,
        weights=_jepa("vitl16"),
    ),
    _own(
        "vjepa",
        "V-JEPA-H",
        MASKED,
        facts=(631.6, 6.25, (16, 16), 34),
        preprocessing=CROPPED,
        weights=_jepa("vith16"),
    ),
    _own(
        "vjepa",
        "VJEPA-Temporal",
        MASKED,
        facts=(303.9, 20 / 3, (16, 16), 26),
        preprocessing=CROPPED,
        weights=_jepa("vitl16"),
        note="a frame every 150 ms; the size in the first list is not documented: this is V-JEPA-L; the averaged "
        "encoder (target_encoder), which the publisher evaluates",
    ),
    _own(
        "videochat",
        "VideoChat-7B",
        TEXT,
        facts=(1188.2, 2.0, ANY, 48),
        preprocessing=CLIP,
        weights=_chat("7b"),
        note="the vision encoder alone, which contains the layers of the first list",
    ),
    _own(
        "videochat",
        "VideoChat-13B",
        TEXT,
        facts=(1188.2, 2.0, ANY, 48),
        preprocessing=CLIP,
        weights=_chat("13b"),
        note="the vision encoder alone, which contains the layers of the first list; image blocks of VideoChat-7B",
    ),
    _own(
        "videochat",
        "VideoChat2-7B",
        TEXT,
        facts=(290.5, 2.0, (8, 8), 24),
        preprocessing=CLIP,
        weights=_public("https://huggingface.co/OpenGVLab/videochat/resolve/main/videochat2_7b_stage3.pth", "MIT"),
        note="the vision encoder alone, which contains the layers of the first list",
    ),
)
