"""Leakage between training and test segments of films: scores on noise and on signal for each layout and gap.

    python -m benchmarks.leak [--repeats 8]

Features and targets are independent first-order autoregressive series (0.7 per second), both convolved with the HRF; in
the planted case targets are a random map of the features plus noise of the same variance. Mean r over targets, splits
and repeats; see PROTOCOL.md, fMRI.
"""

import argparse

import numpy as np
from scipy.signal import lfilter

from src.evaluate import hrf
from src.evaluate.cross_validate import cross_validate
from src.evaluate.decoders import Ridge
from src.evaluate.protocol import SEGMENT_MS
from src.evaluate.splits import segment_splits
from src.tables import aligned
from src.utils import regular_bins

FILMS_S = {"1 film, 478 s": [478], "3 films, 1,467 s": [478, 389, 600], "8 films, 4,267 s": [478, 389, *[600] * 5, 400]}
LAYOUTS = {
    "scattered, no gap": ("scattered", 0.0),
    "scattered, 10 s gap": ("scattered", 10.0),
    "runs, no gap": ("runs", 0.0),
    "runs, 10 s gap": ("runs", 10.0),
    "tiled runs, 10 s gap (default)": ("tiled", 10.0),
}
N_FEATURES, N_TARGETS = 200, 60


def series(n: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return autoregressive noise convolved with the HRF: (n, width)."""
    return hrf.convolve(lfilter([1.0], [1.0, -0.7], rng.standard_normal((n, width)), axis=0), 1000.0)


def standardised(values: np.ndarray) -> np.ndarray:
    """Return columns of mean 0 and deviation 1."""
    return (values - values.mean(axis=0)) / values.std(axis=0)


def simulate(lengths_s: list[int], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features, noise targets and planted targets of some films: (n_rows, width) each."""
    rng = np.random.default_rng(seed)
    films = [(series(n, N_FEATURES, rng), series(n, N_TARGETS, rng)) for n in lengths_s]
    X, noise = (np.concatenate(part) for part in zip(*films, strict=True))
    signal = X @ rng.standard_normal((N_FEATURES, N_TARGETS))
    return X, standardised(noise), standardised(signal) + standardised(noise)


def measure(lengths_s: list[int], layout: str, gap_s: float, repeats: int) -> tuple[float, float, float]:
    """Return the mean test r on noise and on planted signal, and the share of training rows."""
    stimulus = np.repeat(np.arange(len(lengths_s)), lengths_s)
    time_ms = np.concatenate([regular_bins(1000.0 * n, 1000.0) for n in lengths_s])
    scores, kept = [], []
    for seed in range(repeats):
        X, noise, planted = simulate(lengths_s, seed)
        options = {"segment_ms": SEGMENT_MS, "gap_ms": 1000.0 * gap_s, "layout": layout, "seed": seed}
        splits = segment_splits(stimulus, time_ms, **options)
        result = cross_validate({"x": lambda X=X: X}, np.hstack([noise, planted]), splits, Ridge(), "pearson")
        scores.append([np.nanmean(part) for part in np.split(result.test[0], 2)])
        kept.append(np.mean([len(split.train) for split in splits]) / len(stimulus))
    return *np.mean(scores, axis=0), float(np.mean(kept))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=8)
    repeats = parser.parse_args().repeats
    rows = [
        [name, *("{:.3f} / {:.2f} / {:.2f}".format(*measure(films, *layout, repeats)) for films in FILMS_S.values())]
        for name, layout in LAYOUTS.items()
    ]
    print("r on noise / r on signal / share of training rows")
    print(aligned(["held-out film", *FILMS_S], rows))


if __name__ == "__main__":
    main()
