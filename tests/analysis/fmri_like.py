"""Simulated films and responses: smooth noise, plus a linear map of the features of a given strength."""

import numpy as np
from scipy.signal import lfilter

from src.evaluate import hrf
from src.evaluate.cross_validate import Problem
from src.evaluate.protocol import GAP_MS, SEGMENT_MS, Protocol
from src.evaluate.splits import penalty_blocks, segment_splits, segments
from src.utils import regular_bins

FILMS_S = (240, 180, 240)


def series(n, width, rng):
    """Return first-order autoregressive noise (0.7 per second), convolved with the HRF: (n, width)."""
    return hrf.convolve(lfilter([1.0], [1.0, -0.7], rng.standard_normal((n, width)), axis=0), 1000.0)


def scaled(values):
    return (values - values.mean(axis=0)) / values.std(axis=0)


def problem(seed, *, films_s=FILMS_S, n_layers=1, n_features=15, n_targets=4, signal=0.0, shared=0.0, n_splits=10):
    """Return a joint regression of films; the first layer drives every target at `signal` noise deviations.

    The map is the same for all seeds; shared: share of the noise's variance that is common to the targets.
    """
    rng = np.random.default_rng([1, seed])
    mapping = np.random.default_rng(99).standard_normal((n_features, n_targets))
    layers = [np.concatenate([series(n, n_features, rng) for n in films_s]) for _ in range(n_layers)]
    individual, common = (scaled(np.concatenate([series(n, k, rng) for n in films_s])) for k in (n_targets, 1))
    noise = np.sqrt(1 - shared) * individual + np.sqrt(shared) * common
    targets = (noise + signal * scaled(layers[0] @ mapping)).astype(np.float32)
    stimulus = np.repeat(np.arange(len(films_s)), films_s)
    time_ms = np.concatenate([regular_bins(1000.0 * n, 1000.0) for n in films_s])
    return Problem(
        {f"layer{i}": lambda X=X: X for i, X in enumerate(layers)},
        targets,
        segment_splits(stimulus, time_ms, segment_ms=SEGMENT_MS, gap_ms=GAP_MS, n_splits=n_splits),
        blocks=segments(stimulus, time_ms[:, 0], SEGMENT_MS),
        block_name="segments",
        left_out=penalty_blocks(stimulus, time_ms, Protocol()),
        stimulus=stimulus,
        shifted=np.ones(len(stimulus), bool),
    )
