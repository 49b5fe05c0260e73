"""Waiting threads on a busy machine: the evaluation of a score with OpenMP threads that spin, and that sleep.

    python -m benchmarks.busy_machine [--repeats 3]

Runs the same evaluation alone, and two and four times the number of cores at once: with threads that sleep at once
(OMP_WAIT_POLICY=PASSIVE) and with bounded numbers of spins (GOMP_SPINCOUNT), of which the command line sets 1,000. All
run in turn; prints the median of the seconds, and the ratio to the setting of the command line. The default of
OpenMP, 300,000 spins, is measured alone: four times the number of cores did not end in a quarter of an hour.
"""

import argparse
import os
import subprocess
import sys
import time

import numpy as np

from src.evaluate.cross_validate import Problem, cross_validate_problem
from src.evaluate.decoders import Ridge
from src.evaluate.layer_choice import Rule
from src.evaluate.protocol import Protocol
from src.evaluate.splits import penalty_blocks, segment_splits
from src.tables import aligned
from src.utils import granted_cores, regular_bins

DEFAULT, CHOSEN = "300,000 spins", "GOMP_SPINCOUNT=1000"
POLICIES = ("OMP_WAIT_POLICY=PASSIVE", "GOMP_SPINCOUNT=100", "GOMP_SPINCOUNT=300", CHOSEN)
N_ROWS, N_FEATURES, N_TARGETS, N_LAYERS = 400, 200, 75, 4


def evaluate() -> None:
    """Cross-validate layers of noise on a film, as a small fMRI score does."""
    rng = np.random.default_rng(0)
    film, time_ms = np.zeros(N_ROWS, dtype=int), regular_bins(N_ROWS * 1000.0, 1000.0)
    options = {"segment_ms": 15_000.0, "gap_ms": 10_000.0}
    splits = segment_splits(film, time_ms, **options, layout="tiled")
    X = rng.standard_normal((N_ROWS, N_FEATURES)).astype(np.float32)
    problem = Problem(
        {f"layer{k}": lambda: X.copy() for k in range(N_LAYERS)},
        rng.standard_normal((N_ROWS, N_TARGETS)).astype(np.float32),
        splits,
        left_out=penalty_blocks(film, time_ms, Protocol()),
    )
    cross_validate_problem(problem, Ridge(penalty="blocks", scaled=True), "pearson", rule=Rule(nested=True))


def seconds(policy: str, at_once: int) -> float:
    """Return the time that some evaluations take at once, without the start of the processes."""
    own = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {name: value for name, value in os.environ.items() if name not in own}
    environment |= dict([policy.split("=")] if "=" in policy else [])
    command = [sys.executable, "-m", "benchmarks.busy_machine", "--one"]
    running = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(at_once)
    ]
    for process in running:
        process.stdout.readline()
    start = time.perf_counter()
    for process in running:
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in running:
        process.communicate()
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    if given.one:
        evaluate()  # libraries are loaded, pools started
        print("ready", flush=True)
        sys.stdin.readline()
        evaluate()
        return
    cores = granted_cores()
    print(f"{N_ROWS} rows, {N_FEATURES} features, {N_TARGETS} targets, {N_LAYERS} layers; {cores} cores")
    for at_once in (1, 2 * cores, 4 * cores):
        policies = (*POLICIES, DEFAULT) if at_once == 1 else POLICIES
        taken = [[seconds(policy, at_once) for policy in policies] for _ in range(given.repeats)]
        medians = dict(zip(policies, np.median(taken, axis=0), strict=True))
        rows = [[name, f"{s:.1f}", f"{s / medians[CHOSEN]:.2f}"] for name, s in medians.items()]
        print(aligned([f"{at_once} at once", "s", "of the setting"], rows), flush=True)


if __name__ == "__main__":
    main()
