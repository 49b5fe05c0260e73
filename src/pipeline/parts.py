"""Facts about parts of a score: partitions of explained variance, weights of bands, time courses, delay profiles."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..analysis.aggregate import headline_test, regions
from ..analysis.fdr import significant
from ..evaluate.axis import curve_name
from ..utils import nan_mean, nan_median
from .feature_sets import CONFOUNDS

ALL = "all"


def partition_facts(arrays: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    """Return the partition of a score; None without one.

    "sets": names; "confounds": whether the last set is that of the confounds; "rows": for all units and each region
    {"region", "targets", "joint", "joint_low", "joint_high", "unique": {set: {"value", "low", "high", "significant"}},
    "shared", "shared_low", "shared_high", "alone": {set: R^2}}, means over units.
    """
    if "partition_sets" not in arrays:
        return None
    sets = np.asarray(arrays["partition_sets"]).astype(str).tolist()
    areas, q, alone = (np.asarray(arrays[name]) for name in ("partition_areas", "unique_q", "alone"))
    columns = {ALL: np.arange(alone.shape[1]), **regions(arrays)}
    rows = []
    for (region, of_region), area in zip(columns.items(), areas, strict=True):
        unique = {
            name: dict(zip(("value", "low", "high"), ends.tolist(), strict=True)) | {"significant": significant(of_set)}
            for name, ends, of_set in zip(sets, area[1:-1], q[:, of_region], strict=True)
        }
        row = {"region": region, "targets": len(of_region), "unique": unique}
        for name, ends in (("joint", area[0]), ("shared", area[-1])):
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), ends.tolist(), strict=True))
        row["alone"] = dict(zip(sets, nan_mean(alone[:, of_region], axis=1).tolist(), strict=True))
        rows.append(row)
    return {"sets": sets, "confounds": sets[-1] == CONFOUNDS, "rows": rows}


def band_facts(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]] | None:
    """Return the weight of each group of features of a stacked fit, median over targets; None without one."""
    if "band_weight" not in arrays:
        return None
    weights = nan_median(nan_mean(np.asarray(arrays["band_weight"], dtype=np.float64), axis=2), axis=1)
    names = np.asarray(arrays["bands"]).astype(str).tolist()
    return [{"band": name, "weight": float(weight)} for name, weight in zip(names, weights, strict=True)]


def curve_facts(arrays: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    """Return the curve of a score, a time course or a delay profile; None without one.

    "name"; "points_ms": [start, end] of each point; "rows": for all units and each region {"region", "targets", "test",
    "low", "high", "ceiling", "peak_ms"}: medians over units at each point, the ends of their 95 % intervals, and the
    start of the point with the largest one, None where its interval is not above 0.
    """
    name = curve_name(arrays)
    if name is None:
        return None
    test = np.asarray(arrays[name], dtype=np.float64)
    ceiling = np.asarray(arrays[f"{name}_ceiling"], dtype=np.float64) if f"{name}_ceiling" in arrays else None
    points_ms = np.asarray(arrays[f"{name}_ms"]).tolist()
    columns, rows = {ALL: np.arange(len(test)), **regions(arrays)}, []
    for k, (region, of_region) in enumerate(columns.items()):
        row = {"region": region, "targets": len(of_region), "test": nan_median(test[of_region], axis=0).tolist()}
        for i, end in enumerate(("low", "high")):
            row[end] = np.asarray(arrays[f"{name}_ends"])[k, :, i].tolist() if f"{name}_ends" in arrays else None
        row["ceiling"] = None if ceiling is None else nan_median(ceiling[of_region], axis=0).tolist()
        rows.append(row | {"peak_ms": _peak_ms(row, points_ms)})
    return {"name": name, "points_ms": points_ms, "rows": rows}


def _peak_ms(row: Mapping[str, Any], points_ms: list[list[float]]) -> float | None:
    """Return the start of the point with the largest score, None where its interval is not above 0."""
    if not np.isfinite(row["test"]).any():
        return None
    best = int(np.nanargmax(row["test"]))
    return points_ms[best][0] if row["low"] is None or row["low"][best] > 0 else None


def peaks_ms(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the start of the point with each target's largest score: (n_targets,).

    NaN where the interval of the target's score as a whole, or in a score without intervals the score, is not above 0.
    """
    name = curve_name(arrays)
    test = np.asarray(arrays[name], dtype=np.float64)
    score = np.asarray(arrays["low"] if "low" in arrays else nan_mean(headline_test(arrays), axis=1))
    found = np.full(len(test), np.nan)
    usable = (score > 0) & np.isfinite(test).any(axis=1)
    found[usable] = np.asarray(arrays[f"{name}_ms"])[np.nanargmax(test[usable], axis=1), 0]
    return found
