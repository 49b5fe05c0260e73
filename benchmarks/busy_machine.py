"""Waiting threads on a busy machine: the evaluation of a score with OpenMP threads that spin, and that sleep.

    python -m benchmarks.busy_machine

Runs the same evaluation alone, and four times the number of cores at once, with OMP_WAIT_POLICY unset, where
threads spin before they sleep, and PASSIVE, which the command line sets. Prints seconds and the ratio.
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
from src.utils import granted_cores, regular_bins

POLICIES = (None, "PASSIVE")
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


def seconds(policy: str | None, at_once: int) -> float:
    """Return the time that some evaluations take at once, without the start of the processes."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {} if policy is None else {"OMP_WAIT_POLICY": policy}
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
    if parser.parse_args().one:
        evaluate()  # libraries are loaded, pools started
        print("ready", flush=True)
        sys.stdin.readline()
        evaluate()
        return
    cores = granted_cores()
    print(f"{N_ROWS} rows, {N_FEATURES} features, {N_TARGETS} targets, {N_LAYERS} layers; {cores} cores")
    for at_once in (1, 4 * cores):
        default, passive = (seconds(policy, at_once) for policy in POLICIES)
        print(f"{at_once:2} at once: default {default:6.1f} s, passive {passive:6.1f} s, ratio {default / passive:.2f}")


if __name__ == "__main__":
    main()
