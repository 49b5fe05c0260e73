"""Texts of a record's notes and of error messages: numbers of items left out, with the first names."""

from collections.abc import Mapping, Sequence

from ..utils import first_names


def number_and_names(items: Sequence, none: str = "0") -> str:
    """Return the number of items and the first five names, "2 (a, b)"; `none` for an empty sequence."""
    return f"{len(items)} ({first_names(items)})" if len(items) else none


def left_out_note(left_out: Mapping[str, str]) -> dict[str, str]:
    """Return the note on subjects or runs left out, from {name: reason}; empty if there are none."""
    listed = "; ".join(f"{name} ({reason})" for name, reason in left_out.items())
    return {"left out": f"{len(left_out)}: {listed}"} if left_out else {}


def first_reasons(left_out: Mapping[str, str]) -> str:
    """Return the first ten entries of {name: reason} for an error message."""
    return first_names([f"{name} ({reason})" for name, reason in left_out.items()], 10)
