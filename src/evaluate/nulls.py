"""Null data: responses and labels with the stimulus-response pairing destroyed, which a design scores at chance."""

from dataclasses import replace

import numpy as np

from ..records import Labels, Responses


def shift_range(n: int) -> range:
    """Return the circular shifts allowed for n time bins: a quarter to three quarters of the length, at least 1."""
    return range(max(1, n // 4), max(2, 3 * n // 4))


def circular_shift(responses: Responses, seed: int) -> Responses:
    """Return responses shifted circularly in time within each film, which preserves their autocorrelation."""
    rng = np.random.default_rng(seed)
    values = responses.values.copy()
    for film in values:
        recorded = np.flatnonzero(np.isfinite(film).any(axis=(0, 2)))
        shifts = shift_range(len(recorded))
        film[:, recorded] = film[:, np.roll(recorded, rng.integers(shifts.start, shifts.stop))]
    return replace(responses, values=values)


def shuffle(responses: Responses, seed: int) -> Responses:
    """Return responses shuffled over the stimuli."""
    order = np.random.default_rng(seed).permutation(len(responses.stimuli))
    return replace(responses, values=responses.values[order])


def shuffle_labels(labels: Labels, seed: int) -> Labels:
    """Return labels shuffled over the stimuli."""
    order = np.random.default_rng(seed).permutation(len(labels.stimuli))
    return replace(labels, values=labels.values[order])
