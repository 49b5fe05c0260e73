"""Every model that is known by name, in groups by what the networks were trained to do. Plain data, no network here."""

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
from .entry import SOURCES, ModelEntry, Preprocessing, Weights

__all__ = ["GROUPS", "MODELS", "SOURCES", "Preprocessing", "ModelEntry", "Weights", "entry_of"]

ORDER = (
    "control",
    "image",
    "action recognition",
    "masked autoencoder",
    "self-supervised",
    "audio-video",
    "forward prediction",
    "text-image",
    "text-video",
)
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
GROUPS = {
    group: tuple(entry for family in FAMILIES for entry in family.ENTRIES if entry.group == group) for group in ORDER
}
MODELS = {entry.name: entry for entries in GROUPS.values() for entry in entries}


def entry_of(source: str, argument: str) -> ModelEntry:
    """The entry that a source knows by `argument`; KeyError where the catalogue has none."""
    return BY_ARGUMENT[source, argument]


BY_ARGUMENT = {(entry.source, entry.argument): entry for entry in MODELS.values()}
