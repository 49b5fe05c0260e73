"""Published state dicts: their files, reading them without running code, and loading them into networks."""

from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import Config
from ..files import kind_of, require_regular
from ..utils import BadInput, file_digest, first_names
from .catalogue.entry import ModelEntry, Weights
from .errors import error_line
from .weights import explain_weight_errors, record_weight_file

if TYPE_CHECKING:
    from torch import nn

WRAPPERS = ("module.", "_orig_mod.")


def checkpoint_path(weights: Weights) -> Path:
    """Return the path of the file in TORCH_HOME/hub/checkpoints, the folder of torch.hub."""
    return Config.from_env().weights_home / "hub" / "checkpoints" / weights.file


def ready_text(entry: ModelEntry) -> str:
    """Return "yes", or the weight file that loading fetches or that is missing."""
    weights = entry.weights
    if weights is None or checkpoint_path(weights).is_file():
        return "yes"
    if weights.url:
        return f"fetches {weights.file}"
    return f"needs {weights.file}: see `dynamic-vision models check {entry.name} --full`"


def fetched(entry: ModelEntry) -> Path:
    """Return the entry's weight file, downloaded if it is missing and has an address; BadInput if it has none."""
    import torch

    weights = entry.weights
    path = checkpoint_path(weights)
    if kind_of(path) != "nothing":
        require_regular(path, f"the weights of {entry.name}")
        _check_digest(entry.name, path, weights)
        return path
    if not weights.url:
        raise BadInput(
            f"{entry.name}: no weight file {path}; {weights.how or 'get it from its publisher and put it there'}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with explain_weight_errors(entry.name, str(path.parent), "pip install torch"):
        torch.hub.download_url_to_file(weights.url, str(path), progress=False)
    _check_digest(entry.name, path, weights)
    return path


def _check_digest(name: str, path: Path, weights: Weights) -> None:
    """Raise BadInput if the file does not have the published SHA-256."""
    if weights.sha256 and not (found := file_digest(path)).startswith(weights.sha256.lower()):
        expected = weights.sha256[:12]
        raise BadInput(
            f"{name}: the weight file {path} has SHA-256 {found[:12]}, expected {expected}; delete it to fetch it again"
        )


def read_state(path: Path, key: str = "") -> dict[str, Any]:
    """Return the state dict in a file (safetensors, numpy's npz or torch's format), or its entry `key`.

    No code in the file is run. Raises BadInput for a file that is damaged, holds more than tensors and plain values,
    or lacks the key.
    """
    try:
        content = _content(path)
    except ModuleNotFoundError as error:
        raise BadInput(f"{path} needs the package '{error.name}' to be read; pip install {error.name}") from error
    except Exception as error:  # the exception of a damaged file depends on its format
        raise BadInput(f"{path} cannot be read as weights ({error_line(error)}); replace it") from error
    if not isinstance(content, Mapping):
        raise BadInput(
            f"{path} holds {type(content).__name__}; expected a state dict; replace it by the published file"
        )
    if key and key not in content:
        raise BadInput(f"{path} has no entry '{key}'; found {first_names(content)}; replace it by the published file")
    return content[key] if key else content


def _content(path: Path) -> Any:
    """Return the content of a weight file, read without running code."""
    import numpy as np
    import torch

    record_weight_file(path)
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(str(path))
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    scalar = type(np.float64(0)).__reduce__(np.float64(0))[0]
    scalars = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    harmless = [Namespace, np.dtype, *scalars, type(np.dtype("float64")), type(np.dtype("int64"))]
    with torch.serialization.safe_globals(harmless):
        return torch.load(path, map_location="cpu", weights_only=True)


def plain_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state dict without the prefix that a training wrapper puts before every name."""
    state = dict(state)
    for prefix in WRAPPERS:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def inner_state(state: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the part of a state dict that holds a network: the names behind the prefix under which most are its own.

    names: of the network. All of the state dict is returned where no prefix is better than none.
    """
    names, counts = set(names), Counter({"": 0})
    for key in state:
        words = key.split(".")
        ends = (".".join(words[n:]) for n in range(len(words)))
        counts.update(key.removesuffix(end) for end in ends if end in names)
    prefix = max(counts, key=counts.__getitem__)
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def without_head(module: "nn.Module", state: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return a state dict without the tensors of a head that has another size, and the path of that head, "" for none.

    The head is the last module with weights of its own. Its tensors fit or are left out together.
    """
    own = module.state_dict()
    head = list(own)[-1].rpartition(".")[0] if own else ""
    within = [name for name in state if head and name.startswith(f"{head}.")]
    fits = all(name in own and own[name].shape == getattr(state[name], "shape", None) for name in within)
    if fits:
        return dict(state), ""
    return {name: value for name, value in state.items() if name not in within}, head


def put(module: "nn.Module", state: Mapping[str, Any], what: str, partial: bool = False) -> None:
    """Load `state` strictly into the module; raise BadInput with the names that do not fit.

    what: the state dict's name in the message; partial: tensors may be missing. The batch counters of normalisations,
    which older files do not have and nothing uses, may always be missing.
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
    found = "; ".join(f"{len(names)} {fault} ({_first(names)})" for fault, names in faults.items() if names)
    if found:
        raise BadInput(f"{what} does not fit the network: {found}; expected the published names and shapes")
    if not (own.keys() - counters.keys()) & state.keys():
        raise BadInput(f"{what} holds no tensor of the network; expected names such as {_first(own)}")
    module.load_state_dict(state, strict=not partial)


def _first(names: Iterable[str]) -> str:
    """Return the first three of the sorted names as text."""
    return first_names(sorted(names), 3)
