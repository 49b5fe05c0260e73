"""Source of models: networks of Hugging Face's transformers, of the catalogue or of any repository or folder.

The catalogue has the configurations of its networks. Weights are read from HF_HOME, as safetensors, or in torch's
format without running code if a repository has nothing else. The preprocessing of a repository that is not in the
catalogue is that of its preprocessor_config.json, at 25 frames per second for images and 8 for clips; a network that
requires another one is loaded by a user's function that returns a Model.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...utils import BadInput, digest, first_names
from ..catalogue import entry_of
from ..catalogue.entry import ModelEntry, Preprocessing
from ..catalogue.huggingface import ARCHITECTURES, Architecture
from ..hub import hub_file, state_of, weights_here
from ..preprocessing import preprocessor
from ..spec import Model

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGE_FPS, CLIP_FPS = 25.0, 8.0


def source_files(repository: str) -> tuple[Path, ...]:
    """Return the files with the configurations, the preprocessing and the reading of weights."""
    here = Path(__file__).parents[1]
    return tuple(here / part for part in ("catalogue/huggingface.py", "preprocessing.py", "checkpoints.py", "hub.py"))


def packages(repository: str) -> tuple[str, ...]:
    """Return the packages whose versions may change the output of the network."""
    return ("transformers",)


def ready(repository: str) -> str:
    """Return "yes", or the repository that loading fetches."""
    return "yes" if weights_here(repository) else f"fetches {repository}"


def load(repository: str, device: str, weights: bool = True) -> tuple[Model, str]:
    """Return the network, with its weights or its initial values, and the digest of configuration and preprocessing."""
    if repository in ARCHITECTURES:
        entry, architecture = entry_of("huggingface", repository), ARCHITECTURES[repository]
        module = built(architecture, state_of(repository, architecture.keys) if weights else None, entry.name)
        model = wrapped(entry, architecture, module.to(device))
        return model, digest(["huggingface", repository, asdict(architecture), asdict(entry.preprocessing)])
    return _unlisted(repository, device, weights)


def built(architecture: Architecture, state: Mapping[str, "Tensor"] | None, name: str) -> "nn.Module":
    """Return the network of a configuration with the weights of `state`, or with its initial values for None."""
    import transformers

    config = getattr(transformers, architecture.config)(**architecture.facts)
    cls = getattr(transformers, architecture.model)
    module = cls(config, **architecture.build) if state is None else _filled(cls, config, state, name, architecture)
    return module.get_submodule(architecture.part).eval()


def _filled(cls: type, config: Any, state: Mapping, name: str, architecture: Architecture | None = None) -> "nn.Module":
    """Return a transformers model with the weights of `state` in single precision.

    transformers converts older names; the weights of other heads are left out. Raises BadInput if a weight of the
    model is missing or has another shape.
    """
    import torch
    from transformers.utils import logging

    build = architecture.build if architecture else {}
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        module, info = cls.from_pretrained(
            None, config=config, state_dict=dict(state), output_loading_info=True, dtype=torch.float32, **build
        )
    finally:
        logging.set_verbosity(level)
    part = f"{architecture.part}." if architecture and architecture.part else ""
    missing = sorted(key for key in info["missing_keys"] if key.startswith(part))
    other = sorted(str(key) for key in info.get("mismatched_keys", ()))
    if missing or other:
        raise BadInput(
            f"{name}: its weights do not fit transformers' {cls.__name__}: {len(missing)} missing "
            f"({first_names(missing, 3)}), {len(other)} of another shape ({first_names(other, 3)}); fetch them again"
        )
    return module


def layer_paths(architecture: Architecture) -> list[str]:
    """Return the module paths of the layers in the network's order."""
    depths, paths = iter(architecture.depth), []
    for layer in architecture.layers:
        paths += [layer.format(i=i) for i in range(next(depths))] if "{i}" in layer else [layer]
    return paths


def wrapped(entry: ModelEntry, architecture: Architecture, module: "nn.Module") -> Model:
    """Return the network as a Model."""
    axes = f"{architecture.tokens}C" if architecture.tokens else "KC"
    return Model(
        name=entry.name,
        module=module,
        preprocess=preprocessor(entry.preprocessing),
        layers=dict.fromkeys(layer_paths(architecture), axes),
        kind=entry.kind,
        fps=entry.fps,
        digest="",
        num_frames=entry.frames,
        process_output=token_reader(architecture),
    )


def token_reader(architecture: Architecture) -> Callable[[str, Any], "Tensor"]:
    """Return (layer, output of its module) -> patch tokens unfolded into time and space, without earlier tokens."""
    from ..inspect.outputs import first_tensor

    sides = dict(zip("HW", architecture.grid, strict=True))
    shape = [sides.get(letter, -1) for letter in architecture.tokens]

    def read(_layer: str, output: Any) -> "Tensor":
        tokens = first_tensor(output)
        return tokens[:, architecture.skip :].unflatten(1, shape) if shape else tokens

    return read


def _unlisted(repository: str, device: str, weights: bool) -> tuple[Model, str]:
    """Return the network of a repository that is not in the catalogue, as its files describe it, and its digest."""
    from transformers import AutoConfig, AutoModel

    from ..inspect.outputs import blocks
    from ..inspect.probe import detected

    folder = hub_file(repository, ("config.json",)).parent
    config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    config = getattr(config, "vision_config", config)  # vision part of a network of images and text
    state = state_of(repository) if weights else None
    cls = type(AutoModel.from_config(config)) if state is not None else None
    module = AutoModel.from_config(config) if cls is None else _filled(cls, config, state, f"hf:{repository}")
    preprocessing, frames = _described(folder, config)
    model = Model(
        name=f"hf:{repository}",
        module=module.eval().to(device),
        preprocess=preprocessor(preprocessing),
        layers=dict.fromkeys(blocks(module), ""),
        kind="image" if preprocessing.axes == "CHW" else "video",
        fps=IMAGE_FPS if preprocessing.axes == "CHW" else CLIP_FPS,
        digest="",
        num_frames=frames,
    )
    return detected(model, device, choose=True), digest(["hf", repository, config.to_dict(), asdict(preprocessing)])


def _described(folder: Path, config: Any) -> tuple[Preprocessing, tuple[float, float]]:
    """Return the preprocessing in a repository's files, and the limits on the number of frames."""
    path = folder / "preprocessor_config.json"
    settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    n_frames = getattr(config, "num_frames", None) or getattr(config, "frames_per_clip", None)
    known = settings.get("crop_size") if settings.get("do_center_crop") else settings.get("size")
    size = _side(known) or _side(getattr(config, "image_size", 0)) or _side(getattr(config, "crop_size", 0))
    if not size:
        raise BadInput(f"{folder} has no image size in its configuration; load it by a function that returns a Model")
    preprocessing = Preprocessing(size=size, axes="TCHW" if n_frames else "CHW")
    if settings.get("do_center_crop") and (short := _side(settings.get("size"))):
        preprocessing = replace(preprocessing, resize=max(short, size))
    if settings.get("image_mean") and settings.get("image_std"):
        preprocessing = replace(preprocessing, mean=tuple(settings["image_mean"]), std=tuple(settings["image_std"]))
    return preprocessing, (n_frames, n_frames) if n_frames else (1, np.inf)


def _side(size: Any) -> int:
    """Return a side in px from the forms that configurations use, 0 if there is none."""
    if isinstance(size, Mapping):
        size = size.get("shortest_edge") or size.get("height")
    return int(size[0] if isinstance(size, list | tuple) else size or 0)
