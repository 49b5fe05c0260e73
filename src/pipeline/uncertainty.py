"""Uncertainty of a score: intervals, p and q values, as arrays to store and as facts to print."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis import crossed
from ..analysis.aggregate import aggregate, headline_test, normalised, regions, usable_ceiling
from ..analysis.bootstrap import bootstrap, interval
from ..analysis.fdr import p_values, q_values, significant
from ..analysis.paired import subject_factor
from ..evaluate.axis import curve_name
from ..evaluate.layer_choice import PER_TARGET, stored_rule
from ..utils import nan_mean, nan_median

if TYPE_CHECKING:
    from ..analysis.permutation import Null
    from ..ceiling import Ceiling
    from ..evaluate.bootstrap_statistics import Resampling

STEP = 1e-4  # of a numerical derivative
# arrays of a ceiling that a score in units of its ceiling has not
CEILING_OF_SCORE = (
    *("ceiling_spread", "ceiling_error", "ceiling_interval", "subject_ceiling", "subject_ceiling_error"),
    *("subject_ceiling_ridge", "subject_ceiling_ridge_error"),
)

SUBJECT_CEILINGS = ("ceiling", "ceiling_error", "ceiling_ridge", "ceiling_ridge_error")


def interval_arrays(
    resampling: "Resampling", arrays: Mapping[str, np.ndarray], n_samples: int, seed: int, metric: str = "pearson"
) -> dict[str, np.ndarray]:
    """Return the bootstrap of a score as arrays.

    low, high: (n_targets,); bootstrap, bootstrap_normalised: (n_samples,) draws of the headline;
    bootstrap_one_layer, bootstrap_one_layer_normalised: of one layer for all targets, where the headline has a layer
    per target; bootstrap_regions: (n_regions, n_samples); resampled: (name of the blocks, identity of the samples),
    equal for paired scores; of a curve, see `_curve_intervals`.
    """
    rule, of_region = stored_rule(arrays), regions(arrays)
    per_target = rule.headline == PER_TARGET

    def draws(per_target: bool, **options):
        test, ceiling = rule.test(arrays, per_target), usable_ceiling(arrays)
        scaled = None if ceiling is None else normalised(test, arrays)
        options |= {"metric": metric, "per_target": per_target, "ceiling": ceiling, "normalised": scaled}
        return bootstrap(resampling, test, n_samples, seed, **options)

    found = draws(per_target, regional={name: (c, region_test(arrays, c)) for name, c in of_region.items()})
    stored = {"low": found.low, "high": found.high, "bootstrap": found.aggregate}
    stored["resampled"] = np.array([resampling.block_name, resampling.identity])
    stored["bootstrap_normalised"] = found.normalised
    if per_target:
        one = draws(False)
        stored |= {"bootstrap_one_layer": one.aggregate, "bootstrap_one_layer_normalised": one.normalised}
    if of_region:
        stored["bootstrap_regions"] = np.stack([found.regions[region] for region in of_region])
    if resampling.curve:
        stored |= _curve_intervals(resampling, arrays, n_samples, seed, metric)
    return {name: values for name, values in stored.items() if values is not None}


def _curve_intervals(
    resampling: "Resampling", arrays: Mapping[str, np.ndarray], n_samples: int, seed: int, metric: str
) -> dict[str, np.ndarray]:
    """Return the intervals of a curve, "time_course" or "delay_profile".

    NAME_low, NAME_high: (n_targets, n_points); NAME_ends: (1 + n_regions, n_points, 2) of the medians over all targets
    and those of each region.
    """
    name = curve_name(arrays)
    test, of_region = np.asarray(arrays[name], dtype=np.float64), regions(arrays)
    ends = np.empty((1 + len(of_region), test.shape[1], 2))
    low, high = np.empty((2, *test.shape))
    for p, statistics in enumerate(resampling.curve):
        of_point, score = replace(resampling, per_target=statistics, curve=()), test[:, p, None]
        regional = {region: (columns, score[columns]) for region, columns in of_region.items()}
        found = bootstrap(of_point, score, n_samples, seed, metric=metric, per_target=True, regional=regional)
        low[:, p], high[:, p] = found.low, found.high
        ends[:, p] = [interval(draws) for draws in (found.aggregate, *found.regions.values())]
    return {f"{name}_low": low, f"{name}_high": high, f"{name}_ends": ends}


def ceiling_arrays(found: "Ceiling", of_ceiling: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
    """Return the noise ceiling of a score by a metric as arrays.

    of_ceiling: from the correlation of a perfect model with the responses to the score of such a model.
    """
    best, error = found.best_r, found.best_r_error
    ceiling = of_ceiling(best)
    if not np.array_equal(ceiling, best, equal_nan=True):
        # the delta method
        error = error * np.abs(of_ceiling(best + STEP) - of_ceiling(best - STEP)) / (2 * STEP)
    return {
        "ceiling": ceiling,
        "ceiling_spread": found.spread,
        "crossed": of_ceiling(found.crossed),
        "ceiling_error": error,
        "ceiling_interval": of_ceiling(found.median_interval()),
        "reliability": found.reliability,
        "masked": found.masked,
    }


def in_units_of_ceiling(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a score divided by its ceilings: 1 is a perfect model, and the score has no ceiling of its own.

    Test scores, intervals and the null are divided, the ceilings being known; the validation scores that chose the
    layers are left as they are. "aggregate" holds the number of columns of the ceilings, see `ceiling.normalised`: the
    score over targets is what was its ceiling-normalised score.
    """
    rule, usable, curve = stored_rule(arrays), usable_ceiling(arrays), curve_name(arrays)
    crossed = np.asarray(arrays["crossed"], dtype=np.float64) if "crossed" in arrays else usable[:, None]
    found = {name: values for name, values in arrays.items() if name not in ("ceiling", "crossed", *CEILING_OF_SCORE)}
    # a ceiling near 0, as before a response, is no unit
    found = {name: values for name, values in found.items() if not (curve and name.startswith(curve))}
    found["aggregate"] = np.array(crossed.shape[1])
    for name in ("test", "null_test"):
        if name in arrays:
            found[name] = np.asarray(arrays[name]) / crossed
    for name in ("low", "high"):
        if name in arrays:
            found[name] = np.asarray(arrays[name]) / usable
    for name in ("bootstrap", "bootstrap_one_layer"):
        if name in arrays:
            undefined = np.full(len(arrays[name]), np.nan)
            found[name] = np.asarray(arrays.get(f"{name}_normalised", undefined))
            found.pop(f"{name}_normalised", None)
    if "bootstrap_regions" in arrays:
        per_target, draws = rule.headline == PER_TARGET, []
        for (_, columns), of_region in zip(regions(arrays).items(), arrays["bootstrap_regions"], strict=True):
            test = region_test(arrays, columns, per_target)
            draws.append(np.asarray(of_region) * (normalised(test, arrays, columns) / aggregate(test)))
        found["bootstrap_regions"] = np.stack(draws)
    if "null_of_targets" in arrays:
        of_targets = found.pop("null_of_targets") / usable
        found |= _tested(of_targets, found)
    return found


def region_test(arrays: Mapping[str, np.ndarray], columns: np.ndarray, per_target: bool | None = None) -> np.ndarray:
    """Return the test scores of a region's targets, by default with layers chosen as for the headline."""
    part = {name: np.asarray(arrays[name])[:, columns] for name in ("valid", "test")}
    return stored_rule(arrays).test(part, per_target)


def permutation_arrays(
    null: "Null", arrays: Mapping[str, np.ndarray], *, of_targets: bool = False
) -> dict[str, np.ndarray]:
    """Return the permutation test of a score: p, q (n_targets,); null (n,), the aggregate score of each permutation.

    of_targets: also the scores of the targets, null_of_targets (n, n_targets), for `in_units_of_ceiling`.
    """
    found = _tested(null.test, arrays)
    return found | ({"null_of_targets": null.test} if of_targets else {})


def _tested(null: np.ndarray, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return p, q and the aggregate scores of permutations (n, n_targets)."""
    direction = stored_rule(arrays).direction
    p = p_values(direction * null, direction * _split_means(arrays))
    return {"p": p, "q": q_values(p), "null": nan_median(null, axis=1).astype(np.float64)}


def facts(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return {"interval", "interval_one_layer", "permutation"} of a score; None for those without arrays."""
    return {
        "interval": _interval(arrays, "bootstrap"),
        "interval_one_layer": _interval(arrays, "bootstrap_one_layer"),
        "permutation": _permutation(arrays),
    }


def subject_facts(arrays: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    """Return the scores of single subjects and their mean with two intervals; None where none is scored.

    "rows": {"subject", "test", "ceiling", "ceiling_error", "ceiling_kind", "ceiling_ridge", "ceiling_ridge_error"},
    medians over targets, the last two of a ridge regression from the others; "score", "films", "people", "weak",
    "p", "n_subjects": see `analysis.crossed.intervals`; "undefined": number of targets without a score,
    over all subjects; "n_films", "n_clips", "minutes": shown.
    """
    if "subjects" not in arrays:
        return None
    table = np.asarray(arrays["subject_segments"])
    of_splits = [nan_median(one.astype(np.float64), axis=0) for one in np.asarray(arrays["subject_test"])]
    scores = nan_mean(np.stack(of_splits), axis=1)
    kinds = np.asarray(arrays["subject_ceiling_kind"]).tolist() if "subject_ceiling_kind" in arrays else None
    rows = []
    for k, name in enumerate(np.asarray(arrays["subjects"]).tolist()):
        row = {"subject": name, "test": float(scores[k])}
        if kinds is not None:
            row["ceiling_kind"] = kinds[k]
            for one in SUBJECT_CEILINGS:
                if f"subject_{one}" in arrays:
                    row[one] = float(nan_median(np.asarray(arrays[f"subject_{one}"], dtype=np.float64)[k]))
        rows.append(row)
    undefined = int(np.isnan(np.asarray(arrays["subject_test"])).all(axis=2).sum())
    n_films, n_clips, minutes = np.asarray(arrays["subject_shown"]).tolist()
    found = crossed.intervals(table, subject_factor(arrays)) if np.isfinite(table).any(axis=0).sum() > 1 else {}
    return {
        "rows": rows,
        "undefined": undefined,
        "n_films": int(n_films),
        "n_clips": int(n_clips),
        "minutes": minutes,
    } | found


def region_intervals(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Return {region: {"low", "high"}} of each region's score; empty without replicates."""
    if "bootstrap_regions" not in arrays:
        return {}
    rows = zip(regions(arrays), np.asarray(arrays["bootstrap_regions"]), strict=True)
    return {region: dict(zip(("low", "high"), interval(replicates), strict=True)) for region, replicates in rows}


def _interval(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, Any] | None:
    """Return the interval of the score and of the normalised score, with the number and kind of samples."""
    if name not in arrays:
        return None
    low, high = interval(arrays[name])
    scaled = interval(arrays[f"{name}_normalised"]) if f"{name}_normalised" in arrays else (None, None)
    return {
        "low": low,
        "high": high,
        "low_normalised": scaled[0],
        "high_normalised": scaled[1],
        "n": len(arrays[name]),
        "unit": str(np.asarray(arrays["resampled"])[0]),
    }


def _permutation(arrays: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    """Return p of the aggregate score, and the number of significant targets of those tested."""
    if "null" not in arrays:
        return None
    direction = stored_rule(arrays).direction
    p = p_values(direction * np.asarray(arrays["null"]), direction * nan_median(_split_means(arrays)))
    q = np.asarray(arrays["q"])
    return {
        # a score without a defined target reaches no permutation
        "p": float(np.nan_to_num(p, nan=1.0)),
        "n": len(arrays["null"]),
        "significant": significant(q),
        "of": int(np.isfinite(q).sum()),
    }


def _split_means(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the split-mean test scores of the headline: (n_targets,)."""
    return nan_mean(headline_test(arrays), axis=1)
