"""Task relevance: alignment of models with the brain, regressed on their scores on tasks, over models.

The weights are not negative: a representation that serves a task better is not expected to align worse because of it.
Models of one family (siblings of other size, training data or seed) are not independent: whole families are left out,
resampled and permuted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..utils import BadInput, seed_from

N_FOLDS = 10
N_SAMPLES = 1000
N_PERMUTATIONS = 500
MIN_FAMILIES = 5
MIN_MODELS = 8
MIN_SHARE = 0.5  # of the models that a task must have scores of, to be a predictor
TOLERANCE = 1e-10
MAX_SWEEPS = 2000
FEW = 8  # targets up to which one solution after another is faster


def non_negative(design: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the non-negative least-squares weights of many targets on one design.

    Parameters
    ----------
    design : array of shape (n_models, n_tasks)
        Centred predictors; a constant one gets the weight 0.
    targets : array of shape (n_models, n_targets)
        Centred targets without NaN.

    Returns
    -------
    array of shape (n_tasks, n_targets)
        Minimum of ||targets - design @ weights|| over weights of 0 or more.

    Notes
    -----
    Coordinate descent finds the tasks with a weight above 0 for all targets at once; targets with the same tasks share
    one exact solution. A target for which that solution is no minimum is solved by the active-set method of Lawson and
    Hanson (1974, Solving least squares problems, chapter 23).

    Examples
    --------
    >>> design = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> non_negative(design, design @ np.array([[2.0], [-1.0]])).round(6).ravel().tolist()
    [2.0, 0.0]
    """
    design, targets = np.asarray(design, float), np.asarray(targets, float)
    gram, moment = design.T @ design, design.T @ targets
    used = np.flatnonzero(np.diag(gram) > 1e-12 * max(1.0, float(np.diag(gram).max(initial=0))))
    weights = np.zeros_like(moment)
    if not len(used) or not targets.shape[1]:
        return weights
    if len(used) == 1:
        weights[used] = np.maximum(0.0, moment[used] / gram[used, used])
        return weights
    if targets.shape[1] <= FEW:
        return _one_by_one(design, targets, used, weights)
    gram, moment = gram[np.ix_(used, used)], moment[used]
    found = _descended(gram, moment)
    solved = _exact(gram, moment, found > 0)
    weights[used] = solved
    wrong = ~_is_minimum(gram, moment, solved)
    if wrong.any():
        weights[:, wrong] = _one_by_one(design, targets[:, wrong], used, weights[:, wrong])
    return weights


def _one_by_one(design: np.ndarray, targets: np.ndarray, used: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weights (n_tasks, n_targets), with those of the tasks `used` solved for one target after another."""
    from scipy.optimize import nnls

    for column, target in enumerate(targets.T):
        weights[used, column] = nnls(design[:, used], target)[0]
    return weights


def _descended(gram: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Return the weights after cyclic coordinate descent: gram (k, k), moment (k, n) -> (k, n)."""
    weights = np.zeros_like(moment)
    scale = np.abs(moment).max(initial=0) or 1.0
    for _ in range(MAX_SWEEPS):
        largest = 0.0
        for j in range(len(gram)):
            new = np.maximum(0.0, weights[j] + (moment[j] - gram[j] @ weights) / gram[j, j])
            largest = max(largest, float(np.abs(new - weights[j]).max()) * gram[j, j])
            weights[j] = new
        if largest < TOLERANCE * scale:
            break
    return weights


def _exact(gram: np.ndarray, moment: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Return the least-squares weights on the tasks of each target's support (k, n), 0 elsewhere."""
    weights = np.zeros_like(moment)
    patterns, of_target = np.unique(support.T, axis=0, return_inverse=True)
    for index, pattern in enumerate(patterns):
        columns, tasks = np.flatnonzero(of_target.ravel() == index), np.flatnonzero(pattern)
        if len(tasks):
            solution = np.linalg.lstsq(gram[np.ix_(tasks, tasks)], moment[np.ix_(tasks, columns)], rcond=None)[0]
            weights[np.ix_(tasks, columns)] = solution
    return weights


def _is_minimum(gram: np.ndarray, moment: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return (n,) bool: the conditions of Karush, Kuhn and Tucker hold."""
    slack = 1e-7 * (np.abs(moment).max(axis=0) + 1e-30)
    gradient = moment - gram @ weights
    return (weights >= 0).all(axis=0) & (gradient <= slack).all(axis=0)


@dataclass(frozen=True)
class Fit:
    """Regression of the alignment of models on their task scores.

    Parameters
    ----------
    slopes : array of shape (n_tasks, n_targets)
        Alignment per unit of the task score.
    weights : array of shape (n_tasks, n_targets)
        Alignment per standard deviation of the task score over models.
    intercept : array of shape (n_targets,)
    predicted : array of shape (n_models, n_targets)
        Predictions of each model by a fit without its family.
    r2 : array of shape (n_targets,)
        Share of the variance over models that the fit explains.
    held_out_r2 : array of shape (n_targets,)
        1 - squared error of `predicted`, relative to that of the mean of the other families; at most 0 without effect.
    residual : array of shape (n_targets,)
        Root mean square of alignment - `predicted`.
    """

    slopes: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray
    predicted: np.ndarray
    r2: np.ndarray
    held_out_r2: np.ndarray
    residual: np.ndarray


def fit(scores: np.ndarray, alignment: np.ndarray, families: Sequence[str]) -> Fit:
    """Regress the alignment of models on their task scores, with an intercept and weights of 0 or more.

    Parameters
    ----------
    scores : array of shape (n_models, n_tasks)
        Task scores, without NaN.
    alignment : array of shape (n_models, n_targets)
        Alignment with each target: the whole brain, a region, a unit. NaN makes a target's results NaN.
    families : sequence of str, (n_models,)
        Family of each model.

    Returns
    -------
    Fit

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scores = rng.uniform(size=(40, 3))
    >>> found = fit(scores, 0.1 + scores @ [[0.5], [0.0], [0.2]], [str(i // 2) for i in range(40)])
    >>> found.slopes.ravel().round(3).tolist(), float(found.held_out_r2[0].round(3))
    ([0.5, 0.0, 0.2], 1.0)
    """
    scores, alignment = np.asarray(scores, float), np.asarray(alignment, float)
    defined = np.isfinite(alignment).all(axis=0)
    known = alignment[:, defined]
    slopes, intercept = _solve(scores, known)
    predicted, baseline = np.empty_like(known), np.empty_like(known)
    for held_out in family_folds(families):
        train = ~held_out
        fold_slopes, fold_intercept = _solve(scores[train], known[train])
        predicted[held_out] = fold_intercept + scores[held_out] @ fold_slopes
        baseline[held_out] = known[train].mean(axis=0)

    def full(values: np.ndarray) -> np.ndarray:
        """Return the values (..., n_defined) for all targets, NaN where the alignment is undefined."""
        out = np.full((*values.shape[:-1], alignment.shape[1]), np.nan)
        out[..., defined] = values
        return out

    held_out_r2 = 1 - _ratio(((known - predicted) ** 2).sum(axis=0), ((known - baseline) ** 2).sum(axis=0))
    return Fit(
        slopes=full(slopes),
        weights=full(slopes * scores.std(axis=0)[:, None]),
        intercept=full(intercept),
        predicted=full(predicted),
        r2=full(_r2(known, intercept + scores @ slopes)),
        held_out_r2=full(held_out_r2),
        residual=full(np.sqrt(((known - predicted) ** 2).mean(axis=0))),
    )


def _solve(scores: np.ndarray, alignment: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return slopes (n_tasks, n_targets) and intercept (n_targets,); tasks are scaled, so that all count alike."""
    centre, spread = scores.mean(axis=0), scores.std(axis=0)
    spread = np.where(spread > 1e-12, spread, np.inf)
    mean = alignment.mean(axis=0)
    slopes = non_negative((scores - centre) / spread, alignment - mean) / spread[:, None]
    return slopes, mean - centre @ slopes


def _r2(alignment: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return 1 - _ratio(
        ((alignment - predicted) ** 2).sum(axis=0), ((alignment - alignment.mean(axis=0)) ** 2).sum(axis=0)
    )


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 1e-24)


def family_folds(families: Sequence[str]) -> list[np.ndarray]:
    """Divide models into at most 10 folds of about equal size that separate no family.

    Parameters
    ----------
    families : sequence of str, (n_models,)

    Returns
    -------
    list of bool arrays of shape (n_models,)
        Members of each fold.

    Examples
    --------
    >>> [fold.tolist() for fold in family_folds(["a", "b", "a"])]
    [[True, False, True], [False, True, False]]
    """
    families = np.asarray(families).astype(str)
    names, counts = np.unique(families, return_counts=True)
    folds: list[list[str]] = [[] for _ in range(min(N_FOLDS, len(names)))]
    sizes = [0] * len(folds)
    for index in np.argsort(-counts, kind="stable"):
        smallest = sizes.index(min(sizes))
        folds[smallest].append(names[index])
        sizes[smallest] += int(counts[index])
    return [np.isin(families, members) for members in folds]


def permuted(
    alignment: np.ndarray, families: Sequence[str], n_permutations: int = N_PERMUTATIONS, seed: int = 0
) -> np.ndarray:
    """Return alignments without a relation to the tasks.

    Family means of the alignment are permuted among families, and the deviations from them within each family, so that
    siblings stay alike.

    Parameters
    ----------
    alignment : array of shape (n_models, n_targets)
        Targets from which the permutations are drawn in turn; without NaN.
    families : sequence of str, (n_models,)
    n_permutations : int
        Default: 500.
    seed : int
        Default: 0.

    Returns
    -------
    array of shape (n_models, n_permutations)
    """
    rng = np.random.default_rng(seed_from("chance", seed))
    _, of_model = np.unique(np.asarray(families).astype(str), return_inverse=True)
    counts = np.bincount(of_model)
    target = np.arange(n_permutations) % alignment.shape[1]
    means = np.stack([np.bincount(of_model, column) / counts for column in alignment.T], axis=1)
    deviations = alignment - means[of_model]
    among = rng.permuted(np.tile(np.arange(len(counts))[:, None], n_permutations), axis=0)
    # models sorted by family, at random within it, take the places of models sorted by family
    keys = of_model[:, None] + rng.uniform(0, 0.5, (len(of_model), n_permutations))
    within = np.empty(keys.shape, int)
    within[np.argsort(of_model, kind="stable")] = np.argsort(keys, axis=0)
    return means[among, target][of_model] + np.take_along_axis(deviations[:, target], within, axis=0)


def chance_r2(scores: np.ndarray, unrelated: np.ndarray) -> np.ndarray:
    """Return the shares of variance that fits explain without a relation between alignment and tasks.

    Parameters
    ----------
    scores : array of shape (n_models, n_tasks)
    unrelated : array of shape (n_models, n_permutations)
        See `permuted`.

    Returns
    -------
    array of shape (n_permutations,)
    """
    slopes, intercept = _solve(scores, unrelated)
    return np.nan_to_num(_r2(unrelated, intercept + scores @ slopes))


def adjusted(r2: np.ndarray | float, chance: float) -> np.ndarray | float:
    """Return R² adjusted for what chance explains: 0 without effect, 1 for a perfect fit.

    Parameters
    ----------
    r2 : array or float
    chance : float
        Mean share explained without a relation, see `chance_r2`. For an unconstrained regression on independent models
        it is n_tasks / (n_models - 1), and the result is Ezekiel's adjusted R².

    References
    ----------
    Peres-Neto et al. 2006, Ecology 87:2614.

    Examples
    --------
    >>> round(adjusted(0.6, 11 / 89), 4), round(1 - (1 - 0.6) * 89 / (90 - 11 - 1), 4)
    (0.5436, 0.5436)
    """
    return 1 - (1 - r2) / (1 - chance)


@dataclass(frozen=True)
class Relevance:
    """Relevance of a set of tasks for the alignment with each target.

    Parameters
    ----------
    fit : Fit
    adjusted_r2, low, high : arrays of shape (n_targets,)
        Adjusted R² and its 95 % interval; the interval is NaN for a fit without samples.
    p : array of shape (n_targets,)
        Share of permutations that explain as much as the fit.
    weights_low, weights_high : arrays of shape (n_tasks, n_targets)
        95 % interval of the weights.
    """

    fit: Fit
    adjusted_r2: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    weights_low: np.ndarray
    weights_high: np.ndarray


def relevance(
    scores: np.ndarray,
    alignment: np.ndarray,
    families: Sequence[str],
    n_samples: int = N_SAMPLES,
    unrelated: np.ndarray | None = None,
    seed: int = 0,
) -> Relevance:
    """Regress the alignment of models on their task scores, with intervals over families of models.

    Parameters
    ----------
    scores : array of shape (n_models, n_tasks)
        Task scores, without NaN.
    alignment : array of shape (n_models, n_targets)
    families : sequence of str, (n_models,)
    n_samples : int
        Bootstrap samples of families; 0: no intervals (default: 1000).
    unrelated : array of shape (n_models, n_permutations), optional
        Permuted alignments for the adjustment of R², shared by all targets (default: 500 of `permuted`).
    seed : int
        Default: 0.

    Returns
    -------
    Relevance

    Notes
    -----
    The interval of R² is shifted so that the median of the samples is the estimate: copies of a model in a sample raise
    its R².
    """
    found = fit(scores, alignment, families)
    defined = np.isfinite(alignment).all(axis=0)
    n_targets = alignment.shape[1]
    empty = np.full(n_targets, np.nan)
    if not defined.any():
        weights = np.full(found.weights.shape, np.nan)
        return Relevance(found, empty, empty, empty, empty, weights, weights)
    unrelated = permuted(alignment[:, defined], families, seed=seed) if unrelated is None else unrelated
    chance = chance_r2(scores, unrelated)
    centre = float(chance.mean())
    p = (1 + (chance[:, None] >= found.r2 - 1e-12).sum(axis=0)) / (1 + len(chance))
    estimate = adjusted(found.r2, centre)
    low, high = empty, empty
    weights_low, weights_high = np.full((2, *found.weights.shape), np.nan)
    if n_samples:
        r2, weights = _samples(scores, alignment, families, n_samples, seed)
        low, high = _percentiles(adjusted(r2, centre))
        shift = estimate - np.median(adjusted(r2, centre), axis=0)
        low, high = low + shift, np.minimum(high + shift, 1.0)
        weights_low, weights_high = _percentiles(weights)
    return Relevance(found, estimate, low, high, np.where(defined, p, np.nan), weights_low, weights_high)


def _samples(
    scores: np.ndarray, alignment: np.ndarray, families: Sequence[str], n_samples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return R² (n_samples, n_targets) and weights (n_samples, n_tasks, n_targets) over samples of families."""
    defined = np.isfinite(alignment).all(axis=0)
    known, spread, drawn = alignment[:, defined], scores.std(axis=0)[:, None], family_samples(families, n_samples, seed)
    r2 = np.full((n_samples, alignment.shape[1]), np.nan)
    weights = np.full((n_samples, scores.shape[1], alignment.shape[1]), np.nan)
    if scores.shape[1] == 1:
        r2[:, defined], slopes = _single_task_samples(scores[:, 0], known, drawn)
        weights[:, 0, defined] = slopes * spread
        return r2, weights
    for index, rows in enumerate(drawn):
        slopes, intercept = _solve(scores[rows], known[rows])
        r2[index, defined] = _r2(known[rows], intercept + scores[rows] @ slopes)
        weights[index][:, defined] = slopes * spread
    return r2, weights


def _single_task_samples(
    scores: np.ndarray, alignment: np.ndarray, drawn: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return R² and slopes, (n_samples, n_targets) each, of one task (n_models,) in closed form for all samples."""
    shares = np.stack([np.bincount(rows, minlength=len(scores)) / len(rows) for rows in drawn])
    scores, alignment = scores - scores.mean(), alignment - alignment.mean(axis=0)
    mean, means = (shares @ scores)[:, None], shares @ alignment
    variance = (shares @ scores**2)[:, None] - mean**2
    covariance = shares @ (scores[:, None] * alignment) - mean * means
    slopes = np.divide(covariance, variance, out=np.zeros_like(covariance), where=variance > 1e-24).clip(0)
    return _ratio(slopes * covariance, shares @ alignment**2 - means**2), slopes


def family_samples(families: Sequence[str], n_samples: int, seed: int = 0) -> list[np.ndarray]:
    """Sample families with replacement, as many as there are.

    Parameters
    ----------
    families : sequence of str, (n_models,)
    n_samples, seed : int

    Returns
    -------
    list of int arrays
        Indices of the models of each sample.

    Examples
    --------
    >>> [rows.tolist() for rows in family_samples(["a", "a", "b"], 2, seed=1)]
    [[2, 0, 1], [0, 1, 2]]
    """
    rng = np.random.default_rng(seed_from("families", seed))
    names, of_model = np.unique(np.asarray(families).astype(str), return_inverse=True)
    members = [np.flatnonzero(of_model == family) for family in range(len(names))]
    drawn = rng.integers(len(names), size=(n_samples, len(names))).tolist()
    return [np.concatenate([members[i] for i in sample]) for sample in drawn]


def _percentiles(samples: np.ndarray) -> np.ndarray:
    """Return the 2.5 and 97.5 percentiles over samples (n_samples, ...), NaN for targets without samples."""
    return np.percentile(samples, [2.5, 97.5], axis=0)


def task_sets(
    scores: np.ndarray, alignment: np.ndarray, families: Sequence[str], tasks: Sequence[str]
) -> list[tuple[str, ...]]:
    """Return sets of tasks: each alone, the path of best additions, and all of them.

    Parameters
    ----------
    scores : array of shape (n_models, n_tasks)
    alignment : array of shape (n_models,)
    families : sequence of str, (n_models,)
    tasks : sequence of str, (n_tasks,)

    Returns
    -------
    list of tuple of str
        The path starts from the best task and adds the one that most raises the held-out R², while it rises. It is
        chosen on the models that it is then evaluated on: its R² is that of an exploration.
    """
    path, best = [], -np.inf
    while len(path) < len(tasks):
        gains = {
            j: float(fit(scores[:, [*path, j]], alignment[:, None], families).held_out_r2[0])
            for j in range(len(tasks))
            if j not in path
        }
        chosen = max(gains, key=gains.__getitem__)
        if not gains[chosen] > best + 1e-6:
            break
        best = gains[chosen]
        path.append(chosen)
    sets = [(task,) for task in tasks]
    sets += [tuple(tasks[j] for j in sorted(path[:n])) for n in range(2, len(path) + 1)]
    return list(dict.fromkeys([*sets, tuple(tasks)]))


@dataclass(frozen=True)
class Axes:
    """Principal axes of the relevance of tasks over units.

    Parameters
    ----------
    loadings : array of shape (n_axes, n_tasks)
        Unit vectors; the largest entry of each is positive.
    coordinates : array of shape (n_units, n_axes)
        Position of each unit, NaN for one without weights.
    share : array of shape (n_axes,)
        Share of the variance over units.
    """

    loadings: np.ndarray
    coordinates: np.ndarray
    share: np.ndarray


def axes(weights: np.ndarray, n_axes: int = 2) -> Axes:
    """Return the first axes of the matrix of units by task relevance, centred over units.

    Parameters
    ----------
    weights : array of shape (n_tasks, n_units)
        Weights of each unit, NaN for a unit without alignment.
    n_axes : int
        Default: 2; fewer are returned for fewer tasks or units.

    Returns
    -------
    Axes

    Examples
    --------
    >>> found = axes(np.array([[0.4, 0.3, 0.0, 0.0], [0.0, 0.0, 0.2, 0.1]]))
    >>> found.loadings[0].round(2).tolist(), float(found.share[0].round(2))
    ([0.92, -0.39], 0.97)
    """
    known = np.isfinite(weights).all(axis=0)
    matrix = weights[:, known].T
    n_axes = min(n_axes, *matrix.shape) if matrix.size else 0
    coordinates = np.full((weights.shape[1], n_axes), np.nan)
    if not n_axes:
        return Axes(np.zeros((0, len(weights))), coordinates, np.zeros(0))
    centred = matrix - matrix.mean(axis=0)
    _, spread, loadings = np.linalg.svd(centred, full_matrices=False)
    loadings = loadings[:n_axes]
    largest = np.abs(loadings).argmax(axis=1)
    loadings = loadings * np.where(loadings[np.arange(n_axes), largest] < 0, -1.0, 1.0)[:, None]
    coordinates[known] = centred @ loadings.T
    return Axes(loadings, coordinates, _ratio(spread[:n_axes] ** 2, np.full(n_axes, (spread**2).sum())))


def complete_cases(scores: np.ndarray, alignment: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the models and tasks of a regression, which has no missing value.

    Parameters
    ----------
    scores : array of shape (n_models, n_tasks)
        NaN: the model was not scored on the task.
    alignment : array of shape (n_models,)

    Returns
    -------
    models : int array
        Models with an alignment and a score on each of the tasks.
    tasks : int array
        Tasks on which at least half of the models with an alignment were scored.

    Examples
    --------
    >>> scores = np.array([[0.1, np.nan], [0.2, 0.3], [0.3, np.nan]])
    >>> [found.tolist() for found in complete_cases(scores, np.array([0.1, 0.2, 0.3]))]
    [[0, 1, 2], [0]]
    """
    aligned = np.isfinite(alignment)
    if not aligned.any():
        return np.zeros(0, int), np.zeros(0, int)
    tasks = np.flatnonzero(np.isfinite(scores[aligned]).mean(axis=0) >= MIN_SHARE)
    return np.flatnonzero(aligned & np.isfinite(scores[:, tasks]).all(axis=1)), tasks


def check_size(n_models: int, n_tasks: int, families: Sequence[str]) -> None:
    """Raise BadInput for too few models, families or tasks for a regression over models.

    Parameters
    ----------
    n_models, n_tasks : int
    families : sequence of str, (n_models,)
    """
    n_families = len(set(families))
    least = max(MIN_MODELS, n_tasks + 3)
    if n_tasks < 1:
        raise BadInput("no task with scores of half of the models; score more models on tasks")
    if n_models < least or n_families < MIN_FAMILIES:
        raise BadInput(
            f"{n_models} models of {n_families} families with an alignment and scores on {n_tasks} tasks; "
            f"expected at least {least} models of {MIN_FAMILIES} families: score more models, or on fewer tasks"
        )


def mean_interval(
    values: np.ndarray, families: Sequence[str], n_samples: int = N_SAMPLES, seed: int = 0
) -> dict[str, Any]:
    """Return the mean over models with its 95 % interval over families.

    Parameters
    ----------
    values : array of shape (n_models,)
    families : sequence of str, (n_models,)
    n_samples, seed : int

    Returns
    -------
    dict
        mean, models, families, low, high: None for fewer than 3 families. The interval has the spread of the means
        over samples of families, and the tails of Student's t.

    Examples
    --------
    >>> found = mean_interval(np.array([0.2, 0.4, 0.3, 0.3]), ["a", "b", "c", "c"])
    >>> round(found["mean"], 3), found["families"], found["low"] < 0.3 < found["high"]
    (0.3, 3, True)
    """
    values = np.asarray(values, float)
    n_families = len(set(families))
    row = {"mean": float(values.mean()), "models": len(values), "families": n_families, "low": None, "high": None}
    spread = _spread(values, families, n_samples, seed)
    if spread is not None:
        half = _t(n_families - 1) * spread
        row |= {"low": row["mean"] - half, "high": row["mean"] + half}
    return row


def difference(
    first: Mapping[str, Any], second: Mapping[str, Any], n_samples: int = N_SAMPLES, seed: int = 0
) -> dict[str, Any]:
    """Return the difference of the means of two sets of models with its 95 % interval over families.

    Parameters
    ----------
    first, second : mapping
        "values" (n_models,) and "families" (n_models,) of each set.
    n_samples, seed : int

    Returns
    -------
    dict
        difference, low, high: None if a set has fewer than 3 families. Degrees of freedom: those of the smaller set.
    """
    found = [(np.asarray(one["values"], float), one["families"]) for one in (first, second)]
    row = {"difference": float(found[0][0].mean() - found[1][0].mean()), "low": None, "high": None}
    spreads = [_spread(values, families, n_samples, seed + i) for i, (values, families) in enumerate(found)]
    if None not in spreads:
        half = _t(min(len(set(families)) for _, families in found) - 1) * float(np.hypot(*spreads))
        row |= {"low": row["difference"] - half, "high": row["difference"] + half}
    return row


def _spread(values: np.ndarray, families: Sequence[str], n_samples: int, seed: int) -> float | None:
    """Return the standard error of a mean over models, by resampling families; None for fewer than 3."""
    n_families = len(set(families))
    if n_families < 3:
        return None
    means = [values[rows].mean() for rows in family_samples(families, n_samples, seed)]
    return float(np.std(means) * np.sqrt(n_families / (n_families - 1)))


def _t(degrees: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, degrees))


def correlation(
    first: np.ndarray, second: np.ndarray, families: Sequence[str], n_samples: int = N_SAMPLES, seed: int = 0
) -> dict[str, Any]:
    """Return the correlations of two scores over models, with the 95 % interval of Pearson's r over families.

    Parameters
    ----------
    first, second : arrays of shape (n_models,)
        NaN: left out.
    families : sequence of str, (n_models,)
    n_samples, seed : int

    Returns
    -------
    dict
        models, families, r, low, high, spearman; None for fewer than 4 families or a constant score.
    """
    from scipy.stats import spearmanr

    both = np.isfinite(first) & np.isfinite(second)
    first, second = np.asarray(first, float)[both], np.asarray(second, float)[both]
    kept = [family for family, use in zip(families, both, strict=True) if use]
    row = {"models": len(first), "families": len(set(kept)), "r": None, "low": None, "high": None, "spearman": None}
    if len(set(kept)) < 4 or first.std() < 1e-12 or second.std() < 1e-12:
        return row
    draws = [_pearson(first[rows], second[rows]) for rows in family_samples(kept, n_samples, seed)]
    draws = np.array([draw for draw in draws if np.isfinite(draw)])
    low, high = np.percentile(draws, [2.5, 97.5])
    row |= {"r": _pearson(first, second), "low": float(low), "high": float(high)}
    return row | {"spearman": float(spearmanr(first, second)[0])}


def _pearson(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first - first.mean(), second - second.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 1e-24 else float("nan")
