"""Summary of a score: plain JSON with a row per layer and per region, and the ceiling."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import ceiling
from ..analysis.aggregate import aggregate, normalised, regions
from ..evaluate.layer_choice import PER_TARGET, Rule, most_frequent, split_medians, stored_rule
from ..records import Evaluation
from ..utils import nan_median
from . import uncertainty
from .parts import band_facts, curve_facts, partition_facts

BEST_PER_UNIT = "best layer per unit"


def score_arrays(score: Evaluation, null: Evaluation | None, rule: Rule) -> dict[str, np.ndarray]:
    """Return the arrays that are stored of a score, by name, with the dimensions of `records.Evaluation`."""
    arrays = {"layers": np.array(score.layers), "valid": score.valid, "test": score.test}
    arrays["layer_choice"] = rule.to_array()
    arrays |= score.extra
    arrays |= {f"target_{column}": np.asarray(values) for column, values in score.targets.items()}
    if score.ceiling is not None:
        arrays["ceiling"] = np.asarray(score.ceiling, dtype=np.float64)
    if null is not None:
        arrays |= {"null_valid": null.valid, "null_test": null.test}
    return arrays


def summarise(arrays: Mapping[str, np.ndarray], notes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the printed facts of a score: a row per layer, the rows of chosen layers, a row per region, and counts.

    A row is the median over targets, then mean and standard deviation over splits. "layers": of each layer; "best"
    marks the one that most splits choose for all targets. "one_layer": of the layer chosen for all targets in each
    split, with the share of splits that choose the most frequent one; "best_per_unit": of the layer chosen for each
    target, None with one target. "headline": the one of these that scores are ranked by, with its interval.
    `interval`, `permutation`: see `uncertainty`.
    """
    layers, n_targets = [str(layer) for layer in arrays["layers"]], arrays["test"].shape[1]
    found, everywhere = uncertainty.facts(arrays), slice(None)
    one_layer = _chosen_row(arrays, everywhere, per_target=False) | _ends(found["interval_one_layer"])
    per_unit = _chosen_row(arrays, everywhere, per_target=True) if n_targets > 1 else None
    is_per_unit = per_unit is not None and stored_rule(arrays).headline == PER_TARGET
    headline = (per_unit if is_per_unit else one_layer) | _ends(found["interval"])
    rows = [_row(arrays, layer, everywhere, i) for i, layer in enumerate(layers)]
    model_accuracy = notes.get("model accuracy", {})
    for row in (*rows, one_layer, headline):
        row["best"] = row["layer"] == one_layer["layer"]
        if row["layer"] in model_accuracy:
            row["accuracy"] = model_accuracy[row["layer"]]
    facts = {
        "layers": rows,
        "headline": headline,
        "one_layer": one_layer if is_per_unit else headline,
        "best_per_unit": headline if is_per_unit else per_unit,
        "regions": _regions(arrays),
        "targets": int(n_targets),
        "splits": int(np.shape(arrays["test"])[2]),
        "undefined": int(np.isnan(arrays["test"]).all(axis=(0, 2)).sum()),
        "masked": int(np.sum(arrays["masked"])) if "masked" in arrays else None,
        "ceiling": _median(arrays, "ceiling", everywhere),
        "ceiling_interval": _ceiling_interval(arrays),
        "reliability": _median(arrays, "reliability", everywhere),
        "subjects": uncertainty.subject_facts(arrays),
        "films": _films(arrays),
        "partition": partition_facts(arrays),
        "bands": band_facts(arrays),
        "curve": curve_facts(arrays),
        "notes": notes,
    }
    return _plain(facts | found)


def _row(arrays: Mapping[str, np.ndarray], layer: str, columns, index: int | None = None, **choice) -> dict[str, Any]:
    """Return the row of a layer or, without its index, of the layers chosen for some of the targets."""
    rule, null = stored_rule(arrays), None
    parts = {n: np.asarray(arrays[n])[:, columns] for n in ("valid", "test", "null_valid", "null_test") if n in arrays}

    def of(part: str, valid: str) -> np.ndarray:
        """Return the scores (n_targets, n_splits) of the layer, or of those chosen by the array `valid`."""
        return (
            parts[part][index] if index is not None else rule.test(parts | {"valid": parts[valid]}, part=part, **choice)
        )

    valid, test = split_medians(of("valid", "valid")), split_medians(of("test", "valid"))
    if "null_test" in parts:
        null = aggregate(of("null_test", "null_valid"))
    scaled = normalised(of("test", "valid"), arrays, columns) if "ceiling" in arrays else None
    score = test.mean()
    if "aggregate" in arrays:
        score = ceiling.normalised(of("test", "valid"), np.ones((parts["test"].shape[1], int(arrays["aggregate"]))))
    row = {"layer": layer, "valid": valid.mean(), "valid_sd": valid.std(), "test": score, "test_sd": test.std()}
    return row | {"normalised": scaled, "null": null}


def _chosen_row(arrays: Mapping[str, np.ndarray], columns, per_target: bool) -> dict[str, Any]:
    """Return the row of the layers chosen for some of the targets: one for all of them, or one for each."""
    if per_target:
        return _row(arrays, BEST_PER_UNIT, columns, per_target=True)
    layers = np.asarray(arrays["layers"]).astype(str)
    chosen = stored_rule(arrays).layers(np.asarray(arrays["valid"])[:, columns], per_target=False)[0]
    share = float((chosen == most_frequent(chosen)).mean())
    return _row(arrays, layers[most_frequent(chosen)], columns, per_target=False) | {"share": share}


def _ends(interval: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the ends of an interval, for a row."""
    names = ("low", "high", "low_normalised", "high_normalised")
    return {} if interval is None else {name: interval[name] for name in names}


def _regions(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Return a row per region of the targets, with the layers chosen as for the headline, and with one layer."""
    found, intervals = [], uncertainty.region_intervals(arrays)
    per_target = stored_rule(arrays).headline == PER_TARGET
    for region, columns in regions(arrays).items():
        one = _chosen_row(arrays, columns, per_target=False)
        row = one | (_chosen_row(arrays, columns, per_target=True) if per_target else {}) | {"layer": one["layer"]}
        row |= {"region": region, "targets": len(columns), "ceiling": _median(arrays, "ceiling", columns)}
        found.append(row | {"one_layer": one["test"]} | intervals.get(region, {}))
    return found


def _films(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]] | None:
    """Return a row per split of whole stimuli; None for other splits.

    "film" (None for several), "test", "distance" in features, "distance_low_level" where statistics were computed.
    Medians over targets, with the layers chosen as for the headline.
    """
    if "split_films" not in arrays:
        return None
    rule, layer_distance = stored_rule(arrays), np.asarray(arrays["split_distance"])
    layers = rule.layers(np.asarray(arrays["valid"]))
    distance = np.take_along_axis(layer_distance, layers, axis=0)
    test = rule.test({name: np.asarray(arrays[name]) for name in ("valid", "test")})
    rows = zip(
        np.asarray(arrays["split_films"]).tolist(), split_medians(test), nan_median(distance, axis=0), strict=True
    )
    found = [{"film": name or None, "test": r, "distance": d} for name, r, d in rows]
    if "split_distance_low_level" in arrays:
        for row, one in zip(found, np.asarray(arrays["split_distance_low_level"]).tolist(), strict=True):
            row["distance_low_level"] = one
    return found


def _ceiling_interval(arrays: Mapping[str, np.ndarray]) -> list[float] | None:
    """Return the 95 % interval of the median ceiling, None without one."""
    return np.asarray(arrays["ceiling_interval"]).tolist() if "ceiling_interval" in arrays else None


def _median(arrays: Mapping[str, np.ndarray], name: str, columns: np.ndarray) -> float | None:
    """Return the median over some targets of an array (n_targets,), None without it."""
    return float(nan_median(np.asarray(arrays[name], dtype=float)[columns])) if name in arrays else None


def _plain(value: Any) -> Any:
    """Return a value in JSON's types: NumPy's numbers as Python's, NaN and infinity as null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
