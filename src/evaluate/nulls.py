"""The same data with the link between stimulus and response cut: what a design scores on it, it scores on noise."""

from dataclasses import replace

import numpy as np

from ..records import Labels, Responses


def rolled(responses: Responses, seed: int) -> Responses:
    """Each film's responses turned round in time by a quarter to three quarters of its length: as smooth as before."""
    rng = np.random.default_rng(seed)
    values = responses.values.copy()
    for film in values:
        recorded = np.flatnonzero(np.isfinite(film).any(axis=(0, 2)))
        turn = rng.integers(max(1, len(recorded) // 4), max(2, 3 * len(recorded) // 4))
        film[:, recorded] = film[:, np.roll(recorded, turn)]
    return replace(responses, values=values)


def exchanged(responses: Responses, seed: int) -> Responses:
    """Each stimulus with the responses to another one."""
    order = np.random.default_rng(seed).permutation(len(responses.stimuli))
    return replace(responses, values=responses.values[order])


def exchanged_labels(labels: Labels, seed: int) -> Labels:
    """Each stimulus with the label of another one."""
    order = np.random.default_rng(seed).permutation(len(labels.stimuli))
    return replace(labels, values=labels.values[order])
