"""Brain-Score's model plugins as our Models, through `brainscore_vision.load_model`.

Layers, frame rate, limits and preprocessing are the plugin's own. A temporal plugin declares its layers' axes, which
are verified by a probe pass; those of a static one are detected.
"""

import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config import Config
from ...utils import BadInput
from ..catalogue import MODELS
from ..checkpoints import ready_text
from ..spec import Model
from ..weights import explained
from .frames import Clip, as_files
from .plugins import fresh, missing_imports, no_installs, plugin_names, plugin_of, recipe, source_files

if TYPE_CHECKING:
    import torch

__all__ = ["WEIGHT_DOORS", "load", "packages", "plugin_names", "ready", "source_files"]

STATIC_FPS = 25.0
S3 = "brainscore_core.supported_data_standards.brainio.s3"
TEMPORAL = "brainscore_vision.model_helpers.activations.temporal.utils"
WEIGHT_DOORS = {
    f"{S3}:load_weight_file": lambda *_, **__: "no-weights",
    f"{S3}:load_file": lambda *_, **__: "no-weights",
    f"{S3}:load_file_from_s3": lambda *_, **__: None,
    f"{TEMPORAL}:download_weight_file": lambda *_, **__: "no-weights",
}


def _from_bucket(bucket: str, path: str, local_filepath: Path, **_: Any) -> tuple[str, str]:
    return str(local_filepath), f"https://{bucket}.s3.amazonaws.com/{path}"


def _from_address(url: str, folder: str = "") -> tuple[str, str]:
    return str(Path(_brainscore_home()) / "models" / folder / Path(url).name), url


FETCHERS = {f"{S3}:load_file_from_s3": _from_bucket, f"{TEMPORAL}:download_weight_file": _from_address}


def packages(name: str) -> tuple[str, ...]:
    """The packages whose versions can change what the model computes."""
    return ("brainscore-vision", "brainscore-core", "torchvision", "pillow", "numpy")


def ready(name: str) -> str:
    """ "yes", what is missing, or "fetches weights" where only loading tells which file is needed."""
    if name not in plugin_names():
        return "needs brainscore-vision"
    missing = missing_imports(plugin_names()[name])
    if missing:
        return f"needs {', '.join(missing)}"
    entry = MODELS.get(name)
    return ready_text(entry) if entry and entry.weights else "fetches weights"


def load(name: str, device: str) -> tuple[Model, str]:
    """The plugin's network and the digest of what reads the films for it.

    Raises BadInput, in one line, for a missing package or weight file, for a plugin that fails with the packages that
    are installed, and for one that reads its network in a way of its own.
    """
    try:
        return _converted(name, _commitment(name), device), recipe(name)
    except BadInput:
        raise
    except Exception as error:  # someone else's code, written for other versions of its packages
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise BadInput(f"{name}: its Brain-Score plugin fails with the packages installed here ({reason})") from error


def _commitment(name: str) -> Any:
    """The plugin's ModelCommitment; what it prints and warns of is kept away from the standard output."""
    plugin = plugin_of(name)
    homes = f"TORCH_HOME ({Config.from_env().weights_home}) or BRAINSCORE_HOME ({_brainscore_home()})"
    needed = f"install what {plugin / 'requirements.txt'} lists"
    with warnings.catch_warnings(action="ignore"), explained(name, homes, needed, FETCHERS), no_installs():
        import brainscore_vision

        with fresh(plugin.name, brainscore_vision.model_registry):
            return brainscore_vision.load_model(name)


def _brainscore_home() -> str:
    return os.environ.get("BRAINSCORE_HOME", str(Path("~/.brain-score").expanduser()))


def _converted(name: str, commitment: Any, device: str) -> Model:
    from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper as StaticWrapper
    from brainscore_vision.model_helpers.activations.temporal.model.pytorch import PytorchWrapper as TemporalWrapper

    wrapper = getattr(commitment.activations_model, "_wrapper", commitment.activations_model)
    for base, convert, methods in (
        (TemporalWrapper, _temporal, ("forward", "get_activations", "get_layer", "_register_hook")),
        (StaticWrapper, _static, ("get_activations", "get_layer", "register_hook")),
    ):
        if isinstance(wrapper, base):
            own = [method for method in methods if getattr(type(wrapper), method) is not getattr(base, method)]
            if own:
                raise BadInput(
                    f"{name}: its plugin reads the network in a way of its own ({', '.join(own)} of "
                    f"{type(wrapper).__name__}); expected Brain-Score's PytorchWrapper as it is"
                )
            return convert(name, commitment, wrapper, device)
    raise BadInput(f"{name}: its plugin wraps the network in {type(wrapper).__name__}; expected a PytorchWrapper")


def _paths(name: str, wrapper: Any, layers: list[str]) -> dict[str, str]:
    """{layer: module path}; "logits" means the last module, as in Brain-Score."""
    modules = dict(wrapper._model.named_modules(remove_duplicate=False))
    last = wrapper._output_layer()
    paths = {
        layer: next(p for p, m in modules.items() if m is last) if layer == "logits" else layer for layer in layers
    }
    missing = [path for path in paths.values() if path not in modules]
    if missing:
        raise BadInput(f"{name}: its plugin names layers that the network lacks: {', '.join(missing[:5])}")
    return paths


def _temporal(name: str, commitment: Any, wrapper: Any, device: str) -> Model:
    from brainscore_vision.model_helpers.activations.temporal.model.pytorch import default_process_activation

    from ..inspect.probe import verify

    inferencer, module = wrapper._extractor.inferencer, wrapper._model.eval().to(device)
    paths = _paths(name, wrapper, list(commitment.layers))
    transform, fps = inferencer.preprocessing, float(inferencer.fps)
    own_reading = wrapper._process_activation is not default_process_activation
    model = Model(
        name=name,
        module=module,
        preprocess=lambda frames: transform(Clip(frames, fps)),
        layers={path: inferencer.layer_activation_format[layer] for layer, path in paths.items()},
        kind="video",
        fps=fps,
        digest="",
        num_frames=tuple(inferencer.num_frames),
        duration_ms=tuple(inferencer.duration),
        process_output=_reading(module, wrapper._process_activation, paths) if own_reading else None,
    )
    verify(model, device)
    return model


def _reading(module: "torch.nn.Module", process: Callable, paths: Mapping[str, str]) -> Callable:
    """Brain-Score's process_output(module, layer, inputs, output) as ours; hooks keep each layer's last inputs."""
    inputs: dict[str, tuple] = {}
    names = {path: layer for layer, path in paths.items()}

    def remember(path: str) -> Callable:
        return lambda _module, arguments: inputs.__setitem__(path, arguments)

    for path in names:
        module.get_submodule(path).register_forward_pre_hook(remember(path))
    return lambda path, output: process(module.get_submodule(path), names[path], inputs.pop(path, ()), output)


def _static(name: str, commitment: Any, wrapper: Any, device: str) -> Model:
    from ..inspect.probe import detected

    module = wrapper._model.eval().to(device)
    if wrapper._forward_kwargs:
        module.register_forward_pre_hook(
            lambda _module, inputs, kwargs: (inputs, {**wrapper._forward_kwargs, **kwargs}), with_kwargs=True
        )
    model = Model(
        name=name,
        module=module,
        preprocess=_from_images(wrapper._extractor.preprocess, _number_type(module)),
        layers=dict.fromkeys(_paths(name, wrapper, list(commitment.layers)).values(), ""),
        kind="image",
        fps=STATIC_FPS,
        digest="",
    )
    return detected(model, device)


def _number_type(module: "torch.nn.Module") -> "torch.dtype":
    import torch

    return next((weight.dtype for weight in module.parameters() if weight.is_floating_point()), torch.float32)


def _from_images(preprocess: Callable, dtype: "torch.dtype") -> Callable:
    """A preprocessing of image files as one of frames (n_frames, height, width, 3), uint8."""
    import torch
    from brainscore_vision.model_helpers.activations.pytorch import load_preprocess_images, preprocess_images
    from PIL import Image

    def prepared(frames: np.ndarray) -> Any:
        if getattr(preprocess, "func", None) is load_preprocess_images and not preprocess.args:
            return preprocess_images([Image.fromarray(frame) for frame in frames], **preprocess.keywords)
        with as_files(frames) as in_memory:
            try:
                return preprocess(in_memory)
            except Exception:  # code that opens files by name refuses an open one in many ways
                in_memory.clear()
        with as_files(frames, on_disk=True) as paths:
            return preprocess(paths)

    def tensor(frames: np.ndarray) -> "torch.Tensor":
        images = prepared(frames)
        if isinstance(images, list | tuple):
            images = torch.stack([torch.as_tensor(image) for image in images])
        return torch.as_tensor(images).to(dtype)

    return tensor
