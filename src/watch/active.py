"""Records of the code that is being watched, and the block whose own accesses are not recorded."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .seen import Seen

# records of the code that is being watched
active: "list[Seen]" = []
_here = threading.local()


def records() -> "list[Seen]":
    """Return the records of the code that is being watched; none for accesses of the recording itself."""
    return [] if getattr(_here, "busy", False) else list(active)


@contextmanager
def unwatched() -> Iterator[bool]:
    """Yield True if there are records to add to; accesses of the block itself are not recorded."""
    if not records():
        yield False
        return
    _here.busy = True
    try:
        yield True
    finally:
        _here.busy = False
