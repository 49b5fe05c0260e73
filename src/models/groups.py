"""The names that come first in every list, by what the networks were trained to do. Plain text, no network here.

A row is (name, kind, source). Names of source "brainscore" are those of the installed Brain-Score plugins; any other
plugin name loads as well, it is only not listed in a group.
"""

IMAGE, VIDEO = "image", "video"


def _rows(kind: str, source: str, *names: str) -> tuple[tuple[str, str, str], ...]:
    return tuple((name, kind, source) for name in names)


GROUPS = {
    "control": (
        *_rows(IMAGE, "control", "pixels"),
        *_rows(VIDEO, "control", "motion-energy", "fake-net"),
        *_rows(IMAGE, "control", "fake-image-net"),
        *_rows(IMAGE, "brainscore", "hmax"),
    ),
    "image": (
        *_rows(IMAGE, "brainscore", "alexnet", "AlexNet_SIN", "vgg_16", "resnet_50_v1", "CORnet-S", "voneresnet-50"),
        *_rows(IMAGE, "torchvision", "resnet18", "resnet50", "vit_b_16", "convnext_tiny"),
        *_rows(IMAGE, "brainscore", "efficientnet_b0", "deit_base_imagenet_full_seed-0"),
        *_rows(IMAGE, "brainscore", "convnext_base_imagenet_full_seed-0"),
        *_rows(IMAGE, "brainscore", "resnext101_32x8d_wsl", "resnext101_32x16d_wsl", "resnext101_32x32d_wsl"),
    ),
    "action recognition": (
        *_rows(VIDEO, "brainscore", "r3d_18", "r2plus1d_18", "mc3_18", "s3d", "mvit_v1_b", "mvit_v2_s"),
        *_rows(VIDEO, "torchvision", "swin3d_t", "swin3d_s", "swin3d_b"),
        *_rows(VIDEO, "brainscore", "I3D", "I3D-nonlocal", "SlowFast", "X3D", "TimeSformer"),
        *_rows(VIDEO, "brainscore", "VideoSwin-B", "VideoSwin-L", "UniFormer-V1", "UniFormer-V2-B"),
    ),
    "masked autoencoder": (
        *_rows(VIDEO, "brainscore", "VideoMAE-V1-B", "VideoMAE-V1-L", "VideoMAE-V2-B", "VideoMAE-V2-G"),
        *_rows(VIDEO, "brainscore", "MAE-ST-L", "MAE-ST-G"),
    ),
    "audio-video": (
        *_rows(VIDEO, "brainscore", "SeLaVi-Kinetics400", "SeLaVi-VGG-Sound", "AVID-CMA-Kinetics400"),
        *_rows(VIDEO, "brainscore", "AVID-CMA-Audioset", "GDT-Kinetics400"),
    ),
    "forward prediction": _rows(VIDEO, "brainscore", "ConvLSTM", "PredRNN", "TAU", "SimVP", "MIM"),
    "text-video": _rows(VIDEO, "brainscore", "s3d-HowTo100M"),
}
