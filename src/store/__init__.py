"""Cache of scores, ceilings, activations and metadata under typed keys.

`Store` is the only way to read and write it. Files are written atomically and checked against their checksums, one
process at a time computes a value, and a damaged file is renamed and its value computed again. `prune` has the
functions that check and remove single items.
"""

from . import prune
from .activations import ActivationSink, Interrupted
from .entries import Entry
from .keys import ActivationKey, CeilingKey, Key, ScoreKey, StatisticsKey, key_digest, key_name
from .metadata import Metadata
from .search import StoredItem, match_words
from .store import NotStored, Store

__all__ = [
    "ActivationKey",
    "ActivationSink",
    "CeilingKey",
    "Entry",
    "Interrupted",
    "Key",
    "Metadata",
    "NotStored",
    "ScoreKey",
    "StatisticsKey",
    "Store",
    "StoredItem",
    "key_digest",
    "key_name",
    "match_words",
    "prune",
]
