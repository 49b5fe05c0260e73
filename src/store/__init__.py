"""A cache that cannot lie: typed keys, whole files, one writer at a time; damage is named, set aside and made again."""

from .activations import ActivationSink, Interrupted
from .entries import Entry
from .keys import ActivationKey, CeilingKey, Key, Options, ScoreKey, key_digest, key_name
from .metadata import Metadata
from .store import Store

__all__ = [
    "ActivationKey",
    "ActivationSink",
    "Metadata",
    "CeilingKey",
    "Entry",
    "Interrupted",
    "Key",
    "Options",
    "ScoreKey",
    "Store",
    "key_digest",
    "key_name",
]
