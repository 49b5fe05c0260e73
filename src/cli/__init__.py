"""The command line: `dynamic-vision COMMAND ...`.

Exit codes: 0 done; 1 a fault of the program, with a traceback; 2 bad input, in one line, or an error of a user's file,
with its traceback; 130 interrupted and 143 stopped by SIGTERM, with all finished steps kept.
"""

import argparse
import codecs
import importlib
import logging
import os
import select
import sys
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import TextIO

from .. import interrupts
from ..arguments import make_parser
from ..config import Config, export_homes
from ..files import OF_THE_SYSTEM
from ..pipeline import Stopped
from ..utils import BadInput
from .logs import logged, recorded
from .users_code import users_traceback

PROGRAM = "dynamic-vision"
COMMANDS = {
    "score": "score a model on fMRI, electrodes, a task or behaviour",
    "predict": "predict the responses to films by a saved encoder",
    "data": "list, fetch, prepare and check datasets",
    "models": "list, show, check and convert models",
    "store": "list, verify and remove what is stored",
    "grid": "score many models on many datasets, on SLURM or here",
    "report": "make a page, figures and tables of the stored scores",
}
# what a terminal without Unicode shows instead; other characters become "?"
ASCII = {"±": "+-", "×": "x", "²": "2", "–": "-"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `dynamic-vision` with these arguments (default: those of the process); return the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments and arguments[0] in COMMANDS:
        return run_command(arguments[0], arguments[1:])
    whole_parser().parse_args(arguments or ["--help"])
    return 0


def run_command(name: str, arguments: Sequence[str] | None = None, **given) -> int:
    """Run one command with these arguments (default: those of the process); return the exit code.

    `given` is passed on to the command's `run`.
    """
    command = _module(name)
    parser = make_parser(f"{PROGRAM} {name}", command.__doc__, command.EXAMPLES)
    command.add_arguments(parser)
    return execute(parser, partial(command.run, **given), arguments)


def run_score(benchmark: str, arguments: Sequence[str] | None = None) -> int:
    """Run `score_<benchmark>.py` with these arguments (default: those of the process); return the exit code."""
    from . import score

    return execute(score.script_parser(benchmark), score.run, arguments)


def execute(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace, Config], int],
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse the arguments and call `run`; errors and signals become messages and exit codes.

    Arguments behind a `--` are `options.flags`, the flags of another command; only parsers with the default
    `takes_flags` accept them.
    """
    _replace_what_cannot_be_shown()
    try:
        with interrupts.noticed() as arrived:
            return _executed(parser, run, arguments, arrived)
    except KeyboardInterrupt:
        return _interrupted(parser.prog)
    except BrokenPipeError:
        if not any(map(_has_no_reader, (sys.stdout, sys.stderr))):
            raise
        # the reader of our output has closed it, as in `... list | head`
        _drop_output()
        return 0


def _executed(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace, Config], int],
    arguments: Sequence[str] | None,
    arrived: Sequence[int],
) -> int:
    """Do the work of `execute`; arrived: interrupts so far."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    try:
        options = parser.parse_args(arguments[:end])
        options.flags = arguments[end + 1 :]
        if options.flags and not getattr(options, "takes_flags", False):
            parser.error(f"{' '.join(options.flags)} behind --; expected nothing there")
        config = Config.from_env()
        export_homes(config)
        with logged(getattr(options, "quiet", False), getattr(options, "log_file", None)):
            return _finished(parser.prog, lambda: run(options, config), arrived)
    except BadInput as error:
        return _said(f"{parser.prog}: error: {error}", 2)


def _finished(prog: str, run: Callable[[], int], arrived: Sequence[int]) -> int:
    """Return the exit code of a command whose messages are shown and recorded."""
    try:
        code = run()
        # a closed pipe is noticed here, not when the interpreter exits
        sys.stdout.flush()
        return code
    except BadInput as error:
        return _said(f"{prog}: error: {error}", 2)
    except Stopped as stopped:
        return _said(f"{prog}: {stopped}; run it again to continue", stopped.exit_code)
    except KeyboardInterrupt:
        return _interrupted(prog)
    except BrokenPipeError:
        raise
    except Exception as error:
        if arrived:
            # compiled code may answer an interrupt with an error of its own
            return _interrupted(prog)
        text = users_traceback(error) or _of_the_system(error)
        if text is None:
            recorded("a fault of the program", logging.ERROR, error)
            raise
        return _said(f"{prog}: error: {text}", 2)


def _interrupted(prog: str) -> int:
    return _said(f"{prog}: {interrupts.LINE}", interrupts.EXIT_CODE)


def _said(text: str, code: int) -> int:
    """Print a last line on standard error and return the exit code."""
    print(text, file=sys.stderr)
    recorded(text, logging.INFO)
    return code


def _of_the_system(error: Exception) -> str | None:
    """Return one line on an error of a disk, its rights or the limits of the process, None for any other error."""
    if not isinstance(error, OSError) or error.errno not in OF_THE_SYSTEM:
        return None
    if error.filename is None:
        # files are written under their names
        return f"cannot write the output ({error.strerror}); what was computed is stored: run it again to print it"
    return f"{error.filename}: {error.strerror}; check the disk and the rights of the folder"


def _has_no_reader(stream: TextIO) -> bool:
    """Return True for a stream into a pipe whose other end is closed."""
    try:
        polled = select.poll()
        polled.register(stream.fileno(), 0)
        return any(events & select.POLLERR for _, events in polled.poll(0))
    except (OSError, ValueError):  # a captured stream has no descriptor
        return False


def _drop_output() -> None:
    """Let what is left of the output go nowhere, so that the end of the interpreter writes nothing either."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if _has_no_reader(stream):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _replace_what_cannot_be_shown() -> None:
    """Let standard output and error print text that their encoding lacks, as on a terminal with LC_ALL=C."""
    codecs.register_error(
        "ascii-text", lambda error: ("".join(map(_in_ascii, error.object[error.start : error.end])), error.end)
    )
    for stream in (sys.stdout, sys.stderr):
        # a captured stream, as in a notebook, is text and encodes nothing
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="ascii-text")


def _in_ascii(character: str) -> str:
    return ASCII.get(character, "?")


def whole_parser() -> argparse.ArgumentParser:
    """Return the parser of the program with all commands, for its help and for shell completion."""
    examples = ("score fmri --model fake-net --datasets fake-fmri", "models list")
    parser = make_parser(PROGRAM, "Score vision models against brains and behaviour that unfold in time.", examples)
    parser.add_argument("--version", action=_Version, help="print the version, and exit")
    parser.add_argument(
        "--print-completion",
        action=_Completion,
        metavar="SHELL",
        help="print completions for bash, zsh or tcsh, and exit",
    )
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        command = _module(name)
        added = commands.add_parser(
            name, help=text, description=command.__doc__, formatter_class=parser.formatter_class
        )
        command.add_arguments(added)
    return parser


def _module(name: str) -> ModuleType:
    return importlib.import_module(f".{name}", __name__)


class _Version(argparse.Action):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, nargs=0, **kwargs)

    def __call__(self, parser, namespace, values, option=None):
        from importlib.metadata import version

        print(f"{PROGRAM} {version(PROGRAM)}")
        parser.exit(0)


class _Completion(argparse.Action):
    def __call__(self, parser, namespace, values, option=None):
        import shtab

        if values not in shtab.SUPPORTED_SHELLS:
            parser.error(f"{option} {values}; expected one of {', '.join(shtab.SUPPORTED_SHELLS)}")
        print(shtab.complete(parser, values))
        parser.exit(0)
