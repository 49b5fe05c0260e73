"""Scoring a model on a computer-vision task: a decoder from the time mean of each layer to the labels."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..records import Activations, Evaluation, Labels
from .align import match_ids, numbered
from .cross_validate import Problem, Split, cross_validate_problem
from .decoders import Decoder
from .splits import item_splits


def time_mean(activations: Activations, ids, what: str) -> dict[str, Callable[[], np.ndarray]]:
    """The one bin of each layer for the stimuli `ids`: {layer: () -> (n_stimuli, n_features)}."""
    order = match_ids(activations.ids, ids, what)
    return {name: lambda values=values: np.asarray(values[:, 0])[order] for name, values in activations.layers.items()}


def task_splits(labels: Labels, metric: str, *, n_splits: int, seed: int) -> list[Split]:
    """Splits in equal shares of every class within the strata; BadInput for a class that is too small."""
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
    n_splits: int = 10,
    seed: int = 0,
    resample: bool = False,
    jobs: int = 1,
    progress: Callable | None = None,
) -> Evaluation:
    """Test and validation accuracy (classes) or Pearson r (regression) of every layer, label and split.

    Classes are split in equal shares, within the strata that the dataset names; groups of stimuli stay together.
    resample: keep what a bootstrap over stimuli (groups of them where there are some) asks for.
    """
    made = problem(activations, labels, metric, n_splits=n_splits, seed=seed)
    made = made if resample else replace(made, units=None)
    result = cross_validate_problem(made, decoder, metric, jobs=jobs, progress=progress)
    notes = {"stimuli": len(labels.stimuli), "rows dropped": result.n_dropped}
    if metric == "accuracy":
        notes["chance"] = 1 / len(set(labels.values[:, 0]))
    targets = {"target_id": list(labels.names)}
    return Evaluation(
        tuple(made.layers), targets, result.valid, result.test, metric, notes=notes, resampling=result.resampling
    )


def problem(activations: Activations, labels: Labels, metric: str, *, n_splits: int = 10, seed: int = 0) -> Problem:
    """The read-out of all stimuli; a permutation exchanges stimuli, or groups of as many."""
    layers = time_mean(activations, labels.stimuli.ids, labels.stimuli.name)
    splits = task_splits(labels, metric, n_splits=n_splits, seed=seed)
    group = numbered(np.arange(len(labels.stimuli)) if labels.groups is None else labels.groups)
    return Problem(
        layers,
        labels.values,
        splits,
        units=group,
        unit="stimuli" if labels.groups is None else "groups of stimuli",
        stimulus=group,
        rolled=np.zeros(len(group), bool),
    )
