"""Two models on the same splits: the difference of their scores, target by target and over all.

Replicates of two scores that come from the same draws of segments or stimuli differ by what the draw does to the
difference alone, so that models are compared more sharply than their intervals suggest.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..utils import BadInput
from .aggregate import chosen_layer, headline, nan_mean
from .bootstrap import interval
from .fdr import q_values


def compare(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Score a minus score b, each with its own chosen layer.

    Returns "difference" of the printed scores; "low", "high" its 95 % interval and "p" two-sided, from the bootstrap
    replicates, None where a score has none; "paired": whether the draws are the same (otherwise the scores count as
    independent); "targets_difference" (n_targets,) of the split-mean test scores; "targets_p", "targets_q"
    (n_targets,), None unless paired with the same targets and at least three splits: corrected resampled t test
    over splits (Nadeau and Bengio 2003, Machine Learning 52:239), q after Benjamini and Hochberg. Raises BadInput for
    scores of different targets or numbers of splits.
    """
    mine, yours = (_chosen(arrays) for arrays in (a, b))
    if mine.shape != yours.shape:
        raise BadInput(
            f"scores of {mine.shape[0]} targets x {mine.shape[1]} splits and of {yours.shape[0]} x {yours.shape[1]}; "
            "expected the same datasets and options"
        )
    known, paired = _draws(a, b)
    found = {"difference": headline(mine) - headline(yours), "paired": paired, **_over_draws(a, b, known, paired)}
    found["targets_difference"] = nan_mean(mine - yours, axis=1)
    found["targets_p"] = _over_splits(mine - yours) if paired and mine.shape[1] > 2 else None
    found["targets_q"] = None if found["targets_p"] is None else q_values(found["targets_p"])
    return found


def _chosen(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Test scores of the chosen layer: (n_targets, n_splits)."""
    return np.asarray(arrays["test"], dtype=np.float64)[chosen_layer(np.asarray(arrays["valid"]))]


def _draws(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> tuple[bool, bool]:
    """Whether both have replicates, and whether those are of the same draws."""
    if "bootstrap" not in a or "bootstrap" not in b:
        return False, False
    same = len(a["bootstrap"]) == len(b["bootstrap"]) and np.array_equal(a["resampled"], b["resampled"])
    return True, bool(same)


def _over_draws(a, b, known: bool, paired: bool) -> dict[str, float | None]:
    if not known:
        return {"low": None, "high": None, "p": None}
    mine, yours = (np.asarray(arrays["bootstrap"], dtype=np.float64) for arrays in (a, b))
    n = min(len(mine), len(yours))
    # unpaired replicates are put together in another order than they were drawn
    apart = mine[:n] - (yours[:n] if paired else np.random.default_rng(0).permutation(yours)[:n])
    low, high = interval(apart)
    beyond = min(int(np.sum(apart <= 0)), int(np.sum(apart >= 0)))
    return {"low": low, "high": high, "p": min(1.0, 2 * (1 + beyond) / (1 + n))}


def _over_splits(difference: np.ndarray) -> np.ndarray:
    """Two-sided p of (n_targets, n_splits) differences, their variance times 1/n_splits + 1/8 for shared training rows.

    A tenth of the rows is tested and eight tenths train. NaN where a split is undefined.
    """
    from scipy.stats import t

    n = difference.shape[1]
    spread = difference.std(axis=1, ddof=1) * np.sqrt(1 / n + 1 / 8)
    mean = difference.mean(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = 2 * t.sf(np.abs(mean) / spread, n - 1)
    return np.where(spread == 0, np.where(mean == 0, 1.0, np.nan), p)
