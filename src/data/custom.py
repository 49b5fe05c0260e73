"""Custom datasets: `path/to/file.py:function`, where the function returns a declaration with a `load`, or a folder."""

from functools import cache
from pathlib import Path

from ..utils import BadInput, executed, importable, unknown_name
from . import own
from .declare import Dataset


def is_custom(name: str) -> bool:
    """Return whether a name has the form `path/to/file.py:function`, or is the path of a folder."""
    return name.rpartition(":")[0].endswith(".py") or own.is_folder(name)


def custom_file(reference: str) -> Path:
    """Return the file of a reference, of a folder its `dataset.toml`; BadInput if there is none."""
    if own.is_folder(reference):
        return own.place(reference) / own.FILE
    path = Path(reference.rpartition(":")[0]).expanduser().absolute()
    if not path.is_file():
        raise BadInput(f"no file {path} for the dataset '{reference}'; expected path/to/file.py:function")
    return path


def custom_files(reference: str) -> tuple[Path, ...]:
    """Return the files of a reference besides its stimuli: a Python file, or the tables of a folder."""
    return own.files(own.place(reference)) if own.is_folder(reference) else (custom_file(reference),)


def custom_declaration(reference: str) -> Dataset:
    """Return the declaration of a folder or of the referenced function; BadInput where there is none."""
    if own.is_folder(reference):
        return own.declare(own.place(reference))
    return _returned(custom_file(reference), reference.rpartition(":")[2])


@cache
def _returned(path: Path, function: str) -> Dataset:
    """Return the declaration that a function of a file returns.

    Raises BadInput if the function does not exist, or if it returns something else.
    """
    with importable(path.parent):
        module = executed(path)
        if not hasattr(module, function):
            raise unknown_name(f"function in {path}:", function, [name for name in vars(module) if name[0] != "_"])
        found = getattr(module, function)()
    if not isinstance(found, Dataset) or found.load is None:
        raise BadInput(
            f"{path.name}:{function} returned {type(found).__name__}; expected an Fmri, Electrodes, Task or Behaviour "
            f"of the module data.declare, with a `load`"
        )
    return found
