"""Parts of an NWB file, read with h5py: tables, presentations of stimuli, spikes and rates of units.

The layout is that of NWB 2 (https://nwb-schema.readthedocs.io). A table is a group of equally long columns; a ragged
column has an index of its ends, NAME_index.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..own.problems import Problems

if TYPE_CHECKING:
    import h5py

INTERVALS, UNITS, ELECTRODES = "intervals", "units", "general/extracellular_ephys/electrodes"
SHOWN = "stimulus/presentation"
STIMULUS_COLUMNS = (
    *("stimulus_id", "stimulus_name", "stimulus", "stim_file", "stim_name", "image_id", "image_name", "image"),
    *("film", "movie", "video", "clip", "filename", "file", "path", "frame"),
)
REGIONS = ("region", "brain_area", "brain_region", "location", "structure", "ecephys_structure_acronym", "area")
TIMES = ("start_time", "stop_time")


@dataclass(frozen=True)
class Presentations:
    """Presentations of stimuli: names (n,), start and stop in s (n,); source: their table.

    pictures: images in the file itself, {name: rows x columns, x 3 of colours, uint8}.
    """

    source: str
    names: list[str]
    start_s: np.ndarray
    stop_s: np.ndarray
    pictures: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Rates:
    """Values of units (n_samples, n_units), with the start of each sample and the end of the last one in s."""

    values: np.ndarray
    edges_s: np.ndarray


def text(value: Any) -> str:
    """Return a value of a file as text, a whole number without a fraction."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float | np.floating) and np.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value)


def column(table: "h5py.Group", name: str) -> Any:
    """Return a column of a table: an array (n_rows,) or, of a ragged one, a list of arrays."""
    values = table[name][()]
    if f"{name}_index" not in table:
        return values
    ends = _whole(table[f"{name}_index"][()])
    return [values[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _whole(values: Any) -> np.ndarray:
    """Return whole numbers (n,); ValueError for other values."""
    found = np.asarray(values)
    if found.dtype.kind not in "iu" or found.ndim != 1:
        raise ValueError(f"indices of type {found.dtype} and shape {found.shape}")
    return found.astype(np.int64)


def n_rows(table: "h5py.Group") -> int:
    """Return the number of rows of a table."""
    return len(table["id"])


def scalar_columns(table: "h5py.Group") -> dict[str, list]:
    """Return the columns of a table that have one number or text per row."""
    found = {}
    for name, item in table.items():
        plain = hasattr(item, "ndim") and item.ndim == 1 and len(item) == n_rows(table)
        if not plain or name == "id" or name.endswith("_index") or f"{name}_index" in table:
            continue
        if item.dtype.kind in "biuf":
            found[name] = item[()].tolist()
        elif item.dtype.kind in "OSU" and not _is_reference(item):
            found[name] = [text(value) for value in item[()]]
    return found


def _is_reference(item: "h5py.Dataset") -> bool:
    import h5py

    return h5py.check_ref_dtype(item.dtype) is not None


def presentations(
    opened: "h5py.File", label: str, table: str | None, name: str | None, problems: Problems
) -> Presentations | None:
    """Return the presentations of stimuli in a file; None, with the faults added, otherwise.

    table, name: stated table and column; None: the table of intervals whose column names stimuli, else films in
    `stimulus/presentation`.
    """
    tables = {key: item for key, item in _groups(opened, INTERVALS) if set(TIMES) <= set(item)}
    if table is not None:
        if table in tables:
            return _of_table(tables[table], label, f"intervals/{table}", name, problems)
        listed = ", ".join(tables) or "none"
        problems.add(label, f"has no table intervals/{table}, only {listed}", "correct the option table")
        return None
    suited = [key for key, item in tables.items() if _name_column(item, name) is not None]
    if len(suited) > 1:
        got = f"has several tables of presentations: {', '.join(suited)}"
        problems.add(label, got, f"state one, as table={suited[0]}")
        return None
    if suited:
        return _of_table(tables[suited[0]], label, f"intervals/{suited[0]}", name, problems)
    films = [item for _, item in _groups(opened, SHOWN) if "external_file" in item]
    if films:
        return _of_films(films, label, problems)
    shown = [(key, item) for key, item in _groups(opened, SHOWN) if "data" in item and _templates(item) is not None]
    if len(shown) > 1:
        got = f"has several series of embedded images: {', '.join(key for key, _ in shown)}"
        problems.add(label, got, "write a table of presentations, and state table= and column=")
        return None
    if shown:
        return _of_pictures(shown[0][1], label, f"{SHOWN}/{shown[0][0]}", problems)
    columns = sorted({key for item in tables.values() for key in item} - {*TIMES, "id"})
    wanted = f" with a column {name}" if name else ""
    got = f"has no presentations of stimuli{wanted}; its tables of intervals are {', '.join(tables) or 'none'}"
    got += f" with the columns {', '.join(columns)}" if columns else ""
    problems.add(label, got, "state table=NAME and column=NAME of the stimuli")
    return None


def _groups(opened: "h5py.File", place: str) -> Iterator[tuple[str, Any]]:
    import h5py

    for key, item in opened.get(place, {}).items():
        if isinstance(item, h5py.Group):
            yield key, item


def _name_column(table: "h5py.Group", stated: str | None) -> str | None:
    wanted = STIMULUS_COLUMNS if stated is None else (stated,)
    return next((key for key in wanted if key in table), None)


def _of_table(
    table: "h5py.Group", label: str, source: str, stated: str | None, problems: Problems
) -> Presentations | None:
    key = _name_column(table, stated)
    if key is None:
        listed = ", ".join(sorted(set(table) - {*TIMES, "id"})) or "none besides the times"
        wrong = f"no column {stated}" if stated else "no column that names stimuli"
        problems.add(label, f"{source} has {wrong}; its columns are {listed}", "state column=NAME")
        return None
    names = [text(value) for value in column(table, key)]
    start, stop = (np.asarray(table[edge][()], dtype=np.float64) for edge in TIMES)
    return _checked(Presentations(f"{source}/{key}", names, start, stop), label, problems)


def _of_films(films: Sequence["h5py.Group"], label: str, problems: Problems) -> Presentations | None:
    """Return the presentations of films that are external files, each from its first frame to the next file."""
    names, starts, stops = [], [], []
    for item in films:
        files = [text(value) for value in np.atleast_1d(item["external_file"][()])]
        first = item["external_file"].attrs.get("starting_frame", [0])
        first = np.atleast_1d(first).astype(int)
        times = item["timestamps"][()] if "timestamps" in item else None
        rate = None if "starting_time" not in item else float(item["starting_time"].attrs.get("rate", np.nan))
        for k, file in enumerate(files):
            if len(first) <= k or (times is None and not rate) or (times is not None and first[k] >= len(times)):
                problems.add(label, f"{SHOWN}: {file} has no time", "write starting_frame and timestamps or a rate")
                return None
            onset = times[first[k]] if times is not None else float(item["starting_time"][()]) + first[k] / rate
            names.append(file)
            starts.append(onset)
            # the film itself says how long it lasts
            stops.append(np.nan)
    return _checked(Presentations(SHOWN, names, np.array(starts), np.array(stops)), label, problems)


def _templates(item: "h5py.Group") -> list[Any] | None:
    """Return the images that a series of indices refers to, as arrays or datasets; None where there are none."""
    if "indexed_images" in item:
        images = item["indexed_images"]
        if "order_of_images" in images:
            return [images.file[reference] for reference in images["order_of_images"][()]]
        return [images[name] for name in sorted(images)]
    if "indexed_timeseries" in item and "data" in item["indexed_timeseries"]:
        return list(item["indexed_timeseries"]["data"])
    return None


def _of_pictures(item: "h5py.Group", label: str, source: str, problems: Problems) -> Presentations | None:
    """Return the presentations of images in the file, each up to the next one."""
    index, templates = _whole(item["data"][()]), _templates(item)
    edges = _edges(item, len(index))
    if edges is None or len(edges) != len(index) + 1 or (np.diff(edges) <= 0).any():
        problems.add(label, f"{source} has no increasing time for each of its {len(index)} images", "write it again")
        return None
    if len(index) and not 0 <= index.min() <= index.max() < len(templates):
        got = f"{source} refers to the images {index.min()} to {index.max()}, but there are {len(templates)}"
        problems.add(label, got, "write indices from 0 on")
        return None
    pictures = {f"{k:04d}": _picture(templates[k]) for k in np.unique(index)}
    wrong = next((name for name, picture in pictures.items() if picture is None), None)
    if wrong is not None:
        got = f"image {wrong} of {source} is no image of grey values or colours"
        problems.add(label, got, "write uint8, or numbers from 0 to 1, rows x columns")
        return None
    # the pause after an image belongs to no other one
    stop = np.minimum(edges[1:], edges[:-1] + np.median(np.diff(edges)))
    found = Presentations(source, [f"{k:04d}" for k in index], edges[:-1], stop)
    checked = _checked(found, label, problems)
    return None if checked is None else replace(checked, pictures=pictures)


def _picture(stored: Any) -> np.ndarray | None:
    """Return an image as uint8, rows x columns x 3; None for other values."""
    values = np.asarray(stored[()])
    grey = values.ndim == 2
    if not grey and not (values.ndim == 3 and values.shape[2] in (3, 4)):
        return None
    if values.dtype.kind == "f" and np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1:
        values = np.round(255 * values)
    elif values.dtype.kind not in "iuf" or not (np.isfinite(values).all() and 0 <= values.min() <= values.max() <= 255):
        return None
    values = values.astype(np.uint8)
    return np.repeat(values[..., None], 3, axis=2) if grey else np.ascontiguousarray(values[..., :3])


def _checked(found: Presentations, label: str, problems: Problems) -> Presentations | None:
    """Return presentations without rows that name no stimulus; None, with a fault added, for wrong times."""
    named = np.array([name not in ("", "nan", "None", "N/A", "n/a") for name in found.names], dtype=bool)
    wrong = np.flatnonzero(named & (~np.isfinite(found.start_s) | (found.stop_s <= found.start_s)))
    if len(wrong):
        got = f"row {wrong[0]} of {found.source} starts at {found.start_s[wrong[0]]:g} s and ends at "
        problems.add(label, f"{got}{found.stop_s[wrong[0]]:g} s", "correct start_time and stop_time")
        return None
    if not named.any():
        problems.add(label, f"{found.source} names no stimulus", "state another table or column")
        return None
    kept = np.flatnonzero(named)
    return Presentations(found.source, [found.names[k] for k in kept], found.start_s[kept], found.stop_s[kept])


def spikes(opened: "h5py.File", label: str, problems: Problems) -> list[np.ndarray] | None:
    """Return the sorted spike times of each unit, in s; None, with the faults added, where there are none."""
    table = opened.get(UNITS)
    if table is None or "spike_times" not in table or "spike_times_index" not in table:
        what = "no table of units" if table is None else "no spike times in its table of units"
        problems.add(label, f"has {what}", "state the values of units as rates=PATH of a series in the file")
        return None
    found = column(table, "spike_times")
    if len(found) != n_rows(table):
        problems.add(label, f"has spike times of {len(found)} units, but {n_rows(table)} units", "write the file again")
        return None
    if any(times.ndim != 1 or times.dtype.kind not in "iuf" or not np.isfinite(times).all() for times in found):
        problems.add(label, "has spike times that are no numbers", "write the file again without them")
        return None
    return [np.sort(np.asarray(times, dtype=np.float64)) for times in found]


def observed(opened: "h5py.File") -> list[np.ndarray] | None:
    """Return the intervals (n, 2) in s in which each unit was recorded; None where the file does not state them."""
    table = opened.get(UNITS)
    if table is None or "obs_intervals_index" not in table:
        return None
    found = column(table, "obs_intervals")
    if len(found) != n_rows(table):
        raise ValueError(f"{len(found)} obs_intervals for {n_rows(table)} units")
    return [np.asarray(intervals, dtype=np.float64).reshape(-1, 2) for intervals in found]


def rates(opened: "h5py.File", label: str, place: str, problems: Problems) -> Rates | None:
    """Return a series of the file, samples x units; None, with the faults added, otherwise."""
    import h5py

    item = opened.get(place)
    if not isinstance(item, h5py.Group) or "data" not in item:
        listed = ", ".join(_series(opened)) or "none"
        problems.add(label, f"has no series {place}; its series are {listed}", "correct the option rates")
        return None
    values = np.asarray(item["data"][()])
    if values.dtype.kind not in "biuf" or values.ndim not in (1, 2):
        got = f"{place} has values of type {values.dtype} and shape {values.shape}"
        problems.add(label, got, "expected numbers, samples x units")
        return None
    values = values.reshape(len(values), -1).astype(np.float64) * float(item["data"].attrs.get("conversion", 1.0))
    edges = _edges(item, len(values))
    if edges is None or len(edges) != len(values) + 1 or (np.diff(edges) <= 0).any():
        problems.add(label, f"{place} has no increasing time for each of its {len(values)} samples", "write it again")
        return None
    return Rates(values, edges)


def _edges(item: "h5py.Group", n: int) -> np.ndarray | None:
    """Return the starts of samples and the end of the last one, in s."""
    if "timestamps" in item:
        times = np.asarray(item["timestamps"][()], dtype=np.float64)
        return np.append(times, times[-1] + np.median(np.diff(times))) if len(times) > 1 else None
    if "starting_time" not in item or not float(item["starting_time"].attrs.get("rate", 0)) > 0:
        return None
    return float(item["starting_time"][()]) + np.arange(n + 1) / float(item["starting_time"].attrs["rate"])


def _series(opened: "h5py.File") -> list[str]:
    """Return the places of series of numbers over time."""
    found = []

    def visit(name: str, item: Any) -> None:
        if name.startswith(("processing", "acquisition")) and "data" in getattr(item, "keys", list)():
            found.append(name)

    opened.visititems(visit)
    return found


def unit_table(opened: "h5py.File", place: str | None, n_units: int) -> dict[str, list]:
    """Return the table of units with `unit_id` and, where the file states it, `region`.

    place: series whose columns are the units; None: the table of units.
    """
    import h5py

    table = opened.get(UNITS) if place is None else None
    source = table if place is None else opened[place]
    found: dict[str, list] = {"unit_id": [str(k) for k in range(n_units)]}
    if isinstance(table, h5py.Group):
        columns = scalar_columns(table)
        found = {"unit_id": [text(value) for value in table["id"][()]], **columns}
        found.pop("electrodes", None)
    region = next((found[name] for name in REGIONS if name in found), None)
    region = region or _electrode_regions(opened, source, n_units)
    return found | ({} if region is None else {"region": [text(value) for value in region]})


def _electrode_regions(opened: "h5py.File", source: "h5py.Group", n_units: int) -> list[str] | None:
    """Return the location of each unit's electrode or group of electrodes, None where it is not stated."""
    electrodes = opened.get(ELECTRODES)
    if electrodes is not None and "location" in electrodes:
        locations = [text(value) for value in electrodes["location"][()]]
        if "electrodes" in source:
            rows = column(source, "electrodes")
            rows = [int(np.atleast_1d(row)[0]) if np.size(row) else -1 for row in rows]
            if len(rows) == n_units and max(rows, default=-1) < len(locations):
                return [locations[row] if row >= 0 else "" for row in rows]
        if "peak_channel_id" in source:
            place = {text(one): k for k, one in enumerate(electrodes["id"][()])}
            peaks = [place.get(text(value)) for value in source["peak_channel_id"][()]]
            return [locations[k] if k is not None else "" for k in peaks]
    if "electrode_group" in source:
        return [text(opened[reference].attrs.get("location", "")) for reference in source["electrode_group"][()]]
    return None


def subject(opened: "h5py.File") -> str:
    """Return the id of the subject, "subject" where the file states none."""
    found = opened.get("general/subject/subject_id")
    return text(found[()]) if found is not None else "subject"
