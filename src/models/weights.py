"""Weight files: which were opened, which are missing, and how to do without them. No torch at the top."""

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

SUFFIXES = (".pth", ".pt", ".pyth", ".ckpt", ".safetensors", ".bin", ".tar", ".pkl", ".h5", ".npz", ".npy", ".mat")
NETWORKS = {"urllib", "urllib3", "http", "ssl", "socket", "requests", "botocore", "boto3", "s3transfer", "gdown"}
NETWORKS |= {"huggingface_hub", "httpx"}

_recorders: list[dict[Path, None]] = []


@contextmanager
def opened_weights() -> Iterator[dict[Path, None]]:
    """Yields an ordered set (the keys of a dict) that fills with the weight files opened for reading in the block.

    It listens to Python's audit event "open", which every `open` raises whoever calls it. An audit hook cannot be
    taken away again, so there is one per process and it does nothing outside the block.
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
    sys.addaudithook(_note_open)


def _note_open(event: str, arguments: tuple) -> None:
    if event != "open" or not _recorders or not isinstance(arguments[0], str | Path):
        return
    writes = isinstance(arguments[1], str) and any(letter in arguments[1] for letter in "wax")
    if str(arguments[0]).endswith(SUFFIXES) and not writes:
        for files in _recorders:
            files[Path(arguments[0]).absolute()] = None


def note_weights(path: Path) -> None:
    """Count `path` among the opened weight files: what compiled code opens (safetensors) raises no event."""
    for files in _recorders:
        files[path.absolute()] = None


class Nothing(dict):
    """A checkpoint without content: every key and attribute that it is asked for is as empty as itself."""

    def __missing__(self, key: Any) -> "Nothing":
        return Nothing()

    def __delitem__(self, key: Any) -> None:
        return

    def pop(self, *_: Any) -> "Nothing":
        return Nothing()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing()

    def __call__(self, *_: Any, **__: Any) -> "Nothing":
        return self


@contextmanager
def replaced(owner: Any, attribute: str, value: Any) -> Iterator[None]:
    """Set an attribute in the block; in the end put it back, and in every module that took a copy of it by import."""
    original = getattr(owner, attribute)
    _rebind(original, value)
    setattr(owner, attribute, value)
    try:
        yield
    finally:
        setattr(owner, attribute, original)
        _rebind(value, original)


def _rebind(old: Any, new: Any) -> None:
    for module in list(sys.modules.values()):
        namespace = getattr(module, "__dict__", {})
        for name in [name for name, value in list(namespace.items()) if value is old]:
            namespace[name] = new


@contextmanager
def without_weights(doors: Mapping[str, Callable] | None = None) -> Iterator[None]:
    """In the block, networks are built as always but no checkpoint is fetched, read or put into them.

    A model's builder asks for its weights somewhere deep inside, in one of a few ways; each of these doors is closed:
    a download does nothing, a loaded checkpoint is empty (`Nothing`), and putting one into a module is a no-op that
    reports success. What remains is the architecture with its initial values. `doors`: further functions to replace,
    {"module:function": stand-in}; their modules are imported.
    """
    import torch

    nothing, no_keys = Nothing(), torch.nn.modules.module._IncompatibleKeys([], [])
    with ExitStack() as closed:
        for owner, attribute, value in (
            (torch, "load", lambda *_, **__: nothing),
            (torch.hub, "download_url_to_file", lambda *_, **__: None),
            (torch.hub, "load_state_dict_from_url", lambda *_, **__: nothing),
            (urllib.request, "urlretrieve", lambda *_, **__: ("no-weights", None)),
            (torch.nn.Module, "load_state_dict", lambda *_, **__: no_keys),
        ):
            closed.enter_context(replaced(owner, attribute, value))
        if (api := sys.modules.get("torchvision.models._api")) is not None:
            closed.enter_context(replaced(api.WeightsEnum, "get_state_dict", lambda *_, **__: nothing))
        for place, value in (doors or {}).items():
            module, attribute = place.split(":")
            closed.enter_context(replaced(importlib.import_module(module), attribute, value))
        yield


def _hub_file(url: str, dst: str, *_: Any, **__: Any) -> tuple[str, str]:
    return str(dst), url


def _retrieved_file(url: str, filename: str | None = None, *_: Any, **__: Any) -> tuple[str, str]:
    return str(filename or ""), url


FETCHERS = {"torch.hub:download_url_to_file": _hub_file, "urllib.request:urlretrieve": _retrieved_file}


@contextmanager
def explained(name: str, where: str, packages: str, fetchers: Mapping[str, Callable] | None = None) -> Iterator[None]:
    """Turn what goes wrong while the weights of `name` are fetched and read into one line that says what to do.

    where: the folder to put a missing file into, if the loader does not say; packages: what to install for a missing
    package; fetchers: {"module:function": its arguments -> (file, address)} of further functions that fetch weights.
    Any other error is left as it is. What loaders print goes to the standard error.
    """
    wanted: list[tuple[str, str]] = []
    with ExitStack() as inside:
        files = inside.enter_context(opened_weights())
        inside.enter_context(redirect_stdout(sys.stderr))
        try:
            for place, describe in {**FETCHERS, **(fetchers or {})}.items():
                module, function = importlib.import_module(place.split(":")[0]), place.split(":")[1]
                noted = _noting(getattr(module, function), describe, wanted)
                inside.enter_context(replaced(module, function, noted))
            yield
        except ModuleNotFoundError as error:
            raise BadInput(f"{name} needs the package '{error.name}', which is not installed; {packages}") from error
        except Exception as error:
            if _from_network(error):
                place = _place(*wanted[-1]) if wanted else f"put its files under {where}"
                reason = f"{type(error).__name__}: {_line(error)}"
                raise BadInput(f"{name}: its weights are not here and cannot be fetched ({reason}); {place}") from error
            if files and _damaged(error):
                raise BadInput(
                    f"{name}: the weight file {list(files)[-1]} does not hold what is expected ({_line(error)}); "
                    "replace it, or delete it to have it fetched again"
                ) from error
            raise


def _place(file: str, address: str) -> str:
    if file:
        return f"put {Path(file).name} (from {address}) at {file}"
    return f"its loader fetches {address} each time and keeps no copy: load it where that can be reached"


def _noting(fetch: Callable, describe: Callable, wanted: list) -> Callable:
    """`fetch`, with what it is asked for in `wanted` until it returns."""

    def noted(*args: Any, **kwargs: Any) -> Any:
        wanted.append(describe(*args, **kwargs))
        result = fetch(*args, **kwargs)
        wanted.pop()
        return result

    return noted


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 160 else text[:157] + "..."


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _from_network(error: BaseException) -> bool:
    kinds = [kind for link in _chain(error) for kind in type(link).__mro__]
    foreign = any(kind.__module__.split(".")[0] in NETWORKS for kind in kinds)
    return foreign or any(issubclass(kind, ConnectionError | TimeoutError) for kind in kinds)


def _damaged(error: BaseException) -> bool:
    signs = ("PytorchStreamReader", "loading state_dict", "failed finding central directory", "invalid hash value")
    kinds = (pickle.UnpicklingError, EOFError, zipfile.BadZipFile)
    return isinstance(error, kinds) or any(sign in str(error) for sign in signs)
