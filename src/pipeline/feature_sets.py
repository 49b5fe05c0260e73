"""Feature sets of a request: the models and layers of a joint fit, of a partition of variance, and the confounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .. import models
from ..records import Activations
from ..utils import BadInput, first_names

if TYPE_CHECKING:
    from .run import Run

CONFOUNDS = "confounds"
CONFOUND_MODELS = ("low-level", "motion-energy")  # a band each
STATISTICS = ("luminance", "contrast", "cuts")  # layers of the first in which the distance of films is measured
BANDED = ("banded", "stacked")  # decoders of several groups of features

Bands = Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class FeatureSet:
    """Layers of one model; all of them if none are named.

    title: as it is printed and stored; model: its name.
    """

    title: str
    model: str
    layers: tuple[str, ...] = ()


def parsed(text: str) -> FeatureSet:
    """Return the feature set of `MODEL` or `MODEL:layer[,layer ...]`; raise BadInput where there is no such model.

    Names of models may contain colons: what is before the last one is the model if it is the name of one.
    """
    before, colon, layers = text.rpartition(":")
    if colon and layers:
        try:
            models.resolve(before)
        except BadInput:
            pass
        else:
            return FeatureSet(f"{models.title(before)}:{layers}", before, tuple(layers.split(",")))
    models.resolve(text)
    return FeatureSet(models.title(text), text)


class Sources:
    """The models behind one score, each with a run that has its layers; the first is the model of the request.

    Parameters
    ----------
    run : Run
        That of the request.

    Raises
    ------
    BadInput
        For a feature set that is neither of the model's layers nor a model.
    """

    def __init__(self, run: "Run"):
        self.run, self.request = run, run.request
        title, layers = models.title(self.request.model), self.request.layers
        title += f":{','.join(layers)}" if layers and self.request.features else ""
        self.scored = [FeatureSet(title, self.request.model, layers), *map(parsed, self.request.features)]

    @property
    def joint(self) -> bool:
        """True if all scored layers are one fit."""
        return bool(self.request.features) or self.request.decoder in BANDED

    @property
    def title(self) -> str:
        """Name of what is scored."""
        return " + ".join(one.title for one in self.scored)

    @cached_property
    def partition(self) -> Mapping[str, Sequence[FeatureSet]]:
        """{set: the feature sets that are its bands}; empty without a partition."""
        request = self.request
        found: dict[str, Sequence[FeatureSet]] = {}
        for text in request.partition:
            one = self._of_own_layers(text) or parsed(text)
            if one.title in found:
                raise BadInput(f"the feature set {one.title} is named twice; expected different ones to partition")
            found[one.title] = [one]
        if request.confounds:
            found = found or {self.title: self.scored}
            found[CONFOUNDS] = [FeatureSet(name, name) for name in CONFOUND_MODELS]
        if len(found) == 1:
            raise BadInput(f"--partition {first_names(found)}; expected two feature sets or more")
        return found

    def _of_own_layers(self, text: str) -> FeatureSet | None:
        """Return the feature set of layers of the request's own model, None if they are not all its layers."""
        layers = tuple(text.split(","))
        return FeatureSet(text, self.request.model, layers) if set(layers) <= set(self.run.layers) else None

    @cached_property
    def runs(self) -> dict[str, "Run"]:
        """{model: its run}, of the request's model first; the layers of all sets of a model are extracted at once."""
        found = {self.request.model: self.run}
        for name, layers in self._layers().items():
            if name != self.request.model:
                found[name] = self.run.beside(name, layers)
            # the model is loaded after the data, whose errors are told before anything is written
            elif layers and (missing := set(layers) - set(self.run.layers)):
                raise BadInput(
                    f"{first_names(sorted(missing))} of {models.title(name)} is not among the layers that are scored; "
                    "expected its layers: name it in --layers too"
                )
        for name in CONFOUND_MODELS if self.request.whole_films else ():
            found.setdefault(name, self.run.beside(name))
        return found

    def _layers(self) -> dict[str, tuple[str, ...]]:
        """{model: layers of all its sets}; empty: all layers."""
        found: dict[str, list[str] | None] = {}
        for one in [*self.scored, *(part for bands in self.partition.values() for part in bands)]:
            known = found.setdefault(one.model, [])
            # without names a set has all layers
            found[one.model] = None if known is None or not one.layers else [*known, *one.layers]
        return {name: tuple(dict.fromkeys(layers or ())) for name, layers in found.items()}

    def layers(self, one: FeatureSet) -> tuple[str, ...]:
        """Return the names of the layers of a set in `activations`; those of other models have the model's name."""
        known = self.runs[one.model].layers
        chosen = one.layers or known
        if missing := [layer for layer in chosen if layer not in known]:
            raise BadInput(
                f"{first_names(missing)} is no layer of {models.title(one.model)}; expected one of {first_names(known)}"
            )
        return tuple(self._name(one.model, layer) for layer in chosen)

    def bands(self) -> list[tuple[str, tuple[str, ...]]] | None:
        """Return (name, layers) of each band of the joint fit; None without one.

        With several feature sets a set is a band, or for a stacked decoder each of its layers; with the model alone
        each layer is one.
        """
        if not self.joint:
            return None
        if len(self.scored) == 1 or self.request.decoder == "stacked":
            return [(layer, (layer,)) for one in self.scored for layer in self.layers(one)]
        return [(one.title, self.layers(one)) for one in self.scored]

    def partition_bands(self) -> dict[str, list[tuple[str, ...]]]:
        """Return {set: layers of each of its bands}."""
        return {name: [self.layers(part) for part in parts] for name, parts in self.partition.items()}

    def statistics(self, of_models: Mapping[str, Activations]) -> Activations:
        """Return the low-level statistics of stimuli, a layer each: luminance, contrast, cuts, mean motion energy.

        of_models: activations of CONFOUND_MODELS.
        """
        low_level, motion = (of_models[name] for name in CONFOUND_MODELS)
        layers = {name: np.asarray(low_level.layers[name]) for name in STATISTICS if name in low_level.layers}
        (energy,) = motion.layers.values()
        layers["motion energy"] = np.asarray(energy).mean(axis=2, keepdims=True)
        n_valid = np.minimum(np.asarray(low_level.n_valid), np.asarray(motion.n_valid))
        return Activations(layers, low_level.time_ms, n_valid, low_level.ids)

    def _name(self, model: str, layer: str) -> str:
        return layer if model == self.request.model else f"{models.title(model)}:{layer}"

    def merged(self, of_models: Mapping[str, Activations]) -> Activations:
        """Return the activations of several models to the same stimuli as those of one."""
        first = next(iter(of_models.values()))
        layers = {self._name(m, layer): v for m, one in of_models.items() for layer, v in one.layers.items()}
        n_valid = np.min([np.asarray(one.n_valid) for one in of_models.values()], axis=0)
        return Activations(layers, first.time_ms, n_valid, first.ids)
