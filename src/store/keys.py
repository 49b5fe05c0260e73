"""Typed keys of stored values, and the digests, identifiers and file names that follow from them."""

import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from types import NoneType, UnionType
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

from ..files import safe_name
from ..stages import STAGES, sources
from ..utils import digest

PREFIX = "dynamic_vision."
Options = tuple[tuple[str, object], ...]


@dataclass(frozen=True)
class Key:
    """All inputs of a stored value, as a frozen dataclass whose fields are converted to their annotations.

    Allowed annotations are str, bool, int, float, None, tuples and unions of these, and `object` for the value of an
    option, where a number is stored as float.

    Attributes
    ----------
    kind : str
        The class of values, a part of their identifier ("score", "ceiling", "activations").
    stage : str
        The stage of the computation that makes them, one of `stages.STAGES`; "" for none.

    Raises
    ------
    TypeError
        If a field has another annotation, or a value that does not convert to its annotation without loss.

    Examples
    --------
    >>> CeilingKey(("fake-fmri",), ("0" * 64,), splits=10.0, seed=1).splits
    10
    >>> CeilingKey(("fake-fmri",), ("0" * 64,), splits=True, seed=1)
    Traceback (most recent call last):
    TypeError: CeilingKey.splits: got True; expected int
    """

    kind: ClassVar[str] = "value"
    stage: ClassVar[str] = ""

    def __post_init__(self):
        hints = get_type_hints(type(self))
        for field in fields(self):
            where = f"{type(self).__name__}.{field.name}"
            object.__setattr__(self, field.name, _convert(hints[field.name], getattr(self, field.name), where))

    def label(self) -> str:
        """Return the readable start of the file name."""
        return type(self).__name__


@dataclass(frozen=True)
class ActivationKey(Key):
    """Inputs of the activations of one model to one set of stimuli, averaged within time bins.

    Attributes
    ----------
    model : str
    model_digest : str
        SHA-256 of the weights and the computation.
    layers : tuple of str
    stimuli_digest : str
    bins_ms : tuple of (float, float)
        Time bins in ms from the first frame, half-open.
    partial : bool
        True if a bin counts that the stimulus covers in part.
    mode : str
        "block", "causal" or, for a model of single frames, "frames".
    context_ms : float
        Length of the model's time window in ms, 0 for a model of single frames.
    precision : str
        "fp32", "tf32", "bf16" or "fp16".
    n_components : int or None
        Number of outputs of the random projection per layer and bin; None: no projection.
    fps : float
        Frame rate of the model's input in Hz.
    step_times : str
        "centres" if a video model's steps count at their measured times, "even" if they are spread evenly.
    version : int
        Version of the computation.
    """

    kind: ClassVar[str] = "activations"
    stage: ClassVar[str] = "activations"
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
    step_times: str = "even"
    version: int = 4

    def label(self) -> str:
        """Return the readable start of the file name."""
        return f"{self.model}-{self.mode}"


@dataclass(frozen=True)
class CeilingKey(Key):
    """Inputs of the split-half reliability of the recordings of one dataset, or of several in a joint regression.

    Attributes
    ----------
    datasets : tuple of str
    data : tuple of str
        Digests of the data, one per dataset.
    splits : int
        Number of splits.
    seed : int
        Seed of the halves.
    runs : str
        Treatment of the runs before they are averaged.
    windows : str
        Digest of the test rows within which the halves are compared; empty: all rows.
    version : int
        Version of the computation.
    """

    kind: ClassVar[str] = "ceiling"
    stage: ClassVar[str] = "ceiling"
    datasets: tuple[str, ...]
    data: tuple[str, ...]
    splits: int
    seed: int
    runs: str = ""
    windows: str = ""
    version: int = 3

    def label(self) -> str:
        """Return the readable start of the file name."""
        return "+".join(self.datasets)


@dataclass(frozen=True)
class ScoreKey(Key):
    """Inputs of the score of one model on one dataset, or on several in a joint regression.

    Attributes
    ----------
    benchmark : str
        "fmri", "electrodes", "task" or "behaviour".
    model : str
    datasets : tuple of str
    activations : tuple of str
        Digests of the keys of the activations.
    data : tuple of str
        Digests of the data, one per dataset.
    options : tuple of (str, object)
        Options of the evaluation by name, each once; sorted by name.
    version : int
        Version of the computation.
    """

    kind: ClassVar[str] = "score"
    stage: ClassVar[str] = "score"
    benchmark: str
    model: str
    datasets: tuple[str, ...]
    activations: tuple[str, ...]
    data: tuple[str, ...]
    options: Options
    version: int = 10

    def __post_init__(self):
        super().__post_init__()
        names = [name for name, _ in self.options]
        if len(set(names)) < len(names):
            raise TypeError(f"ScoreKey.options: got {names}; expected every option once")
        object.__setattr__(self, "options", tuple(sorted(self.options, key=operator.itemgetter(0))))

    def label(self) -> str:
        """Return the readable start of the file name."""
        return "-".join([self.benchmark, self.model, "+".join(self.datasets)])


@dataclass(frozen=True)
class StatisticsKey(ScoreKey):
    """Inputs of the statistics that a bootstrap of a score needs: those of the score, without the bootstrap's own."""

    kind: ClassVar[str] = "statistics"


KEYS = {key.__name__: key for key in (ActivationKey, CeilingKey, ScoreKey, StatisticsKey)}


def key_content(key: Key) -> dict:
    """Return the key as JSON-able data: {"class": name, "fields": {name: value}}."""
    return {"class": type(key).__name__, "fields": {f.name: _to_lists(getattr(key, f.name)) for f in fields(key)}}


def without_options(fields: Mapping, names: Collection[str]) -> dict:
    """Return the fields of a score's key, as `key_content` has them, without some of its options."""
    return {**fields, "options": [option for option in fields["options"] if option[0] not in names]}


def key_manifest(key: Key) -> dict:
    """Return the fields of a manifest that identify the key: class, key and digest."""
    content = key_content(key)
    return {"class": content["class"], "key": content["fields"], "digest": digest(content)}


def key_digest(key: Key) -> str:
    """Return the digest of a key; equal keys have equal digests in every process.

    Parameters
    ----------
    key : Key

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits, of the sorted JSON of the class name and the fields.

    Examples
    --------
    >>> key_digest(CeilingKey(("fake-fmri",), ("0" * 64,), splits=10, seed=1))[:16]
    '5eeac55ea3569f89'
    """
    return digest(key_content(key))


def key_name(key: Key) -> str:
    """Return the file name of a key without suffix.

    Parameters
    ----------
    key : Key

    Returns
    -------
    str
        The readable label of the key, at most 80 characters, and the first 16 digits of its digest.

    Examples
    --------
    >>> key_name(CeilingKey(("fake-fmri",), ("0" * 64,), splits=10, seed=1))
    'fake-fmri-5eeac55ea3569f89'
    """
    return safe_name(key.label()) + "-" + key_digest(key)[:16]


def stage_of(key: Key) -> dict[str, list]:
    """Return the stage of a key's values with the digest of its present sources, {} for values without a stage."""
    return sources(key.stage) if key.stage in STAGES else {}


def identifier(key: Key) -> str:
    """Return the identifier of a key, as result_caching's variables match it: `dynamic_vision.<kind>/<name>`."""
    return f"{PREFIX}{key.kind}/{key_name(key)}"


def _to_lists(value):
    return [_to_lists(item) for item in value] if isinstance(value, tuple) else value


def _convert(hint, value, where: str):
    """Return `value` as the annotation `hint`, so that 4000 and 4000.0 are one float and 1 is not a bool."""
    if get_origin(hint) in (Union, UnionType):
        return None if value is None else _convert(_not_none(hint), value, where)
    if get_origin(hint) is tuple:
        return _convert_tuple(get_args(hint), value, where)
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


def _convert_tuple(arguments: tuple, value, where: str) -> tuple:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise TypeError(f"{where}: got {value!r}; expected a sequence")
    items = tuple(value)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_convert(arguments[0], item, where) for item in items)
    if len(items) != len(arguments):
        raise TypeError(f"{where}: got {items!r}; expected {len(arguments)} items")
    return tuple(_convert(hint, item, where) for hint, item in zip(arguments, items, strict=True))


def _is_bool(value) -> bool:
    return type(value).__name__ in ("bool", "bool_")


def _to_str(value) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return str(value)


def _to_bool(value) -> bool:
    if not _is_bool(value):
        raise TypeError("not a bool")
    return bool(value)


def _to_int(value) -> int:
    if _is_bool(value):
        raise TypeError("a bool is not a number")
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return operator.index(value)


def _to_float(value) -> float:
    if isinstance(value, str) or _is_bool(value):
        raise TypeError("not a number")
    number = float(value)
    if number != number:
        raise ValueError("not a number")
    return number + 0.0


def _to_option(value):
    """Return the value of an option as plain data: numbers as floats, integers beyond 2**53 kept, lists as tuples."""
    if value is None or isinstance(value, str):
        return value
    if _is_bool(value):
        return bool(value)
    if isinstance(value, list | tuple):
        return tuple(_to_option(item) for item in value)
    if isinstance(value, int) and abs(value) > 2**53:
        return value
    return _to_float(value)


CONVERTERS: dict[Any, Callable] = {
    str: _to_str,
    bool: _to_bool,
    int: _to_int,
    float: _to_float,
    object: _to_option,
}
