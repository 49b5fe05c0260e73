"""Scores of a model on a computer-vision task: a decoder from the time mean of each layer to the labels."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..records import Activations, Evaluation, Labels
from .align import codes, content_codes, match_ids
from .cross_validate import Problem, cross_validate_metrics
from .decoders import Decoder
from .decoders.base import Split, needs_validation
from .layer_choice import ONE_LAYER, Rule
from .metrics import METRICS
from .protocol import Protocol
from .splits import item_splits, left_out_groups


def time_mean(activations: Activations, ids: Sequence[str], what: str) -> dict[str, Callable[[], np.ndarray]]:
    """Return the single time bin of each layer for the stimuli `ids`: {layer: () -> (n_stimuli, n_features)}."""
    order = match_ids(activations.ids, ids, what)
    return {name: lambda values=values: np.asarray(values[:, 0])[order] for name, values in activations.layers.items()}


def groups(labels: Labels, protocol: Protocol) -> np.ndarray:
    """Return a number per stimulus, equal for those that no split may separate."""
    if labels.groups is not None:
        return codes(labels.groups)[0]
    return content_codes([labels.stimuli]) if protocol.tied else np.arange(len(labels.stimuli))


def task_splits(labels: Labels, metric: str, protocol: Protocol, *, validate: bool = False) -> list[Split]:
    """Split stimuli in equal shares of every class within the strata; raise BadInput for a class that is too small.

    validate: tiled splits have validation rows.
    """
    of_classes = METRICS[metric].of_classes
    classes = labels.values[:, 0] if of_classes else None
    strata = [column for column in (classes, labels.strata) if column is not None]
    n = len(labels.stimuli)
    return item_splits(
        n,
        strata=list(zip(*strata, strict=True)) if len(strata) > 1 else strata[0] if strata else None,
        groups=groups(labels, protocol),
        layout=protocol.item_layout,
        validate=validate,
        distinct=protocol.distinct,
        n_splits=protocol.n_splits if of_classes else protocol.splits_of(n),
        seed=protocol.seed,
    )


def score(
    activations: Activations, labels: Labels, decoder: Decoder, metric: str, protocol: Protocol, **options
) -> Evaluation:
    """Return the evaluation of `scores` by one metric."""
    return scores(activations, labels, decoder, (metric,), protocol, **options)[metric]


def scores(
    activations: Activations,
    labels: Labels,
    decoder: Decoder,
    metrics: Sequence[str],
    protocol: Protocol,
    *,
    splits: Sequence[Split] | None = None,
    resample: bool = False,
    jobs: int = 1,
    progress: Callable | None = None,
) -> dict[str, Evaluation]:
    """Return, by metric, validation and test scores of every layer, label and split.

    metrics: all of classes, or all of numbers; splits: of the stimuli, by default those of `task_splits`; resample:
    keep the statistics for a bootstrap over stimuli, or over the groups of them that the dataset names.
    """
    validate = needs_validation(decoder, protocol.nested)
    made = problem(activations, labels, metrics[0], protocol, splits=splits, validate=validate)
    made = made if resample else replace(made, blocks=None)
    options = {"rule": Rule(protocol.nested, ONE_LAYER), "missing": protocol.missing}
    results = cross_validate_metrics(made, decoder, metrics, jobs=jobs, progress=progress, **options)
    targets, found = {"target_id": list(labels.names)}, {}
    for metric, result in results.items():
        notes = {"stimuli": len(labels.stimuli), **result.notes}
        if METRICS[metric].chance is not None:
            _, counts = np.unique(labels.values[:, 0], return_counts=True)
            commonest = float(counts.max() / counts.sum())
            notes |= {"chance": METRICS[metric].chance(len(counts)), "chance of always the commonest class": commonest}
        found[metric] = Evaluation(
            tuple(made.layers),
            targets,
            result.valid,
            result.test,
            metric,
            notes=notes,
            resampling=result.resampling,
            extra=result.extra,
        )
    return found


def problem(
    activations: Activations,
    labels: Labels,
    metric: str,
    protocol: Protocol,
    *,
    splits: Sequence[Split] | None = None,
    validate: bool = False,
) -> Problem:
    """Return the decoding of labels from all stimuli; a permutation shuffles stimuli, or groups of equal size."""
    layers = time_mean(activations, labels.stimuli.ids, labels.stimuli.name)
    if splits is None:
        splits = task_splits(labels, metric, protocol, validate=validate)
    group = groups(labels, protocol)
    return Problem(
        layers,
        labels.values,
        splits,
        blocks=group,
        block_name="stimuli" if labels.groups is None else "groups of stimuli",
        left_out=left_out_groups(group),
        stimulus=group,
        shifted=np.zeros(len(group), bool),
    )
