"""Scoring a model on electrode recordings: rows are stimulus x bin, splits are over stimuli, or over clips per unit."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..records import Activations, Evaluation, Responses
from .align import align, numbered, regions
from .cross_validate import Problem, cross_validate_each, cross_validate_problem
from .decoders import Decoder
from .splits import item_splits, segment_splits, segments


def score(
    activations: Activations,
    responses: Responses,
    decoder: Decoder,
    *,
    n_splits: int = 10,
    seed: int = 0,
    resample: bool = False,
    jobs: int = 1,
    progress: Callable | None = None,
) -> Evaluation:
    """Test and validation r of every layer, unit and split; all bins of a stimulus stay together.

    resample: keep what a bootstrap over stimuli asks for.
    """
    made, notes = problem(activations, responses, n_splits=n_splits, seed=seed)
    made = made if resample else replace(made, units=None)
    groups = regions(responses.units)
    result = cross_validate_problem(made, decoder, "pearson", groups=groups, jobs=jobs, progress=progress)
    return _packed(tuple(made.layers), responses, result, notes)


def problem(
    activations: Activations, responses: Responses, *, n_splits: int = 10, seed: int = 0
) -> tuple[Problem, dict]:
    """The regression of all rows (stimulus x bin), and what was counted in making it; stimuli are exchanged."""
    aligned = align(activations, responses)
    rows = aligned.rows
    names = tuple(activations.layers)
    layers = {name: lambda name=name: rows.take(aligned.layer(name)) for name in names}
    splits = item_splits(len(rows), groups=rows.stimulus, n_splits=n_splits, seed=seed)
    made = Problem(
        layers,
        rows.take(aligned.targets),
        splits,
        units=numbered(rows.stimulus),
        unit="stimuli",
        stimulus=rows.stimulus,
        rolled=np.zeros(len(rows), bool),
    )
    return made, {"rows": len(rows), "rows skipped": rows.n_skipped}


def score_per_unit(
    activations: Activations,
    responses: Responses,
    decoder: Decoder,
    *,
    clip_ms: float = 5000.0,
    gap_ms: float = 10000.0,
    n_splits: int = 10,
    seed: int = 0,
    resample: bool = False,
    progress: Callable | None = None,
) -> Evaluation:
    """The same where every unit saw a film of its own: each is split in clips of `clip_ms`, with a gap (see fmri).

    resample: keep what a bootstrap over clips, within each film, asks for.
    """
    makers, notes = unit_problems(activations, responses, clip_ms=clip_ms, gap_ms=gap_ms, n_splits=n_splits, seed=seed)
    if not resample:
        makers = [lambda make=make: replace(make(), units=None) for make in makers]
    result = cross_validate_each(makers, decoder, "pearson", groups=regions(responses.units), progress=progress)
    return _packed(tuple(activations.layers), responses, result, notes)


def unit_problems(
    activations: Activations, responses: Responses, *, clip_ms: float, gap_ms: float, n_splits: int, seed: int
) -> tuple[list[Callable[[], Problem]], dict]:
    """One regression per unit, made when called, and what was counted; its film is turned round in time."""
    aligned = align(activations, responses)
    bins_ms = responses.time_ms
    names = tuple(activations.layers)

    def make(unit: int) -> Problem:
        seen = np.isfinite(aligned.targets[aligned.rows.stimulus, aligned.rows.bin, unit])
        stimulus, time_bin = aligned.rows.stimulus[seen], aligned.rows.bin[seen]
        splits = segment_splits(
            stimulus, bins_ms[time_bin], clip_ms=clip_ms, gap_ms=gap_ms, n_splits=n_splits, seed=seed
        )
        layers = {name: lambda name=name: aligned.layer(name)[stimulus, time_bin] for name in names}
        clips = segments(stimulus, bins_ms[time_bin, 0], clip_ms)
        turned = np.ones(len(stimulus), bool)
        values = aligned.targets[stimulus, time_bin, unit, None]
        return Problem(layers, values, splits, units=clips, unit="clips", stimulus=stimulus, rolled=turned)

    notes = {"rows": len(aligned.rows), "rows skipped": aligned.rows.n_skipped}
    return [lambda u=u: make(u) for u in range(aligned.targets.shape[2])], notes


def _packed(names, responses, result, notes) -> Evaluation:
    units = responses.units
    targets = {"target_id": units["unit_id"], **units}
    notes = {**notes, "rows dropped": result.n_dropped}
    return Evaluation(names, targets, result.valid, result.test, "pearson", notes=notes, resampling=result.resampling)
