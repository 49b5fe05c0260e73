"""Datasets in files of a standard, by references `bids:`, `nwb:` and `brainio:`; docs/own-data.md describes them."""

from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from ...utils import BadInput
from ..declare import Dataset
from ..own.problems import Problems
from . import bids, nwb, packaged

FORMS: dict[str, ModuleType] = {"bids": bids, "nwb": nwb, "brainio": packaged}


def is_form(name: str) -> bool:
    """Return whether a name starts with the scheme of a form."""
    return name.partition(":")[0] in FORMS and ":" in name


def resolved(name: str) -> str:
    """Return a reference with absolute paths, the same from every folder; BadInput for one that cannot be read."""
    return str(_parsed(name))


def place(name: str) -> Path:
    """Return the first file or folder of a reference."""
    return _parsed(name).paths[0]


def title(name: str) -> str:
    """Return the stated name of a reference or, without one and for a faulty one, that of its file or folder."""
    try:
        return _parsed(name).get("name") or place(name).name
    except BadInput:
        return Path(name.partition(":")[2].partition("?")[0].partition("+")[0]).name or name


def declare(name: str) -> Dataset:
    """Return the declaration of a reference; BadInput with the first fault and the number of the others."""
    problems = Problems()
    declared, _, _ = _read(name, problems, None)
    if declared is None or len(problems):
        raise _bad_input(name, problems)
    return declared


def load(name: str, folder: Path) -> Any:
    """Return the record of a reference; folder: DATA_HOME/<study>, for stimuli that are unpacked."""
    problems = Problems()
    _, record, _ = _read(name, problems, folder)
    if record is None or len(problems):
        raise _bad_input(name, problems)
    return record


def examine(name: str, data_home: Path) -> tuple[Dataset | None, Any, list[str], list[str]]:
    """Return (declaration, record, faults, assumptions) of a reference."""
    problems, declared, record, said = Problems(), None, None, []
    try:
        declared, _, _ = _read(name, problems, None)
        if declared is not None and not len(problems):
            declared, record, said = _read(name, problems, data_home / declared.study)
    except BadInput as error:
        return declared, None, [*problems.lines(), str(error)], []
    return declared, None if len(problems) else record, problems.lines(), said


def _parsed(name: str):
    return FORMS[name.partition(":")[0]].parsed(name)


def _read(name: str, problems: Problems, folder: Path | None) -> tuple[Dataset | None, Any, list[str]]:
    """Return (declaration, record, assumptions); folder: None reads only what the declaration needs."""
    reference = _parsed(name)
    reference.stated_name()
    return FORMS[reference.scheme].read(reference, problems, folder, partial(load, str(reference)))


def _bad_input(name: str, problems: Problems) -> BadInput:
    first, *others = problems.lines()
    more = f" ({len(others)} more faults: `data check '{name}'` lists them)" if others else ""
    return BadInput(f"{first}{more}")
