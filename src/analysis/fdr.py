"""P values of permutations, and the false discovery rate over many targets."""

import numpy as np

from ..ceiling import FDR


def p_values(null: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return one-sided p values, (1 + number of permutations not below the score) / (1 + n).

    Parameters
    ----------
    null : array of shape (n, ...)
        Scores of n permutations.
    observed : array of shape (...)
        Observed scores.

    Returns
    -------
    array of shape (...)
        NaN for an observed NaN.

    References
    ----------
    Phipson and Smyth 2010, Statistical Applications in Genetics and Molecular Biology 9:39.

    Examples
    --------
    >>> p_values(np.arange(9.0), np.array(7.5)).item()
    0.2
    """
    p = (1 + np.sum(~(null < observed), axis=0)) / (1 + len(null))
    return np.where(np.isfinite(observed), p, np.nan)


def q_values(p: np.ndarray) -> np.ndarray:
    """Return p values adjusted for the false discovery rate.

    Parameters
    ----------
    p : array of shape (n_targets,)
        P values, NaN = not tested.

    Returns
    -------
    array of shape (n_targets,)
        NaN for a NaN, which does not count as a test.

    References
    ----------
    Benjamini and Hochberg 1995, Journal of the Royal Statistical Society B 57:289.

    Examples
    --------
    >>> q_values(np.array([0.01, np.nan, 0.5]))
    array([0.02,  nan, 0.5 ])
    """
    from scipy.stats import false_discovery_control

    p = np.asarray(p, dtype=np.float64)
    q, known = np.full(p.shape, np.nan), np.isfinite(p)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return q


def significant(q: np.ndarray) -> int:
    """Return the number of q values below 0.05, NaN not counted."""
    return int(np.sum(np.asarray(q) < FDR))
