"""Weight files: a record of those opened, errors for those missing, and builds without them. No torch at the top."""

import importlib
import pickle
import sys
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

from ..utils import BadInput
from .errors import error_line

SUFFIXES = (".pth", ".pt", ".pyth", ".ckpt", ".safetensors", ".bin", ".tar", ".pkl", ".h5", ".npz", ".npy", ".mat")
NETWORK_PACKAGES = {"urllib", "urllib3", "http", "ssl", "socket", "requests", "botocore", "boto3", "s3transfer"}
NETWORK_PACKAGES |= {"gdown", "huggingface_hub", "httpx"}

_recorders: list[dict[Path, None]] = []


@contextmanager
def opened_weights() -> Iterator[dict[Path, None]]:
    """Yield an ordered set (the keys of a dict) to which the weight files opened for reading in the block are added.

    They are found by Python's audit event "open", which every `open` raises. An audit hook cannot be removed, so there
    is one per process, which does nothing outside the block.
    """
    _install_hook()
    files: dict[Path, None] = {}
    _recorders.append(files)
    try:
        yield files
    finally:
        _recorders[:] = [other for other in _recorders if other is not files]
        for gone in [path for path in files if not path.is_file()]:
            del files[gone]


@cache
def _install_hook() -> None:
    """Add the audit hook, once per process."""
    sys.addaudithook(_record_open)


def _record_open(event: str, arguments: tuple) -> None:
    """Record a weight file that an audit event reports as opened for reading."""
    if event != "open" or not _recorders or not isinstance(arguments[0], str | Path):
        return
    writes = isinstance(arguments[1], str) and any(letter in arguments[1] for letter in "wax")
    if str(arguments[0]).endswith(SUFFIXES) and not writes:
        for files in _recorders:
            files[Path(arguments[0]).absolute()] = None


def record_weight_file(path: Path) -> None:
    """Add `path` to the opened weight files; a file opened by compiled code (safetensors) raises no event."""
    for files in _recorders:
        files[path.absolute()] = None


class EmptyCheckpoint(dict):
    """Checkpoint without content; every key and attribute is another empty checkpoint."""

    def __missing__(self, key: Any) -> "EmptyCheckpoint":
        return EmptyCheckpoint()

    def __delitem__(self, key: Any) -> None:
        return

    def pop(self, *_: Any) -> "EmptyCheckpoint":
        return EmptyCheckpoint()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return EmptyCheckpoint()

    def __call__(self, *_: Any, **__: Any) -> "EmptyCheckpoint":
        return self


@contextmanager
def replaced(owner: Any, attribute: str, value: Any) -> Iterator[None]:
    """Set an attribute in the block, also in every module that has imported it by name; restore all afterwards."""
    original = getattr(owner, attribute)
    _rebind(original, value)
    setattr(owner, attribute, value)
    try:
        yield
    finally:
        setattr(owner, attribute, original)
        _rebind(value, original)


def _rebind(old: Any, new: Any) -> None:
    """Replace the object `old` by `new` in the namespace of every loaded module."""
    for module in list(sys.modules.values()):
        namespace = getattr(module, "__dict__", {})
        for name in [name for name, value in list(namespace.items()) if value is old]:
            namespace[name] = new


@contextmanager
def without_weights(functions: Mapping[str, Callable] | None = None) -> Iterator[None]:
    """Build networks of third-party code in the block without fetching, reading or loading a checkpoint.

    torch's functions for weights are replaced: a download does nothing, a loaded checkpoint is an EmptyCheckpoint, and
    loading one into a module does nothing and reports success. The result is the architecture with its initial
    values. functions: further functions to replace, {"module:function": replacement}; their modules are imported.
    """
    import torch

    empty, no_keys = EmptyCheckpoint(), torch.nn.modules.module._IncompatibleKeys([], [])
    with ExitStack() as stack:
        for owner, attribute, value in (
            (torch, "load", lambda *_, **__: empty),
            (torch.hub, "download_url_to_file", lambda *_, **__: None),
            (torch.hub, "load_state_dict_from_url", lambda *_, **__: empty),
            (urllib.request, "urlretrieve", lambda *_, **__: ("no-weights", None)),
            (torch.nn.Module, "load_state_dict", lambda *_, **__: no_keys),
        ):
            stack.enter_context(replaced(owner, attribute, value))
        if (api := sys.modules.get("torchvision.models._api")) is not None:
            stack.enter_context(replaced(api.WeightsEnum, "get_state_dict", lambda *_, **__: empty))
        for place, value in (functions or {}).items():
            module, attribute = place.split(":")
            stack.enter_context(replaced(importlib.import_module(module), attribute, value))
        yield


def _hub_file(url: str, dst: str, *_: Any, **__: Any) -> tuple[str, str]:
    """Return the file and the address in a call of `torch.hub.download_url_to_file`."""
    return str(dst), url


def _retrieved_file(url: str, filename: str | None = None, *_: Any, **__: Any) -> tuple[str, str]:
    """Return the file and the address in a call of `urllib.request.urlretrieve`."""
    return str(filename or ""), url


# {"module:function": its arguments -> (file, address)} of the functions that fetch weights
FETCHERS = {"torch.hub:download_url_to_file": _hub_file, "urllib.request:urlretrieve": _retrieved_file}


@contextmanager
def explain_weight_errors(
    name: str, where: str, packages: str, fetchers: Mapping[str, Callable] | None = None
) -> Iterator[None]:
    """Raise BadInput, in one line with the remedy, for an error in fetching or reading the weights of `name`.

    where: folder of a missing file, if the loader does not determine it; packages: remedy for a missing package;
    fetchers: further functions that fetch weights, as in FETCHERS. Other errors are not changed. The output of loaders
    is printed to the standard error.
    """
    requests: list[tuple[str, str]] = []
    with ExitStack() as inside:
        files = inside.enter_context(opened_weights())
        inside.enter_context(redirect_stdout(sys.stderr))
        try:
            for place, describe in {**FETCHERS, **(fetchers or {})}.items():
                module, function = importlib.import_module(place.split(":")[0]), place.split(":")[1]
                recording = _recording(getattr(module, function), describe, requests)
                inside.enter_context(replaced(module, function, recording))
            yield
        except ModuleNotFoundError as error:
            raise BadInput(f"{name} needs the package '{error.name}', which is not installed; {packages}") from error
        except Exception as error:
            if _from_network(error):
                place = _place(*requests[-1]) if requests else f"put its files under {where}"
                raise BadInput(
                    f"{name}: its weights are not here and cannot be fetched ({error_line(error)}); {place}"
                ) from error
            if files and _damaged(error):
                raise BadInput(
                    f"{name}: the weight file {list(files)[-1]} does not contain the expected weights "
                    f"({error_line(error)}); replace it, or delete it to fetch it again"
                ) from error
            raise


def _place(file: str, address: str) -> str:
    """Return the remedy for a file that could not be fetched."""
    if file:
        return f"put {Path(file).name} (from {address}) at {file}"
    return f"its loader fetches {address} each time and keeps no copy; load it where the address can be reached"


def _recording(fetch: Callable, describe: Callable, requests: list) -> Callable:
    """Return `fetch` with its (file, address) in `requests` until it returns."""

    def recording(*args: Any, **kwargs: Any) -> Any:
        requests.append(describe(*args, **kwargs))
        result = fetch(*args, **kwargs)
        requests.pop()
        return result

    return recording


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _from_network(error: BaseException) -> bool:
    """Return True if an exception or a cause of it was raised by network access."""
    kinds = [kind for link in _chain(error) for kind in type(link).__mro__]
    from_package = any(kind.__module__.split(".")[0] in NETWORK_PACKAGES for kind in kinds)
    return from_package or any(issubclass(kind, ConnectionError | TimeoutError) for kind in kinds)


def _damaged(error: BaseException) -> bool:
    """Return True if an exception is one that reading a damaged checkpoint raises."""
    signs = ("PytorchStreamReader", "loading state_dict", "failed finding central directory", "invalid hash value")
    kinds = (pickle.UnpicklingError, EOFError, zipfile.BadZipFile)
    return isinstance(error, kinds) or any(sign in str(error) for sign in signs)
