"""Scores of a model on human choices: agreement of the confusions of a read-out of each layer with human ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.model_selection import StratifiedKFold

from ..records import Activations, Choices, Evaluation
from ..utils import BadInput, array_digest, digest, first_names, nan_mean, seed_from
from .bootstrap_statistics import Resampling
from .confusion_bootstrap import ConfusionBootstrap, ResponseMatrix
from .confusions import (
    Trials,
    halves,
    human_confusion,
    human_matrix,
    model_confusion,
    model_matrix,
)
from .decoders import Logistic
from .layer_choice import Rule
from .metrics import METRICS, ConfusionMetric
from .protocol import Protocol
from .task import time_mean

MOST_FOLDS = 10  # of a read-out that is fitted on the test stimuli, out of fold


def score(
    activations: Activations, fitting: Activations | None, choices: Choices, metric: str, protocol: Protocol, **options
) -> Evaluation:
    """Return the evaluation of `scores` by one metric."""
    return scores(activations, fitting, choices, (metric,), protocol, **options)[metric]


def scores(
    activations: Activations,
    fitting: Activations | None,
    choices: Choices,
    metrics: Sequence[str],
    protocol: Protocol,
    *,
    resample: bool = False,
    device: str = "cpu",
    progress: Callable | None = None,
) -> dict[str, Evaluation]:
    """Return, by metric, the agreement of each layer's answers with random halves of the human trials.

    fitting: activations of the fitting stimuli; None if the dataset has none: the read-out is then fitted and tested
    on the shown stimuli, out of fold. Metrics share the read-outs. One half of a split is the test, the other chooses
    the layer. The ceiling follows from the agreement of the two halves, for confusions as its square root: the score of
    a perfect model on one of them. resample: keep the statistics for a bootstrap over the images of each class;
    device: of the read-outs, "cpu" or a CUDA device.
    """
    for metric in metrics:
        check(choices, metric)
    trials = coded_trials(choices)
    truth, two_way = trials.truth_of_image, trials.distractor is not None
    layers = time_mean(activations, choices.stimuli.ids, choices.stimuli.name)
    accuracy, confusions, models = [], [], []
    for i, name in enumerate(layers):
        probabilities = read_out(layers[name](), name, fitting, choices, truth, protocol.seed, device)
        accuracy.append(float((probabilities.argmax(axis=1) == truth)[truth >= 0].mean()))
        confusions.append(model_confusion(probabilities, truth, two_way))
        models.append(ResponseMatrix(model_matrix(probabilities, truth), truth))
        if progress:
            progress(i + 1, len(layers), f"layer {name}")
    notes = {
        "trials": len(trials),
        "human accuracy": float((trials.choice == trials.truth).mean()),
        "model accuracy": dict(zip(layers, accuracy, strict=True)),
    }
    chance = {"chance": 1 / len(choices.classes), "chance of always the commonest class": _commonest(trials)}
    extra = {
        "classes": np.array(choices.classes),
        "confusion_human": human_confusion(trials),
        "confusion_model": np.stack(confusions),
    }
    found = {}
    for metric in metrics:
        of_metric = _agreements(models, trials, METRICS[metric], protocol, resample)
        found[metric] = Evaluation(
            tuple(layers),
            {"target_id": [metric]},
            *of_metric.scores,
            metric,
            None if of_metric.ceiling is None else np.array([of_metric.ceiling or np.nan]),
            {**notes, **of_metric.notes, **chance},
            of_metric.resampling,
            extra,
        )
    return found


@dataclass(frozen=True)
class _Agreements:
    """Agreement with the human trials: (valid, test), each (n_layers, 1, n_splits)."""

    scores: tuple[np.ndarray, np.ndarray]
    ceiling: float | None
    notes: dict[str, float]
    resampling: Resampling | None


def _agreements(
    models: Sequence[ResponseMatrix], trials: Trials, metric: ConfusionMetric, protocol: Protocol, resample: bool
) -> _Agreements:
    """Return the agreement of the models' answers with each half of the human trials."""
    truth, two_way, rule = trials.truth_of_image, trials.distractor is not None, Rule(protocol.nested)
    rule = replace(rule, direction=metric.direction)
    parts = halves(len(trials), protocol.n_splits, protocol.seed)
    responses = [[human_matrix(trials.take(half)) for half in pair] for pair in parts]
    human = [[metric.human(half, truth, two_way) for half in pair] for pair in responses]
    patterns = [metric.model(model.values, truth, two_way) for model in models]
    scores = np.array([[[metric.agreement(p, half) for half in pair] for pair in human] for p in patterns])
    test, valid = np.moveaxis(scores, -1, 0)[:, :, None]
    agreed = np.array([metric.agreement(*pair) for pair in human])
    reliability = float(np.nanmean(agreed))
    notes = {"human split-half": reliability, "human split-half spread": float(np.nanstd(agreed))}
    resampling = None
    if resample and metric.resampled:
        identity = digest([array_digest(truth), [array_digest(first) for first, _ in parts]])
        chosen = rule.layers(valid)[0]
        human_halves = [ResponseMatrix(first, truth) for first, _ in responses]
        statistics = ConfusionBootstrap(metric.name, [models[layer] for layer in chosen], human_halves, two_way)
        resampling = Resampling("images", truth, 1.0, identity, statistics)
    ceiling = None if metric.reliability is None else metric.reliability(reliability)
    return _Agreements((valid, test), ceiling, notes, resampling)


def check(choices: Choices, metric: str) -> None:
    """Raise BadInput for a metric that is not defined for the classes."""
    n, least = len(choices.classes), METRICS[metric].least_classes
    if n < least:
        raise BadInput(
            f"{metric} of {choices.stimuli.name} has {n} classes, hence one pair of confusions and no correlation; "
            f'expected at least {least} classes: give --metric I2n, or declare metric="I2n"'
        )


def _commonest(trials: Trials) -> float:
    """Return the accuracy of always choosing the class that is shown most often."""
    return float(np.bincount(trials.truth).max() / len(trials))


def null(
    activations: Activations,
    fitting: Activations | None,
    choices: Choices,
    metric: str,
    n: int,
    protocol: Protocol,
    *,
    device: str = "cpu",
    progress: Callable | None = None,
) -> np.ndarray:
    """Return the split-mean test agreement of `n` permutations that shuffle the model's answers over images: (n,).

    Fits, halves and splits are those of `score`; each permutation chooses its layer.
    """
    trials = coded_trials(choices)
    truth = trials.truth_of_image
    two_way, of_metric = trials.distractor is not None, METRICS[metric]
    human = [
        tuple(of_metric.human(human_matrix(trials.take(half)), truth, two_way) for half in pair)
        for pair in halves(len(trials), protocol.n_splits, protocol.seed)
    ]
    seed, rule = protocol.seed, Rule(protocol.nested)
    layers = time_mean(activations, choices.stimuli.ids, choices.stimuli.name)
    probabilities = [read_out(layers[name](), name, fitting, choices, truth, seed, device) for name in layers]
    return shuffled_agreement(probabilities, truth, human, metric, n, seed, rule, progress, two_way=two_way)


def shuffled_agreement(
    probabilities: Sequence[np.ndarray],
    truth: np.ndarray,
    human: Sequence[tuple[np.ndarray, np.ndarray]],
    metric: str,
    n: int,
    seed: int,
    rule: Rule,
    progress: Callable | None = None,
    *,
    two_way: bool = False,
) -> np.ndarray:
    """Return the scores of `null` for given read-outs.

    probabilities: of each layer (n_images, n_classes); human: of each split, the confusions (test, valid).
    """
    of_metric = METRICS[metric]
    rule = replace(rule, direction=of_metric.direction)
    rng, shown = np.random.default_rng(seed_from("permutation", seed)), np.flatnonzero(truth >= 0)
    found = np.empty(n)
    for k in range(n):
        order = np.arange(len(truth))
        order[shown] = rng.permutation(shown)
        models = [of_metric.model(model_matrix(p[order], truth), truth, two_way) for p in probabilities]
        scores = np.array([[[of_metric.agreement(model, half) for half in pair] for pair in human] for model in models])
        test, valid = np.moveaxis(scores, -1, 0)[:, :, None]
        found[k] = nan_mean(rule.test({"valid": valid, "test": test}))
        if progress:
            progress(k + 1, n, "permutations")
    return found


def coded_trials(choices: Choices) -> Trials:
    """Return the trials as numbers of images, in the order of the stimuli, and of classes, as in `choices.classes`."""
    image_of = {identity: i for i, identity in enumerate(choices.stimuli.ids)}
    class_of = {name: i for i, name in enumerate(choices.classes)}
    table = choices.trials
    distractor = [class_of[d] for d in table["distractor"]] if "distractor" in table else None
    return Trials(
        np.array([image_of[i] for i in table["stimulus_id"]]),
        np.array([class_of[t] for t in table["truth"]]),
        np.array([class_of[c] for c in table["choice"]]),
        None if distractor is None else np.array(distractor),
        len(choices.stimuli),
        len(choices.classes),
    )


def read_out(
    shown: np.ndarray,
    layer: str,
    fitting: Activations | None,
    choices: Choices,
    truth: np.ndarray,
    seed: int,
    device: str = "cpu",
) -> np.ndarray:
    """Return class probabilities (n_stimuli, n_classes) of the shown stimuli, in the order of `choices.classes`."""
    if fitting is not None:
        labels = choices.fitting
        X = time_mean(fitting, labels.stimuli.ids, labels.stimuli.name)[layer]()
        return _probabilities(X, labels.values[:, 0], shown, choices.classes, device)
    labelled = np.flatnonzero(truth >= 0)
    names = np.asarray(choices.classes)[truth[labelled]]
    probabilities = np.full((len(shown), len(choices.classes)), 1 / len(choices.classes))
    fewest = int(np.unique(names, return_counts=True)[1].min())
    if fewest < 2:
        raise BadInput("a class has 1 stimulus; expected at least 2, to fit the read-out on one and test it on another")
    folds = StratifiedKFold(min(MOST_FOLDS, fewest), shuffle=True, random_state=seed)
    for train, held in folds.split(shown[labelled], names):
        fit, out = labelled[train], labelled[held]
        probabilities[out] = _probabilities(shown[fit], names[train], shown[out], choices.classes, device)
    return probabilities


def _probabilities(
    X: np.ndarray, y: np.ndarray, shown: np.ndarray, classes: Sequence[str], device: str = "cpu"
) -> np.ndarray:
    """Fit a read-out on features X and labels y; return the class probabilities of the shown features."""
    decoder = Logistic(device=device).fit(X, np.asarray(y)[:, None])
    place = {name: i for i, name in enumerate(decoder.classes_)}
    absent = [name for name in classes if name not in place]
    if absent:
        raise BadInput(f"no stimulus of class {first_names(absent)} to fit the read-out on; expected every class")
    return decoder.predict_proba(shown)[:, [place[name] for name in classes]]
