"""Scores of a model on electrode recordings: rows are stimulus x bin, splits over stimuli or, per unit, over clips."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..ceiling import Recording
from ..records import Activations, Evaluation, Responses
from . import similarity
from .align import Aligned, align, codes, content_codes, regions
from .cross_validate import Problem, Result, cross_validate_each_metrics
from .curves import Curve, TimeBins, curves, with_curve
from .decoders import Decoder
from .decoders.base import Split, needs_validation
from .feature_sets import JOINT, joined
from .finite import usual_rows
from .layer_choice import Rule
from .protocol import Protocol
from .splits import item_splits, left_out_groups, penalty_blocks, segment_splits, segments


def score(
    activations: Activations, responses: Responses, decoder: Decoder, protocol: Protocol, **options
) -> Evaluation:
    """Return the evaluation of `scores` by Pearson's r."""
    return scores(activations, responses, decoder, protocol, **options)["pearson"]


def scores(
    activations: Activations,
    responses: Responses,
    decoder: Decoder,
    protocol: Protocol,
    metrics: Sequence[str] = ("pearson",),
    *,
    splits: Sequence[Split] | None = None,
    resample: bool = False,
    ceiling: bool = False,
    permutations: int = 0,
    bands: Sequence[Sequence[str]] | None = None,
    jobs: int = 1,
    progress: Callable | None = None,
) -> dict[str, Evaluation]:
    """Return, by metric, validation and test scores of every layer, unit and split.

    All bins of a stimulus are in one part of a split. A recording of several time bins has a time course, see `curves`,
    where statistics for a bootstrap are kept. splits: of the rows of `problem`, by default those of the
    protocol over stimuli; resample: keep the statistics for a bootstrap over stimuli; bands: layers of each band of a
    joint fit, see `feature_sets.joined`.
    """
    validate = needs_validation(decoder, protocol.nested)
    made, notes = problem(activations, responses, protocol, splits=splits, validate=validate, bands=bands)
    options = {"groups": regions(responses.units), "jobs": jobs, "progress": progress} | _choices(protocol)
    compared = similarity.scorer(
        made,
        metrics,
        regions(responses.units),
        options["rule"],
        recordings=recordings(activations, responses) if ceiling else None,
        permutations=permutations,
        seed=protocol.seed,
    )
    fitted, along = made if resample else replace(made, blocks=None), None
    if resample and len(responses.time_ms) > 1:
        along = TimeBins(made, recordings(activations, responses)[0].time_bin, responses.time_ms)
    results = similarity.fitted(compared, fitted, decoder, metrics, along=along, **options)
    found = _evaluations(tuple(made.layers), responses, results, notes, curves(along, results))
    return found if compared is None else found | compared.evaluations(notes, resample)


def problem(
    activations: Activations,
    responses: Responses,
    protocol: Protocol,
    *,
    splits: Sequence[Split] | None = None,
    validate: bool = False,
    bands: Sequence[Sequence[str]] | None = None,
) -> tuple[Problem, dict[str, int]]:
    """Return the regression of all rows (stimulus x bin), and notes (row counts); a permutation shuffles stimuli.

    validate: tiled splits have validation rows; bands: see `score`.
    """
    aligned = align(activations, responses)
    rows = aligned.rows
    names = tuple(activations.layers)
    layers = {name: lambda name=name: rows.take(aligned.layer(name)) for name in names}
    tied, targets = tied_stimuli(responses, protocol)[rows.stimulus], rows.take(aligned.targets)
    if splits is None:
        splits = item_splits(
            len(rows),
            groups=tied,
            layout=protocol.item_layout,
            validate=validate,
            distinct=protocol.distinct,
            n_splits=protocol.splits_of(usual_rows(targets)),
            seed=protocol.seed,
        )
    made = Problem(
        layers,
        targets,
        splits,
        blocks=codes(tied)[0],
        block_name="stimuli",
        left_out=left_out_groups(tied),
        stimulus=rows.stimulus,
        shifted=np.zeros(len(rows), bool),
    )
    return joined(made, bands), {"rows": len(rows), "rows skipped": rows.n_skipped}


def tied_stimuli(responses: Responses, protocol: Protocol) -> np.ndarray:
    """Return a number per stimulus, equal for those that no split may separate."""
    if not protocol.tied:
        return np.arange(len(responses.stimuli))
    return content_codes([responses.stimuli])


def recordings(activations: Activations, responses: Responses) -> list[Recording]:
    """Return the repetitions behind the rows of `problem`, for a noise ceiling over its test rows."""
    rows = align(activations, responses).rows
    return [Recording(responses.values, responses.subjects, rows.stimulus, rows.bin)]


def scores_per_unit(
    activations: Activations,
    responses: Responses,
    decoder: Decoder,
    protocol: Protocol,
    metrics: Sequence[str] = ("pearson",),
    *,
    resample: bool = False,
    bands: Sequence[Sequence[str]] | None = None,
    progress: Callable | None = None,
) -> dict[str, Evaluation]:
    """Return, by metric, the scores of units that each saw a film: each film is split in segments, with a gap.

    resample: keep the statistics for a bootstrap over segments, within each film; bands: see `score`.
    """
    validate = needs_validation(decoder, protocol.nested)
    makers, notes = unit_problems(activations, responses, protocol, validate=validate, bands=bands)
    if not resample:
        makers = [lambda make=make: replace(make(), blocks=None) for make in makers]
    options = {"groups": regions(responses.units), "progress": progress} | _choices(protocol)
    results = cross_validate_each_metrics(makers, decoder, metrics, **options)
    layers = tuple(activations.layers) if bands is None else (JOINT,)
    return _evaluations(layers, responses, results, notes)


def unit_problems(
    activations: Activations,
    responses: Responses,
    protocol: Protocol,
    *,
    validate: bool = False,
    bands: Sequence[Sequence[str]] | None = None,
) -> tuple[list[Callable[[], Problem]], dict[str, int]]:
    """Return functions that each make one unit's regression, and notes; a permutation shifts its film circularly."""
    aligned = align(activations, responses)
    makers = [
        lambda unit=unit: joined(_unit_problem(aligned, activations, responses, unit, protocol, validate), bands)
        for unit in range(aligned.targets.shape[2])
    ]
    return makers, {"rows": len(aligned.rows), "rows skipped": aligned.rows.n_skipped}


def _unit_problem(
    aligned: Aligned, activations: Activations, responses: Responses, unit: int, protocol: Protocol, validate: bool
) -> Problem:
    """Return the regression of one unit on the rows of its films."""
    recorded = np.isfinite(aligned.targets[aligned.rows.stimulus, aligned.rows.bin, unit])
    stimulus, time_bin = aligned.rows.stimulus[recorded], aligned.rows.bin[recorded]
    time_ms, tied = responses.time_ms[time_bin], tied_stimuli(responses, protocol)[stimulus]
    splits = segment_splits(
        tied,
        time_ms,
        segment_ms=protocol.segment_ms,
        gap_ms=protocol.gap_ms,
        layout=protocol.layout,
        validate=validate,
        distinct=protocol.distinct,
        n_splits=protocol.splits_of(len(stimulus)),
        seed=protocol.seed,
    )
    return Problem(
        {name: lambda name=name: aligned.layer(name)[stimulus, time_bin] for name in activations.layers},
        aligned.targets[stimulus, time_bin, unit, None],
        splits,
        blocks=segments(tied, time_ms[:, 0], protocol.segment_ms),
        block_name="clips",
        left_out=penalty_blocks(tied, time_ms, protocol),
        stimulus=stimulus,
        shifted=np.ones(len(stimulus), bool),
    )


def _choices(protocol: Protocol) -> dict:
    """Return the options of cross-validation that follow from a protocol."""
    return {"rule": Rule(protocol.nested, protocol.headline), "missing": protocol.missing}


def _evaluations(
    names: tuple[str, ...],
    responses: Responses,
    results: Mapping[str, Result],
    notes: dict[str, int],
    along: Mapping[str, Curve] | None = None,
) -> dict[str, Evaluation]:
    """Return the scores by each metric with the units' table and the notes; along: {metric: its time course}."""
    units, along = responses.units, along or {}
    targets = {"target_id": units["unit_id"], **units}
    return {
        metric: Evaluation(
            names,
            targets,
            result.valid,
            result.test,
            metric,
            notes={**notes, **result.notes},
            resampling=with_curve(result.resampling, along.get(metric)),
            extra=result.extra | (along[metric].arrays if metric in along else {}),
        )
        for metric, result in results.items()
    }
