"""Published state dicts to ours: what lies around the names taken off, named parts left out."""

from collections.abc import Mapping
from typing import Any


def inner(state: Mapping[str, Any], *wrappers: str) -> dict[str, Any]:
    """The state dict itself, or the first of the entries `wrappers` that holds it."""
    found = next((state[name] for name in wrappers if isinstance(state.get(name), Mapping)), state)
    return dict(found)


def without(state: Mapping[str, Any], *starts: str) -> dict[str, Any]:
    """The state dict without the names that start with one of `starts`."""
    return {name: value for name, value in state.items() if not name.startswith(starts)}


def unprefixed(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The state dict with `prefix` taken off the names that have it."""
    return {name.removeprefix(prefix): value for name, value in state.items()}


def reprefixed(state: Mapping[str, Any], changes: Mapping[str, str]) -> dict[str, Any]:
    """The state dict with the first matching beginning of every name changed: {old: new}; other names stay."""

    def changed(name: str) -> str:
        old = next((old for old in changes if name.startswith(old)), "")
        return changes.get(old, "") + name.removeprefix(old)

    return {changed(name): value for name, value in state.items()}
