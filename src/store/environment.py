"""The environment variables that switch the store off.

RESULTCACHING_DISABLE and RESULTCACHING_CACHEDONLY are "1" (all), empty or "0" (none) or a comma-separated list of
starts of identifiers, as result_caching defines them. The identifiers of this store start with `dynamic_vision.score/`,
`dynamic_vision.ceiling/`, `dynamic_vision.activations/` and `dynamic_vision.metadata/`. result_caching itself is not
called: it writes to one fixed temporary name, so that two processes can destroy each other's file, it reads its home
when its decorators are applied, and it imports xarray.
"""

import os

CACHED_ONLY_VARIABLE = "RESULTCACHING_CACHEDONLY"
DISABLE_VARIABLE = "RESULTCACHING_DISABLE"


def is_enabled(identifier: str) -> bool:
    """Return True if stored values may be read and written under `identifier`."""
    return not _matches(identifier, os.environ.get(DISABLE_VARIABLE, "0"))


def is_cached_only(identifier: str) -> bool:
    """Return True if a value that is not stored under `identifier` is an error."""
    return _matches(identifier, os.environ.get(CACHED_ONLY_VARIABLE, "0"))


def _matches(identifier: str, setting: str) -> bool:
    if setting == "1":
        return True
    return setting != "" and any(identifier.startswith(start) for start in setting.split(","))
