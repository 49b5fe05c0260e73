"""What trust costs: the bootstrap's share of a run, and permutations of a whole-cortex score.

    python -m benchmarks.permutation [--device cuda] [--layers 3] [--permutations 1000] [--rows 1200]

Whole cortex: 1,200 rows (three films, 80 segments), 5,000 features, 20,484 targets, 10 splits, ridge with nine
penalties. The bootstrap's cost is the difference of the same run with and without; permutations of a part are timed and
scaled where asked for fewer than 1,000.
"""

import argparse
import resource
import time

import numpy as np

from src.analysis import permutation
from src.analysis.bootstrap import bootstrap
from src.cli.table import aligned
from src.evaluate.cross_validate import Problem, cross_validate_problem
from src.evaluate.decoders import Ridge
from src.evaluate.splits import segment_splits, segments
from src.utils import regular_bins


def cortex(n_rows: int, n_features: int, n_targets: int, n_layers: int, n_splits: int) -> Problem:
    """Features whose spectrum falls like a network layer's, targets with a planted part and noise, three films."""
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
        segment_splits(stimulus, time_ms, clip_ms=15000.0, gap_ms=10000.0, n_splits=n_splits),
        units=segments(stimulus, time_ms[:, 0], 15000.0),
        unit="segments",
        stimulus=stimulus,
        rolled=np.ones(n_rows, bool),
    )


def timed(work) -> tuple[float, object]:
    """(core seconds, result) of a call: what other work on the machine takes does not count."""
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
    bare = permutation.replace(made, units=None)
    decoder = Ridge(device=given.device)
    small = cortex(120, 60, 40, 1, 2)
    cross_validate_problem(small, decoder, "pearson")
    permutation.null([lambda: small], decoder, "pearson", 4)
    without, kept, drawing = [], [], []
    for _ in range(given.repeats):
        without.append(timed(lambda: cross_validate_problem(bare, decoder, "pearson"))[0])
        seconds, result = timed(lambda: cross_validate_problem(made, decoder, "pearson"))
        kept.append(seconds)
        best = result.test[result.resampling.layer]
        drawing.append(timed(lambda r=result, b=best: bootstrap(r.resampling, b, 1000, 0))[0])
    one = permutation.replace(bare, layers=dict(list(made.layers.items())[:1]))
    single = timed(lambda: permutation.null([lambda: one], decoder, "pearson", given.permutations))[0]
    several = timed(lambda: permutation.null([lambda: bare], decoder, "pearson", given.permutations))[0]
    base, n = min(without), given.permutations
    rows = [
        [f"{given.layers} layers x {given.splits} splits", f"{base:.1f}", "1.00"],
        ["the same, sums kept", f"{min(kept):.1f}", f"{min(kept) / base:.2f}"],
        ["1,000 bootstrap draws", f"{min(drawing):.1f}", f"{min(drawing) / base:.2f}"],
        [f"{n} permutations, 1 layer", f"{single:.1f}", f"{single / base:.2f}"],
        [f"{n} permutations, {given.layers} layers", f"{several:.1f}", f"{several / base:.2f}"],
    ]
    print(f"{given.rows} rows x {given.features} features x {given.targets} targets on {given.device}")
    print(aligned(["work", "core s", "of the run"], rows))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
