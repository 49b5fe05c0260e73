"""What is known of a model before it is loaded: plain data, no network library."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

IMAGE, VIDEO = "image", "video"

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
    """Where a checkpoint comes from.

    file: its name under TORCH_HOME/hub/checkpoints, or a Hugging Face repository ("MCG-NJU/videomae-base").
    url: its direct address, "" where there is none: `how` then says what to do.
    sha256: whole, or its first 8 or more hex digits as publishers put them in names; "" = unknown.
    key: the entry of the checkpoint's dict that holds the state dict ("model", "state_dict"), "" = the checkpoint.
    """

    file: str
    url: str = ""
    licence: str = ""
    sha256: str = ""
    key: str = ""
    how: str = ""


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How frames become the network's input.

    size: of the central crop, px, a square's side or (height, width); resize: of the short side before it, px, 0 =
    straight to size; mean, std: of the channels in their order R, G, B, in [0, 1]; axes: of one sample, "CTHW", "TCHW"
    or "CHW"; bgr: channels turned.
    """

    size: int | tuple[int, int]
    resize: int = 0
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    axes: str = "CTHW"
    bgr: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the input, px."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A name, where its network comes from, and what is known of it.

    kind: "image", "video" or "?" where only loading tells; source: a key of SOURCES; argument: the name that the
    source knows it by, "" = name; millions: of parameters; fps: of the film as the model samples it; frames: (least,
    most) in one forward pass; layers: how many before thinning; extra: the optional extra that it needs; note: where
    the checkpoint differs from the benchmark's first list, or what a user must know; unavailable: why the model cannot
    be had and what comes nearest, which loading then says.
    Set from the prefixes of a name: random: weights drawn from a seed in the name; full_features: the extractor
    projects nothing; finetuned: path of a state dict of the user's.
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
    note: str = ""
    unavailable: str = ""
    random: bool = False
    full_features: bool = False
    finetuned: str = ""

    def __post_init__(self):
        object.__setattr__(self, "argument", self.argument or self.name)

    @property
    def module(self) -> "ModuleType":
        """The module of its source."""
        return importlib.import_module(f"...sources.{SOURCES[self.source]}", __name__)


def of_torchvision(file: str) -> Weights:
    """A checkpoint of torchvision's; its name ends in the first digits of its digest."""
    url = f"https://download.pytorch.org/models/{file}"
    return Weights(file=file, url=url, licence="BSD-3-Clause", sha256=file.removesuffix(".pth").rpartition("-")[2])
