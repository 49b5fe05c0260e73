"""Catalogue of the models that are known by name, in the order of their groups; plain data, no network library."""

from dataclasses import replace

from . import (
    action_own,
    audiovideo,
    controls,
    huggingface,
    image,
    predictive,
    pytorchvideo,
    small,
    timm_image,
    torchvision_video,
    transformers_own,
)
from .entry import GROUP_ORDER, SOURCES, ModelEntry, Preprocessing, Weights

__all__ = ["ALIASES", "MODELS", "PLUGIN", "SOURCES", "ModelEntry", "Preprocessing", "Weights", "entry_of"]

FAMILIES = (
    controls,
    image,
    small,
    torchvision_video,
    pytorchvideo,
    action_own,
    huggingface,
    transformers_own,
    audiovideo,
    predictive,
    timm_image,
)
MODELS = {
    entry.name: entry
    for group in GROUP_ORDER
    for family in FAMILIES
    for entry in family.ENTRIES
    if entry.group == group
}
# names of the benchmark's first list for networks that are called otherwise by their publishers
ALIASES = {"VideoMAE-V2-B": "InternVideo1-VideoMAE-B"}
PLUGIN = "@brainscore"  # behind the argument of an entry: with the input of Brain-Score's plugin
BY_ARGUMENT = {(entry.source, entry.argument): entry for entry in MODELS.values()}


def entry_of(source: str, argument: str) -> ModelEntry:
    """Return the entry with that argument of a source, with the input of Brain-Score's plugin if it ends in PLUGIN.

    Raises KeyError if the catalogue has none.
    """
    entry = BY_ARGUMENT[source, argument.removesuffix(PLUGIN)]
    if not argument.endswith(PLUGIN):
        return entry
    return replace(entry, fps=entry.plugin.fps, preprocessing=entry.plugin.preprocessing)
