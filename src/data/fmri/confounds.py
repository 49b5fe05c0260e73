"""Confound regression of an fMRI run: presets over fMRIPrep's confound tables, with nilearn's functions.

Presets: "motion24+acompcor" (six motion parameters, their derivatives and all squares; five components each of white
matter and CSF, Behzadi et al. 2007, NeuroImage 37:90), "motion24", "motion6", each with fMRIPrep's cosines for slow
drift; "none"; and "pca95", the published one: all columns of the table, whitened to the components that explain 95 % of
the variance (about a hundred, which include the global signal), fitted without intercept. Every preset preserves the
mean of a vertex. Tables of fMRIPrep before 1.4 have other names, no derivatives and no description of their components:
derivatives and squares are computed, and aCompCor is their combined components.
"""

import logging
import re
import warnings
from pathlib import Path

import numpy as np

from ...utils import BadInput

log = logging.getLogger(__name__)
FEWEST_LEFT = 0.25  # share of the degrees of freedom below which a run is said to keep little of its variance
PRESETS = ("motion24+acompcor", "motion24", "motion6", "none", "pca95")
SHARE = 0.95
_COMPCOR = {"compcor": "anat_separated", "n_compcor": 5}
_STRATEGIES = {
    "motion6": {"strategy": ("motion", "high_pass"), "motion": "basic"},
    "motion24": {"strategy": ("motion", "high_pass"), "motion": "full"},
    "motion24+acompcor": {"strategy": ("motion", "high_pass", "compcor"), "motion": "full", **_COMPCOR},
}
_AXES = tuple(f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz")
# names before version 1.2 of fMRIPrep
_FIRST_NAMES = dict(zip(("X", "Y", "Z", "RotX", "RotY", "RotZ"), _AXES, strict=True))
_FIRST_NAME = re.compile(r"(aCompCor|Cosine|NonSteadyStateOutlier)(\d+)")
_PREFIXES = {"aCompCor": "a_comp_cor_", "Cosine": "cosine", "NonSteadyStateOutlier": "non_steady_state_outlier"}


def clean(series: np.ndarray, table: Path, preset: str) -> np.ndarray:
    """Return the residuals of `series` (n_volumes, n_vertices) after confound regression.

    Volumes before the steady state are NaN. table: fMRIPrep's `..._desc-confounds_timeseries.tsv`, its .json beside it
    for aCompCor. Raises BadInput if it has another number of rows than the series, or lacks columns of the preset.
    """
    if preset == "none":
        return series
    if preset == "pca95":
        return regress_components(series, components(_columns(table, len(series))))
    older = _is_older(table, preset)
    regressors, steady = (_older_regressors if older else _regressors)(table, preset, len(series))
    if not steady.any():
        raise BadInput(f"{table}: leaves no volume in the steady state; expected fMRIPrep's; run fMRIPrep again")
    left = 1 - (regressors.shape[1] + 1) / max(int(steady.sum()), 1)
    if left < FEWEST_LEFT:
        log.warning(
            "%s: %d regressors of '%s' for %d volumes leave %d %% of the variance of noise%s; choose --confounds "
            "motion6 or none",
            *(table, regressors.shape[1], preset, steady.sum(), round(100 * max(left, 0))),
            *("" if left > 0 else ", nothing of the responses",),
        )
    from nilearn.signal import clean as regress

    # nilearn subtracts the fit of centred regressors, which preserves the mean
    fitted = regress(series[steady], confounds=regressors[steady], detrend=False, standardize=None, filter=False)
    found = np.full(series.shape, np.nan, dtype=np.float32)
    found[steady] = fitted
    return found


def components(columns: np.ndarray) -> np.ndarray:
    """Return the leading components (PCA) that explain 95 % of the variance: (n_volumes, n_columns) -> (n_volumes, n).

    As published: NaN is replaced by the column's mean, z-scores divide by the population's standard deviation + 1e-8,
    and the number of components is the smallest that exceeds the share.
    """
    columns = np.asarray(columns, dtype=np.float64)
    columns = np.where(np.isnan(columns), np.nan_to_num(np.nanmean(columns, axis=0)), columns)
    z = (columns - columns.mean(axis=0)) / (columns.std(axis=0) + 1e-8)
    left, singular, _ = np.linalg.svd(z - z.mean(axis=0), full_matrices=False)
    held = np.cumsum(singular**2) / (singular**2).sum()
    return left[:, : 1 + int(np.searchsorted(held, SHARE, side="right"))]


def regress_components(series: np.ndarray, orthonormal: np.ndarray) -> np.ndarray:
    """Return the residuals of `series` (n_volumes, n_vertices) from a fit by orthonormal columns, without intercept."""
    return (series - orthonormal @ (orthonormal.T @ series)).astype(np.float32)


def n_rows(table: Path) -> int:
    """Return the number of volumes that a confound table describes."""
    return sum(1 for line in table.read_text().splitlines() if line.strip()) - 1


def _columns(table: Path, n_volumes: int) -> np.ndarray:
    import pandas

    try:
        columns = pandas.read_csv(table, sep="\t").apply(pandas.to_numeric).to_numpy(dtype=np.float64)
    except (ValueError, OSError) as error:
        raise BadInput(f"{table}: no table of confounds ({error}); expected fMRIPrep's; run fMRIPrep again") from error
    _check_length(table, len(columns), n_volumes)
    return columns


def _regressors(table: Path, preset: str, n_volumes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the regressors (n_volumes, n_regressors) and a mask of the volumes in the steady state (n_volumes,)."""
    from nilearn.interfaces.fmriprep import load_confounds

    # nilearn derives the table's name from an image's, and fMRIPrep's versions order the entities differently
    image = str(table).replace("_desc-confounds_timeseries.tsv", "_hemi-L_bold.func.gii")
    image = image.replace("_desc-confounds_regressors.tsv", "_hemi-L_bold.func.gii")
    try:
        with warnings.catch_warnings():
            # a table without any volume in the steady state is an error later
            warnings.filterwarnings("ignore", "All volumes were marked", RuntimeWarning)
            found, kept = load_confounds(image, **_STRATEGIES[preset])
    except (ValueError, KeyError, IndexError, TypeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(
            f"{table}: confounds '{preset}' cannot be read ({reason}); expected fMRIPrep's table and its .json beside "
            f"it; or choose --confounds motion6 or none"
        ) from error
    _check_length(table, len(found), n_volumes)
    steady = np.ones(n_volumes, dtype=bool)
    if kept is not None:
        steady = np.isin(np.arange(n_volumes), kept)
    return found.to_numpy(dtype=np.float64), steady


def _is_older(table: Path, preset: str) -> bool:
    """Return whether a table is of a version of fMRIPrep before 1.4, which nilearn does not read."""
    header = _header(table)
    return "RotX" in header or ("trans_x" in header and "trans_x_derivative1" not in header)


def _header(table: Path) -> list[str]:
    try:
        with table.open(encoding="utf-8-sig") as lines:
            return lines.readline().rstrip("\n").split("\t")
    except (UnicodeDecodeError, OSError) as error:
        raise BadInput(f"{table}: is no table of text ({error}); expected fMRIPrep's; run fMRIPrep again") from error


def _older_regressors(table: Path, preset: str, n_volumes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what `_regressors` returns, of a table of a version of fMRIPrep before 1.4."""
    columns = dict(zip(map(_present_name, _header(table)), _columns(table, n_volumes).T, strict=True))
    absent = [axis for axis in _AXES if axis not in columns]
    components = [name for name in columns if name.startswith("a_comp_cor_")]
    if absent or ("compcor" in preset and not components):
        lacking = absent or ["a_comp_cor_00"]
        raise BadInput(
            f"{table}: confounds '{preset}' cannot be read (no column {', '.join(lacking)}); expected fMRIPrep's "
            f"table; or choose --confounds none"
        )
    chosen = [columns[axis] for axis in _AXES]
    if preset != "motion6":
        chosen += [np.diff(values, prepend=values[:1]) for values in chosen]
        chosen += [values**2 for values in chosen]
    chosen += [columns[name] for name in columns if name.startswith("cosine")]
    chosen += [columns[name] for name in components] if "compcor" in preset else []
    early = [columns[name] > 0 for name in columns if name.startswith("non_steady_state_outlier")]
    return np.nan_to_num(np.stack(chosen, axis=1)), ~np.any([np.zeros(n_volumes, dtype=bool), *early], axis=0)


def _present_name(name: str) -> str:
    """Return the present name of a column of any version of fMRIPrep."""
    found = _FIRST_NAME.fullmatch(name)
    return f"{_PREFIXES[found[1]]}{found[2]}" if found else _FIRST_NAMES.get(name, name)


def _check_length(table: Path, n_rows: int, n_volumes: int) -> None:
    if n_rows != n_volumes:
        raise BadInput(f"{table}: {n_rows} rows for {n_volumes} volumes; expected as many; run fMRIPrep again")
