"""Source of models: any network of timm, `timm:<name>`, with its pretrained weights and preprocessing.

Images only, at 25 frames per second. Weights are under HF_HOME, or under TORCH_HOME if timm has an address for them.
"""

import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...utils import digest, unknown_name
from ..catalogue.entry import Preprocessing
from ..hub import FILES, hub_file
from ..preprocessing import preprocessor
from ..spec import Model
from ..weights import explain_weight_errors, record_weight_file

FPS = 25.0
# arguments of a reduced network, by a part of its name
REDUCED: dict[str, dict[str, Any]] = {
    "convnext": {"depths": (1, 1, 2, 1), "dims": (8, 16, 32, 64)},
    "hiera": {
        "embed_dim": 16,
        "num_heads": 1,
        "stages": (1, 1, 2, 1),
        "global_att_blocks": (3,),
    },
    "vit_pe_": {
        "embed_dim": 64,
        "depth": 2,
        "num_heads": 2,
        "mlp_ratio": 2.0,
        "attn_pool_num_heads": 2,
        "num_classes": 8,
    },
    "vit_giant_patch14": {"embed_dim": 64, "depth": 2, "num_heads": 2, "mlp_ratio": 4.0},
    "vit_": {"embed_dim": 64, "depth": 2, "num_heads": 2},
    "eva": {"embed_dim": 64, "depth": 2, "num_heads": 2},
    "beit": {"embed_dim": 64, "depth": 2, "num_heads": 2},
    "aimv2": {"embed_dim": 64, "depth": 2, "num_heads": 2},
}
INTERPOLATIONS = ("bilinear", "bicubic", "nearest")


def source_files(name: str) -> tuple[Path, ...]:
    """Return the files of the preprocessing and of the hub; timm's sources change with its version."""
    here = Path(__file__).parents[1]
    return (here / "preprocessing.py", here / "hub.py")


def packages(name: str) -> tuple[str, ...]:
    """Return the packages whose versions may change the output of the network."""
    return ("timm",)


def ready(name: str) -> str:
    """Return "fetches weights", or "needs timm" if it is not installed."""
    return "fetches weights" if importlib.util.find_spec("timm") else "needs timm"


def load(name: str, device: str, weights: bool = True, reduced: bool = False) -> tuple[Model, str]:
    """Return the network, with its weights or its initial values, and the digest of its preprocessing.

    reduced: few blocks of few channels, without weights.
    """
    from ..inspect.outputs import blocks
    from ..inspect.probe import detected

    module = network(name, weights, reduced).eval().to(device)
    preprocessing = described(module.pretrained_cfg)
    model = Model(
        name=f"timm:{name}",
        module=module,
        preprocess=preprocessor(preprocessing),
        layers=dict.fromkeys(blocks(module), ""),
        kind="image",
        fps=FPS,
        digest="",
    )
    return detected(model, device, choose=True), digest(["timm", name, asdict(preprocessing)])


def network(name: str, weights: bool = True, reduced: bool = False) -> Any:
    """Return the network, pretrained or not; raise BadInput for an unknown name and for missing weights."""
    import timm

    if not timm.is_model(name):
        raise unknown_name("model of timm", name, timm.list_models(pretrained=True))
    if not weights:
        return timm.create_model(name, pretrained=False, **(_few(name) if reduced else {}))
    overlay = pretrained_overlay(timm.models.get_pretrained_cfg(name))
    with explain_weight_errors(f"timm:{name}", "HF_HOME or TORCH_HOME", "pip install 'dynamic-vision[timm]'"):
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)


def _few(name: str) -> dict[str, Any]:
    """Return the arguments of a reduced network; those of another family are the network's own."""
    return next((facts for part, facts in REDUCED.items() if part in name), {})


def pretrained_overlay(configuration: Any) -> dict[str, str]:
    """Return timm's argument for the file from the hub; empty if timm has an address for the weights."""
    if configuration is None or not configuration.hf_hub_id:
        return {}
    filename = configuration.hf_hub_filename
    path = hub_file(configuration.hf_hub_id, (filename,) if filename else FILES)
    record_weight_file(path)
    return {"file": str(path)}


def described(configuration: dict) -> Preprocessing:
    """Return timm's preprocessing for evaluation.

    The short side is resized to size / crop_pct and the centre cropped; crop_mode "squash" resizes to the square.
    """
    size = configuration["input_size"][-1]
    share = configuration.get("crop_pct") or 0.875
    squash = configuration.get("crop_mode") == "squash"
    mean, std = tuple(configuration["mean"]), tuple(configuration["std"])
    interpolation = configuration.get("interpolation", "bicubic")
    return Preprocessing(
        size=size,
        resize=0 if squash else int(size / share),
        mean=mean,
        std=std,
        axes="CHW",
        interpolation=interpolation if interpolation in INTERPOLATIONS else "bicubic",
    )
