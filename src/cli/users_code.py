"""Errors that arise in a user's file, told from faults of the program by their traceback."""

import sys
import traceback

from ..watch import USERS_MODULE


def users_traceback(error: Exception) -> str | None:
    """Return "in your file ...", and the traceback from that file on; None for an error of the program itself.

    An error in the program's own code counts as the user's where their file called that code.
    """
    files = [module.__file__ for name, module in list(sys.modules.items()) if name.startswith(USERS_MODULE)]
    frames = traceback.extract_tb(error.__traceback__)
    first = next((k for k, frame in enumerate(frames) if frame.filename in files), None)
    if first is None:
        return _syntax_error(error, files)
    last = max(k for k, frame in enumerate(frames) if frame.filename in files)
    package = __file__.rpartition("cli")[0]
    behind = [frame.filename.startswith(package) for frame in frames[last + 1 :]]
    if any(behind) and not behind[0]:
        # a library that the user's file called has called the program, as hooks are
        return None
    frame = frames[last]
    lines = [*traceback.format_list(frames[first:]), *traceback.format_exception_only(error)]
    return f"in your file {frame.filename}, line {frame.lineno}:\n{''.join(lines).rstrip()}"


def _syntax_error(error: Exception, files: list[str]) -> str | None:
    """Return the text of an error that Python found before it ran a user's file."""
    if not isinstance(error, SyntaxError) or error.filename not in files:
        return None
    text = "".join(traceback.format_exception_only(error)).rstrip()
    return f"in your file {error.filename}, line {error.lineno}:\n{text}"
