"""Optional families of models: the packages that each extra of this project installs."""

import importlib.util

from ..utils import BadInput

EXTRAS = {
    "transformers": ("transformers", "safetensors", "huggingface_hub"),
    "timm": ("timm", "safetensors", "huggingface_hub"),
    "pytorchvideo": ("pytorchvideo",),
}


def missing(extra: str) -> str:
    """The command that installs what the extra lacks here; "" where nothing lacks."""
    lacks = [package for package in EXTRAS.get(extra, ()) if importlib.util.find_spec(package) is None]
    return f"pip install -e .[{extra}]" if lacks else ""


def require(name: str, extra: str) -> None:
    """Raise BadInput with the command where the model's extra is not installed."""
    if command := missing(extra):
        raise BadInput(f"{name} needs the extra '{extra}', which is not installed; {command}")
