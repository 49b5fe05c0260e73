"""Responses of a user's folder: `responses.npy`, `.nc` or `.csv`, with `units.csv` and `runs.csv` where they exist."""

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...records import Responses, Stimuli
from ...utils import first_names, regular_bins
from .problems import Problems
from .settings import AXES, WIDTH, Settings
from .settings import FILE as SETTINGS_FILE
from .tables import EXCEL, Rows, check_ids, check_known, number, numbers, read_rows, typed

if TYPE_CHECKING:
    from ..brainio.netcdf import Variable

FORMATS = ("responses.npy", "responses.nc", "responses.csv")
UNITS, RUNS, STIMULI = "units.csv", "runs.csv", "stimuli.csv"
# names of dimensions in netCDF files, by axis
DIMENSIONS = {
    "stimulus": ("stimulus", "stimuli", "stimulus_id", "image", "image_id", "film", "presentation", "trial"),
    "repetition": ("repetition", "repetitions", "rep", "run", "repeat"),
    "time": ("time", "time_bin", "bin", "tr", "t", "volume"),
    "unit": ("unit", "units", "unit_id", "neuroid", "neuron", "voxel", "vertex", "electrode", "channel"),
}


@dataclass(frozen=True)
class Recorded:
    """Array of responses as it is stored, with the meaning of its axes and, where the file has them, their ids."""

    file: str
    values: np.ndarray
    axes: tuple[str, ...]
    stimuli: Sequence[str] | None = None
    repetitions: Sequence[str] | None = None
    units: Sequence[str] | None = None
    start_ms: float = 0.0
    said: list[str] = field(default_factory=list)

    def size(self, axis: str) -> int:
        """Return the length of an axis, 1 without it."""
        return self.values.shape[self.axes.index(axis)] if axis in self.axes else 1


def read_recorded(folder: Path, settings: Settings, problems: Problems) -> Recorded | None:
    """Return the responses of a folder; None, with the faults added, where they cannot be read."""
    found = [file for file in FORMATS if (folder / file).is_file()]
    if len(found) != 1:
        others = sorted(p.name for p in folder.glob("responses.*") if p.name not in FORMATS)
        if found:
            problems.add(" and ".join(found), "there are several files of responses", "keep one of them")
        elif others and Path(others[0]).suffix.lower() in EXCEL:
            problems.add(others[0], "is a spreadsheet", "save it as responses.csv (CSV UTF-8, separated by commas)")
        elif others:
            problems.add(others[0], "is of no known format", "save an array as responses.npy (numpy.save), .nc or .csv")
        else:
            problems.add(FORMATS[0], "there is no such file", f"write {FORMATS[0]}, {FORMATS[1]} or {FORMATS[2]}")
        return None
    return {".npy": _npy, ".nc": _netcdf, ".csv": _csv}[Path(found[0]).suffix](folder, settings, problems)


def read_responses(
    folder: Path, settings: Settings, recorded: Recorded, ids: Sequence[str] | None, problems: Problems
) -> "tuple[np.ndarray, dict, tuple[str, ...], dict] | None":
    """Return (values in the order stimulus, repetition, time, unit; unit table; subjects; notes).

    ids: stimuli of the folder, None where their table has faults. None, with the faults added, for faults.
    """
    before = len(problems)
    if _check_order(folder, recorded, ids, problems):
        return None
    units = _units(folder, recorded, problems)
    subjects, notes = _runs(folder, recorded, problems)
    order = _order_of_stimuli(recorded, ids, problems)
    if order is None or len(problems) > before:
        return None
    table, place = units
    values = np.asarray(recorded.values).transpose([recorded.axes.index(a) for a in AXES if a in recorded.axes])
    for position, axis in enumerate(AXES):
        if axis not in recorded.axes:
            values = np.expand_dims(values, position)
    exact = values.dtype if values.dtype in (np.float32, np.float64) else np.float32
    values = np.ascontiguousarray(values[order][..., place], dtype=exact)
    _check_values(recorded.file, values, ids, table["unit_id"], problems)
    return None if len(problems) > before else (values, table, subjects, notes)


def _check_order(folder: Path, recorded: Recorded, ids: Sequence[str] | None, problems: Problems) -> bool:
    """Add a fault, and return True, where the tables fit the array only with its axes in another order."""
    tables = {"unit": (UNITS, "unit_id", recorded.units), "repetition": (RUNS, "repetition", recorded.repetitions)}
    sizes = {} if ids is None or recorded.stimuli is not None else {"stimulus": len(ids)}
    for axis, (file, column, stated) in tables.items():
        rows = read_rows(folder, file, Problems(), (column,)) if stated is None else None
        sizes |= {} if rows is None else {axis: len(rows)}
    wrong = [axis for axis, n in sizes.items() if recorded.size(axis) != n]
    if len(wrong) < 2:
        return False
    fitting = [
        order
        for order in itertools.permutations(recorded.axes)
        if all(axis not in order or recorded.values.shape[order.index(axis)] == n for axis, n in sizes.items())
    ]
    if fitting:
        counts = ", ".join(f"{n} on the axis of {axis}" for axis, n in sizes.items())
        got = f"{_shape(recorded.values)} is read as {' x '.join(recorded.axes)}, but the tables have {counts}"
        problems.add(recorded.file, got, f"write axes = {list(fitting[0])} in {SETTINGS_FILE}".replace("'", '"'))
    return bool(fitting)


def bins_ms(settings: Settings, recorded: Recorded) -> np.ndarray:
    """Return the time bins of a recording: (n_bins, 2), in ms."""
    width = settings.width_ms
    return regular_bins(recorded.size("time") * width, width) + recorded.start_ms


def check_length(recorded: Recorded, settings: Settings, values: np.ndarray, stimuli: Stimuli, problems: Problems):
    """Add a fault where the bins last much longer than the films or, for fMRI, much shorter: a wrong width."""
    if "time" not in recorded.axes:
        return
    ends = bins_ms(settings, recorded)[:, 1]
    kept = np.isfinite(values).any(axis=(1, 3))
    last = np.array([ends[np.flatnonzero(row)[-1]] if row.any() else np.nan for row in kept])
    ratio = float(np.nanmedian(last / stimuli.duration_ms))
    if ratio > 1.5 or (settings.kind == "fmri" and ratio < 0.5):
        key = WIDTH[settings.kind]
        problems.add(
            recorded.file,
            f"{recorded.size('time')} bins of {settings.width_ms:g} ms end at {np.nanmedian(last) / 1000:g} s, but the "
            f"stimuli last {np.median(stimuli.duration_ms) / 1000:g} s (medians)",
            f"correct {key} in {SETTINGS_FILE}, the number of bins, or axes",
        )


def record(
    stimuli: Stimuli, settings: Settings, recorded: Recorded, read: tuple[np.ndarray, dict, tuple[str, ...], dict]
) -> Responses:
    """Return the record of a recording whose parts have no fault."""
    values, table, subjects, notes = read
    return Responses(stimuli, values, bins_ms(settings, recorded), table, subjects, notes)


def _npy(folder: Path, settings: Settings, problems: Problems) -> Recorded | None:
    file = FORMATS[0]
    try:
        values = np.load(folder / file, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        holds = (
            "holds Python objects" if re.search("pickle|object", str(error), re.I) else "cannot be read as a .npy file"
        )
        problems.add(file, holds, "save an array of numbers with numpy.save")
        return None
    return _with_axes(folder, file, values, settings, problems)


def _with_axes(folder: Path, file: str, values: np.ndarray, settings: Settings, problems: Problems) -> Recorded | None:
    if not _are_numbers(file, values, problems):
        return None
    axes = settings.get("axes")
    if axes is not None and len(axes) != values.ndim:
        problems.add(
            file,
            f"has {values.ndim} dimensions, {_shape(values)}, but axes names {len(axes)}",
            f"name every dimension in {SETTINGS_FILE}",
        )
        return None
    said = []
    if axes is None:
        axes = _inferred_axes(folder, values.ndim)
        if axes is None:
            remedy = "save stimulus x repetition x time x unit, or fewer of these"
            problems.add(file, f"has {values.ndim} dimensions, {_shape(values)}", remedy)
            return None
        said = [f"{file}, {_shape(values)}, is read as {' x '.join(axes)}; `axes` in {SETTINGS_FILE} states others"]
    return Recorded(file, values, tuple(axes), start_ms=settings.get("start", 0.0), said=said)


def _inferred_axes(folder: Path, ndim: int) -> tuple[str, ...] | None:
    """Return the meaning of 2 to 4 dimensions; the middle one of three is repetition where runs.csv exists."""
    middle = "repetition" if (folder / RUNS).is_file() else "time"
    return {2: ("stimulus", "unit"), 3: ("stimulus", middle, "unit"), 4: AXES}.get(ndim)


def _shape(values: np.ndarray) -> str:
    return " x ".join(map(str, values.shape))


def _are_numbers(file: str, values: np.ndarray, problems: Problems) -> bool:
    if values.dtype.kind in "fiub" and values.size:
        return True
    got = f"holds values of type {values.dtype}" if values.size else f"is empty, {_shape(values)}"
    problems.add(file, got, "save real numbers, NaN where nothing was recorded")
    return False


def _netcdf(folder: Path, settings: Settings, problems: Problems) -> Recorded | None:
    from ..brainio.netcdf import read_variables

    file = FORMATS[1]
    try:
        variables = read_variables(folder / file)
    except (ValueError, OSError, RuntimeError) as error:
        problems.add(file, f"cannot be read as netCDF ({type(error).__name__})", "write it with xarray's to_netcdf")
        return None
    name = "responses" if "responses" in variables else next(iter(variables)) if len(variables) == 1 else None
    if name is None:
        got = f"has {len(variables)} variables: {first_names(variables)}"
        problems.add(file, got, "call the one to read responses")
        return None
    array = variables[name]
    axes = [next((axis for axis, known in DIMENSIONS.items() if d.lower() in known), d) for d in array.dims]
    strange = [axis for axis in axes if axis not in AXES]
    if strange or len(set(axes)) < len(axes) or not {"stimulus", "unit"} <= set(axes):
        problems.add(file, f"has the dimensions {', '.join(array.dims)}", f"call them {', '.join(AXES)}")
        return None
    if not _are_numbers(file, array.values, problems):
        return None
    dims = dict(zip(axes, array.dims, strict=True))
    ids = {axis: _coordinate(array, dims[axis], f"{axis}_id") for axis in axes if axis != "time"}
    start_ms = _start_of(array, dims.get("time"), settings, problems)
    if start_ms is None:
        return None
    said = [f"{file} is read as {' x '.join(axes)}"]
    return Recorded(
        file, array.values, tuple(axes), ids.get("stimulus"), ids.get("repetition"), ids.get("unit"), start_ms, said
    )


def _coordinate(array: "Variable", dim: str, column: str) -> list[str] | None:
    """Return the ids along a dimension of a netCDF variable, None without them."""
    along = next((array.coords[n][1] for n in (column, dim) if array.coords.get(n, ("",))[0] == dim), None)
    return None if along is None else [str(value) for value in along.tolist()]


def _start_of(array: "Variable", dim: str | None, settings: Settings, problems: Problems) -> float | None:
    """Return the start of the first bin in ms, from the coordinate of time where there is one; None for a fault."""
    times = array.coords[dim][1] if dim in array.coords else None
    if times is None or times.dtype.kind not in "fiu":
        return settings.get("start", 0.0)
    return _bins(FORMATS[1], times.astype(float), settings, problems)


def _bins(file: str, times: np.ndarray, settings: Settings, problems: Problems) -> float | None:
    """Return the start of bins that begin at `times`, in the unit of the tables; None for a fault."""
    unit_ms, width = settings.time_unit_ms, settings.width_ms
    if unit_ms is None:
        problems.add(file, "has times without a unit", f'write time_unit = "s" or "ms" in {SETTINGS_FILE}')
        return None
    starts = times * unit_ms
    key = WIDTH[settings.kind]
    if (np.diff(starts) <= 0).any():
        problems.add(file, "the times of its bins do not increase", "sort the bins by time, each once")
    elif starts[0] < -1e-6:
        remedy = "leave out the bins before 0, in which a model receives nothing"
        problems.add(file, f"time {times[0]:g} is before the onset of the stimulus", remedy)
    elif len(starts) > 1 and not np.allclose(np.diff(starts), width, rtol=1e-3):
        got = f"its bins start {first_names(sorted({f'{d:g}' for d in np.diff(starts)}), 3)} ms apart"
        problems.add(file, f"{got}, but {key} is {width:g} ms", f"correct {key}, or write one row per bin")
    elif "start" in settings.values and not np.isclose(settings.values["start"], starts[0]):
        got = f"its first bin is at {starts[0]:g} ms, but start is {settings.values['start']:g} ms"
        problems.add(file, got, f"remove start from {SETTINGS_FILE}")
    else:
        return float(starts[0])
    return None


def _csv(folder: Path, settings: Settings, problems: Problems) -> Recorded | None:
    """Return a long table (stimulus_id, unit_id, value) or a wide one (a column per unit)."""
    file = FORMATS[2]
    rows = read_rows(folder, file, problems, ("stimulus_id",), ("repetition", "time", "unit_id", "value"))
    if rows is None or not check_ids(rows, "stimulus_id", problems, unique=False):
        return None
    keys = [name for name in ("repetition", "time") if name in rows]
    long = "unit_id" in rows and "value" in rows
    if not long and ("unit_id" in rows or "value" in rows):
        has, lacks = ("unit_id", "value") if "unit_id" in rows else ("value", "unit_id")
        remedy = "write stimulus_id, unit_id and value, or a column per unit"
        problems.add(file, f"has a column {has}, but none {lacks}", remedy, 1)
        return None
    if long and not check_ids(rows, "unit_id", problems, unique=False):
        return None
    units = ["value"] if long else list(rows.others("stimulus_id", *keys))
    if not units:
        problems.add(file, "has no column of responses", "add a column per unit, or unit_id and value", 1)
        return None
    columns = [numbers(rows, unit, problems, empty=np.nan) for unit in units]
    times = numbers(rows, "time", problems) if "time" in rows else [0.0] * len(rows)
    if times is None or any(values is None for values in columns):
        return None
    table = np.array(columns).T
    return _placed(rows, rows["unit_id"] if long else None, units, np.array(times), table, settings, problems)


def _placed(
    rows: Rows,
    unit_of_row: Sequence[str] | None,
    units: Sequence[str],
    times: np.ndarray,
    table: np.ndarray,
    settings: Settings,
    problems: Problems,
) -> Recorded | None:
    """Return the cells of a table as an array, NaN where the table has none."""
    stimuli, repetitions = rows["stimulus_id"], rows["repetition"] if "repetition" in rows else ["1"] * len(rows)
    names = [list(dict.fromkeys(stimuli)), _sorted_names(repetitions), sorted(set(times.tolist()))]
    names.append(list(units) if unit_of_row is None else list(dict.fromkeys(unit_of_row)))
    start_ms = settings.get("start", 0.0)
    if "time" in rows:
        start_ms = _bins(rows.file, np.array(names[2]), settings, problems)
    cells = [stimuli, repetitions, times.tolist(), *([] if unit_of_row is None else [unit_of_row])]
    places = [dict(zip(of_axis, range(len(of_axis)), strict=True)) for of_axis in names]
    index = tuple(np.array([place[c] for c in of_row]) for place, of_row in zip(places, cells, strict=False))
    values = np.full([len(of_axis) for of_axis in names], np.nan)
    _check_doubled(rows, np.ravel_multi_index(index, values.shape[: len(index)]), problems)
    values[index] = table if unit_of_row is None else table[:, 0]
    if start_ms is None:
        return None
    axes = tuple(axis for axis in AXES if axis in ("stimulus", "unit") or axis in rows)
    values = values[tuple(slice(None) if axis in axes else 0 for axis in AXES)]
    return Recorded(rows.file, values, axes, names[0], names[1] if "repetition" in axes else None, names[3], start_ms)


def _check_doubled(rows: Rows, cells: np.ndarray, problems: Problems) -> None:
    """Add a fault for every row of a cell that an earlier row has filled; cells: number of the cell of each row."""
    _, first, of_row = np.unique(cells, return_index=True, return_inverse=True)
    for k in np.flatnonzero(first[of_row] != np.arange(len(cells))):
        remedy = "write a column repetition (1, 2, ...) for repeated presentations, or remove the row"
        got = f"the same stimulus, bin and unit as in line {rows.lines[first[of_row[k]]]}"
        problems.add(rows.file, got, remedy, rows.lines[k])


def _sorted_names(names: Sequence[str]) -> list[str]:
    """Return distinct names, by value where all are numbers, else by first appearance."""
    distinct = list(dict.fromkeys(names))
    return sorted(distinct, key=float) if all(number(name) is not None for name in distinct) else distinct


def _units(folder: Path, recorded: Recorded, problems: Problems) -> tuple[dict, np.ndarray] | None:
    """Return (unit table, position of each of its units in the array)."""
    n, ids = recorded.size("unit"), recorded.units
    if ids is not None and len(set(ids)) < len(ids):
        doubled = [i for i, n in Counter(ids).items() if n > 1]
        problems.add(recorded.file, f"unit_id {first_names(doubled)} occurs twice", "give every unit an id of its own")
        return None
    if not (folder / UNITS).is_file() and not list(folder.glob("units.*")):
        return {"unit_id": list(ids) if ids is not None else [f"unit {k + 1}" for k in range(n)]}, np.arange(n)
    rows = read_rows(folder, UNITS, problems, ("unit_id",), ("region", "hemi", "vertex"))
    if rows is None or not check_ids(rows, "unit_id", problems):
        return None
    _check_surface(rows, problems)
    table = {"unit_id": rows["unit_id"]}
    table |= {name: typed(values) if name != "region" else values for name, values in rows.others("unit_id").items()}
    if ids is None:
        if len(rows) == n:
            return table, np.arange(n)
        hint = f": did you mean another order, {_shape(recorded.values)}?" if len(rows) in recorded.values.shape else ""
        problems.add(
            UNITS,
            f"has {len(rows)} units, but {recorded.file} has {n} on its axis of units{hint}",
            f"write a row per unit, or state axes in {SETTINGS_FILE}",
        )
        return None
    known = check_known(rows, "unit_id", ids, recorded.file, problems)
    listed = set(rows["unit_id"])
    absent = [unit for unit in ids if unit not in listed]
    for unit in absent:
        problems.add(recorded.file, f"unit {unit} is not in {UNITS}", f"add it to {UNITS}, or remove it")
    place = {unit: k for k, unit in enumerate(ids)}
    return (table, np.array([place[unit] for unit in rows["unit_id"]])) if known and not absent else None


def _check_surface(rows: Rows, problems: Problems) -> None:
    if "hemi" in rows:
        for line, cell in zip(rows.lines, rows["hemi"], strict=True):
            if cell[:1].upper() not in ("L", "R"):
                problems.add(rows.file, f"hemi is '{cell}'", "write L or R", line)
    if "vertex" in rows:
        for line, cell in zip(rows.lines, rows["vertex"], strict=True):
            if not re.fullmatch(r"\d+", cell) or int(cell) > 10241:
                problems.add(rows.file, f"vertex is '{cell}'", "write a vertex of fsaverage5, 0 to 10241", line)


def _runs(folder: Path, recorded: Recorded, problems: Problems) -> tuple[tuple[str, ...], dict]:
    """Return (subject of each repetition, notes)."""
    n = recorded.size("repetition")
    if not (folder / RUNS).is_file() and not list(folder.glob("runs.*")):
        return ("subject",) * n, {}
    rows = read_rows(folder, RUNS, problems, ("repetition", "subject"), ("session",))
    if rows is None or not check_ids(rows, "repetition", problems) or not check_ids(rows, "subject", problems, False):
        return (), {}
    notes = {"sessions": len(set(rows["session"]))} if "session" in rows else {}
    if recorded.repetitions is None:
        if len(rows) != n:
            got = f"has {len(rows)} repetitions, but {recorded.file}, {_shape(recorded.values)}, has {n}"
            problems.add(RUNS, got, f"write a row per repetition, or state axes in {SETTINGS_FILE}")
        return tuple(rows["subject"]), notes
    check_known(rows, "repetition", recorded.repetitions, recorded.file, problems)
    subject_of = dict(zip(rows["repetition"], rows["subject"], strict=True))
    for repetition in recorded.repetitions:
        if repetition not in subject_of:
            problems.add(recorded.file, f"repetition {repetition} is not in {RUNS}", f"add it to {RUNS}")
    return tuple(subject_of.get(repetition, "") for repetition in recorded.repetitions), notes


def _order_of_stimuli(recorded: Recorded, ids: Sequence[str] | None, problems: Problems) -> np.ndarray | None:
    """Return the position in the array of each stimulus of the folder."""
    if ids is None:
        return None
    n = recorded.size("stimulus")
    if recorded.stimuli is None:
        if n != len(ids):
            swap = (
                f", though axis {recorded.values.shape.index(len(ids)) + 1} has"
                if len(ids) in recorded.values.shape
                else ""
            )
            problems.add(
                recorded.file,
                f"{_shape(recorded.values)} ({' x '.join(recorded.axes)}) has {n} stimuli, but {STIMULI} has "
                f"{len(ids)}{swap}",
                f"write a row of {STIMULI} per stimulus in the same order, or state axes in {SETTINGS_FILE}",
            )
            return None
        return np.arange(n)
    place = {name: k for k, name in enumerate(recorded.stimuli)}
    known = set(ids)
    strange = [name for name in place if name not in known]
    for name in strange:
        problems.add(recorded.file, f"stimulus {name} is not in {STIMULI}", f"add it to {STIMULI}, or remove it")
    absent = [name for name in ids if name not in place]
    for name in absent:
        problems.add(STIMULI, f"stimulus {name} has no response in {recorded.file}", "add its responses, or remove it")
    return None if strange or absent else np.array([place[name] for name in ids])


def _check_values(file: str, values: np.ndarray, ids: Sequence[str], units: Sequence[str], problems: Problems) -> None:
    finite = np.isfinite(values)
    if not finite.any():
        problems.add(file, "holds no number: NaN everywhere", "save the recorded values")
        return
    infinite = np.argwhere(np.isinf(values))
    if len(infinite):
        first = f"first at stimulus {ids[infinite[0][0]]}, unit {units[infinite[0][3]]}"
        problems.add(file, f"{len(infinite)} values are infinite, {first}", "write NaN where nothing was recorded")
    empty = [units[k] for k in np.flatnonzero(~finite.any(axis=(0, 1, 2)))]
    if empty:
        problems.add(file, f"{len(empty)} units have no value: {first_names(empty)}", f"remove them, also in {UNITS}")
    unseen = [k + 1 for k in np.flatnonzero(~finite.any(axis=(0, 2, 3)))]
    if unseen:
        problems.add(file, f"repetition {first_names(unseen)} has no value", f"remove it, also in {RUNS}")
