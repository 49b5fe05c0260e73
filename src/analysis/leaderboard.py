"""Leaderboard of models over several benchmarks: mean scores, their intervals, and comparisons with the best."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..utils import BadInput
from . import crossed
from .bootstrap import interval
from .fdr import q_values
from .paired import two_sided_p

ALPHA = 0.05  # level at which a model is told apart from the best


def rank(scores: Sequence[Mapping[str, Any]], *, only_shared: bool = False) -> list[dict[str, Any]]:
    """Rank models by their mean over benchmarks, the best first.

    A missing score never counts as 0, and does not take its benchmark from the others: it is estimated by the sum of an
    effect of the model and one of the benchmark, fitted to all scores by least squares.

    Parameters
    ----------
    scores : sequence of mapping
        Rows {"model", "benchmark", "normalised": number or None, "bootstrap_normalised": (n_samples,) or None,
        "resampled": identity of the samples (optional), "people": see `people_apart` (optional)}, each model and
        benchmark at most once.
    only_shared : bool, default False
        Leave out the benchmarks that some model lacks, in place of estimates.

    Returns
    -------
    list of dict
        Rows {"model", "mean", "low", "high", "n", "of", "missing", "shared"} with the keys of `told_apart` and
        `people_apart`. n: number of the model's own scores in the mean, of the `of` benchmarks in it; `missing` lists
        those that the model lacks; `shared`: True if the means are of the same benchmarks. It is False where too few
        scores overlap to estimate those missing: each mean is then over the model's own benchmarks, and models with
        fewer missing come first. low, high: None unless all scores of the model have draws; benchmarks are resampled
        independently of each other. Empty with `only_shared` if no benchmark is shared.

    Raises
    ------
    BadInput
        For two scores of one model and benchmark.

    Examples
    --------
    >>> of = lambda model, benchmark, r: {"model": model, "benchmark": benchmark, "normalised": r}
    >>> table = [of("a", "x", 0.5), of("a", "y", 0.7), of("b", "x", 0.6)]
    >>> [(row["model"], round(row["mean"], 2), row["missing"]) for row in rank(table)]
    [('b', 0.7, ['y']), ('a', 0.6, [])]
    >>> [(row["model"], row["mean"]) for row in rank(table, only_shared=True)]
    [('b', 0.6), ('a', 0.5)]
    """
    cells = _cells(scores)
    models = list(dict.fromkeys(model for model, _ in cells))
    benchmarks = list(dict.fromkeys(benchmark for _, benchmark in cells))
    if only_shared:
        benchmarks = [b for b in benchmarks if all(_known(cells.get((m, b))) for m in models)]
    known = {at: row for at, row in cells.items() if at[1] in benchmarks and _known(row)}
    if only_shared and not known:
        return []
    weights = _weights(models, benchmarks, list(known))
    values, draws = np.array([row["normalised"] for row in known.values()]), [_draws(row) for row in known.values()]
    of_model = np.array([model for model, _ in known])
    rows = []
    for model in models:
        row = {"model": model} | _mean(of_model == model, values, draws, None if weights is None else weights[model])
        missing = [b for b in benchmarks if (model, b) not in known]
        rows.append(row | {"of": len(benchmarks), "missing": missing, "shared": weights is not None})
    ranked = sorted(rows, key=lambda r: (weights is None and len(r["missing"]), r["mean"] is None, -(r["mean"] or 0)))
    return people_apart(told_apart(ranked, known), known)


def told_apart(
    ranked: Sequence[Mapping[str, Any]], known: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the ranked rows with the comparison of each model with the first one, for new films or stimuli.

    q: two-sided p of the difference of the means over the benchmarks that both have, from the bootstrap draws,
    corrected for the number of models (Benjamini and Hochberg 1995); None for the first model, without draws and
    without a common benchmark. Draws of the same samples are paired. tied: True for the first model and for those with
    q of 0.05 or more, which the data cannot tell apart from it; None without q.
    """
    rows = [dict(row) | {"q": None, "tied": None} for row in ranked]
    if not rows or rows[0]["low"] is None or not rows[0]["shared"]:
        return rows
    first = rows[0]["model"]
    tested = [(row, _common(first, row["model"], known)) for row in rows[1:] if row["low"] is not None]
    tested = [(row, common) for row, common in tested if common]
    if not tested:
        return rows
    rows[0]["tied"] = True
    p = [two_sided_p(_difference_draws(first, row["model"], common, known)) for row, common in tested]
    for (row, _), q in zip(tested, q_values(np.array(p)), strict=True):
        row |= {"q": float(q), "tied": bool(q >= ALPHA)}
    return rows


def people_apart(
    ranked: Sequence[Mapping[str, Any]], known: Mapping[tuple[str, str], Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the ranked rows with the comparison of each model with the first one, for new films and new people.

    "people" of a score: {"table": pseudo-values (n_subjects, n_segments), "factor": see `crossed.errors`, "identity":
    what pairs tables}; without it, and where two scores differ in identity, they are not compared. people_q: p of the
    difference. With one benchmark it is corrected by the largest of all differences (`crossed.compare_all`); with
    several, the benchmarks' differences are combined (`crossed.combined`) and corrected by the number of models
    (Benjamini and Hochberg 1995). people_tied: True for the first model and for those with people_q of 0.05 or more.
    people_n: number of benchmarks in the comparison. None without such a comparison.
    """
    rows = [dict(row) | {"people_q": None, "people_tied": None, "people_n": None} for row in ranked]
    with_people = {at: row for at, row in known.items() if row.get("people") is not None}
    if len(rows) < 2 or not rows[0]["shared"]:
        return rows
    first, benchmarks = rows[0]["model"], {benchmark for _, benchmark in with_people}
    corrected = _against_all(first, with_people) if len(benchmarks) == 1 else _against_first(first, rows, with_people)
    for row in rows[1:]:
        if row["model"] in corrected:
            q, n = corrected[row["model"]]
            row |= {"people_q": q, "people_tied": q >= ALPHA, "people_n": n}
    if corrected:
        rows[0] |= {"people_tied": True, "people_n": max(n for _, n in corrected.values())}
    return rows


def _against_all(first: str, cells: Mapping[tuple[str, str], Mapping[str, Any]]) -> dict[str, tuple[float, int]]:
    """Return {model: (p against the first one, 1)} on one benchmark, corrected over all pairs of models."""
    of_model = {model: row["people"] for (model, _), row in cells.items()}
    if first not in of_model:
        return {}
    paired = {m: one for m, one in of_model.items() if one["identity"] == of_model[first]["identity"]}
    if len(paired) < 2 or len(of_model[first]["table"]) < 2:
        return {}
    found = crossed.compare_all(
        {m: one["table"] for m, one in paired.items()}, {m: one["factor"] for m, one in paired.items()}
    )
    p = {frozenset((row["a"], row["b"])): row["p_max"] for row in found["pairs"]}
    return {model: (p[frozenset((first, model))], 1) for model in paired if model != first}


def _against_first(
    first: str, rows: Sequence[Mapping[str, Any]], cells: Mapping[tuple[str, str], Mapping[str, Any]]
) -> dict[str, tuple[float, int]]:
    """Return {model: (q against the first one, number of benchmarks)} of differences combined over benchmarks."""
    found: dict[str, tuple[float, int]] = {}
    for model in (row["model"] for row in rows[1:]):
        effects = []
        for benchmark in _common(first, model, cells):
            one, two = cells[first, benchmark]["people"], cells[model, benchmark]["people"]
            if one["identity"] == two["identity"] and len(one["table"]) > 1:
                difference = crossed.compare(one["table"], two["table"], (one["factor"], two["factor"]))
                effects.append({"difference": difference["difference"], "error": difference["people_error"]})
                effects[-1]["p"] = difference["people_p"]
        effects = [effect for effect in effects if effect["error"] > 0]
        if effects:
            found[model] = (crossed.combined(effects)["p"], len(effects))
    q = q_values(np.array([p for p, _ in found.values()])) if found else ()
    return {model: (float(value), n) for (model, (_, n)), value in zip(found.items(), q, strict=True)}


def _common(a: str, b: str, cells: Mapping[tuple[str, str], Any]) -> list[str]:
    """Return the benchmarks that both models have."""
    return [benchmark for model, benchmark in cells if model == a and (b, benchmark) in cells]


def _difference_draws(
    a: str, b: str, benchmarks: Sequence[str], cells: Mapping[tuple[str, str], Mapping[str, Any]]
) -> np.ndarray:
    """Return draws (n_samples,) of the mean of a minus that of b over benchmarks."""
    differences = []
    for benchmark in benchmarks:
        one, two = cells[a, benchmark], cells[b, benchmark]
        of_a, of_b = (np.asarray(row["bootstrap_normalised"], dtype=np.float64) for row in (one, two))
        n = min(len(of_a), len(of_b))
        samples = one.get("resampled")
        paired = samples is not None and samples == two.get("resampled") and len(of_a) == len(of_b)
        # a random pairing makes unpaired draws independent
        differences.append(of_a[:n] - (of_b if paired else np.random.default_rng(0).permutation(of_b)[:n]))
    n = min(map(len, differences))
    return np.mean([one[:n] for one in differences], axis=0)


def _cells(scores: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Return {(model, benchmark): row}; raise BadInput for two rows of one."""
    cells: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in scores:
        at = (row["model"], row["benchmark"])
        if at in cells:
            raise BadInput(f"two scores of {at[0]} on {at[1]}; expected one: name the options in which they differ")
        cells[at] = row
    return cells


def _known(row: Mapping[str, Any] | None) -> bool:
    """Return whether a row has a finite score."""
    return row is not None and row["normalised"] is not None and bool(np.isfinite(row["normalised"]))


def _weights(
    models: Sequence[str], benchmarks: Sequence[str], known: Sequence[tuple[str, str]]
) -> dict[str, np.ndarray] | None:
    """Return the weights of all known scores in each model's mean over all benchmarks: {model: (n_known,)}.

    None if the scores do not determine those missing.
    """
    if len(known) == len(models) * len(benchmarks):
        return {model: np.array([m == model for m, _ in known]) / len(benchmarks) for model in models}
    row_of = {model: i for i, model in enumerate(models)}
    column_of = {benchmark: len(models) + i for i, benchmark in enumerate(benchmarks)}
    design = np.zeros((len(known), len(models) + len(benchmarks)))
    for k, (model, benchmark) in enumerate(known):
        design[k, [row_of[model], column_of[benchmark]]] = 1
    if not known:
        return None
    # effects are determined up to a constant where a chain of scores connects all models and benchmarks
    if np.linalg.matrix_rank(design) < design.shape[1] - 1:
        return None
    effects, found, stored = np.linalg.pinv(design), {}, set(known)
    for model in models:
        own = np.array([m == model for m, _ in known], dtype=float)
        lacking = [b for b in benchmarks if (model, b) not in stored]
        estimated = sum(effects[row_of[model]] + effects[column_of[b]] for b in lacking)
        found[model] = (own + estimated) / len(benchmarks)
    return found


def _draws(row: Mapping[str, Any]) -> np.ndarray | None:
    """Return the bootstrap draws of a score (n_samples,), None without and where some are not finite."""
    draws = row.get("bootstrap_normalised")
    return None if draws is None or not np.isfinite(draws).all() else np.asarray(draws, dtype=np.float64)


def _mean(
    own: np.ndarray, values: np.ndarray, draws: Sequence[np.ndarray | None], weights: np.ndarray | None
) -> dict[str, Any]:
    """Return the mean of a model and its interval.

    own: scores of the model among all known ones; weights: of all known scores in it, by default of its own alike.
    """
    if not own.any():
        return {"mean": None, "low": None, "high": None, "n": 0}
    weights = own / own.sum() if weights is None else weights
    found = {"mean": float(weights @ values), "low": None, "high": None, "n": int(own.sum())}
    if any(draws[k] is None for k in np.flatnonzero(own)):
        return found
    used = np.flatnonzero(np.abs(weights) > 1e-12)
    n = min(len(draws[k]) for k in used if draws[k] is not None)
    # another model's score without draws counts as known exactly
    mean = sum(weights[k] * (values[k] if draws[k] is None else draws[k][:n]) for k in used)
    low, high = interval(mean)
    return found | {"low": low, "high": high}
