"""Networks trained to predict the next frames of a video: OpenSTL's checkpoints, trained on KITTI.

The training videos had 128 x 160 px and 10 frames per second.
"""

from .entry import VIDEO, ModelEntry, Preprocessing, Weights

RELEASE = "https://github.com/chengtan9907/OpenSTL/releases/download/kitti-weights"
PREPROCESSING = Preprocessing(size=(128, 160), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), axes="TCHW")
ANY, TEN = (1, float("inf")), (10, 10)
OBSERVED = (
    "all input frames are observed, none predicted; memory.i is the state of cell i in the benchmark's first list"
)
STACKED = "the translator's layers have all ten frames as channels, without time"


def _entry(
    name: str, file: str, millions: float, frames: tuple[float, float], layers: int, checkpoint: str, note: str = ""
) -> ModelEntry:
    checkpoint = f"kitticaltech_{checkpoint}_one_ep100.pth"
    return ModelEntry(
        name=name,
        group="forward prediction",
        kind=VIDEO,
        source="network",
        argument=f"{file}:{name}",
        millions=millions,
        fps=10.0,
        frames=frames,
        layers=layers,
        weights=Weights(file=checkpoint, url=f"{RELEASE}/{checkpoint}", licence="Apache-2.0"),
        preprocessing=PREPROCESSING,
        note=note,
    )


ENTRIES = (
    _entry("ConvLSTM", "convlstm", 15.03, ANY, 5, "convlstm", OBSERVED),
    _entry("PredRNN", "predrnn", 23.75, ANY, 5, "predrnn", OBSERVED),
    _entry("TAU", "simvp", 14.96, TEN, 10, "tau", STACKED),
    _entry("SimVP", "simvp", 15.63, TEN, 10, "simvp_gsta", STACKED),
    _entry("MIM", "mim", 49.16, TEN, 8, "mim", f"{OBSERVED}; ten at a time, as in its training"),
)
