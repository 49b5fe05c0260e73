"""Score many models on many datasets: a cell per model and datasets, on SLURM or side by side on this machine."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from ..arguments import add_action, add_actions, count
from ..config import RESULTS_VARIABLE, Config
from ..data import BY_BENCHMARK
from ..grid import collect, flow
from ..grid.cells import Cell, make_cells
from ..grid.folder import Grid, grid_at, grid_names
from ..grid.local import STOPPED
from ..grid.resources import Resources, Steps
from ..grid.states import ORDER, State, by_store, states
from ..locks import locked
from ..store import Store
from ..tables import aligned, check_output
from ..utils import BadInput, unknown_name

EXAMPLES = (
    "submit --benchmark fmri --models fake-net pixels --datasets fake-fmri --gpus 1 --time 4:00:00 --dry-run",
    "submit --benchmark task --models resnet18 --datasets digits --local 2 -- --splits 5",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands submit, status, retry, cancel and collect."""
    actions = add_actions(parser)

    def action(name: str, run: Callable, text: str, epilog: str | None = None) -> argparse.ArgumentParser:
        added = add_action(actions, name, run, text, epilog)
        default = "the benchmark's name" if name == "submit" else "the only one there is"
        added.add_argument("--grid", metavar="NAME", help=f"the grid (default: {default})")
        return added

    submit = action(
        "submit",
        _submit,
        "start the cells that have neither a score nor a live job",
        "Flags behind -- are given to every cell: submit ... -- --splits 5",
    )
    submit.set_defaults(takes_flags=True)
    submit.add_argument("--benchmark", required=True, choices=tuple(BY_BENCHMARK), help="benchmark of all cells")
    submit.add_argument("--models", "-m", nargs="+", required=True, metavar="NAME", help="models, a row of cells each")
    submit.add_argument("--datasets", "--tasks", "-d", nargs="+", required=True, metavar="NAME", help="datasets")
    submit.add_argument(
        "--together", type=count, default=1, metavar="N", help="models of a cell, for which films are decoded once"
    )
    submit.add_argument("--each", action="store_true", help="a cell per model and dataset, not one per model")
    retry = action("retry", _retry, "start the cells again that failed, were interrupted or are missing")
    for starting in (submit, retry):
        starting.add_argument("--dry-run", action="store_true", help="print the sbatch file, and exit")
        starting.add_argument("--local", type=count, metavar="N", help="no SLURM: N cells at a time on this machine")
        _add_resources(starting)
    action("status", _status, "print the state of every cell, with its reason")
    cancel = action("cancel", _cancel, "end the live jobs")
    gather = action("collect", _collect, "print the stored scores as one table")
    gather.add_argument("--output", metavar="FILE", help="a row per score, layer and region: .csv, .json or .parquet")
    gather.add_argument("--targets", metavar="FOLDER", help="a .parquet per score: a row per layer, target and split")
    for some in (retry, cancel):
        some.add_argument("cells", nargs="*", metavar="CELL", help="only these, by the ids of `status`")


def _add_resources(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("SLURM resources of each cell")
    group.add_argument("--partition", "-p", metavar="NAME", help="partition")
    group.add_argument("--account", "-A", metavar="NAME", help="account")
    group.add_argument("--gpus", metavar="N", help="number of GPUs, or type:number")
    group.add_argument("--time", metavar="T", help="time limit; a cell that needs longer is requeued and continues")
    group.add_argument("--mem", metavar="M", help="memory, e.g. 32G")
    group.add_argument("--cpus", type=count, metavar="C", help="number of cores")
    group.add_argument("--max-parallel", type=count, metavar="K", help="number of cells at a time")
    group.add_argument(
        "--notice", type=count, metavar="S", help="stop a cell this many seconds before the limit (default: 120)"
    )
    group.add_argument(
        "--sbatch", action="append", default=[], metavar="OPTION", help="any other option, as --sbatch=--qos=long"
    )
    group.add_argument("--split-steps", action="store_true", help="extract with the GPUs, then score without")
    second = parser.add_argument_group("SLURM resources of the second of two steps, where they differ")
    for flag, name in (("partition", "NAME"), ("time", "T"), ("mem", "M")):
        second.add_argument(f"--score-{flag}", metavar=name, help=f"{flag} of the second step")
    second.add_argument("--score-cpus", type=count, metavar="C", help="number of cores of the second step")


def score_command(benchmark: str) -> list[str]:
    """Return the command that runs a score of `benchmark` with this Python and this package."""
    package = __name__.partition(".")[0]
    if package == "src":
        # a checkout can be run from any folder by its scripts only
        return [sys.executable, str(Path(__file__).parents[2] / f"score_{benchmark}.py")]
    return [sys.executable, "-m", package, "score", benchmark]


def run(options: argparse.Namespace, config: Config, command: flow.Command = score_command) -> int:
    """Run one subcommand; exit code 1 where a local cell failed, 143 where a local run was stopped."""
    return options.action(options, command, config)


def _submit(options: argparse.Namespace, command: flow.Command, config: Config) -> int:
    of_cells = {"each": options.each, "together": options.together}
    cells = make_cells(options.benchmark, options.models, options.datasets, options.flags, **of_cells)
    grid = grid_at(config, options.grid or options.benchmark)
    return _start(grid, cells, cells, flow.Plan(_steps(options), options.local), options.dry_run, command, config)


def _retry(options: argparse.Namespace, command: flow.Command, config: Config) -> int:
    grid = _one_grid(options, config)
    before = next((s.steps for s in reversed(grid.submissions) if s.where == "slurm"), {})
    plan = flow.Plan(_steps_again(before, options), options.local)
    return _start(grid, [], _chosen(grid, options.cells), plan, options.dry_run, command, config)


def _start(
    grid: Grid, new: list[Cell], wanted: list[Cell], plan: flow.Plan, dry: bool, command: flow.Command, config: Config
) -> int:
    """Start the cells of `wanted` that are missing, a benchmark at a time; `new` ones are added to the grid first."""
    if dry:
        return _dry_run(grid, wanted, plan, command, config)
    with locked(grid.lock, RESULTS_VARIABLE):
        grid = grid_at(config, grid.name)
        grid.add_cells(new)
        found = states(grid, _store(config), wanted)
        missing = flow.missing(found)
        _say(f"{grid.name}: {len(missing)} of {len(wanted)} cells to start{_others(found)}")
        groups = [group for _, group in _by_benchmark(missing)]
        started = [s for group in groups for s in flow.start(grid, group, plan, command, config, _say)]
    if not plan.local:
        return 0
    whole = all(flow.run_local(grid, submission, plan, command, config, _say) for submission in started)
    failed = flow.missing(states(grid, _store(config), missing))
    return STOPPED if not whole else int(bool(failed))


def _dry_run(grid: Grid, wanted: list[Cell], plan: flow.Plan, command: flow.Command, config: Config) -> int:
    found = states(grid, _store(config), wanted)
    missing = flow.missing(found)
    _say(f"{grid.name}: {len(missing)} of {len(wanted)} cells to start{_others(found)}")
    for _, group in _by_benchmark(missing):
        print(flow.dry_run(grid, group, plan, command, config), end="")
    return 0


def _by_benchmark(cells: Sequence[Cell]) -> list[tuple[str, list[Cell]]]:
    groups = [(name, [cell for cell in cells if cell.benchmark == name]) for name in BY_BENCHMARK]
    return [(name, group) for name, group in groups if group]


def _status(options: argparse.Namespace, command: flow.Command, config: Config) -> int:
    store = _store(config)
    for grid in _grids(options, config):
        found = states(grid, store)
        header = ["cell", "model", "datasets", "state", "reason", "log"]
        print(aligned(header, [_row(state) for state in found], left=len(header)))
        print(f"{grid.name}: {len(found)} cells: {_counted(found)}\n")
    return 0


def _cancel(options: argparse.Namespace, command: flow.Command, config: Config) -> int:
    grid = _one_grid(options, config)
    cancelled = flow.cancel(grid, _store(config), _chosen(grid, options.cells))
    _say(f"{grid.name}: {len(cancelled)} cells cancelled")
    return 0


def _collect(options: argparse.Namespace, command: flow.Command, config: Config) -> int:
    check_output(options.output)
    store = _store(config)
    found = [by_store(cell, store) for grid in _grids(options, config) for cell in grid.cells.values()]
    print(collect.scores_text(found))
    _say(f"{len(found)} cells: {_counted(found)}")
    if options.output:
        collect.write_rows(found, options.output)
    if options.targets:
        _say(f"{collect.write_targets(found, options.targets)} files in {options.targets}")
    return 0


def _store(config: Config) -> Store:
    return Store(config, read_only=True)


def _grids(options: argparse.Namespace, config: Config) -> list[Grid]:
    names = grid_names(config)
    if not names:
        raise BadInput(f"there is no grid under {config.results_home}; submit one first, or set {RESULTS_VARIABLE}")
    if options.grid and options.grid not in names:
        raise unknown_name("grid", options.grid, names)
    return [grid_at(config, name) for name in ([options.grid] if options.grid else names)]


def _one_grid(options: argparse.Namespace, config: Config) -> Grid:
    grids = _grids(options, config)
    if len(grids) > 1:
        raise BadInput(f"there are {len(grids)} grids; expected --grid with one of {', '.join(g.name for g in grids)}")
    return grids[0]


def _chosen(grid: Grid, ids: Sequence[str]) -> list[Cell]:
    for cell_id in ids:
        if cell_id not in grid.cells:
            raise unknown_name("cell", cell_id, grid.cells)
    return [cell for cell in grid.cells.values() if not ids or cell.id in ids]


def _row(state: State) -> list[str]:
    cell = state.cell
    last = "" if state.state == "done" else state.last_line
    reason = "; ".join(part for part in (state.reason, last) if part)
    log = str(state.log) if state.log is not None and state.state not in ("done", "pending") else ""
    return [cell.id, " ".join([" + ".join(cell.models), *cell.flags]), " + ".join(cell.names), state.state, reason, log]


def _counted(found: Sequence[State]) -> str:
    counts = Counter(state.state for state in found)
    return ", ".join(f"{counts[name]} {name}" for name in ORDER if counts[name]) or "none"


def _others(found: Sequence[State]) -> str:
    others = [state for state in found if state.state in ("done", "running", "pending")]
    return f" ({_counted(others)})" if others else ""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _resources(options: argparse.Namespace) -> Resources:
    names = ("partition", "account", "gpus", "time", "mem", "cpus", "max_parallel", "notice")
    return Resources(**{name: getattr(options, name) for name in names}, options=tuple(options.sbatch))


def _score_resources(options: argparse.Namespace) -> Resources:
    return Resources(**{name: getattr(options, f"score_{name}") for name in ("partition", "time", "mem", "cpus")})


def _steps(options: argparse.Namespace) -> Steps:
    """The resources of one step or, with --split-steps, of two: only the first has the GPUs."""
    resources = _resources(options)
    if not options.split_steps:
        return {"score": resources}
    without_gpus = Resources(**vars(resources) | {"gpus": None})
    return {"extract": resources, "score": without_gpus.changed(_score_resources(options))}


def _steps_again(before: Steps, options: argparse.Namespace) -> Steps:
    """The resources of an earlier submission, replaced where the options state others."""
    if not before or (options.split_steps and "extract" not in before):
        return _steps(options)
    resources = _resources(options)
    if "extract" not in before:
        return {"score": before["score"].changed(resources)}
    second = before["score"].changed(_score_resources(options))
    return {"extract": before["extract"].changed(resources), "score": second}
