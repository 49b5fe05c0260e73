"""Cost of uncertainty: the bootstrap's share of a run, and permutations of a whole-cortex score.

    python -m benchmarks.permutation [--device cuda] [--layers 3] [--permutations 1000] [--rows 1200]

Whole cortex: 1,200 rows (three films, 80 segments), 5,000 features, 20,484 targets, 10 splits, ridge with nine
penalties. The cost of the bootstrap statistics is the difference between the runs with and without them.
"""

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from src.analysis import permutation
from src.analysis.bootstrap import bootstrap
from src.evaluate.cross_validate import Problem, cross_validate_problem
from src.evaluate.decoders import Ridge
from src.evaluate.layer_choice import Rule
from src.evaluate.protocol import GAP_MS, N_BOOTSTRAP, SEED, SEGMENT_MS
from src.evaluate.splits import segment_splits, segments
from src.tables import aligned
from src.utils import regular_bins


def cortex(n_rows: int, n_features: int, n_targets: int, n_layers: int, n_splits: int) -> Problem:
    """Return features with the eigenvalue decay of a network layer, and targets with a planted part, of three films."""
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((n_rows, 300), dtype=np.float32) / np.arange(1, 301, dtype=np.float32) ** 0.5
    layers = {
        f"layer{i}": latent @ rng.standard_normal((300, n_features), dtype=np.float32)
        + 0.3 * rng.standard_normal((n_rows, n_features), dtype=np.float32)
        for i in range(n_layers)
    }
    targets = latent @ rng.standard_normal((300, n_targets), dtype=np.float32)
    targets += 3 * rng.standard_normal(targets.shape, dtype=np.float32)
    stimulus = np.arange(n_rows) * 3 // n_rows
    lengths = np.bincount(stimulus)
    time_ms = np.concatenate([regular_bins(1000.0 * n, 1000.0) for n in lengths])
    return Problem(
        {name: lambda X=X: X for name, X in layers.items()},
        targets,
        segment_splits(stimulus, time_ms, segment_ms=SEGMENT_MS, gap_ms=GAP_MS, n_splits=n_splits),
        blocks=segments(stimulus, time_ms[:, 0], SEGMENT_MS),
        block_name="segments",
        stimulus=stimulus,
        shifted=np.ones(n_rows, bool),
    )


def timed(work: Callable) -> tuple[float, object]:
    """Return the core seconds of a call, which other processes do not affect, and its result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--features", type=int, default=5000)
    parser.add_argument("--targets", type=int, default=20484)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--permutations", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=1)
    given = parser.parse_args()
    made = cortex(given.rows, given.features, given.targets, given.layers, given.splits)
    bare = replace(made, blocks=None)
    decoder = Ridge(device=given.device)
    small = cortex(120, 60, 40, 1, 2)
    cross_validate_problem(small, decoder, "pearson")
    permutation.null([lambda: small], decoder, "pearson", 4)
    without, kept, resampling = [], [], []
    for _ in range(given.repeats):
        without.append(timed(lambda: cross_validate_problem(bare, decoder, "pearson"))[0])
        seconds, result = timed(lambda: cross_validate_problem(made, decoder, "pearson"))
        kept.append(seconds)
        best = Rule(nested=False).test({"valid": result.valid, "test": result.test})
        resampling.append(timed(lambda r=result, b=best: bootstrap(r.resampling, b, N_BOOTSTRAP, SEED))[0])
    one = replace(bare, layers=dict(list(made.layers.items())[:1]))
    single = timed(lambda: permutation.null([lambda: one], decoder, "pearson", given.permutations))[0]
    several = timed(lambda: permutation.null([lambda: bare], decoder, "pearson", given.permutations))[0]
    base, n = min(without), given.permutations
    rows = [
        [f"{given.layers} layers x {given.splits} splits", f"{base:.1f}", "1.00"],
        ["the same, with bootstrap statistics", f"{min(kept):.1f}", f"{min(kept) / base:.2f}"],
        [f"{N_BOOTSTRAP:,} bootstrap samples", f"{min(resampling):.1f}", f"{min(resampling) / base:.2f}"],
        [f"{n} permutations, 1 layer", f"{single:.1f}", f"{single / base:.2f}"],
        [f"{n} permutations, {given.layers} layers", f"{several:.1f}", f"{several / base:.2f}"],
    ]
    print(f"{given.rows} rows x {given.features} features x {given.targets} targets on {given.device}")
    print(aligned(["work", "core s", "of the run"], rows))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
