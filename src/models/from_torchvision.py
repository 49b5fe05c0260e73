"""Networks of torchvision that Brain-Score has no plugin for, with torchvision's own preprocessing."""

import importlib.util
import re
from functools import cache
from pathlib import Path

import numpy as np

from src.config import Config
from src.models.spec import Model
from src.models.weights import explained
from src.utils import digest

VIDEO_FPS = {"swin3d_t": 15.0, "swin3d_s": 15.0, "swin3d_b": 15.0}
IMAGE_FPS = 25.0
VIDEO_FRAMES = (2, np.inf)
CHECKPOINT = re.compile(r"https://download\.pytorch\.org/models/([\w-]+\.pth)")


def source_files(name: str) -> tuple[Path, ...]:
    """None but this file: torchvision's own sources change with its version."""
    return ()


def packages(name: str) -> tuple[str, ...]:
    """The packages whose versions can change what the model computes."""
    return ("torchvision",)


def ready(name: str) -> str:
    """ "yes", or the weight file that is missing under TORCH_HOME."""
    known = checkpoint_file(name)
    return "needs torchvision" if known is None else "yes" if known.is_file() else f"needs {known.name}"


@cache
def _checkpoint_names() -> tuple[str, ...]:
    """The file names of all checkpoints that torchvision's sources mention, oldest weights first."""
    found = importlib.util.find_spec("torchvision")
    if found is None or not found.origin:
        return ()
    sources = (Path(found.origin).parent / "models").rglob("*.py")
    return tuple(name for path in sorted(sources) for name in CHECKPOINT.findall(path.read_text(encoding="utf-8")))


def checkpoint_file(name: str) -> Path | None:
    """Where torchvision's first published weights of that network belong, or None for a name it does not know."""
    stems = (f"{name}-", f"{name}_1k-")
    known = next((file for file in _checkpoint_names() if file.startswith(stems)), None)
    return Config.from_env().weights_home / "hub" / "checkpoints" / known if known else None


def load(name: str, device: str) -> tuple[Model, str]:
    """The network with its first published weights, and the digest of its preprocessing."""
    with explained(name, "TORCH_HOME", "pip install torchvision"):
        import torch
        import torchvision

        weights = next(iter(torchvision.models.get_model_weights(name)))
        module = torchvision.models.get_model(name, weights=weights).eval().to(device)
    from src.models.outputs import blocks
    from src.models.probing import detected

    transform = weights.transforms()
    model = Model(
        name=name,
        module=module,
        preprocess=lambda frames: transform(torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)),
        layers=dict.fromkeys(blocks(module), ""),
        kind="video" if name in VIDEO_FPS else "image",
        fps=VIDEO_FPS.get(name, IMAGE_FPS),
        digest="",
        num_frames=VIDEO_FRAMES if name in VIDEO_FPS else (1, np.inf),
    )
    return detected(model, device, choose=True), digest(["torchvision", repr(transform)])
