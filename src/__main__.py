"""`python -m dynamic_vision`, the same as the command `dynamic-vision`, and the start of the scripts.

Nothing heavy is imported before an interrupt (Ctrl-C) is awaited, so that one during the imports is a line.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from . import interrupts


def main() -> int:
    """Run the command `dynamic-vision`; return the exit code."""
    with _interruptible():
        from .cli import main as run

        return run()


def score(benchmark: str) -> int:
    """Run `score_<benchmark>.py`; return the exit code."""
    with _interruptible():
        from .cli import run_score

        return run_score(benchmark)


@contextmanager
def _interruptible() -> Iterator[None]:
    # a command answers its own interrupts; what is left are those before and after it, while modules are imported
    with interrupts.noticed() as arrived:
        try:
            yield
        except BaseException:
            if not arrived:
                raise
            sys.stderr.write(f"{interrupts.LINE}\n")
            sys.exit(interrupts.EXIT_CODE)


if __name__ == "__main__":
    sys.exit(main())
