"""Progress on standard error: a bar with the time left on a terminal, a line every half minute in a log."""

import signal
import sys
import time
from collections.abc import Callable

from ..pipeline import Reporter
from .logs import recorded

LOG_EVERY_S = 30.0


class Terminal(Reporter):
    """Reporter that writes to standard error, and turns SIGTERM into a request to stop while it is a context."""

    def __init__(self, quiet: bool = False, stream=None):
        self._quiet = quiet
        self._stream = stream or sys.stderr
        self._stop = False
        self._before = None

    def __enter__(self) -> "Terminal":
        self._before = signal.signal(signal.SIGTERM, self._request_stop)
        return self

    def __exit__(self, *error) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _request_stop(self, signum, frame) -> None:
        self._stop = True

    def stopping(self) -> bool:
        return self._stop

    def say(self, text: str) -> None:
        recorded(text)
        if not self._quiet:
            print(text, file=self._stream, flush=True)

    def progress(self, label: str) -> Callable[[float, float, str], None]:
        if self._quiet or not self._stream.isatty():
            return self._lines(label)
        lines, bar = self._lines(label, recorded), self._bar(label)

        def show(done: float, total: float, text: str = "") -> None:
            lines(done, total, text)
            bar(done, total, text)

        return show

    def _bar(self, label: str) -> Callable[[float, float, str], None]:
        from tqdm import tqdm

        bar = None

        def show(done: float, total: float, text: str = "") -> None:
            nonlocal bar
            if bar is None:
                layout = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} done, {remaining} left{postfix}"
                bar = tqdm(total=total, desc=label, file=self._stream, bar_format=layout, leave=True)
            bar.set_postfix_str(text, refresh=False)
            bar.update(done - bar.n)
            if done >= total:
                bar.close()

        return show

    def _lines(self, label: str, say: Callable[[str], None] | None = None) -> Callable[[float, float, str], None]:
        say = say or self.say
        start = last = time.monotonic()

        def show(done: float, total: float, text: str = "") -> None:
            nonlocal last
            now = time.monotonic()
            if done < total and now - last < LOG_EVERY_S:
                return
            last = now
            spent = now - start
            left = spent * (total - done) / done if done else float("nan")
            say(f"{label}: {done / total:4.0%}, {_clock(spent)} done, {_clock(left)} left{', ' * bool(text)}{text}")

        return show


def _clock(seconds: float) -> str:
    if seconds != seconds:
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
