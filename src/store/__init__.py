"""A cache that cannot lie: typed keys, whole files, one writer at a time; damage is named, set aside and made again."""

from src.store.activations import ActivationSink, Interrupted
from src.store.cards import Card
from src.store.entries import Entry
from src.store.keys import ActivationKey, CeilingKey, Key, Options, ScoreKey, key_digest, key_name
from src.store.store import Store

__all__ = [
    "ActivationKey",
    "ActivationSink",
    "Card",
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
