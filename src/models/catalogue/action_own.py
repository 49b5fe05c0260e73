"""Networks of actions whose code is built here: R(2+1)D-34 of IG-65M, and TSM."""

from .entry import VIDEO, ModelEntry, Preprocessing, Weights

IG65M = "https://github.com/moabitcoin/ig65m-pytorch/releases/download/v1.0.0"
TSM = "https://file.lzhu.me/projects/tsm/models"
CROPPED = Preprocessing(size=112, resize=128, mean=(0.43216, 0.394666, 0.37645), std=(0.22803, 0.22145, 0.216989))
IG65M_NOTE = "converted from the authors' Caffe2 files by moabitcoin; clips of 32 frames"


def _r2plus1d(data: str, file: str, millions: float, note: str) -> ModelEntry:
    """Return an R(2+1)D-34; its file has the first digits of its digest in its name."""
    return ModelEntry(
        name=f"R2plus1D-34-{data}",
        group="action recognition",
        kind=VIDEO,
        source="network",
        argument=f"r2plus1d:R2plus1D-34-{data}",
        millions=millions,
        fps=30.0,
        frames=(32, 32),
        layers=6,
        weights=Weights(
            file=file, url=f"{IG65M}/{file}", licence="MIT", sha256=file.removesuffix(".pth").rpartition("-")[2]
        ),
        preprocessing=CROPPED,
        note=note,
    )


def _tsm(name: str, file: str, millions: float, note: str) -> ModelEntry:
    """Return a TSM ResNet-50 of 8 frames."""
    return ModelEntry(
        name=name,
        group="action recognition",
        kind=VIDEO,
        source="network",
        argument=f"tsm:{name}",
        millions=millions,
        fps=3.75,
        frames=(8, 8),
        layers=18,
        weights=Weights(file=file, url=f"{TSM}/{file}", licence="MIT", key="state_dict"),
        preprocessing=Preprocessing(size=224, resize=256, axes="TCHW"),
        note=note,
    )


ENTRIES = (
    _r2plus1d("IG65M", "r2plus1d_34_clip32_ig65m_from_scratch-449a7af9.pth", 63.75, IG65M_NOTE),
    _r2plus1d(
        "IG65M-Kinetics400",
        "r2plus1d_34_clip32_ft_kinetics_from_ig65m-ade133f1.pth",
        63.7,
        f"{IG65M_NOTE}; fine-tuned on Kinetics-400",
    ),
    _tsm(
        "TSM",
        "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e100_dense.pth",
        24.33,
        "every 8th of 30 frames per second, the dense sampling of its training",
    ),
    _tsm(
        "TSM-smthsmthv2",
        "TSM_somethingv2_RGB_resnet50_shift8_blockres_avg_segment8_e45.pth",
        23.86,
        "trained on 8 frames spread over a whole clip; 3.75 per second as for TSM",
    ),
)
