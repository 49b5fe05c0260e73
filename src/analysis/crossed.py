"""Inference over subjects and film segments: intervals of a score, paired comparisons and sets of best models.

The input is a table of pseudo-values (n_subjects, n_segments): its row means are the subjects' scores, its grand mean
the mean score, and the deviations of its columns the influence of a segment on it (`evaluate.subjects`).

A bootstrap that samples segments alone holds the subjects fixed: its interval is for new films and these people. One
that samples both counts the variance of single cells three times. The correction of Schuett et al. 2023,
2 (var_subjects + var_segments) - var_both, counts it once; it is bounded by the largest of the single variances and by
that of both. The variances are those of infinitely many bootstrap samples, in closed form, times n / (n - 1) for n
subjects and for n segments.

References
----------
Schuett, Kipnis, Diedrichsen and Kriegeskorte 2023, eLife 12:e82566. Satterthwaite 1946, Biometrics Bulletin 2:110
(degrees of freedom). Westfall and Young 1993, Resampling-Based Multiple Testing (max-T).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np

from ..evaluate.metrics.base import LIMIT
from ..utils import BadInput, nan_mean, seed_from
from .bootstrap import LEVEL

FEW_SUBJECTS = 6  # with fewer, an interval for new people is weak
N_SAMPLES = 10_000  # bootstrap samples of a max-T test


@dataclass(frozen=True)
class Errors:
    """Standard errors of the mean of a table, with degrees of freedom.

    Parameters
    ----------
    films, films_df : float
        For new films and these people.
    people, people_df : float
        For new films and new people; NaN with one subject.
    """

    films: float
    films_df: float
    people: float
    people_df: float


def filled(table: np.ndarray) -> np.ndarray:
    """Return a table with its missing cells estimated by the mean of their row plus the deviation of their column.

    Parameters
    ----------
    table : array of shape (n_subjects, n_segments)
        Pseudo-values; NaN where a subject did not see a segment.

    Returns
    -------
    float64 array
        Without subjects that have no value and segments that no subject has.

    Examples
    --------
    >>> filled(np.array([[1.0, 3.0], [2.0, np.nan]]))
    array([[1., 3.],
           [2., 3.]])
    """
    table = np.asarray(table, dtype=np.float64)
    known = np.isfinite(table)
    table, known = (part[known.any(axis=1)][:, known.any(axis=0)] for part in (table, known))
    if known.all():
        return table
    rows = nan_mean(table, axis=1)[:, None]
    return np.where(known, table, rows + nan_mean(table - rows, axis=0))


def errors(table: np.ndarray, factor: float = 1.0) -> Errors:
    """Return the standard errors of the mean of a table.

    Parameters
    ----------
    table : array of shape (n_subjects, n_segments)
        Pseudo-values, see `filled` for missing ones.
    factor : float, default 1.0
        Factor on the standard error over films for the variance that other training films would add, see
        `bootstrap.training_factor`.

    Returns
    -------
    Errors

    Raises
    ------
    BadInput
        For fewer than two segments.

    Examples
    --------
    >>> found = errors(np.array([[0.1, 0.3, 0.2], [0.5, 0.7, 0.6]]))  # no interaction of subjects and segments
    >>> round(found.films, 4), round(found.people, 4), found.films_df
    (0.0577, 0.2082, 2.0)
    """
    table = filled(table)
    n, m = table.shape
    if m < 2:
        raise BadInput(f"{m} segments; expected at least two for an interval over films")
    centred = table - table.mean()
    of_rows, of_columns = centred.mean(axis=1), centred.mean(axis=0)
    films, df_films = factor**2 * (of_columns**2).sum() / (m - 1) / m, float(m - 1)
    if n < 2:
        return Errors(float(np.sqrt(films)), df_films, float("nan"), float("nan"))
    subjects = (of_rows**2).sum() / (n - 1) / n
    rest = centred - of_rows[:, None] - of_columns
    cells, df_cells = factor**2 * (rest**2).sum() / ((n - 1) * (m - 1)) / (n * m), (n - 1) * (m - 1)
    both = subjects + films + cells
    corrected = min(max(2 * (subjects + films) - both, subjects, films), both)
    spread = subjects**2 / (n - 1) + films**2 / df_films + cells**2 / df_cells
    df = corrected**2 / spread if spread > 0 else float(min(n, m) - 1)
    df = max(df, float(min(n, m) - 1))
    return Errors(float(np.sqrt(films)), df_films, float(np.sqrt(corrected)), float(df))


def intervals(table: np.ndarray, factor: float = 1.0, level: float = LEVEL) -> dict[str, Any]:
    """Return a score over subjects with its two intervals.

    Parameters
    ----------
    table : array of shape (n_subjects, n_segments)
        Pseudo-values.
    factor : float, default 1.0
        See `errors`.
    level : float, default 95
        Per cent.

    Returns
    -------
    dict
        "score": mean over subjects; "n_subjects"; "films", "people": (low, high) of the intervals for new films and
        these people, and for new films and new people, symmetric on Fisher's z; "people" is None with one subject;
        "weak": True for fewer than six subjects; "p": two-sided p of a score of 0 for new films and new people, None
        with one subject.

    Examples
    --------
    >>> found = intervals(np.array([[0.1, 0.3, 0.2], [0.5, 0.7, 0.6]]))
    >>> round(found["score"], 3), [round(end, 2) for end in found["films"]], found["weak"]
    (0.4, [0.13, 0.62], True)
    """
    from scipy.stats import t

    table = filled(table)
    score, found = float(table.mean()), errors(table, factor)

    def ends(error: float, df: float) -> tuple[float, float] | None:
        if not np.isfinite(error):
            return None
        clipped = float(np.clip(score, -LIMIT, LIMIT))
        reach = t.ppf((1 + level / 100) / 2, df) * error / (1 - clipped**2)
        return tuple(float(end) for end in np.tanh(np.arctanh(clipped) + np.array([-reach, reach])))

    return {
        "score": score,
        "n_subjects": len(table),
        "films": ends(found.films, found.films_df),
        "people": ends(found.people, found.people_df),
        "weak": len(table) < FEW_SUBJECTS,
        "p": _p(score, found.people, found.people_df) if len(table) > 1 else None,
    }


def compare(
    a: np.ndarray, b: np.ndarray, factors: tuple[float, float] = (1.0, 1.0), level: float = LEVEL
) -> dict[str, Any]:
    """Compare two models, paired over subjects and segments.

    Parameters
    ----------
    a, b : arrays of shape (n_subjects, n_segments)
        Pseudo-values of the same subjects and segments.
    factors : (float, float), default (1.0, 1.0)
        Of the two, see `errors`; the difference takes the root of their mean square.
    level : float, default 95
        Per cent.

    Returns
    -------
    dict
        "difference": of the means; "n_subjects"; for new films and these people "films" (low, high), "films_error" and
        "films_p" (two-sided); for new films and new people "people", "people_error", "people_p", None with one
        subject; "weak": True for fewer than six subjects.

    Raises
    ------
    BadInput
        For tables of different shapes.

    Examples
    --------
    >>> a = np.array([[0.1, 0.3, 0.2], [0.5, 0.7, 0.9]])
    >>> found = compare(a, a - np.array([[0.1, 0.1, 0.1], [0.2, 0.2, 0.2]]))
    >>> round(found["difference"], 3), [round(end, 2) for end in found["films"]], round(found["people_p"], 2)
    (0.15, [0.15, 0.15], 0.2)
    """
    from scipy.stats import t

    if np.shape(a) != np.shape(b):
        raise BadInput(f"tables of shapes {np.shape(a)} and {np.shape(b)}; expected the same subjects and segments")
    table = filled(np.asarray(a, dtype=np.float64) - b)
    found, difference = errors(table, _joint_factor(factors)), float(table.mean())

    def ends(error: float, df: float) -> tuple[float, float]:
        reach = t.ppf((1 + level / 100) / 2, df) * error
        return float(difference - reach), float(difference + reach)

    people = len(table) > 1
    return {
        "difference": difference,
        "n_subjects": len(table),
        "films": ends(found.films, found.films_df),
        "films_error": found.films,
        "films_p": _p(difference, found.films, found.films_df),
        "people": ends(found.people, found.people_df) if people else None,
        "people_error": found.people if people else None,
        "people_p": _p(difference, found.people, found.people_df) if people else None,
        "weak": len(table) < FEW_SUBJECTS,
    }


def compare_all(
    tables: Mapping[str, np.ndarray],
    factors: Mapping[str, float] | None = None,
    *,
    n_samples: int = N_SAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare all pairs of models for new films and new people, with p values for the largest of all statistics.

    Parameters
    ----------
    tables : mapping of str to array of shape (n_subjects, n_segments)
        Pseudo-values of the same subjects and segments, by model.
    factors : mapping of str to float, optional
        See `errors`; by default 1.
    n_samples : int, default 10000
        Bootstrap samples of subjects and segments.
    seed : int, default 0
        Seed of the samples.

    Returns
    -------
    dict
        "pairs": rows {"a", "b", "difference", "error", "p", "p_max"}, p for the pair alone, p_max for the largest of
        all pairs (max-T); "best": models that cannot be told apart from the one with the highest score (p_max at least
        .05), the highest first.

    Raises
    ------
    BadInput
        For fewer than two subjects.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> common = rng.standard_normal((10, 40))
    >>> tables = {n: common + 0.1 * rng.standard_normal((10, 40)) + x for n, x in (("a", 1.0), ("b", 1.0), ("c", 0.0))}
    >>> sorted(compare_all(tables)["best"])
    ['a', 'b']
    """
    names, factors = list(tables), factors or {}
    pairs = list(combinations(names, 2))
    of_model = {name: filled(table) for name, table in tables.items()}
    rows, dfs = [], []
    for a, b in pairs:
        table = of_model[a] - of_model[b]
        if len(table) < 2:
            raise BadInput(f"{len(table)} subjects; expected at least two for a conclusion about new people")
        found = errors(table, _joint_factor((factors.get(a, 1.0), factors.get(b, 1.0))))
        difference = float(table.mean())
        p = _p(difference, found.people, found.people_df)
        rows.append({"a": a, "b": b, "difference": difference, "error": found.people, "p": p})
        dfs.append(found.people_df)
    if rows:
        observed = np.array([_statistic(row["difference"], row["error"]) for row in rows])
        at = {name: i for i, name in enumerate(names)}
        numbers = [(at[a], at[b]) for a, b in pairs]
        largest = _largest(list(of_model.values()), numbers, np.array(dfs), n_samples, seed)
        for row, one in zip(rows, observed, strict=True):
            # a pair alone is no less likely to be as far apart than the largest of all
            row["p_max"] = max(row["p"], float((1 + (largest >= one).sum()) / (1 + n_samples)))
    return {"pairs": rows, "best": _best({name: table.mean() for name, table in of_model.items()}, rows)}


def combined(effects: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Combine the differences of two models over datasets by their weighted z.

    Parameters
    ----------
    effects : sequence of mapping
        Rows {"difference", "error", "p"} of independent datasets, p two-sided.

    Returns
    -------
    dict
        "difference": mean weighted by 1 / error^2; "error"; "z": sum of the datasets' z weighted by 1 / error, over
        the root of the sum of squared weights; "p": two-sided; "n": number of datasets.

    Raises
    ------
    BadInput
        Without a dataset, or for an error of 0.

    References
    ----------
    Liptak 1958, Magyar Tudomanyos Akademia Matematikai Kutato Intezetenek Kozlemenyei 3:171; Zaykin 2011, Journal of
    Evolutionary Biology 24:1836.

    Examples
    --------
    >>> found = combined([{"difference": 0.1, "error": 0.05, "p": 0.0455}] * 4)
    >>> round(found["difference"], 3), round(found["error"], 3), round(found["z"], 2)
    (0.1, 0.025, 4.0)
    """
    from scipy.stats import norm

    if not effects or min(effect["error"] for effect in effects) <= 0:
        raise BadInput("no dataset, or one without variance; expected differences with errors above 0 to combine")
    difference, error, p = (np.array([effect[k] for effect in effects]) for k in ("difference", "error", "p"))
    # z of the same p: few subjects make a t statistic that is no z
    z = np.sign(difference) * norm.isf(np.clip(p, 1e-300, 1) / 2)
    weight = 1 / error
    joint = float(weight @ z / np.sqrt(weight @ weight))
    return {
        "difference": float(weight**2 @ difference / (weight @ weight)),
        "error": float(1 / np.sqrt(weight @ weight)),
        "z": joint,
        "p": float(2 * norm.sf(abs(joint))),
        "n": len(effects),
    }


def _joint_factor(factors: tuple[float, float]) -> float:
    """Return the factor of a difference."""
    return float(np.sqrt(np.mean(np.square(factors))))


def _statistic(difference: float, error: float) -> float:
    """Return |difference| / error; 0 for equal models."""
    return 0.0 if difference == 0 else abs(difference) / error if error > 0 else np.inf


def _p(difference: float, error: float, df: float) -> float:
    """Return the two-sided p of a difference."""
    from scipy.stats import t

    return float(2 * t.sf(_statistic(difference, error), df)) if np.isfinite(error) else float("nan")


def _largest(
    tables: Sequence[np.ndarray], pairs: Sequence[tuple[int, int]], dfs: np.ndarray, n_samples: int, seed: int
) -> np.ndarray:
    """Return the largest |t| over pairs of tables in bootstrap samples of subjects and segments: (n_samples,).

    Each pair's samples have mean 0, and deviation 1 before the factors of Student's t.
    """
    n, m = tables[0].shape
    rng = np.random.default_rng(seed_from("crossed", seed, n, m))
    rows = rng.multinomial(n, np.full(n, 1 / n), n_samples) / n
    columns = rng.multinomial(m, np.full(m, 1 / m), n_samples) / m
    order = rng.permutation(n_samples)
    # the sample of a difference is the difference of the models' samples
    samples = [np.einsum("bm,bm->b", rows @ (table - table.mean()), columns) for table in tables]
    largest = np.zeros(n_samples)
    for (a, b), df in zip(pairs, dfs, strict=True):
        sample = samples[a] - samples[b]
        spread = sample.std()
        # equal models differ by rounding
        if spread > 1e-12 * max(samples[a].std(), samples[b].std()):
            stretch = _stretch(round(float(df), 1), n_samples)[order]
            largest = np.maximum(largest, np.abs(sample - sample.mean()) / spread * stretch)
    return largest


@lru_cache(maxsize=256)
def _stretch(df: float, n_samples: int) -> np.ndarray:
    """Return the factors that turn normal samples into those of Student's t: (n_samples,)."""
    from scipy.stats import chi2

    return np.sqrt(df / chi2.ppf((np.arange(n_samples) + 0.5) / n_samples, df))


def _best(means: Mapping[str, float], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the models that cannot be told apart from the one with the highest mean, the highest first."""
    ranked = sorted(means, key=lambda name: -means[name])
    p = {frozenset((row["a"], row["b"])): row["p_max"] for row in rows}
    return [name for name in ranked if name == ranked[0] or p[frozenset((ranked[0], name))] >= 1 - LEVEL / 100]
