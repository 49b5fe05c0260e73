"""Preparation of fMRI runs: removal of slow drift and standardisation, one run of one subject at a time.

A run is one presentation of one film to one subject. Features of a film are not filtered: the drift of a whole film,
removed from features and responses, would tie test rows to training rows, and noise would score above 0.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..records import Responses
from .protocol import HIGH_PASS_S

# a deviation below this share of the largest value is a rounding error of float32
_ROUNDING = 1e-6
_CHUNK = 4096  # units that are processed at a time


def cosine_drift(n_bins: int, width_s: float, cutoff_s: float = HIGH_PASS_S) -> np.ndarray:
    """Return the constant and the cosines of the discrete cosine transform with periods above the cut-off.

    Parameters
    ----------
    n_bins : int
        Length of the run in bins.
    width_s : float
        Width of a bin in seconds.
    cutoff_s : float, default 128.0
        Cut-off period in seconds.

    Returns
    -------
    float64 array of shape (n_bins, n_regressors)
        Orthonormal columns, the constant first. A run shorter than the cut-off has the constant only.

    References
    ----------
    Friston et al. 1995, Human Brain Mapping 2:189; SPM's `spm_dctmtx`, nilearn's `create_cosine_drift`.

    Examples
    --------
    >>> cosine_drift(400, 1.0).shape, cosine_drift(100, 1.0).shape
    ((400, 7), (100, 1))
    """
    order = 0
    if n_bins * width_s >= cutoff_s:
        # the tolerance keeps an exact ratio from being rounded down
        order = min(n_bins - 1, int(np.floor(2 * n_bins * width_s / cutoff_s + 1e-9)))
    phase = np.pi * (np.arange(n_bins)[:, None] + 0.5) * np.arange(order + 1) / n_bins
    basis = np.cos(phase)
    return basis / np.linalg.norm(basis, axis=0)


def high_pass(values: np.ndarray, width_s: float, cutoff_s: float = HIGH_PASS_S, axis: int = 0) -> np.ndarray:
    """Subtract the least-squares fit of the cosine drift of a run.

    Parameters
    ----------
    values : array of shape (..., n_bins, ...)
        Responses of units, or features; NaN = not recorded. The run spans the first to the last bin with any value; a
        fit uses the recorded bins of a column.
    width_s : float
        Width of a bin in seconds.
    cutoff_s : float, default 128.0
        Cut-off period in seconds, see `cosine_drift`.
    axis : int, default 0
        Axis of the bins.

    Returns
    -------
    float32 array of the shape of `values`
        Residuals with mean 0 over the recorded bins; NaN where `values` are NaN.

    Examples
    --------
    >>> time_s = np.arange(256.0)
    >>> slow, fast = np.cos(np.pi * (time_s + 0.5) / 256), np.sin(2 * np.pi * time_s / 16)
    >>> bool(np.corrcoef(high_pass(5 * slow + fast, 1.0), fast)[0, 1] > 0.99)
    True
    """
    moved = np.moveaxis(np.asarray(values), axis, 0)
    flat = moved.reshape(len(moved), -1)
    residuals = np.empty(flat.shape, dtype=np.float32)
    for start in range(0, flat.shape[1], _CHUNK):
        part = slice(start, start + _CHUNK)
        residuals[:, part] = _residuals(flat[:, part], width_s, cutoff_s)
    return np.moveaxis(residuals.reshape(moved.shape), 0, axis)


def standardised(responses: Responses, *, films: bool, high_pass_s: float | None = HIGH_PASS_S) -> Responses:
    """Return the record with every run of every subject on one scale, before repetitions are averaged.

    A run of a film is high-passed and z-scored per unit over its recorded bins. Responses to clips, one value or a few
    bins per stimulus, are z-scored per subject and unit over all stimuli, repetitions and bins, and not high-passed.

    Parameters
    ----------
    responses : Responses
        Left unchanged.
    films : bool
        Whether responses are time series of films; records with one bin per stimulus are clips in any case.
    high_pass_s : float or None, default 128.0
        Cut-off period in seconds; None: no high-pass, e.g. because the release did it.

    Returns
    -------
    Responses
        float32 values of mean 0 and deviation 1. A constant unit is NaN in a run (clips: in a subject) if another run
        of the same stimulus (another subject) varies, and 0 otherwise.
    """
    values = np.empty(responses.values.shape, dtype=np.float32)
    width_s = float(responses.time_ms[0, 1] - responses.time_ms[0, 0]) / 1000
    if films and len(responses.time_ms) > 1:
        _standardise_films(responses.values, values, width_s, high_pass_s)
    else:
        _standardise_clips(responses.values, values, np.asarray(responses.subjects))
    return replace(responses, values=values)


def _standardise_films(source: np.ndarray, values: np.ndarray, width_s: float, high_pass_s: float | None) -> None:
    """Write z-scored runs of `source` (n_stimuli, n_repetitions, n_time, n_units) to `values`."""
    cutoff_s = np.inf if high_pass_s is None else high_pass_s
    n_stimuli, n_repetitions, _, n_units = source.shape
    for film in range(n_stimuli):
        constant = np.zeros((n_repetitions, n_units), dtype=bool)
        for repetition in range(n_repetitions):
            run = source[film, repetition]
            largest = np.nanmax(np.abs(run), axis=0, initial=0)
            values[film, repetition] = high_pass(run, width_s, cutoff_s)
            constant[repetition] = _scale(values[film, repetition], largest)
        _drop_constant(values[film], constant)


def _standardise_clips(source: np.ndarray, values: np.ndarray, subjects: np.ndarray) -> None:
    """Write the values of `source` (n_stimuli, n_repetitions, n_time, n_units), z-scored per subject, to `values`."""
    distinct = list(dict.fromkeys(subjects.tolist()))
    constant = np.zeros((len(distinct), source.shape[3]), dtype=bool)
    for k, subject in enumerate(distinct):
        own = np.flatnonzero(subjects == subject)
        part = source[:, own].reshape(-1, source.shape[3])
        largest = np.nanmax(np.abs(part), axis=0, initial=0)
        centred = high_pass(part, 1.0, np.inf)
        constant[k] = _scale(centred, largest)
        values[:, own] = centred.reshape(len(source), len(own), *source.shape[2:])
    for k, subject in enumerate(distinct):
        lost = constant[k] & ~constant.all(axis=0)
        for repetition in np.flatnonzero(subjects == subject):
            values[:, repetition][..., lost] = np.nan


def _scale(centred: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Divide (n_rows, n_units) by its deviation in place, constant units by 1 to 0; return the mask of these units."""
    recorded = np.isfinite(centred)
    n = np.maximum(recorded.sum(axis=0), 1)
    squares = np.einsum("nu,nu->u", *[np.where(recorded, centred, 0)] * 2, dtype=np.float64)
    deviation = np.sqrt(squares / n)
    constant = deviation <= _ROUNDING * largest
    centred[:, constant] *= 0
    centred /= np.where(constant, 1, deviation).astype(np.float32)
    return constant & recorded.any(axis=0)


def _drop_constant(runs: np.ndarray, constant: np.ndarray) -> None:
    """Set units to NaN in their constant runs (n_repetitions, n_time, n_units), unless no run of the unit varies."""
    varies = (np.isfinite(runs).any(axis=1) & ~constant).any(axis=0)
    for repetition, units in enumerate(constant & varies):
        runs[repetition][:, units] = np.nan


def _residuals(values: np.ndarray, width_s: float, cutoff_s: float) -> np.ndarray:
    """Return `high_pass` of (n_bins, n_columns), one fit per pattern of recorded bins."""
    recorded = np.isfinite(values)
    residuals = np.full(values.shape, np.nan, dtype=np.float32)
    for bins, columns in _patterns(recorded):
        if len(bins):
            drift = _recorded_drift(bins[-1] - bins[0] + 1, bins - bins[0], width_s, cutoff_s)
            whole = len(bins) == len(values) and len(columns) == values.shape[1]
            place = (slice(None), slice(None)) if whole else np.ix_(bins, columns)
            residuals[place] = _without(values[place], drift)
    return residuals


def _patterns(recorded: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the recorded bins of each pattern, and the columns that have it: `recorded` (n_bins, n_columns)."""
    if (recorded == recorded[:, :1]).all():
        yield np.flatnonzero(recorded[:, 0]), np.arange(recorded.shape[1])
        return
    packed = np.ascontiguousarray(np.packbits(recorded, axis=0).T)
    _, pattern = np.unique(packed.view(np.dtype((np.void, packed.shape[1]))).ravel(), return_inverse=True)
    for one in range(pattern.max() + 1):
        columns = np.flatnonzero(pattern == one)
        yield np.flatnonzero(recorded[:, columns[0]]), columns


def _recorded_drift(n_bins: int, recorded: np.ndarray, width_s: float, cutoff_s: float) -> np.ndarray:
    """Return an orthonormal basis of the drift of a run of `n_bins` at its recorded bins: (n_recorded, rank)."""
    drift = cosine_drift(n_bins, width_s, cutoff_s)
    if len(recorded) == n_bins:
        return drift
    basis, size, _ = np.linalg.svd(drift[recorded], full_matrices=False)
    return basis[:, size > 1e-6 * size[0]]


def _without(values: np.ndarray, drift: np.ndarray) -> np.ndarray:
    """Return the float32 residuals of values (n, n_columns) from an orthonormal basis (n, rank) with the constant."""
    # the mean is subtracted in float64: raw signals are thousands of times larger than their changes
    centred = (values - values.mean(axis=0, dtype=np.float64)).astype(np.float32)
    basis = drift.astype(np.float32)
    return centred - basis @ (basis.T @ centred)
