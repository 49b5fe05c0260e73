"""Paired comparison of two models on the same splits: the difference of their scores, per target and over all.

Draws of two scores on the same bootstrap samples of segments or stimuli have a large common part. It cancels in their
difference, whose interval is therefore narrower than those of the two scores.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..utils import BadInput, nan_mean
from . import crossed
from .aggregate import aggregate, headline_test
from .bootstrap import interval, training_factor
from .fdr import q_values


def compare(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Compare score a with score b, each with the layers that its headline reports.

    Parameters
    ----------
    a, b : mapping of str to array
        Stored scores: "valid" and "test" of shape (n_layers, n_targets, n_splits); optionally "bootstrap" of shape
        (n_samples,), draws of the score, and "resampled", (name of the blocks, identity of the samples), and
        "test_to_train", number of test rows divided by that of training rows.

    Returns
    -------
    dict
        "difference": a minus b of the aggregated scores. "low", "high", "p": 95 % interval and two-sided p from the
        bootstrap draws, None if a score has none. "paired": whether the bootstrap samples are the same; otherwise the
        scores count as independent. "targets_difference": (n_targets,) of the split-mean test scores.
        "targets_p", "targets_q": (n_targets,), corrected resampled t test over splits and its q values; None unless
        paired, with at least three splits. "subjects": comparison over subjects and segments, see `crossed.compare`;
        None unless both score the same subjects on the same rows ("subjects", "subject_segments", "subject_rows",
        "widening" of the arrays).

    Raises
    ------
    BadInput
        For scores of different numbers of targets or splits.

    References
    ----------
    Nadeau and Bengio 2003, Machine Learning 52:239. Benjamini and Hochberg 1995, Journal of the Royal Statistical
    Society B 57:289.

    Examples
    --------
    >>> a, b = ({"valid": np.full((1, 2, 3), r), "test": np.full((1, 2, 3), r)} for r in (0.5, 0.25))
    >>> found = compare(a, b)
    >>> found["difference"], found["p"], found["targets_difference"]
    (0.25, None, array([0.25, 0.25]))
    """
    test_a, test_b = (np.asarray(headline_test(arrays), dtype=np.float64) for arrays in (a, b))
    if test_a.shape != test_b.shape:
        raise BadInput(
            f"scores of {test_a.shape[0]} targets x {test_a.shape[1]} splits and of {test_b.shape[0]} x "
            f"{test_b.shape[1]}; expected the same datasets and options"
        )
    replicated, paired = _same_samples(a, b)
    found = {"difference": aggregate(test_a) - aggregate(test_b), "paired": paired}
    found |= _over_samples(a, b, paired) if replicated else {"low": None, "high": None, "p": None}
    found["targets_difference"] = nan_mean(test_a - test_b, axis=1)
    found["targets_p"] = _over_splits(test_a - test_b, a) if paired and test_a.shape[1] > 2 else None
    found["targets_q"] = None if found["targets_p"] is None else q_values(found["targets_p"])
    found["subjects"] = over_subjects(a, b)
    return found


def over_subjects(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    """Return the comparison over subjects and segments of two stored scores, None unless they have the same ones."""
    if not all("subject_segments" in arrays for arrays in (a, b)):
        return None
    if not all(np.array_equal(a[name], b[name]) for name in ("subjects", "subject_rows")):
        return None
    tables = [np.asarray(arrays["subject_segments"], dtype=np.float64) for arrays in (a, b)]
    return crossed.compare(*tables, (subject_factor(a), subject_factor(b)))


def subject_factor(arrays: Mapping[str, np.ndarray]) -> float:
    """Return the factor on the error over films of a stored score of single subjects, see `crossed.errors`."""
    score = float(nan_mean(np.asarray(arrays["subject_segments"], dtype=np.float64)))
    return float(training_factor(score, float(arrays["widening"])))


def _same_samples(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> tuple[bool, bool]:
    """Return whether both have replicates, and whether these are of the same bootstrap samples."""
    if "bootstrap" not in a or "bootstrap" not in b:
        return False, False
    same = len(a["bootstrap"]) == len(b["bootstrap"]) and np.array_equal(a["resampled"], b["resampled"])
    return True, bool(same)


def _over_samples(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], paired: bool) -> dict[str, float]:
    """Return the interval and the two-sided p of the difference of the draws, NaN if one is undefined.

    p is twice the share of draws beyond 0, so that it is below 0.05 where the interval excludes 0. The draws carry the
    factors of `bootstrap.training_factor` and `bootstrap.tails`, and their difference inherits them.
    """
    of_a, of_b = (np.asarray(arrays["bootstrap"], dtype=np.float64) for arrays in (a, b))
    n = min(len(of_a), len(of_b))
    # a random pairing makes unpaired draws independent
    difference = of_a[:n] - (of_b[:n] if paired else np.random.default_rng(0).permutation(of_b)[:n])
    low, high = interval(difference)
    return {"low": low, "high": high, "p": two_sided_p(difference)}


def two_sided_p(draws: np.ndarray) -> float:
    """Return twice the share of draws (n_samples,) beyond 0, NaN if one is undefined."""
    if not np.isfinite(draws).all():
        return float("nan")
    beyond = min(int(np.sum(draws <= 0)), int(np.sum(draws >= 0)))
    return min(1.0, 2 * (1 + beyond) / (1 + len(draws)))


def _over_splits(difference: np.ndarray, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the two-sided p of differences (n_targets, n_splits): (n_targets,), NaN where a split is undefined.

    Their variance is multiplied by 1 / n_splits + n_test / n_train, since the splits share training rows.
    """
    from scipy.stats import t

    n = difference.shape[1]
    ratio = float(arrays["test_to_train"]) if "test_to_train" in arrays else 1 / (n - 1)
    spread = difference.std(axis=1, ddof=1) * np.sqrt(1 / n + ratio)
    mean = difference.mean(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = 2 * t.sf(np.abs(mean) / spread, n - 1)
    return np.where(spread == 0, np.where(mean == 0, 1.0, np.nan), p)
