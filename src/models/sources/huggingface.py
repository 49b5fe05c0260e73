"""Source of models: networks of Hugging Face's transformers, of the catalogue or of any repository or folder.

The catalogue has the configurations of its networks. Weights are read from HF_HOME, as safetensors, or in torch's
format without running code if a repository has nothing else. Preprocessing, frames and rate of a repository that is
not in the catalogue are those of its processor and configuration (`described`); a network that requires others is
loaded by a user's function that returns a Model.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...utils import BadInput, digest, first_names
from ..catalogue import PLUGIN, entry_of
from ..catalogue.entry import ModelEntry
from ..catalogue.huggingface import ARCHITECTURES, Architecture
from ..checkpoints import inner_state
from ..errors import error_line
from ..hub import hub_file, optional_file, state_of, weights_here
from ..preprocessing import preprocessor
from ..spec import Model
from .described import CLIP_FILES, as_clips, described

if TYPE_CHECKING:
    from torch import Tensor, nn

# facts of a reduced configuration
SMALL = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 64,
    "embed_dim": 16,
    "num_heads": [1, 2, 4, 8],
}


def source_files(repository: str) -> tuple[Path, ...]:
    """Return the files with the configurations, the preprocessing and the reading of weights."""
    here = Path(__file__).parents[1]
    parts = ("catalogue/huggingface.py", "preprocessing.py", "checkpoints.py", "hub.py", "sources/described.py")
    return tuple(here / part for part in parts)


def packages(repository: str) -> tuple[str, ...]:
    """Return the packages whose versions may change the output of the network."""
    return ("transformers",)


def ready(repository: str) -> str:
    """Return "yes", or the repository that loading fetches."""
    plain = repository.removesuffix(PLUGIN)
    return "yes" if weights_here(plain) else f"fetches {plain}"


def load(repository: str, device: str, weights: bool = True, reduced: bool = False) -> tuple[Model, str]:
    """Return the network, with its weights or its initial values, and the digest of configuration and preprocessing.

    reduced: few blocks of few channels, without weights, of a network of the catalogue.
    """
    plain = repository.removesuffix(PLUGIN)
    if plain in ARCHITECTURES:
        entry, architecture = entry_of("huggingface", repository), ARCHITECTURES[plain]
        architecture = small(architecture) if reduced else architecture
        module = built(architecture, state_of(plain, architecture.keys) if weights else None, entry.name)
        model = wrapped(entry, architecture, module.to(device))
        return model, digest(["huggingface", plain, asdict(architecture), asdict(entry.preprocessing)])
    return _unlisted(repository, device, weights)


def built(architecture: Architecture, state: Mapping[str, "Tensor"] | None, name: str) -> "nn.Module":
    """Return the network of a configuration with the weights of `state`, or with its initial values for None."""
    import transformers

    config = getattr(transformers, architecture.config)(**architecture.facts)
    cls = getattr(transformers, architecture.model)
    module = cls(config, **architecture.build) if state is None else _filled(cls, config, state, name, architecture)
    return module.get_submodule(architecture.part).eval()


def small(architecture: Architecture) -> Architecture:
    """Return the architecture with two blocks, or one to two in each stage, of few channels."""
    facts = {name: SMALL.get(name, value) for name, value in architecture.facts.items()}
    if "depths" in facts:
        facts["depths"] = [1, 1, 2, 1]
        return replace(architecture, facts=facts, depth=tuple(facts["depths"]))
    if "VJEPA2" in architecture.config:
        facts |= {"pred_hidden_size": 48, "pred_num_hidden_layers": 1}
    return replace(architecture, facts=facts, depth=(SMALL["num_hidden_layers"],))


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
    from transformers import AutoConfig

    from ..inspect.outputs import blocks
    from ..inspect.probe import detected

    name = f"hf:{repository}"
    folder = hub_file(repository, ("config.json",)).parent
    for file, _ in CLIP_FILES:
        optional_file(repository, file)
    config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    config = getattr(config, "vision_config", config)  # vision part of a network of images and text
    build, cls = _class(name, config)
    try:
        module = build() if not weights else _filled(cls, config, _part(state_of(repository), build), name)
    except BadInput:
        raise
    except Exception as error:  # a class of the installed transformers may refuse the configuration with any exception
        raise BadInput(f"{name}: transformers cannot build its {cls.__name__} ({error_line(error)})") from error
    read = described(config, folder)
    module = as_clips(module, config).eval().to(device)
    model = Model(
        name=name,
        module=module,
        preprocess=preprocessor(read.preprocessing),
        layers=dict.fromkeys(blocks(module), ""),
        kind=read.kind,
        fps=read.fps,
        digest="",
        num_frames=read.frames,
        notes=read.notes,
    )
    recipe = digest(["hf", repository, config.to_dict(), asdict(read.preprocessing)])
    return detected(model, device, choose=True, hints=read.hints), recipe


def _class(name: str, config: Any) -> "tuple[Callable[[], nn.Module], type]":
    """Return a function that builds the network of a configuration with initial values, and its class.

    The class is that of AutoModel or, for the vision part of a network of several, the one named like the configuration
    (XCLIPVisionConfig, XCLIPVisionModel). Raises BadInput if transformers has neither.
    """
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    mapped = MODEL_MAPPING.get(type(config), None)
    cls = mapped[0] if isinstance(mapped, tuple) else mapped
    named = type(config).__name__.removesuffix("Config") + "Model"
    cls = cls or getattr(transformers, named, None)
    if cls is None:
        raise BadInput(
            f"{name}: transformers {transformers.__version__} has no {named} for its {type(config).__name__}; load it "
            "by a function of a file that returns the vision network: path/to/file.py:function"
        )
    return lambda: cls._from_config(config), cls


def _part(state: dict[str, Any], build: "Callable[[], nn.Module]") -> dict[str, Any]:
    """Return the part of a state dict that holds the network; transformers removes the prefixes that it knows."""
    import torch

    with torch.device("meta"):
        names = build().state_dict().keys()
    return inner_state(state, names)
