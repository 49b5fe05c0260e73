"""Custom datasets: `path/to/file.py:function`, where the function returns a declaration with a `load`, or a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..utils import BadInput, unknown_name
from ..watch import executed, importable, include, unchanged, watching
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


def custom_declaration(reference: str) -> Dataset:
    """Return the declaration of a folder, or the one that the referenced function returns.

    A Python file is executed again if it, or something that it read, changed.
    Raises BadInput if the folder, file or function does not exist, or if the function returns something else.
    """
    if own.is_folder(reference):
        return own.declare(own.place(reference))
    return _declared(reference).declaration


def custom_record(reference: str, data_home: Path) -> Any:
    """Return the record of a custom dataset; everything that its code keeps in memory is made anew for each call."""
    if own.is_folder(reference):
        declared = own.declare(own.place(reference))
        return declared.load(data_home / declared.study)
    found = _declared(reference, used=True)
    found.used = True
    with importable(custom_file(reference).parent, again=True):
        return found.declaration.load(data_home / found.declaration.study)


@dataclass
class _Declared:
    """A declaration with the inputs of its file, and whether its `load` has been called."""

    declaration: Dataset
    inputs: dict[str, Any]
    used: bool = False


_known: dict[tuple[Path, str], _Declared] = {}


def _declared(reference: str, used: bool = False) -> _Declared:
    """Return the declaration of a reference; used: one whose `load` has not been called."""
    path, function = custom_file(reference), reference.rpartition(":")[2]
    found = _known.get((path, function))
    if found is None or (used and found.used) or not unchanged(found.inputs):
        with watching() as seen:
            declaration = _executed(reference, path, function)
            found = _known[path, function] = _Declared(declaration, seen.inputs())
    else:
        include(found.inputs)
    return found


def _executed(reference: str, path: Path, function: str) -> Dataset:
    """Return the declaration that the function in the file returns."""
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
