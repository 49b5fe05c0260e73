"""Choice of layers by their validation scores. NaN counts as the lowest score; of equal scores the first is chosen.

A nested choice is made in each split, by scores of its training rows alone, so that no test row of any split takes
part in it (Varma and Simon 2006, BMC Bioinformatics 7:91). Otherwise one choice for all splits is made by the
validation scores averaged over splits, whose rows are test rows of other splits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..utils import nan_mean, nan_median

PER_TARGET, ONE_LAYER = "per target", "one layer"


@dataclass(frozen=True)
class Rule:
    """Rule by which layers are chosen, and the choice that the headline of a score reports.

    nested: choose in each split, by its training rows; headline: a layer per target, or one layer for all targets;
    direction: 1 if the layer with the largest validation score is the best, -1 for the smallest.
    """

    nested: bool = True
    headline: str = ONE_LAYER
    direction: int = 1

    def layers(self, valid: np.ndarray, per_target: bool | None = None) -> np.ndarray:
        """Return the index of the chosen layer: (n_targets, n_splits).

        valid: (n_layers, n_targets, n_splits); per_target: a layer per target or one for all, by default as the
        headline.
        """
        per_target = self.headline == PER_TARGET if per_target is None else per_target
        criterion = self.criterion(valid, per_target)
        return np.broadcast_to(criterion.argmax(axis=0), valid.shape[1:])

    def criterion(self, valid: np.ndarray, per_target: bool) -> np.ndarray:
        """Return the score that layers are chosen by: larger is better, -inf for NaN.

        It has the dimensions of `valid`, some of length 1. Over targets it is the median, over splits the mean.
        valid: (..., n_targets, n_splits).
        """
        valid = valid if self.direction > 0 else -valid
        if not per_target:
            valid = split_medians(valid)[..., None, :]
        if not self.nested:
            # the mean of medians is undefined if a split has no score; a target's mean is over the splits that have one
            valid = (nan_mean(valid, axis=-1) if per_target else valid.mean(axis=-1))[..., None]
        return comparable(valid)

    def test(self, arrays: Mapping[str, Any], per_target: bool | None = None, part: str = "test") -> np.ndarray:
        """Return the test scores of the chosen layers: (n_targets, n_splits).

        arrays: "valid", "test" and, for another `part`, an array of their shape.
        """
        return taken(np.asarray(arrays[part]), self.layers(np.asarray(arrays["valid"]), per_target))

    def to_array(self) -> np.ndarray:
        """Return the rule as an array that is stored with the scores."""
        lowest = [] if self.direction > 0 else ["lowest"]
        return np.array(["nested" if self.nested else "over splits", self.headline, *lowest])


def stored_rule(arrays: Mapping[str, Any]) -> Rule:
    """Return the rule of stored scores, by their array "layer_choice"; without it one layer, chosen over splits."""
    if "layer_choice" not in arrays:
        return Rule(nested=False)
    choice, headline, *lowest = np.asarray(arrays["layer_choice"]).tolist()
    return Rule(choice == "nested", headline, -1 if lowest else 1)


def taken(scores: np.ndarray, layers: np.ndarray) -> np.ndarray:
    """Return the scores of each target's and split's layer: scores (n_layers, ...), layers (...) -> (...)."""
    return np.take_along_axis(scores, layers[None], axis=0)[0]


def most_frequent(layers: np.ndarray) -> int:
    """Return the index that is most frequent, the least of equals."""
    return int(np.bincount(layers.ravel()).argmax())


def comparable(scores: np.ndarray) -> np.ndarray:
    """Return the scores with -inf in place of NaN."""
    return np.where(np.isnan(scores), -np.inf, scores)


def split_medians(scores: np.ndarray) -> np.ndarray:
    """Return the medians over targets, without NaN: (..., n_targets, n_splits) -> (..., n_splits)."""
    return nan_median(scores, axis=-2)
