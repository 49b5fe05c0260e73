"""References of the form `scheme:path?option=value&option=value`, with paths that are absolute once they are read."""

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from ...utils import BadInput
from ..own.settings import UNITS_MS

FORBIDDEN_IN_NAMES = re.compile(r"[/\\:,+\x00-\x1f]")
_NUMBER = r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)"
_LENGTH = re.compile(rf"{_NUMBER}\s*([a-z]+)")
_WINDOW = re.compile(rf"{_NUMBER}\s*([a-z]+)?\s*-\s*{_NUMBER}\s*([a-z]+)")
COMMON = ("name", "citation", "licence")


@dataclass(frozen=True)
class Reference:
    """A dataset in files of a standard: scheme, absolute paths, and the options behind the question mark."""

    scheme: str
    paths: tuple[Path, ...]
    options: Mapping[str, str]

    def __str__(self) -> str:
        options = "&".join(f"{name}={value}" for name, value in sorted(self.options.items()))
        return f"{self.scheme}:{'+'.join(map(str, self.paths))}" + (f"?{options}" if options else "")

    def get(self, option: str, default: str | None = None) -> str | None:
        """Return the text of an option, else the default."""
        return self.options.get(option, default)

    def choice(self, option: str, allowed: tuple[str, ...]) -> str | None:
        """Return an option with few values, None where it is not stated; BadInput for another value."""
        value = self.get(option)
        if value is not None and value not in allowed:
            raise BadInput(f"{option}={value}; expected one of {', '.join(allowed)}")
        return value

    def ms(self, option: str, least: float = 0.0) -> float | None:
        """Return a time, as in tr=1.5s, in ms, None where it is not stated; BadInput unless it is above `least`."""
        text = self.get(option)
        if text is None:
            return None
        found = _LENGTH.fullmatch(text.strip())
        value = _ms(found[1], found[2]) if found else None
        if value is None or value <= least:
            above = f" above {least:g}" if math.isfinite(least) else ""
            raise BadInput(f"{option}={text}; expected a time{above} with its unit, as {option}=1.5s or {option}=100ms")
        return value

    def window_ms(self, option: str = "window") -> tuple[float, float] | None:
        """Return a window, as in window=70-170ms, in ms, None where it is not stated."""
        text = self.get(option)
        if text is None:
            return None
        found = _WINDOW.fullmatch(text.strip())
        ends = [_ms(found[1], found[2] or found[4]), _ms(found[3], found[4])] if found else [None, None]
        if None in ends or not 0 <= ends[0] < ends[1]:
            raise BadInput(f"{option}={text}; expected start and end from 0 on with a unit, as {option}=70-170ms")
        return ends[0], ends[1]

    def path(self, option: str, *folders: Path) -> Path | None:
        """Return the file or folder of an option, below the working folder or one of `folders`; None if not stated.

        Raises BadInput where there is none.
        """
        text = self.get(option)
        if text is None:
            return None
        tried = [Path(text).expanduser().absolute(), *(folder / text for folder in folders)]
        found = next((path for path in tried if path.exists()), None)
        if found is None:
            raise BadInput(f"{option}={text}: there is no such file or folder; correct the path")
        return found

    def stated_name(self) -> str | None:
        """Return the option `name`; BadInput for one that could be read as a path."""
        name = self.get("name")
        if name is not None and FORBIDDEN_IN_NAMES.search(name):
            raise BadInput(f"name={name}; expected a name without / \\ : , +: it is no path")
        return name


def parse(text: str, options: tuple[str, ...], parts: int = 1) -> Reference:
    """Return a reference; BadInput for an unknown option, a missing value, or another number of paths joined by +."""
    scheme, _, rest = text.partition(":")
    place, _, query = rest.partition("?")
    found: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, _, value = (unquote(piece).strip() for piece in part.partition("="))
        if name not in (*COMMON, *options):
            near = difflib.get_close_matches(name, (*COMMON, *options), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"expected {', '.join((*COMMON, *options))}"
            raise BadInput(f"{scheme}: unknown option {name}; {hint}")
        if not value or name in found:
            raise BadInput(f"{scheme}: option {name} {'is stated twice' if name in found else 'has no value'}")
        found[name] = value
    places = place.split("+") if parts > 1 else [place]
    if len(places) != parts or not all(places):
        expected = {"brainio": "brainio:STIMULI.csv+ASSEMBLY.nc"}.get(scheme, f"{scheme}:PATH")
        raise BadInput(f"{text}; expected {expected}, then ?option=value&option=value")
    return Reference(scheme, tuple(Path(unquote(p)).expanduser().absolute() for p in places), found)


def plain_name(text: str) -> str:
    """Return a text as the name of a dataset, without the characters of paths and lists."""
    return FORBIDDEN_IN_NAMES.sub("-", text).strip(" -.") or "mine"


def _ms(number: str, unit: str) -> float | None:
    try:
        value = float(number)
    except ValueError:
        return None
    return value * UNITS_MS[unit] if unit in UNITS_MS else None
