"""Custom datasets: `path/to/file.py:function`, where the function returns a declaration with a `load`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..utils import BadInput, unknown_name
from ..watch import executed, importable, include, unchanged, watching
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


def in_keys(name: str) -> str:
    """Return the name of a dataset in keys, which names no folder: content tells datasets of one name apart."""
    return Path(name).name if is_custom(name) else name


def custom_declaration(reference: str) -> Dataset:
    """Return the declaration that the referenced function returns, with the reference as its name.

    The file is executed again if it, or something that it read, changed.
    Raises BadInput if the file or function does not exist, or if the function returns something else.
    """
    return replace(_declared(reference).declaration, name=reference)


def custom_record(reference: str, data_home: Path) -> Any:
    """Return the record of a custom dataset; everything that its code keeps in memory is made anew for each call."""
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
            f"{reference} returned {type(found).__name__}; expected an Fmri, Electrodes, Task or Behaviour of the "
            f"module data.declare, with a `load`"
        )
    return found
