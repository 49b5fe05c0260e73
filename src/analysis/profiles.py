"""Layer profiles: test scores along the layers of each region, and the layer chosen on validation."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..evaluate.layer_choice import argbest, best_layer, best_layer_per_unit, split_medians
from ..utils import nan_mean
from .aggregate import regions

ALL = "all"


def layer_profiles(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Return {region: {"layers", "test_mean", "test_sd", "n"}}, with "all" for all targets first.

    Per layer the median over the region's n targets, then mean and standard deviation over splits: (n_layers,) each.
    """
    layers, test = [str(layer) for layer in arrays["layers"]], np.asarray(arrays["test"])
    profiles = {}
    for region, columns in {ALL: np.arange(test.shape[1]), **regions(arrays)}.items():
        medians = split_medians(test[:, columns])
        profiles[region] = {
            "layers": layers,
            "test_mean": medians.mean(axis=1),
            "test_sd": medians.std(axis=1),
            "n": len(columns),
        }
    return profiles


def chosen_layers(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the cross-validated choice of layers.

    "all": best layer on validation over all targets; "regions": {region: its best layer}; "targets": (n_targets,) best
    layer per unit, "" without a validation score; "agreement": (n_targets,) share of splits whose validation score
    alone chooses the target's layer; "test": (n_targets,) split-mean test score of the target's layer; "nested":
    (n_targets,) mean over splits of the test score of the layer that the validation rows of the same split choose,
    which is independent of the rows of other splits.
    """
    layers = np.asarray(arrays["layers"]).astype(str)
    valid, test = (np.asarray(arrays[part], dtype=np.float64) for part in ("valid", "test"))
    of_target, of_split = best_layer_per_unit(valid, skip_nan=True), argbest(valid)
    nested = nan_mean(np.take_along_axis(test, of_split[None], axis=0)[0], axis=1)
    return {
        ALL: str(layers[best_layer(valid)]),
        "regions": {name: str(layers[best_layer(valid[:, columns])]) for name, columns in regions(arrays).items()},
        "targets": np.where(np.isfinite(valid).any(axis=(0, 2)), layers[of_target], ""),
        "agreement": (of_split == of_target[:, None]).mean(axis=1),
        "test": nan_mean(test[of_target, np.arange(test.shape[1])], axis=1),
        "nested": nested,
    }
