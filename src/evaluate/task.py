"""Scores of a model on a computer-vision task: a decoder from the time mean of each layer to the labels."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ..records import Activations, Evaluation, Labels
from .align import codes, match_ids
from .cross_validate import Problem, cross_validate_problem
from .decoders import Decoder
from .decoders.base import Split
from .protocol import N_SPLITS, SEED
from .splits import item_splits


def time_mean(activations: Activations, ids: Sequence[str], what: str) -> dict[str, Callable[[], np.ndarray]]:
    """Return the single time bin of each layer for the stimuli `ids`: {layer: () -> (n_stimuli, n_features)}."""
    order = match_ids(activations.ids, ids, what)
    return {name: lambda values=values: np.asarray(values[:, 0])[order] for name, values in activations.layers.items()}


def task_splits(labels: Labels, metric: str, *, n_splits: int = N_SPLITS, seed: int = SEED) -> list[Split]:
    """Split stimuli in equal shares of every class within the strata; raise BadInput for a class that is too small."""
    classes = labels.values[:, 0] if metric == "accuracy" else None
    strata = [column for column in (classes, labels.strata) if column is not None]
    return item_splits(
        len(labels.stimuli),
        strata=list(zip(*strata, strict=True)) if len(strata) > 1 else strata[0] if strata else None,
        groups=labels.groups,
        n_splits=n_splits,
        seed=seed,
    )


def score(
    activations: Activations,
    labels: Labels,
    decoder: Decoder,
    metric: str,
    *,
    n_splits: int = N_SPLITS,
    seed: int = SEED,
    splits: Sequence[Split] | None = None,
    resample: bool = False,
    jobs: int = 1,
    progress: Callable | None = None,
) -> Evaluation:
    """Return validation and test accuracy (classes) or Pearson r (regression) of every layer, label and split.

    splits: of the stimuli, by default `n_splits` of `task_splits`; resample: keep the statistics for a bootstrap over
    stimuli, or over the groups of them that the dataset names.
    """
    made = problem(activations, labels, metric, n_splits=n_splits, seed=seed, splits=splits)
    made = made if resample else replace(made, blocks=None)
    result = cross_validate_problem(made, decoder, metric, jobs=jobs, progress=progress)
    notes = {"stimuli": len(labels.stimuli), "rows dropped": result.n_dropped}
    if metric == "accuracy":
        notes["chance"] = 1 / len(set(labels.values[:, 0]))
    targets = {"target_id": list(labels.names)}
    return Evaluation(
        tuple(made.layers), targets, result.valid, result.test, metric, notes=notes, resampling=result.resampling
    )


def problem(
    activations: Activations,
    labels: Labels,
    metric: str,
    *,
    n_splits: int = N_SPLITS,
    seed: int = SEED,
    splits: Sequence[Split] | None = None,
) -> Problem:
    """Return the decoding of labels from all stimuli; a permutation shuffles stimuli, or groups of equal size."""
    layers = time_mean(activations, labels.stimuli.ids, labels.stimuli.name)
    if splits is None:
        splits = task_splits(labels, metric, n_splits=n_splits, seed=seed)
    group, _ = codes(np.arange(len(labels.stimuli)) if labels.groups is None else labels.groups)
    return Problem(
        layers,
        labels.values,
        splits,
        blocks=group,
        block_name="stimuli" if labels.groups is None else "groups of stimuli",
        stimulus=group,
        shifted=np.zeros(len(group), bool),
    )
