"""Messages of a command: those of the program on standard error, and all of them in a file where one is named.

Warnings of other packages say nothing to a user, and reach the file alone; those of the user's own files are shown.
"""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..files import writing
from ..watch import is_users

PACKAGE = __name__.partition(".")[0]
# what is printed on standard error already goes to the file under this name
PRINTED = f"{PACKAGE}.printed"
FORMAT = "%(asctime)s %(levelname)s %(message)s"


def recorded(text: str, level: int = logging.INFO, error: BaseException | None = None) -> None:
    """Write a text that was printed, and the traceback of an error, to the file of messages."""
    logging.getLogger(PRINTED).log(level, text, exc_info=error)


@contextmanager
def logged(quiet: bool = False, file: str | None = None) -> Iterator[None]:
    """Show messages of the program in the block, only warnings if `quiet`; write all to `file`; hide those of others.

    Raises BadInput for a file that cannot be written.
    """
    root, package = logging.getLogger(), logging.getLogger(PACKAGE)
    shown, level = logging.StreamHandler(sys.stderr), package.level
    shown.setLevel(logging.WARNING if quiet else logging.INFO)
    shown.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    shown.addFilter(lambda record: record.name != PRINTED)
    # without a handler of their own, messages of other packages would be printed
    others: logging.Handler = logging.NullHandler()
    if file is not None:
        with writing(Path(file), "--log-file"):
            others = logging.FileHandler(file, encoding="utf-8")
        others.setFormatter(logging.Formatter(FORMAT))
    package.setLevel(logging.INFO)
    package.addHandler(shown)
    root.addHandler(others)
    try:
        with _warnings_of_users():
            yield
    finally:
        package.removeHandler(shown)
        root.removeHandler(others)
        package.setLevel(level)
        others.close()


@contextmanager
def _warnings_of_users() -> Iterator[None]:
    """Show the warnings of users' files in the block and log those of packages."""
    if sys.warnoptions:
        # whoever asks Python for warnings gets them
        yield
        return
    with warnings.catch_warnings():
        show = warnings.showwarning

        def showing(message, category, filename, lineno, file=None, line=None):
            if is_users(filename):
                show(message, category, filename, lineno, file, line)
            else:
                text = " ".join(str(message).split())
                recorded(f"{filename}:{lineno}: {category.__name__}: {text}", logging.WARNING)

        warnings.showwarning = showing
        yield
