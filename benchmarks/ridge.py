"""Ridge regression: time and memory of this package, scikit-learn and himalaya on the same arrays, in one process.

    python -m benchmarks.ridge [--quick] [--sizes N,P,T ...] [--whole-run] [--device cuda]

scikit-learn as in the published design (StandardScaler and RidgeCV in float64). Peak memory is that of a forked child
on top of the shared arrays; time is the median of interleaved repeats.
"""

import argparse
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from src.evaluate.protocol import ALPHAS
from src.tables import markdown

SIZES = ((960, 5000, 20484), (240, 5000, 168), (3000, 1000, 20484))
QUICK_SIZES = ((240, 1250, 5000), (240, 5000, 168), (750, 250, 5000))
WHOLE_RUN = (3, 10)
WARM = (48, 60, 70)
NOISE = 3.0
MIB = 2**20


@dataclass(frozen=True)
class Data:
    """Layers (n_rows, n_features) and targets (n_rows, n_targets) of one problem, in float32 and in float64."""

    layers: list[np.ndarray]
    targets: np.ndarray
    layers64: list[np.ndarray]
    targets64: np.ndarray
    splits: list


@dataclass(frozen=True)
class Outcome:
    """Test r (n_layers, n_targets, n_splits) and the penalties chosen."""

    r: np.ndarray
    alphas: np.ndarray


def make_data(size: tuple[int, int, int], n_layers: int, n_splits: int) -> Data:
    """Return features with the eigenvalue decay of a network layer, partly planted targets and 80/10/10 splits."""
    from src.evaluate.cross_validate import Split

    n_train, n_features, n_targets = size
    n_rows = round(n_train / 0.8)
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((n_rows, 300), dtype=np.float32) / np.arange(1, 301, dtype=np.float32) ** 0.5
    layers = []
    for _ in range(n_layers):
        mixing = rng.standard_normal((300, n_features), dtype=np.float32)
        layers.append(latent @ mixing + 0.3 * rng.standard_normal((n_rows, n_features), dtype=np.float32))
    targets = latent @ rng.standard_normal((300, n_targets), dtype=np.float32)
    targets += NOISE * rng.standard_normal(targets.shape, dtype=np.float32)
    edges = [n_train, n_train + (n_rows - n_train) // 2]
    splits = [Split(*np.split(rng.permutation(n_rows), edges)) for _ in range(n_splits)]
    return Data(layers, targets, [X.astype(np.float64) for X in layers], targets.astype(np.float64), splits)


def ours(data: Data, device: str, penalty: str = "rows", per_target: bool = False) -> Outcome:
    """Cross-validate with this package's ridge regression."""
    from src.evaluate.cross_validate import cross_validate
    from src.evaluate.decoders import Ridge

    layers = {str(i): lambda X=X: X for i, X in enumerate(data.layers)}
    decoder = Ridge(ALPHAS, penalty, per_target, device=device)
    result = cross_validate(layers, data.targets, data.splits, decoder, "pearson")
    return Outcome(result.test, result.alphas)


def default(data: Data, device: str) -> Outcome:
    """Cross-validate as the default protocol does: penalty and layer by blocks of 150 rows, left out with a gap of 30.

    The rows of this benchmark are in random order, so that only its time can be compared. No rows but the test rows are
    held out, as in the default protocol.
    """
    from src.evaluate.cross_validate import Rule, cross_validate
    from src.evaluate.decoders import Ridge
    from src.evaluate.protocol import Protocol
    from src.evaluate.splits import penalty_blocks
    from src.utils import regular_bins

    n = len(data.targets)
    left_out = penalty_blocks(np.zeros(n, int), regular_bins(1000.0 * n, 1000.0), Protocol())
    splits = [replace(split, valid=split.valid[:0]) for split in data.splits]
    layers = {str(i): lambda X=X: X for i, X in enumerate(data.layers)}
    decoder = Ridge(penalty="blocks", scaled=True, device=device)
    options = {"left_out": left_out, "rule": Rule(headline="per target")}
    result = cross_validate(layers, data.targets, splits, decoder, "pearson", **options)
    return Outcome(result.test, result.alphas)


def refit(data: Data, make: Callable, dtype: str) -> Outcome:
    """Fit and score each layer and split anew, as the published design does."""
    from src.evaluate.metrics import pearson

    layers, targets = (data.layers64, data.targets64) if dtype == "float64" else (data.layers, data.targets)
    r = np.empty((len(layers), targets.shape[1], len(data.splits)))
    alphas = []
    for i, X in enumerate(layers):
        for k, split in enumerate(data.splits):
            model = make().fit(X[split.train], targets[split.train])
            held = np.concatenate([split.valid, split.test])
            predicted = np.asarray(model.predict(X[held]))
            pearson(predicted[: len(split.valid)], targets[split.valid])
            r[i, :, k] = pearson(predicted[len(split.valid) :], targets[split.test])
            last = model[-1]
            alphas.append(np.asarray(last.alpha_ if hasattr(last, "alpha_") else last.best_alphas_))
    return Outcome(r, np.array(alphas))


def sklearn_pipeline():
    """Return the published pipeline of scikit-learn."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), RidgeCV(ALPHAS))


def himalaya_pipeline(n_train: int, n_features: int, backend: str):
    """Return himalaya's pipeline, in the dual form if there are no more rows than features."""
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import KernelRidgeCV
    from himalaya.ridge import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    set_backend(backend)
    if n_train > n_features:
        return make_pipeline(StandardScaler(), RidgeCV(alphas=ALPHAS, cv=5))
    return make_pipeline(StandardScaler(), KernelRidgeCV(alphas=ALPHAS, kernel="linear", cv=5))


def solvers(size: tuple[int, int, int], device: str) -> dict[str, Callable[[Data], Outcome]]:
    """Return {name: data -> outcome}; the first is the reference of the comparison."""

    def himalaya(backend: str) -> Callable[[Data], Outcome]:
        return lambda data: refit(data, lambda: himalaya_pipeline(size[0], size[1], backend), "float32")

    return {
        "scikit-learn": lambda data: refit(data, sklearn_pipeline, "float64"),
        "ours": lambda data: ours(data, device),
        "himalaya": himalaya("numpy"),
        "himalaya torch": himalaya("torch_cuda" if device == "cuda" else "torch"),
        "ours per target": lambda data: ours(data, device, "gcv", per_target=True),
        "default protocol": lambda data: default(data, device),
    }


def peak_bytes(run: Callable[[Data], Outcome], warm: Data, data: Data) -> int:
    """Return the additional memory of `run(data)` in a forked child of this process, after a small run."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(run, warm, data, sender))
    child.start()
    sender.close()
    peak = receiver.recv()
    child.join()
    return peak


def _measure(run: Callable[[Data], Outcome], warm: Data, data: Data, sender) -> None:
    """Send the peak memory of `run(data)` above that after `run(warm)`."""
    warnings.simplefilter("ignore")
    run(warm)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    run(data)
    sender.send(_status("VmHWM") - before)


def _status(field: str) -> int:
    """Return a field of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def peaks_of(size, device: str, names: Sequence[str]) -> dict[str, int]:
    """Return the peak memory of each solver at one size; called before any thread starts, since it forks."""
    data, warm = make_data(size, 1, 1), make_data(WARM, 1, 1)
    return {name: peak_bytes(run, warm, data) for name, run in solvers(size, device).items() if name in names}


def compare(title: str, size, shape, device: str, repeats: int, names: Sequence[str], peaks) -> list[list[str]]:
    """Return the rows of the table for one size."""
    data, warm = make_data(size, *shape), make_data(WARM, 1, 1)
    runs = {name: run for name, run in solvers(size, device).items() if name in names}
    times: dict[str, list[float]] = {name: [] for name in runs}
    outcomes = {}
    for run in runs.values():
        run(warm)
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            outcomes[name] = run(data)
            times[name].append(time.perf_counter() - start)
    return [_row(title, name, times, peaks, outcomes) for name in runs]


def _row(title: str, name: str, times, peaks, outcomes) -> list[str]:
    """Return the row of one solver."""
    base = next(iter(times))
    median = {n: statistics.median(t) for n, t in times.items()}
    per_target = "himalaya" in name or "per target" in name
    difference = np.abs(outcomes[name].r - outcomes[base].r).max()
    against = "himalaya" if per_target and "himalaya" in median else base
    return [
        title,
        name,
        f"{median[name]:.3f}",
        f"{min(times[name]):.3f}-{max(times[name]):.3f}",
        f"{median[base] / median[name]:.1f}",
        f"{median[against] / median[name]:.1f}" if per_target else "",
        f"{peaks[name] / MIB:.0f}" if peaks else "",
        f"{outcomes[name].r.mean():.4f}",
        "" if per_target else f"{difference:.1e}",
        ""
        if per_target
        else ("same" if np.array_equal(outcomes[name].alphas.ravel(), outcomes[base].alphas.ravel()) else "differ"),
    ]


HEADER = [
    "problem",
    "solver",
    "median s",
    "range s",
    "x scikit-learn",
    "x himalaya",
    "peak MiB",
    "mean r",
    "max |dr|",
    "alphas",
]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, 2 repeats")
    parser.add_argument("--sizes", nargs="+", metavar="N,P,T", help="rows to train on, features, targets")
    parser.add_argument("--whole-run", action="store_true", help="also 3 layers x 10 splits of the first size")
    parser.add_argument("--repeats", type=int, default=0)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--no-memory", action="store_true", help="time only")
    parser.add_argument("--solvers", nargs="+", default=list(solvers((1, 1, 1), "cpu")))
    parser.add_argument("--output", type=Path, help="append the table to this file")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    sizes = (
        [tuple(map(int, s.split(","))) for s in given.sizes] if given.sizes else QUICK_SIZES if given.quick else SIZES
    )
    repeats = given.repeats or (2 if given.quick else 3)
    peaks = {}
    if not given.no_memory and given.device == "cpu":
        peaks = {size: peaks_of(size, given.device, given.solvers) for size in sizes}
    rows = []
    for size in sizes:
        title = " x ".join(map(str, size))
        rows += compare(title, size, (1, 1), given.device, repeats, given.solvers, peaks.get(size))
        print(markdown(HEADER, rows), flush=True)
    if given.whole_run:
        title = f"{WHOLE_RUN[0]} layers x {WHOLE_RUN[1]} splits"
        rows += compare(title, sizes[0], WHOLE_RUN, given.device, 1, given.solvers, None)
        print(markdown(HEADER, rows), flush=True)
    if given.output:
        with given.output.open("a") as file:
            file.write(markdown(HEADER, rows) + "\n")


if __name__ == "__main__":
    main()
