"""Files of Hugging Face repositories, read from HF_HOME or a folder, or fetched by the client of the hub."""

import json
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from ..utils import BadInput
from .checkpoints import plain_state, read_state
from .errors import error_line

FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


def weights_here(repository: str) -> bool:
    """Return True if the repository's weights are under HF_HOME, or it is a folder with weights."""
    snapshots = [Path(repository), *_cached_folder(repository).glob("snapshots/*")]
    return any((snapshot / name).exists() for snapshot in snapshots for name in FILES)


def _hub_home() -> Path:
    """Return the folder of the hub's cache."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def _cached_folder(repository: str) -> Path:
    """Return the folder of a repository in the hub's cache."""
    return _hub_home() / ("models--" + repository.replace("/", "--"))


def hub_file(repository: str, names: tuple[str, ...]) -> Path:
    """Return the first of the files that the repository has, from HF_HOME or else fetched.

    A repository may also be a folder written by `save_pretrained`. Raises BadInput with the remedy if there is none.
    """
    if Path(repository).is_dir():
        return _in_folder(Path(repository), names)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise BadInput(
            f"hf:{repository} is no folder here and no name of a repository ({error_line(error)}); expected "
            f"hf:owner/repository or hf:path/to/folder"
        ) from None
    for name in names:
        if isinstance(path := try_to_load_from_cache(repository, name, cache_dir=_hub_home()), str):
            return Path(path)
    found = _unreachable() or _fetched(repository, names)
    if isinstance(found, Path):
        return found
    raise BadInput(
        f"{repository}: {names[0]} is not under HF_HOME ({_hub_home().parent}) and cannot be fetched ({found}); "
        f"run `hf download {repository}` where there is a network (behind a licence: `hf auth login` first)"
    )


def optional_file(repository: str, name: str) -> Path | None:
    """Return a file that not every repository has, from HF_HOME or else fetched; None without it."""
    try:
        return hub_file(repository, (name,))
    except BadInput:
        return None


def _fetched(repository: str, names: tuple[str, ...]) -> Path | str:
    """Return the first of the files that the hub has, or the reason why none was fetched."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for name in names:
        try:
            return Path(hf_hub_download(repository, name, cache_dir=_hub_home()))
        except Exception as error:  # offline, gated or renamed: the client raises a different error for each
            if not isinstance(error, EntryNotFoundError) or isinstance(error, LocalEntryNotFoundError):
                return error_line(error)
    return "no such file in it"


def _in_folder(folder: Path, names: tuple[str, ...]) -> Path:
    """Return the first of the files in a local folder; BadInput if there is none."""
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise BadInput(f"{folder} has no {names[0]}; expected a folder written by transformers' save_pretrained")
    return found


def _unreachable() -> str:
    """Return the reason why the hub cannot be reached, "" if it may be; the client retries for half a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    if getproxies():
        return ""
    try:
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError as error:
        return error_line(error)
    return ""


def state_of(repository: str, keys: str = "") -> dict[str, Any] | None:
    """Return the repository's state dict, or the part of it with the prefix `keys`, without that prefix."""
    path = hub_file(repository, FILES)
    if path.name.endswith(".index.json"):
        shards = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        paths = [hub_file(repository, (name,)) for name in sorted({s for k, s in shards.items() if k.startswith(keys)})]
    else:
        paths = [path]
    state = {name: value for one in paths for name, value in plain_state(read_state(one)).items()}
    return {name.removeprefix(keys): value for name, value in state.items() if name.startswith(keys)}
