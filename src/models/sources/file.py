"""A user's own model: `path/to/file.py:function` or `package.module:function`, returning a torch module or a Model.

A Model is used as it is. A bare torch module is fed images or clips, whichever it takes, resized to 224 x 224 and
normalised as for ImageNet, at 25 frames per second; its layers are its top-level modules, containers opened (see
`src.models.inspect.outputs.blocks`).
"""

import ast
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...utils import BadInput, digest, executed, file_digest, importable, unknown_name
from ..spec import Model

if TYPE_CHECKING:
    import torch

SIZE = 224
FPS = 25.0
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FRAME_COUNTS = (16, 8, 32, 4, 64)
INPUTS = {"images (batch, 3, 224, 224)": "CHW", "clips (batch, 3, T, 224, 224)": "CTHW"}
INPUTS |= {"clips (batch, T, 3, 224, 224)": "TCHW"}


def _parts(reference: str) -> tuple[str, str]:
    place, _, function = reference.rpartition(":")
    return place, function


def _file(reference: str) -> Path:
    """The file that a reference names; modules are found on sys.path without importing them."""
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


def check_reference(reference: str) -> None:
    """Raise BadInput unless the file exists, is Python and has the function at its top level; imports nothing."""
    path, (_, function) = _file(reference), _parts(reference)
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
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def source_files(reference: str) -> tuple[Path, ...]:
    """The user's file, and the Python files beside it that it may import."""
    path = _file(reference)
    return (path, *sorted(path.parent.glob("*.py"))) if _parts(reference)[0].endswith(".py") else (path,)


def packages(reference: str) -> tuple[str, ...]:
    """The package that the module belongs to, where it is an installed one."""
    place = _parts(reference)[0]
    top = "" if place.endswith(".py") else place.split(".")[0]
    return ("torchvision", *metadata.packages_distributions().get(top, ()))


def ready(reference: str) -> str:
    """Always "yes": only running the function tells more."""
    return "yes"


def load(reference: str, device: str) -> tuple[Model, str | None]:
    """The user's model, and the digest of its file, which stands for how it prepares frames (None: its own stands)."""
    made = _called(reference)
    recipe = digest([file_digest(_file(reference)), _parts(reference)[1]])
    if isinstance(made, Model):
        from ..inspect.check import broken_promises_of_form

        broken = broken_promises_of_form(made)
        if broken:
            raise BadInput(f"{reference} breaks {len(broken)} promises of a model: " + "; ".join(broken))
        made.module.to(device)
        return replace(made, name=reference), None if made.digest else recipe
    import torch

    if not isinstance(made, torch.nn.Module):
        raise BadInput(
            f"{reference} returned {type(made).__name__}; expected a torch.nn.Module or a src.models.spec.Model"
        )
    return _wrapped(reference, made.eval().to(device), device), recipe


def _called(reference: str) -> Any:
    place, function = _parts(reference)
    with importable(_file(reference).parent):
        try:
            module = executed(_file(reference)) if place.endswith(".py") else importlib.import_module(place)
            return getattr(module, function)()
        except ModuleNotFoundError as error:
            raise BadInput(f"{reference} needs the package '{error.name}'; pip install it first") from error


def _prepare(axes: str) -> Callable[[np.ndarray], "torch.Tensor"]:
    """Frames to (n, 3, 224, 224), or to one clip with the time axis where the network wants it."""

    def prepared(frames: np.ndarray) -> "torch.Tensor":
        import torch

        images = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
        images = torch.nn.functional.interpolate(images, (SIZE, SIZE), mode="bilinear", antialias=True)
        images = (images - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
        return images.transpose(0, 1).contiguous() if axes == "CTHW" else images

    return prepared


def _wrapped(reference: str, module: "torch.nn.Module", device: str) -> Model:
    from ..inspect.outputs import blocks
    from ..inspect.probe import detected

    axes, num_frames = _accepted_input(reference, module, device)
    model = Model(
        name=reference,
        module=module,
        preprocess=_prepare(axes),
        layers=dict.fromkeys(blocks(module), ""),
        kind="video" if "T" in axes else "image",
        fps=FPS,
        digest="",
        num_frames=num_frames,
    )
    if not model.layers:
        raise BadInput(f"{reference}: the network has no submodules to read; name layers in a src.models.spec.Model")
    return detected(model, device, choose=True)


def _accepted_input(reference: str, module: "torch.nn.Module", device: str) -> tuple[str, tuple[float, float]]:
    """Which of the inputs the network takes, images first, and how many frames."""
    import torch

    def takes(axes: str, n_frames: int, samples: int = 2) -> str:
        shape = {"C": 3, "T": n_frames, "H": SIZE, "W": SIZE}
        try:
            with torch.inference_mode():
                module(torch.zeros((samples, *(shape[a] for a in axes)), device=device))
        except Exception as error:  # a network may refuse an input with whatever it likes
            return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        return ""

    refusals = {}
    for text, axes in INPUTS.items():
        counts = FRAME_COUNTS if "T" in axes else (1,)
        answers = {n: takes(axes, n) for n in counts[:2]}
        if all(answers.values()):
            answers |= {n: takes(axes, n) for n in counts[2:]}
        taken = [n for n, refusal in answers.items() if not refusal]
        if len(taken) > 1:
            return axes, (1 if not takes(axes, 1, samples=1) else min(taken), np.inf)
        if taken:
            return axes, (taken[0], taken[0]) if "T" in axes else (1, np.inf)
        refusals[text] = answers[counts[0]]
    raise BadInput(
        f"{reference}: the network takes none of "
        + "; ".join(f"{text} ({reason})" for text, reason in refusals.items())
        + "; return a src.models.spec.Model that prepares its own input"
    )
