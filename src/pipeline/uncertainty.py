"""Uncertainty of a score: intervals, p and q values, as arrays to store and as facts to print."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.aggregate import best_layer_test, regions, usable_ceiling
from ..analysis.bootstrap import bootstrap, interval
from ..analysis.fdr import p_values, q_values, significant
from ..evaluate.layer_choice import best_layer
from ..utils import nan_mean, nan_median

if TYPE_CHECKING:
    from ..analysis.permutation import Null
    from ..evaluate.bootstrap_statistics import Resampling


def interval_arrays(
    resampling: "Resampling", arrays: Mapping[str, np.ndarray], n_samples: int, seed: int
) -> dict[str, np.ndarray]:
    """Return the bootstrap of a score as arrays.

    low, high: (n_targets,); bootstrap, bootstrap_normalised: (n_samples,) replicates of the aggregate score;
    bootstrap_regions: (n_regions, n_samples); resampled: (name of the blocks, identity of the samples), equal for
    paired scores.
    """
    of_region, valid, test = regions(arrays), *(np.asarray(arrays[part]) for part in ("valid", "test"))
    regional = {region: test[best_layer(valid[:, columns]), columns] for region, columns in of_region.items()}
    found = bootstrap(
        resampling, best_layer_test(arrays), n_samples, seed, ceiling=usable_ceiling(arrays), regional=regional
    )
    stored = {"low": found.low, "high": found.high, "bootstrap": found.aggregate}
    stored["resampled"] = np.array([resampling.block_name, resampling.identity])
    if found.normalised is not None:
        stored["bootstrap_normalised"] = found.normalised
    if regional:
        stored["bootstrap_regions"] = np.stack([found.regions[region] for region in of_region])
    return stored


def permutation_arrays(null: "Null", arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the permutation test of a score: p, q (n_targets,); null (n,), the aggregate score of each permutation."""
    p = p_values(null.test, _split_means(arrays))
    return {"p": p, "q": q_values(p), "null": null.aggregate}


def facts(arrays: Mapping[str, np.ndarray], layers: Sequence[str]) -> dict[str, Any]:
    """Return {"interval": ..., "permutation": ...} of the best layer; None for those without arrays."""
    layer = layers[best_layer(np.asarray(arrays["valid"]))]
    return {"interval": _interval(arrays, layer), "permutation": _permutation(arrays)}


def region_intervals(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Return {region: {"low", "high"}} of each region's best layer; empty without replicates."""
    if "bootstrap_regions" not in arrays:
        return {}
    rows = zip(regions(arrays), np.asarray(arrays["bootstrap_regions"]), strict=True)
    return {region: dict(zip(("low", "high"), interval(replicates), strict=True)) for region, replicates in rows}


def _interval(arrays: Mapping[str, np.ndarray], layer: str) -> dict[str, Any] | None:
    """Return the interval of the score and of the normalised score, with the number and kind of samples."""
    if "bootstrap" not in arrays:
        return None
    low, high = interval(arrays["bootstrap"])
    scaled = interval(arrays["bootstrap_normalised"]) if "bootstrap_normalised" in arrays else (None, None)
    return {
        "layer": layer,
        "low": low,
        "high": high,
        "low_normalised": scaled[0],
        "high_normalised": scaled[1],
        "n": len(arrays["bootstrap"]),
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
    """Return the split-mean test scores of the best layer: (n_targets,)."""
    return nan_mean(best_layer_test(arrays), axis=1)
