"""A dataset of the user's own: `path/to/file.py:function`, the function returning a declaration with a `load`."""

from dataclasses import replace
from functools import cache
from pathlib import Path

from ..utils import BadInput, executed, importable, unknown_name
from .declare import Dataset


def is_reference(name: str) -> bool:
    """Whether a name is `path/to/file.py:function`."""
    return name.rpartition(":")[0].endswith(".py")


def file(reference: str) -> Path:
    """The file that a reference names; BadInput where there is none."""
    path = Path(reference.rpartition(":")[0]).expanduser().absolute()
    if not path.is_file():
        raise BadInput(f"no file {path} for the dataset '{reference}'; expected path/to/file.py:function")
    return path


@cache
def declared(reference: str) -> Dataset:
    """The declaration that the user's function returns, under the name of its reference.

    Raises BadInput where the file or function does not exist, or returns something else.
    """
    path, function = file(reference), reference.rpartition(":")[2]
    with importable(path.parent):
        module = executed(path)
        if not hasattr(module, function):
            raise unknown_name(f"function in {path}:", function, [name for name in vars(module) if name[0] != "_"])
        found = getattr(module, function)()
    if not isinstance(found, Dataset) or found.load is None:
        raise BadInput(
            f"{reference} returned {type(found).__name__}; expected an Fmri, Electrodes, Task or Behaviour of "
            f"src.data.declare with a `load`"
        )
    return replace(found, name=reference)
