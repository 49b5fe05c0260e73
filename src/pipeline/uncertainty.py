"""Uncertainty of a score: intervals, p and q values, as arrays to store and as facts to print."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis import crossed
from ..analysis.aggregate import headline_test, normalised, regions, usable_ceiling
from ..analysis.bootstrap import bootstrap, interval
from ..analysis.fdr import p_values, q_values, significant
from ..analysis.paired import subject_factor
from ..evaluate.layer_choice import PER_TARGET, stored_rule
from ..utils import nan_mean, nan_median

if TYPE_CHECKING:
    from ..analysis.permutation import Null
    from ..evaluate.bootstrap_statistics import Resampling


def interval_arrays(
    resampling: "Resampling", arrays: Mapping[str, np.ndarray], n_samples: int, seed: int, metric: str = "pearson"
) -> dict[str, np.ndarray]:
    """Return the bootstrap of a score as arrays.

    low, high: (n_targets,); bootstrap, bootstrap_normalised: (n_samples,) draws of the headline;
    bootstrap_one_layer, bootstrap_one_layer_normalised: of one layer for all targets, where the headline has a layer
    per target; bootstrap_regions: (n_regions, n_samples); resampled: (name of the blocks, identity of the samples),
    equal for paired scores.
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
    return {name: values for name, values in stored.items() if values is not None}


def region_test(arrays: Mapping[str, np.ndarray], columns: np.ndarray, per_target: bool | None = None) -> np.ndarray:
    """Return the test scores of a region's targets, by default with layers chosen as for the headline."""
    part = {name: np.asarray(arrays[name])[:, columns] for name in ("valid", "test")}
    return stored_rule(arrays).test(part, per_target)


def permutation_arrays(null: "Null", arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the permutation test of a score: p, q (n_targets,); null (n,), the aggregate score of each permutation."""
    p = p_values(null.test, _split_means(arrays))
    return {"p": p, "q": q_values(p), "null": null.aggregate}


def facts(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return {"interval", "interval_one_layer", "permutation"} of a score; None for those without arrays."""
    return {
        "interval": _interval(arrays, "bootstrap"),
        "interval_one_layer": _interval(arrays, "bootstrap_one_layer"),
        "permutation": _permutation(arrays),
    }


def subject_facts(arrays: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    """Return the scores of single subjects and their mean with two intervals; None where none is scored.

    "rows": {"subject", "test", "ceiling", "ceiling_kind"}, medians over targets; "score", "films", "people", "weak",
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
            ceiling = float(nan_median(np.asarray(arrays["subject_ceiling"], dtype=np.float64)[k]))
            row |= {"ceiling": ceiling, "ceiling_kind": kinds[k]}
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
    p = p_values(np.asarray(arrays["null"]), nan_median(_split_means(arrays)))
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
