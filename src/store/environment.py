"""What RESULTCACHING_DISABLE and RESULTCACHING_CACHEDONLY ask for, with result_caching's meaning.

Both are "1" (everything), empty or "0" (nothing) or a comma-separated list of starts of identifiers; ours start with
`dynamic_vision.score/`, `dynamic_vision.ceiling/`, `dynamic_vision.activations/` and `dynamic_vision.metadata/`.
result_caching itself is not called: it writes to one fixed temporary name, so that two processes can destroy each
other's file, reads its home when its decorators are applied, and imports xarray.
"""

import os


def is_enabled(identifier: str) -> bool:
    """Whether stored values may be read and written under `identifier`."""
    return not _matches(identifier, os.environ.get("RESULTCACHING_DISABLE", "0"))


def is_cached_only(identifier: str) -> bool:
    """Whether a value that is not stored under `identifier` is an error."""
    return _matches(identifier, os.environ.get("RESULTCACHING_CACHEDONLY", "0"))


def _matches(identifier: str, asked: str) -> bool:
    if asked == "1":
        return True
    return asked != "" and any(identifier.startswith(start) for start in asked.split(","))
