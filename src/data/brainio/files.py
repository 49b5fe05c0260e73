"""Prepared datasets on disk: netCDF that Brain-Score reads, a stimulus table and the provenance."""

import csv
import json
import os
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ...files import replacing_folder
from ...utils import BadInput, file_digest
from .assemblies import Record, from_assembly, to_assembly

if TYPE_CHECKING:
    from xarray import DataArray


def write(record: Record, folder: Path, provenance: dict | None = None) -> Path:
    """Store the record as a folder of assembly.nc, stimuli.csv and provenance.json, whole or not at all.

    Stimulus files are not copied; the table names them relative to `folder`. Fitting stimuli are stored in its folder
    "fitting". provenance: facts to store beside versions and checksums.
    """
    with replacing_folder(folder) as made:
        _write_files(record, made, folder, provenance or {})
    return folder


def _write_files(record: Record, made: Path, final: Path, provenance: dict) -> None:
    import xarray

    made.mkdir(exist_ok=True)
    assembly = to_assembly(record)
    plain = xarray.DataArray(assembly).reset_index(list(assembly.indexes))
    plain.attrs = {name: value for name, value in assembly.attrs.items() if name != "stimulus_set"}
    plain.to_netcdf(made / "assembly.nc", engine="netcdf4")
    table = assembly.attrs["stimulus_set"].copy()
    table.insert(1, "filename", [os.path.relpath(path, final) for path in record.stimuli.paths])
    table.to_csv(made / "stimuli.csv", index=False, quoting=csv.QUOTE_NONNUMERIC)
    if getattr(record, "fitting", None) is not None:
        _write_files(record.fitting, made / "fitting", final / "fitting", {})
    stated = {
        **provenance,
        "assembly": type(assembly).__name__,
        "record_digest": record.digest,
        "notes": dict(record.notes),
        "files": {file: file_digest(made / file) for file in ("assembly.nc", "stimuli.csv")},
        "versions": {package: version(package) for package in ("brainscore-core", "numpy", "pandas", "xarray")},
    }
    (made / "provenance.json").write_text(json.dumps(stated, indent=1))


def read_array(path: Path) -> "DataArray":
    """Return a netCDF array with plain coordinates instead of indexes; BadInput if it is damaged or no array."""
    import xarray

    try:
        with xarray.open_dataarray(path, engine="netcdf4") as stored:
            plain = stored.load()
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).split("\n")[0]
        raise BadInput(f"{path}: cannot be read ({reason}); expected a whole netCDF array; get it again") from error
    return plain.reset_index(list(plain.indexes)) if plain.indexes else plain


def read(folder: Path) -> Record:
    """Return the record that `write` stored in `folder`; BadInput if a file is missing or has changed since."""
    import pandas
    import xarray
    from brainscore_core.supported_data_standards.brainio import assemblies
    from brainscore_core.supported_data_standards.brainio.stimuli import StimulusSet

    try:
        stated = json.loads((folder / "provenance.json").read_text())
        changed = [file for file, checksum in stated["files"].items() if file_digest(folder / file) != checksum]
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"{folder} holds no prepared dataset ({error}); expected provenance.json and the files it lists; prepare it"
        ) from error
    if changed:
        raise BadInput(f"{folder / changed[0]} is not the file that was written (checksum differs); prepare it again")
    try:
        with xarray.open_dataarray(folder / "assembly.nc", engine="netcdf4") as stored:
            assembly = getattr(assemblies, stated["assembly"])(stored.load())
    except (OSError, ValueError, RuntimeError) as error:
        # the file is the one that was written
        reason = str(error).split("\n")[0]
        raise BadInput(
            f"{folder / 'assembly.nc'}: the installed xarray or netCDF4 cannot read it ({reason}); prepare it again"
        ) from error
    table = pandas.read_csv(
        folder / "stimuli.csv",
        dtype={"stimulus_id": str, "filename": str},
        keep_default_na=False,
        float_precision="round_trip",  # pandas' default parser may miss the last bit
    )
    stimulus_set = StimulusSet(table)
    paths = [Path(os.path.normpath(folder / file)) for file in table["filename"]]
    stimulus_set.stimulus_paths = dict(zip(table["stimulus_id"], paths, strict=True))
    stimulus_set.identifier = assembly.attrs["stimulus_set_identifier"]
    fitting = read(folder / "fitting") if (folder / "fitting").is_dir() else None
    record = from_assembly(assembly, stimulus_set, name=stimulus_set.identifier, fitting=fitting)
    return replace(record, notes=stated.get("notes", {}))
