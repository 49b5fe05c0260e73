"""Facts about joint fits: the partition of explained variance between feature sets, and the weights of bands."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..analysis.aggregate import regions
from ..analysis.fdr import significant
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
    if "bands" not in arrays:
        return None
    weights = nan_median(nan_mean(np.asarray(arrays["band_weight"], dtype=np.float64), axis=2), axis=1)
    names = np.asarray(arrays["bands"]).astype(str).tolist()
    return [{"band": name, "weight": float(weight)} for name, weight in zip(names, weights, strict=True)]
