"""`brainio:STIMULI.csv+ASSEMBLY.nc`: a stimulus set and an assembly as Brain-Score packages them.

The table has `stimulus_id` (in older packages `image_id`) and `filename`; the files lie beside it, in the folder of its
name, or in the .zip of its name, which is unpacked. The assembly is an array over presentations: of neuroids it is a
recording, of labels a task, and of nothing else the choices of subjects.
"""

import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...files import safe_name, write_atomic, writing
from ...utils import BadInput, first_names
from ..declare import Behaviour, Dataset, Electrodes, Fmri, Task
from ..own.problems import Problems
from ..own.tables import Rows, check_ids, read_rows, typed
from .reference import Reference, parse, plain_name
from .shown import read_stimuli

if TYPE_CHECKING:
    from xarray import DataArray

OPTIONS = ("kind", "stimuli", "region", "window", "image", "lag", "metric")
KINDS = {"electrodes": Electrodes, "fmri": Fmri, "task": Task, "behaviour": Behaviour}
METRICS = ("O2", "I2n", "accuracy", "pearson")
IDS = ("stimulus_id", "image_id")
VOXELS = ("voxel_id", "voxel_num", "voxel", "vertex", "grayordinate")
TRUTHS = ("truth", "sample_obj")
LABELS = (*TRUTHS, "label", "image_label", "object_name", "category_name")
IMAGE_MS = 1000.0


def parsed(name: str) -> Reference:
    """Return the reference of a name."""
    return parse(name, OPTIONS, parts=2)


def read(
    reference: Reference, problems: Problems, folder: Path | None, load: Callable[[Path], Any]
) -> tuple[Dataset | None, Any, list[str]]:
    """Return (declaration, record, assumptions); None for what faults, which are added, prevent.

    folder: for stimuli that are unpacked; None reads only what the declaration needs.
    """
    table, file = reference.paths
    _check_files(reference, problems)
    if len(problems):
        return None, None, []
    assembly = _assembly(file, problems)
    if assembly is None:
        return None, None, []
    assembly, said = _selected(reference, assembly, file.name, problems)
    kind = _kind(reference, assembly, file.name, problems)
    if kind is None or len(problems):
        return None, None, said
    declared = _declared(reference, kind, assembly, load)
    if folder is None:
        return declared, None, said
    rows = _rows(table, problems)
    if rows is None:
        return declared, None, said
    if "kind" not in reference.options:
        said.append(f"kind is {kind}")
    files = _files(reference, rows, folder, _presented(assembly), problems)
    if files is None:
        return declared, None, said
    shown_ms = _image_ms(reference, assembly)
    columns = {name: typed(values) for name, values in rows.others(*IDS, "filename").items()}
    ids = rows[_id_column(rows)]
    used = [ids.index(one) for one in files]
    columns = {name: [values[k] for k in used] for name, values in columns.items()}
    stimuli = read_stimuli(declared.name, files, shown_ms, problems, columns)
    if stimuli is None:
        return declared, None, said
    return declared, _record(assembly, stimuli, file.name, problems), said


def _check_files(reference: Reference, problems: Problems) -> None:
    table, file = reference.paths
    for path, suffix, what in ((table, ".csv", "a table of stimuli"), (file, ".nc", "a netCDF assembly")):
        if path.suffix.lower() != suffix:
            problems.add(path.name, f"is not {what}", "write brainio:STIMULI.csv+ASSEMBLY.nc")
        elif not path.is_file():
            problems.add(path.name, "there is no such file", "correct the path, which starts at the working folder")


def _assembly(file: Path, problems: Problems) -> "DataArray | None":
    """Return the assembly with plain coordinates, older names brought to the present ones."""
    from ..brainio import read_array

    try:
        found = read_array(file)
    except BadInput as error:
        reason = str(error).replace(str(file), file.name).removeprefix(f"{file.name}: ").partition(";")[0]
        problems.add(file.name, reason, "get it again, or write one array with Brain-Score's write_netcdf")
        return None
    if "image_id" in found.coords and "stimulus_id" not in found.coords:
        found = found.rename(image_id="stimulus_id")
    if "presentation" not in found.dims or "stimulus_id" not in found.coords:
        got = f"has the dimensions {', '.join(map(str, found.dims))} and the coordinates {first_names(found.coords, 8)}"
        problems.add(file.name, got, "expected presentations with the coordinate stimulus_id: package it again")
        return None
    if found["stimulus_id"].dims != ("presentation",):
        problems.add(file.name, "stimulus_id does not lie along presentation", "package the assembly again")
        return None
    return found.assign_coords(stimulus_id=("presentation", _texts(found["stimulus_id"].values)))


def _texts(values: np.ndarray) -> np.ndarray:
    """Return ids as text, whole numbers without a fraction."""
    whole = values.dtype.kind == "f" and np.isfinite(values).all() and (values == np.round(values)).all()
    return (values.astype(np.int64) if whole else values).astype(str)


def _selected(
    reference: Reference, assembly: "DataArray", file: str, problems: Problems
) -> tuple["DataArray", list[str]]:
    """Return the assembly of the stated region and window, without bins before the onset, and assumptions."""
    region, window, said = reference.get("region"), reference.window_ms(), []
    if region is not None:
        known = assembly["region"].values.astype(str) if "region" in assembly.coords else np.array([])
        if "neuroid" not in assembly.dims or region not in known:
            listed = first_names(sorted(set(known.tolist()))) or "none"
            problems.add(file, f"has no region {region}; its regions are {listed}", "correct the option region")
            return assembly, said
        assembly = assembly.isel(neuroid=np.flatnonzero(known == region))
    if "neuroid" not in assembly.dims:
        return assembly, said
    if "time_bin" not in assembly.dims:
        if window is None:
            remedy = "state the time that the values were averaged over, as window=70-170ms"
            problems.add(file, "has no time bins", remedy)
            return assembly, said
        return _with_bin(assembly, *window), said
    edges = [assembly.coords.get(f"time_bin_{end}") for end in ("start", "end")]
    if any(edge is None or edge.dims != ("time_bin",) or edge.dtype.kind not in "iuf" for edge in edges):
        got = "its time bins have no time_bin_start and time_bin_end in ms"
        problems.add(file, got, "package the assembly again")
        return assembly, said
    if window is not None:
        from ..brainio.from_brainscore import averaged

        try:
            return averaged(assembly, file, *window), said
        except BadInput as error:
            problems.add(file, str(error).partition("; ")[0].removeprefix(f"{file}: "), "correct the option window")
            return assembly, said
    starts = assembly["time_bin_start"].values
    late = np.flatnonzero(starts > -1e-6)
    if not len(late):
        problems.add(file, "all time bins are before the onset of the stimulus", "expected bins from 0 on, in ms")
    elif len(late) < len(starts):
        said.append(f"{len(starts) - len(late)} bins before the onset are left out")
    return assembly.isel(time_bin=late), said


def _with_bin(assembly: "DataArray", start_ms: float, end_ms: float) -> "DataArray":
    """Return an assembly of single values with the time bin over which they were averaged."""
    lone = assembly.drop_vars([name for name in ("time_bin_start", "time_bin_end") if name in assembly.coords])
    return lone.expand_dims("time_bin").assign_coords(
        time_bin_start=("time_bin", [start_ms]), time_bin_end=("time_bin", [end_ms])
    )


def _kind(reference: Reference, assembly: "DataArray", file: str, problems: Problems) -> str | None:
    """Return the kind of the dataset: stated or, from the dimensions of the assembly, inferred."""
    dims = set(map(str, assembly.dims))
    if "neuroid" in dims:
        fitting = ["fmri", "electrodes"] if any(name in assembly.coords for name in VOXELS) else ["electrodes", "fmri"]
    else:
        fitting = {frozenset({"presentation", "label"}): ["task"], frozenset({"presentation"}): ["behaviour"]}.get(
            frozenset(dims), []
        )
    stated = reference.choice("kind", tuple(KINDS))
    if not fitting or (stated is not None and stated not in fitting):
        got = f"has the dimensions {', '.join(sorted(dims))}" + (f", not those of {stated}" if stated else "")
        remedy = (
            "expected presentation with neuroid and time_bin (a recording), with label (a task), or alone (choices)"
        )
        problems.add(file, got, remedy)
        return None
    return stated or fitting[0]


def _declared(reference: Reference, kind: str, assembly: "DataArray", load: Callable[[Path], Any]) -> Dataset:
    name = reference.stated_name() or plain_name(str(assembly.attrs.get("identifier") or reference.paths[1].stem))
    metric = reference.choice("metric", METRICS)
    traits: dict[str, Any] = {}
    if kind == "fmri":
        width_ms = float(assembly["time_bin_end"].values[0] - assembly["time_bin_start"].values[0])
        lag = reference.choice("lag", ("true", "false"))
        traits = {"tr_ms": width_ms, "lag": assembly.sizes["time_bin"] > 1 if lag is None else lag == "true"}
    elif kind == "task":
        numbers = assembly.dtype.kind == "f"
        metric = metric if metric in METRICS[2:] else "pearson" if numbers else "accuracy"
        traits = {"metric": metric, "decoder": "ridge" if metric == "pearson" else "logistic"}
    elif kind == "behaviour":
        two = {"distractor", "dist_obj"} & set(assembly.coords)
        traits = {"metric": metric if metric in METRICS[:2] else "I2n" if two else "O2"}
    facts = {"citation": reference.get("citation", "not stated"), "licence": reference.get("licence", "not stated")}
    facts |= {"access": "own", "source": "own files (BrainIO)"}
    return KINDS[kind](name=name, study=safe_name(name), load=load, **facts, **traits)


def _id_column(rows: Rows) -> str:
    return next(name for name in IDS if name in rows)


def _rows(table: Path, problems: Problems) -> Rows | None:
    """Return the table of stimuli; None, with the faults added, otherwise."""
    header = table.read_bytes()[:4000].partition(b"\n")[0]
    column = "image_id" if b"image_id" in header and b"stimulus_id" not in header else "stimulus_id"
    rows = read_rows(table.parent, table.name, problems, (column, "filename"))
    return rows if rows is not None and check_ids(rows, column, problems) else None


def _presented(assembly: "DataArray") -> list[str]:
    return list(dict.fromkeys(assembly["stimulus_id"].values.tolist()))


def _image_ms(reference: Reference, assembly: "DataArray") -> float:
    stated = reference.ms("image")
    if stated is not None:
        return stated
    return float(assembly["time_bin_end"].values.max()) if "time_bin" in assembly.dims else IMAGE_MS


def _files(
    reference: Reference, rows: Rows, folder: Path, presented: list[str], problems: Problems
) -> dict[str, Path] | None:
    """Return {id: file} of the stimuli that were presented, in the order of the table; None for faults."""
    before, table, shown = len(problems), reference.paths[0], set(presented)
    ids = rows[_id_column(rows)]
    strangers = [one for one in presented if one not in set(ids)]
    if strangers:
        got = f"{len(strangers)} presented stimuli are not in {table.name}: {first_names(strangers, 3)}"
        problems.add(reference.paths[1].name, got, "name the stimulus set that belongs to the assembly")
    wanted = {one: name for one, name in zip(ids, rows["filename"], strict=True) if one in shown}
    lines = dict(zip(ids, rows.lines, strict=True))
    places = _places(reference, folder, wanted, problems)
    if len(problems) > before:
        return None
    for one, name in wanted.items():
        if not any((place / name).is_file() for place in places):
            remedy = f"put it beside {table.name}, in {table.stem}/ or {table.stem}.zip, or state stimuli=FOLDER"
            problems.add(table.name, f"there is no file {name}", remedy, lines[one])
    if len(problems) > before:
        return None
    return {one: next(p / name for p in places if (p / name).is_file()) for one, name in wanted.items()}


def _places(reference: Reference, folder: Path, wanted: Mapping[str, str], problems: Problems) -> list[Path]:
    """Return the folders in which the stimuli are looked for; a .zip is unpacked into `folder`."""
    table = reference.paths[0]
    stated = reference.path("stimuli", table.parent)
    places = [stated] if stated is not None else [table.parent, table.with_suffix(""), table.with_suffix(".zip")]
    found = []
    for place in places:
        if place.suffix.lower() == ".zip" and place.is_file():
            found.append(_unpacked(place, folder / "stimuli" / place.stem, set(wanted.values()), problems))
        else:
            found.append(place)
    return found


def _unpacked(archive: Path, folder: Path, names: set[str], problems: Problems) -> Path:
    """Unpack the named files of an archive, those that are not there already, and return their folder."""
    try:
        with writing(folder, "DATA_HOME"), zipfile.ZipFile(archive) as opened:
            for item in opened.infolist():
                target = folder / item.filename
                inside = ".." not in Path(item.filename).parts and not Path(item.filename).is_absolute()
                if item.filename not in names or not inside:
                    continue
                if target.is_file() and zlib.crc32(target.read_bytes()) == item.CRC:
                    continue
                write_atomic(target, opened.read(item))
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        problems.add(archive.name, f"cannot be unpacked ({error})", "get it again")
    return folder


def _record(assembly: "DataArray", stimuli: Any, file: str, problems: Problems) -> Any:
    """Return the record of an assembly; None, with the faults added, otherwise."""
    from ..brainio import from_assembly, to_stimulus_set

    if "neuroid" in assembly.dims:
        assembly = _numbered(assembly)
    elif "label" not in assembly.dims:
        assembly = _with_truth(assembly, stimuli, file, problems)
    if assembly is None:
        return None
    record = from_assembly(assembly, to_stimulus_set(stimuli), name=stimuli.name)
    record = replace(record, stimuli=stimuli)
    if "neuroid" in assembly.dims and "subject" not in _along(assembly, "presentation"):
        owner = next((name for name in ("animal", "subject") if name in record.units), None)
        owners = "+".join(sorted(set(map(str, record.units[owner])))) if owner else "subject"
        record = replace(record, subjects=(owners,) * len(record.subjects))
    return record


def _along(assembly: "DataArray", dim: str) -> list[str]:
    return [str(name) for name, coordinate in assembly.coords.items() if coordinate.dims == (dim,)]


def _numbered(assembly: "DataArray") -> "DataArray":
    """Return a recording with distinct repetitions of every stimulus, ids of its units, and no other coordinates."""
    from ..brainio.from_brainscore import distinct, numbered

    if "neuroid_id" not in assembly.coords:
        assembly = assembly.assign_coords(neuroid_id=("neuroid", np.arange(assembly.sizes["neuroid"]).astype(str)))
    kept = {"stimulus_id", "repetition", "subject", "time_bin_start", "time_bin_end", *_along(assembly, "neuroid")}
    assembly = assembly.drop_vars([name for name in assembly.coords if name not in kept])
    clean = "repetition" in assembly.coords and assembly["repetition"].dtype.kind in "iu" and distinct(assembly)
    return assembly if clean else numbered(assembly)


def _with_truth(assembly: "DataArray", stimuli: Any, file: str, problems: Problems) -> "DataArray | None":
    """Return choices with the class of each trial's stimulus, from the table of stimuli where they lack it."""
    if any(name in assembly.coords for name in TRUTHS):
        return assembly
    column = next((name for name in LABELS if name in stimuli.table), None)
    if column is None:
        got = "its trials have no truth or sample_obj"
        problems.add(file, got, f"add the class of every stimulus to the table, as a column {' or '.join(LABELS[:3])}")
        return None
    of = dict(zip(stimuli.ids, map(str, stimuli.table[column]), strict=True))
    return assembly.assign_coords(truth=("presentation", [of[one] for one in assembly["stimulus_id"].values]))
