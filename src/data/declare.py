"""Declarations of datasets: one frozen object per name, with the facts that a test compares with the data.

Every property of a dataset that an evaluation depends on is a field here; no other module compares dataset names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from .release import Need, Release


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Declaration of a dataset: identity, terms, files, and the function that returns its record.

    A dataset has either `load` (embedded or custom data) or `read` (a public release).

    Parameters
    ----------
    name : str
        Unique over all benchmarks.
    study : str
        Folder of the dataset under DATA_HOME; datasets of one study share it.
    citation, licence : str
        Reference and terms of use.
    access : str
        Way in which a user gets the files: "embedded", "rendered", "download", "registration" or "on request".
    source : str
        Address or owner of the files.
    load : callable, optional
        Folder DATA_HOME/<study> -> record (`Responses`, `Labels` or `Choices`); renders the files on first use.
    read : callable, optional
        `Release` -> record, which is stored as prepared data.
    needs : tuple of Need, default ()
        Files of the release.
    options : mapping of str to tuple of str, default {}
        Options of the preparation: {option: allowed values, the default first}.
    note : str, default ""
        Remark that is printed with the dataset.
    expected : mapping of str to int, default {}
        Counts of the record of a whole release, by the names that `counts` returns.
    version : int, default 1
        Version of `read`, to be raised when its result changes: prepared data of another version are outdated.
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
    version: int = 1


@dataclass(frozen=True, kw_only=True)
class Fmri(Dataset):
    """fMRI dataset, whose record is a `Responses`.

    Parameters
    ----------
    tr_ms : float, default 1000.0
        Repetition time, in ms; stated for the reader, since the time bins are those of the record.
    lag : bool, default True
        Whether responses lag the film by a haemodynamic response; False for one beta per clip.
    row_weight : float, default 1.0
        Weight of a row in a regression over several datasets: the number of film bins that the row represents.
    high_passed : bool, default False
        Whether the release removed slow drift from the responses to films, so that it is not removed again.

    Examples
    --------
    >>> terms = {"citation": "in preparation", "licence": "CC0", "access": "on request", "source": "our laboratory"}
    >>> declared = Fmri(name="films", study="films", load=lambda folder: ..., expected={"subjects": 12}, **terms)
    >>> declared.lag, declared.row_weight
    (True, 1.0)
    """

    tr_ms: float = 1000.0
    lag: bool = True
    row_weight: float = 1.0
    high_passed: bool = False


@dataclass(frozen=True, kw_only=True)
class Electrodes(Dataset):
    """Electrophysiology dataset, whose record is a `Responses`.

    Parameters
    ----------
    fit : {"stimuli", "per unit"}, default "stimuli"
        One regression over all stimuli, or one regression per unit over the clips of the film that the unit saw.
    clip_ms : float, default 5000.0
        Length of these clips, in ms; only with fit "per unit".
    """

    fit: Literal["stimuli", "per unit"] = "stimuli"
    clip_ms: float = 5000.0


@dataclass(frozen=True, kw_only=True)
class Task(Dataset):
    """Task with labelled stimuli, whose record is a `Labels`.

    Parameters
    ----------
    decoder : {"logistic", "ridge"}, default "logistic"
        Decoder of the labels: classes or regression targets.
    metric : {"accuracy", "pearson"}, default "accuracy"
        Score of the decoded labels.
    limit_ms : float, optional
        Time after stimulus onset from which activations are left out, in ms.
    static : bool, default False
        Whether the stimuli are images that an image model receives once rather than as a still film.
    """

    decoder: Literal["logistic", "ridge"] = "logistic"
    metric: Literal["accuracy", "pearson"] = "accuracy"
    limit_ms: float | None = None
    static: bool = False


@dataclass(frozen=True, kw_only=True)
class Behaviour(Dataset):
    """Human behaviour in a recognition task, whose record is a `Choices`.

    Parameters
    ----------
    metric : {"O2", "I2n"}, default "O2"
        Pattern of performance in which model and subjects are compared.
    static : bool, default False
        Whether the stimuli are images that an image model receives once rather than as a still film.
    """

    metric: Literal["O2", "I2n"] = "O2"
    static: bool = False


def counts(record: Any) -> dict[str, int]:
    """Return the counts of a record that `Dataset.expected` may state.

    Parameters
    ----------
    record : Responses, Labels or Choices

    Returns
    -------
    dict of str to int
        "stimuli" and, where the record has them, "repetitions", "subjects", "bins", "units" (responses), "labels",
        "classes" (labels), "trials", "classes", "subjects" and "fitting" stimuli (choices).
    """
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


def as_json(declared: Dataset) -> dict[str, Any]:
    """Return the type and the plain fields of a declaration, without its functions and files."""
    plain = {f.name: getattr(declared, f.name) for f in fields(declared)}
    return {"type": type(declared).__name__} | {
        k: v for k, v in plain.items() if isinstance(v, str | bool | int | float)
    }


def from_json(content: Mapping[str, Any]) -> Dataset:
    """Return the declaration that `as_json` described; it has every trait, but neither `load` nor `read`."""
    content = dict(content)
    return {kind.__name__: kind for kind in (Fmri, Electrodes, Task, Behaviour)}[content.pop("type")](**content)
