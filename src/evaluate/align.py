"""Alignment of activations with responses: by stimulus id, by time bin, and as rows of a regression."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..ceiling import repetition_mean
from ..records import Activations, Responses, Stimuli, Table
from ..utils import BadInput, overlap_weights
from .protocol import TOLERANCE_MS


def match_ids(available: Sequence[str], wanted: Sequence[str], what: str) -> np.ndarray:
    """Return each wanted id's position among those available: int (n_wanted,); raise BadInput for an absent one."""
    place = {identity: i for i, identity in enumerate(available)}
    absent = [identity for identity in wanted if identity not in place]
    if absent:
        raise BadInput(f"{what}: no activations for {len(absent)} stimuli, first {absent[0]}; use --rerun-activation")
    return np.array([place[identity] for identity in wanted])


def to_bins(values: np.ndarray, source_ms: np.ndarray, target_ms: np.ndarray) -> np.ndarray:
    """Average values (..., n_source, n_features) by overlap into target bins; the last source bin is repeated once.

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
    """Return {region: columns of its units} in the order of first occurrence; empty without a column "region"."""
    of_unit = np.asarray(units.get("region", ())).astype(str)
    return {region: np.flatnonzero(of_unit == region) for region in dict.fromkeys(of_unit.tolist())}


def codes(values: Iterable) -> tuple[np.ndarray, list[Hashable]]:
    """Return each value's index among the distinct ones, int (n_values,), and these in order of first occurrence."""
    place: dict[Hashable, int] = {}
    found = np.array([place.setdefault(value, len(place)) for value in map(_hashable, values)], dtype=int)
    return found, list(place)


def _hashable(value) -> Hashable:
    """Return a NumPy scalar as a Python one, a list as a tuple, and anything else as it is."""
    return value.item() if isinstance(value, np.generic) else tuple(value) if isinstance(value, list) else value


def content_codes(stimuli: Sequence[Stimuli]) -> np.ndarray:
    """Return a number per stimulus of all sets, one after the other, equal for stimuli of equal content: int (n,)."""
    return codes(content for one in stimuli for content in one.contents)[0]


@dataclass(frozen=True)
class Rows:
    """Rows of a regression: one per stimulus and time bin with a recorded response.

    stimulus, bin: int arrays (n_rows,), in the order of the stimuli and of time; n_skipped: recorded bins that the
    activations do not cover (the stimulus is shorter than the recording).
    """

    stimulus: np.ndarray
    bin: np.ndarray
    n_skipped: int

    def __len__(self) -> int:
        return len(self.stimulus)

    def take(self, values: np.ndarray) -> np.ndarray:
        """Return the rows of values: (n_stimuli, n_time, n) -> (n_rows, n), a view where they are all bins of all."""
        n_stimuli, n_time, n = np.shape(values)
        if len(self) == n_stimuli * n_time and (np.diff(self.stimulus * n_time + self.bin) == 1).all():
            return np.asarray(values).reshape(-1, n)
        return np.asarray(values)[self.stimulus, self.bin]


def recorded_rows(targets: np.ndarray, n_covered: np.ndarray) -> Rows:
    """Return the rows with a response of any unit that the activations cover.

    targets: (n_stimuli, n_time, n_units), NaN = not recorded; n_covered: (n_stimuli,) leading bins that the activations
    cover.
    """
    recorded = np.isfinite(targets).any(axis=2)
    covered = np.arange(targets.shape[1])[None, :] < np.asarray(n_covered)[:, None]
    stimulus, time_bin = np.nonzero(recorded & covered)
    return Rows(stimulus, time_bin, int((recorded & ~covered).sum()))


@dataclass(frozen=True)
class Aligned:
    """Activations and responses of the same stimuli and time bins.

    layer(name) -> (n_stimuli, n_time, n_features); targets (n_stimuli, n_time, n_units), mean over repetitions.
    """

    layer: Callable[[str], np.ndarray]
    targets: np.ndarray
    rows: Rows


def align(activations: Activations, responses: Responses) -> Aligned:
    """Bring activations into the order of the responses' stimuli and into their time bins."""
    order = match_ids(activations.ids, responses.stimuli.ids, responses.stimuli.name)
    in_order = np.array_equal(order, np.arange(len(activations.ids)))

    def layer(name: str) -> np.ndarray:
        values = activations.layers[name] if in_order else activations.layers[name][order]
        return to_bins(values, activations.time_ms, responses.time_ms)

    targets = repetition_mean(responses.values, np.float32)
    n_valid = np.asarray(activations.n_valid)[order]
    if np.array_equal(activations.time_ms, responses.time_ms):
        n_covered = n_valid
    else:
        # the repeated bin extends the longest stimulus only; a shorter one ends with its last bin
        width = activations.time_ms[0, 1] - activations.time_ms[0, 0]
        end_ms = activations.time_ms[np.maximum(n_valid, 1) - 1, 1] + width * (n_valid == len(activations.time_ms))
        n_covered = (responses.time_ms[None, :, 1] <= end_ms[:, None] + TOLERANCE_MS).sum(axis=1) * (n_valid > 0)
    return Aligned(layer, targets, recorded_rows(targets, n_covered))
