"""Records of numpy arrays, frozen and checked when made: stimuli, responses, labels, choices, activations, evaluations.

Times are float64 milliseconds in half-open bins; 0 is the first frame of the stimulus file. Ids are strings. Values are
float32 unless stated otherwise. A table is a dict of equally long lists or arrays, one entry per item. Ids, classes and
tables are brought into plain types when a record is made, see `columns`.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from .columns import Table, column, is_missing, numbered, plain, table, texts
from .utils import BadInput, array_digest, digest, first_names
from .watch import digest_once

NO_REGION = "no region"


_FAULTS: ContextVar[list[str] | None] = ContextVar("faults", default=None)


@contextmanager
def collected_faults() -> Iterator[list[str]]:
    """Collect the faults of all records that are made in the context, instead of raising the first one.

    Such records cannot be scored: any error that follows a fault may be due to it.
    """
    faults: list[str] = []
    token = _FAULTS.set(faults)
    try:
        yield faults
    finally:
        _FAULTS.reset(token)


def _check(condition: bool, message: str) -> None:
    if condition:
        return
    faults = _FAULTS.get()
    if faults is None:
        raise BadInput(message)
    faults.append(message)


def _check_table(owner: str, name: str, columns: Table, length: int) -> None:
    for title, values in columns.items():
        _check(len(values) == length, f"{owner}: column '{title}' of {name} has {len(values)} rows; expected {length}")


def _set(record: object, **values) -> None:
    for name, value in values.items():
        object.__setattr__(record, name, value)


def _table(owner: str, name: str, columns: Table, length: int) -> dict[str, Sequence]:
    """Return a table in the types of `columns`; BadInput for a column of another length."""
    _check_table(owner, name, columns, length)
    return table(f"{owner}: {name}", columns)


def _notes(notes: Mapping) -> dict:
    return {str(name): plain(value) for name, value in notes.items()}


def _recorded(owner: str, values: np.ndarray) -> np.ndarray:
    """Return responses as an array of numbers, NaN where nothing was recorded."""
    values = np.ma.filled(values.astype(np.float32), np.nan) if isinstance(values, np.ma.MaskedArray) else values
    values = np.asanyarray(values)
    if values.dtype.kind in "Ob":
        try:
            values = values.astype(np.float32)
        except (TypeError, ValueError) as error:
            raise BadInput(f"{owner}: responses are not numbers ({error}); expected numbers, NaN for none") from error
    _check(
        values.dtype.kind in "fiu",
        f"{owner}: responses are of type {values.dtype}; expected real numbers, NaN where nothing was recorded",
    )
    return values


def _labels(owner: str, values: np.ndarray) -> np.ndarray:
    """Return labels as numbers or text; truth values and mixed types are classes, their names text, "" for none."""
    values = values if isinstance(values, np.ndarray) else np.asarray(values, dtype=object)
    values = np.asarray(values.tolist(), dtype=object) if isinstance(values, np.ma.MaskedArray) else values
    if values.dtype.kind in "Ufiu" or values.ndim != 2:
        return values.astype(np.float64) if values.dtype.kind == "f" else values
    if values.dtype.kind == "b":
        return values.astype(str)
    columns = [column(f"{owner}: labels", of_label) for of_label in values.T]
    kinds = {of_label.dtype.kind for of_label in columns}
    if kinds & set("Ub"):
        columns = [of_label.astype(str) for of_label in columns]
    return np.stack(columns, axis=1)


def _check_bins(owner: str, time_ms: np.ndarray) -> None:
    _check(time_ms.ndim == 2 and time_ms.shape[1] == 2, f"{owner}: time_ms has shape {time_ms.shape}; expected (n, 2)")
    _check(bool(np.isfinite(time_ms).all()), f"{owner}: time bins without start or end; expected numbers in ms")
    width = time_ms[:, 1] - time_ms[:, 0]
    ordered = bool(np.all(np.diff(time_ms[:, 0]) > 0)) and bool(np.all(width > 0))
    _check(ordered, f"{owner}: time bins do not increase; expected half-open bins in ms in their order")
    _check(
        bool((time_ms[:, 0] > -1e-6).all()),
        f"{owner}: time bins start at {time_ms.min():g} ms, before the stimulus; expected 0 or later: drop these bins",
    )
    _check(np.allclose(width, width[0]), f"{owner}: time bins of unequal width; expected one width")


@dataclass(frozen=True)
class Stimuli:
    """Films and images.

    Parameters
    ----------
    name : str
        Name for messages.
    ids : tuple of str, (n_stimuli,)
        Unique.
    paths : tuple of Path, (n_stimuli,)
        Existing files.
    duration_ms : array, (n_stimuli,)
        Duration in ms; of an image, the time for which it is shown.
    kind : tuple of {"image", "video"}, (n_stimuli,)
    table : dict of str to sequence (n_stimuli,)
        Metadata of the stimuli.
    start_ms : array, (n_stimuli,), optional
        For a video that is a piece of its file: start of the piece in the file, in ms; the last frame of the file is
        held where the file ends before the piece. NaN: the whole file.

    Raises
    ------
    BadInput
        For repeated ids, missing files and columns of unequal length.
    """

    name: str
    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    duration_ms: np.ndarray
    kind: tuple[Literal["image", "video"], ...]
    table: Table = field(default_factory=dict)
    start_ms: np.ndarray | None = None

    def __post_init__(self):
        ids = texts(f"{self.name}: stimulus ids", self.ids)
        _set(self, ids=ids, paths=tuple(map(Path, self.paths)), kind=tuple(map(str, self.kind)))
        _set(self, duration_ms=np.asarray(self.duration_ms, dtype=np.float64))
        n = len(self.ids)
        _check(n > 0, f"{self.name}: no stimuli; expected at least one")
        doubled = sorted({i for i in self.ids if self.ids.count(i) > 1}) if len(set(self.ids)) < n else []
        _check(not doubled, f"{self.name}: stimulus ids repeated: {first_names(doubled)}; expected unique ids")
        sizes = (len(self.paths), len(self.duration_ms), len(self.kind))
        _check(sizes == (n, n, n), f"{self.name}: {n} ids but {sizes} paths, durations, kinds; expected equal lengths")
        missing = [str(p) for p in self.paths if not Path(p).is_file()]
        _check(
            not missing,
            f"{self.name}: {len(missing)} of {n} stimulus files are missing: {first_names(missing, 3)}; "
            f"put them there or point DATA_HOME at the folder that holds them",
        )
        unknown = sorted(set(self.kind) - {"image", "video"})
        _check(not unknown, f"{self.name}: stimuli of kind {first_names(unknown)}; expected image or video")
        _set(self, table=_table(self.name, "the stimulus table", self.table, n))
        starts = self.start_ms is None or len(self.start_ms) == n
        _check(starts, f"{self.name}: {n} ids but start_ms of another length; expected equal lengths")

    def __len__(self) -> int:
        return len(self.ids)

    def piece_ms(self, index: int) -> tuple[float, float] | None:
        """Return (start, duration) in ms of a video that is a piece of its file, else None."""
        if self.start_ms is None or self.kind[index] == "image" or np.isnan(self.start_ms[index]):
            return None
        return float(self.start_ms[index]), float(self.duration_ms[index])

    @cached_property
    def digest(self) -> str:
        """SHA-256 over ids, kinds, file contents, durations of images and pieces of files; independent of paths."""
        shown = [float(ms) if kind == "image" else None for ms, kind in zip(self.duration_ms, self.kind, strict=True)]
        rows = [[*row] for row in zip(self.ids, self.kind, self._files, shown, strict=True)]
        return digest([row + list(self.piece_ms(k) or ()) for k, row in enumerate(rows)])

    @property
    def contents(self) -> tuple[Hashable, ...]:
        """Content of each stimulus: digest of its file, and piece of it; equal for copies under other names."""
        return tuple((file, self.piece_ms(k)) for k, file in enumerate(self._files))

    @cached_property
    def _files(self) -> tuple[str, ...]:
        """Digest of each stimulus' file."""
        content = {path: digest_once(path) for path in set(self.paths)}
        return tuple(content[path] for path in self.paths)


@dataclass(frozen=True)
class Responses:
    """Recordings: responses of units (neurons, electrodes, voxels, vertices) to stimuli.

    Parameters
    ----------
    stimuli : Stimuli
    values : array, (n_stimuli, n_repetitions, n_time, n_units)
        NaN where nothing was recorded.
    time_ms : array, (n_time, 2)
        Start and end of every bin from the onset of the stimulus, in ms; increasing, of one width.
    units : dict of str to sequence (n_units,)
        Table with the column `unit_id`; "region" gives a score per region.
    subjects : tuple of str, (n_repetitions,)
        The subject of each repetition; a subject may have several.
    notes : dict
        Exclusions and decisions of the reader, {name: number or text}; printed with every score.

    Raises
    ------
    BadInput
        For shapes that do not agree, bins of unequal width, and units without any value.
    """

    stimuli: Stimuli
    values: np.ndarray
    time_ms: np.ndarray
    units: Table
    subjects: tuple[str, ...]
    notes: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self):
        name = self.stimuli.name
        _check("unit_id" in self.units, f"{name}: the unit table has no column unit_id; expected one id per unit")
        _set(self, values=_recorded(name, self.values), time_ms=np.asarray(self.time_ms, dtype=np.float64))
        _set(self, subjects=texts(f"{name}: subjects", self.subjects), notes=_notes(self.notes))
        shape = (len(self.stimuli), len(self.subjects), len(self.time_ms), len(self.units["unit_id"]))
        _check(self.values.shape == shape, f"{name}: responses of shape {self.values.shape}; expected {shape}")
        _check_bins(name, self.time_ms)
        self._set_units(name, shape[3])
        # one repetition at a time: no mask of all of them
        empty = np.all([np.isnan(self.values[:, k]).all(axis=(0, 1)) for k in range(shape[1])], axis=0)
        units = first_names(np.asarray(self.units["unit_id"])[empty])
        _check(
            not empty.any(), f"{name}: {empty.sum()} units were never recorded ({units}); remove them from the dataset"
        )

    def _set_units(self, name: str, n: int) -> None:
        """Bring the unit table into plain types; repeated unit ids are numbered, which a note says."""
        texts(f"{name}: unit ids", self.units["unit_id"])
        units = _table(name, "the unit table", self.units, n)
        ids, doubled = numbered(np.asarray(units["unit_id"]).tolist())
        if doubled:
            units["unit_id"] = ids
            _set(self, notes={**self.notes, "unit ids that were repeated, numbered": first_names(doubled)})
        if "region" in units:
            regions = np.asarray(units["region"])
            if regions.dtype.kind == "U" and (regions == "").any():
                units["region"] = np.where(regions == "", NO_REGION, regions)
        _set(self, units=units)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over values, bins, unit ids and subjects."""
        parts = [array_digest(self.values), array_digest(self.time_ms), list(self.subjects)]
        return digest([*parts, array_digest(np.asarray(self.units["unit_id"]))])


@dataclass(frozen=True)
class Labels:
    """Labels of stimuli: classes or regression targets.

    Parameters
    ----------
    stimuli : Stimuli
    values : array, (n_stimuli, n_labels)
        Strings are classes, float64 are regression targets.
    names : tuple of str, (n_labels,)
    strata : array, (n_stimuli,), optional
        Values of which every split keeps equal shares.
    groups : array, (n_stimuli,), optional
        Stimuli of one group are never separated by a split.
    notes : dict
        As in `Responses`.

    Raises
    ------
    BadInput
        For shapes that do not agree, stimuli without a label, and constant labels.
    """

    stimuli: Stimuli
    values: np.ndarray
    names: tuple[str, ...]
    strata: np.ndarray | None = None
    groups: np.ndarray | None = None
    notes: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self):
        name, n = self.stimuli.name, len(self.stimuli)
        _set(self, values=_labels(name, self.values), names=texts(f"{name}: names of labels", self.names))
        _set(self, notes=_notes(self.notes))
        expected = (n, len(self.names))
        _check(self.values.shape == expected, f"{name}: labels of shape {self.values.shape}; expected {expected}")
        if self.values.dtype.kind == "f":
            missing = ~np.isfinite(self.values).all(axis=1)
            constant = [label for label, v in zip(self.names, self.values.T, strict=True) if np.ptp(v) == 0]
        else:
            missing = np.array([any(v in ("", None, "nan") for v in row) for row in self.values.tolist()])
            constant = [label for label, v in zip(self.names, self.values.T, strict=True) if len(set(v)) < 2]
        unlabelled = first_names(np.asarray(self.stimuli.ids)[missing])
        _check(not missing.any(), f"{name}: {missing.sum()} stimuli have no label ({unlabelled}); label or drop them")
        _check(not constant, f"{name}: label '{', '.join(constant)}' is constant; expected at least two values")
        for what, values in (("strata", self.strata), ("groups", self.groups)):
            _check(values is None or len(values) == n, f"{name}: {what} have the wrong length; expected {n}")
            missing = [] if values is None else [k for k, value in enumerate(values) if is_missing(value)]
            which = first_names(np.asarray(self.stimuli.ids)[missing])
            _check(not missing, f"{name}: {what} have none for {len(missing)} stimuli ({which}); state one for each")
            _set(self, **{what: None if values is None else column(f"{name}: {what}", values)})

    @cached_property
    def digest(self) -> str:
        """SHA-256 over values, names, strata and groups."""
        extra = [None if column is None else array_digest(np.asarray(column)) for column in (self.strata, self.groups)]
        return digest([array_digest(self.values), list(self.names), extra])


def _trials(owner: str, trials: Table) -> dict:
    """Return trials whose ids and classes are text, and other columns plain."""
    names = ("stimulus_id", "truth", "choice", "distractor")
    found = table(f"{owner}: the trials", {k: v for k, v in trials.items() if k not in names})
    as_text = {k: texts(f"{owner}: {k} of the trials", v) for k, v in trials.items() if k in names}
    return {k: np.array(v) if isinstance(trials[k], np.ndarray) else list(v) for k, v in as_text.items()} | found


def _as_classes(labels: "Labels | None") -> "Labels | None":
    """Return the labels of fitting stimuli as text."""
    if labels is None or labels.values.dtype.kind == "U":
        return labels
    values = [texts(f"{labels.stimuli.name}: classes", of_label) for of_label in labels.values.T]
    return replace(labels, values=np.array(values, dtype=str).T)


@dataclass(frozen=True)
class Choices:
    """Choices of human subjects.

    Parameters
    ----------
    stimuli : Stimuli
        The stimuli that were shown.
    trials : dict of str to sequence (n_trials,)
        Table with the columns stimulus_id, truth, choice, subject and, in tasks with two alternatives, distractor.
    classes : tuple of str
        The alternatives.
    fitting : Labels or None
        Labelled stimuli on which a model's read-out is fitted; None: it is fitted out of fold on the shown stimuli.
    notes : dict
        As in `Responses`.

    Raises
    ------
    BadInput
        For trials of unknown stimuli or classes, and for fitting stimuli that do not cover the classes.
    """

    stimuli: Stimuli
    trials: Table
    classes: tuple[str, ...]
    fitting: Labels | None
    notes: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self):
        name = self.stimuli.name
        absent = [column for column in ("stimulus_id", "truth", "choice", "subject") if column not in self.trials]
        _check(not absent, f"{name}: the trials have no column {', '.join(absent)}; expected one entry per trial")
        n = len(self.trials["stimulus_id"])
        _check_table(name, "the trials", self.trials, n)
        _set(self, trials=_trials(name, self.trials), classes=texts(f"{name}: classes", self.classes))
        _set(self, notes=_notes(self.notes), fitting=_as_classes(self.fitting))
        strangers = sorted(set(self.trials["stimulus_id"]) - set(self.stimuli.ids))
        _check(not strangers, f"{name}: trials of stimuli that do not exist ({first_names(strangers)}); remove them")
        for title in ("truth", "choice", *(["distractor"] if "distractor" in self.trials else [])):
            wrong = sorted(set(self.trials[title]) - set(self.classes))
            known = first_names(self.classes, 10)
            _check(not wrong, f"{name}: {title} '{first_names(wrong)}' is not a class; expected one of {known}")
        if self.fitting is not None:
            uncovered = sorted(set(self.classes) - set(self.fitting.values[:, 0]))
            _check(
                not uncovered,
                f"{name}: the fitting stimuli do not cover the classes {first_names(uncovered)}; "
                f"expected every one of the {len(self.classes)}; add fitting stimuli",
            )

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the trials, the classes and the fitting labels and stimuli."""
        columns = {column: list(map(str, values)) for column, values in self.trials.items()}
        fitting = None if self.fitting is None else [self.fitting.digest, self.fitting.stimuli.digest]
        return digest([columns, list(self.classes), fitting])


@dataclass(frozen=True)
class Activations:
    """Activations of the layers of a model to stimuli, in time bins.

    Parameters
    ----------
    layers : dict of str to array (n_stimuli, n_time, n_features)
        float32, memory-mapped where they are stored.
    time_ms : array, (n_time, 2)
        Start and end of every bin, in ms.
    n_valid : array, (n_stimuli,)
        Number of leading bins that each stimulus covers.
    ids : tuple of str, (n_stimuli,)
        Ids of the stimuli.

    Raises
    ------
    BadInput
        For a layer whose shape does not agree with ids and bins.
    """

    layers: Mapping[str, np.ndarray]
    time_ms: np.ndarray
    n_valid: np.ndarray
    ids: tuple[str, ...]

    def __post_init__(self):
        expected = (len(self.ids), len(self.time_ms))
        for layer, values in self.layers.items():
            _check(
                values.shape[:2] == expected,
                f"activations of layer {layer} have shape {values.shape}; expected {expected} stimuli x bins",
            )


@dataclass(frozen=True)
class Evaluation:
    """Validation and test scores of every layer, target and split.

    Parameters
    ----------
    layers : tuple of str, (n_layers,)
    targets : dict of str to sequence (n_targets,)
        Table with the column `target_id`.
    valid, test : array, (n_layers, n_targets, n_splits)
        NaN where a score is undefined.
    metric : str
    ceiling : array, (n_targets,), optional
    notes : dict
        Counts of the evaluation, {name: number or text}: rows dropped, training share, ...
    resampling : Resampling, optional
        Input of a bootstrap, see `evaluate.bootstrap_statistics`; None where no bootstrap was requested.
    extra : dict of str to array
        Arrays that are stored with the score, for figures: confusions.
    permuted : array, (n_permutations, n_targets), optional
        Split-mean test scores of permutations, of an evaluation that makes them itself.

    Raises
    ------
    BadInput
        For scores whose shape does not agree with layers and targets.
    """

    layers: tuple[str, ...]
    targets: Table
    valid: np.ndarray
    test: np.ndarray
    metric: str
    ceiling: np.ndarray | None = None
    notes: Mapping[str, object] = field(default_factory=dict)
    resampling: object | None = field(default=None, repr=False)
    extra: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    permuted: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self):
        expected = (len(self.layers), len(self.targets["target_id"]))
        for name, values in (("valid", self.valid), ("test", self.test)):
            _check(
                values.ndim == 3 and values.shape[:2] == expected,
                f"{name} scores have shape {values.shape}; expected {expected} x splits",
            )
