"""What flows through the program: frozen, checked when made, plain numpy arrays inside.

Times are float64 milliseconds in half-open bins, 0 = first frame of the stimulus file; ids are strings; values are
float32 unless said. A `table` is a dict of equally long lists or arrays, one entry per item.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from .utils import BadInput, array_digest, digest, file_digest

Table = Mapping[str, Sequence]


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise BadInput(message)


def _check_table(owner: str, name: str, table: Table, length: int) -> None:
    for column, values in table.items():
        _check(len(values) == length, f"{owner}: column '{column}' of {name} has {len(values)} rows; expected {length}")


def _check_bins(owner: str, time_ms: np.ndarray) -> None:
    _check(time_ms.ndim == 2 and time_ms.shape[1] == 2, f"{owner}: time_ms has shape {time_ms.shape}; expected (n, 2)")
    width = time_ms[:, 1] - time_ms[:, 0]
    ordered = bool(np.all(np.diff(time_ms[:, 0]) > 0)) and bool(np.all(width > 0))
    _check(ordered, f"{owner}: time bins do not increase; expected half-open bins in ms in their order")
    _check(np.allclose(width, width[0]), f"{owner}: time bins of unequal width; expected one width")


@dataclass(frozen=True)
class Stimuli:
    """Films and images, by id.

    ids: (n_stimuli,) unique; paths: (n_stimuli,) files; duration_ms: (n_stimuli,), for an image how long it is shown;
    kind: (n_stimuli,) of "image" or "video"; table: metadata, one row per stimulus; start_ms: (n_stimuli,) or None,
    where a video is a piece of its file: from there on, as long as it lasts, the file's last frame held where that ends
    before; NaN: the whole file.
    """

    name: str
    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    duration_ms: np.ndarray
    kind: tuple[Literal["image", "video"], ...]
    table: Table = field(default_factory=dict)
    start_ms: np.ndarray | None = None

    def __post_init__(self):
        n = len(self.ids)
        _check(n > 0, f"{self.name}: no stimuli; expected at least one")
        doubled = sorted({i for i in self.ids if self.ids.count(i) > 1}) if len(set(self.ids)) < n else []
        _check(not doubled, f"{self.name}: stimulus ids repeated: {', '.join(doubled[:5])}; expected unique ids")
        sizes = (len(self.paths), len(self.duration_ms), len(self.kind))
        _check(sizes == (n, n, n), f"{self.name}: {n} ids but {sizes} paths, durations, kinds; expected equal lengths")
        missing = [str(p) for p in self.paths if not Path(p).is_file()]
        _check(
            not missing,
            f"{self.name}: {len(missing)} of {n} stimulus files are missing, first {', '.join(missing[:3])}; "
            f"put them there or point DATA_HOME at the folder that holds them",
        )
        _check_table(self.name, "the stimulus table", self.table, n)
        starts = self.start_ms is None or len(self.start_ms) == n
        _check(starts, f"{self.name}: {n} ids but start_ms of another length; expected equal lengths")

    def __len__(self) -> int:
        return len(self.ids)

    def piece_ms(self, index: int) -> tuple[float, float] | None:
        """(start, duration) of a video that is a piece of its file, else None."""
        if self.start_ms is None or self.kind[index] == "image" or np.isnan(self.start_ms[index]):
            return None
        return float(self.start_ms[index]), float(self.duration_ms[index])

    @cached_property
    def digest(self) -> str:
        """SHA-256 over (id, kind, file content), how long an image is shown, which piece of a file: no path counts."""
        content = {path: file_digest(path) for path in set(self.paths)}
        shown = [float(ms) if kind == "image" else None for ms, kind in zip(self.duration_ms, self.kind, strict=True)]
        rows = [[*row] for row in zip(self.ids, self.kind, map(content.get, self.paths), shown, strict=True)]
        return digest([row + list(self.piece_ms(k) or ()) for k, row in enumerate(rows)])


@dataclass(frozen=True)
class Responses:
    """Recordings: values (n_stimuli, n_repetitions, n_time, n_units), NaN = not recorded.

    time_ms: (n_time, 2); units: table of n_units rows with `unit_id`; subjects: (n_repetitions,), whose repetition
    each one is (one subject may have several); notes: {what: how many or which} a reader left out or decided, printed
    with every score.
    """

    stimuli: Stimuli
    values: np.ndarray
    time_ms: np.ndarray
    units: Table
    subjects: tuple[str, ...]
    notes: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self):
        name = self.stimuli.name
        shape = (len(self.stimuli), len(self.subjects), len(self.time_ms), len(self.units["unit_id"]))
        _check(self.values.shape == shape, f"{name}: responses of shape {self.values.shape}; expected {shape}")
        _check_bins(name, self.time_ms)
        _check_table(name, "the unit table", self.units, shape[3])
        empty = np.isnan(self.values).all(axis=(0, 1, 2))
        units = ", ".join(str(u) for u in np.asarray(self.units["unit_id"])[empty][:5])
        _check(
            not empty.any(), f"{name}: {empty.sum()} units were never recorded ({units}); remove them from the dataset"
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 over values, bins, unit ids and subjects."""
        parts = [array_digest(self.values), array_digest(self.time_ms), list(self.subjects)]
        return digest([*parts, array_digest(np.asarray(self.units["unit_id"]))])


@dataclass(frozen=True)
class Labels:
    """What each stimulus is: values (n_stimuli, n_labels), strings for classes or float64 for regression targets.

    names: (n_labels,); strata: (n_stimuli,) kept in equal shares by every split, or None; groups: (n_stimuli,) never
    parted by a split, or None; notes: as in Responses.
    """

    stimuli: Stimuli
    values: np.ndarray
    names: tuple[str, ...]
    strata: np.ndarray | None = None
    groups: np.ndarray | None = None
    notes: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self):
        name, n = self.stimuli.name, len(self.stimuli)
        expected = (n, len(self.names))
        _check(self.values.shape == expected, f"{name}: labels of shape {self.values.shape}; expected {expected}")
        if self.values.dtype.kind == "f":
            missing = ~np.isfinite(self.values).all(axis=1)
            constant = [label for label, v in zip(self.names, self.values.T, strict=True) if np.ptp(v) == 0]
        else:
            missing = np.array([any(v in ("", None, "nan") for v in row) for row in self.values.tolist()])
            constant = [label for label, v in zip(self.names, self.values.T, strict=True) if len(set(v)) < 2]
        unlabelled = ", ".join(np.asarray(self.stimuli.ids)[missing][:5])
        _check(not missing.any(), f"{name}: {missing.sum()} stimuli have no label ({unlabelled}); label or drop them")
        _check(not constant, f"{name}: label '{', '.join(constant)}' is constant; expected at least two values")
        for what, column in (("strata", self.strata), ("groups", self.groups)):
            _check(column is None or len(column) == n, f"{name}: {what} have the wrong length; expected {n}")

    @cached_property
    def digest(self) -> str:
        """SHA-256 over values, names, strata and groups."""
        extra = [None if column is None else array_digest(np.asarray(column)) for column in (self.strata, self.groups)]
        return digest([array_digest(self.values), list(self.names), extra])


@dataclass(frozen=True)
class Choices:
    """Human trials: a table with stimulus_id, truth, choice, subject and, in two-way tasks, distractor.

    classes: the names that may be chosen; stimuli: what was shown; fitting: the labelled stimuli that a model's
    read-out is fitted on, or None where it is fitted out of fold on the test stimuli themselves; notes: as in
    Responses.
    """

    stimuli: Stimuli
    trials: Table
    classes: tuple[str, ...]
    fitting: Labels | None
    notes: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self):
        name, n = self.stimuli.name, len(self.trials["stimulus_id"])
        _check_table(name, "the trials", self.trials, n)
        strangers = sorted(set(self.trials["stimulus_id"]) - set(self.stimuli.ids))
        _check(not strangers, f"{name}: trials of stimuli that do not exist ({', '.join(strangers[:5])}); remove them")
        for column in ("truth", "choice"):
            wrong = sorted(set(map(str, self.trials[column])) - set(self.classes))
            known = ", ".join(self.classes[:10])
            _check(not wrong, f"{name}: {column} '{', '.join(wrong[:5])}' is not a class; expected one of {known}")
        if self.fitting is not None:
            uncovered = sorted(set(self.classes) - set(self.fitting.values[:, 0]))
            _check(
                not uncovered,
                f"{name}: the fitting stimuli do not cover the classes {', '.join(uncovered[:5])}; "
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
    """A model's answers: layers {name: (n_stimuli, n_time, n_features)}, memory-mapped float32.

    time_ms: (n_time, 2); n_valid: (n_stimuli,) how many leading bins each stimulus covers; ids: (n_stimuli,).
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
    """How well each layer predicts each target: valid, test (n_layers, n_targets, n_splits), NaN = undefined.

    layers: (n_layers,) names; targets: table of n_targets rows with `target_id`; metric: name; ceiling: (n_targets,)
    or None; notes: {name: number or text} counted on the way (rows dropped, share kept, ...); resampling: what a
    bootstrap asks for (`src.evaluate.bootstrap_statistics.Resampling`), None where it was not asked for; extra: {name: array} kept
    with the score to be drawn (confusions).
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

    def __post_init__(self):
        expected = (len(self.layers), len(self.targets["target_id"]))
        for name, values in (("valid", self.valid), ("test", self.test)):
            _check(
                values.ndim == 3 and values.shape[:2] == expected,
                f"{name} scores have shape {values.shape}; expected {expected} x splits",
            )

    def best_layer(self) -> int:
        """The layer with the highest valid score (median over targets, mean over splits); test plays no part."""
        return int(np.nanargmax(self.per_layer(self.valid).mean(axis=1)))

    @staticmethod
    def per_layer(values: np.ndarray) -> np.ndarray:
        """Median over targets: (n_layers, n_targets, n_splits) -> (n_layers, n_splits)."""
        return np.nanmedian(values, axis=1)
