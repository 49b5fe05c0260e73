"""Figure as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Picture:
    """One figure: name of its file, group on the page, title, caption, and its contents as JSON types.

    spec: see `figures` for the kinds; arrays are only in those of the kind "surface".
    """

    name: str
    group: str
    title: str
    caption: str
    spec: Mapping[str, Any]
