"""The style that all commands share: help with defaults and examples, and the types of their arguments."""

import argparse
from collections.abc import Callable, Sequence


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help text with the default of every option that has one, and an epilog that keeps its lines."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=30, width=110)

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or "", action.default
        no_value = default is None or isinstance(default, bool) or default in ("", [], argparse.SUPPRESS)
        if "default" in text or no_value:
            return text
        if isinstance(default, list):
            return f"{text} (default: {' '.join(map(str, default))})"
        return f"{text} (default: {default:g})" if isinstance(default, float) else f"{text} (default: {default})"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line; its usage is in the help."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def make_parser(prog: str, description: str, examples: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return a parser in the common style; `examples` are command lines without the program's name."""
    return Parser(
        prog=prog, description=description, epilog=examples_text(prog, examples), formatter_class=HelpFormatter
    )


def add_actions(parser: argparse.ArgumentParser, required: bool = True) -> "argparse._SubParsersAction":
    """Add the place for the actions of a command, one of which is required unless the command works without."""
    return parser.add_subparsers(
        dest="action", title="actions", metavar="ACTION" if required else "[ACTION]", required=required
    )


def add_action(
    actions: "argparse._SubParsersAction", name: str, run: Callable, text: str, epilog: str | None = None
) -> argparse.ArgumentParser:
    """Add an action with its help text, and return its parser; `run` becomes `options.action`."""
    sentence = f"{text[0].upper()}{text[1:]}."
    added = actions.add_parser(name, help=text, description=sentence, epilog=epilog, formatter_class=HelpFormatter)
    added.set_defaults(action=run)
    return added


def examples_text(prog: str, examples: Sequence[str]) -> str | None:
    """Return the epilog that shows `examples`."""
    return "\n".join(["examples:", *(f"  {prog} {example}" for example in examples)]) if examples else None


def number(text: str) -> float:
    """Return a number above 0."""
    return _number(text, 0, "a number above 0", least_allowed=False)


def number_or_zero(text: str) -> float:
    """Return 0 or a number above it."""
    return _number(text, 0, "0 or a number above it", least_allowed=True)


def count(text: str) -> int:
    """Return a whole number above 0."""
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}; expected a whole number above 0")
    return int(text)


def count_or_zero(text: str) -> int:
    """Return 0 or a whole number above it."""
    return 0 if text == "0" else count(text)


def _number(text: str, least: float, expected: str, least_allowed: bool) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not (least < value < float("inf") or (least_allowed and value == least)):
        raise argparse.ArgumentTypeError(f"{text}; expected {expected}")
    return value
