"""Optional families of models, and the packages that each extra of this project installs."""

import importlib.util

from ..utils import BadInput

EXTRAS = {
    "transformers": ("transformers", "safetensors", "huggingface_hub"),
    "timm": ("timm", "safetensors", "huggingface_hub"),
    "pytorchvideo": ("pytorchvideo",),
}


def missing(extra: str) -> str:
    """Return the command that installs the missing packages of an extra, "" if none is missing."""
    absent = [package for package in EXTRAS.get(extra, ()) if importlib.util.find_spec(package) is None]
    return f"pip install 'dynamic-vision[{extra}]'" if absent else ""


def require(name: str, extra: str) -> None:
    """Raise BadInput with the command if the model's extra is not installed."""
    if command := missing(extra):
        raise BadInput(f"{name} needs the extra '{extra}', which is not installed; {command}")
