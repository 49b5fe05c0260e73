"""Interrupts (Ctrl-C) as they arrive; imports nothing heavy, so that the first moments of a command are covered."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 128 + signal.SIGINT
LINE = "interrupted; run it again to continue"


@contextmanager
def noticed() -> Iterator[list[int]]:
    """Yield a list of the interrupts that arrive in the block; each raises KeyboardInterrupt as well.

    Compiled code may answer with an error of its own, which the list tells from others. A job in the background ignores
    interrupts, and only the main thread may decide on them: nothing is changed there.
    """
    arrived: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) in (None, signal.SIG_IGN):
        yield arrived
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield arrived
    finally:
        signal.signal(signal.SIGINT, before)
