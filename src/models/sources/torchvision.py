"""Networks of torchvision that Brain-Score has no plugin for, with torchvision's own preprocessing."""

import importlib.util
from pathlib import Path

import numpy as np

from ...utils import digest
from ..catalogue import entry_of
from ..checkpoints import ready_text
from ..spec import Model
from ..weights import explained


def source_files(name: str) -> tuple[Path, ...]:
    """None but this file: torchvision's own sources change with its version."""
    return ()


def packages(name: str) -> tuple[str, ...]:
    """The packages whose versions can change what the model computes."""
    return ("torchvision",)


def ready(name: str) -> str:
    """ "yes", or how the weight file comes here."""
    return ready_text(entry_of("torchvision", name)) if importlib.util.find_spec("torchvision") else "needs torchvision"


def load(name: str, device: str) -> tuple[Model, str]:
    """The network with its first published weights, and the digest of its preprocessing."""
    with explained(name, "TORCH_HOME", "pip install torchvision"):
        import torch
        import torchvision

        weights = next(iter(torchvision.models.get_model_weights(name)))
        module = torchvision.models.get_model(name, weights=weights).eval().to(device)
    from ..inspect.outputs import blocks
    from ..inspect.probe import detected

    entry, transform = entry_of("torchvision", name), weights.transforms()
    model = Model(
        name=name,
        module=module,
        preprocess=lambda frames: transform(torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)),
        layers=dict.fromkeys(blocks(module), ""),
        kind=entry.kind,
        fps=entry.fps,
        digest="",
        num_frames=entry.frames,
    )
    return detected(model, device, choose=True), digest(["torchvision", repr(transform)])
