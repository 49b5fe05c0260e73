"""`dataset.toml` of a user's folder: the facts about a dataset, and the traits of its evaluation."""

import difflib
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .problems import Problems

FILE = "dataset.toml"
UNITS_MS = {"ms": 1.0, "s": 1000.0, "min": 60000.0}
DURATION = re.compile(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*([a-zµ]+)\s*")
AXES = ("stimulus", "repetition", "time", "unit")
CHOICES: dict[str, tuple[str, ...]] = {
    "time_unit": ("ms", "s"),
    "fit": ("stimuli", "per unit"),
    "decoder": ("logistic", "ridge"),
}
METRICS = {"task": ("accuracy", "pearson"), "behaviour": ("O2", "I2n")}
# key -> type: "text", "names", "flag", "factor" (a number above 0), "length" and "time" (a number with its unit)
COMMON = {
    **dict.fromkeys(("kind", "name", "citation", "licence", "source", "note", "time_unit"), "text"),
    "image_duration": "length",
}
RECORDING = {"start": "time", "axes": "names"}
KEYS: dict[str, dict[str, str]] = {
    "fmri": COMMON | RECORDING | {"tr": "length", "lag": "flag", "row_weight": "factor"},
    "electrodes": COMMON | RECORDING | {"bin_width": "length", "fit": "text", "clip": "length"},
    "task": COMMON | {"metric": "text", "decoder": "text", "limit": "length", "static": "flag"},
    "behaviour": COMMON | {"metric": "text", "static": "flag", "classes": "names"},
}
WIDTH = {"fmri": "tr", "electrodes": "bin_width"}
EXPECTED = {
    "text": 'write a text in quotes, as "mine"',
    "names": 'write a list of texts, as ["a", "b"]',
    "flag": "write true or false, without quotes",
    "factor": "write a number above 0, without quotes",
    "length": 'write a time above 0 with its unit in quotes, as "1.5 s" or "100 ms"',
    "time": 'write a time with its unit in quotes, as "0 ms"',
}


@dataclass(frozen=True)
class Settings:
    """Kind of a dataset and the stated values of `dataset.toml`; times in ms."""

    kind: str
    values: Mapping[str, Any]

    def get(self, key: str, default: Any = None) -> Any:
        """Return a stated value, else the default."""
        return self.values.get(key, default)

    @property
    def name(self) -> str:
        """Declared name, which is printed."""
        return self.values["name"]

    @property
    def width_ms(self) -> float:
        """Width of a time bin of a recording."""
        return self.values[WIDTH[self.kind]]

    @property
    def time_unit_ms(self) -> float | None:
        """Unit of the times in the tables; None where it is not stated."""
        return UNITS_MS.get(self.values.get("time_unit", ""))


def read_settings(folder: Path, problems: Problems) -> Settings | None:
    """Return the settings of a folder; None, with the faults added, where they cannot be used at all."""
    content = _content(folder, problems)
    if content is None:
        return None
    kind = content.get("kind")
    if kind not in KEYS:
        got = f"kind is {kind!r}" if "kind" in content else "states no kind"
        near = difflib.get_close_matches(str(kind).lower(), KEYS, n=1, cutoff=0.5)
        remedy = f'write kind = "{near[0]}"' if near else f"write kind = one of {', '.join(KEYS)}, in quotes"
        problems.add(FILE, got, remedy)
        return None
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in KEYS[kind]:
            problems.add(FILE, *_unknown(kind, key))
        elif (made := _value(KEYS[kind][key], value)) is None:
            problems.add(FILE, f"{key} = {value!r}", EXPECTED[KEYS[kind][key]])
        else:
            values[key] = made
    _check_values(kind, values, content, problems)
    # with a fault in another key the tables can still be read, so that their faults are found too
    values.setdefault("name", folder.name)
    return Settings(kind, values) if WIDTH.get(kind) in (None, *values) else None


def _content(folder: Path, problems: Problems) -> dict[str, Any] | None:
    path = folder / FILE
    if not path.is_file():
        problems.add(FILE, "there is no such file", "make it with `data new FOLDER --kind KIND`")
        return None
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        problems.add(FILE, f"is not UTF-8 text ({error.reason})", "save it as UTF-8 text")
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"line (\d+)", str(error))
        text = str(error).partition(" (at")[0]
        remedy = "write KEY = VALUE, each key once, texts in quotes and numbers without"
        problems.add(FILE, f"is not TOML: {text}", remedy, int(place[1]) if place else None)
    return None


def _unknown(kind: str, key: str) -> tuple[str, str]:
    near = difflib.get_close_matches(key, KEYS[kind], n=1, cutoff=0.5)
    others = [other for other, keys in KEYS.items() if key in keys]
    if others:
        return f"{key} is a key of the kind {' and '.join(others)}, not of {kind}", f"remove {key}, or change the kind"
    remedy = f"rename it to {near[0]}" if near else f"remove it; the keys are {', '.join(KEYS[kind])}"
    return f"unknown key {key}", remedy


def _value(what: str, value: Any) -> Any:
    """Return a value in the type of its key; None where it has another one."""
    if what == "text":
        return value.strip() if isinstance(value, str) and value.strip() else None
    if what == "flag":
        return value if isinstance(value, bool) else None
    if what == "names":
        return value if isinstance(value, list) and value and all(isinstance(v, str) and v for v in value) else None
    if what == "factor":
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if number and 0 < value < math.inf else None
    found = DURATION.fullmatch(value) if isinstance(value, str) else None
    if not found or found[2] not in UNITS_MS:
        return None
    try:
        value_ms = float(found[1]) * UNITS_MS[found[2]]
    except ValueError:
        return None
    return value_ms if what == "time" or value_ms > 0 else None


def _check_values(kind: str, values: dict[str, Any], content: Mapping[str, Any], problems: Problems) -> None:
    if "name" not in content:
        problems.add(FILE, "states no name", 'write name = "...", which is printed with every score')
    if re.search(r"[/\\:,+\x00-\x1f]", values.get("name", "")):
        problems.add(FILE, f"name = {values['name']!r}", "write a name without / \\ : , +: it is no path")
    width = WIDTH.get(kind)
    if width and width not in content:
        what = "the repetition time" if kind == "fmri" else "the width of a time bin"
        problems.add(FILE, f"states no {width}, {what}", f'write {width} = "1.5 s", with its unit')
    for key, allowed in {**CHOICES, "metric": METRICS.get(kind, ())}.items():
        if key in values and key in KEYS[kind] and values[key] not in allowed:
            problems.add(FILE, f"{key} = {values.pop(key)!r}", f"write one of {', '.join(allowed)}")
    if kind in WIDTH and values.get("start", 0.0) < 0:
        problems.add(
            FILE,
            f"start = {content['start']!r}, before the onset of the stimulus",
            "leave out the bins before 0, in which a model receives nothing",
        )
    unknown = [axis for axis in values.get("axes", ()) if axis not in AXES]
    doubled = len(set(values.get("axes", ()))) < len(values.get("axes", ()))
    if unknown or doubled or ("axes" in values and not {"stimulus", "unit"} <= set(values["axes"])):
        problems.add(FILE, f"axes = {values.pop('axes')}", f"name each axis once, of {', '.join(AXES)}")
    if {values.get("decoder"), values.get("metric")} in ({"logistic", "pearson"}, {"ridge", "accuracy"}):
        problems.add(
            FILE,
            f"decoder {values['decoder']} with metric {values['metric']}",
            "write logistic with accuracy (classes), or ridge with pearson (numbers)",
        )
