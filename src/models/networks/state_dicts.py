"""Names in published state dicts: nested entries, prefixes, and parts that a network lacks."""

from collections.abc import Callable, Mapping
from typing import Any

WRAPPER = "module."  # prefix of torch's DataParallel


def inner(state: Mapping[str, Any], *wrappers: str) -> dict[str, Any]:
    """Return the first of the entries `wrappers` that is a state dict, or the state dict itself."""
    found = next((state[name] for name in wrappers if isinstance(state.get(name), Mapping)), state)
    return dict(found)


def without(state: Mapping[str, Any], *starts: str) -> dict[str, Any]:
    """Return the state dict without the names that start with one of `starts`."""
    return {name: value for name, value in state.items() if not name.startswith(starts)}


def unprefixed(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the state dict with `prefix` removed from the names that have it."""
    return {name.removeprefix(prefix): value for name, value in state.items()}


def reprefixed(state: Mapping[str, Any], changes: Mapping[str, str]) -> dict[str, Any]:
    """Return the state dict with the first matching prefix of every name replaced: {old: new}."""

    def changed(name: str) -> str:
        old = next((old for old in changes if name.startswith(old)), "")
        return changes.get(old, "") + name.removeprefix(old)

    return {changed(name): value for name, value in state.items()}


def part(prefix: str, *others: str) -> Callable[[dict], dict]:
    """Return a renaming that removes `prefix`, after a leading "module.", and drops the names that start with `others`.

    Names without the prefix are kept, so that strict loading reports them.
    """
    return lambda state: unprefixed(without(unprefixed(state, WRAPPER), *others), prefix)


unwrapped = part("")
