"""What a dataset says of itself: one frozen declaration per name, with the facts that a test compares with the data.

Everything that evaluation needs to know of a dataset is a trait here; nothing asks for a dataset by its name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .release import Need, Release


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The card of a dataset, which has either `load` or `read`.

    name: unique over all kinds. study: its folder under DATA_HOME. load: of an embedded dataset, rendered on first use:
    that folder -> record (src/records.py). read: of a public one: its release -> record, stored as prepared data.
    access: how a user gets the files ("embedded", "rendered", "download", "registration", "on request"). source: where
    they are.
    needs: the files of the release. options: {option of the preparation: its allowed values, the default first}.
    expected: {what: number} counts of the record of a whole release, see `counts`.
    """

    name: str
    study: str
    citation: str
    licence: str
    access: str
    source: str
    load: Callable[[Path], Any] | None = None
    read: Callable[[Release], Any] | None = None
    needs: tuple[Need, ...] = ()
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    note: str = ""
    expected: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Fmri(Dataset):
    """fMRI -> Responses. lag: the response lags the film (False: one beta per clip). row_weight: what a row counts."""

    tr_ms: float = 1000.0
    lag: bool = True
    row_weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Electrodes(Dataset):
    """Electrodes -> Responses. fit: one regression over the stimuli, or one per unit over the clips of its own film."""

    fit: Literal["stimuli", "per unit"] = "stimuli"
    clip_ms: float = 5000.0


@dataclass(frozen=True, kw_only=True)
class Task(Dataset):
    """A task -> Labels. limit_ms: activations from there on are left out. static: an image model sees images once."""

    decoder: Literal["logistic", "ridge"] = "logistic"
    metric: Literal["accuracy", "pearson"] = "accuracy"
    limit_ms: float | None = None
    static: bool = False


@dataclass(frozen=True, kw_only=True)
class Behaviour(Dataset):
    """Human trials -> Choices, compared by `metric`. static: an image model sees images once."""

    metric: Literal["O2", "I2n"] = "O2"
    static: bool = False


def counts(record: Any) -> dict[str, int]:
    """The numbers that a declaration's `expected` may state of a record, whichever of them it has."""
    found = {"stimuli": len(record.stimuli)}
    if hasattr(record, "units"):
        found |= {"repetitions": len(record.subjects), "subjects": len(set(record.subjects))}
        found |= {"bins": len(record.time_ms), "units": len(record.units["unit_id"])}
    if hasattr(record, "names"):
        found |= {"labels": len(record.names)}
        if record.values.dtype.kind != "f":
            found["classes"] = len(set(record.values[:, 0]))
    if hasattr(record, "trials"):
        found |= {"trials": len(record.trials["stimulus_id"]), "classes": len(record.classes)}
        found["subjects"] = len(set(record.trials["subject"]))
        found["fitting"] = 0 if record.fitting is None else len(record.fitting.stimuli)
    return found
