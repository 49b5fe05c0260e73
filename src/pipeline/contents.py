"""Digests of whole records: of all that a `load` returned, independent of the paths of its files."""

import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.declare import Dataset, as_json
from ..records import Choices, Labels, Responses, Stimuli
from ..utils import array_digest, digest, file_digest

# what a declaration says to the reader alone
REMARKS = ("name", "study", "citation", "licence", "access", "source", "note", "version")


def content_digest(record: Responses | Labels | Choices, declared: Dataset) -> str:
    """Return the SHA-256 of a record and of the traits of its declaration.

    Parameters
    ----------
    record : Responses, Labels or Choices
        Its values, bins, tables with all columns, notes and the contents of its stimuli count; names for messages and
        the places of files do not.
    declared : Dataset
        Its type and its plain fields count, without the remarks for the reader.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    traits = {name: value for name, value in as_json(declared).items() if name not in REMARKS}
    return digest([traits, _plain(record)])


def _plain(value: Any) -> Any:
    """Return a value as JSON-able data in which different values, and equal values of different types, differ."""
    if isinstance(value, Stimuli):
        rest = {f.name: getattr(value, f.name) for f in fields(value) if f.name not in ("name", "paths")}
        return ["stimuli", value.digest, _plain(rest)]
    if is_dataclass(value):
        return [type(value).__name__, *[[f.name, _plain(getattr(value, f.name))] for f in fields(value)]]
    if isinstance(value, Mapping):
        return ["mapping", *[[str(name), _plain(item)] for name, item in value.items()]]
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufcmMV":
        return ["array", array_digest(value)]
    if isinstance(value, list | tuple | set | frozenset) or hasattr(value, "__array__"):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        items = np.asarray(items).tolist() if hasattr(items, "__array__") else items
        return ["sequence", *map(_plain, items)] if isinstance(items, list | tuple) else _scalar(items)
    return _scalar(value)


def _scalar(value: Any) -> list:
    """Return the type and the text of a value, the content or the name of a file that exists."""
    if isinstance(value, Path) and value.is_file():
        return ["file", file_digest(value)]
    if isinstance(value, str | Path):
        text = str(value)
        return ["text", os.path.basename(text) if text.startswith(os.sep) and os.path.exists(text) else text]
    return [type(value).__name__, repr(value)]
