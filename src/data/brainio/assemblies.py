"""Conversion of records to assemblies and back, in memory."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...records import Choices, Labels, Responses, Stimuli
from ...utils import BadInput, first_names

if TYPE_CHECKING:
    from brainscore_core.supported_data_standards.brainio.assemblies import DataAssembly
    from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet

Record = Responses | Choices | Labels

_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
_OBJECTS = {"truth": "sample_obj", "distractor": "dist_obj"}  # the names that Brain-Score's I2n reads


def to_stimulus_set(stimuli: Stimuli) -> "StimulusSet":
    """Return a StimulusSet with the columns stimulus_id, kind, duration_ms and the stimulus table."""
    from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet

    columns = {"stimulus_id": stimuli.ids, "kind": stimuli.kind, "duration_ms": stimuli.duration_ms}
    columns |= {} if stimuli.start_ms is None else {"start_ms": stimuli.start_ms}
    found = StimulusSet({**columns, **{name: list(values) for name, values in stimuli.table.items()}})
    found.stimulus_paths = dict(zip(stimuli.ids, stimuli.paths, strict=True))
    found.identifier = stimuli.name
    return found


def from_stimulus_set(stimulus_set: "StimulusSet", shown_ms: float, name: str | None = None) -> Stimuli:
    """Return the stimuli of a StimulusSet; missing kinds follow from the suffixes, missing durations from the files.

    shown_ms: presentation time of an image. Raises BadInput if a file is missing or is no film.
    """
    ids = tuple(map(str, stimulus_set["stimulus_id"]))
    paths = tuple(Path(stimulus_set.get_stimulus(i)) for i in stimulus_set["stimulus_id"])
    reserved = {"stimulus_id", "kind", "duration_ms", "start_ms", "filename"}
    if "kind" in stimulus_set:
        kind = tuple(stimulus_set["kind"])
    else:
        kind = tuple("image" if path.suffix.lower() in _IMAGES else "video" for path in paths)
    if "duration_ms" in stimulus_set:
        duration_ms = np.asarray(stimulus_set["duration_ms"], dtype=np.float64)
    else:
        duration_ms = np.array([shown_ms if k == "image" else _film_ms(p) for k, p in zip(kind, paths, strict=True)])
    table = {str(column): list(stimulus_set[column]) for column in stimulus_set.columns if column not in reserved}
    start_ms = np.asarray(stimulus_set["start_ms"], dtype=np.float64) if "start_ms" in stimulus_set else None
    name = name or getattr(stimulus_set, "identifier", None) or "stimuli"
    return Stimuli(name, ids, paths, duration_ms, kind, table, start_ms)


def _film_ms(path: Path) -> float:
    from ...video import probe

    return probe(path).duration_ms


def to_assembly(record: Record) -> "DataAssembly":
    """Return the assembly of a record, with its StimulusSet in attrs["stimulus_set"]."""
    make = {Responses: _neural, Choices: _behavioural, Labels: _labelled}[type(record)]
    assembly = make(record)
    assembly.attrs["stimulus_set"] = to_stimulus_set(record.stimuli)
    assembly.attrs["stimulus_set_identifier"] = record.stimuli.name
    return assembly


def _neural(record: Responses) -> "DataAssembly":
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly

    n_stimuli, n_repetitions, n_time, n_units = record.values.shape
    stimulus, repetition = (axis.ravel() for axis in np.indices((n_stimuli, n_repetitions)))
    units = {"neuroid_id" if name == "unit_id" else name: np.asarray(v) for name, v in record.units.items()}
    taken = set(units) & {"stimulus_id", "repetition", "subject", "time_bin_start", "time_bin_end"}
    if taken:
        raise BadInput(f"{record.stimuli.name}: unit column '{taken.pop()}' is a coordinate of trials; rename it")
    return NeuroidAssembly(
        record.values.reshape(n_stimuli * n_repetitions, n_time, n_units).swapaxes(1, 2),
        coords={
            "stimulus_id": ("presentation", np.array(record.stimuli.ids)[stimulus]),
            "repetition": ("presentation", repetition),
            "subject": ("presentation", np.array(record.subjects)[repetition]),
            **{name: ("neuroid", values) for name, values in units.items()},
            "time_bin_start": ("time_bin", record.time_ms[:, 0]),
            "time_bin_end": ("time_bin", record.time_ms[:, 1]),
        },
        dims=["presentation", "neuroid", "time_bin"],
    )


def _behavioural(record: Choices) -> "DataAssembly":
    from brainscore_core.supported_data_standards.brainio.assemblies import BehavioralAssembly

    columns = {name: np.asarray(values) for name, values in record.trials.items() if name != "choice"}
    objects = {theirs: columns[ours] for ours, theirs in _OBJECTS.items() if ours in columns}
    columns = {name: values for name, values in columns.items() if name != "distractor"} | objects
    assembly = BehavioralAssembly(
        np.asarray(record.trials["choice"]),
        coords={name: ("presentation", values) for name, values in columns.items()},
        dims=["presentation"],
    )
    assembly.attrs["classes"] = list(record.classes)
    return assembly


def _labelled(record: Labels) -> "DataAssembly":
    from brainscore_core.supported_data_standards.brainio.assemblies import DataAssembly

    extra = {name: getattr(record, name) for name in ("strata", "groups") if getattr(record, name) is not None}
    stimulus = np.array(record.stimuli.ids)
    return DataAssembly(
        record.values,
        coords={
            "stimulus_id": ("presentation", stimulus),
            # a second coordinate, since xarray drops the name of an index of one level
            "presentation_number": ("presentation", np.arange(len(stimulus))),
            **{name: ("presentation", np.asarray(values)) for name, values in extra.items()},
            "label_name": ("label", np.array(record.names)),
            "label_number": ("label", np.arange(len(record.names))),
        },
        dims=["presentation", "label"],
    )


def from_assembly(
    assembly: "DataAssembly",
    stimulus_set: "StimulusSet",
    *,
    name: str | None = None,
    fitting: Labels | None = None,
    shown_ms: float | None = None,
) -> Record:
    """Return the record of an assembly, written by `to_assembly` or by Brain-Score.

    The dimension "neuroid" makes it Responses, "label" Labels, and neither Choices. fitting: the fitting stimuli of a
    behavioural assembly. shown_ms: presentation time of images; None: the length of the recording, or 1,000 ms without
    one. Raises BadInput if presentations name stimuli that are not in the set.
    """
    if shown_ms is None:
        shown_ms = float(assembly["time_bin_end"].values.max()) if "time_bin" in assembly.dims else 1000.0
    presented = np.asarray(assembly["stimulus_id"].values).astype(str)
    known = stimulus_set["stimulus_id"].astype(str)
    unknown = sorted(set(presented) - set(known))
    if unknown:
        raise BadInput(
            f"{name or 'assembly'}: {len(unknown)} presented stimuli are not in the stimulus set "
            f"({first_names(unknown, 3)}); expected every one of them; pass the matching stimulus set"
        )
    paths = stimulus_set.stimulus_paths
    identifier = getattr(stimulus_set, "identifier", None)
    used = stimulus_set[known.isin(presented)]
    used.stimulus_paths, used.identifier = paths, identifier
    stimuli = from_stimulus_set(used, shown_ms, name)
    if "neuroid" in assembly.dims:
        return _responses(assembly, stimuli, presented)
    if "label" in assembly.dims:
        return _labels(assembly, stimuli, presented)
    return _choices(assembly, stimuli, presented, fitting)


def _numbered(presented: np.ndarray) -> np.ndarray:
    """Return the number of earlier presentations of each presentation's stimulus: (n_presentations,)."""
    number = np.empty(len(presented), dtype=int)
    for stimulus in np.unique(presented):
        at = np.flatnonzero(presented == stimulus)
        number[at] = np.arange(len(at))
    return number


def _responses(assembly, stimuli: Stimuli, presented: np.ndarray) -> Responses:
    if "time_bin" not in assembly.dims:
        raise BadInput(f"{stimuli.name}: an assembly without time bins; expected presentation x neuroid x time_bin")
    place = {i: row for row, i in enumerate(stimuli.ids)}
    row = np.array([place[i] for i in presented])
    trials = _coordinates(assembly, "presentation")
    repetition = trials["repetition"].astype(int) if "repetition" in trials else _numbered(presented)
    numbers = np.unique(repetition)
    column = np.searchsorted(numbers, repetition)
    time_ms = np.stack([assembly[f"time_bin_{end}"].values for end in ("start", "end")], axis=1).astype(np.float64)
    order = np.argsort(time_ms[:, 0])
    values = assembly.transpose("presentation", "time_bin", "neuroid").values[:, order]
    filled = np.full((len(stimuli), len(numbers), *values.shape[1:]), np.nan, dtype=np.float32)
    filled[row, column] = values
    coordinates = _coordinates(assembly, "neuroid")
    units = {"unit_id": coordinates.pop("neuroid_id").astype(str), **coordinates}
    subject = trials["subject"].astype(str) if "subject" in trials else np.full(len(row), "subject-1")
    subjects = tuple(str(subject[np.flatnonzero(column == k)[0]]) for k in range(len(numbers)))
    return Responses(stimuli, filled, time_ms[order], units, subjects)


def _coordinates(assembly, dim: str) -> dict[str, np.ndarray]:
    from brainscore_core.supported_data_standards.brainio.assemblies import walk_coords

    found = {coord: np.asarray(values) for coord, dims, values in walk_coords(assembly) if dims == (dim,)}
    return {coord: values.astype(str) if values.dtype.kind == "O" else values for coord, values in found.items()}


def _choices(assembly, stimuli: Stimuli, presented: np.ndarray, fitting: Labels | None) -> Choices:
    columns = _coordinates(assembly, "presentation")
    trials = {"stimulus_id": presented, "choice": np.asarray(assembly.values).astype(str)}
    for ours, theirs in _OBJECTS.items():
        source = next((column for column in (ours, theirs) if column in columns), None)
        if source:
            trials[ours] = columns[source].astype(str)
    subject = next((c for c in ("subject", "worker_id", "WorkerId") if c in columns), None)
    trials["subject"] = columns[subject].astype(str) if subject else np.full(len(presented), "unknown")
    seen = {str(c) for name in ("truth", "choice", "distractor") if name in trials for c in np.unique(trials[name])}
    return Choices(stimuli, trials, tuple(assembly.attrs.get("classes", sorted(seen))), fitting)


def _labels(assembly, stimuli: Stimuli, presented: np.ndarray) -> Labels:
    place = {i: row for row, i in enumerate(presented)}
    order = [place[i] for i in stimuli.ids]
    values = assembly.transpose("presentation", "label").values[order]
    columns = _coordinates(assembly, "presentation")
    return Labels(
        stimuli,
        values.astype(np.float64) if values.dtype.kind == "f" else values.astype(str),
        tuple(map(str, assembly["label_name"].values)),
        strata=columns["strata"][order] if "strata" in columns else None,
        groups=columns["groups"][order] if "groups" in columns else None,
    )
