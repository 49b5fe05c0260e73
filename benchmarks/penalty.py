"""Choice of the ridge penalty: r on new film with the penalty of each criterion, over worlds of features and noise.

    python -m benchmarks.penalty [--repeats 6]

Features have the eigenvalue decay of a network layer, k^-1 for direction k; responses follow the first directions of
them plus noise. Series of features and noise are autoregressive, and convolved with the HRF unless white. Models are
fitted on the training film and tested on 10,000 s of another film, so that the best alpha is that of the fit, not of
the noise of the test. "rows": scikit-learn's RidgeCV, absolute alphas 1e-4 to 1e4; "rows, scaled": the same criterion
with alphas times trace(K) / n; "segments": segments of 15 s left out with the gap of 10 s of the splits; "blocks": the
default, blocks of 150 s left out with a gap of 30 s; both: of the alphas whose mean r² is within one standard error of
the highest, that of least squared error, scaled alphas; "folds": himalaya's RidgeCV with five contiguous folds, one
alpha for all targets, scaled alphas; "best": the alpha of the scaled grid with the highest r on the new film. Mean over
targets and repeats.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from src.evaluate import hrf
from src.evaluate.decoders import Ridge
from src.evaluate.protocol import GAP_MS, SCALED_ALPHAS, SEGMENT_MS, Protocol
from src.evaluate.splits import left_out_blocks, penalty_blocks
from src.tables import aligned
from src.utils import regular_bins

N_TEST, N_TARGETS = 10_000, 60


@dataclass(frozen=True)
class World:
    """Number of rows and features; memory of features and noise per second (None: white noise); directions of the
    features that drive responses; deviation of the signal over that of the noise."""

    n_rows: int = 600
    n_features: int = 2000
    memory: float = 0.7
    noise: float | None = 0.7
    n_directions: int = 50
    signal: float = 0.5


WORLDS = {
    "600 rows": World(),
    "600 rows, weak": World(signal=0.2),
    "600 rows, strong": World(signal=2.0),
    "1,500 rows": World(n_rows=1500),
    "1,500 rows, weak": World(n_rows=1500, signal=0.2),
    "slow features": World(memory=0.95),
    "slow noise": World(noise=0.95),
    "white noise": World(noise=None),
    "100 features": World(n_features=100),
    "all directions": World(n_directions=1000, signal=1.0),
}


def series(n: int, width: int, memory: float | None, rng: np.random.Generator) -> np.ndarray:
    """Return autoregressive noise convolved with the HRF, or white noise, of deviation 1: (n, width)."""
    values = rng.standard_normal((n, width))
    if memory is not None:
        values = hrf.convolve(lfilter([1.0], [1.0, -memory], values, axis=0), 1000.0, "spm")
    return values / values.std(axis=0)


def simulate(world: World, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return features and responses of the training film and of the new film."""
    rng = np.random.default_rng(seed)
    k = min(world.n_features, 1000)
    decay = np.arange(1, k + 1) ** -0.5
    mixing = rng.standard_normal((k, world.n_features)) * decay[:, None]
    used = min(world.n_directions, k)
    mapping = rng.standard_normal((used, N_TARGETS)) / np.sqrt(used)
    features, responses = [], []
    for n in (world.n_rows, N_TEST):
        latent = series(n, k, world.memory, rng)
        features.append((latent @ mixing).astype(np.float32))
        responses.append(world.signal * latent[:, :used] @ mapping + series(n, N_TARGETS, world.noise, rng))
    return features, responses


def r_of(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the mean over targets of Pearson's r."""
    x, y = (values - values.mean(axis=0) for values in (predicted, true))
    return float(np.mean((x * y).sum(axis=0) / np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0))))


def folds(X: np.ndarray, Y: np.ndarray) -> float:
    """Return the alpha of himalaya's RidgeCV with contiguous folds, a value of the grid."""
    from himalaya.ridge import RidgeCV
    from sklearn.model_selection import KFold
    from sklearn.preprocessing import StandardScaler

    Z = StandardScaler().fit_transform(X.astype(np.float64))
    grid = np.array(SCALED_ALPHAS) * X.shape[1]
    model = RidgeCV(grid, cv=KFold(5), solver_params={"local_alpha": False}).fit(Z, Y - Y.mean(axis=0))
    return float(np.atleast_1d(model.best_alphas_)[0] / X.shape[1])


def measure(world: World, seed: int) -> list[float]:
    """Return r on the new film of each criterion, and the best possible."""
    (X, X_new), (Y, Y_new) = simulate(world, seed)
    time_ms = regular_bins(1000.0 * len(X), 1000.0)
    film = np.zeros(len(X), int)
    segments, blocks = left_out_blocks(film, time_ms, SEGMENT_MS, GAP_MS), penalty_blocks(film, time_ms, Protocol())
    fits = [
        Ridge().fit(X, Y),
        Ridge(scaled=True).fit(X, Y),
        *(Ridge(penalty="blocks", scaled=True).fit(X, Y, left_out=left_out) for left_out in (segments, blocks)),
        Ridge([folds(X, Y)], scaled=True).fit(X, Y),
    ]
    found = [r_of(fit.predict(X_new), Y_new) for fit in fits]
    return [*found, max(r_of(Ridge([alpha], scaled=True).fit(X, Y).predict(X_new), Y_new) for alpha in SCALED_ALPHAS)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=6)
    repeats = parser.parse_args().repeats
    rows, means = [], []
    for name, world in WORLDS.items():
        mean = np.mean([measure(world, seed) for seed in range(repeats)], axis=0)
        means.append(mean)
        rows.append([name, *(f"{r:.3f}" for r in mean), f"{mean[3] / mean[5]:.3f}", f"{mean[3] - mean[0]:+.3f}"])
        print(*rows[-1], sep="  ", flush=True)
    mean = np.mean(means, axis=0)
    share = np.mean([m[3] / m[5] for m in means])
    rows.append(["mean", *(f"{r:.3f}" for r in mean), f"{share:.3f}", f"{mean[3] - mean[0]:+.3f}"])
    names = ("rows", "rows, scaled", "segments", "blocks", "folds", "best", "blocks / best", "blocks - rows")
    print(aligned(["world", *names], rows))


if __name__ == "__main__":
    main()
