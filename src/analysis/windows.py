"""Temporal windows: the shortest context that a model needs to predict a unit, from its scores with several contexts.

A context counts as enough if it reaches 90 % of the best score. It is chosen in each split by validation scores, which
no test row enters, so that the test score of the chosen contexts is unbiased; a unit or a region whose score is not
above 0 has no window.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..evaluate.layer_choice import most_frequent, stored_rule, taken
from ..utils import BadInput, nan_mean, nan_median
from .aggregate import regions
from .bootstrap import interval

ENOUGH = 0.9  # share of the best score
ALL = "all"

Arrays = Mapping[str, np.ndarray]


def enough(scores: np.ndarray, share: float = ENOUGH) -> np.ndarray:
    """Return the index of the first score that reaches a share of the largest.

    Parameters
    ----------
    scores : array of shape (n_contexts, ...)
        Scores in the order of the contexts, NaN = undefined.
    share : float, default 0.9

    Returns
    -------
    int array of shape (...)
        -1 where no score is above 0.

    Examples
    --------
    >>> enough(np.array([[0.1, -0.2], [0.48, -0.1], [0.5, 0.0]])).tolist()
    [1, -1]
    """
    known = np.where(np.isfinite(scores), scores, -np.inf)
    best = known.max(axis=0)
    return np.where(best > 0, (known >= share * best).argmax(axis=0), -1)


def unit_windows(scores: Sequence[Arrays], contexts_ms: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the temporal window of each target, and its score with the context chosen in each split.

    Parameters
    ----------
    scores : sequence of mapping of str to array, (n_contexts,)
        Arrays of the scores of one model with contexts in increasing order: "valid", "test", "layer_choice", "low".
    contexts_ms : sequence of float, (n_contexts,)
        Contexts in ms.

    Returns
    -------
    window_ms : array of shape (n_targets,)
        Geometric mean over splits; NaN where the interval of the score with the context that most splits choose is not
        above 0 or, without intervals, the score is not.
    test : array of shape (n_targets, n_splits)
        Test scores with the chosen contexts; where no validation score is above 0, with the largest one.

    Raises
    ------
    BadInput
        For scores of different targets or numbers of splits, or by a metric of which less is better.
    """
    valid, test = _of_headline(scores)
    index = enough(valid)
    chosen = _of_chosen(test, valid, index)
    window_ms = _mean_context(index, contexts_ms)
    if all("low" in arrays for arrays in scores):
        low = np.stack([np.asarray(arrays["low"]) for arrays in scores])
        most = np.array([most_frequent(row[row >= 0]) if (row >= 0).any() else 0 for row in index])
        usable = taken(low, most) > 0
    else:
        usable = nan_mean(chosen, axis=1) > 0
    return np.where(usable, window_ms, np.nan), chosen


def windows(scores: Sequence[Arrays], contexts_ms: Sequence[float]) -> list[dict[str, Any]]:
    """Return the temporal window of all targets together and of each region.

    Parameters
    ----------
    scores, contexts_ms
        See `unit_windows`; also "bootstrap" and "bootstrap_regions".

    Returns
    -------
    list of dict
        A row for all targets and each region: "region", "targets"; "window_ms", by the median over targets, geometric
        mean over splits, None without a score above 0; "low_ms", "high_ms", its 95 % interval over paired bootstrap
        samples, None without them; "units", number of targets with a window of their own; "score", with the chosen
        contexts; "test", "low", "high": medians over targets of the test score with each context, and intervals.
    """
    valid, test = _of_headline(scores)
    of_units, _ = unit_windows(scores, contexts_ms)
    draws = _paired_draws(scores)
    rows = []
    for k, (region, columns) in enumerate({ALL: np.arange(valid.shape[1]), **regions(scores[0])}.items()):
        of_valid, of_test = nan_median(valid[:, columns], axis=1), nan_median(test[:, columns], axis=1)
        index = enough(of_valid)
        score = float(nan_mean(_of_chosen(of_test, of_valid, index), axis=0))
        row = {"region": region, "targets": len(columns), "window_ms": None, "low_ms": None, "high_ms": None}
        row |= {"units": int(np.isfinite(of_units[columns]).sum()), "score": score}
        row["test"] = nan_mean(of_test, axis=1).tolist()
        of_area = draws[k] if k < len(draws) else None
        ends = [(None, None)] * len(scores) if of_area is None else [interval(one) for one in of_area]
        row["low"], row["high"] = (
            [float(end) if end is not None else None for end in of_end] for of_end in zip(*ends, strict=True)
        )
        most = most_frequent(index[index >= 0]) if (index >= 0).any() else None
        above = most is not None and (score > 0 if of_area is None else row["low"][most] > 0)
        if above:
            row["window_ms"] = float(_mean_context(index, contexts_ms))
        if above and of_area is not None:
            sampled = enough(of_area)
            of_samples = np.asarray(contexts_ms, dtype=float)[sampled[sampled >= 0]]
            row["low_ms"], row["high_ms"] = (
                float(end) for end in np.percentile(of_samples, [2.5, 97.5], method="nearest")
            )
        rows.append(row)
    return rows


def window_text(window_ms: float | None, contexts_ms: Sequence[float]) -> str:
    """Return a window in seconds, as a bound where it is the shortest or the longest context; "-" for None.

    Examples
    --------
    >>> [window_text(window_ms, [250.0, 1000.0, 4000.0]) for window_ms in (250.0, 1414.2, 4000.0, None)]
    ['≤0.25', '1.41', '≥4', '-']
    """
    if window_ms is None:
        return "-"
    bound = "≤" if window_ms <= min(contexts_ms) else "≥" if window_ms >= max(contexts_ms) else ""
    return f"{bound}{window_ms / 1000:.3g}"


def _of_headline(scores: Sequence[Arrays]) -> tuple[np.ndarray, np.ndarray]:
    """Return validation and test scores of the headline's layers: twice (n_contexts, n_targets, n_splits)."""
    found = []
    for arrays in scores:
        rule, valid = stored_rule(arrays), np.asarray(arrays["valid"])
        if rule.direction < 0:
            raise BadInput("a metric of which less is better; expected another one for temporal windows")
        layers = rule.layers(valid)
        found.append((taken(valid, layers), taken(np.asarray(arrays["test"]), layers)))
    if len({test.shape for _, test in found}) > 1:
        raise BadInput("scores with different targets or splits; expected those of one model with several contexts")
    valid, test = zip(*found, strict=True)
    return np.stack(valid), np.stack(test)


def _of_chosen(test: np.ndarray, valid: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return the scores with the chosen contexts; none is left out because of its validation score, which biases."""
    return taken(test, np.where(index < 0, np.where(np.isfinite(valid), valid, -np.inf).argmax(axis=0), index))


def _mean_context(index: np.ndarray, contexts_ms: Sequence[float]) -> np.ndarray:
    """Return the geometric mean over splits of the contexts of indices (..., n_splits); NaN without any."""
    logs = np.where(index < 0, np.nan, np.log(np.asarray(contexts_ms, dtype=np.float64))[np.maximum(index, 0)])
    # a context that all splits choose is itself
    return np.round(np.exp(nan_mean(logs, axis=-1)), 6)


def _paired_draws(scores: Sequence[Arrays]) -> list[np.ndarray]:
    """Return the draws (n_contexts, n_samples) of all targets and of each region; none unless they are paired."""
    if not all("bootstrap" in arrays for arrays in scores):
        return []
    if len({(*np.asarray(arrays["resampled"]).tolist(), len(arrays["bootstrap"])) for arrays in scores}) > 1:
        return []
    found = [np.stack([np.asarray(arrays["bootstrap"]) for arrays in scores])]
    if "bootstrap_regions" in scores[0]:
        found += list(np.stack([np.asarray(arrays["bootstrap_regions"]) for arrays in scores], axis=1))
    return found
