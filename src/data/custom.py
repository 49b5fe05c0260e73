"""Custom datasets: `path/to/file.py:function`, where the function returns a declaration with a `load`."""

from dataclasses import replace
from functools import cache
from pathlib import Path

from ..utils import BadInput, executed, importable, unknown_name
from .declare import Dataset


def is_custom(name: str) -> bool:
    """Return whether a name has the form `path/to/file.py:function`."""
    return name.rpartition(":")[0].endswith(".py")


def custom_file(reference: str) -> Path:
    """Return the file of a reference; BadInput if there is none."""
    path = Path(reference.rpartition(":")[0]).expanduser().absolute()
    if not path.is_file():
        raise BadInput(f"no file {path} for the dataset '{reference}'; expected path/to/file.py:function")
    return path


@cache
def custom_declaration(reference: str) -> Dataset:
    """Return the declaration that the referenced function returns, with the reference as its name.

    Raises BadInput if the file or function does not exist, or if the function returns something else.
    """
    path, function = custom_file(reference), reference.rpartition(":")[2]
    with importable(path.parent):
        module = executed(path)
        if not hasattr(module, function):
            raise unknown_name(f"function in {path}:", function, [name for name in vars(module) if name[0] != "_"])
        found = getattr(module, function)()
    if not isinstance(found, Dataset) or found.load is None:
        raise BadInput(
            f"{reference} returned {type(found).__name__}; expected an Fmri, Electrodes, Task or Behaviour of the "
            f"module data.declare, with a `load`"
        )
    return replace(found, name=reference)
