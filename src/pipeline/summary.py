"""A score as people read it: per layer, per region, with the ceiling; plain JSON."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..records import Evaluation
from . import uncertainty


def score_arrays(score: Evaluation, null: Evaluation | None) -> dict[str, np.ndarray]:
    """Everything of a score that is kept, by name, with the dimensions of `src.records.Score`."""
    arrays = {"layers": np.array(score.layers), "valid": score.valid, "test": score.test}
    arrays |= score.extra
    arrays |= {f"target_{column}": np.asarray(values) for column, values in score.targets.items()}
    if score.ceiling is not None:
        arrays["ceiling"] = np.asarray(score.ceiling, dtype=np.float64)
    if null is not None:
        arrays |= {"null_valid": null.valid, "null_test": null.test}
    return arrays


def summarise(arrays: Mapping[str, np.ndarray], notes: Mapping[str, Any]) -> dict[str, Any]:
    """The printed part of a score: a row per layer, a row per region where targets have one, and what was counted.

    Per layer: median over targets, then mean and standard deviation over splits. `normalised`: the median over the
    targets that are not masked of mean test r / ceiling. `own`: the same with each target's own best layer.
    `interval`, `permutation`: of the best layer, see `src.pipeline.uncertainty`.
    """
    layers = [str(layer) for layer in arrays["layers"]]
    everywhere = np.ones(arrays["test"].shape[1], bool)
    rows = _rows(arrays, layers, everywhere)
    model_accuracy = notes.get("model accuracy", {})
    for row in rows:
        if row["layer"] in model_accuracy:
            row["accuracy"] = model_accuracy[row["layer"]]
    facts = {
        "layers": rows,
        "best_per_unit": _rows(_own_layers(arrays), ["best layer per unit"], everywhere)[0]
        if len(everywhere) > 1 and len(layers) > 1
        else None,
        "regions": _regions(arrays, layers),
        "targets": int(arrays["test"].shape[1]),
        "undefined": int(np.isnan(arrays["test"]).all(axis=(0, 2)).sum()),
        "masked": int(np.sum(arrays["masked"])) if "masked" in arrays else None,
        "ceiling": _median(arrays["ceiling"]) if "ceiling" in arrays else None,
        "reliability": _median(arrays["reliability"]) if "reliability" in arrays else None,
        "notes": notes,
    }
    return _plain(facts | uncertainty.facts(arrays, layers))


def _rows(arrays: Mapping[str, np.ndarray], layers: list[str], among: np.ndarray) -> list[dict[str, Any]]:
    """A row per layer over the targets `among`; the one with the best validation score is marked."""
    valid, test = (np.asarray(arrays[part])[:, among] for part in ("valid", "test"))
    null = np.asarray(arrays["null_test"])[:, among] if "null_test" in arrays else None
    normalised = _normalised(arrays, test, among)
    over_targets = [_nan_median(part, axis=1) for part in (valid, test)]
    chosen = np.nan_to_num(over_targets[0].mean(axis=1), nan=-np.inf).argmax()
    return [
        {
            "layer": layer,
            "valid": over_targets[0][i].mean(),
            "valid_sd": over_targets[0][i].std(),
            "test": over_targets[1][i].mean(),
            "test_sd": over_targets[1][i].std(),
            "normalised": None if normalised is None else normalised[i],
            "null": None if null is None else _nan_median(null[i : i + 1], axis=1).mean(),
            "best": bool(i == chosen),
        }
        for i, layer in enumerate(layers)
    ]


def _own_layers(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays with a single layer: for each target the one with the best validation score."""
    best = np.nan_to_num(np.mean(arrays["valid"], axis=2), nan=-np.inf).argmax(axis=0)
    of_target = (best, np.arange(len(best)))
    return {
        name: np.asarray(values)[of_target][None] if np.ndim(values) == 3 else values for name, values in arrays.items()
    }


def _normalised(arrays: Mapping[str, np.ndarray], test: np.ndarray, among: np.ndarray) -> np.ndarray | None:
    if "ceiling" not in arrays:
        return None
    ceiling = np.asarray(arrays["ceiling"], dtype=float)[among]
    if "masked" in arrays:
        ceiling = np.where(np.asarray(arrays["masked"], bool)[among], np.nan, ceiling)
    return _nan_median(test.mean(axis=2) / ceiling, axis=1)


def _regions(arrays: Mapping[str, np.ndarray], layers: list[str]) -> list[dict[str, Any]]:
    """Per region of the targets: the layer chosen on its validation score, and that layer's row."""
    if "target_region" not in arrays:
        return []
    of_target = np.asarray(arrays["target_region"]).astype(str)
    regions, ends = [], uncertainty.region_ends(arrays)
    for region in dict.fromkeys(of_target.tolist()):
        among = of_target == region
        best = next(row for row in _rows(arrays, layers, among) if row["best"])
        ceiling = _median(np.asarray(arrays["ceiling"])[among]) if "ceiling" in arrays else None
        row = {"region": region, "targets": int(among.sum()), "ceiling": ceiling, **best, **ends.get(region, {})}
        regions.append(row)
    return regions


def _nan_median(values: np.ndarray, axis: int) -> np.ndarray:
    """Median that leaves NaN out and is NaN, without a warning, where there is nothing else."""
    masked = np.ma.masked_invalid(values)
    return np.ma.median(masked, axis=axis).filled(np.nan)


def _median(values: np.ndarray) -> float:
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    return float(np.median(finite)) if len(finite) else math.nan


def _plain(value: Any) -> Any:
    """JSON's own types: numpy's numbers become Python's, NaN becomes null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
