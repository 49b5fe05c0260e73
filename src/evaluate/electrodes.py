"""Scores of a model on electrode recordings: rows are stimulus x bin, splits over stimuli or, per unit, over clips."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..records import Activations, Evaluation, Responses
from .align import align, codes, regions
from .cross_validate import Problem, Result, cross_validate_each, cross_validate_problem
from .decoders import Decoder
from .decoders.base import Split
from .protocol import N_SPLITS, SEED
from .splits import item_splits, segment_splits, segments


def score(
    activations: Activations,
    responses: Responses,
    decoder: Decoder,
    *,
    n_splits: int = N_SPLITS,
    seed: int = SEED,
    splits: Sequence[Split] | None = None,
    resample: bool = False,
    jobs: int = 1,
    progress: Callable | None = None,
) -> Evaluation:
    """Return validation and test r of every layer, unit and split; all bins of a stimulus are in one part of a split.

    splits: of the rows of `problem`, by default `n_splits` over stimuli; resample: keep the statistics for a bootstrap
    over stimuli.
    """
    made, notes = problem(activations, responses, n_splits=n_splits, seed=seed, splits=splits)
    made = made if resample else replace(made, blocks=None)
    groups = regions(responses.units)
    result = cross_validate_problem(made, decoder, "pearson", groups=groups, jobs=jobs, progress=progress)
    return _evaluation(tuple(made.layers), responses, result, notes)


def problem(
    activations: Activations,
    responses: Responses,
    *,
    n_splits: int = N_SPLITS,
    seed: int = SEED,
    splits: Sequence[Split] | None = None,
) -> tuple[Problem, dict[str, int]]:
    """Return the regression of all rows (stimulus x bin), and notes (row counts); a permutation shuffles stimuli."""
    aligned = align(activations, responses)
    rows = aligned.rows
    names = tuple(activations.layers)
    layers = {name: lambda name=name: rows.take(aligned.layer(name)) for name in names}
    if splits is None:
        splits = item_splits(len(rows), groups=rows.stimulus, n_splits=n_splits, seed=seed)
    made = Problem(
        layers,
        rows.take(aligned.targets),
        splits,
        blocks=codes(rows.stimulus)[0],
        block_name="stimuli",
        stimulus=rows.stimulus,
        shifted=np.zeros(len(rows), bool),
    )
    return made, {"rows": len(rows), "rows skipped": rows.n_skipped}


def score_per_unit(
    activations: Activations,
    responses: Responses,
    decoder: Decoder,
    *,
    segment_ms: float,
    gap_ms: float,
    n_splits: int = N_SPLITS,
    seed: int = SEED,
    resample: bool = False,
    progress: Callable | None = None,
) -> Evaluation:
    """Return the scores of units that each saw a film: each film is split in clips of `segment_ms`, with a gap.

    resample: keep the statistics for a bootstrap over clips, within each film.
    """
    makers, notes = unit_problems(
        activations, responses, segment_ms=segment_ms, gap_ms=gap_ms, n_splits=n_splits, seed=seed
    )
    if not resample:
        makers = [lambda make=make: replace(make(), blocks=None) for make in makers]
    result = cross_validate_each(makers, decoder, "pearson", groups=regions(responses.units), progress=progress)
    return _evaluation(tuple(activations.layers), responses, result, notes)


def unit_problems(
    activations: Activations,
    responses: Responses,
    *,
    segment_ms: float,
    gap_ms: float,
    n_splits: int = N_SPLITS,
    seed: int = SEED,
) -> tuple[list[Callable[[], Problem]], dict[str, int]]:
    """Return functions that each make one unit's regression, and notes; a permutation shifts its film circularly."""
    aligned = align(activations, responses)
    bins_ms = responses.time_ms
    names = tuple(activations.layers)

    def make(unit: int) -> Problem:
        recorded = np.isfinite(aligned.targets[aligned.rows.stimulus, aligned.rows.bin, unit])
        stimulus, time_bin = aligned.rows.stimulus[recorded], aligned.rows.bin[recorded]
        splits = segment_splits(
            stimulus, bins_ms[time_bin], segment_ms=segment_ms, gap_ms=gap_ms, n_splits=n_splits, seed=seed
        )
        return Problem(
            {name: lambda name=name: aligned.layer(name)[stimulus, time_bin] for name in names},
            aligned.targets[stimulus, time_bin, unit, None],
            splits,
            blocks=segments(stimulus, bins_ms[time_bin, 0], segment_ms),
            block_name="clips",
            stimulus=stimulus,
            shifted=np.ones(len(stimulus), bool),
        )

    notes = {"rows": len(aligned.rows), "rows skipped": aligned.rows.n_skipped}
    return [lambda u=u: make(u) for u in range(aligned.targets.shape[2])], notes


def _evaluation(names: tuple[str, ...], responses: Responses, result: Result, notes: dict[str, int]) -> Evaluation:
    """Return the scores with the units' table and the notes."""
    units = responses.units
    targets = {"target_id": units["unit_id"], **units}
    notes = {**notes, "rows dropped": result.n_dropped}
    return Evaluation(names, targets, result.valid, result.test, "pearson", notes=notes, resampling=result.resampling)
