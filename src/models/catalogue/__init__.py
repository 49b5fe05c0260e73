"""Catalogue of the models that are known by name, in the order of their groups; plain data, no network library."""

from . import (
    audiovideo,
    controls,
    huggingface,
    image,
    predictive,
    pytorchvideo,
    small,
    torchvision_video,
    transformers_own,
)
from .entry import GROUP_ORDER, SOURCES, ModelEntry, Preprocessing, Weights

__all__ = ["MODELS", "SOURCES", "ModelEntry", "Preprocessing", "Weights", "entry_of"]

FAMILIES = (
    controls,
    image,
    small,
    torchvision_video,
    pytorchvideo,
    huggingface,
    transformers_own,
    audiovideo,
    predictive,
)
MODELS = {
    entry.name: entry
    for group in GROUP_ORDER
    for family in FAMILIES
    for entry in family.ENTRIES
    if entry.group == group
}
BY_ARGUMENT = {(entry.source, entry.argument): entry for entry in MODELS.values()}


def entry_of(source: str, argument: str) -> ModelEntry:
    """Return the entry with that argument of a source; KeyError if the catalogue has none."""
    return BY_ARGUMENT[source, argument]
