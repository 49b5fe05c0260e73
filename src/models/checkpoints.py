"""Published state dicts: where they lie, how they are read (safetensors, or torch's without code), how they fit."""

from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import Config
from ..utils import BadInput, file_digest
from .catalogue.entry import ModelEntry, Weights
from .weights import explained, note_weights

if TYPE_CHECKING:
    from torch import nn

WRAPPERS = ("module.", "_orig_mod.")


def checkpoint_path(weights: Weights) -> Path:
    """Where the file belongs: in TORCH_HOME/hub/checkpoints, as torch.hub has it."""
    return Config.from_env().weights_home / "hub" / "checkpoints" / weights.file


def ready_text(entry: ModelEntry) -> str:
    """ "yes", or the weight file that loading fetches, or that someone has to get."""
    weights = entry.weights
    if weights is None or checkpoint_path(weights).is_file():
        return "yes"
    return f"fetches {weights.file}" if weights.url else f"needs {weights.file} by hand: check {entry.name} says how"


def fetched(entry: ModelEntry) -> Path:
    """The entry's weight file, downloaded if it has an address and is not here; BadInput says where to put it."""
    import torch

    weights = entry.weights
    path = checkpoint_path(weights)
    if path.is_file():
        _check_digest(entry.name, path, weights)
        return path
    if not weights.url:
        raise BadInput(
            f"{entry.name}: its weights are not here; {weights.how or 'get them'}; put {path.name} at {path}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with explained(entry.name, str(path.parent), "pip install torch"):
        torch.hub.download_url_to_file(weights.url, str(path), progress=False)
    _check_digest(entry.name, path, weights)
    return path


def _check_digest(name: str, path: Path, weights: Weights) -> None:
    if weights.sha256 and not (found := file_digest(path)).startswith(weights.sha256.lower()):
        expected = weights.sha256[:12]
        raise BadInput(
            f"{name}: the weight file {path} has SHA-256 {found[:12]}, expected {expected}; delete it to fetch it anew"
        )


def read_state(path: Path, key: str = "") -> dict[str, Any]:
    """The state dict in a file: safetensors, or torch's format read without running code; `key` is its entry in it.

    Raises BadInput for a file that is damaged, holds more than tensors and plain values, or lacks the key.
    """
    try:
        content = _content(path)
    except ModuleNotFoundError as error:
        raise BadInput(f"{path} needs the package '{error.name}' to be read; pip install {error.name}") from error
    except Exception as error:  # damaged files fail in as many ways as there are formats
        reason = " ".join(str(error).split())[:160]
        raise BadInput(f"{path} cannot be read as weights ({type(error).__name__}: {reason}); replace it") from error
    if not isinstance(content, Mapping):
        raise BadInput(
            f"{path} holds {type(content).__name__}; expected a state dict; replace it by the published file"
        )
    if key and key not in content:
        known = ", ".join(map(str, list(content)[:5]))
        raise BadInput(f"{path} has no entry '{key}'; found {known}; replace it by the published file")
    return content[key] if key else content


def _content(path: Path) -> Any:
    import numpy as np
    import torch

    note_weights(path)
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(str(path))
    scalar = type(np.float64(0)).__reduce__(np.float64(0))[0]
    scalars = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    harmless = [Namespace, np.dtype, *scalars, type(np.dtype("float64")), type(np.dtype("int64"))]
    with torch.serialization.safe_globals(harmless):
        return torch.load(path, map_location="cpu", weights_only=True)


def plain_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of a state dict without what a training wrapper put before every name."""
    state = dict(state)
    for prefix in WRAPPERS:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def put(module: "nn.Module", state: Mapping[str, Any], what: str, partial: bool = False) -> None:
    """Load `state` strictly into the module; BadInput counts and names what does not fit.

    partial: some may lack. Counters of batches, which older files do not have and nothing reads, always may.
    """
    own = module.state_dict()
    counters = {name: value for name, value in own.items() if name.endswith(".num_batches_tracked")}
    state = {**counters, **state}
    faults = {
        "missing": () if partial else own.keys() - state.keys(),
        "unexpected": state.keys() - own.keys(),
        "of another shape": {
            name for name in own.keys() & state.keys() if own[name].shape != getattr(state[name], "shape", None)
        },
    }
    told = "; ".join(f"{len(names)} {fault} ({_few(names)})" for fault, names in faults.items() if names)
    if told:
        raise BadInput(f"{what} does not fit the network: {told}; expected the published names and shapes")
    if not (own.keys() - counters.keys()) & state.keys():
        raise BadInput(f"{what} holds no tensor of the network; expected names such as {_few(own)}")
    module.load_state_dict(state, strict=not partial)


def _few(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
