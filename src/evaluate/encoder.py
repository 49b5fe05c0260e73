"""Encoding model of a whole data set: linear maps from layers to units, fitted on all rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..utils import BadInput
from .cross_validate import Problem, cross_validate_problem
from .decoders import Decoder
from .decoders.base import Split
from .decoders.left_out import restricted
from .finite import finite_rows, patterns
from .layer_choice import Rule


@dataclass(frozen=True)
class LinearMap:
    """Predictions of some units from one layer: ((x - mean) * inverse) @ coef.T + intercept, in float64.

    layer: its name; units: (n_units,) columns among all units; mean, inverse: (n_features,); coef: (n_units,
    n_features); intercept: (n_units,).
    """

    layer: str
    units: np.ndarray
    mean: np.ndarray
    inverse: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the predictions (n_rows, n_units) of features (n_rows, n_features)."""
        return ((X.astype(np.float64) - self.mean) * self.inverse) @ self.coef.T + self.intercept


def fit(problem: Problem, decoder: Decoder, rule: Rule, missing: str = "rows") -> list[LinearMap]:
    """Return the linear maps of all units, fitted on all rows.

    Each unit has the layer that the rule chooses by the predictions of rows that a fit leaves out, as inside the
    training rows of a split, also where the rule of scores is another. Raises BadInput for a choice between layers by a
    decoder without such predictions.
    """
    layers, targets = list(problem.layers), np.asarray(problem.targets)
    rows, none = np.arange(len(targets)), np.zeros(0, dtype=np.int64)
    chosen = np.zeros(targets.shape[1], dtype=int)
    if len(layers) > 1:
        if not getattr(decoder, "leaves_out", False):
            raise BadInput(f"{len(layers)} layers to choose from without left-out predictions; expected one layer")
        rule = replace(rule, nested=True)
        whole = replace(problem, splits=[Split(rows, none, none)], blocks=None, other=None)
        result = cross_validate_problem(whole, decoder, "pearson", rule=rule, missing=missing)
        chosen = rule.layers(result.valid)[:, 0]
    found = []
    for index in np.unique(chosen):
        X = np.ascontiguousarray(problem.layers[layers[index]]())
        finite = finite_rows(X)
        for pattern in patterns(targets, by_target=missing == "units"):
            units = np.flatnonzero(chosen[pattern.columns] == index)
            used = np.flatnonzero(pattern.rows & finite)
            if len(units) and len(used) > 1:
                found.append(_fitted(decoder, problem, layers[index], X, pattern, used, units))
    return found


def _fitted(decoder: Decoder, problem: Problem, layer: str, X: np.ndarray, pattern, used, units) -> LinearMap:
    """Return the map of some units of a pattern; a penalty that units share is chosen for all of them."""
    from sklearn.base import clone

    weights = None if problem.weights is None else np.asarray(problem.weights)[used]
    blocks = {}
    if getattr(decoder, "leaves_out", False):
        blocks = {"left_out": restricted(problem.left_out, used, len(X))}
    fitted = clone(decoder).fit(X[used], pattern.targets[used], weights, **blocks)
    mean, inverse = fitted.standardisation_
    coef, intercept = np.asarray(fitted.coef_)[units], np.asarray(fitted.intercept_, dtype=np.float64)[units]
    return LinearMap(layer, pattern.columns[units], mean, inverse, coef, intercept)


def predict(maps: Sequence[LinearMap], features: Mapping[str, np.ndarray], n_units: int) -> np.ndarray:
    """Return the predictions (n_rows, n_units) of features {layer: (n_rows, n_features)}; NaN for units without map."""
    n_rows = len(next(iter(features.values())))
    found = np.full((n_rows, n_units), np.nan)
    for one in maps:
        found[:, one.units] = one.predict(features[one.layer])
    return found
