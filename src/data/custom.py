"""Custom datasets: a Python function that returns a declaration with a `load`, a folder, or files of a standard.

`form_of` is the one place that tells the forms of references apart.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..utils import BadInput, unknown_name
from ..watch import executed, importable, include, unchanged, watching
from . import forms, own
from .declare import Dataset


def form_of(name: str) -> str | None:
    """Return the form of a reference, None for the name of a known dataset.

    "standard": `bids:`, `nwb:` or `brainio:`; "python": `path/to/file.py:function`; "folder": the path of a folder.
    """
    if forms.is_form(name):
        return "standard"
    if name.rpartition(":")[0].endswith(".py"):
        return "python"
    return "folder" if own.is_folder(name) else None


def is_custom(name: str) -> bool:
    """Return whether a name is a reference to data of the user's."""
    return form_of(name) is not None


def resolved(reference: str) -> str:
    """Return a reference with absolute paths, the same from every folder; BadInput if there is no such file."""
    form = form_of(reference)
    if form == "standard":
        return forms.resolved(reference)
    return str(own.place(reference) / own.FILE if form == "folder" else _file(reference))


def place(reference: str) -> Path:
    """Return the file or folder that holds a dataset; BadInput if there is none."""
    form = form_of(reference)
    if form == "standard":
        return forms.place(reference)
    return own.place(reference) if form == "folder" else _file(reference)


def title(reference: str) -> str:
    """Return the name of a reference before its declaration is known: without its folder."""
    return forms.title(reference) if form_of(reference) == "standard" else Path(reference).name


def custom_declaration(reference: str) -> Dataset:
    """Return the declaration of a reference.

    A Python file is executed again if it, or something that it read, changed.
    Raises BadInput if the folder, file or function does not exist, or if the function returns something else.
    """
    form = form_of(reference)
    if form == "standard":
        return forms.declare(reference)
    if form == "folder":
        return own.declare(own.place(reference))
    return _declared(reference).declaration


def custom_record(reference: str, data_home: Path) -> Any:
    """Return the record of a custom dataset; everything that its code keeps in memory is made anew for each call."""
    if form_of(reference) != "python":
        declared = custom_declaration(reference)
        return declared.load(data_home / declared.study)
    found = _declared(reference, used=True)
    found.used = True
    with importable(_file(reference).parent, again=True):
        return found.declaration.load(data_home / found.declaration.study)


def _file(reference: str) -> Path:
    """Return the file of `path/to/file.py:function`; BadInput if there is none."""
    path = Path(reference.rpartition(":")[0]).expanduser().absolute()
    if not path.is_file():
        raise BadInput(f"no file {path} for the dataset '{reference}'; expected path/to/file.py:function")
    return path


@dataclass
class _Declared:
    """A declaration with the inputs of its file, and whether its `load` has been called."""

    declaration: Dataset
    inputs: dict[str, Any]
    used: bool = False


_known: dict[tuple[Path, str], _Declared] = {}


def _declared(reference: str, used: bool = False) -> _Declared:
    """Return the declaration of a reference; used: one whose `load` has not been called."""
    path, function = _file(reference), reference.rpartition(":")[2]
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
