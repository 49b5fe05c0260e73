"""Brain-Score's public sets, through its own loaders, which check each file's SHA-1 and keep it in BRAINIO_HOME."""

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
    """A set as something needed; its pattern is below BRAINIO_HOME, where `read` itself puts what is missing."""
    return Need(what, f"*/{file}", BrainScore(identifier, gigabytes), optional=True)


def assembly(name: str, identifier: str) -> "DataAssembly":
    """A recording or behaviour with its stimulus set; BadInput where it can neither be found nor downloaded."""
    from brainscore_vision import load_dataset

    return _had(name, identifier, load_dataset)


def stimulus_set(name: str, identifier: str) -> "StimulusSet":
    """A stimulus set; BadInput where it can neither be found nor downloaded."""
    from brainscore_vision import load_stimulus_set

    return _had(name, identifier, load_stimulus_set)


def get(name: str, identifier: str) -> None:
    """Have a recording, with its stimuli, or a stimulus set in BRAINIO_HOME; BadInput as above."""
    from brainscore_core.plugin_management.import_plugin import ImportPlugin

    try:  # some names are both: a recording's, and those of images that it was not made with
        ImportPlugin("brainscore_vision", "data", identifier)
    except AssertionError:
        stimulus_set(name, identifier)
    else:
        assembly(name, identifier)


def _had(name: str, identifier: str, load: Callable[[str], Any]) -> Any:
    try:
        return load(identifier)
    except Exception as error:  # Brain-Score raises the bare class when a download fails
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        advice = "run this once where there is a network, and copy BRAINIO_HOME here"
        if "SHA1" in reason:
            advice = "the file in BRAINIO_HOME is damaged: remove it there and run this again"
        raise BadInput(
            f"{name} cannot be had from Brain-Score's storage ({reason}); expected {identifier} there or in "
            f"BRAINIO_HOME; {advice}"
        ) from error


def narrowed(stimuli: "StimulusSet", columns: Sequence[str]) -> "StimulusSet":
    """The stimulus set with its ids and those of the `columns` that it has; files and name stay."""
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
    """One region of a recording of still images, every repetition kept.

    window_ms: average the bins from its start to its end into one. An image counts as shown until the last bin ends.
    Raises BadInput where there is no such region, or the recording does not cover the window.
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
    return replace(record, subjects=(_owner(record),) * len(record.subjects))


def averaged(plain: "DataArray", name: str, start_ms: float, end_ms: float) -> "DataArray":
    """The bins from `start_ms` to `end_ms` averaged into one; BadInput where they do not cover it."""
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
    """Whether no two presentations of a stimulus have the same number: sessions may each have counted from 0."""
    pairs = list(zip(plain["stimulus_id"].values.tolist(), plain["repetition"].values.tolist(), strict=True))
    return len(set(pairs)) == len(pairs)


def numbered(plain: "DataArray") -> "DataArray":
    """The same with each stimulus's presentations numbered from 0, in their order."""
    _, stimulus = np.unique(plain["stimulus_id"].values.astype(str), return_inverse=True)
    order = np.argsort(stimulus, kind="stable")
    first = np.searchsorted(stimulus[order], stimulus[order])
    number = np.empty(len(order), dtype=int)
    number[order] = np.arange(len(order)) - first
    return plain.assign_coords(repetition=("presentation", number))


def _owner(record: Responses) -> str:
    """Whom the repetitions belong to: units of several animals are trials of all of them."""
    animals = record.units.get("animal", ())
    return "+".join(sorted(set(map(str, animals)))) or "all animals"
