"""Networks with code and weights of pytorchvideo."""

from .entry import VIDEO, ModelEntry, Preprocessing, Weights

ZOO = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics"
PREPROCESSING = Preprocessing(size=256, resize=256, mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225))


def _weights(file: str) -> Weights:
    return Weights(file=file, url=f"{ZOO}/{file}", licence="Apache-2.0", key="model_state")


ENTRIES = (
    ModelEntry(
        name="SlowFast",
        group="action recognition",
        kind=VIDEO,
        source="pytorchvideo",
        argument="slowfast_r50",
        millions=34.57,
        fps=12.5,
        frames=(32, 32),
        layers=11,
        weights=_weights("SLOWFAST_8x8_R50.pyth"),
        preprocessing=PREPROCESSING,
        extra="pytorchvideo",
        note="the authors' own 8x8 ResNet-50 (Kinetics-400), not MMAction2's retrained one",
    ),
    ModelEntry(
        name="X3D",
        group="action recognition",
        kind=VIDEO,
        source="pytorchvideo",
        argument="x3d_m",
        millions=3.79,
        fps=30.0,
        frames=(16, float("inf")),
        layers=6,
        weights=_weights("X3D_M.pyth"),
        preprocessing=PREPROCESSING,
        extra="pytorchvideo",
        note="X3D-M; trained on 16 frames at 6 per second, run at 30 as in the benchmark's first list",
    ),
)
