"""Networks whose code is pytorchvideo's, with the weights that its authors publish for them."""

import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ...utils import digest
from ..catalogue import entry_of
from ..checkpoints import ready_text
from ..spec import Model
from .published import WEIGHT_DOORS, put_weights, wrapped

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..networks.built import Built

__all__ = ["NETWORKS", "WEIGHT_DOORS", "build", "load", "packages", "ready", "source_files"]

SLOW_STEP = 4  # the slow pathway sees every fourth frame
STAGES = 5


def source_files(name: str) -> tuple[Path, ...]:
    """The shared loader and the preprocessing."""
    here = Path(__file__).parents[1]
    return tuple(here / part for part in ("sources/published.py", "preprocessing.py", "checkpoints.py"))


def packages(name: str) -> tuple[str, ...]:
    """The packages whose versions can change what the network computes."""
    return ("pytorchvideo",)


def ready(name: str) -> str:
    """ "yes", or how the weight file comes here."""
    return ready_text(entry_of("pytorchvideo", name))


def load(name: str, device: str) -> tuple[Model, str]:
    """The network with its weights, and the digest of its preprocessing."""
    entry = entry_of("pytorchvideo", name)
    network = build(name)
    put_weights(entry, network)
    return wrapped(entry, network, device), digest(["pytorchvideo", name, asdict(entry.preprocessing)])


def build(name: str) -> "Built":
    """The network with its initial values."""
    return NETWORKS[name]()


def slowfast() -> "Built":
    """SlowFast 8x8, ResNet-50 (Feichtenhofer et al. 2019), both pathways read before their fusion.

    The slow pathway's frames are spread evenly over the clip, first and last included, as in its training.
    """
    from pytorchvideo.models.hub import slowfast_r50

    from ..networks.built import Built

    module = _quiet(slowfast_r50)
    module.register_forward_pre_hook(lambda _module, inputs: ([_slow(inputs[0]), inputs[0]],))
    pathways = [f"blocks.{stage}.multipathway_blocks.{way}" for stage in range(STAGES) for way in range(2)]
    return Built(module, {**dict.fromkeys(pathways, "CTHW"), f"blocks.{STAGES + 1}": "C"})


def _slow(clips: "Tensor") -> "Tensor":
    import torch

    n_frames = clips.shape[2]
    steps = torch.linspace(0, n_frames - 1, n_frames // SLOW_STEP, device=clips.device).long()
    return clips.index_select(2, steps)


def x3d_m() -> "Built":
    """X3D-M (Feichtenhofer 2020); the read-out before its softmax."""
    from pytorchvideo.models.hub import x3d_m

    from ..networks.built import Built

    blocks = {f"blocks.{stage}": "CTHW" for stage in range(STAGES)}
    return Built(_quiet(x3d_m), {**blocks, f"blocks.{STAGES}.proj": "THWC"})


def _quiet(build: "Callable[[], nn.Module]") -> "nn.Module":
    """A network whose activation functions are compiled by a part of torch that announces its end."""
    with warnings.catch_warnings(action="ignore"):
        return build()


NETWORKS: "dict[str, Callable[[], Built]]" = {"slowfast_r50": slowfast, "x3d_m": x3d_m}
