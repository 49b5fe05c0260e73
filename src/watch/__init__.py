"""Watching of all that users' code reads, so that its results are used again only while all of that is unchanged.

`watching` is a context. What its block opens, lists, looks for and imports, and the variables and the working folder
that the user's code asks for, are recorded; `inputs` of the record returns them as JSON-able data, which `checked`
compares with the present state. Code that was executed by `executed` within `importable` is read from its source, with
the modules of its own folder.

Programs, other processes, the network and some compiled packages cannot be watched: inputs name them as "unwatched".
So are values that do not come from outside, as random numbers without a seed and the time, which are not named.

Examples
--------
>>> from pathlib import Path
>>> from tempfile import mkdtemp
>>> path = Path(mkdtemp()) / "notes.txt"
>>> _ = path.write_text("one")
>>> with watching() as seen:
...     text = path.read_text()
>>> inputs = seen.inputs()
>>> checked(inputs)[0], unchanged(inputs)
('', True)
>>> _ = path.write_text("two")
>>> unchanged(inputs)
False
"""

from .code import USERS_MODULE, executed, importable
from .hooks import Watching as watching  # noqa: N813
from .hooks import include
from .origin import is_users
from .seen import Seen, unchanged
from .states import checked, digest_once, file_state, files_checked, once_per_state, stamp

__all__ = [
    "USERS_MODULE",
    "Seen",
    "checked",
    "digest_once",
    "executed",
    "file_state",
    "files_checked",
    "importable",
    "include",
    "is_users",
    "once_per_state",
    "stamp",
    "unchanged",
    "watching",
]
