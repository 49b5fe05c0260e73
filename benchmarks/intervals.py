"""Coverage of the bootstrap interval and level of the paired test, on simulated recordings with known truth.

    python -m benchmarks.intervals [--repeats 200] [--data "1 film"] [--worlds noise strong] [--block 15] [--run 2]

Two models predict 30 units by ridge regression with a fixed penalty; ten contiguous stretches tile the rows, training
rows nearer than the gap are left out. Features and noise of films are first-order autoregressive series convolved with
the HRF; rows of clips are independent. The two models carry equal information, except in the world "unequal", so that
their scores have the same expectation. A score is the median over units of the mean r over splits. The truth is the
mean score over all repeats of a world, each with new films and noise and the same map from features to units. Blocks of
films are sampled in runs of neighbours, clips one by one.

Each rule turns bootstrap replicates into draws. Printed: share of 95 % intervals that contain the truth, of the score
and of single units; share of paired comparisons with p < .05, of the score and of single units; share of draws above 1.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.signal import lfilter

from src.analysis.bootstrap import recentre, sample_counts, tails, training_factor
from src.evaluate import hrf
from src.evaluate.bootstrap_statistics import BlockSums, BootstrapStatistics, widening
from src.evaluate.decoders.base import Split
from src.evaluate.fmri import SEGMENT_RUN
from src.evaluate.metrics import METRICS
from src.evaluate.metrics.base import FISHER
from src.evaluate.protocol import GAP_MS, SEGMENT_MS
from src.evaluate.sample_medians import sample_medians
from src.evaluate.splits import segments
from src.tables import aligned

DATA = {"1 film": (478,), "3 films": (478, 389, 600), "clips": ()}  # durations in s; no film: clips
N_CLIPS, N_UNITS, N_SPLITS, N_SAMPLES = 200, 30, 10, 400
SHOWN = 8  # units whose own intervals are counted
NOISE_MEMORY = 0.7  # autoregression of the noise, per second


@dataclass(frozen=True)
class World:
    """Features of two models and responses.

    signal: deviation of the predictable part, in those of the noise, on average over units; shared: share of the
    noise's variance that is common to all units; noise: deviation of what each model's features add to the common ones;
    parts: the models see different features, of equal weight in the responses; memory: autoregression of the features
    per second; alpha: ridge penalty times the number of features.
    """

    signal: float = 1.0
    shared: float = 0.5
    noise: tuple[float, float] = (0.7, 0.7)
    parts: bool = False
    memory: float = 0.7
    n_features: int = 50
    alpha: float = 0.1


WORLDS = {
    "noise": World(signal=0.0),
    "noise, two parts": World(signal=0.0, parts=True),
    "weak": World(signal=0.5),
    "own noise": World(shared=0.0),
    "strong": World(signal=3.0, noise=(0.3, 0.3)),
    "two parts": World(parts=True),
    "two parts, strong": World(signal=3.0, parts=True),
    "small penalty": World(alpha=0.001),
    "large penalty": World(alpha=3.0),
    "slow": World(memory=0.95),
    "slow, strong": World(signal=3.0, noise=(0.3, 0.3), memory=0.95),
    "300 features": World(n_features=300),
    "unequal": World(noise=(0.3, 1.2)),
}


@dataclass(frozen=True)
class Design:
    """Rows of films (durations in s) or, without films, of clips: stimulus, start (s) and splits."""

    films_s: Sequence[int]
    stimulus: np.ndarray
    start_s: np.ndarray
    splits: Sequence[Split]

    @classmethod
    def of(cls, films_s: Sequence[int]) -> "Design":
        """Cut the segments into contiguous stretches, each the test part of a split."""
        lengths = films_s or [1] * N_CLIPS
        stimulus = np.repeat(np.arange(len(lengths)), lengths)
        start_s = np.concatenate([np.arange(n) for n in lengths])
        segment = segments(stimulus, 1000.0 * start_s, SEGMENT_MS)
        stretch = segment * N_SPLITS // (segment.max() + 1)
        place = 10_000 * stimulus + start_s  # rows of different films are far apart
        splits = []
        for k in range(N_SPLITS):
            test = np.flatnonzero(stretch == k)
            distance = np.abs(place[:, None] - place[test]).min(axis=1)
            splits.append(Split(np.flatnonzero(distance > GAP_MS / 1000), test[:0], test))
        return cls(films_s, stimulus, start_s, splits)

    def blocks(self, block_s: float) -> np.ndarray:
        """Return the block of each row."""
        return segments(self.stimulus, 1000.0 * self.start_s, 1000.0 * block_s)

    def series(self, width: int, memory: float, rng: np.random.Generator) -> np.ndarray:
        """Return random columns of expected variance 1: (n_rows, width)."""
        if not self.films_s:
            return rng.standard_normal((len(self.stimulus), width))
        return np.concatenate([smooth(n, width, memory, rng) for n in self.films_s])


def smooth(n: int, width: int, memory: float, rng: np.random.Generator) -> np.ndarray:
    """Return stationary autoregressive noise convolved with the HRF, of expected variance 1: (n, width)."""
    before = 100

    def filtered(white: np.ndarray) -> np.ndarray:
        return hrf.convolve(lfilter([1.0], [1.0, -memory], white, axis=0), 1000.0)

    impulse = filtered(np.eye(1000, 1))
    return filtered(rng.standard_normal((before + n, width)))[before:] / np.linalg.norm(impulse)


def simulate(world: World, design: Design, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the features of two models (n_rows, n_features) and z-scored responses (n_rows, N_UNITS)."""
    fixed, rng, p = np.random.default_rng(99), np.random.default_rng([1, seed]), world.n_features
    mapping = fixed.standard_normal((p, N_UNITS)) / np.sqrt(p)
    strength = world.signal * fixed.uniform(0.5, 1.5, N_UNITS)
    common = design.series(p, world.memory, rng)
    other = [design.series(p, world.memory, rng) for _ in range(2)]
    if world.parts:
        models, source = [common, other[0]], common + other[0]
    else:
        models, source = [common + e * x for e, x in zip(world.noise, other, strict=True)], common
    own, shared = (design.series(n, NOISE_MEMORY, rng) for n in (N_UNITS, 1))
    responses = strength * (source @ mapping) + np.sqrt(1 - world.shared) * own + np.sqrt(world.shared) * shared
    return models, ((responses - responses.mean(axis=0)) / responses.std(axis=0)).astype(np.float32)


def predict(X: np.ndarray, Y: np.ndarray, split: Split, alpha: float) -> np.ndarray:
    """Return ridge predictions of the test rows: (n_test, n_units) float32."""
    mean, deviation = X[split.train].mean(axis=0), X[split.train].std(axis=0)
    train, test = ((X[rows] - mean) / deviation for rows in (split.train, split.test))
    centre, penalty = Y[split.train].mean(axis=0), alpha * X.shape[1]
    weights = np.linalg.solve(train.T @ train + penalty * np.eye(X.shape[1]), train.T @ (Y[split.train] - centre))
    return (test @ weights + centre).astype(np.float32)


def statistics(X: np.ndarray, Y: np.ndarray, design: Design, alpha: float, blocks: np.ndarray) -> BootstrapStatistics:
    """Return the bootstrap statistics of a model."""
    sums = BlockSums(METRICS["pearson"].statistic, blocks, design.splits, None)
    columns = np.arange(Y.shape[1])
    batches = [
        [sums.batch(k, s.test, columns, predict(X, Y, s, alpha), Y[s.test])] for k, s in enumerate(design.splits)
    ]
    return sums.statistics(batches, Y.shape[1])


@dataclass(frozen=True)
class Repeat:
    """Two models in one repeat, their medians over units in column 0 and SHOWN units in the others.

    score: (2, 1 + SHOWN); replicates: (2, N_SAMPLES, 1 + SHOWN); plain: the same with the plain median of each sample;
    of_test: the same with a median that accounts for the noise of test rows alone; stretch: t factors (N_SAMPLES,).
    """

    score: np.ndarray
    replicates: np.ndarray
    plain: np.ndarray
    of_test: np.ndarray
    stretch: np.ndarray


def repeat(world: World, design: Design, blocks: np.ndarray, seed: int, run: int = SEGMENT_RUN) -> Repeat:
    """Return the scores and replicates of one repeat; run: number of blocks of film that are sampled together."""
    models, Y = simulate(world, design, seed)
    strata = np.zeros(blocks.max() + 1, dtype=int)
    counts = sample_counts(strata, N_SAMPLES, seed, "benchmark", run if design.films_s else 1)
    wide = widening(design.splits, np.ones(len(blocks)))
    score, replicates, plain, of_test = [], [], [], []
    for X in models:
        kept = statistics(X, Y, design, world.alpha, blocks)
        whole, part = (kept.replicates(c).astype(float) for c in (np.ones((1, len(strata))), counts))
        score.append([np.median(whole), *whole[0, :SHOWN]])
        factor = training_factor(score[-1][0], wide)
        medians = sample_medians(part, factor), np.nanmedian(part, axis=1), sample_medians(part)
        for rows, of_sample in zip((replicates, plain, of_test), medians, strict=True):
            rows.append(np.column_stack([of_sample, part[:, :SHOWN]]))
    found = (np.array(rows) for rows in (score, replicates, plain, of_test))
    return Repeat(*found, tails(strata, N_SAMPLES, seed, "benchmark"))


@dataclass(frozen=True)
class Rule:
    """Rule that turns replicates into draws: factor(score, widening) on their deviations, on Fisher's z or on r.

    samples: "replicates", "plain" or "of_test", see `Repeat`.
    """

    factor: Callable[[float, float], float]
    on_z: bool = True
    student: bool = False
    samples: str = "replicates"

    def draws(self, one: Repeat, model: int, column: int, wide: float) -> np.ndarray:
        """Return the draws of a score: (N_SAMPLES,)."""
        score = one.score[model, column]
        replicates = getattr(one, self.samples)[model, :, column]
        factor = self.factor(score, wide) * (one.stretch if self.student else 1.0)
        if self.on_z:
            return recentre(replicates, score, factor, FISHER)
        return score + factor * (replicates - np.nanmean(replicates))


RULES = {
    "Nadeau-Bengio, on r, plain median": Rule(lambda r, wide: wide, on_z=False, samples="plain"),
    "test rows only": Rule(lambda r, wide: 1.0),
    "Nadeau-Bengio": Rule(lambda r, wide: wide),
    "/ (1 + |r|)^2": Rule(lambda r, wide: np.sqrt(1 + (wide**2 - 1) / (1 + abs(r)) ** 2)),
    "x (1 - r^2)": Rule(training_factor),
    "x (1 - r^2), t, plain median": Rule(training_factor, student=True, samples="plain"),
    "x (1 - r^2), t, median for noise of test rows": Rule(training_factor, student=True, samples="of_test"),
    "x (1 - r^2), t (default)": Rule(training_factor, student=True),
}
DEFAULT = list(RULES)[-1]


def measure(found: Sequence[Repeat], wide: float, rule: Rule) -> tuple[float, float, float, float, float]:
    """Return coverage of score and units, rejections of score and units, and the share of draws above 1."""
    truth = np.mean([one.score for one in found], axis=0)
    covered, rejected, above = [], [], []
    for one in found:
        drawn = np.array([[rule.draws(one, m, j, wide) for j in range(1 + SHOWN)] for m in range(2)])
        low, high = np.percentile(drawn, [2.5, 97.5], axis=2)
        covered.append((low <= truth) & (truth <= high))
        difference = drawn[0] - drawn[1]
        beyond = np.minimum((difference <= 0).sum(axis=1), (difference >= 0).sum(axis=1))
        rejected.append(2 * (1 + beyond) / (1 + N_SAMPLES) < 0.05)
        above.append((drawn > 1).mean())
    covered, rejected = np.array(covered), np.array(rejected)
    of_score = covered[:, :, 0].mean(), covered[:, :, 1:].mean(), rejected[:, 0].mean(), rejected[:, 1:].mean()
    return (*map(float, of_score), float(np.mean(above)))


def main() -> None:
    """Print one table per kind of data."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(DATA))
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=list(WORLDS))
    parser.add_argument("--block", type=float, default=SEGMENT_MS / 1000, help="seconds of film in a block")
    parser.add_argument("--run", type=int, default=SEGMENT_RUN, help="blocks of film that are sampled together")
    given = parser.parse_args()
    titles = ["coverage", "of units", "rejected", "of units", "draws above 1"]
    for data in given.data:
        design = Design.of(DATA[data])
        wide = widening(design.splits, np.ones(len(design.stimulus)))
        blocks = design.blocks(given.block)
        rows = []
        for name in given.worlds:
            found = [repeat(WORLDS[name], design, blocks, seed, given.run) for seed in range(given.repeats)]
            scores = np.array([one.score[:, 0] for one in found])
            rows.append([f"{name}: r {scores.mean():.2f}, sd {scores.std(axis=0).mean():.4f}", *[""] * len(titles)])
            rows += [["  " + rule, *(f"{v:.3f}" for v in measure(found, wide, RULES[rule]))] for rule in RULES]
        print(f"\n{given.repeats} repeats, Nadeau-Bengio factor {wide:.2f}")
        print(aligned([data, *titles], rows), flush=True)


if __name__ == "__main__":
    main()
