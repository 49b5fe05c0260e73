"""Ids and columns of tables in the types that every output file can hold: truth values, numbers and text."""

import datetime
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any

import numpy as np

from .utils import BadInput, first_names

Table = Mapping[str, Sequence]
# netCDF allows neither a slash nor a control character in a name
NOT_IN_A_NAME = re.compile(r"[/\x00-\x1f\x7f]")


def is_missing(value: Any) -> bool:
    """Return whether a value stands for none: None, NaN, NaT, pandas' NA or a masked entry."""
    if value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating | np.datetime64 | np.timedelta64) and bool(value != value)


def texts(what: str, values: Sequence) -> tuple[str, ...]:
    """Return ids or classes as text, a whole number without a fraction; BadInput for one that is missing."""
    items = list(values)
    missing = [k for k, value in enumerate(items) if is_missing(value)]
    if missing:
        raise BadInput(f"{what}: none at position {first_names(missing)} (from 0); expected a text or a number")
    return tuple(_text(what, value) for value in items)


def column(what: str, values: Sequence) -> np.ndarray:
    """Return a column as bool, numbers or text: (n_rows,); BadInput for values of any other type.

    A missing value is NaN among numbers and "" among texts; dates become ISO texts, lists JSON, and a column of
    several types text.
    """
    if isinstance(values, np.ndarray) and not isinstance(values, np.ma.MaskedArray) and values.ndim == 1:
        if values.dtype.kind in "biuU" or (values.dtype.kind == "f" and values.dtype.itemsize in (4, 8)):
            return values
        if values.dtype.kind == "M":
            iso = np.datetime_as_string(values, unit="auto") if len(values) else values.astype(str)
            return np.where(np.isnat(values), "", iso)
    items = values.tolist() if isinstance(values, np.ma.MaskedArray) else list(values)
    present = [value for value in items if not is_missing(value)]
    whole = len(present) == len(items)
    if items and whole and all(isinstance(value, bool | np.bool_) for value in present):
        return np.array(items, dtype=bool)
    if present and all(_is_number(value) for value in present):
        if whole and all(isinstance(value, Integral) for value in present):
            if all(-(2**63) <= value < 2**63 for value in present):
                return np.array(items, dtype=np.int64)
        else:
            return np.array([math.nan if is_missing(value) else float(value) for value in items])
    if not present and items and any(isinstance(value, float | np.floating) for value in items):
        return np.full(len(items), math.nan)
    return np.array(["" if is_missing(value) else _text(what, value) for value in items], dtype=str)


def table(what: str, columns: Table) -> dict[str, Sequence]:
    """Return a table with columns of `column` and names that netCDF allows; "_" replaces "/" in a name.

    A column that is a list or a tuple becomes a list.
    """
    found: dict[str, Sequence] = {}
    for name, values in columns.items():
        clean = NOT_IN_A_NAME.sub("_", str(name)).strip()
        if not clean or clean in found:
            got = f"two columns called '{clean}'" if clean else "a column without a name"
            raise BadInput(f"{what} has {got}; expected names that differ, without '/'; rename one")
        made = column(f"{what}, column '{name}'", values)
        found[clean] = made.tolist() if isinstance(values, list | tuple) else made
    return found


def numbered(ids: Sequence) -> tuple[np.ndarray, list]:
    """Return (ids with " (2)", " (3)", ... behind repeated ones, the ids that are repeated)."""
    doubled = [value for value, n in Counter(ids).items() if n > 1]
    if not doubled:
        return np.asarray(ids), []
    taken, found = set(map(str, ids)), []
    seen: Counter = Counter()
    for value in map(str, ids):
        seen[value] += 1
        name = value
        while seen[value] > 1 and name in taken:
            name = f"{value} ({seen[value]})"
            seen[value] += name in taken
        taken.add(name)
        found.append(name)
    return np.array(found), doubled


def plain(value: Any) -> Any:
    """Return a value of a note in JSON's types: numbers, truth values and text as they are, anything else as text."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return _text("a note", value)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real | Decimal) and not isinstance(value, bool | np.bool_)


def _text(what: str, value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real | Decimal | Fraction):
        number = float(value)
        return f"{number:.0f}" if number.is_integer() and abs(number) < 2**53 else repr(number)
    if isinstance(value, datetime.datetime):
        at_midnight = value.time() == datetime.time() and value.tzinfo is None
        return value.date().isoformat() if at_midnight else value.isoformat()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, np.datetime64 | np.timedelta64 | datetime.timedelta | complex | PurePath):
        return str(value)
    if isinstance(value, list | tuple | set | frozenset | dict | np.ndarray):
        entries = sorted(value) if isinstance(value, set | frozenset) else value
        return json.dumps(entries, default=lambda inner: inner.tolist() if hasattr(inner, "tolist") else str(inner))
    raise BadInput(f"{what} has an entry of type {type(value).__name__}; expected text, numbers, truth values or dates")
