"""Scores of a model on human choices: agreement of the confusions of a read-out of each layer with human ones.

A nested choice of the layer needs other images, for on the same ones a chance match repeats with other trials. The
images of each class are therefore divided once in two halves. A split chooses the layer by one half of the images and
all of their trials, and tests it on the other half of the images by a random half of the trials; the two halves take
turns as the test. Read-outs that are fitted out of fold would tie the halves, for two images, each in the other's
training rows, are taken for one another both ways: those that choose are fitted inside the choosing half. A choice over
splits uses all images, and the other half of the trials.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedKFold

from ..records import Activations, Choices, Evaluation
from ..utils import BadInput, array_digest, digest, first_names, nan_mean, seed_from
from .align import content_codes
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
from .splits import item_splits
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
    on the shown stimuli, out of fold. Metrics share the read-outs. The ceiling follows from the agreement of the two
    halves of the trials of the test images, for confusions as its square root: the score of a perfect model on one of
    them. resample: keep the statistics for a bootstrap over the images of each class; device: of the read-outs, "cpu"
    or a CUDA device.
    """
    for metric in metrics:
        check(choices, metric, protocol)
    trials = coded_trials(choices)
    truth, two_way = trials.truth_of_image, trials.distractor is not None
    plan = design(trials, _content(choices, protocol), protocol)
    layers = time_mean(activations, choices.stimuli.ids, choices.stimuli.name)
    accuracy, confusions, models = [], [], []
    for i, name in enumerate(layers):
        answers = read_out(layers[name](), name, fitting, choices, truth, plan.parts, protocol, device)
        accuracy.append(float((answers.test.argmax(axis=1) == truth)[truth >= 0].mean()))
        confusions.append(model_confusion(answers.test, truth, two_way))
        models.append(answers)
        if progress:
            progress(i + 1, len(layers), f"layer {name}")
    notes = {
        "trials": len(trials),
        "human accuracy": float((trials.choice == trials.truth).mean()),
        "model accuracy": dict(zip(layers, accuracy, strict=True)),
    }
    n_left_out = 0 if fitting is None else int((~_fitted(choices, protocol)).sum())
    notes |= {"fitting stimuli left out, as they are shown": n_left_out} if n_left_out else {}
    chance = {"chance": 1 / len(choices.classes), "chance of always the commonest class": _commonest(trials)}
    extra = {
        "classes": np.array(choices.classes),
        "confusion_human": human_confusion(trials),
        "confusion_model": np.stack(confusions),
    }
    found = {}
    for metric in metrics:
        of_metric = _agreements(models, trials, plan, METRICS[metric], protocol, resample)
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
class Split:
    """Human answers of one split, as response matrices that are NaN outside of its images.

    tested, chosen: which of the parts of the images tests the layers, and which chooses; test, other: the two halves of
    the trials of the tested part; valid: answers that choose.
    """

    tested: int
    chosen: int
    test: np.ndarray
    other: np.ndarray
    valid: np.ndarray


@dataclass(frozen=True)
class Design:
    """Parts of the images, masks (n_images,), and the splits: two parts of a nested choice, else one of all images."""

    parts: Sequence[np.ndarray]
    splits: Sequence[Split]
    identity: str


@dataclass(frozen=True)
class Answers:
    """Class probabilities (n_images, n_classes) by read-outs of one layer, those that choose and those that test."""

    valid: np.ndarray
    test: np.ndarray


def design(trials: Trials, content: np.ndarray | None, protocol: Protocol) -> Design:
    """Return the images and trials of each split; content: codes (n_images,), equal for images kept in one part."""
    truth = trials.truth_of_image
    parts = image_halves(truth, content, protocol.seed) if protocol.nested else [truth >= 0]
    pairs = halves(len(trials), protocol.n_splits, protocol.seed)
    all_trials = human_matrix(trials) if protocol.nested else None
    splits = []
    for k, pair in enumerate(pairs):
        tested = k % len(parts)
        chosen = len(parts) - 1 - tested
        test, other = (within(human_matrix(trials.take(half)), parts[tested]) for half in pair)
        splits.append(
            Split(tested, chosen, test, other, within(all_trials, parts[chosen]) if protocol.nested else other)
        )
    of_parts = [array_digest(part) for part in parts] if protocol.nested else []
    return Design(parts, splits, digest([array_digest(truth), [array_digest(first) for first, _ in pairs], *of_parts]))


def image_halves(truth: np.ndarray, content: np.ndarray | None, seed: int) -> list[np.ndarray]:
    """Return masks (n_images,) of two halves of the images of each class, random; none separates equal content."""
    content = np.arange(len(truth)) if content is None else content
    shown = np.flatnonzero(truth >= 0)
    _, first, group = np.unique(content[shown], return_index=True, return_inverse=True)
    order = np.random.default_rng(seed_from("halves of images", seed)).permutation(len(first))
    order = order[np.argsort(truth[shown[first[order]]], kind="stable")]
    half_of_group = np.empty(len(first), dtype=int)
    half_of_group[order] = np.arange(len(first)) % 2
    half = np.full(len(truth), -1)
    half[shown] = half_of_group[group]
    return [half == 0, half == 1]


def within(matrix: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return a response matrix (n_images, n_classes) with NaN outside of the images of a mask (n_images,)."""
    return np.where(part[:, None], matrix, np.nan)


@dataclass(frozen=True)
class _Agreements:
    """Agreement with the human trials: (valid, test), each (n_layers, 1, n_splits)."""

    scores: tuple[np.ndarray, np.ndarray]
    ceiling: float | None
    notes: dict[str, float]
    resampling: Resampling | None


def _agreements(
    models: Sequence[Answers], trials: Trials, plan: Design, metric: ConfusionMetric, protocol: Protocol, resample: bool
) -> _Agreements:
    """Return the agreement of the models' answers with the human ones of each split."""
    truth, two_way = trials.truth_of_image, trials.distractor is not None
    valid, test = _scores(models, truth, plan, _human(plan, truth, metric, two_way), metric, two_way)
    agreed = np.array(
        [metric.agreement(*(metric.human(m, truth, two_way) for m in (one.test, one.other))) for one in plan.splits]
    )
    reliability = float(np.nanmean(agreed))
    notes = {"human split-half": reliability, "human split-half spread": float(np.nanstd(agreed))}
    resampling = None
    if resample and metric.resampled:
        chosen = Rule(protocol.nested, direction=metric.direction).layers(valid)[0]
        truths = [np.where(part, truth, -1) for part in plan.parts]
        matrices = {
            (layer, part): ResponseMatrix(
                within(model_matrix(models[layer].test, truth), plan.parts[part]), truths[part]
            )
            for layer, part in {(layer, one.tested) for layer, one in zip(chosen, plan.splits, strict=True)}
        }
        statistics = ConfusionBootstrap(
            metric.name,
            [matrices[layer, one.tested] for layer, one in zip(chosen, plan.splits, strict=True)],
            [ResponseMatrix(one.test, truths[one.tested]) for one in plan.splits],
            two_way,
        )
        resampling = Resampling("images", truth, 1.0, plan.identity, statistics)
    ceiling = None if metric.reliability is None else metric.reliability(reliability)
    return _Agreements((valid, test), ceiling, notes, resampling)


def _human(plan: Design, truth: np.ndarray, metric: ConfusionMetric, two_way: bool) -> list[tuple]:
    """Return the human patterns of each split: (valid, test)."""
    return [tuple(metric.human(matrix, truth, two_way) for matrix in (one.valid, one.test)) for one in plan.splits]


def _scores(
    models: Sequence[Answers],
    truth: np.ndarray,
    plan: Design,
    human: Sequence[tuple],
    metric: ConfusionMetric,
    two_way: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the agreement of each layer with the human patterns (valid, test): each (n_layers, 1, n_splits)."""

    def patterns(probabilities: np.ndarray) -> list[np.ndarray]:
        matrix = model_matrix(probabilities, truth)
        return [metric.model(within(matrix, part), truth, two_way) for part in plan.parts]

    scores = np.empty((2, len(models), 1, len(plan.splits)))
    for i, answers in enumerate(models):
        test = patterns(answers.test)
        valid = test if answers.valid is answers.test else patterns(answers.valid)
        for k, (one, (of_valid, of_test)) in enumerate(zip(plan.splits, human, strict=True)):
            scores[:, i, 0, k] = (
                metric.agreement(valid[one.chosen], of_valid),
                metric.agreement(test[one.tested], of_test),
            )
    return scores[0], scores[1]


def check(choices: Choices, metric: str, protocol: Protocol) -> None:
    """Raise BadInput for a metric that is not defined for the classes, or for halves of their images."""
    n, least = len(choices.classes), METRICS[metric].least_classes
    if n < least:
        raise BadInput(
            f"{metric} of {choices.stimuli.name} has {n} classes, hence one pair of confusions and no correlation; "
            f'expected at least {least} classes: give --metric I2n, or declare metric="I2n"'
        )
    if choices.fitting is not None:
        left = set(choices.fitting.values[_fitted(choices, protocol), 0])
        lost = [name for name in choices.classes if name not in left]
        if lost:
            raise BadInput(
                f"{choices.stimuli.name}: all fitting stimuli of class {first_names(lost)} are also shown; expected "
                "others, to fit the read-out on"
            )
    if protocol.nested:
        _check_halves(choices, metric, protocol)


def _check_halves(choices: Choices, metric: str, protocol: Protocol) -> None:
    """Raise BadInput for a class with too few different images for two halves."""
    truth, content = coded_trials(choices).truth_of_image, _content(choices, protocol)
    shown = np.flatnonzero(truth >= 0)
    first = shown if content is None else shown[np.unique(content[shown], return_index=True)[1]]
    counts = np.bincount(truth[first], minlength=len(choices.classes))
    # in each half, for the metric and for a read-out out of fold
    least = 2 * max(METRICS[metric].least_images, 2 if choices.fitting is None else 1)
    few = np.flatnonzero((counts < least) & np.isin(np.arange(len(counts)), truth[shown]))
    if len(few):
        raise BadInput(
            f"{metric} of {choices.stimuli.name}: class {choices.classes[few[0]]} has {counts[few[0]]} different "
            f"images; expected at least {least}, half of which choose the layer: give --layer-choice over-splits"
        )


def _content(choices: Choices, protocol: Protocol) -> np.ndarray | None:
    """Return a code per image, equal for copies, which are never separated; None where they may be."""
    return content_codes([choices.stimuli]) if protocol.tied else None


def _fitted(choices: Choices, protocol: Protocol) -> np.ndarray:
    """Return a mask of the fitting stimuli that the read-out is fitted on: (n_fitting,)."""
    n = len(choices.fitting.stimuli)
    if not protocol.tied:
        return np.ones(n, dtype=bool)
    content = content_codes([choices.fitting.stimuli, choices.stimuli])
    return ~np.isin(content[:n], content[n:])


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

    Fits and splits are those of `score`; each permutation chooses its layer.
    """
    trials = coded_trials(choices)
    truth, plan = trials.truth_of_image, design(trials, _content(choices, protocol), protocol)
    layers = time_mean(activations, choices.stimuli.ids, choices.stimuli.name)
    models = [read_out(layers[name](), name, fitting, choices, truth, plan.parts, protocol, device) for name in layers]
    return shuffled_agreement(models, trials, plan, metric, n, protocol, progress)


def shuffled_agreement(
    models: Sequence[Answers],
    trials: Trials,
    plan: Design,
    metric: str,
    n: int,
    protocol: Protocol,
    progress: Callable | None = None,
) -> np.ndarray:
    """Return the scores of `null` for given read-outs; answers are shuffled inside each part of the images."""
    truth, two_way, of_metric = trials.truth_of_image, trials.distractor is not None, METRICS[metric]
    rule = Rule(protocol.nested, direction=of_metric.direction)
    human = _human(plan, truth, of_metric, two_way)
    rng = np.random.default_rng(seed_from("permutation", protocol.seed))
    found = np.empty(n)
    for k in range(n):
        order = np.arange(len(truth))
        for part in plan.parts:
            order[part] = rng.permutation(np.flatnonzero(part))
        shuffled = [_shuffled(answers, order) for answers in models]
        valid, test = _scores(shuffled, truth, plan, human, of_metric, two_way)
        found[k] = nan_mean(rule.test({"valid": valid, "test": test}))
        if progress:
            progress(k + 1, n, "permutations")
    return found


def _shuffled(answers: Answers, order: np.ndarray) -> Answers:
    """Return the answers in another order of the images; what choose and test alike still do."""
    test = answers.test[order]
    return Answers(test if answers.valid is answers.test else answers.valid[order], test)


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
    parts: Sequence[np.ndarray],
    protocol: Protocol,
    device: str = "cpu",
) -> Answers:
    """Return the answers to the shown stimuli, in the order of `choices.classes`.

    parts: masks (n_images,) of the images; out of fold, read-outs that choose are fitted inside one of them.
    """
    if fitting is not None:
        labels, kept = choices.fitting, _fitted(choices, protocol)
        X = time_mean(fitting, labels.stimuli.ids, labels.stimuli.name)[layer]()
        answers = _probabilities(X[kept], labels.values[kept, 0], shown, choices.classes, device)
        return Answers(answers, answers)
    content = _content(choices, protocol)
    test = _out_of_fold(shown, truth, choices.classes, content, protocol.seed, device)
    if len(parts) == 1:
        return Answers(test, test)
    valid = np.empty_like(test)
    for part in parts:
        of_part = np.where(part, truth, -1)
        valid[part] = _out_of_fold(shown, of_part, choices.classes, content, protocol.seed, device)[part]
    valid[truth < 0] = test[truth < 0]
    return Answers(valid, test)


def _out_of_fold(
    shown: np.ndarray, truth: np.ndarray, classes: Sequence[str], content: np.ndarray | None, seed: int, device: str
) -> np.ndarray:
    """Return class probabilities (n_stimuli, n_classes) of stimuli that have a truth, by read-outs of the others."""
    labelled = np.flatnonzero(truth >= 0)
    names = np.asarray(classes)[truth[labelled]]
    groups = None if content is None else content[labelled]
    units = labelled if groups is None else groups
    fewest = min(len(np.unique(units[names == name])) for name in np.unique(names))
    if fewest < 2:
        raise BadInput("a class has 1 stimulus; expected at least 2, to fit the read-out on one and test it on another")
    n_folds = min(MOST_FOLDS, fewest)
    if groups is None:
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(names, names)
    else:
        # scikit-learn's StratifiedGroupKFold leaves classes out of the training part where it shuffles (1.5)
        splits = item_splits(len(names), strata=names, groups=groups, layout="tiled", n_splits=n_folds, seed=seed)
        folds = [(split.train, split.test) for split in splits]
    probabilities = np.full((len(shown), len(classes)), 1 / len(classes))
    for train, held in folds:
        fit, out = labelled[train], labelled[held]
        probabilities[out] = _probabilities(shown[fit], names[train], shown[out], classes, device)
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
