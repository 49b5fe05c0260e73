"""Level and coverage of inference over subjects and film segments, on simulated recordings with known truth.

    python -m benchmarks.subjects [--worlds 500] [--sets 25]

Two models with different features predict six units of 20 people who watch three films (300, 240 and 180 s). The
features enter each person's responses with weights 1 + d and 1 - d: d is the sum of an effect of the person (deviation
0.35) and of an effect of each segment of 15 s (deviation 0.35), both new in each world. Noise is shared by all people
in part. The models are equal in the population of people and films, and differ for these people. Pseudo-values are
those of `evaluate.subjects`, vectorised over people; the first 5 and 10 people of a world are scored too.

Printed: share of worlds with p < .05 for the difference of the equal models, by segments alone (new films, these
people) and by people and segments (new films, new people); coverage of the two 95 % intervals of a model's score, the
truth of the first being the mean over worlds with the same people (`--sets` of them); power for a model that is better
on average, beside that of the closed form (Student's t with the true standard error).
"""

import argparse
from dataclasses import dataclass

import numpy as np

from src.analysis import crossed
from src.analysis.bootstrap import training_factor
from src.evaluate.bootstrap_statistics import widening
from src.evaluate.protocol import SEGMENT_MS
from src.evaluate.splits import segments
from src.tables import aligned

from .intervals import Design, predict

FILMS_S = (300, 240, 180)
N_FEATURES, N_UNITS, N_PEOPLE = 10, 6, 20
SIZES = (5, 10, 20)
SHARED = 0.5  # share of the noise's variance that is common to all people
OF_PEOPLE, OF_SEGMENTS = 0.35, 0.35  # deviations of the planted effects
ALPHA = 0.1  # ridge penalty times the number of features
MEMORY = 0.7  # autoregression of features and noise, per second
BETTER = 0.45  # mean of d in the world with a better model


@dataclass(frozen=True)
class Scored:
    """Scores of one world: tables (2 models, n_people, n_segments) and the factor of the training rows."""

    tables: np.ndarray
    wide: float

    def factor(self, model: int, size: int) -> float:
        """Return the factor on the error over films of the mean of the first people."""
        return float(training_factor(self.tables[model, :size].mean(), self.wide))

    def compared(self, size: int) -> dict:
        """Return the comparison of the two models."""
        return crossed.compare(*self.tables[:, :size], (self.factor(0, size), self.factor(1, size)))


def simulate(design: Design, blocks: np.ndarray, people: int, films: int, better: float):
    """Return the features of two models and responses (n_people, n_rows, n_units), by seeds of people and of films."""
    fixed, of_people, of_films = (np.random.default_rng(seed) for seed in ([9], [1, people], [2, films]))
    maps = fixed.standard_normal((2, N_FEATURES, N_UNITS)) / np.sqrt(N_FEATURES)
    effect = OF_PEOPLE * of_people.standard_normal(N_PEOPLE)
    noise = of_people.uniform(1.0, 2.0, N_PEOPLE)
    d = better + effect[:, None] + OF_SEGMENTS * of_films.standard_normal(blocks.max() + 1)[blocks]
    models = [design.series(N_FEATURES, MEMORY, of_films) for _ in range(2)]
    signal = [X @ M for X, M in zip(models, maps, strict=True)]
    common = design.series(N_UNITS, MEMORY, of_films)
    own = design.series(N_PEOPLE * N_UNITS, MEMORY, of_films).reshape(-1, N_PEOPLE, N_UNITS).transpose(1, 0, 2)
    clean = (1 + d)[:, :, None] * signal[0] + (1 - d)[:, :, None] * signal[1]
    Y = clean + noise[:, None, None] * (np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * own)
    return models, ((Y - Y.mean(axis=1, keepdims=True)) / Y.std(axis=1, keepdims=True)).astype(np.float32)


def score(design: Design, blocks: np.ndarray, people: int, films: int, better: float = 0.0) -> Scored:
    """Return the scores of all people in one world, with the pseudo-values of `evaluate.subjects`."""
    models, Y = simulate(design, blocks, people, films, better)
    columns = Y.transpose(1, 0, 2).reshape(len(blocks), -1)
    scores = np.empty((2, N_PEOPLE, len(design.splits)))
    influence = np.zeros((2, blocks.max() + 1, N_PEOPLE))
    share = np.array([np.bincount(blocks[s.test], minlength=blocks.max() + 1) / len(s.test) for s in design.splits])
    for m, X in enumerate(models):
        for k, split in enumerate(design.splits):
            truth = columns[split.test].reshape(-1, N_PEOPLE, N_UNITS)
            predicted = predict(X, columns, split, ALPHA).reshape(truth.shape)
            r, rows = influences(predicted, truth)
            of_mean, _ = influences(predicted.mean(axis=1), truth.mean(axis=1))
            low, high = np.percentile(of_mean, [25, 75])
            scores[m, :, k] = np.median(r, axis=1)
            of_rows = rows[..., (of_mean >= low) & (of_mean <= high)].mean(axis=-1)
            np.add.at(influence[m], blocks[split.test], of_rows / len(design.splits))
    mean = scores.mean(axis=2, keepdims=True)
    influence = influence.transpose(0, 2, 1) + (scores - mean) @ share / len(design.splits)
    tables = mean + (blocks.max() + 1) * influence
    return Scored(tables, widening(design.splits, np.ones(len(blocks))))


def influences(predicted: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return r over rows, and its derivative by the weight of each row: (n_rows, ...) -> (...), (n_rows, ...)."""
    u, v = (x - x.mean(axis=0) for x in (predicted, truth))
    u, v = (x / np.sqrt((x**2).mean(axis=0)) for x in (u, v))
    r = (u * v).mean(axis=0)
    return r, (u * v - r / 2 * (u**2 + v**2)) / len(u)


def level(worlds: list[Scored]) -> list[list[str]]:
    """Return rows of the share of p < .05 for equal models, and of the coverage for new people."""
    truth, rows = np.mean([w.tables.mean(axis=(1, 2)) for w in worlds], axis=0), []
    for size in SIZES:
        p = np.array([[w.compared(size)[k] for k in ("films_p", "people_p")] for w in worlds])
        covered = []
        for w in worlds:
            for model in (0, 1):
                low, high = crossed.intervals(w.tables[model, :size], w.factor(model, size))["people"]
                covered.append(low <= truth.mean() <= high)
        rows.append([f"{size} people", *(f"{v:.3f}" for v in (p < 0.05).mean(axis=0)), f"{np.mean(covered):.3f}"])
    return rows


def coverage(sets: list[list[Scored]]) -> list[str]:
    """Return the coverage for these people by number of people; worlds of one set share them."""
    found = []
    for size in SIZES:
        covered = []
        for worlds in sets:
            truth = np.mean([w.tables[:, :size].mean(axis=(1, 2)) for w in worlds], axis=0)
            for w in worlds:
                for model in (0, 1):
                    one = crossed.intervals(w.tables[model, :size], w.factor(model, size))
                    # the mean of the set contains the score itself
                    centre = one["score"] + (truth[model] - one["score"]) / np.sqrt(1 - 1 / len(worlds))
                    covered.append(one["films"][0] <= centre <= one["films"][1])
        found.append(f"{np.mean(covered):.3f}")
    return found


def power(worlds: list[Scored]) -> list[list[str]]:
    """Return rows of the power of the paired test, and that of the closed form."""
    from scipy.stats import nct, t

    rows = []
    for size in SIZES:
        found = [w.compared(size) for w in worlds]
        difference = np.array([one["difference"] for one in found])
        reach = t.ppf(0.975, size - 1)
        expected = nct.sf(reach, size - 1, difference.mean() / difference.std(ddof=1))
        measured = np.mean([one["people_p"] < 0.05 and one["difference"] > 0 for one in found])
        rows.append([f"{size} people", f"{difference.mean():.3f}", f"{measured:.3f}", f"{expected:.3f}"])
    return rows


def main() -> None:
    """Print three tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=500)
    parser.add_argument("--sets", type=int, default=25)
    given = parser.parse_args()
    design = Design.of(FILMS_S)
    blocks = segments(design.stimulus, 1000.0 * design.start_s, SEGMENT_MS)
    worlds = [score(design, blocks, seed, seed) for seed in range(given.worlds)]
    r = np.mean([w.tables.mean() for w in worlds])
    print(f"{given.worlds} worlds, {blocks.max() + 1} segments, mean r {r:.3f}, factor {worlds[0].wide:.2f}")
    print(aligned(["equal models", "p < .05, films", "p < .05, people", "coverage, people"], level(worlds)), flush=True)
    each = given.worlds // given.sets
    sets = [[score(design, blocks, s, 10_000 + s * each + k) for k in range(each)] for s in range(given.sets)]
    rows = [[f"{size} people", share] for size, share in zip(SIZES, coverage(sets), strict=True)]
    print(aligned([f"{given.sets} x {each} worlds", "coverage, these people"], rows), flush=True)
    better = [score(design, blocks, 20_000 + s, 20_000 + s, BETTER) for s in range(given.worlds)]
    print(aligned(["better model", "difference", "power", "closed form"], power(better)))


if __name__ == "__main__":
    main()
