"""Scoring a model on electrode recordings: rows are stimulus x bin, splits are over stimuli, or over clips per unit."""

from collections.abc import Callable

import numpy as np

from src.evaluate.align import align
from src.evaluate.cross_validate import Problem, cross_validate, cross_validate_each
from src.evaluate.decoders import Decoder
from src.evaluate.splits import item_splits, segment_splits
from src.records import Activations, Responses, Score


def score(
    activations: Activations,
    responses: Responses,
    decoder: Decoder,
    *,
    n_splits: int = 10,
    seed: int = 0,
    jobs: int = 1,
    progress: Callable | None = None,
) -> Score:
    """Test and validation r of every layer, unit and split; all bins of a stimulus stay together."""
    aligned = align(activations, responses)
    rows = aligned.rows
    names = tuple(activations.layers)
    layers = {name: lambda name=name: rows.take(aligned.layer(name)) for name in names}
    splits = item_splits(len(rows), groups=rows.stimulus, n_splits=n_splits, seed=seed)
    result = cross_validate(
        layers, rows.take(aligned.targets), splits, decoder, "pearson", jobs=jobs, progress=progress
    )
    return _packed(names, responses, result, {"rows": len(rows), "rows skipped": rows.n_skipped})


def score_per_unit(
    activations: Activations,
    responses: Responses,
    decoder: Decoder,
    *,
    clip_ms: float = 5000.0,
    gap_ms: float = 10000.0,
    n_splits: int = 10,
    seed: int = 0,
    progress: Callable | None = None,
) -> Score:
    """The same where every unit saw a film of its own: each is split in clips of `clip_ms`, with a gap (see fmri)."""
    aligned = align(activations, responses)
    bins_ms = responses.time_ms
    names = tuple(activations.layers)

    def problem(unit: int) -> Problem:
        seen = np.isfinite(aligned.targets[aligned.rows.stimulus, aligned.rows.bin, unit])
        stimulus, time_bin = aligned.rows.stimulus[seen], aligned.rows.bin[seen]
        splits = segment_splits(
            stimulus, bins_ms[time_bin], clip_ms=clip_ms, gap_ms=gap_ms, n_splits=n_splits, seed=seed
        )
        layers = {name: lambda name=name: aligned.layer(name)[stimulus, time_bin] for name in names}
        return Problem(layers, aligned.targets[stimulus, time_bin, unit, None], splits)

    n_units = aligned.targets.shape[2]
    result = cross_validate_each(
        [lambda u=u: problem(u) for u in range(n_units)], decoder, "pearson", progress=progress
    )
    return _packed(names, responses, result, {"rows": len(aligned.rows), "rows skipped": aligned.rows.n_skipped})


def _packed(names, responses, result, notes) -> Score:
    units = responses.units
    targets = {"target_id": units["unit_id"], **units}
    return Score(
        names, targets, result.valid, result.test, "pearson", notes={**notes, "rows dropped": result.n_dropped}
    )
