"""A user's own folder as a dataset: plain tables, no Python. docs/own-data.md describes the files."""

import re
from pathlib import Path

from ...utils import BadInput
from .folder import declare, examine, load
from .settings import FILE
from .template import new

__all__ = ["FILE", "declare", "examine", "is_folder", "load", "new", "place"]
SCHEME = re.compile(r"[a-z]{2,}:")


def is_folder(name: str) -> bool:
    """Return whether a name is the path of a folder: it has a slash, or is a folder with `dataset.toml`."""
    if SCHEME.match(name) or name.rpartition(":")[0].endswith(".py"):
        return False
    return "/" in name or "\\" in name or (Path(name).expanduser() / FILE).is_file()


def place(name: str) -> Path:
    """Return the folder of a name, absolute; BadInput if there is none."""
    folder = Path(name).expanduser().absolute()
    if folder.is_file() and folder.name == FILE:
        return folder.parent
    if not folder.is_dir():
        raise BadInput(f"no folder {name}; expected a folder with {FILE}: `data new {name} --kind KIND` makes one")
    return folder
