"""Networks of Hugging Face's transformers: the catalogue's with their held configuration, any other by its repository.

Weights are safetensors, or torch's format read without code where a repository has nothing else; they lie under
HF_HOME. A repository outside the catalogue, or a folder, is fed as its preprocessor_config.json says, at 25 frames per
second where it takes images and 8 where it takes clips; write a `src.models.spec.Model` where it needs other.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...utils import BadInput, digest
from ..catalogue import entry_of
from ..catalogue.entry import ModelEntry, Preprocessing
from ..catalogue.huggingface import ARCHITECTURES, Architecture
from ..hub import hub_file, state_of, weights_here
from ..preprocessing import preparation
from ..spec import Model

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGE_FPS, CLIP_FPS = 25.0, 8.0


def source_files(repository: str) -> tuple[Path, ...]:
    """The held configurations and the preprocessing."""
    here = Path(__file__).parents[1]
    return tuple(here / part for part in ("catalogue/huggingface.py", "preprocessing.py", "checkpoints.py", "hub.py"))


def packages(repository: str) -> tuple[str, ...]:
    """The packages whose versions can change what the network computes."""
    return ("transformers",)


def ready(repository: str) -> str:
    """ "yes", or the repository that loading fetches."""
    return "yes" if weights_here(repository) else f"fetches {repository}"


WEIGHT_DOORS = {"src.models.hub:state_of": lambda *_: None}


def load(repository: str, device: str) -> tuple[Model, str]:
    """The network with its weights, and the digest of its configuration and preprocessing."""
    if repository in ARCHITECTURES:
        entry, architecture = entry_of("huggingface", repository), ARCHITECTURES[repository]
        module = built(architecture, state_of(repository, architecture.keys), entry.name)
        model = wrapped(entry, architecture, module.to(device))
        return model, digest(["huggingface", repository, asdict(architecture), asdict(entry.preprocessing)])
    return _unlisted(repository, device)


def built(architecture: Architecture, state: Mapping[str, "Tensor"] | None, name: str) -> "nn.Module":
    """The network from its held configuration, with the weights of `state`, or its initial values for None."""
    import transformers

    config = getattr(transformers, architecture.config)(**architecture.facts)
    cls = getattr(transformers, architecture.model)
    module = cls(config, **architecture.build) if state is None else _filled(cls, config, state, name, architecture)
    return module.get_submodule(architecture.part).eval()


def _filled(cls: type, config: Any, state: Mapping, name: str, architecture: Architecture | None = None) -> "nn.Module":
    """A transformers model with `state` in single precision; older names transformers knows itself, heads are dropped.

    Raises BadInput where a weight of the model is missing or has another shape.
    """
    import torch
    from transformers.utils import logging

    build = architecture.build if architecture else {}
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        module, told = cls.from_pretrained(
            None, config=config, state_dict=dict(state), output_loading_info=True, dtype=torch.float32, **build
        )
    finally:
        logging.set_verbosity(level)
    part = f"{architecture.part}." if architecture and architecture.part else ""
    lacking = sorted(key for key in told["missing_keys"] if key.startswith(part))
    other = sorted(str(key) for key in told.get("mismatched_keys", ()))
    if lacking or other:
        raise BadInput(
            f"{name}: its weights do not fit transformers' {cls.__name__}: {len(lacking)} missing "
            f"({', '.join(lacking[:3])}), {len(other)} of another shape ({', '.join(other[:3])}); fetch them anew"
        )
    return module


def layer_paths(architecture: Architecture) -> list[str]:
    """The layers' paths in the network's order."""
    depths, paths = iter(architecture.depth), []
    for layer in architecture.layers:
        paths += [layer.format(i=i) for i in range(next(depths))] if "{i}" in layer else [layer]
    return paths


def wrapped(entry: ModelEntry, architecture: Architecture, module: "nn.Module") -> Model:
    """The network as the extractor takes it."""
    axes = f"{architecture.tokens}C" if architecture.tokens else "KC"
    return Model(
        name=entry.name,
        module=module,
        preprocess=preparation(entry.preprocessing),
        layers=dict.fromkeys(layer_paths(architecture), axes),
        kind=entry.kind,
        fps=entry.fps,
        digest="",
        num_frames=entry.frames,
        process_output=reading(architecture),
    )


def reading(architecture: Architecture) -> Callable[[str, Any], "Tensor"]:
    """(layer, output of its module) -> patch tokens unfolded into time and space, tokens before them left out."""
    from ..inspect.outputs import first_tensor

    sides = dict(zip("HW", architecture.grid, strict=True))
    shape = [sides.get(letter, -1) for letter in architecture.tokens]

    def read(_layer: str, output: Any) -> "Tensor":
        tokens = first_tensor(output)
        return tokens[:, architecture.skip :].unflatten(1, shape) if shape else tokens

    return read


def _unlisted(repository: str, device: str) -> tuple[Model, str]:
    """A repository that the catalogue does not know, as its own files describe it."""
    from transformers import AutoConfig, AutoModel

    from ..inspect.outputs import blocks
    from ..inspect.probe import detected

    folder = hub_file(repository, ("config.json",)).parent
    config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    config = getattr(config, "vision_config", config)  # of a network for images and words: the eyes
    state = state_of(repository)
    cls = type(AutoModel.from_config(config)) if state is not None else None
    module = AutoModel.from_config(config) if cls is None else _filled(cls, config, state, f"hf:{repository}")
    preprocessing, frames = _described(folder, config)
    model = Model(
        name=f"hf:{repository}",
        module=module.eval().to(device),
        preprocess=preparation(preprocessing),
        layers=dict.fromkeys(blocks(module), ""),
        kind="image" if preprocessing.axes == "CHW" else "video",
        fps=IMAGE_FPS if preprocessing.axes == "CHW" else CLIP_FPS,
        digest="",
        num_frames=frames,
    )
    return detected(model, device, choose=True), digest(["hf", repository, config.to_dict(), asdict(preprocessing)])


def _described(folder: Path, config: Any) -> tuple[Preprocessing, tuple[float, float]]:
    """How the repository's own files say that its network is fed."""
    path = folder / "preprocessor_config.json"
    told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    n_frames = getattr(config, "num_frames", None) or getattr(config, "frames_per_clip", None)
    known = told.get("crop_size") if told.get("do_center_crop") else told.get("size")
    size = _side(known) or _side(getattr(config, "image_size", 0)) or _side(getattr(config, "crop_size", 0))
    if not size:
        raise BadInput(f"{folder} does not say how large its images are; write a function that returns a Model instead")
    preprocessing = Preprocessing(size=size, axes="TCHW" if n_frames else "CHW")
    if told.get("do_center_crop") and (short := _side(told.get("size"))):
        preprocessing = replace(preprocessing, resize=max(short, size))
    if told.get("image_mean") and told.get("image_std"):
        preprocessing = replace(preprocessing, mean=tuple(told["image_mean"]), std=tuple(told["image_std"]))
    return preprocessing, (n_frames, n_frames) if n_frames else (1, np.inf)


def _side(size: Any) -> int:
    """A side in pixels out of the ways that configurations write it; 0 where it is not said."""
    if isinstance(size, Mapping):
        size = size.get("shortest_edge") or size.get("height")
    return int(size[0] if isinstance(size, list | tuple) else size or 0)
