"""`python -m src.grid submit | status | retry | cancel | collect`: models x datasets, a cell each."""

import os
import sys
from collections import Counter
from collections.abc import Sequence

from ..cli.output import check_output
from ..cli.table import aligned
from ..config import Config
from ..data import BY_BENCHMARK
from ..locks import locked
from ..utils import BadInput, unknown_name
from . import collect, flow
from .cells import Cell, make_cells
from .folder import VARIABLE, Grid, grid_at, grid_names
from .local import STOPPED
from .options import parse, steps, steps_again
from .states import ORDER, State, by_store, states
from .stored import Shelf

WIDTH = 110


def main(arguments: Sequence[str] | None = None, command: flow.Command = flow.scripts_here) -> int:
    """Run one command and return its exit code: 0 done, 1 a local cell failed, 2 bad input, 143 stopped.

    command: {script name: the command that runs it}, as a function.
    """
    options, flags = parse(sys.argv[1:] if arguments is None else list(arguments))
    try:
        return COMMANDS[options.command](options, flags, command, Config.from_env())
    except BadInput as error:
        print(f"python -m src.grid: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # `status | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _submit(options, flags: list[str], command: flow.Command, config: Config) -> int:
    cells = make_cells(options.benchmark, options.models, options.datasets, flags, each=options.each)
    grid = grid_at(config, options.grid or options.benchmark)
    plan = flow.Plan(steps(options), options.local)
    return _start(grid, cells, cells, plan, options.dry_run, command, config)


def _retry(options, _, command: flow.Command, config: Config) -> int:
    grid = _one_grid(options, config)
    before = next((s.steps for s in reversed(grid.submissions) if s.where == "slurm"), {})
    plan = flow.Plan(steps_again(before, options), options.local)
    return _start(grid, [], _chosen(grid, options.cells), plan, options.dry_run, command, config)


def _start(
    grid: Grid, new: list[Cell], wanted: list[Cell], plan: flow.Plan, dry: bool, command: flow.Command, config: Config
) -> int:
    """Start those of `wanted` that are missing, script by script; `new` ones are remembered first."""
    if dry:
        return _dry_run(grid, wanted, plan, command, config)
    with locked(grid.lock, VARIABLE):
        grid = grid_at(config, grid.name)
        grid.add_cells(new)
        found = states(grid, Shelf(config), wanted)
        missing = flow.missing(found)
        _say(f"{grid.name}: {len(missing)} of {len(wanted)} cells to start{_but(found)}")
        groups = [[cell for cell in missing if cell.benchmark == script] for script in BY_BENCHMARK]
        started = [s for group in groups if group for s in flow.start(grid, group, plan, command, config, _say)]
    if not plan.local:
        return 0
    whole = all(flow.run_local(grid, submission, plan, command, config, _say) for submission in started)
    failed = flow.missing(states(grid, Shelf(config), missing))
    return STOPPED if not whole else int(bool(failed))


def _dry_run(grid: Grid, wanted: list[Cell], plan: flow.Plan, command: flow.Command, config: Config) -> int:
    found = states(grid, Shelf(config), wanted)
    missing = flow.missing(found)
    _say(f"{grid.name}: {len(missing)} of {len(wanted)} cells to start{_but(found)}")
    for script in BY_BENCHMARK:
        group = [cell for cell in missing if cell.benchmark == script]
        if group:
            print(flow.dry_run(grid, group, plan, command, config), end="")
    return 0


def _status(options, *rest) -> int:
    config = rest[-1]
    shelf = Shelf(config)
    for grid in _grids(options, config):
        found = states(grid, shelf)
        header = ["cell", "model", "datasets", "state", "reason"]
        print(aligned(header, [_row(state) for state in found], left=len(header)))
        print(f"{grid.name}: {len(found)} cells: {_counted(found)}\n")
    return 0


def _cancel(options, *rest) -> int:
    config = rest[-1]
    grid = _one_grid(options, config)
    lived = flow.cancel(grid, Shelf(config), _chosen(grid, options.cells))
    _say(f"{grid.name}: {len(lived)} cells cancelled")
    return 0


def _collect(options, *rest) -> int:
    config = rest[-1]
    check_output(options.output, collect.SUFFIXES)
    shelf = Shelf(config)
    found = [by_store(cell, shelf) for grid in _grids(options, config) for cell in grid.cells.values()]
    print(collect.scores_text(found))
    _say(f"{len(found)} cells: {_counted(found)}")
    if options.output:
        collect.write_rows(found, options.output)
    if options.targets:
        _say(f"{collect.write_targets(found, options.targets)} files in {options.targets}")
    return 0


COMMANDS = {"submit": _submit, "status": _status, "retry": _retry, "cancel": _cancel, "collect": _collect}


def _grids(options, config: Config) -> list[Grid]:
    names = grid_names(config)
    if options.grid and options.grid not in names:
        raise unknown_name("grid", options.grid, names) if names else BadInput(_no_grid(config))
    if not names:
        raise BadInput(_no_grid(config))
    return [grid_at(config, name) for name in ([options.grid] if options.grid else names)]


def _no_grid(config: Config) -> str:
    return f"there is no grid under {config.results_home}; submit one first, or set RESULTCACHING_HOME"


def _one_grid(options, config: Config) -> Grid:
    grids = _grids(options, config)
    if len(grids) > 1:
        raise BadInput(f"there are {len(grids)} grids; expected --grid with one of {', '.join(g.name for g in grids)}")
    return grids[0]


def _chosen(grid: Grid, ids: Sequence[str]) -> list[Cell]:
    for id in ids:
        if id not in grid.cells:
            raise unknown_name("cell", id, grid.cells)
    return [cell for cell in grid.cells.values() if not ids or cell.id in ids]


def _row(state: State) -> list[str]:
    cell = state.cell
    last = "" if state.state == "done" else state.last_line
    reason = "; ".join(part for part in (state.reason, last) if part)
    return [cell.id, " ".join([cell.model, *cell.flags]), " + ".join(cell.names), state.state, reason[:WIDTH]]


def _counted(found: Sequence[State]) -> str:
    counts = Counter(state.state for state in found)
    return ", ".join(f"{counts[name]} {name}" for name in ORDER if counts[name]) or "none"


def _but(found: Sequence[State]) -> str:
    others = [state for state in found if state.state in ("done", "running", "pending")]
    return f" ({_counted(others)})" if others else ""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
