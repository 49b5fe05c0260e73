"""Summary of a score: plain JSON with a row per layer and per region, and the ceiling."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..analysis.aggregate import aggregate, normalised, regions, usable_ceiling
from ..evaluate.layer_choice import best_layer, best_layer_per_unit, split_medians
from ..records import Evaluation
from ..utils import nan_median
from . import uncertainty


def score_arrays(score: Evaluation, null: Evaluation | None) -> dict[str, np.ndarray]:
    """Return the arrays that are stored of a score, by name, with the dimensions of `records.Evaluation`."""
    arrays = {"layers": np.array(score.layers), "valid": score.valid, "test": score.test}
    arrays |= score.extra
    arrays |= {f"target_{column}": np.asarray(values) for column, values in score.targets.items()}
    if score.ceiling is not None:
        arrays["ceiling"] = np.asarray(score.ceiling, dtype=np.float64)
    if null is not None:
        arrays |= {"null_valid": null.valid, "null_test": null.test}
    return arrays


def summarise(arrays: Mapping[str, np.ndarray], notes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the printed facts of a score: a row per layer, a row per region of the targets, and counts.

    Per layer: median over targets, then mean and standard deviation over splits. `normalised`: median of mean test
    score / ceiling over the targets that are not masked. `best_per_unit`: the same with the best layer per unit.
    `interval`, `permutation`: of the best layer, see `uncertainty`.
    """
    layers, n_targets = [str(layer) for layer in arrays["layers"]], arrays["test"].shape[1]
    everywhere = np.arange(n_targets)
    rows = _rows(arrays, layers, everywhere)
    model_accuracy = notes.get("model accuracy", {})
    for row in rows:
        if row["layer"] in model_accuracy:
            row["accuracy"] = model_accuracy[row["layer"]]
    facts = {
        "layers": rows,
        "best_per_unit": _rows(_best_per_unit(arrays), ["best layer per unit"], everywhere)[0]
        if n_targets > 1 and len(layers) > 1
        else None,
        "regions": _regions(arrays, layers),
        "targets": int(n_targets),
        "undefined": int(np.isnan(arrays["test"]).all(axis=(0, 2)).sum()),
        "masked": int(np.sum(arrays["masked"])) if "masked" in arrays else None,
        "ceiling": _median(arrays, "ceiling", everywhere),
        "reliability": _median(arrays, "reliability", everywhere),
        "notes": notes,
    }
    return _plain(facts | uncertainty.facts(arrays, layers))


def _rows(arrays: Mapping[str, np.ndarray], layers: Sequence[str], columns: np.ndarray) -> list[dict[str, Any]]:
    """Return a row per layer over some of the targets; the one with the best validation score is marked."""
    valid, test = (np.asarray(arrays[part])[:, columns] for part in ("valid", "test"))
    null = np.asarray(arrays["null_test"])[:, columns] if "null_test" in arrays else None
    ceiling, best = usable_ceiling(arrays), best_layer(valid)
    over_valid, over_test = split_medians(valid), split_medians(test)
    return [
        {
            "layer": layer,
            "valid": over_valid[i].mean(),
            "valid_sd": over_valid[i].std(),
            "test": over_test[i].mean(),
            "test_sd": over_test[i].std(),
            "normalised": None if ceiling is None else normalised(test[i], ceiling[columns]),
            "null": None if null is None else aggregate(null[i]),
            "best": bool(i == best),
        }
        for i, layer in enumerate(layers)
    ]


def _best_per_unit(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays with a single layer: for each target the one with the best validation score."""
    best = best_layer_per_unit(arrays["valid"])
    of_target = (best, np.arange(len(best)))
    return {
        name: np.asarray(values)[of_target][None] if np.ndim(values) == 3 else values for name, values in arrays.items()
    }


def _regions(arrays: Mapping[str, np.ndarray], layers: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row per region of the targets: the layer with its best validation score."""
    found, intervals = [], uncertainty.region_intervals(arrays)
    for region, columns in regions(arrays).items():
        best = next(row for row in _rows(arrays, layers, columns) if row["best"])
        row = {"region": region, "targets": len(columns), "ceiling": _median(arrays, "ceiling", columns)}
        found.append(row | best | intervals.get(region, {}))
    return found


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
