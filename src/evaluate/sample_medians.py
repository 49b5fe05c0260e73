"""Median over targets of bootstrap samples. Imports numpy only."""

import numpy as np

from ..utils import nan_mean, nan_median

SAMPLES = 32  # whose spread over targets is computed at a time


def sample_medians(replicates: np.ndarray, factor: float = 1.0) -> np.ndarray:
    """Return the median over targets of each bootstrap sample.

    Targets differ in the estimated score already because of noise; with the noise of the samples on top they would
    differ more than in new data, and the median would vary more. The targets' means over samples are therefore moved
    towards their median until only the spread remains that noise does not explain.

    Parameters
    ----------
    replicates : array of shape (n_samples, n_targets)
        Scores of the bootstrap samples, NaN = undefined.
    factor : float, default 1
        Standard error of a target's score over the spread of its samples.

    Returns
    -------
    float64 array of shape (n_samples,)
        NaN for a sample without a score.

    Examples
    --------
    >>> sample_medians(np.array([[0.0, 0.4, np.nan], [0.2, 0.6, np.nan]])).round(3)
    array([0.2, 0.4])
    """
    known = np.isfinite(replicates)
    mean, median, variance, usable = np.mean, np.median, np.var, replicates
    if not known.all():
        replicates = replicates[:, known.any(axis=0)]
        mean, median, variance, usable = nan_mean, nan_median, np.nanvar, replicates[known.any(axis=1)]
    if not replicates.shape[1]:
        return np.full(len(replicates), np.nan)
    means = mean(replicates, axis=0)
    # variance over targets of what a sample adds to each
    batches = (usable[start : start + SAMPLES] for start in range(0, len(usable), SAMPLES))
    added = np.concatenate([variance(batch - means, axis=1) for batch in batches]).mean()
    observed = means.var()
    kept = np.sqrt(max(0.0, 1 - factor**2 * added / observed)) if observed > 0 else 1.0
    excess = (1 - kept) * (means - np.median(means))
    return median(replicates - excess.astype(replicates.dtype), axis=1).astype(np.float64)
