"""Source of models: Brain-Score's plugins, loaded by `brainscore_vision.load_model`.

Layers, frame rate, limits and preprocessing are those of the plugin. The axes of the layers are declared by a temporal
plugin and verified by a probe pass; those of a static plugin are detected.
"""

import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config import Config
from ...utils import BadInput, first_names
from ..catalogue import MODELS
from ..checkpoints import ready_text
from ..errors import error_line
from ..spec import Model
from ..weights import explain_weight_errors, without_weights
from .frames import FramesVideo, as_files
from .plugins import fresh, missing_imports, no_installs, plugin_names, plugin_of, recipe, source_files

if TYPE_CHECKING:
    import torch

__all__ = ["load", "packages", "plugin_names", "ready", "source_files"]

STATIC_FPS = 25.0
S3 = "brainscore_core.supported_data_standards.brainio.s3"
TEMPORAL = "brainscore_vision.model_helpers.activations.temporal.utils"
# Brain-Score's functions for weight files, and their replacements for a build without weights
WITHOUT_WEIGHTS = {
    f"{S3}:load_weight_file": lambda *_, **__: "no-weights",
    f"{S3}:load_file": lambda *_, **__: "no-weights",
    f"{S3}:load_file_from_s3": lambda *_, **__: None,
    f"{TEMPORAL}:download_weight_file": lambda *_, **__: "no-weights",
}


def _from_bucket(bucket: str, path: str, local_filepath: Path, **_: Any) -> tuple[str, str]:
    """Return the file and the address in a call of `load_file_from_s3`."""
    return str(local_filepath), f"https://{bucket}.s3.amazonaws.com/{path}"


def _from_address(url: str, folder: str = "") -> tuple[str, str]:
    """Return the file and the address in a call of `download_weight_file`."""
    return str(Path(_brainscore_home()) / "models" / folder / Path(url).name), url


FETCHERS = {f"{S3}:load_file_from_s3": _from_bucket, f"{TEMPORAL}:download_weight_file": _from_address}


def packages(name: str) -> tuple[str, ...]:
    """Return the packages whose versions may change the output of the network."""
    return ("brainscore-vision", "brainscore-core", "torchvision", "pillow", "numpy")


def ready(name: str) -> str:
    """Return "yes", the missing packages, or "fetches weights" if the file is determined only when loading."""
    if name not in plugin_names():
        return "needs brainscore-vision"
    missing = missing_imports(plugin_names()[name])
    if missing:
        return f"needs {', '.join(missing)}"
    entry = MODELS.get(name)
    return ready_text(entry) if entry and entry.weights else "fetches weights"


def load(name: str, device: str, weights: bool = True) -> tuple[Model, str]:
    """Return the plugin's network and the digest of its preprocessing.

    Raises BadInput, in one line, for a missing package or weight file, for a plugin that fails with the installed
    packages, and for a plugin that overrides the methods that read the network.
    """
    try:
        with nullcontext() if weights else without_weights(WITHOUT_WEIGHTS):
            return _converted(name, _commitment(name), device), recipe(name)
    except BadInput:
        raise
    except Exception as error:  # third-party code, written for other versions of its packages
        raise BadInput(
            f"{name}: its Brain-Score plugin fails with the packages installed here ({error_line(error, 200)})"
        ) from error


def _commitment(name: str) -> Any:
    """Return the plugin's ModelCommitment; its output and warnings are not printed to the standard output."""
    plugin = plugin_of(name)
    homes = f"TORCH_HOME ({Config.from_env().weights_home}) or BRAINSCORE_HOME ({_brainscore_home()})"
    needed = f"install what {plugin / 'requirements.txt'} lists"
    with warnings.catch_warnings(action="ignore"), explain_weight_errors(name, homes, needed, FETCHERS), no_installs():
        import brainscore_vision

        with fresh(plugin.name, brainscore_vision.model_registry):
            return brainscore_vision.load_model(name)


def _brainscore_home() -> str:
    """Return the folder of Brain-Score's weight files."""
    return os.environ.get("BRAINSCORE_HOME", str(Path("~/.brain-score").expanduser()))


def _converted(name: str, commitment: Any, device: str) -> Model:
    """Return the network in a ModelCommitment as a Model."""
    from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper as StaticWrapper
    from brainscore_vision.model_helpers.activations.temporal.model.pytorch import PytorchWrapper as TemporalWrapper

    wrapper = getattr(commitment.activations_model, "_wrapper", commitment.activations_model)
    for base, convert, methods in (
        (TemporalWrapper, _temporal, ("forward", "get_activations", "get_layer", "_register_hook")),
        (StaticWrapper, _static, ("get_activations", "get_layer", "register_hook")),
    ):
        if isinstance(wrapper, base):
            overridden = [name for name in methods if getattr(type(wrapper), name) is not getattr(base, name)]
            if overridden:
                raise BadInput(
                    f"{name}: its plugin overrides {', '.join(overridden)} in {type(wrapper).__name__}; expected "
                    "Brain-Score's PytorchWrapper"
                )
            return convert(name, commitment, wrapper, device)
    raise BadInput(f"{name}: its plugin wraps the network in {type(wrapper).__name__}; expected a PytorchWrapper")


def _paths(name: str, wrapper: Any, layers: list[str]) -> dict[str, str]:
    """Return {layer: module path}; "logits" is the last module, as in Brain-Score."""
    modules = dict(wrapper._model.named_modules(remove_duplicate=False))
    last = wrapper._output_layer()
    paths = {
        layer: next(p for p, m in modules.items() if m is last) if layer == "logits" else layer for layer in layers
    }
    missing = [path for path in paths.values() if path not in modules]
    if missing:
        raise BadInput(f"{name}: its plugin names layers that the network lacks: {first_names(missing)}")
    return paths


def _temporal(name: str, commitment: Any, wrapper: Any, device: str) -> Model:
    """Return the network of a temporal plugin as a Model."""
    from brainscore_vision.model_helpers.activations.temporal.model.pytorch import default_process_activation

    from ..inspect.probe import verify

    inferencer, module = wrapper._extractor.inferencer, wrapper._model.eval().to(device)
    paths = _paths(name, wrapper, list(commitment.layers))
    transform, fps = inferencer.preprocessing, float(inferencer.fps)
    is_default = wrapper._process_activation is default_process_activation
    model = Model(
        name=name,
        module=module,
        preprocess=lambda frames: transform(FramesVideo(frames, fps)),
        layers={path: inferencer.layer_activation_format[layer] for layer, path in paths.items()},
        kind="video",
        fps=fps,
        digest="",
        num_frames=tuple(inferencer.num_frames),
        duration_ms=tuple(inferencer.duration),
        process_output=None if is_default else _process_output(module, wrapper._process_activation, paths),
    )
    verify(model, device)
    return model


def _process_output(module: "torch.nn.Module", process: Callable, paths: Mapping[str, str]) -> Callable:
    """Return a plugin's process(module, layer, inputs, output) as (layer, output); hooks keep each layer's inputs."""
    inputs: dict[str, tuple] = {}
    names = {path: layer for layer, path in paths.items()}

    def keep_inputs(path: str) -> Callable:
        return lambda _module, arguments: inputs.__setitem__(path, arguments)

    for path in names:
        module.get_submodule(path).register_forward_pre_hook(keep_inputs(path))
    return lambda path, output: process(module.get_submodule(path), names[path], inputs.pop(path, ()), output)


def _static(name: str, commitment: Any, wrapper: Any, device: str) -> Model:
    """Return the network of a static plugin as a Model."""
    from ..inspect.probe import detected

    module = wrapper._model.eval().to(device)
    if wrapper._forward_kwargs:
        module.register_forward_pre_hook(
            lambda _module, inputs, kwargs: (inputs, {**wrapper._forward_kwargs, **kwargs}), with_kwargs=True
        )
    model = Model(
        name=name,
        module=module,
        preprocess=_of_frames(wrapper._extractor.preprocess, _dtype(module)),
        layers=dict.fromkeys(_paths(name, wrapper, list(commitment.layers)).values(), ""),
        kind="image",
        fps=STATIC_FPS,
        digest="",
    )
    return detected(model, device)


def _dtype(module: "torch.nn.Module") -> "torch.dtype":
    """Return the floating-point type of the network's parameters."""
    import torch

    return next((weight.dtype for weight in module.parameters() if weight.is_floating_point()), torch.float32)


def _of_frames(preprocess: Callable, dtype: "torch.dtype") -> Callable:
    """Return a preprocessing of image files as one of frames (n_frames, height, width, 3), uint8."""
    import torch
    from brainscore_vision.model_helpers.activations.pytorch import load_preprocess_images, preprocess_images
    from PIL import Image

    def images_of(frames: np.ndarray) -> Any:
        if getattr(preprocess, "func", None) is load_preprocess_images and not preprocess.args:
            return preprocess_images([Image.fromarray(frame) for frame in frames], **preprocess.keywords)
        with as_files(frames) as in_memory:
            try:
                return preprocess(in_memory)
            except Exception:  # code that opens files by name fails on open ones with various exceptions
                in_memory.clear()
        with as_files(frames, on_disk=True) as paths:
            return preprocess(paths)

    def tensor(frames: np.ndarray) -> "torch.Tensor":
        images = images_of(frames)
        if isinstance(images, list | tuple):
            images = torch.stack([torch.as_tensor(image) for image in images])
        return torch.as_tensor(images).to(dtype)

    return tensor
