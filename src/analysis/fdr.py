"""The false discovery rate over many targets."""

import numpy as np

LEVEL = 0.05


def q_values(p: np.ndarray) -> np.ndarray:
    """Benjamini-Hochberg adjusted p values of (n_targets,) p values; NaN ones stay NaN and do not count."""
    from scipy.stats import false_discovery_control

    p = np.asarray(p, dtype=np.float64)
    q, known = np.full(p.shape, np.nan), np.isfinite(p)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return q


def significant(q: np.ndarray) -> int:
    """How many targets lie below the level of 0.05."""
    return int(np.sum(np.asarray(q) < LEVEL))
