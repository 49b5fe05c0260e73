"""Haemodynamic lag of responses behind the stimulus: convolution with a response function, or delays."""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.signal import lfilter
from scipy.stats import gamma

from ..utils import BadInput
from .protocol import DELAY_MS, FIR_S, HRF_S, SAMPLED_HRF

# response: (delay of the peak, of the undershoot, dispersion of both, ratio of the undershoot), times in s
SHAPES = {"spm": (6.0, 16.0, 1.0, 0.167), "glover": (6.0, 12.0, 0.9, 0.48)}


def response(name: str, width_s: float) -> np.ndarray:
    """Return the mean haemodynamic response in each time bin to a stimulus that is on during the first one.

    The response function is the difference of two gamma densities, from time 0 on. Its average over the input bin and
    the output bin is computed in closed form, from the integrals of the distribution functions.

    Parameters
    ----------
    name : {"spm", "glover"}
        "spm": peak at 6 s, undershoot at 16 s, dispersions 1 s, ratio 0.167 (Friston et al. 1998). "glover": peak at
        6 s, undershoot at 12 s, dispersions 0.9 s, ratio 0.48 (Glover 1999). Both as in nilearn.
    width_s : float
        Width of a time bin.

    Returns
    -------
    array of shape (ceil(32 / width_s) + 1,)
        Response in the bin of the stimulus and in the following ones, summing to 1.

    Raises
    ------
    BadInput
        If there is no such response function.

    Examples
    --------
    >>> response("spm", 2.0)[:6].round(3).tolist()
    [0.004, 0.11, 0.347, 0.371, 0.22, 0.082]
    """
    if name not in SHAPES:
        raise BadInput(f"response function '{name}'; expected one of {', '.join(SHAPES)}")
    peak, undershoot, dispersion, ratio = SHAPES[name]
    edges = width_s * np.arange(-1, np.ceil(HRF_S / width_s) + 2)
    twice = _twice_integrated(peak, dispersion, edges) - ratio * _twice_integrated(undershoot, dispersion, edges)
    found = np.diff(twice, 2)
    return found / found.sum()


def _twice_integrated(delay_s: float, dispersion_s: float, time_s: np.ndarray) -> np.ndarray:
    """Return the integral from 0 to each time of the distribution function of a gamma density with mean `delay_s`."""
    shape = delay_s / dispersion_s
    first_moment = delay_s * gamma.cdf(time_s, shape + 1, scale=dispersion_s)
    return time_s * gamma.cdf(time_s, shape, scale=dispersion_s) - first_moment


def spm_hrf(tr_s: float, length_s: float = HRF_S) -> np.ndarray:
    """Return the SPM canonical response, one sample per volume, summing to 1: (length_s / tr_s,).

    As in `response`, with both densities starting one sample late, on a grid that spans [0, length_s] with both ends
    (nilearn's `spm_hrf(tr, oversampling=1)`).
    """
    peak, undershoot, dispersion, ratio = SHAPES["spm"]
    time_s = np.linspace(0, length_s, round(length_s / tr_s))
    early, late = (gamma.pdf(time_s, delay_s / dispersion, loc=tr_s) for delay_s in (peak, undershoot))
    return (early - ratio * late) / (early - ratio * late).sum()


def convolve(features: np.ndarray, width_ms: float, kernel: str = SAMPLED_HRF) -> np.ndarray:
    """Convolve the features of a film with a haemodynamic response, causally.

    Parameters
    ----------
    features : array of shape (n_time, n_features)
        Features of one film, from its start on; bins after its end may be NaN.
    width_ms : float
        Width of a time bin.
    kernel : {"spm", "glover", "none", "spm-sampled"}, default "spm-sampled"
        "spm", "glover": `response`; before the film each feature has its mean over the film. "none": no convolution.
        "spm-sampled", the published protocol: `spm_hrf`, sampled once per bin; before the film features are 0.

    Returns
    -------
    float32 array of shape (n_time, n_features)

    Raises
    ------
    BadInput
        If there is no such kernel.

    Examples
    --------
    >>> convolve(np.full((3, 1), 7.0), 1000.0, "spm").ravel().tolist()
    [7.0, 7.0, 7.0]
    """
    if kernel == "none":
        return np.asarray(features, dtype=np.float32)
    if kernel == SAMPLED_HRF:
        return lfilter(spm_hrf(width_ms / 1000), 1.0, features, axis=0).astype(np.float32)
    mean = _mean(features)
    return (lfilter(response(kernel, width_ms / 1000), 1.0, features - mean, axis=0) + mean).astype(np.float32)


def _mean(features: np.ndarray) -> np.ndarray:
    """Return the mean of each feature over the bins that are finite, in float64: (1, n_features); 0 without any."""
    finite = np.isfinite(features)
    total = np.where(finite, features, 0).sum(axis=0, keepdims=True, dtype=np.float64)
    return total / np.maximum(finite.sum(axis=0, keepdims=True), 1)


def delay(features: np.ndarray, width_ms: float, delay_ms: float = DELAY_MS) -> np.ndarray:
    """Shift features (n_time, n_features) to later bins by `delay_ms`, rounded to bins; the first bins are NaN."""
    shift = round(delay_ms / width_ms)
    late = np.full_like(features, np.nan)
    late[shift:] = features[: max(len(features) - shift, 0)]
    return late


def delay_bins(width_ms: float, first_s: float = FIR_S[0], last_s: float = FIR_S[1]) -> tuple[int, ...]:
    """Return the delays of a finite impulse response in bins: all from `first_s` to `last_s`, both rounded to bins.

    Examples
    --------
    >>> delay_bins(2000.0)
    (1, 2, 3, 4, 5)
    """
    return tuple(range(round(1000 * first_s / width_ms), round(1000 * last_s / width_ms) + 1))


def delayed(features: np.ndarray, delays: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield the copies of a film's features that are the regressors of a finite impulse response, one at a time.

    The linear kernel of all of them is the sum of their kernels, and a ridge regression on them needs no other copy.

    Parameters
    ----------
    features : array of shape (n_time, n_features)
        Features of one film, from its start on.
    delays : sequence of int
        Delays in bins, 0 or more, see `delay_bins`.

    Yields
    ------
    float32 array of shape (n_time, n_features)
        Features less their mean over the film, shifted to later bins; 0 before the film.

    Examples
    --------
    >>> [copy.ravel().tolist() for copy in delayed(np.array([[1.0], [2.0], [3.0]]), [0, 1])]
    [[-1.0, 0.0, 1.0], [0.0, -1.0, 0.0]]
    """
    centred = (features - _mean(features)).astype(np.float32)
    for shift in delays:
        late = np.zeros_like(centred)
        late[shift:] = centred[: max(len(centred) - shift, 0)]
        yield late
