"""Score of a perfect model divided by the noise ceiling, for several rules of the ceiling; right is 1.

    python -m benchmarks.ceiling [--repeats 20] [--units 200]

The model predicts the noiseless signal. Signals of films are first-order autoregressive series (0.7 per second)
convolved with the HRF, noise of each repetition is half such a series (0.5) and half white noise; clips have one value
each. Runs are high-passed and z-scored, test windows are ten contiguous stretches (clips: ten random groups).
Reliability of the mean: "mixed", 30 % of the units without signal, others .05 to .95; "weak", 50 % without, .1 to .55;
"cortex", 50 % without, a beta distribution (1, 3). Rules:

all rows    split-half over all rows, units masked by it: the published design with random halves
windows     split-half within the test windows, units masked by it
crossed     the default: half of the windows select the units, the others give score and ceiling, and exchanged

Beside them: share of units without signal at p < .05, share of such units among the significant ones (FDR .05), and the
standard deviation of a unit's ceiling over repeats divided by its mean standard error (fixed units).
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.signal import lfilter
from scipy.stats import norm

from src.ceiling import Ceiling, Recording, normalised, repetition_mean, split_half, window_split_half
from src.evaluate import hrf, runs
from src.evaluate.align import recorded_rows
from src.evaluate.metrics import pearson
from src.records import Responses, Stimuli
from src.tables import aligned
from src.utils import regular_bins

DESIGNS = {"one film, 478 s": [478], "three films, 1,467 s": [478, 389, 600], "200 clips": [1] * 200}
RELIABILITIES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "mixed": lambda rng, n: np.where(rng.random(n) < 0.3, 0, rng.uniform(0.05, 0.95, n)),
    "weak": lambda rng, n: np.where(rng.random(n) < 0.5, 0, rng.uniform(0.1, 0.55, n)),
    "cortex": lambda rng, n: np.where(rng.random(n) < 0.5, 0, rng.beta(1, 3, n)),
}
REPETITIONS = (2, 3, 4, 8)


def series(rng: np.random.Generator, n: int, width: int, persistence: float) -> np.ndarray:
    """Return autoregressive noise convolved with the HRF, of deviation 1: (n, width); white noise for n = 1."""
    if n == 1:
        return rng.standard_normal((1, width))
    made = lfilter([1.0], [1.0, -persistence], rng.standard_normal((n + 60, width)), axis=0)
    made = hrf.convolve(made, 1000.0)[60:]
    return made / made.std(axis=0)


def world(
    rng: np.random.Generator, lengths_s: list[int], n_repetitions: int, reliability: np.ndarray
) -> tuple[Responses, np.ndarray]:
    """Return responses whose mean has this reliability per unit, and the signal (n_stimuli, n_time, n_units)."""
    width, n_time = len(reliability), max(lengths_s)
    signal = np.full((len(lengths_s), n_time, width), np.nan)
    noise = np.full((len(lengths_s), n_repetitions, n_time, width), np.nan)
    for k, n in enumerate(lengths_s):
        signal[k, :n] = series(rng, n, width, 0.7) * (reliability > 0)
        for repetition in range(n_repetitions):
            white = rng.standard_normal((n, width))
            noise[k, repetition, :n] = np.sqrt(0.5) * (series(rng, n, width, 0.5) + white)
    scale = np.sqrt(n_repetitions * (1 / np.maximum(reliability, 1e-9) - 1))
    values = signal[:, None] + np.where(reliability > 0, scale, 1.0) * noise
    here = Path(__file__)
    names, n = tuple(f"stimulus-{k}" for k in range(len(lengths_s))), len(lengths_s)
    stimuli = Stimuli("simulated", names, (here,) * n, 1000.0 * np.array(lengths_s), ("video",) * n)
    units = {"unit_id": np.arange(width).astype(str)}
    subjects = tuple(f"subject-{k}" for k in range(n_repetitions))
    return Responses(stimuli, values.astype(np.float32), regular_bins(1000.0 * n_time, 1000.0), units, subjects), signal


def measure(responses: Responses, signal: np.ndarray, rng: np.random.Generator) -> tuple[Ceiling, Ceiling, np.ndarray]:
    """Return the ceilings over all rows and over windows, and the perfect model's score (n_units, n_windows)."""
    films = len(responses.time_ms) > 1
    responses = runs.standardised(responses, films=films)
    targets = repetition_mean(responses.values)
    rows = recorded_rows(targets, np.full(len(targets), targets.shape[1]))
    if films:
        recorded = np.where(np.isfinite(targets), signal, np.nan)
        signal = np.stack([runs.high_pass(film, 1.0) for film in recorded])
    model = rows.take(signal)
    windows = np.array_split(np.arange(len(rows)) if films else rng.permutation(len(rows)), 10)
    recording = Recording(responses.values, responses.subjects, rows.stimulus, rows.bin)
    test = np.stack([pearson(model[w], rows.take(targets)[w]) for w in windows], axis=1)
    everywhere = split_half(responses.values, responses.subjects, n_splits=10, seed=0)
    # a model without variance, for units without signal, scores 0
    return everywhere, window_split_half([recording], windows, seed=0), np.nan_to_num(test)


def masked_ratio(test: np.ndarray, ceiling: Ceiling) -> float:
    """Return the median over units that are not masked of mean score / ceiling."""
    return float(normalised(test, np.where(ceiling.masked, np.nan, ceiling.best_r)[:, None]))


def row(lengths_s: list[int], kind: str, n_repetitions: int, repeats: int, n_units: int) -> list[str]:
    """Return the cells of one row of the table."""
    ratios, false, discovered, ceilings, errors = [], [], [], [], []
    fixed = RELIABILITIES[kind](np.random.default_rng(0), n_units)
    for seed in range(repeats):
        rng = np.random.default_rng([1, seed])
        everywhere, found, test = measure(*world(rng, lengths_s, n_repetitions, fixed), rng)
        ratios.append(
            [masked_ratio(test, everywhere), masked_ratio(test, found), float(normalised(test, found.crossed))]
        )
        z = np.arctanh(found.raw.mean(axis=0)) * np.sqrt(np.maximum(found.n_independent - 3, 0))
        false.append(np.mean(norm.sf(z[fixed == 0]) < 0.05))
        discovered.append(np.mean(fixed[found.significant] == 0) if found.significant.any() else 0.0)
        ceilings.append(found.best_r[fixed > 0.4])
        errors.append(found.best_r_error[fixed > 0.4])
    spread, mean_error = np.nanstd(ceilings, axis=0, ddof=1), np.nanmean(errors, axis=0)
    error = np.std(ratios, axis=0, ddof=1) / np.sqrt(repeats)
    return [
        *(f"{m:.3f} +- {e:.3f}" for m, e in zip(np.mean(ratios, axis=0), error, strict=True)),
        f"{np.mean(false):.3f}",
        f"{np.mean(discovered):.3f}",
        f"{np.median(spread / mean_error):.2f}",
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--units", type=int, default=200)
    arguments = parser.parse_args()
    rows = [
        [design, kind, str(n), *row(lengths_s, kind, n, arguments.repeats, arguments.units)]
        for design, lengths_s in DESIGNS.items()
        for kind in RELIABILITIES
        for n in REPETITIONS
    ]
    header = ["stimuli", "units", "repetitions", "all rows", "windows", "crossed", "p < .05", "false", "sd / error"]
    print(aligned(header, rows))


if __name__ == "__main__":
    main()
