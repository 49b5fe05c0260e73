"""Source of models: a user's function, `path/to/file.py:function` or `package.module:function`.

The function returns a Model, which is used without changes, or a torch module. The input of a torch module is images or
clips, whichever it accepts, resized to 224 x 224 px and normalised as for ImageNet, at 25 frames per second; size and
rate are options. A video network of transformers has the size, frames and rate of its class and configuration. Its
layers are its top-level modules, containers replaced by their children (`inspect.outputs.blocks`), one layer per call
and per key of an output (`inspect.choose.expanded`).
"""

import ast
import importlib
import importlib.util
from contextlib import nullcontext
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...stages import source_digest
from ...utils import BadInput, array_digest, digest, unknown_name
from ...watch import executed, importable
from ..errors import error_line
from ..preprocessing import FramePreprocessing, normalised, preprocessor
from ..spec import Model, check_input
from ..weights import without_weights
from .described import as_clips, clips_of, described

if TYPE_CHECKING:
    import torch

SIZE = (224, 224)
FPS = 25.0
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FRAME_COUNTS = (16, 8, 32, 4, 64)
INPUTS = {"images (batch, 3, {})": "CHW", "clips (batch, 3, T, {})": "CTHW", "clips (batch, T, 3, {})": "TCHW"}


def _parts(reference: str) -> tuple[str, str]:
    """Return the file or module of a reference, and its function."""
    place, _, function = reference.rpartition(":")
    return place, function


def reference_file(reference: str) -> Path:
    """Return the file of a reference; a module is found on sys.path without importing it."""
    place, _ = _parts(reference)
    if place.endswith(".py") or "/" in place:
        path = Path(place).expanduser()
        if not path.is_file():
            raise BadInput(f"no file {path} for the model '{reference}'; expected path/to/file.py:function")
        return path.absolute()
    top, *rest = place.split(".")
    found = importlib.util.find_spec(top) if top.isidentifier() else None
    if found is None or not found.origin:
        raise BadInput(f"no module '{place}' for the model '{reference}'; expected package.module:function")
    path = Path(found.origin)
    for part in rest:
        folder = path.parent / part
        path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    if not path.is_file():
        raise BadInput(f"no module '{place}' for the model '{reference}'; expected package.module:function")
    return path


def import_folder(reference: str) -> Path:
    """Return the folder from which the file, or the top-level package of the module, is imported."""
    place, path = _parts(reference)[0], reference_file(reference)
    if place.endswith(".py") or "/" in place:
        return path.parent
    top = Path(importlib.util.find_spec(place.split(".")[0]).origin)
    return top.parent.parent if top.stem == "__init__" else top.parent


def check_reference(reference: str) -> None:
    """Raise BadInput unless the file exists, is Python and defines the function; imports nothing."""
    path, (_, function) = reference_file(reference), _parts(reference)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise BadInput(
            f"{path}, line {error.lineno}: {error.msg}; expected Python with a function '{function}'"
        ) from None
    names = {name for node in ast.walk(tree) for name in _defined(node)}
    if function not in names and "*" not in names:
        raise unknown_name(f"function in {path}:", function, sorted(names))


def _defined(node: ast.AST) -> list[str]:
    """Return the names that a statement defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def source_files(reference: str) -> tuple[Path, ...]:
    """Return the user's file, and the Python files beside it, which it may import."""
    path = reference_file(reference)
    return (path, *sorted(path.parent.glob("*.py"))) if _parts(reference)[0].endswith(".py") else (path,)


def packages(reference: str) -> tuple[str, ...]:
    """Return the packages whose versions may change the output, with that of the module if it is installed."""
    place = _parts(reference)[0]
    top = "" if place.endswith(".py") else place.split(".")[0]
    return ("torchvision", *(metadata.packages_distributions().get(top, ()) if top else ()))


def ready(reference: str) -> str:
    """Return "yes"; what the function needs is determined only when it runs."""
    return "yes"


def load(
    reference: str,
    device: str,
    weights: bool = True,
    input_size: tuple[int, int] | None = None,
    fps: float | None = None,
) -> tuple[Model, str | None]:
    """Return the user's model and the digest of its file, which covers its preprocessing; None if it has a digest.

    weights: False builds it with torch's functions for weight files replaced (see `without_weights`); input_size, fps:
    as in `as_model`.
    """
    with importable(import_folder(reference)), nullcontext() if weights else without_weights():
        result = _called(reference)
        recipe = digest([source_digest(reference_file(reference).read_bytes()), _parts(reference)[1]])
        digested = isinstance(result, Model) and result.digest
        recipe = digest([recipe, list(input_size)]) if input_size not in (None, SIZE) else recipe
        model = as_model(reference, result, device, input_size, fps)
        return model, None if digested else digest([recipe, attributes_digest(model.module)])


def attributes_digest(module: "torch.nn.Module") -> str:
    """Return the SHA-256 of what changes a network besides its state dict.

    These are the types of its modules, their plain attributes and arrays, and buffers that are not saved.
    """
    rows = []
    for name, part in module.named_modules():
        kept = {k: v for k, v in vars(part).items() if not k.startswith("_") and k != "training"}
        kept |= {name: part.get_buffer(name) for name in part._non_persistent_buffers_set}
        rows.append([name, type(part).__qualname__])
        rows += [[k, _attribute(v)] for k, v in sorted(kept.items())]
    return digest(rows)


def _attribute(value: Any) -> Any:
    """Return an attribute as JSON-able data; of an object that is neither plain nor an array, its type."""
    import torch

    if value is None or isinstance(value, bool | int | float | str):
        return [type(value).__name__, repr(value)]
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return [
            "tensor",
            str(value.dtype),
            array_digest((value.float() if value.is_floating_point() else value).numpy()),
        ]
    if isinstance(value, np.ndarray):
        return ["array", array_digest(value)]
    if isinstance(value, list | tuple):
        return [type(value).__name__, *map(_attribute, value)]
    if isinstance(value, dict):
        return ["dict", *[[str(name), _attribute(item)] for name, item in value.items()]]
    return type(value).__qualname__


def as_model(
    name: str, made: Any, device: str, input_size: tuple[int, int] | None = None, fps: float | None = None
) -> Model:
    """Return a user's network, or their Model, as a Model called `name` on the device; BadInput for anything else.

    input_size: height and width of a network's input, px, 224 x 224 by default; fps: its frames per second, 25 by
    default, both of its class for a video network of transformers. A Model fixes its input; only the rate of one of
    single frames can be chosen.
    """
    import torch

    from ..wrappers import unwrapped, unwrapped_model

    if isinstance(made, Model):
        made = unwrapped_model(replace(made, name=name)) if isinstance(made.module, torch.nn.Module) else made
        model = _checked(name, made, device)
        check_input(model, input_size, fps)
        return model if fps is None else replace(model, fps=float(fps))
    if not isinstance(made, torch.nn.Module):
        raise BadInput(f"{name} is of type {type(made).__name__}; expected a torch.nn.Module or a Model record")
    module, _ = unwrapped(name, made)
    module = module.eval().to(device)
    if clips_of(getattr(module, "config", None)) is not None:
        return _of_transformers(name, module, device, input_size, fps)
    return _wrapped(name, module, device, input_size, fps)


def _checked(reference: str, model: Model, device: str) -> Model:
    """Return the user's Model on the device; raise BadInput if its fields fail a check."""
    from ..inspect.check import failed_record_checks

    failures = failed_record_checks(model)
    if failures:
        raise BadInput(f"{reference} fails {len(failures)} checks of a model: " + "; ".join(failures))
    model.module.to(device)
    return replace(model, name=reference)


def _called(reference: str) -> Any:
    """Return the result of the user's function."""
    place, function = _parts(reference)
    try:
        module = executed(reference_file(reference)) if place.endswith(".py") else importlib.import_module(place)
        return getattr(module, function)()
    except ModuleNotFoundError as error:
        raise BadInput(f"{reference} needs the package '{error.name}'; pip install it first") from error


def _preprocessor(axes: str, size: tuple[int, int]) -> FramePreprocessing:
    """Return the preprocessing of a network's input with these axes: resized to `size`, normalised as for ImageNet."""

    def images(frames: "torch.Tensor") -> "torch.Tensor":
        from torch.nn.functional import interpolate

        return normalised(interpolate(frames.float() / 255, size, mode="bilinear", antialias=True), MEAN, STD)

    return FramePreprocessing(images, axes)


def _of_transformers(
    reference: str, module: "torch.nn.Module", device: str, size: tuple[int, int] | None, fps: float | None
) -> Model:
    """Return a user's video network of transformers with the input of its class and configuration."""
    from ..inspect.probe import detected

    read = described(module.config)
    preprocessing = read.preprocessing if size is None else replace(read.preprocessing, size=size, resize=0)
    module = as_clips(module, module.config)
    model = Model(
        name=reference,
        module=module,
        preprocess=preprocessor(preprocessing),
        layers=dict.fromkeys(_blocks_with_head(module), ""),
        kind="video",
        fps=float(fps or read.fps),
        digest="",
        num_frames=read.frames,
        notes=() if fps else read.notes,
    )
    return detected(model, device, choose=True, hints=read.hints)


def _blocks_with_head(module: "torch.nn.Module") -> list[str]:
    """Return the default layers, those of the network below a head in its place (VideoMAEForVideoClassification)."""
    from ..inspect.outputs import blocks

    inner, found = getattr(module, "base_model_prefix", ""), []
    for name in blocks(module):
        found += [f"{inner}.{path}" for path in blocks(module.get_submodule(inner))] if name == inner else [name]
    return found


def _wrapped(
    reference: str, module: "torch.nn.Module", device: str, size: tuple[int, int] | None, fps: float | None
) -> Model:
    """Return a user's network as a Model with detected input, layers and axes."""
    from ..inspect.outputs import blocks
    from ..inspect.probe import detected

    axes, num_frames = _accepted_input(reference, module, device, size or SIZE)
    model = Model(
        name=reference,
        module=module,
        preprocess=_preprocessor(axes, size or SIZE),
        layers=dict.fromkeys(blocks(module), ""),
        kind="video" if "T" in axes else "image",
        fps=float(fps or FPS),
        digest="",
        num_frames=num_frames,
    )
    if not model.layers:
        raise BadInput(f"{reference}: the network has no submodules; return a Model record with its layers")
    return detected(model, device, choose=True)


def _accepted_input(
    reference: str, module: "torch.nn.Module", device: str, size: tuple[int, int]
) -> tuple[str, tuple[float, float]]:
    """Return the axes of the first input that the network accepts, images first, and its limits on frames."""
    import torch

    def refusal(axes: str, n_frames: int, samples: int = 2) -> str:
        """Return the error of a forward pass, "" if there is none."""
        shape = {"C": 3, "T": n_frames, "H": size[0], "W": size[1]}
        try:
            with torch.inference_mode():
                module(torch.zeros((samples, *(shape[a] for a in axes)), device=device))
        except Exception as error:  # a network may refuse an input with any exception
            return error_line(error, 120)
        return ""

    refusals = {}
    for text, axes in INPUTS.items():
        counts = FRAME_COUNTS if "T" in axes else (1,)
        errors = {n: refusal(axes, n) for n in counts[:2]}
        if all(errors.values()):
            errors |= {n: refusal(axes, n) for n in counts[2:]}
        accepted = [n for n, error in errors.items() if not error]
        if len(accepted) > 1:
            return axes, (1 if not refusal(axes, 1, samples=1) else min(accepted), np.inf)
        if accepted:
            return axes, (accepted[0], accepted[0]) if "T" in axes else (1, np.inf)
        refusals[text.format(f"{size[0]}, {size[1]}")] = errors[counts[0]]
    raise BadInput(
        f"{reference}: the network takes none of "
        + "; ".join(f"{text} ({reason})" for text, reason in refusals.items())
        + "; choose another --input-size, or return a Model record with its own preprocess"
    )
