"""Source of models: networks of torchvision without a Brain-Score plugin, with torchvision's preprocessing."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from ...utils import digest
from ..catalogue import entry_of
from ..checkpoints import ready_text
from ..preprocessing import FramePreprocessing, normalised
from ..spec import Model
from ..weights import explain_weight_errors

if TYPE_CHECKING:
    import torch
    from torch import nn


def source_files(name: str) -> tuple[Path, ...]:
    """Return no further file; torchvision's sources change with its version."""
    return ()


def packages(name: str) -> tuple[str, ...]:
    """Return the packages whose versions may change the output of the network."""
    return ("torchvision",)


def ready(name: str) -> str:
    """Return "yes", or the weight file that loading fetches or that is missing."""
    return ready_text(entry_of("torchvision", name)) if importlib.util.find_spec("torchvision") else "needs torchvision"


def load(name: str, device: str, weights: bool = True, reduced: bool = False) -> tuple[Model, str]:
    """Return the network, with its first published weights or its initial values, and its preprocessing's digest.

    reduced: few blocks of few channels, without weights; the small networks are as they are.
    """
    with explain_weight_errors(name, "TORCH_HOME", "pip install torchvision"):
        import torchvision

        published = next(iter(torchvision.models.get_model_weights(name)))
        full = torchvision.models.get_model(name, weights=published if weights else None) if not reduced else None
        module = (full or _small(name)).eval().to(device)
    from ..inspect.outputs import blocks
    from ..inspect.probe import detected

    entry, transform = entry_of("torchvision", name), published.transforms()
    model = Model(
        name=name,
        module=module,
        preprocess=_preprocessor(transform, entry.kind),
        layers=dict.fromkeys(blocks(module), ""),
        kind=entry.kind,
        fps=entry.fps,
        digest="",
        num_frames=entry.frames,
    )
    return detected(model, device, choose=True), digest(["torchvision", repr(transform)])


def _small(name: str) -> "nn.Module":
    """Return a network of the same class with few blocks of few channels, or the network itself if it is small."""
    from torchvision.models import get_model
    from torchvision.models.video.swin_transformer import SwinTransformer3d
    from torchvision.models.vision_transformer import VisionTransformer

    if name.startswith("swin3d"):
        return SwinTransformer3d([2, 4, 4], 16, [1, 1, 2, 1], [1, 2, 4, 8], [8, 7, 7])
    if name.startswith("vit"):
        return VisionTransformer(224, 16, num_layers=2, num_heads=3, hidden_dim=48, mlp_dim=64)
    return get_model(name, weights=None)


def _preprocessor(preset, kind: str) -> FramePreprocessing:
    """Return the preset of weights as a preprocessing of single frames.

    Its steps but for the normalisation, which is ours: that of torchvision waits for the work that is queued on a GPU.
    """

    def images(frames: "torch.Tensor") -> "torch.Tensor":
        import torch
        from torchvision.transforms import functional

        # the preset of films has no antialiasing
        antialias = preset.antialias if kind == "image" else False
        pixels = functional.resize(frames, preset.resize_size, preset.interpolation, antialias=antialias)
        pixels = functional.convert_image_dtype(functional.center_crop(pixels, preset.crop_size), torch.float)
        return normalised(pixels, preset.mean, preset.std)

    return FramePreprocessing(images, "CHW" if kind == "image" else "CTHW")
