"""How far a score can be trusted, as arrays to keep and as the facts that are printed: intervals, p and q values."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..analysis.aggregate import chosen_layer, nan_mean, nan_median, regions, usable_ceiling


def interval_arrays(resampling, arrays: Mapping[str, np.ndarray], n_draws: int, seed: int) -> dict[str, np.ndarray]:
    """The bootstrap of a score: low, high (n_targets,); bootstrap, bootstrap_normalised (n_draws,) of the headline;
    bootstrap_regions (n_regions, n_draws); resampled: what was drawn, and which draws (equal: paired)."""
    from ..analysis.bootstrap import bootstrap

    valid, test = (np.asarray(arrays[part]) for part in ("valid", "test"))
    among = regions(arrays)
    regional = {name: test[chosen_layer(valid[:, mine]), mine] for name, mine in among.items()}
    ceiling = usable_ceiling(arrays)
    found = bootstrap(resampling, test[chosen_layer(valid)], n_draws, seed, ceiling=ceiling, regional=regional)
    kept = {"low": found.low, "high": found.high, "bootstrap": found.headline}
    kept["resampled"] = np.array([resampling.unit, resampling.identity])
    if found.normalised is not None:
        kept["bootstrap_normalised"] = found.normalised
    if regional:
        kept["bootstrap_regions"] = np.stack([found.regions[name] for name in among])
    return kept


def permutation_arrays(null, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The permutation test of a score: p, q (n_targets,); null (n,) the headline of each permutation."""
    from ..analysis.fdr import q_values
    from ..analysis.permutation import p_values

    p = p_values(null.test, _of_targets(arrays))
    return {"p": p, "q": q_values(p), "null": null.headline}


def facts(arrays: Mapping[str, np.ndarray], layers: Sequence[str]) -> dict[str, Any]:
    """{"interval": ..., "permutation": ...} of the chosen layer; None for what the arrays lack."""
    layer = layers[chosen_layer(np.asarray(arrays["valid"]))]
    return {"interval": _interval(arrays, layer), "permutation": _permutation(arrays)}


def region_ends(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """{region: {"low", "high"}} of each region's own layer; empty without replicates."""
    if "bootstrap_regions" not in arrays:
        return {}
    rows = zip(regions(arrays), np.asarray(arrays["bootstrap_regions"]), strict=True)
    return {region: _ends(replicates) for region, replicates in rows}


def _interval(arrays: Mapping[str, np.ndarray], layer: str) -> dict[str, Any] | None:
    if "bootstrap" not in arrays:
        return None
    scaled = _ends(arrays["bootstrap_normalised"]) if "bootstrap_normalised" in arrays else {"low": None, "high": None}
    return {
        "layer": layer,
        **_ends(arrays["bootstrap"]),
        "low_normalised": scaled["low"],
        "high_normalised": scaled["high"],
        "n": len(arrays["bootstrap"]),
        "unit": str(np.asarray(arrays["resampled"])[0]),
    }


def _permutation(arrays: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    if "null" not in arrays:
        return None
    null, observed = np.asarray(arrays["null"]), float(nan_median(_of_targets(arrays)))
    q = np.asarray(arrays["q"])
    return {
        "p": (1 + int(np.sum(~(null < observed)))) / (1 + len(null)),
        "n": len(null),
        "significant": int(np.sum(q < 0.05)),
        "of": int(np.isfinite(q).sum()),
    }


def _of_targets(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Split-mean test scores of the chosen layer: (n_targets,)."""
    return nan_mean(np.asarray(arrays["test"])[chosen_layer(np.asarray(arrays["valid"]))], axis=1)


def _ends(replicates: np.ndarray) -> dict[str, float]:
    low, high = np.percentile(np.asarray(replicates), [2.5, 97.5])
    return {"low": float(low), "high": float(high)}
