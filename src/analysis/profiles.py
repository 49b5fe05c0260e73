"""Which layer explains what: test scores along the layers of each region, and the layer chosen on validation."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .aggregate import chosen_layer, nan_mean, nan_median, regions

ALL = "all"


def layer_profiles(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """{region: {"layers", "test_mean", "test_sd", "n"}} with "all" for all targets first.

    Per layer the median over the region's n targets, then mean and standard deviation over splits: (n_layers,) each.
    """
    layers, test = [str(layer) for layer in arrays["layers"]], np.asarray(arrays["test"])
    profiles = {}
    for region, among in _groups(arrays).items():
        medians = nan_median(test[:, among], axis=1)
        profiles[region] = {
            "layers": layers,
            "test_mean": medians.mean(axis=1),
            "test_sd": medians.std(axis=1),
            "n": int(among.sum()),
        }
    return profiles


def chosen_layers(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The cross-validated choice of layers.

    "all": the layer that is best on validation over all targets; "regions": {region: its layer}; "targets":
    (n_targets,) each target's own, "" where no layer has a validation score; "agreement": (n_targets,) share of splits
    whose validation score alone would choose the target's layer; "test": (n_targets,) split-mean test score of the
    target's layer; "nested": (n_targets,) mean over splits of the test score of the layer that this split's own
    validation rows choose, which no other split's rows have a part in.
    """
    layers = np.asarray(arrays["layers"]).astype(str)
    valid, test = (np.asarray(arrays[part], dtype=np.float64) for part in ("valid", "test"))
    mean = nan_mean(valid, axis=2)
    of_target = _argmax(mean, axis=0)
    of_split = _argmax(valid, axis=0)
    nested = nan_mean(np.take_along_axis(test, of_split[None], axis=0)[0], axis=1)
    return {
        ALL: str(layers[chosen_layer(valid)]),
        "regions": {name: str(layers[chosen_layer(valid[:, among])]) for name, among in regions(arrays).items()},
        "targets": np.where(np.isfinite(mean).any(axis=0), layers[of_target], ""),
        "agreement": (of_split == of_target[:, None]).mean(axis=1),
        "test": nan_mean(test[of_target, np.arange(test.shape[1])], axis=1),
        "nested": nested,
    }


def _argmax(values: np.ndarray, axis: int) -> np.ndarray:
    return np.where(np.isnan(values), -np.inf, values).argmax(axis=axis)


def _groups(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {ALL: np.ones(np.shape(arrays["test"])[1], bool), **regions(arrays)}
