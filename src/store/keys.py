"""Typed keys: every input of a stored value and nothing else, and the names that follow from them."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

from ..utils import digest

Options = tuple[tuple[str, object], ...]


@dataclass(frozen=True)
class Key:
    """What a stored value depends on; subclasses are frozen dataclasses whose fields are coerced to their annotation.

    Allowed annotations: str, bool, int, float, None, unions and tuples of them, and `object` for an option's value,
    where every number counts as a float. Anything else raises TypeError.
    """

    kind: ClassVar[str] = "value"

    def __post_init__(self):
        hints = get_type_hints(type(self))
        for field in fields(self):
            where = f"{type(self).__name__}.{field.name}"
            object.__setattr__(self, field.name, _coerce(hints[field.name], getattr(self, field.name), where))

    def label(self) -> str:
        """What a person would call the value; the start of its file name."""
        return type(self).__name__


@dataclass(frozen=True)
class ActivationKey(Key):
    """A model's answers to a set of stimuli, reduced to time bins."""

    kind: ClassVar[str] = "activations"
    model: str
    model_digest: str
    layers: tuple[str, ...]
    stimuli_digest: str
    bins_ms: tuple[tuple[float, float], ...]
    partial: bool
    mode: str
    context_ms: float
    precision: str
    n_components: int | None
    fps: float
    version: int = 1

    def label(self) -> str:
        return f"{self.model}-{self.mode}"


@dataclass(frozen=True)
class CeilingKey(Key):
    """How reliable the responses of one dataset are."""

    kind: ClassVar[str] = "ceiling"
    dataset: str
    data_digest: str
    splits: int
    seed: int
    version: int = 1

    def label(self) -> str:
        return self.dataset


@dataclass(frozen=True)
class ScoreKey(Key):
    """One model scored on one or several datasets; `activations` and `data` hold digests, `options` sorts itself."""

    kind: ClassVar[str] = "score"
    benchmark: str
    model: str
    datasets: tuple[str, ...]
    activations: tuple[str, ...]
    data: tuple[str, ...]
    options: Options
    version: int = 2

    def __post_init__(self):
        super().__post_init__()
        names = [name for name, _ in self.options]
        if len(set(names)) < len(names):
            raise TypeError(f"ScoreKey.options: got {names}; expected every option once")
        object.__setattr__(self, "options", tuple(sorted(self.options, key=operator.itemgetter(0))))

    def label(self) -> str:
        return "-".join([self.benchmark, self.model, "+".join(self.datasets)])


def key_content(key: Key) -> dict:
    """The key as JSON-able plain data: {"class": name, "fields": {name: value}}."""
    return {"class": type(key).__name__, "fields": {f.name: _listed(getattr(key, f.name)) for f in fields(key)}}


def key_digest(key: Key) -> str:
    """SHA-256 (64 hex digits) of the key's sorted JSON with its class name: one name for one key in every process."""
    return digest(key_content(key))


def key_name(key: Key) -> str:
    """The readable start of a file name and 16 digits of the key's digest."""
    return readable(key.label()) + "-" + key_digest(key)[:16]


def readable(text: str, limit: int = 80) -> str:
    """`text` with everything but letters, digits and ".+-" replaced by "_", at most `limit` characters long."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", text)[:limit].strip(".") or "_"


def _listed(value):
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


def _coerce(hint, value, where: str):
    """`value` as the annotation `hint` wants it, so that 4000 and 4000.0 are one float and 1 is no bool."""
    if get_origin(hint) in (Union, UnionType):
        return None if value is None else _coerce(_not_none(hint), value, where)
    if get_origin(hint) is tuple:
        return _coerce_tuple(get_args(hint), value, where)
    convert = CONVERTERS.get(hint)
    if convert is None:
        raise TypeError(f"{where}: a key cannot hold {hint}")
    try:
        return convert(value)
    except (TypeError, ValueError) as error:
        wanted = getattr(hint, "__name__", hint)
        raise TypeError(f"{where}: got {value!r}; expected {wanted if hint is not object else 'plain data'}") from error


def _not_none(hint):
    (only,) = [argument for argument in get_args(hint) if argument is not NoneType]
    return only


def _coerce_tuple(arguments: tuple, value, where: str) -> tuple:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise TypeError(f"{where}: got {value!r}; expected a sequence")
    items = tuple(value)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_coerce(arguments[0], item, where) for item in items)
    if len(items) != len(arguments):
        raise TypeError(f"{where}: got {items!r}; expected {len(arguments)} items")
    return tuple(_coerce(hint, item, where) for hint, item in zip(arguments, items, strict=True))


def _text(value) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return str(value)


def _truth(value) -> bool:
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError("not a truth value")
    return bool(value)


def _whole(value) -> int:
    if type(value).__name__ in ("bool", "bool_"):
        raise TypeError("a truth value is no number")
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return operator.index(value)


def _number(value) -> float:
    if isinstance(value, str) or type(value).__name__ in ("bool", "bool_"):
        raise TypeError("not a number")
    number = float(value)
    if number != number:
        raise ValueError("not a number")
    return number + 0.0


def _option(value):
    """An option's value as plain data: numbers as floats (whole ones beyond 2**53 stay whole), sequences as tuples."""
    if value is None or isinstance(value, str):
        return value
    if type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    if isinstance(value, list | tuple):
        return tuple(_option(item) for item in value)
    if isinstance(value, int) and abs(value) > 2**53:
        return value
    return _number(value)


CONVERTERS: dict[Any, Callable] = {
    str: _text,
    bool: _truth,
    int: _whole,
    float: _number,
    object: _option,
}
