"""Source of models: networks of pytorchvideo with the weights of its authors."""

import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ...utils import digest
from ..catalogue import entry_of
from ..checkpoints import ready_text
from ..spec import Model
from .published import put_weights, wrapped

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..networks.built import Built

# channels of a reduced network, by the start of its name
REDUCED = {
    "slowfast": {"stem_dim_outs": (16, 2), "model_num_class": 8},
    "x3d": {"head_dim_out": 32, "model_num_class": 8},
    "": {"stem_dim_out": 8, "model_num_class": 8},
}
CLIP, SLOW_STEP = 32, 4  # frames of a clip of SlowFast, and of its fast pathway for one of its slow pathway
STAGES = 5


def source_files(name: str) -> tuple[Path, ...]:
    """Return the files of the shared loader and the preprocessing."""
    here = Path(__file__).parents[1]
    return tuple(here / part for part in ("sources/published.py", "preprocessing.py", "checkpoints.py"))


def packages(name: str) -> tuple[str, ...]:
    """Return the packages whose versions may change the output of the network."""
    return ("pytorchvideo",)


def ready(name: str) -> str:
    """Return "yes", or the weight file that loading fetches or that is missing."""
    return ready_text(entry_of("pytorchvideo", name))


def load(name: str, device: str, weights: bool = True, reduced: bool = False) -> tuple[Model, str]:
    """Return the network, with its weights or its initial values, and the digest of its preprocessing.

    reduced: few channels, without weights.
    """
    entry = entry_of("pytorchvideo", name)
    network = build(entry.argument, reduced)
    if weights:
        put_weights(entry, network)
    return wrapped(entry, network, device), digest(["pytorchvideo", entry.argument, asdict(entry.preprocessing)])


def build(name: str, reduced: bool = False) -> "Built":
    """Return the network with its initial values."""
    return NETWORKS[name](name, reduced)


def slowfast(name: str, reduced: bool) -> "Built":
    """Return a SlowFast 8x8 (Feichtenhofer et al. 2019); both pathways are read before their fusion.

    The frames of the slow pathway are evenly spaced over the clip, first and last included, as in its training.
    """
    from ..networks.built import Built

    module = _hub(name, reduced)
    module.register_forward_pre_hook(lambda _module, inputs: ([_slow(inputs[0]), inputs[0]],))
    pathways = [f"blocks.{stage}.multipathway_blocks.{way}" for stage in range(STAGES) for way in range(2)]
    return Built(module, {**dict.fromkeys(pathways, "CTHW"), f"blocks.{STAGES + 1}": "C"})


def _slow(frames: "Tensor") -> "Tensor":
    """Return the frames of the slow pathway, of one clip or of several in a row."""
    import torch

    steps = torch.linspace(0, CLIP - 1, CLIP // SLOW_STEP).long()
    starts = torch.arange(0, frames.shape[2], CLIP)[:, None]
    return frames.index_select(2, (starts + steps).flatten().to(frames.device))


def stages(name: str, reduced: bool) -> "Built":
    """Return a network of consecutive stages; its read-out is read before the softmax and the mean over places."""
    from ..networks.built import Built

    module = _hub(name, reduced)
    last = len(module.blocks) - 1
    return Built(module, {**{f"blocks.{stage}": "CTHW" for stage in range(last)}, f"blocks.{last}.proj": "THWC"})


def _hub(name: str, reduced: bool) -> "nn.Module":
    """Return a network of pytorchvideo; its activation functions use a deprecated compiler of torch, with warnings."""
    from pytorchvideo.models import hub

    width = next(facts for start, facts in REDUCED.items() if name.startswith(start)) if reduced else {}
    with warnings.catch_warnings(action="ignore"):
        return getattr(hub, name)(**width)


STAGED = ("x3d_xs", "x3d_s", "x3d_m", "x3d_l", "slow_r50", "i3d_r50", "c2d_r50", "csn_r101", "r2plus1d_r50")
NETWORKS: "dict[str, Callable[[str], Built]]" = {
    **dict.fromkeys(("slowfast_r50", "slowfast_r101"), slowfast),
    **dict.fromkeys(STAGED, stages),
}
