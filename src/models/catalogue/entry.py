"""Facts about a model before it is loaded; plain data, no network library."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

IMAGE, VIDEO = "image", "video"

# groups by the training of the networks, in the order of every list
GROUP_ORDER = (
    "control",
    "image",
    "action recognition",
    "masked autoencoder",
    "self-supervised",
    "audio-video",
    "forward prediction",
    "text-image",
    "text-video",
)

# {source of an entry: its module in models/sources}
SOURCES = {
    "control": "controls",
    "brainscore": "brainscore",
    "torchvision": "torchvision",
    "network": "published",
    "huggingface": "huggingface",
    "timm": "timm",
    "pytorchvideo": "pytorchvideo",
    "own": "file",
}


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Published checkpoint of a network.

    Parameters
    ----------
    file : str
        Name under TORCH_HOME/hub/checkpoints, or a Hugging Face repository ("MCG-NJU/videomae-base").
    url : str, default ""
        Direct address; "" if there is none, and `how` describes the way to the file.
    licence : str, default ""
        Licence of the weights.
    sha256 : str, default ""
        SHA-256 in hex, complete or its first 8 or more digits as publishers put them into names; "" if unknown.
    key : str, default ""
        Entry of the checkpoint's dict that holds the state dict ("model", "state_dict"); "" for the checkpoint itself.
    how : str, default ""
        Steps to the file where it has no address.
    """

    file: str
    url: str = ""
    licence: str = ""
    sha256: str = ""
    key: str = ""
    how: str = ""


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Transformation of frames to the input of a network.

    Parameters
    ----------
    size : int or (int, int)
        Central crop, px: side of a square, or (height, width).
    resize : int, default 0
        Short side before the crop, px; 0 resizes to `size` directly and does not keep the aspect ratio.
    mean, std : (float, float, float)
        Normalisation of the channels R, G, B with values in [0, 1]; by default those of ImageNet.
    axes : "CTHW", "TCHW" or "CHW", default "CTHW"
        Axes of one sample.
    bgr : bool, default False
        Reverse the channels after the normalisation.
    interpolation : "bilinear", "bicubic" or "nearest", default "bilinear"
        Interpolation of the resizing; bilinear and bicubic with antialiasing.

    Examples
    --------
    >>> Preprocessing(size=224, resize=256).shape
    (224, 224)
    """

    size: int | tuple[int, int]
    resize: int = 0
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    axes: str = "CTHW"
    bgr: bool = False
    interpolation: str = "bilinear"

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the input, px."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size


@dataclass(frozen=True, kw_only=True)
class Fed:
    """Input that Brain-Score's plugin gives to a network where it differs from that of the training.

    fps: frames per second; preprocessing: of its frames.
    """

    fps: float
    preprocessing: Preprocessing


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """Name of a model, the source of its network, and its facts.

    Parameters
    ----------
    name : str
        Name of the model, with the prefixes by which it was resolved.
    group : str
        One of GROUP_ORDER, "brainscore" or "own".
    kind : "image", "video" or "?"
        Input of the network; "?" if only loading determines it.
    source : str
        Key of SOURCES.
    argument : str, default `name`
        Name of the network within the source.
    millions : float, optional
        Parameters of the network, millions.
    fps : float, optional
        Rate at which the model samples a stimulus, frames per second.
    frames : (float, float), optional
        Minimum and maximum number of frames of one forward pass.
    layers : int, optional
        Number of layers before thinning.
    weights : Weights, optional
        Published checkpoint.
    preprocessing : Preprocessing, optional
        Transformation of frames, where the source does not define it.
    extra : str, default ""
        Optional extra of this project that the model requires.
    plugin : Fed, optional
        Input of Brain-Score's plugin, which the prefix BrainScore- selects, where it differs.
    note : str, default ""
        Difference between the checkpoint and that of the benchmark's first list, or another fact for users.
    unavailable : str, default ""
        Reason why the model cannot be loaded, and the nearest alternative; the error message of loading.
    random : bool, default False
        Weights sampled from a seed in the name (prefix Random-).
    full_features : bool, default False
        No projection of the features (prefix NoDownsample-).
    finetuned : str, default ""
        Path of a user's state dict (prefix Finetune-).
    order : "", "frozen" or "shuffled", default ""
        Order of the frames of each window (prefixes Frozen- and Shuffled-), see `spec.Model`.
    """

    name: str
    group: str
    kind: str
    source: str
    argument: str = ""
    millions: float | None = None
    fps: float | None = None
    frames: tuple[float, float] | None = None
    layers: int | None = None
    weights: Weights | None = None
    preprocessing: Preprocessing | None = None
    extra: str = ""
    plugin: Fed | None = None
    note: str = ""
    unavailable: str = ""
    random: bool = False
    full_features: bool = False
    finetuned: str = ""
    order: str = ""

    def __post_init__(self):
        object.__setattr__(self, "argument", self.argument or self.name)

    @property
    def module(self) -> "ModuleType":
        """Module of the entry's source."""
        return importlib.import_module(f"...sources.{SOURCES[self.source]}", __name__)


def conversion(name: str, *addresses: str) -> str:
    """Return the steps to a checkpoint that `convert` makes from the published files."""
    files = " ".join(address.rsplit("/", 1)[-1] for address in addresses)
    return f"fetch {' and '.join(addresses)} and run `dynamic-vision models convert {name} {files}`"


def of_torchvision(file: str) -> Weights:
    """Return a checkpoint of torchvision, whose name ends in the first digits of its digest."""
    url = f"https://download.pytorch.org/models/{file}"
    return Weights(file=file, url=url, licence="BSD-3-Clause", sha256=file.removesuffix(".pth").rpartition("-")[2])
