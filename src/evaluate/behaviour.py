"""Scoring a model on human choices: a read-out of each layer makes the same confusions, or not."""

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.model_selection import StratifiedKFold

from ..records import Activations, Choices, Evaluation
from ..utils import BadInput, array_digest, digest, seed_from
from .bootstrap_statistics import Keeper
from .confusion_bootstrap import Matrix, Reconfused
from .confusions import (
    CONFUSIONS,
    Trials,
    agreement,
    halves,
    human_confusion,
    human_matrix,
    model_confusion,
    model_matrix,
)
from .decoders import Logistic
from .task import time_mean


def score(
    activations: Activations,
    fitting: Activations | None,
    choices: Choices,
    metric: str,
    *,
    n_splits: int = 10,
    seed: int = 0,
    resample: bool = False,
    progress: Callable | None = None,
) -> Evaluation:
    """Agreement of each layer's confusions with each of `n_splits` random halves of the human trials.

    `fitting`: activations of the fitting stimuli; None where the dataset has none: the read-out is then fitted and
    tested on the shown stimuli, out of fold. The one half of a split scores the test, the other chooses the layer.
    The ceiling is sqrt(r) for the agreement r of the two halves: what a perfect model reaches against one of them.
    resample: keep what a bootstrap over the images of each class asks for.
    """
    trials = coded(choices)
    truth = trials.truth_of_image
    parts = halves(len(trials), n_splits, seed)
    confusion = CONFUSIONS[metric]
    responses = [[human_matrix(trials.take(half)) for half in pair] for pair in parts]
    human = [[confusion(half, truth) for half in pair] for pair in responses]
    keeper, compared = Keeper(), [Matrix(first, truth) for first, _ in responses]
    layers = time_mean(activations, choices.stimuli.ids, choices.stimuli.name)
    valid, test = np.empty((len(layers), 1, n_splits)), np.empty((len(layers), 1, n_splits))
    accuracy, told, two_way = [], [], trials.distractor is not None
    for i, name in enumerate(layers):
        probabilities = read_out(layers[name](), name, fitting, choices, truth, seed)
        accuracy.append(float((probabilities.argmax(axis=1) == truth)[truth >= 0].mean()))
        told.append(model_confusion(probabilities, truth, two_way))
        answers = model_matrix(probabilities, truth)
        model = confusion(answers, truth)
        for k, (first, second) in enumerate(human):
            test[i, 0, k], valid[i, 0, k] = agreement(model, first), agreement(model, second)
        keeper.offer(i, valid[i], Reconfused(metric, Matrix(answers, truth), compared))
        if progress:
            progress(i + 1, len(layers), f"layer {name}")
    agreed = np.array([agreement(*pair) for pair in human])
    reliability = float(np.nanmean(agreed))
    notes = {
        "trials": len(trials),
        "human accuracy": float((trials.choice == trials.truth).mean()),
        "model accuracy": dict(zip(layers, accuracy, strict=True)),
        "human split-half": reliability,
        "human split-half spread": float(np.nanstd(agreed)),
        "chance": 1 / len(choices.classes),
    }
    ceiling = np.array([np.sqrt(max(reliability, 0)) or np.nan])
    drawn = digest([array_digest(truth), [array_digest(first) for first, _ in parts]])
    resampling = keeper.resampling("images", truth, 1.0, drawn) if resample else None
    extra = {
        "classes": np.array(choices.classes),
        "confusion_human": human_confusion(trials),
        "confusion_model": np.stack(told),
    }
    return Evaluation(tuple(layers), {"target_id": [metric]}, valid, test, metric, ceiling, notes, resampling, extra)


def null(
    activations: Activations,
    fitting: Activations | None,
    choices: Choices,
    metric: str,
    n: int,
    *,
    n_splits: int = 10,
    seed: int = 0,
    progress: Callable | None = None,
) -> np.ndarray:
    """Test agreement, mean over splits, of `n` permutations in which the answers to the images change places: (n,).

    Fits, halves and splits are those of `score`; each permutation chooses its layer anew.
    """
    trials = coded(choices)
    truth = trials.truth_of_image
    human = [
        tuple(CONFUSIONS[metric](human_matrix(trials.take(half)), truth) for half in pair)
        for pair in halves(len(trials), n_splits, seed)
    ]
    layers = time_mean(activations, choices.stimuli.ids, choices.stimuli.name)
    told = [read_out(layers[name](), name, fitting, choices, truth, seed) for name in layers]
    return exchanged(told, truth, human, metric, n, seed, progress)


def exchanged(
    told: Sequence[np.ndarray],
    truth: np.ndarray,
    human: Sequence[tuple[np.ndarray, np.ndarray]],
    metric: str,
    n: int,
    seed: int,
    progress: Callable | None = None,
) -> np.ndarray:
    """`null` of given answers: told, of each layer (n_images, n_classes); human, of each split (test, valid)."""
    rng, shown = np.random.default_rng(seed_from("permutation", seed)), np.flatnonzero(truth >= 0)
    found = np.empty(n)
    for k in range(n):
        order = np.arange(len(truth))
        order[shown] = rng.permutation(shown)
        models = [CONFUSIONS[metric](model_matrix(one[order], truth), truth) for one in told]
        scores = np.array([[[agreement(model, half) for half in pair] for pair in human] for model in models])
        mean = np.nan_to_num(scores).mean(axis=1)
        found[k] = mean[mean[:, 1].argmax(), 0]
        if progress:
            progress(k + 1, n, "permutations")
    return found


def coded(choices: Choices) -> Trials:
    """The trials as numbers, for images in the order of the stimuli and classes in the order of `choices.classes`."""
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
    shown: np.ndarray, layer: str, fitting: Activations | None, choices: Choices, truth: np.ndarray, seed: int
) -> np.ndarray:
    """Class probabilities of the shown stimuli: array (n_stimuli, n_classes) in the order of `choices.classes`."""
    if fitting is not None:
        labels = choices.fitting
        X = time_mean(fitting, labels.stimuli.ids, labels.stimuli.name)[layer]()
        return _probabilities(X, labels.values[:, 0], shown, choices.classes)
    labelled = np.flatnonzero(truth >= 0)
    names = np.asarray(choices.classes)[truth[labelled]]
    probabilities = np.full((len(shown), len(choices.classes)), 1 / len(choices.classes))
    fewest = int(np.unique(names, return_counts=True)[1].min())
    if fewest < 2:
        raise BadInput("a class has 1 stimulus; expected at least 2, to fit the read-out on one and test it on another")
    for train, held in StratifiedKFold(min(10, fewest), shuffle=True, random_state=seed).split(shown[labelled], names):
        fit, out = labelled[train], labelled[held]
        probabilities[out] = _probabilities(shown[fit], names[train], shown[out], choices.classes)
    return probabilities


def _probabilities(X, y, shown, classes) -> np.ndarray:
    decoder = Logistic().fit(X, np.asarray(y)[:, None])
    place = {name: i for i, name in enumerate(decoder.classes_)}
    absent = [name for name in classes if name not in place]
    if absent:
        raise BadInput(f"no stimulus of class {', '.join(absent[:5])} to fit the read-out on; expected every class")
    return decoder.predict_proba(shown)[:, [place[name] for name in classes]]
