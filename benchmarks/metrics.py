"""Cost of several metrics from one fit, as a multiple of the cost of one: `--metric pearson r2 normalised_r`.

    python -m benchmarks.metrics [--size 480,2000,2000] [--layers 15] [--splits 10] [--repeats 3]

From activations in memory to scores with intervals (1,000 bootstrap samples), ridge regression with nested choices as
in the default protocol. Core time and wall time, medians of interleaved repeats; the bar is 1.3 for three metrics.
"""

import argparse
import time
from collections.abc import Sequence
from statistics import median

import numpy as np

from src.ceiling import Recording
from src.evaluate import similarity
from src.evaluate.cross_validate import Problem
from src.evaluate.decoders import Ridge
from src.evaluate.layer_choice import PER_TARGET, Rule
from src.evaluate.metrics import METRICS, SimilarityMetric
from src.evaluate.protocol import GAP_MS, SEGMENT_MS, Protocol
from src.evaluate.splits import penalty_blocks, segment_splits, segments
from src.pipeline.uncertainty import in_units_of_ceiling, interval_arrays
from src.tables import aligned
from src.utils import regular_bins

BAR = 1.3
ONE = ("pearson",)
SETS = (
    ("pearson", "r2", "normalised_r"),
    ("pearson", "rsa", "cka"),
    ("pearson", "versa", "rsa_whitened"),
)
RULE = Rule(True, PER_TARGET)


def problem(n_rows: int, n_features: int, n_targets: int, n_layers: int, n_splits: int) -> Problem:
    """Return a regression of one film on layers of noise, of which the first drives all targets."""
    rng = np.random.default_rng(0)
    layers = [rng.standard_normal((n_rows, n_features), dtype=np.float32) for _ in range(n_layers)]
    targets = layers[0][:, :50] @ rng.standard_normal((50, n_targets), dtype=np.float32)
    targets = targets + 7 * rng.standard_normal(targets.shape, dtype=np.float32)
    stimulus, time_ms = np.zeros(n_rows, dtype=int), regular_bins(1000.0 * n_rows, 1000.0)
    options = {"segment_ms": SEGMENT_MS, "gap_ms": GAP_MS, "layout": "tiled", "n_splits": n_splits}
    return Problem(
        {f"layer{i}": lambda X=X: X for i, X in enumerate(layers)},
        targets,
        segment_splits(stimulus, time_ms, **options),
        blocks=segments(stimulus, time_ms[:, 0], SEGMENT_MS),
        block_name="segments",
        left_out=penalty_blocks(stimulus, time_ms, Protocol()),
        stimulus=stimulus,
        shifted=np.ones(n_rows, bool),
        time_ms=time_ms[:, 0],
        gap_ms=GAP_MS,
    )


def scored(made: Problem, metrics: Sequence[str], n_regions: int = 20) -> None:
    """Compute the scores by metrics and their intervals, as a benchmark does."""
    columns = np.array_split(np.arange(made.targets.shape[1]), n_regions)
    regions = {f"region-{i}": part for i, part in enumerate(columns)}
    fitted = list(dict.fromkeys(METRICS[name].base or name for name in metrics))
    halves = (made.targets + np.random.default_rng(1).standard_normal((2, *made.targets.shape))).astype(np.float32)
    recording = Recording(halves[None], "ab", made.stimulus, np.arange(len(halves[0])))
    compared = similarity.scorer(made, fitted, regions, RULE, recordings=[recording])
    options = {"groups": regions, "rule": RULE, "missing": "units"}
    found = similarity.fitted(compared, made, Ridge(penalty="blocks", scaled=True), fitted, **options)
    evaluations = {} if compared is None else compared.evaluations({}, True)
    intervals: dict[str, dict] = {}
    for name in metrics:
        metric = METRICS[name]
        is_similarity = isinstance(metric, SimilarityMetric)
        result = evaluations[name] if is_similarity else found[metric.base or name]
        arrays = {"valid": result.valid, "test": result.test, "layer_choice": RULE.to_array()}
        arrays["ceiling"] = np.full(result.test.shape[1], 0.8)
        if not is_similarity:
            arrays["target_region"] = np.repeat(list(regions), list(map(len, columns)))
        own = metric.base or name
        if own not in intervals:
            intervals[own] = interval_arrays(result.resampling, arrays, 1000, 0, own)
        arrays |= intervals[own]
        if metric.base:
            in_units_of_ceiling(arrays)


def main() -> None:
    """Print the cost of each set of metrics."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--size", default="480,2000,2000", help="rows, features, targets")
    parser.add_argument("--layers", type=int, default=15)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    made = problem(*map(int, options.size.split(",")), options.layers, options.splits)
    times: dict[tuple[str, ...], list[tuple[float, float]]] = {metrics: [] for metrics in (ONE, *SETS)}
    scored(problem(200, 60, 40, 1, 3), ("pearson", "rsa"))
    for _ in range(options.repeats):
        for metrics, runs in times.items():
            wall, core = time.perf_counter(), time.process_time()
            scored(made, metrics)
            runs.append((time.process_time() - core, time.perf_counter() - wall))
    base = [median(run[i] for run in times[ONE]) for i in (0, 1)]
    rows = []
    for metrics, runs in times.items():
        core, wall = (median(run[i] for run in runs) for i in (0, 1))
        ratio = core / base[0]
        kept = "" if metrics == ONE else "met" if ratio <= BAR else "missed"
        rows.append([" ".join(metrics), f"{core:.2f}", f"{wall:.2f}", f"{ratio:.2f}", f"{wall / base[1]:.2f}", kept])
    print(aligned(["metrics", "core s", "wall s", "x one (core)", "x one (wall)", f"bar {BAR}"], rows))


if __name__ == "__main__":
    main()
