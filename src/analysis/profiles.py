"""Layer profiles: test scores along the layers of each region, and the layers chosen."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..evaluate.layer_choice import most_frequent, split_medians, stored_rule, taken
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
    """Return the choice of layers by the stored rule; of layers that differ between splits, the most frequent one.

    "all": layer chosen for all targets; "regions": {region: its layer}; "targets": (n_targets,) layer of each target,
    "" without a validation score; "agreement": (n_targets,) share of splits that choose this layer; "test":
    (n_targets,) split-mean test score of each target's layers.
    """
    layers, rule = np.asarray(arrays["layers"]).astype(str), stored_rule(arrays)
    valid, test = (np.asarray(arrays[part], dtype=np.float64) for part in ("valid", "test"))
    of_target = rule.layers(valid, per_target=True)
    counts = (of_target[:, :, None] == np.arange(len(layers))).sum(axis=1)

    def for_all(columns: np.ndarray | slice) -> str:
        return str(layers[most_frequent(rule.layers(valid[:, columns], per_target=False))])

    return {
        ALL: for_all(slice(None)),
        "regions": {name: for_all(columns) for name, columns in regions(arrays).items()},
        "targets": np.where(np.isfinite(valid).any(axis=(0, 2)), layers[counts.argmax(axis=1)], ""),
        "agreement": counts.max(axis=1) / of_target.shape[1],
        "test": nan_mean(taken(test, of_target), axis=1),
    }
