"""Haemodynamic lag of responses behind the stimulus: convolution with a response function, or a plain delay."""

import numpy as np
from scipy.signal import lfilter
from scipy.stats import gamma

from .protocol import DELAY_MS


def spm_hrf(tr_s: float, length_s: float = 32.0) -> np.ndarray:
    """Return the SPM canonical response, one sample per volume, summing to 1: (length_s / tr_s,).

    Difference of two gamma densities: peak at 6 s, undershoot at 16 s, dispersions 1 s, ratio 0.167, both starting one
    sample late, on a grid that spans [0, length_s] with both ends (Glover 1999; Friston et al. 1998; nilearn's
    `spm_hrf(tr, oversampling=1)`).
    """
    time_s = np.linspace(0, length_s, round(length_s / tr_s))
    response = gamma.pdf(time_s, 6.0, loc=tr_s) - 0.167 * gamma.pdf(time_s, 16.0, loc=tr_s)
    return response / response.sum()


def convolve(features: np.ndarray, width_ms: float) -> np.ndarray:
    """Convolve features (n_time, n_features) in bins of `width_ms` causally, with zeros before the first bin."""
    return lfilter(spm_hrf(width_ms / 1000), 1.0, features, axis=0).astype(np.float32)


def delay(features: np.ndarray, width_ms: float, delay_ms: float = DELAY_MS) -> np.ndarray:
    """Shift features (n_time, n_features) to later bins by `delay_ms`, rounded to bins; the first bins are NaN."""
    shift = round(delay_ms / width_ms)
    late = np.full_like(features, np.nan)
    late[shift:] = features[: max(len(features) - shift, 0)]
    return late
