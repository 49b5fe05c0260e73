"""Scores as files for the next program: .csv, .json, .parquet (a row per layer, target and split) or .nc."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..pipeline import Score
from ..utils import BadInput

# columns of ours that a column of the unit table may not take the name of
OURS = (
    *(
        "layer",
        "split",
        "valid",
        "test",
        "target",
        "metric",
        "model",
        "benchmark",
        "datasets",
        "ceiling",
        "reliability",
    ),
    *("low", "high", "p", "q", "draw", "permutation", "bootstrap", "bootstrap_normalised", "null"),
)
# of the chosen layer only
CHOSEN = ("low", "high", "p", "q")
PER_TARGET = ("ceiling", "reliability", "masked", *CHOSEN)
DRAWN = {
    "confusion_human": ("shown", "chosen"),
    "confusion_model": ("layer", "shown", "chosen"),
    "bootstrap": ("draw",),
    "bootstrap_normalised": ("draw",),
    "bootstrap_regions": ("region_of_draws", "draw"),
    "null": ("permutation",),
}
SCORED = ("valid", "test", "null_valid", "null_test")
SUFFIXES = (".csv", ".json", ".parquet", ".nc")


def check_output(path: str | None, suffixes: Sequence[str] = SUFFIXES) -> None:
    """BadInput for a file that could not be written, before anything is computed."""
    if path is None:
        return
    if Path(path).suffix not in suffixes:
        raise BadInput(f"--output {path}; expected a name that ends in {', '.join(suffixes)}")
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise BadInput(f"--output {path}: there is no folder {folder}; create it first")
    if not os.access(folder, os.W_OK):
        raise BadInput(f"--output {path}: the folder {folder} is not writable; choose another")


def write_output(results: Sequence[Score], path: str | None) -> None:
    """Write the scores to `path`, whole or not at all."""
    if path is None:
        return
    suffix = Path(path).suffix
    part = Path(path).with_name(f".{Path(path).name}.{os.getpid()}{suffix}")
    try:
        _WRITERS[suffix](results, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def rows(results: Sequence[Score]):
    """A pandas table with a row per score, layer, target and split."""
    import pandas as pd

    return pd.concat([_rows(result) for result in results], ignore_index=True)


def _column(name: str) -> str:
    """The name under which an array `target_...` is written."""
    short = name.removeprefix("target_")
    return name if short in OURS or name == "target_id" else short


def _rows(result: Score):
    import pandas as pd

    arrays, facts = result.arrays, result.facts
    test = np.asarray(arrays["test"])
    layer, target, split = (index.ravel() for index in np.indices(test.shape))
    table = {
        "benchmark": facts["benchmark"],
        "model": facts["model"],
        "datasets": "+".join(facts["datasets"]),
        "metric": facts["metric"],
        "layer": np.asarray(arrays["layers"]).astype(str)[layer],
    }
    for name in arrays:
        if name.startswith("target_"):
            table[_column(name)] = np.asarray(arrays[name])[target]
    table["split"] = split
    for name in SCORED:
        if name in arrays:
            table[name] = np.asarray(arrays[name]).ravel()
    chosen = np.array([row["best"] for row in facts["layers"]])[layer]
    for name in PER_TARGET:
        if name in arrays:
            of_row = np.asarray(arrays[name])[target]
            table[name] = np.where(chosen, of_row, np.nan) if name in CHOSEN else of_row
    return pd.DataFrame(table)


def _write_json(results: Sequence[Score], path: Path) -> None:
    scores = [
        dict(result.facts) | {"scores": json.loads(_rows(result).to_json(orient="records"))} for result in results
    ]
    path.write_text(json.dumps(scores, indent=1))


def _write_netcdf(results: Sequence[Score], path: Path) -> None:
    import xarray as xr

    if len(results) > 1:
        raise BadInput(f"{len(results)} scores for one .nc file; expected 1: name one dataset, or write .parquet")
    arrays, facts = results[0].arrays, results[0].facts
    dims = ("layer", "target", "split")
    scores = {name: (dims, np.asarray(arrays[name])) for name in SCORED if name in arrays}
    scores |= {name: (dim, np.asarray(arrays[name])) for name, dim in DRAWN.items() if name in arrays}
    coords = {"layer": np.asarray(arrays["layers"]).astype(str)}
    for name in arrays:
        if name in PER_TARGET or name == "ceiling_spread" or name.startswith("target_"):
            values = np.asarray(arrays[name])
            coords[_column(name)] = ("target", values.astype(np.int8) if values.dtype == bool else values)
    xr.Dataset(scores, coords, {"facts": json.dumps(facts)}).to_netcdf(path)


_WRITERS = {
    ".csv": lambda results, path: rows(results).to_csv(path, index=False),
    ".parquet": lambda results, path: rows(results).to_parquet(path, index=False),
    ".json": _write_json,
    ".nc": _write_netcdf,
}
