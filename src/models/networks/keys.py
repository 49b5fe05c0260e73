"""Names in published state dicts: one part of a larger network kept, the others left out by name."""

from collections.abc import Callable

WRAPPER = "module."


def part(prefix: str, *others: str) -> Callable[[dict], dict]:
    """A renaming that keeps what lies under `prefix`, without it, and leaves out what lies under `others`.

    Any other name stays as it is, so that strict loading reports it. A leading "module." (of torch's DataParallel) is
    taken off first.
    """

    def renamed(state: dict) -> dict:
        names = {name: name.removeprefix(WRAPPER) for name in state}
        kept = {name: short for name, short in names.items() if not (others and short.startswith(others))}
        return {short.removeprefix(prefix): state[name] for name, short in kept.items()}

    return renamed


unwrapped = part("")
