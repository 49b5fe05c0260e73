"""The command line of the four scripts: parse, score, print; exits 0 done, 2 bad input, 143 stopped, 1 our fault."""

import logging
import sys

from ..config import Config, export_homes
from ..pipeline import Stopped, extract, plan, score
from ..utils import BadInput
from .options import parse
from .output import check_output, write_output
from .progress import Terminal
from .table import plan_text, result_text


def main(benchmark: str, arguments: list[str] | None = None) -> int:
    """Run one of the scripts ("fmri", "electrodes", "task", "behaviour"); returns the exit code."""
    options = parse(benchmark, arguments)
    terminal = Terminal(quiet=options.quiet)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    logging.getLogger(__name__.partition(".")[0]).setLevel(logging.WARNING if options.quiet else logging.INFO)
    config = Config.from_env()
    export_homes(config)
    try:
        with terminal:
            check_output(options.output)
            if options.dry_run:
                print(plan_text(plan(options.request, config, terminal)))
                return 0
            if options.extract_only:
                extract(options.request, config, terminal)
                return 0
            results = []
            for result in score(options.request, config, terminal):
                print(result_text(result), flush=True)
                results.append(result)
            write_output(results, options.output)
    except BadInput as error:
        print(f"score_{benchmark}.py: error: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(f"score_{benchmark}.py: {stopped}; run it again to go on", file=sys.stderr)
        return stopped.exit_code
    return 0
