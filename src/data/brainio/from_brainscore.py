"""Brain-Score's public sets, read with its loaders, which check each file's SHA-1 and store it in BRAINIO_HOME."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...records import Responses
from ...utils import BadInput
from ..release import BrainScore, Need
from . import from_assembly

if TYPE_CHECKING:
    from brainscore_core.supported_data_standards.brainio.assemblies import DataAssembly
    from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet
    from xarray import DataArray


def need(what: str, identifier: str, file: str, gigabytes: float = 0.0) -> Need:
    """Return a set as a Need; its pattern is below BRAINIO_HOME, and reading the dataset downloads missing files."""
    return Need(what, f"*/{file}", BrainScore(identifier, gigabytes), optional=True)


def assembly(name: str, identifier: str) -> "DataAssembly":
    """Return a recording or behaviour with its stimulus set; BadInput if it can be neither found nor downloaded."""
    from brainscore_vision import load_dataset

    return _loaded(name, identifier, load_dataset)


def stimulus_set(name: str, identifier: str) -> "StimulusSet":
    """Return a stimulus set; BadInput if it can be neither found nor downloaded."""
    from brainscore_vision import load_stimulus_set

    return _loaded(name, identifier, load_stimulus_set)


def get(name: str, identifier: str) -> None:
    """Download a recording with its stimuli, or a stimulus set, to BRAINIO_HOME; BadInput if that fails."""
    from brainscore_core.plugin_management.import_plugin import ImportPlugin

    try:  # some names are both a recording's and those of a stimulus set that does not belong to it
        ImportPlugin("brainscore_vision", "data", identifier)
    except AssertionError:
        stimulus_set(name, identifier)
    else:
        assembly(name, identifier)


def _loaded(name: str, identifier: str, load: Callable[[str], Any]) -> Any:
    try:
        return load(identifier)
    except Exception as error:  # Brain-Score raises the bare class when a download fails
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        advice = "run this once on a machine with a network, and copy BRAINIO_HOME here"
        if "SHA1" in reason:
            advice = "the file in BRAINIO_HOME is damaged: remove it there and run this again"
        raise BadInput(
            f"{name} cannot be read from Brain-Score's storage ({reason}); expected {identifier} there or in "
            f"BRAINIO_HOME; {advice}"
        ) from error


def narrowed(stimuli: "StimulusSet", columns: Sequence[str]) -> "StimulusSet":
    """Return the stimulus set reduced to its ids and those of the `columns` that it has, with its files and name."""
    found = stimuli[["stimulus_id", *(column for column in columns if column in stimuli)]].copy()
    found.stimulus_paths, found.identifier = stimuli.stimulus_paths, stimuli.identifier
    return found


def responses(
    found: "DataAssembly",
    *,
    name: str,
    region: str,
    window_ms: tuple[float, float] | None = None,
    unit_columns: Sequence[str] = (),
    stimulus_columns: Sequence[str] = (),
) -> Responses:
    """Return one region of a recording of still images, with every repetition.

    window_ms: average the bins from its start to its end into one. The presentation time of an image is the end of the
    last bin. Raises BadInput if there is no such region, or if the recording does not cover the window.
    """
    import xarray

    plain = xarray.DataArray(found).reset_index(list(found.indexes))
    regions = plain["region"].values.astype(str)
    if region not in regions:
        raise BadInput(f"{name}: the assembly has regions {', '.join(sorted(set(regions)))}; expected {region}")
    plain = plain.isel(neuroid=np.flatnonzero(regions == region))
    plain = averaged(plain, name, *window_ms) if window_ms else plain
    kept = {"stimulus_id", "repetition", "neuroid_id", "region", "time_bin_start", "time_bin_end", *unit_columns}
    plain = plain.drop_vars([coord for coord in plain.coords if coord not in kept])
    plain = plain if "repetition" in plain.coords and distinct(plain) else numbered(plain)
    record = from_assembly(plain, narrowed(found.attrs["stimulus_set"], stimulus_columns), name=name)
    return replace(record, subjects=(_subject(record),) * len(record.subjects))


def averaged(plain: "DataArray", name: str, start_ms: float, end_ms: float) -> "DataArray":
    """Return the bins from `start_ms` to `end_ms` averaged into one; BadInput if they do not cover the window."""
    starts, ends = plain["time_bin_start"].values, plain["time_bin_end"].values
    inside = (starts >= start_ms) & (ends <= end_ms)
    if not inside.any() or (starts[inside].min(), ends[inside].max()) != (start_ms, end_ms):
        raise BadInput(
            f"{name}: bins from {starts.min():g} to {ends.max():g} ms; expected them to cover {start_ms:g} to "
            f"{end_ms:g} ms; fetch the assembly again"
        )
    mean = plain.isel(time_bin=np.flatnonzero(inside)).mean("time_bin").expand_dims("time_bin")
    return mean.assign_coords(time_bin_start=("time_bin", [start_ms]), time_bin_end=("time_bin", [end_ms]))


def distinct(plain: "DataArray") -> bool:
    """Return whether the presentations of a stimulus have distinct numbers; sessions may each have counted from 0."""
    pairs = list(zip(plain["stimulus_id"].values.tolist(), plain["repetition"].values.tolist(), strict=True))
    return len(set(pairs)) == len(pairs)


def numbered(plain: "DataArray") -> "DataArray":
    """Return the array with each stimulus's presentations numbered from 0, in order."""
    _, stimulus = np.unique(plain["stimulus_id"].values.astype(str), return_inverse=True)
    order = np.argsort(stimulus, kind="stable")
    first = np.searchsorted(stimulus[order], stimulus[order])
    number = np.empty(len(order), dtype=int)
    number[order] = np.arange(len(order)) - first
    return plain.assign_coords(repetition=("presentation", number))


def _subject(record: Responses) -> str:
    """Return the subject of all repetitions; units of several animals make it all of them, "a+b"."""
    animals = record.units.get("animal", ())
    return "+".join(sorted(set(map(str, animals)))) or "all animals"
