"""Putting activations beside what was recorded: by stimulus id, by time bin, and as rows of a regression."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..records import Activations, Responses, Table
from ..utils import BadInput, overlap_weights


def match_ids(have: Sequence[str], wanted: Sequence[str], what: str) -> np.ndarray:
    """Where each wanted id stands among those at hand: int array (n_wanted,); an absent one raises BadInput."""
    place = {identity: i for i, identity in enumerate(have)}
    absent = [identity for identity in wanted if identity not in place]
    if absent:
        raise BadInput(f"{what}: no activations for {len(absent)} stimuli, first {absent[0]}; use --rerun-activation")
    return np.array([place[identity] for identity in wanted])


def to_bins(values: np.ndarray, source_ms: np.ndarray, target_ms: np.ndarray) -> np.ndarray:
    """Values (..., n_source, n_features) averaged by overlap into target bins, the last source bin repeated once.

    Returns (..., n_target, n_features); bins that the source does not cover are NaN.
    """
    if len(source_ms) == len(target_ms) and np.allclose(source_ms, target_ms):
        return np.asarray(values)
    width = source_ms[-1, 1] - source_ms[-1, 0]
    longer_ms = np.concatenate([source_ms, source_ms[-1:] + width])
    weights = overlap_weights(longer_ms, target_ms)
    weights[:, -2] += weights[:, -1]
    aligned = (weights[:, :-1].astype(np.float32) @ values).astype(np.float32)
    aligned[..., ~weights.any(axis=1), :] = np.nan
    return aligned


def regions(units: Table) -> dict[str, np.ndarray]:
    """{region: columns of its units} in the order in which they first come; empty where no region is named."""
    of_unit = np.asarray(units.get("region", ())).astype(str)
    return {region: np.flatnonzero(of_unit == region) for region in dict.fromkeys(of_unit.tolist())}


def numbered(values: Sequence) -> np.ndarray:
    """Equal values by one number, in the order in which they first come, from 0 on: int array (n_values,)."""
    place: dict = {}
    return np.array([place.setdefault(value, len(place)) for value in np.asarray(values).tolist()], dtype=int)


def average_repetitions(responses: Responses) -> np.ndarray:
    """The mean over the repetitions that were recorded: (n_stimuli, n_time, n_units), NaN where there was none."""
    recorded = np.isfinite(responses.values)
    total = np.where(recorded, responses.values, 0).sum(axis=1, dtype=np.float64)
    count = recorded.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


@dataclass(frozen=True)
class Rows:
    """The rows of a regression: one per stimulus and time bin in which something was recorded.

    stimulus, bin: int arrays (n_rows,), in the order of the stimuli and of time; n_skipped: recorded bins that the
    activations do not cover (the film is shorter than the recording).
    """

    stimulus: np.ndarray
    bin: np.ndarray
    n_skipped: int

    def __len__(self) -> int:
        return len(self.stimulus)

    def take(self, values: np.ndarray) -> np.ndarray:
        """(n_stimuli, n_time, n) -> (n_rows, n)."""
        return np.asarray(values)[self.stimulus, self.bin]


def recorded_rows(targets: np.ndarray, n_covered: np.ndarray) -> Rows:
    """The rows in which any unit was recorded and the stimulus still ran.

    Parameters: `targets` (n_stimuli, n_time, n_units), NaN = not recorded; `n_covered` (n_stimuli,) leading bins that
    the activations cover.
    """
    recorded = np.isfinite(targets).any(axis=2)
    covered = np.arange(targets.shape[1])[None, :] < np.asarray(n_covered)[:, None]
    stimulus, time_bin = np.nonzero(recorded & covered)
    return Rows(stimulus, time_bin, int((recorded & ~covered).sum()))


@dataclass(frozen=True)
class Aligned:
    """Activations beside responses of the same stimuli and bins.

    layer(name) -> (n_stimuli, n_time, n_features); targets (n_stimuli, n_time, n_units), repetitions averaged.
    """

    layer: Callable[[str], np.ndarray]
    targets: np.ndarray
    rows: Rows


def align(activations: Activations, responses: Responses) -> Aligned:
    """Activations in the order of the responses' stimuli and in the recording's bins."""
    order = match_ids(activations.ids, responses.stimuli.ids, responses.stimuli.name)
    in_order = np.array_equal(order, np.arange(len(activations.ids)))

    def layer(name: str) -> np.ndarray:
        values = activations.layers[name] if in_order else activations.layers[name][order]
        return to_bins(values, activations.time_ms, responses.time_ms)

    targets = average_repetitions(responses)
    n_valid = np.asarray(activations.n_valid)[order]
    if np.array_equal(activations.time_ms, responses.time_ms):
        n_covered = n_valid
    else:
        # the repeated bin lies behind the longest stimulus only; a shorter one ends with its own last bin
        width = activations.time_ms[0, 1] - activations.time_ms[0, 0]
        end_ms = activations.time_ms[np.maximum(n_valid, 1) - 1, 1] + width * (n_valid == len(activations.time_ms))
        n_covered = (responses.time_ms[None, :, 1] <= end_ms[:, None] + 1e-6).sum(axis=1) * (n_valid > 0)
    return Aligned(layer, targets, recorded_rows(targets, n_covered))
