"""Networks with code and weights of pytorchvideo."""

from .entry import VIDEO, Fed, ModelEntry, Preprocessing, Weights

ZOO = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics"
PREPROCESSING = Preprocessing(size=256, resize=256, mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225))


def _weights(file: str) -> Weights:
    return Weights(file=file, url=f"{ZOO}/{file}", licence="Apache-2.0", key="model_state")


def _entry(
    name: str, argument: str, file: str, millions: float, layers: int, sampling: tuple[int, int], size: int, resize: int
) -> ModelEntry:
    """Return an entry of the zoo; sampling: frames of a clip, every how many of 30 per second."""
    frames, step = sampling
    return ModelEntry(
        name=name,
        group="action recognition",
        kind=VIDEO,
        source="pytorchvideo",
        argument=argument,
        millions=millions,
        fps=30 / step,
        frames=(frames, frames),
        layers=layers,
        weights=_weights(file),
        preprocessing=Preprocessing(size=size, resize=resize, mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225)),
        extra="pytorchvideo",
    )


ENTRIES = (
    ModelEntry(
        name="SlowFast",
        group="action recognition",
        kind=VIDEO,
        source="pytorchvideo",
        argument="slowfast_r50",
        millions=34.57,
        fps=15.0,
        frames=(32, 32),
        layers=11,
        weights=_weights("SLOWFAST_8x8_R50.pyth"),
        preprocessing=PREPROCESSING,
        extra="pytorchvideo",
        note="the authors' own 8x8 ResNet-50 (Kinetics-400), not MMAction2's retrained one; every second "
        "of 30 frames per second, as in its training; Brain-Score's plugin has 12.5 per second",
        plugin=Fed(fps=12.5, preprocessing=PREPROCESSING),
    ),
    ModelEntry(
        name="X3D",
        group="action recognition",
        kind=VIDEO,
        source="pytorchvideo",
        argument="x3d_m",
        millions=3.79,
        fps=6.0,
        frames=(16, float("inf")),
        layers=6,
        weights=_weights("X3D_M.pyth"),
        preprocessing=PREPROCESSING,
        extra="pytorchvideo",
        note="X3D-M; 6 frames per second, as in its training; the benchmark's first list has 30",
        plugin=Fed(fps=30.0, preprocessing=PREPROCESSING),
    ),
    _entry("SlowFast-R101", "slowfast_r101", "SLOWFAST_8x8_R101.pyth", 62.83, 11, (32, 2), 256, 256),
    _entry("X3D-XS", "x3d_xs", "X3D_XS.pyth", 3.79, 6, (4, 12), 182, 182),
    _entry("X3D-S", "x3d_s", "X3D_S.pyth", 3.79, 6, (13, 6), 182, 182),
    _entry("X3D-L", "x3d_l", "X3D_L.pyth", 6.15, 6, (16, 5), 312, 356),
    _entry("Slow-R50", "slow_r50", "SLOW_8x8_R50.pyth", 32.45, 6, (8, 8), 256, 256),
    _entry("I3D-R50", "i3d_r50", "I3D_8x8_R50.pyth", 28.04, 7, (8, 8), 256, 256),
    _entry("C2D-R50", "c2d_r50", "C2D_8x8_R50.pyth", 24.33, 7, (8, 8), 256, 256),
    _entry("CSN-R101", "csn_r101", "CSN_32x2_R101.pyth", 22.21, 6, (32, 2), 256, 256),
    _entry("R2plus1D-R50", "r2plus1d_r50", "R2PLUS1D_16x4_R50.pyth", 28.11, 6, (16, 4), 256, 256),
)
