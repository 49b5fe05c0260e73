"""fMRIPrep's output of a run in miniature: GIFTI series with planted motion artefacts, and confound tables."""

import json
from pathlib import Path

import numpy as np

from tests.data.planted_fmri import N_HEMI, group_of_vertex, rng, write_gifti

PATTERN = 32
AXES = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]


def write_run(folder: Path, name: str, signals: np.ndarray, new_order: bool = True, artefact: float = 3.0) -> None:
    """Write both hemispheres' series and the confound table of run `name`; signals (n_volumes, N_GROUPS).

    The vertices have the signal, noise, and an artefact that the table's motion parameters and CompCor components
    explain. A pattern of 32 vertices repeats over the mesh, so that the files compress fast.
    """
    generator, n = rng(name), len(signals)
    table = make_table(generator, n)
    regressors = np.stack([table[axis] for axis in AXES] + [table["a_comp_cor_00"]], axis=1)
    for hemi in "LR":
        where = f"hemi-{hemi}_space-fsaverage5" if new_order else f"space-fsaverage5_hemi-{hemi}"
        series = signals[:, group_of_vertex(PATTERN)] + 0.3 * generator.standard_normal((n, PATTERN))
        series += artefact * regressors @ generator.standard_normal((7, PATTERN)) / 3
        tiled = np.tile(1000 + 10 * series, (1, 1 + N_HEMI // PATTERN))[:, :N_HEMI]
        write_gifti(folder / f"{name}_{where}_bold.func.gii", tiled)
    write_confounds(folder / f"{name}_desc-confounds_timeseries.tsv", table)


def write_confounds(path: Path, table: dict[str, np.ndarray]) -> None:
    """Write a confound table, NaN as n/a, and its description."""
    rows = zip(*table.values(), strict=True)
    lines = ["\t".join(table), *("\t".join("n/a" if np.isnan(x) else f"{x:.9g}" for x in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    masks = {"a": "combined", "c": "CSF", "w": "WM"}
    stated = {
        column: {"Method": "aCompCor", "Mask": masks[column[0]], "Retained": True, "SingularValue": 1.0}
        for column in table
        if "_comp_cor_" in column
    }
    path.with_suffix(".json").write_text(json.dumps(stated))


def make_table(generator: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    table = {"global_signal": generator.standard_normal(n), "framewise_displacement": generator.random(n)}
    table["framewise_displacement"][0] = np.nan
    for kind in "acw":
        table |= {f"{kind}_comp_cor_{k:02d}": generator.standard_normal(n) for k in range(5)}
    table["cosine00"] = np.cos(np.pi * (np.arange(n) + 0.5) / n)
    for axis in AXES:
        moved = generator.standard_normal(n)
        change = np.concatenate([[np.nan], np.diff(moved)])
        table |= {axis: moved, f"{axis}_derivative1": change}
        table |= {f"{axis}_power2": moved**2, f"{axis}_derivative1_power2": change**2}
    table["non_steady_state_outlier00"] = (np.arange(n) == 0).astype(float)
    return table
