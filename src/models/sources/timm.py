"""Any network of timm, `timm:<name>`, with its pretrained weights and the preprocessing that its configuration names.

Images only, at 25 frames per second. Weights lie under HF_HOME, or under TORCH_HOME where timm keeps an address.
"""

import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...utils import digest, unknown_name
from ..catalogue.entry import Preprocessing
from ..hub import FILES, hub_file
from ..preprocessing import preparation
from ..spec import Model
from ..weights import explained, note_weights

FPS = 25.0


def source_files(name: str) -> tuple[Path, ...]:
    """The preprocessing; timm's own sources change with its version."""
    here = Path(__file__).parents[1]
    return (here / "preprocessing.py", here / "hub.py")


def packages(name: str) -> tuple[str, ...]:
    """The packages whose versions can change what the network computes."""
    return ("timm",)


def ready(name: str) -> str:
    """ "fetches weights": only timm itself tells which file a name needs."""
    return "fetches weights" if importlib.util.find_spec("timm") else "needs timm"


def load(name: str, device: str) -> tuple[Model, str]:
    """The network with its weights, and the digest of its preprocessing."""
    from ..inspect.outputs import blocks
    from ..inspect.probe import detected

    module = network(name).eval().to(device)
    preprocessing = described(module.pretrained_cfg)
    model = Model(
        name=f"timm:{name}",
        module=module,
        preprocess=preparation(preprocessing),
        layers=dict.fromkeys(blocks(module), ""),
        kind="image",
        fps=FPS,
        digest="",
    )
    return detected(model, device, choose=True), digest(["timm", name, asdict(preprocessing)])


def network(name: str) -> Any:
    """The network with its pretrained weights. Raises BadInput for an unknown name and for weights that lack."""
    import timm

    if not timm.is_model(name):
        raise unknown_name("model of timm", name, timm.list_models(pretrained=True))
    overlay = pretrained(timm.models.get_pretrained_cfg(name))
    with explained(f"timm:{name}", "HF_HOME or TORCH_HOME", "pip install -e .[timm]"):
        return timm.create_model(name, pretrained=overlay is not None, pretrained_cfg_overlay=overlay)


def pretrained(configuration: Any) -> dict[str, str]:
    """What timm must be told to find the weights: the file on the hub; nothing where it has an address of its own."""
    if configuration is None or not configuration.hf_hub_id:
        return {}
    known = configuration.hf_hub_filename
    path = hub_file(configuration.hf_hub_id, (known,) if known else FILES)
    note_weights(path)
    return {"file": str(path)}


WEIGHT_DOORS = {"src.models.sources.timm:pretrained": lambda *_: None}


def described(configuration: dict) -> Preprocessing:
    """timm's own evaluation: the short side to size / crop_pct, then the central square; "squash": at once."""
    size = configuration["input_size"][-1]
    share = configuration.get("crop_pct") or 0.875
    squash = configuration.get("crop_mode") == "squash"
    mean, std = tuple(configuration["mean"]), tuple(configuration["std"])
    return Preprocessing(size=size, resize=0 if squash else int(size / share), mean=mean, std=std, axes="CHW")
